/* lookout: a descriptor that the loop watches for somebody else.
 *
 * Sockets of calls are sp_socks: the loop reads them and brings bytes. That is wrong for a descriptor whose
 * messages carry descriptors, or whose reader blocks on purpose, as both sides of a hot upgrade do. They want
 * one thing of the loop: to be told that it is time.
 *
 *      loop ── readable ──> on_ready(arg) ── free ──> the caller reads, alone
 *
 * Readiness is a level: who neither reads nor frees is told again in the next turn. */
#include "io/lookout.h"

#include "base/mem.h"
#include "io/epoll_impl.h"

struct sp_lookout {
    struct sp_loop *loop;
    struct sp_fd_watch watch;
    void (*on_ready)(void *arg);
    void *arg;
};

static void on_events(struct sp_fd_watch *watch, uint32_t events)
{
    struct sp_lookout *lookout = SP_CONTAINER(watch, struct sp_lookout, watch);
    lookout->on_ready(lookout->arg);
}

struct sp_lookout *sp_lookout_new(struct sp_loop *loop, int fd, void (*on_ready)(void *arg), void *arg)
{
    struct sp_lookout *lookout = sp_epoll_is(loop) ? sp_mem_zalloc(sizeof(*lookout)) : NULL;
    if (!lookout)
        return NULL;
    *lookout = (struct sp_lookout){
        .loop = loop, .watch = { .fd = fd, .on_ready = on_events }, .on_ready = on_ready, .arg = arg
    };
    if (!sp_epoll_watch(loop, &lookout->watch, EPOLLIN, false))
        return lookout;
    sp_mem_free(lookout);
    return NULL;
}

void sp_lookout_free(struct sp_lookout *lookout)
{
    if (!lookout)
        return;
    sp_epoll_unwatch(lookout->loop, &lookout->watch);
    sp_mem_free(lookout);
}
