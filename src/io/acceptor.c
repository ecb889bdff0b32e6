/* acceptor: the common half of a listening socket: how many connections are taken for one readiness.
 *
 * Taking until EAGAIN costs a system call in vain for each event, and events with one connection are nearly
 * all there are while clients keep theirs alive. Taking one for each event costs a whole turn per connection
 * when thousands come at once (after a restart of the other side), and each turn's other work delays the
 * next. So the quota follows the crowd: one, doubled each time that it was used up in this turn and in the
 * one before, up to `batch`; back to what really came as soon as it was too much. Readiness is a level:
 * what is left in the queue is told again in the next turn.
 *
 * Out of descriptors the queue cannot be emptied, and it would be told in every turn: the acceptor pauses
 * itself and says so once; whoever closes connections resumes it. */
#include "io/sock.h"

#include "io/loop_impl.h"

static void prepare(struct sp_acceptor *acceptor, struct sp_loop *loop)
{
    acceptor->loop = loop;
    acceptor->fd = -1;
    acceptor->paused = false;
    acceptor->quota = 1;
    acceptor->full_turn = UINT64_MAX; /* no turn */
    if (acceptor->batch == 0)
        acceptor->batch = SP_ACCEPT_BATCH;
}

sp_err sp_acceptor_open(struct sp_acceptor *acceptor, struct sp_loop *loop, int fd, bool shared)
{
    prepare(acceptor, loop);
    return loop->body->acceptor_open(acceptor, fd, shared);
}

sp_err sp_acceptor_listen(struct sp_acceptor *acceptor, struct sp_loop *loop,
                          const struct sp_listen_config *config)
{
    prepare(acceptor, loop);
    return loop->body->listen(acceptor, config);
}

static void adapt(struct sp_acceptor *acceptor, uint32_t taken, bool emptied)
{
    if (emptied) {
        acceptor->quota = taken ? taken : 1;
        return;
    }
    uint64_t turn = acceptor->loop->view.turns;
    if (acceptor->full_turn + 1 == turn)
        acceptor->quota = acceptor->quota * 2 < acceptor->batch ? acceptor->quota * 2 : acceptor->batch;
    acceptor->full_turn = turn;
}

void sp_acceptor_ready(struct sp_acceptor *acceptor)
{
    struct sp_loop *loop = acceptor->loop;
    loop->current = acceptor;
    uint32_t quota = acceptor->quota;
    for (uint32_t taken = 0; taken < quota; taken++) {
        if (acceptor->paused)
            return;
        sp_addr peer;
        int fd = loop->body->accept(acceptor, &peer);
        if (fd == SP_E_AGAIN) {
            adapt(acceptor, taken, true);
            return;
        }
        if (fd == SP_E_RESET)
            continue;
        if (fd < 0) {
            sp_acceptor_pause(acceptor, true);
            acceptor->on_full(acceptor, fd);
            return;
        }
        acceptor->on_accept(acceptor, fd, &peer);
        if (loop->current != acceptor)
            return; /* closed meanwhile: the storage may be gone */
    }
    adapt(acceptor, quota, false);
}

void sp_acceptor_pause(struct sp_acceptor *acceptor, bool on)
{
    if (acceptor->paused == on)
        return;
    acceptor->paused = on;
    acceptor->loop->body->acceptor_watch(acceptor, !on);
}

void sp_acceptor_close(struct sp_acceptor *acceptor)
{
    if (acceptor->loop->current == acceptor)
        acceptor->loop->current = NULL;
    acceptor->loop->body->acceptor_close(acceptor);
    acceptor->fd = -1;
}

int sp_acceptor_detach(struct sp_acceptor *acceptor)
{
    if (acceptor->loop->current == acceptor)
        acceptor->loop->current = NULL;
    sp_acceptor_pause(acceptor, true);
    int fd = acceptor->loop->body->acceptor_detach(acceptor);
    acceptor->fd = -1;
    return fd;
}

sp_err sp_acceptor_local(const struct sp_acceptor *acceptor, sp_addr *ret_addr)
{
    return acceptor->loop->body->acceptor_addr(acceptor, ret_addr);
}
