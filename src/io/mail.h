/* mail: a message from any thread to a loop. The sender's node is linked in (lock-free, many senders),
 * and the loop is woken once for a batch. The node belongs to the receiver from then on. */
#ifndef SP_IO_MAIL_H
#define SP_IO_MAIL_H

#include "io/loop.h"

struct sp_mail {
    struct sp_mail *next;
    void (*on_mail)(struct sp_mail *mail); /* on the receiving loop's thread */
};

void sp_mail_post(struct sp_loop *loop, struct sp_mail *mail);
/* What was posted is delivered now. For whoever has the loop between two turns, when its thread stands. */
void sp_mail_deliver(struct sp_loop *loop);

#endif
