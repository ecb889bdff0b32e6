/* help: what the tests of io share: waiting for a condition on a real loop, raw descriptors for the other
 * side, a sock that writes down what happens to it, and a loop whose clock the test moves. */
#ifndef SP_TESTS_IO_HELP_H
#define SP_TESTS_IO_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/loop_impl.h"
#include "io/sock.h"

/* Turns until `cond` holds; what has not come in ten seconds does not come. */
#define run_until(loop, cond)                                                                                \
    do {                                                                                                     \
        uint64_t give_up = sp_loop_clock(loop) + 10 * SP_NS_PER_S;                                           \
        while (!(cond)) {                                                                                    \
            sp_loop_turn((loop), 20 * SP_NS_PER_MS);                                                         \
            if (sp_loop_clock(loop) > give_up)                                                               \
                fail_msg("%s never came true", #cond);                                                       \
        }                                                                                                    \
    } while (0)

/* Everything that is ready now, and what follows from it. */
static inline void run_turns(struct sp_loop *loop, int turns)
{
    for (int i = 0; i < turns; i++)
        sp_loop_turn(loop, 0);
}

static inline struct sp_loop *new_loop(void)
{
    struct sp_loop *loop = sp_loop_new(NULL);
    assert_non_null(loop);
    return loop;
}

/* --- raw descriptors ------------------------------------------------------------------------------------ */

static inline sp_addr loopback(uint16_t port)
{
    return (sp_addr){ .family = SP_ADDR_IP4, .port = port, .ip = { 127, 0, 0, 1 } };
}

static inline void unix_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static inline int raw_listen(uint16_t *ret_port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *ret_port = ntohs(in.sin_port);
    return fd;
}

static inline int raw_connect(uint16_t port)
{
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

static inline void tcp_pair(int fds[2])
{
    uint16_t port;
    int listener = raw_listen(&port);
    fds[1] = raw_connect(port);
    fds[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(fds[0] >= 0);
    close(listener);
}

static inline void raw_write(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Cut with RST. */
static inline void raw_reset(int fd)
{
    struct linger cut = { 1, 0 };
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &cut, sizeof(cut)), 0);
    close(fd);
}

/* Reads until `len` bytes came or the other side ended; blocks for at most ten seconds at a time. */
static inline size_t raw_read(int fd, char *to, size_t len)
{
    size_t have = 0;
    while (have < len) {
        struct pollfd in = { .fd = fd, .events = POLLIN };
        if (poll(&in, 1, 10000) != 1)
            fail_msg("nothing came in ten seconds");
        ssize_t got = recv(fd, to + have, len - have, MSG_DONTWAIT);
        if (got <= 0)
            break;
        have += (size_t)got;
    }
    return have;
}

/* --- a sock that writes down ---------------------------------------------------------------------------- */

enum { LOG_CAP = 1 << 20 };

struct rec {
    struct sp_sock sock;
    char *bytes; /* what came, up to LOG_CAP */
    size_t len;
    uint32_t reads, rooms, ends, connects, closes;
    sp_err end, connected;
    const struct sp_slab *last_slab; /* for comparing only */
    size_t last_len;
    /* What to do in the callbacks, when set. */
    void (*do_bytes)(struct rec *rec, struct sp_slab *slab, char *ptr, size_t len);
    void (*do_room)(struct rec *rec);
    void (*do_end)(struct rec *rec);
    void (*do_connected)(struct rec *rec);
    struct rec *other;
    void *arg;
    struct sp_slab *kept;
};

static inline struct rec *rec_of(struct sp_sock *sock)
{
    return SP_CONTAINER(sock, struct rec, sock);
}

static inline void rec_connected(struct sp_sock *sock, sp_err err)
{
    struct rec *rec = rec_of(sock);
    rec->connects++;
    rec->connected = err;
    if (rec->do_connected)
        rec->do_connected(rec);
}

static inline void rec_bytes(struct sp_sock *sock, struct sp_slab *slab, char *ptr, size_t len)
{
    struct rec *rec = rec_of(sock);
    assert_int_equal(rec->ends, 0);
    assert_true(ptr >= slab->bytes && ptr + len == slab->bytes + slab->used && slab->used <= slab->cap);
    rec->reads++;
    rec->last_slab = slab;
    rec->last_len = len;
    for (size_t i = 0; i < len && rec->len < LOG_CAP; i++)
        rec->bytes[rec->len++] = ptr[i];
    if (rec->do_bytes)
        rec->do_bytes(rec, slab, ptr, len);
}

static inline void rec_room(struct sp_sock *sock)
{
    struct rec *rec = rec_of(sock);
    rec->rooms++;
    if (rec->do_room)
        rec->do_room(rec);
}

static inline void rec_end(struct sp_sock *sock, sp_err err)
{
    struct rec *rec = rec_of(sock);
    rec->ends++;
    rec->end = err;
    if (rec->do_end)
        rec->do_end(rec);
}

static inline void rec_closed(struct sp_sock *sock)
{
    rec_of(sock)->closes++;
}

static const struct sp_sock_ops rec_ops = { rec_connected, rec_bytes, rec_room, rec_end, rec_closed };

static inline void rec_init(struct rec *rec)
{
    memset(rec, 0, sizeof(*rec));
    rec->bytes = malloc(LOG_CAP);
}

static inline void rec_open(struct rec *rec, struct sp_loop *loop, int fd, bool read)
{
    rec_init(rec);
    assert_int_equal(sp_sock_open_fd(&rec->sock, loop, &rec_ops, fd), 0);
    if (read)
        sp_sock_read(&rec->sock, true);
}

/* Close, see on_closed come once, and give back what was kept. */
static inline void rec_close(struct rec *rec, struct sp_loop *loop)
{
    if (rec->sock.state != SP_SOCK_NONE && rec->sock.state != SP_SOCK_CLOSING)
        sp_sock_close(&rec->sock, false);
    run_turns(loop, 2);
    assert_int_equal(rec->closes, 1);
    sp_slab_unref(rec->kept);
    rec->kept = NULL;
    free(rec->bytes);
    rec->bytes = NULL;
}

static inline ssize_t rec_send(struct rec *rec, const void *bytes, size_t len)
{
    struct iovec iov = { (void *)bytes, len };
    return sp_sock_send(&rec->sock, &iov, 1);
}

static inline void rec_check(const struct rec *rec, const char *want)
{
    if (rec->len != strlen(want) || memcmp(rec->bytes, want, rec->len) != 0)
        fail_msg("have \"%.*s\", want \"%s\"", (int)rec->len, rec->bytes, want);
}

/* --- a body that counts --------------------------------------------------------------------------------- */

/* The epoll body with its calls counted: what the steady state must not do. */
struct counts {
    uint64_t watches, recvs, recvs_in_vain, sends, waits;
};

static struct counts counts;
static struct sp_loop_body counting;
static const struct sp_loop_body *counted;

static inline void counting_watch(struct sp_sock *sock, uint8_t interest)
{
    counts.watches++;
    counted->watch(sock, interest);
}

static inline ssize_t counting_recv(struct sp_sock *sock, char *to, size_t bytes)
{
    ssize_t got = counted->recv(sock, to, bytes);
    counts.recvs++;
    counts.recvs_in_vain += got == SP_E_AGAIN;
    return got;
}

static inline ssize_t counting_send(struct sp_sock *sock, const struct iovec *iov, int count)
{
    counts.sends++;
    return counted->send(sock, iov, count);
}

static inline void counting_wait(struct sp_loop *loop, sp_ns at_most)
{
    counts.waits++;
    counted->wait(loop, at_most);
}

static inline void count_calls(struct sp_loop *loop)
{
    counted = loop->body;
    counting = *counted;
    counting.watch = counting_watch;
    counting.recv = counting_recv;
    counting.send = counting_send;
    counting.wait = counting_wait;
    loop->body = &counting;
    memset(&counts, 0, sizeof(counts));
}

static inline void count_no_more(struct sp_loop *loop)
{
    loop->body = counted;
}

#endif
