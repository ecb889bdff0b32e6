/* server: a plain HTTP/2 server on the codec, for programs that test or load such servers (h2spec, h2load).
 * One process for each connection, blocking reads and writes, a body of 48 bytes for every request; it says its
 * port in one line and serves until it is ended. Nothing of link or proxy is in it. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/h2/h2.h"

enum { BODY = 48, WAITING = 256, IN_BYTES = 256 * 1024 };

static const char body[BODY + 1] = "an answer of forty-eight bytes, for whoever asks";

struct conn {
    int fd;
    struct sp_h2 *h2;
    struct {
        uint32_t id, left;
    } waiting[WAITING]; /* answers whose body has not left yet */
    char in[IN_BYTES];
    size_t in_len;
    char out[64 * 1024];
    size_t out_len;
};

static void flush(struct conn *c)
{
    for (size_t at = 0; at < c->out_len;) {
        ssize_t n = write(c->fd, c->out + at, c->out_len - at);
        if (n <= 0)
            exit(0);
        at += (size_t)n;
    }
    c->out_len = 0;
}

static char *room(struct conn *c, size_t bytes)
{
    if (sizeof c->out - c->out_len < bytes)
        flush(c);
    return c->out + c->out_len;
}

/* As much of the answer's body as both windows let pass. */
static void push(struct conn *c, size_t at)
{
    uint32_t id = c->waiting[at].id;
    while (c->waiting[at].left) {
        uint32_t len = sp_h2_room(c->h2, id);
        len = len < c->waiting[at].left ? len : c->waiting[at].left;
        if (!len)
            return;
        char *out = room(c, 9 + BODY);
        ssize_t head = sp_h2_encode_data(c->h2, id, len, len == c->waiting[at].left, out, 9);
        if (head < 0)
            break;
        memcpy(out + head, body + BODY - c->waiting[at].left, len);
        c->out_len += (size_t)head + len;
        c->waiting[at].left -= len;
    }
    c->waiting[at].id = c->waiting[at].left = 0;
}

static void answer(struct conn *c, uint32_t id)
{
    struct sp_header headers[] = { { "content-type", "text/plain", 10, 12, SP_HDR_CONTENT_TYPE, 0 } };
    struct sp_head head = { .kind = SP_MSG_RESPONSE,
                            .protocol = SP_PROTO_HTTP1,
                            .status = 200,
                            .body_bytes = BODY,
                            .headers = headers,
                            .header_count = 1 };
    ssize_t n = sp_h2_encode_answer(c->h2, id, &head, false, room(c, 1024), 1024);
    if (n < 0)
        return;
    c->out_len += (size_t)n;
    for (size_t i = 0; i < WAITING; i++)
        if (!c->waiting[i].id) {
            c->waiting[i].id = id;
            c->waiting[i].left = BODY;
            push(c, i);
            return;
        }
}

static void act(struct conn *c, const struct sp_h2_event *ev)
{
    if (ev->base.body.len) {
        ssize_t n = sp_h2_took(c->h2, ev->id, (uint32_t)ev->base.body.len, room(c, 64), 64);
        c->out_len += n > 0 ? (size_t)n : 0;
    }
    if (ev->base.kind != SP_EVENT_NONE && ev->base.end)
        answer(c, ev->id);
    for (size_t i = 0; i < WAITING; i++) {
        if (c->waiting[i].id && ev->note == SP_H2_RESET && c->waiting[i].id == ev->id)
            c->waiting[i].id = c->waiting[i].left = 0;
        else if (c->waiting[i].id && ev->note == SP_H2_ROOM)
            push(c, i);
    }
}

/* Everything that has come. False: the connection is over. */
static bool decode(struct conn *c, struct sp_h2_event *ev)
{
    size_t at = 0;
    for (;;) {
        ssize_t used = sp_h2_decode(c->h2, sp_str_of(c->in + at, c->in_len - at), ev);
        if (used == SP_E_AGAIN) {
            free(sp_h2_give(c->h2, ev->needs, calloc(1, ev->needs_bytes), ev->needs_bytes));
            continue;
        }
        memcpy(room(c, ev->reply_len), ev->reply, ev->reply_len);
        c->out_len += ev->reply_len;
        if (used <= 0) {
            flush(c);
            memmove(c->in, c->in + at, c->in_len - at);
            c->in_len -= at;
            return used == 0;
        }
        act(c, ev);
        at += (size_t)used;
    }
}

static void serve(int fd)
{
    struct sp_h2_limits limits = { 0 };
    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head head = { .headers = headers, .header_cap = SP_HEADERS_MAX };
    struct conn *c = calloc(1, sizeof *c);
    size_t scratch = sp_h2_scratch_bytes(&limits);
    struct sp_h2_event ev = { .base.head = &head, .scratch = malloc(scratch), .scratch_bytes = scratch };
    c->fd = fd;
    c->h2 = sp_h2_init(calloc(1, sp_h2_bytes()), SP_ROLE_SERVER, &limits);
    uint32_t table = sp_h2_region_bytes(c->h2, SP_H2_WRITE_TABLE);
    sp_h2_give(c->h2, SP_H2_WRITE_TABLE, calloc(1, table), table);
    c->out_len = (size_t)sp_h2_encode_preface(c->h2, c->out, sizeof c->out);
    flush(c);
    for (;;) {
        ssize_t n = read(fd, c->in + c->in_len, sizeof c->in - c->in_len);
        if (n <= 0)
            break;
        c->in_len += (size_t)n;
        if (!decode(c, &ev)) {
            shutdown(fd, SHUT_WR);
            while (read(fd, c->in, sizeof c->in) > 0)
                ;
            break;
        }
    }
    exit(0);
}

int main(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    signal(SIGCHLD, SIG_IGN);
    if (bind(fd, (struct sockaddr *)&addr, len) != 0 || listen(fd, 128) != 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        return 1;
    printf("port %d\n", ntohs(addr.sin_port));
    fflush(stdout);
    for (;;) {
        int peer = accept(fd, NULL, NULL);
        if (peer < 0)
            continue;
        if (fork() == 0) {
            close(fd);
            serve(peer);
        }
        close(peer);
    }
}
