/* backend.c - what stands behind the proxies: the cheapest honest server of each protocol, on one thread.
 *
 *     backend [--http PORT] [--bolt PORT] [--source PORT]
 *
 * http    HTTP/1.1 keep-alive, pipelined; "GET /N" is answered 200 with N bytes
 * bolt    Bolt v1; every request is answered with its id and its own content, heartbeats too
 * source  sends bytes for as long as the peer reads them
 *
 * It shares its core with the load generator, so that the proxy has the other one alone; what it costs is
 * therefore a limit on the throughput that can be shown, never a part of the proxy's figure. It trusts its
 * clients: requests are read just closely enough to stay in step (end of the head, content-length), and
 * anything else closes the connection, which the load generator counts.
 *
 * A connection is read once for each event, all whole requests in the buffer are answered into one output
 * buffer, and that leaves in one send. An HTTP connection that waits for its next request owns no input
 * buffer, so that ten thousand held connections do not blow up the machine that measures memory.
 */
#include "rig.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum kind { SP_HTTP, SP_BOLT, SP_SOURCE };
enum {
    INPUT = 64 * 1024,  /* largest Bolt frame or HTTP head */
    BODY_MAX = 4 << 20, /* largest N of GET /N */
    PIECE = 256 * 1024, /* one send of the source */
    OUTPUT_FIRST = 16384,
    EVENTS = 256,
    BOLT_REQUEST = 22, /* bytes before class, header, content */
    BOLT_RESPONSE = 20,
};

static const char response_class[] = "com.alipay.sofa.rpc.core.response.SofaResponse";

struct conn {
    int fd;
    enum kind kind;
    bool listener;
    uint32_t armed;
    size_t in_len, skip; /* skip: bytes of a request body still to come */
    size_t out_off, out_len, out_cap;
    char *out, *in;
};

struct server {
    int epoll;
    char *blob;  /* BODY_MAX bytes that bodies are cut from */
    char *drain; /* PIECE bytes for what is read and dropped */
};

static void conn_free(struct conn *c)
{
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

/* Room for n more bytes of output. */
static char *reserve(struct conn *c, size_t n)
{
    if (c->out_off == c->out_len)
        c->out_off = c->out_len = 0;
    if (c->out_len + n > c->out_cap) {
        size_t cap = c->out_cap ? c->out_cap : OUTPUT_FIRST;
        while (cap < c->out_len + n)
            cap *= 2;
        c->out = sp_rig_grow(c->out, cap);
        c->out_cap = cap;
    }
    return c->out + c->out_len;
}

static bool flush(struct server *s, struct conn *c)
{
    while (c->out_off < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n < 0) {
            sp_rig_arm(s->epoll, c->fd, &c->armed, EPOLLIN | EPOLLOUT, c);
            return true;
        }
        c->out_off += (size_t)n;
    }
    c->out_off = c->out_len = 0;
    sp_rig_arm(s->epoll, c->fd, &c->armed, EPOLLIN, c);
    return true;
}

static size_t http_content_length(const char *p, const char *end)
{
    static const char name[] = "content-length:";
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        if (!nl)
            break;
        if ((size_t)(nl - p) > sizeof name - 1 && strncasecmp(p, name, sizeof name - 1) == 0)
            return strtoul(p + sizeof name - 1, NULL, 10);
        p = nl + 1;
    }
    return 0;
}

/* The number that ends the request target, in origin or absolute form: bytes of the answer. */
static size_t http_size(const char *target, const char *end)
{
    const char *stop = target;
    while (stop < end && *stop != ' ' && *stop != '\r')
        stop++;
    const char *digit = stop;
    while (digit > target && isdigit((unsigned char)digit[-1]))
        digit--;
    size_t size = 0;
    for (; digit < stop && size <= BODY_MAX; digit++)
        size = size * 10 + (size_t)(*digit - '0');
    return size < BODY_MAX ? size : BODY_MAX;
}

static void http_answer(struct server *s, struct conn *c, size_t size)
{
    enum { HEAD_MAX = 160 };
    char *out = reserve(c, size + HEAD_MAX);
    int head = snprintf(out, HEAD_MAX,
                        "HTTP/1.1 200 OK\r\nserver: rig\r\ncontent-type: text/plain\r\n"
                        "content-length: %zu\r\n\r\n",
                        size);
    memcpy(out + head, s->blob, size);
    c->out_len += (size_t)head + size;
}

/* Answers all whole requests; returns the bytes used, -1 on what cannot be a request. */
static ssize_t http_feed(struct server *s, struct conn *c)
{
    size_t used = 0;
    while (used < c->in_len) {
        if (c->skip) {
            size_t k = c->in_len - used < c->skip ? c->in_len - used : c->skip;
            c->skip -= k;
            used += k;
            continue;
        }
        char *head = c->in + used;
        char *end = memmem(head, c->in_len - used, "\r\n\r\n", 4);
        if (!end)
            break;
        char *target = memchr(head, ' ', (size_t)(end - head));
        if (!target)
            return -1;
        c->skip = http_content_length(head, end + 2);
        http_answer(s, c, http_size(target + 1, end));
        used = (size_t)(end + 4 - c->in);
    }
    return (ssize_t)used;
}

static void bolt_answer(struct conn *c, const char *request, size_t frame, size_t content)
{
    bool beat = sp_rig_be16(request + 2) == 0;
    size_t class_bytes = beat ? 0 : sizeof response_class - 1;
    size_t body = beat ? 0 : content;
    char *o = reserve(c, BOLT_RESPONSE + class_bytes + body);
    o[0] = 1;                          /* protocol: v1 */
    o[1] = 0;                          /* a response */
    sp_rig_put16(o + 2, beat ? 0 : 2); /* command: heartbeat or response */
    o[4] = request[4];                 /* command version */
    memcpy(o + 5, request + 5, 4);     /* id */
    o[9] = request[9];                 /* codec of the content */
    sp_rig_put16(o + 10, 0);           /* status: success */
    sp_rig_put16(o + 12, (uint16_t)class_bytes);
    sp_rig_put16(o + 14, 0); /* no header block */
    sp_rig_put32(o + 16, (uint32_t)body);
    memcpy(o + BOLT_RESPONSE, response_class, class_bytes);
    memcpy(o + BOLT_RESPONSE + class_bytes, request + frame - content, body);
    c->out_len += BOLT_RESPONSE + class_bytes + body;
}

static ssize_t bolt_feed(struct conn *c)
{
    enum { REQUEST = 1, ONE_WAY = 2 };
    size_t used = 0;
    while (c->in_len - used >= BOLT_REQUEST) {
        const char *p = c->in + used;
        if (p[0] != 1 || (p[1] != REQUEST && p[1] != ONE_WAY))
            return -1;
        size_t content = sp_rig_be32(p + 18);
        size_t frame = BOLT_REQUEST + sp_rig_be16(p + 14) + sp_rig_be16(p + 16) + content;
        if (frame > INPUT)
            return -1;
        if (c->in_len - used < frame)
            break;
        if (p[1] == REQUEST)
            bolt_answer(c, p, frame, content);
        used += frame;
    }
    return (ssize_t)used;
}

/* False when the connection is over. */
static bool on_readable(struct server *s, struct conn *c)
{
    if (c->kind == SP_SOURCE) {
        ssize_t n = recv(c->fd, s->drain, PIECE, 0);
        return n > 0 || (n < 0 && errno == EAGAIN);
    }
    if (!c->in)
        c->in = sp_rig_grow(NULL, INPUT); /* not zeroed: made anew for each HTTP request */
    ssize_t n = recv(c->fd, c->in + c->in_len, INPUT - c->in_len, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    c->in_len += (size_t)n;
    ssize_t used = c->kind == SP_HTTP ? http_feed(s, c) : bolt_feed(c);
    if (used < 0)
        return false;
    c->in_len -= (size_t)used;
    if (c->in_len == INPUT)
        return false;
    if (c->in_len) {
        memmove(c->in, c->in + used, c->in_len);
    } else if (c->kind == SP_HTTP) {
        free(c->in);
        c->in = NULL;
    }
    return flush(s, c);
}

static bool on_writable(struct server *s, struct conn *c)
{
    if (c->kind != SP_SOURCE)
        return flush(s, c);
    for (int i = 0; i < 4; i++) {
        ssize_t n = send(c->fd, s->blob, PIECE, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN;
    }
    return true;
}

static void conn_add(struct server *s, int fd, enum kind kind, bool listener)
{
    struct conn *c = sp_rig_alloc(sizeof *c);
    c->fd = fd;
    c->kind = kind;
    c->listener = listener;
    bool sends = kind == SP_SOURCE && !listener;
    sp_rig_arm(s->epoll, fd, &c->armed, sends ? EPOLLIN | EPOLLOUT : EPOLLIN, c);
}

static void on_accept(struct server *s, const struct conn *listener)
{
    for (;;) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        sp_rig_nodelay(fd);
        conn_add(s, fd, listener->kind, false);
    }
}

static void on_event(struct server *s, struct conn *c, uint32_t events)
{
    if (c->listener) {
        on_accept(s, c);
        return;
    }
    bool alive = true;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        alive = on_readable(s, c);
    if (alive && (events & EPOLLOUT))
        alive = on_writable(s, c);
    if (!alive)
        conn_free(c);
}

static void listen_on(struct server *s, const char *option, const char *port)
{
    static const struct {
        const char *option;
        enum kind kind;
    } kinds[] = { { "--http", SP_HTTP }, { "--bolt", SP_BOLT }, { "--source", SP_SOURCE } };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(option, kinds[i].option) == 0) {
            conn_add(s, sp_rig_listen((uint16_t)sp_rig_number(option, port, 1, 65535)), kinds[i].kind, true);
            return;
        }
    }
    fprintf(stderr, "unknown option %s\n", option);
    exit(2);
}

int main(int argc, char **argv)
{
    struct server s = { .blob = sp_rig_alloc(BODY_MAX), .drain = sp_rig_alloc(PIECE) };
    memset(s.blob, 'x', BODY_MAX);
    sp_rig_prepare();
    s.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s.epoll < 0)
        sp_rig_die("epoll_create1");
    for (int i = 1; i + 1 < argc; i += 2)
        listen_on(&s, argv[i], argv[i + 1]);
    struct epoll_event events[EVENTS];
    for (;;) {
        int n = epoll_wait(s.epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++)
            on_event(&s, events[i].data.ptr, events[i].events);
    }
}
