/* lookout: tells when a descriptor can be read, and reads nothing: for a peer whose messages somebody else
 * takes (the walk of a hot upgrade, a child's pipe). Only on a loop with the epoll body. */
#ifndef SP_IO_LOOKOUT_H
#define SP_IO_LOOKOUT_H

#include "io/loop.h"

struct sp_lookout;

/* Until it is freed `on_ready` is called in each turn in which there is something to read, or an end. NULL
 * when memory is out, or the kernel watches no more. The descriptor stays the caller's. */
struct sp_lookout *sp_lookout_new(struct sp_loop *loop, int fd, void (*on_ready)(void *arg), void *arg);
/* Before the descriptor is closed; inside on_ready too. NULL is fine. */
void sp_lookout_free(struct sp_lookout *lookout);

#endif
