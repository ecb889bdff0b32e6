/* loop: the order of a turn, the same for every body.
 *
 *        ┌────────────────────────────── how long may we wait? (sp_loop_due)
 *        ▼
 *      wait ── body: bytes, room, ends, accepts ──> owners' callbacks
 *        │
 *      mail ── from other threads
 *      late ── connects that failed inside the call, connections that a send found dead
 *      fed ─── socks that had found no slab
 *      timers
 *      turn-end hooks ── here a connection writes all that was queued on it, in one system call
 *      interest ── what read-pauses and waits for room have come to: at most one epoll_ctl for a sock
 *      closed ─── storage goes back to its owners
 *
 * Two thoughts hold it together. First: within a turn things are only noted (to be written, watched, freed)
 * and done once at its end, so that ten answers for one connection cost one write, and a pause that is taken
 * back costs nothing. Second: nothing is called from inside a call that its owner made; a callback comes
 * from the loop, with no frame of the same owner below it.
 *
 * What is owed at the start of a wait (lists that are not empty) makes the wait a look. Hooks that ask for
 * more hooks get SP_TURN_ROUNDS rounds in the same turn, so that an answer that was made while flushing still
 * leaves now; a hook that asks for itself for ever only takes a round each turn. */
#include "io/loop.h"

#include <string.h>

#include "io/loop_impl.h"
#include "io/mail.h"

enum { KEEP_SLAB_BYTES = 4 * 1024 * 1024 };
#define STARVED_RETRY_NS SP_NS_PER_MS
#define WALL_REFRESH_NS (10 * SP_NS_PER_MS) /* a step of the wall clock is seen this late at most */

void sp_loop_init(struct sp_loop *loop, const struct sp_loop_body *body, const struct sp_loop_config *config,
                  uint64_t seed)
{
    memset(loop, 0, sizeof(*loop));
    loop->body = body;
    sp_list_init(&loop->turn_ends);
    sp_list_init(&loop->changed);
    sp_list_init(&loop->late);
    sp_list_init(&loop->starved);
    sp_list_init(&loop->closed);
    uint32_t keep = config && config->keep_slab_bytes ? config->keep_slab_bytes : KEEP_SLAB_BYTES;
    loop->pipes_max = config && config->pipes ? config->pipes : SP_LOOP_PIPES;
    if (config && config->no_pipes)
        loop->pipes_max = 0;
    sp_slab_pool_init(&loop->slabs, keep, config ? config->slab_limit_bytes : 0);
    sp_rng_init(&loop->rng, seed);
    loop->now = body->clock(loop);
    loop->turn_began = loop->now;
    sp_wheel_init(&loop->wheel, loop->now);
}

void sp_loop_deinit(struct sp_loop *loop)
{
    SP_ASSERT(loop->view.socks_open == 0);
    SP_ASSERT(sp_list_is_empty(&loop->closed));
    sp_slab_unref(loop->spare_read);
    sp_slab_unref(loop->spare_large);
    loop->spare_read = loop->spare_large = NULL;
    sp_slab_pool_deinit(&loop->slabs);
}

void sp_loop_free(struct sp_loop *loop)
{
    if (loop)
        loop->body->free(loop);
}

/* --- a turn -------------------------------------------------------------------------------------------- */

sp_ns sp_loop_due(struct sp_loop *loop)
{
    if (!sp_list_is_empty(&loop->closed) || !sp_list_is_empty(&loop->late) ||
        !sp_list_is_empty(&loop->turn_ends) || !sp_list_is_empty(&loop->changed) ||
        __atomic_load_n(&loop->mail, __ATOMIC_RELAXED) || __atomic_load_n(&loop->stop, __ATOMIC_RELAXED))
        return loop->now;

    sp_ns due = sp_wheel_next(&loop->wheel);
    if (!sp_list_is_empty(&loop->starved) && due > loop->now + STARVED_RETRY_NS)
        due = loop->now + STARVED_RETRY_NS;
    return due;
}

/* Run the hooks that were asked for; those that they ask for go into the next round. */
static void run_turn_ends(struct sp_loop *loop)
{
    for (int round = 0; round < SP_TURN_ROUNDS && !sp_list_is_empty(&loop->turn_ends); round++) {
        struct sp_list mark = { NULL, NULL };
        sp_list_push(&loop->turn_ends, &mark);
        struct sp_list *link;
        while ((link = sp_list_pop_first(&loop->turn_ends)) != &mark) {
            struct sp_turn *turn = SP_CONTAINER(link, struct sp_turn, link);
            turn->on_turn_end(turn);
        }
    }
}

static void wait_for_work(struct sp_loop *loop, sp_ns wait_ns)
{
    sp_ns before = loop->body->clock(loop);
    sp_ns busy = before - loop->turn_began;
    loop->view.busy_ns += busy;
    if (busy > loop->view.longest_turn)
        loop->view.longest_turn = busy;

    sp_sock_apply_changed(loop); /* what was opened between turns, or by on_closed */
    sp_ns due = sp_loop_due(loop);
    sp_ns left = due == SP_FOREVER ? SP_FOREVER : due > before ? due - before : 0;
    loop->view.turns++;
    loop->body->wait(loop, left < wait_ns ? left : wait_ns);
    loop->turn_began = loop->now;
}

void sp_loop_turn(struct sp_loop *loop, sp_ns wait_ns)
{
    wait_for_work(loop, wait_ns);
    sp_mail_deliver(loop);
    sp_sock_deliver_late(loop);
    sp_sock_feed_starved(loop);
    loop->view.timers_fired += sp_wheel_advance(&loop->wheel, loop->now);
    run_turn_ends(loop);
    sp_sock_apply_changed(loop);
    sp_sock_deliver_closed(loop);
}

void sp_loop_run(struct sp_loop *loop)
{
    while (!__atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE))
        sp_loop_turn(loop, SP_FOREVER);
    __atomic_store_n(&loop->stop, 0, __ATOMIC_RELAXED); /* so that it can be run again */
}

void sp_loop_stop(struct sp_loop *loop)
{
    __atomic_store_n(&loop->stop, 1, __ATOMIC_RELEASE);
    loop->body->wake(loop);
}

/* --- hooks --------------------------------------------------------------------------------------------- */

void sp_loop_at_turn_end(struct sp_loop *loop, struct sp_turn *turn)
{
    if (!sp_list_is_on(&turn->link))
        sp_list_push(&loop->turn_ends, &turn->link);
}

void sp_loop_turn_cancel(struct sp_turn *turn)
{
    sp_list_remove(&turn->link);
}

/* --- time and the rest --------------------------------------------------------------------------------- */

sp_ns sp_loop_now(const struct sp_loop *loop)
{
    return loop->now;
}

void sp_loop_refresh(struct sp_loop *loop)
{
    loop->now = loop->body->clock(loop);
}

sp_ns sp_loop_clock(const struct sp_loop *loop)
{
    return loop->body->clock(loop);
}

uint64_t sp_loop_wall(const struct sp_loop *loop)
{
    /* The wall clock of `now` is a reading of some milliseconds ago plus what has passed since. The cache is
     * no part of what the caller sees of the loop. */
    struct sp_loop *cache = (struct sp_loop *)loop;
    if (!cache->wall_now || loop->now - loop->wall_at > WALL_REFRESH_NS) {
        uint64_t since = loop->body->clock(loop) - loop->now;
        cache->wall_now = loop->body->wall(loop) - since;
        cache->wall_at = loop->now;
    }
    return loop->wall_now + (loop->now - loop->wall_at);
}

struct sp_slab_pool *sp_loop_slabs(struct sp_loop *loop)
{
    return &loop->slabs;
}

struct sp_rng *sp_loop_rng(struct sp_loop *loop)
{
    return &loop->rng;
}

void sp_loop_watch_now(struct sp_loop *loop)
{
    sp_sock_apply_changed(loop);
}

void sp_loop_get_view(struct sp_loop *loop, struct sp_loop_view *ret_view)
{
    *ret_view = loop->view;
    loop->view.longest_turn = 0;
}
