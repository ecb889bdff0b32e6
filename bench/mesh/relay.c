/* relay.c - the floor: a relay on one thread that knows no protocol.
 *
 *     relay LISTEN_PORT UPSTREAM_PORT [copy|splice]
 *
 * Each client connection gets one upstream connection, dialled when the client comes; bytes go both ways.
 * This is what two sockets and one epoll cost when nothing is decided, counted or read: every figure of the
 * rig is given as a ratio to it, taken in the same round, because absolute times on a shared machine drift
 * by a factor of two and the ratio does not.
 *
 * copy    recv into one buffer that all connections share, send at once; only what the other side did not
 *         take is kept (`held`), so in the steady state a connection owns no buffer.
 * splice  socket -> pipe -> socket: the bytes stay in the kernel. Wins for bulk (a third of the CPU for each
 *         GiB), loses for small messages (two calls for each way and a pipe for each connection).
 *
 *        client fd                       upstream fd
 *     ┌─────────────┐  pull(a) = push(b)  ┌─────────────┐
 *     │  end a      │ ──────────────────► │  end b      │   end.held: bytes for *this* fd
 *     │             │ ◄────────────────── │             │   that it could not take yet
 *     └─────────────┘  pull(b) = push(a)  └─────────────┘
 *
 * While an end holds bytes, its twin is not read (level-triggered, EPOLLIN off): that is all the
 * back-pressure there is. It refuses to know half-closed connections: when one side ends, both end.
 *
 * What was tried and is not here: edge-triggered epoll (no better: one more recv that returns EAGAIN for
 * each message), a buffer for each connection (slower by the cache misses), multishot io_uring (0.92 of the
 * whole path; it would be a floor of another kind).
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, EVENTS = 256 };

struct end {
    int fd;
    uint32_t armed;
    struct end *twin;
    char *held; /* CHUNK bytes, made at the first short send */
    size_t held_off, held_len;
    int pipe[2]; /* splice only; bytes in it are for this fd */
    size_t piped;
    bool dead;
    struct end *next_dead;
};

struct relay {
    int epoll, listener;
    bool splice;
    struct sockaddr_in upstream;
    struct end *dead; /* of end.next_dead: freed after the turn, its events may still be in the batch */
    char *shared;
};

static struct end *end_new(const struct relay *r, int fd)
{
    struct end *e = sp_rig_alloc(sizeof *e);
    e->fd = fd;
    e->pipe[0] = e->pipe[1] = -1;
    if (r->splice) {
        if (pipe2(e->pipe, O_NONBLOCK | O_CLOEXEC))
            sp_rig_die("pipe2");
        (void)fcntl(e->pipe[1], F_SETPIPE_SZ, CHUNK); /* refused above the user's limit: it stays smaller */
    }
    return e;
}

static void end_close(struct relay *r, struct end *e)
{
    if (e->dead)
        return;
    e->dead = true;
    close(e->fd);
    if (e->pipe[0] >= 0) {
        close(e->pipe[0]);
        close(e->pipe[1]);
    }
    free(e->held);
    e->next_dead = r->dead;
    r->dead = e;
}

static bool waits(const struct end *e)
{
    return e->held_len || e->piped;
}

/* Write what waits for this end. False when the connection is broken. */
static bool push(struct end *to)
{
    while (to->held_len) {
        ssize_t n = send(to->fd, to->held + to->held_off, to->held_len, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN;
        to->held_off += (size_t)n;
        to->held_len -= (size_t)n;
    }
    while (to->piped) {
        ssize_t n = splice(to->pipe[0], NULL, to->fd, NULL, to->piped, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (n < 0)
            return errno == EAGAIN;
        to->piped -= (size_t)n;
    }
    return true;
}

static bool pull_splice(struct end *from, struct end *to)
{
    ssize_t n = splice(from->fd, NULL, to->pipe[1], NULL, CHUNK, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    to->piped = (size_t)n;
    return push(to);
}

static bool pull_copy(struct relay *r, struct end *from, struct end *to)
{
    ssize_t n = recv(from->fd, r->shared, CHUNK, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    ssize_t sent = send(to->fd, r->shared, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        return false;
    if (sent < 0)
        sent = 0;
    if (sent < n) {
        if (!to->held)
            to->held = sp_rig_alloc(CHUNK);
        to->held_off = 0;
        to->held_len = (size_t)(n - sent);
        memcpy(to->held, r->shared + sent, to->held_len);
    }
    return true;
}

/* Read once from this end and hand it to its twin. False when the connection is over. */
static bool pull(struct relay *r, struct end *from)
{
    struct end *to = from->twin;
    if (waits(to))
        return true;
    return r->splice ? pull_splice(from, to) : pull_copy(r, from, to);
}

static void arm_pair(struct relay *r, struct end *a)
{
    struct end *b = a->twin;
    sp_rig_arm(r->epoll, a->fd, &a->armed, (waits(b) ? 0u : EPOLLIN) | (waits(a) ? EPOLLOUT : 0u), a);
    sp_rig_arm(r->epoll, b->fd, &b->armed, (waits(a) ? 0u : EPOLLIN) | (waits(b) ? EPOLLOUT : 0u), b);
}

static void on_accept(struct relay *r)
{
    for (;;) {
        int fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        int up = sp_rig_dial(&r->upstream);
        if (up < 0) {
            close(fd);
            continue;
        }
        sp_rig_nodelay(fd);
        struct end *a = end_new(r, fd), *b = end_new(r, up);
        a->twin = b;
        b->twin = a;
        arm_pair(r, a);
    }
}

static void on_event(struct relay *r, struct end *e, uint32_t events)
{
    if (e->dead)
        return;
    bool alive = true;
    if (events & EPOLLOUT)
        alive = push(e);
    if (alive && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        alive = pull(r, e);
    if (alive && (events & (EPOLLHUP | EPOLLERR)) && waits(e->twin))
        alive = false; /* gone, and its twin stands still: nobody would ever read the end of it */
    if (alive) {
        arm_pair(r, e);
        return;
    }
    end_close(r, e->twin);
    end_close(r, e);
}

static void run(struct relay *r)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        int n = epoll_wait(r->epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                on_event(r, events[i].data.ptr, events[i].events);
            else
                on_accept(r);
        }
        while (r->dead) {
            struct end *e = r->dead;
            r->dead = e->next_dead;
            free(e);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: relay LISTEN_PORT UPSTREAM_PORT [copy|splice]\n");
        return 2;
    }
    struct relay r = { .shared = sp_rig_alloc(CHUNK) };
    uint32_t armed = 0;
    sp_rig_prepare();
    r.splice = argc > 3 && strcmp(argv[3], "splice") == 0;
    r.upstream = sp_rig_loopback((uint16_t)sp_rig_number("UPSTREAM_PORT", argv[2], 1, 65535));
    r.listener = sp_rig_listen((uint16_t)sp_rig_number("LISTEN_PORT", argv[1], 1, 65535));
    r.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (r.epoll < 0)
        sp_rig_die("epoll_create1");
    sp_rig_arm(r.epoll, r.listener, &armed, EPOLLIN, NULL);
    run(&r);
    return 0;
}
