/* epoll: the body of the loop that production runs on. One epoll, level-triggered, one wait for a turn.
 *
 * Why level-triggered, and why one recv for each event: measured on a bare relay (64 connections, 1 KiB
 * each way) level with one recv is the cheapest; edge-triggered brings nothing and needs the recv that says
 * EAGAIN; a ring (io_uring, multishot receive) is worth a few per cent of the whole path and makes a
 * socket hard to hand over to another process in mid-life, which the hot upgrade does. The ring can come
 * later behind the same table of functions.
 *
 * Each registration carries a pointer whose low bits say what it points to:
 *
 *     ...00 sp_sock      ...01 sp_acceptor      ...10 sp_fd_watch
 *
 * A callback may end the life of something that a later event of the same batch names. A closed sock lives
 * until the end of the turn and is ignored by its state; everything else leaves through `forget`, which
 * walks the rest of the batch. That is rare, a comparison on each event would not be.
 *
 * Every descriptor is taken out of the epoll before it is closed, though close alone would usually do: a
 * copy of it, in a child between fork and exec or on its way to another process, would keep the
 * registration alive and with it a pointer to freed storage.
 *
 * EPOLLRDHUP is not asked for: recv says 0, and that is when we learn it in order. ERR and HUP come
 * unasked. Waits are bounded with epoll_pwait2 (nanoseconds) where the kernel has it, so a timer is late by
 * the tick of the wheel alone; else with milliseconds, rounded up. */
#include "io/epoll_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/dns_impl.h"

enum tag { TAG_SOCK, TAG_ACCEPTOR, TAG_WATCH, TAG_MASK = 3 };

static void *tagged(const void *ptr, enum tag tag)
{
    return (void *)((uintptr_t)ptr | tag);
}

/* --- time ----------------------------------------------------------------------------------------------- */

static uint64_t read_clock(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (uint64_t)t.tv_sec * SP_NS_PER_S + (uint64_t)t.tv_nsec;
}

static sp_ns epoll_clock(const struct sp_loop *loop)
{
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t epoll_wall(const struct sp_loop *loop)
{
    return read_clock(CLOCK_REALTIME);
}

/* --- waiting -------------------------------------------------------------------------------------------- */

static int wait_ms(struct sp_epoll *e, sp_ns at_most)
{
    sp_ns ms = at_most == SP_FOREVER ? 0 : at_most / SP_NS_PER_MS + (at_most % SP_NS_PER_MS != 0);
    int timeout = at_most == SP_FOREVER ? -1 : ms > INT32_MAX ? INT32_MAX : (int)ms;
    return epoll_wait(e->epfd, e->events, SP_EPOLL_EVENTS, timeout);
}

static int wait_for_events(struct sp_epoll *e, sp_ns at_most)
{
    if (at_most == 0 || at_most == SP_FOREVER || e->no_pwait2)
        return wait_ms(e, at_most);

    struct timespec t = { (time_t)(at_most / SP_NS_PER_S), (long)(at_most % SP_NS_PER_S) };
    int count = epoll_pwait2(e->epfd, e->events, SP_EPOLL_EVENTS, &t, NULL);
    if (count < 0 && (errno == ENOSYS || errno == EPERM)) {
        e->no_pwait2 = true;
        return wait_ms(e, at_most);
    }
    return count;
}

static void say_ready(void *ptr, uint32_t events)
{
    void *bare = (void *)((uintptr_t)ptr & ~(uintptr_t)TAG_MASK);
    switch ((enum tag)((uintptr_t)ptr & TAG_MASK)) {
    case TAG_SOCK: sp_sock_ready(bare, events); break;
    case TAG_ACCEPTOR: sp_acceptor_ready(bare); break;
    case TAG_WATCH: {
        struct sp_fd_watch *watch = bare;
        watch->on_ready(watch, events);
        break;
    }
    case TAG_MASK: break;
    }
}

static void epoll_wait_turn(struct sp_loop *loop, sp_ns at_most)
{
    struct sp_epoll *e = sp_epoll_of(loop);
    int count = wait_for_events(e, at_most);
    loop->now = epoll_clock(loop);
    if (count < 0) {
        SP_ASSERT(errno == EINTR); /* all others say that the epoll descriptor is not one */
        return;
    }
    loop->view.events += (uint64_t)count;
    e->count = count;
    for (e->at = 0; e->at < e->count; e->at++) {
        void *ptr = e->events[e->at].data.ptr;
        if (ptr)
            say_ready(ptr, e->events[e->at].events);
    }
    e->at = e->count = 0;
}

/* `ptr` is about to go: drop what the batch under way still says of it. */
static void forget(struct sp_epoll *e, const void *ptr)
{
    for (int i = e->at + 1; i < e->count; i++)
        if (e->events[i].data.ptr == ptr)
            e->events[i].data.ptr = NULL;
}

static void epoll_wake(struct sp_loop *loop)
{
    uint64_t one = 1;
    int saved = errno; /* signal handlers call this */
    /* A full counter means that the wake is there already. */
    ssize_t written = write(sp_epoll_of(loop)->wake.fd, &one, sizeof(one));
    (void)written; /* see above */
    errno = saved;
}

static void on_wake(struct sp_fd_watch *watch, uint32_t events)
{
    uint64_t count;
    ssize_t got = read(watch->fd, &count, sizeof(count));
    (void)got; /* empty when somebody else's look was faster: nothing to do either way */
}

/* --- registering ---------------------------------------------------------------------------------------- */

static sp_err control(struct sp_epoll *e, int op, int fd, uint32_t events, void *ptr)
{
    struct epoll_event event = { .events = events, .data.ptr = ptr };
    if (epoll_ctl(e->epfd, op, fd, &event) == 0)
        return 0;
    return errno == ENOSPC ? SP_E_LIMIT : sp_net_err(errno);
}

bool sp_epoll_is(const struct sp_loop *loop)
{
    return loop->body == &sp_epoll_body;
}

sp_err sp_epoll_watch(struct sp_loop *loop, struct sp_fd_watch *watch, uint32_t events, bool again)
{
    return control(sp_epoll_of(loop), again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd, events,
                   tagged(watch, TAG_WATCH));
}

void sp_epoll_unwatch(struct sp_loop *loop, struct sp_fd_watch *watch)
{
    struct sp_epoll *e = sp_epoll_of(loop);
    /* Fails only when it was not watched, which is as good. */
    (void)control(e, EPOLL_CTL_DEL, watch->fd, 0, NULL);
    forget(e, tagged(watch, TAG_WATCH));
}

static sp_err epoll_open(struct sp_sock *sock, int fd)
{
    sock->fd = fd;
    return 0;
}

static void epoll_watch(struct sp_sock *sock, uint8_t interest)
{
    struct sp_epoll *e = sp_epoll_of(sock->loop);
    int op = !sock->interest ? EPOLL_CTL_ADD : interest ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    uint32_t events = interest & (EPOLLIN | EPOLLOUT);
    sp_err err = control(e, op, sock->fd, events, tagged(sock, TAG_SOCK));
    /* ADD can meet max_user_watches or an empty machine. The sock is deaf then: its owner is told. */
    if (err && op != EPOLL_CTL_DEL)
        sp_sock_lost(sock, err);
}

static void stop_watching(struct sp_sock *sock)
{
    struct sp_epoll *e = sp_epoll_of(sock->loop);
    if (sock->interest)
        (void)control(e, EPOLL_CTL_DEL, sock->fd, 0, NULL); /* fails only if it is gone already */
}

static void epoll_close(struct sp_sock *sock, bool reset)
{
    stop_watching(sock);
    if (reset) {
        struct linger cut = { .l_onoff = 1, .l_linger = 0 };
        /* Not a TCP socket: then close alone is all there is. */
        (void)setsockopt(sock->fd, SOL_SOCKET, SO_LINGER, &cut, sizeof(cut));
    }
    close(sock->fd);
    sock->fd = -1;
}

static int epoll_detach(struct sp_sock *sock)
{
    stop_watching(sock);
    forget(sp_epoll_of(sock->loop), tagged(sock, TAG_SOCK));
    int fd = sock->fd;
    sock->fd = -1;
    return fd;
}

/* --- acceptors ------------------------------------------------------------------------------------------ */

static uint32_t acceptor_events(const struct sp_acceptor *acceptor)
{
    return EPOLLIN | (acceptor->shared ? EPOLLEXCLUSIVE : 0);
}

/* An exclusive registration cannot be changed, so a pause takes it out. */
static void epoll_acceptor_watch(struct sp_acceptor *acceptor, bool on)
{
    struct sp_epoll *e = sp_epoll_of(acceptor->loop);
    if (on) {
        /* It was registered before: there is room for it. */
        (void)control(e, EPOLL_CTL_ADD, acceptor->fd, acceptor_events(acceptor),
                      tagged(acceptor, TAG_ACCEPTOR));
        return;
    }
    (void)control(e, EPOLL_CTL_DEL, acceptor->fd, 0, NULL); /* fails only if it is gone already */
    forget(e, tagged(acceptor, TAG_ACCEPTOR));
}

static sp_err epoll_acceptor_open(struct sp_acceptor *acceptor, int fd, bool shared)
{
    struct sp_epoll *e = sp_epoll_of(acceptor->loop);
    acceptor->fd = fd;
    acceptor->shared = shared;
    sp_err err = sp_net_listener_prepare(fd, &acceptor->is_unix);
    if (err)
        return err;
    return control(e, EPOLL_CTL_ADD, fd, acceptor_events(acceptor), tagged(acceptor, TAG_ACCEPTOR));
}

static sp_err epoll_listen(struct sp_acceptor *acceptor, const struct sp_listen_config *config)
{
    int fd;
    sp_err err = sp_listen_fd(config, &fd);
    if (err)
        return err;
    err = epoll_acceptor_open(acceptor, fd, false);
    if (err)
        close(fd);
    return err;
}

static void epoll_acceptor_close(struct sp_acceptor *acceptor)
{
    if (!acceptor->paused)
        epoll_acceptor_watch(acceptor, false);
    close(acceptor->fd);
}

static int epoll_acceptor_detach(struct sp_acceptor *acceptor)
{
    return acceptor->fd;
}

/* --- birth and death ------------------------------------------------------------------------------------ */

static void epoll_free(struct sp_loop *loop)
{
    struct sp_epoll *e = sp_epoll_of(loop);
    sp_loop_deinit(loop);
    for (int i = 0; i < e->pipe_count; i++) {
        close(e->pipes[i][0]);
        close(e->pipes[i][1]);
    }
    close(e->wake.fd);
    close(e->epfd);
    sp_mem_free(e);
}

static uint64_t fresh_seed(void)
{
    uint64_t seed = 0;
    /* Early in a boot it may have none; the clock will do for balancing and jitter. */
    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
        seed = read_clock(CLOCK_REALTIME) ^ (uint64_t)getpid() << 32;
    return seed;
}

struct sp_loop *sp_loop_new(const struct sp_loop_config *config)
{
    struct sp_epoll *e = sp_mem_zalloc(sizeof(*e));
    if (!e) {
        errno = ENOMEM;
        return NULL;
    }
    int err;
    e->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (e->epfd < 0) {
        err = errno;
        goto fail_epoll;
    }
    e->wake = (struct sp_fd_watch){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .on_ready = on_wake };
    if (e->wake.fd < 0) {
        err = errno;
        goto fail_eventfd;
    }
    if (control(e, EPOLL_CTL_ADD, e->wake.fd, EPOLLIN, tagged(&e->wake, TAG_WATCH))) {
        err = errno;
        goto fail_watch;
    }
    sp_loop_init(&e->loop, &sp_epoll_body, config, config && config->seed ? config->seed : fresh_seed());
    return &e->loop;

fail_watch:
    close(e->wake.fd);
fail_eventfd:
    close(e->epfd);
fail_epoll:
    sp_mem_free(e);
    errno = err;
    return NULL;
}

const struct sp_loop_body sp_epoll_body = {
    .free = epoll_free,
    .clock = epoll_clock,
    .wall = epoll_wall,
    .wait = epoll_wait_turn,
    .wake = epoll_wake,
    .open = epoll_open,
    .connect = sp_net_connect,
    .connected = sp_net_connected,
    .watch = epoll_watch,
    .recv = sp_net_recv,
    .send = sp_net_send,
    .error = sp_net_error,
    .shutdown = sp_net_shutdown,
    .close = epoll_close,
    .detach = epoll_detach,
    .addr = sp_net_addr,
    .listen = epoll_listen,
    .acceptor_open = epoll_acceptor_open,
    .acceptor_watch = epoll_acceptor_watch,
    .accept = sp_net_accept,
    .acceptor_close = epoll_acceptor_close,
    .acceptor_detach = epoll_acceptor_detach,
    .acceptor_addr = sp_net_acceptor_addr,
    .splice = &sp_epoll_splice,
    .dns = &sp_dns_cares,
};
