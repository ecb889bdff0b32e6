/* mail: many senders, one receiver, no lock. The box is one pointer to the newest letter; each letter points
 * to the one before it.
 *
 *    loop->mail ──> c ──> b ──> a ──> NULL        a was posted first
 *
 * A sender swings the pointer to its own letter (compare and exchange until it holds); the receiver takes the
 * whole chain with one exchange, turns it round and delivers in the order of arrival. The receiver never
 * compares, so the chain cannot be mistaken for another (no ABA).
 *
 * Who finds the box empty wakes the loop; who finds letters in it knows that somebody has done so and that
 * the receiver has not looked since. So a burst costs one write to the eventfd. The wake may come for a
 * batch that the turn under way has already taken: then the next wait is a look, no more.
 *
 * Letters of one sender arrive in its order; between senders there is none. */
#include "io/mail.h"

#include "io/loop_impl.h"

void sp_mail_post(struct sp_loop *loop, struct sp_mail *mail)
{
    struct sp_mail *newest = __atomic_load_n(&loop->mail, __ATOMIC_RELAXED);
    do {
        mail->next = newest;
    } while (
        !__atomic_compare_exchange_n(&loop->mail, &newest, mail, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    /* From here on the letter is the receiver's: not touched again. */
    if (!newest)
        loop->body->wake(loop);
}

void sp_mail_deliver(struct sp_loop *loop)
{
    if (!__atomic_load_n(&loop->mail, __ATOMIC_RELAXED))
        return;
    struct sp_mail *newest = __atomic_exchange_n(&loop->mail, NULL, __ATOMIC_ACQUIRE);
    struct sp_mail *oldest = NULL;
    while (newest) {
        struct sp_mail *before = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = before;
    }
    while (oldest) {
        struct sp_mail *mail = oldest;
        oldest = mail->next;
        mail->next = NULL;
        mail->on_mail(mail);
    }
}
