/* load_conn.c - one connection of the load generator: what it sends, how answers find their requests, and
 * what is counted when it breaks.
 *
 *          due ring            sent[id & mask]
 *     ───────────────►  send ──────────────────►  answer: latency = now - due
 *      (fixed rate)    depth                       close:  each one still here has failed
 *
 * Closed loop: as many requests as `depth` are kept under way. Fixed rate: a request is due at its own time
 * whether or not earlier answers have come; it may have to wait for its connection, and that wait is part of
 * its latency. HTTP/1.1 has one request under way, so its answer is the oldest; Bolt answers name their id,
 * and an id that is not under way, or a content of another length, is an error that the tables show.
 *
 * Answers are read only as closely as counting needs: the load generator shares a core with the back-end.
 * A chunked answer ends the run by name: no server of the rig sends one, so a proxy must have made it, and
 * the figures would not be for the same work.
 */
#include "load_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BOLT_REQUEST = 22, BOLT_RESPONSE = 20 };

static size_t put_pair(char *at, const char *key, const char *value)
{
    size_t a = strlen(key), b = strlen(value);
    sp_rig_put32(at, (uint32_t)a);
    memcpy(at + 4, key, a);
    sp_rig_put32(at + 4 + a, (uint32_t)b);
    memcpy(at + 8 + a, value, b);
    return 8 + a + b;
}

static size_t make_bolt(char *out, size_t content)
{
    static const char class_name[] = "com.alipay.sofa.rpc.core.request.SofaRequest";
    static const char service[] = "com.example.EchoService:1.0";
    enum { TIMEOUT_MS = 30000 };
    char *p = out + BOLT_REQUEST;
    memcpy(p, class_name, sizeof class_name - 1);
    p += sizeof class_name - 1;
    char *header = p;
    p += put_pair(p, "service", service);
    p += put_pair(p, "sofa_head_target_service", service);
    p += put_pair(p, "sofa_head_method_name", "echo");
    size_t header_bytes = (size_t)(p - header);
    memset(p, 'b', content);
    p += content;

    out[0] = 1;               /* protocol: v1 */
    out[1] = 1;               /* a request */
    sp_rig_put16(out + 2, 1); /* command: request */
    out[4] = 1;               /* command version; the id follows, patched into each copy */
    out[9] = 1;               /* codec: hessian2, which nobody here reads */
    sp_rig_put32(out + 10, TIMEOUT_MS);
    sp_rig_put16(out + 14, sizeof class_name - 1);
    sp_rig_put16(out + 16, (uint16_t)header_bytes);
    sp_rig_put32(out + 18, (uint32_t)content);
    return (size_t)(p - out);
}

void sp_load_make_request(struct load *l)
{
    l->request = sp_rig_alloc(LOAD_REQUEST);
    switch (l->set.protocol) {
    case SP_LOAD_HTTP:
        l->request_len = (size_t)snprintf(
            l->request, LOAD_REQUEST,
            "GET %s HTTP/1.1\r\nHost: svc.mesh.local\r\nUser-Agent: rig\r\nAccept: */*\r\n\r\n", l->set.path);
        break;
    case SP_LOAD_BOLT: l->request_len = make_bolt(l->request, l->set.size); break;
    case SP_LOAD_TCP: break; /* the source speaks by itself */
    }
}

void sp_load_conn_init(struct load *l, struct load_conn *c, int index)
{
    uint32_t slots = 2;
    while (slots < (uint32_t)l->set.depth * 4)
        slots *= 2;
    c->fd = -1;
    c->next_id = 1 + (uint32_t)index * 7; /* differs between connections: a mixed-up answer shows */
    c->sent = sp_rig_alloc(slots * sizeof *c->sent);
    c->sent_mask = slots - 1;
    if (l->set.protocol != SP_LOAD_TCP)
        c->in = sp_rig_alloc(LOAD_INPUT);
    if (l->set.rate > 0)
        c->due = sp_rig_alloc(LOAD_DUE * sizeof *c->due);
}

void sp_load_conn_dial(struct load *l, struct load_conn *c)
{
    c->up = c->in_body = c->last_answer = false;
    c->in_len = c->body_left = c->out_off = c->out_len = 0;
    c->armed = 0;
    c->fd = sp_rig_dial(&l->set.target);
    if (c->fd < 0)
        sp_rig_die("dial");
    sp_load_counts(l)->connects++;
    sp_rig_arm(l->epoll, c->fd, &c->armed, EPOLLIN | EPOLLOUT, c);
}

static void send_one(struct load *l, struct load_conn *c, uint64_t due_ns)
{
    if (c->out_off == c->out_len)
        c->out_off = c->out_len = 0;
    if (c->out_len + l->request_len > c->out_cap) {
        c->out_cap = (c->out_len + l->request_len) * 2;
        c->out = sp_rig_grow(c->out, c->out_cap);
    }
    uint32_t id = c->next_id++;
    memcpy(c->out + c->out_len, l->request, l->request_len);
    if (l->set.protocol == SP_LOAD_BOLT)
        sp_rig_put32(c->out + c->out_len + 5, id);
    c->out_len += l->request_len;
    c->sent[id & c->sent_mask] = (struct load_slot){ .id = id, .due_ns = due_ns };
    c->under_way++;
}

/* Queue what may go now: all that is due, or in the closed loop as much as the depth allows. */
static void refill(struct load *l, struct load_conn *c, uint64_t now_ns)
{
    if (!c->up || l->set.protocol == SP_LOAD_TCP)
        return;
    if (l->opening) {
        if (c->answers == 0 && c->under_way == 0)
            send_one(l, c, now_ns);
    } else if (l->set.rate > 0) {
        while (c->due_head != c->due_tail && c->under_way < (uint32_t)l->set.depth)
            send_one(l, c, c->due[c->due_head++ % LOAD_DUE]);
    } else if (!l->stopping) {
        while (c->under_way < (uint32_t)l->set.depth)
            send_one(l, c, now_ns);
    }
}

static bool flush(struct load *l, struct load_conn *c)
{
    while (c->out_off < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n < 0) {
            sp_rig_arm(l->epoll, c->fd, &c->armed, EPOLLIN | EPOLLOUT, c);
            return true;
        }
        c->out_off += (size_t)n;
    }
    c->out_off = c->out_len = 0;
    sp_rig_arm(l->epoll, c->fd, &c->armed, EPOLLIN, c);
    return true;
}

static void answered(struct load *l, struct load_conn *c, uint32_t id, bool good, uint64_t now_ns)
{
    struct load_slot *s = &c->sent[id & c->sent_mask];
    if (s->due_ns == 0 || s->id != id) {
        sp_load_counts(l)->id_errors++;
        return;
    }
    uint64_t due_ns = s->due_ns;
    s->due_ns = 0;
    c->under_way--;
    c->answers++;
    l->answers++;
    uint64_t counted_ns = l->set.rate > 0 ? due_ns : now_ns; /* the moment that must lie in the window */
    if (!l->measuring || counted_ns < l->from_ns || counted_ns >= l->to_ns)
        return;
    struct load_window *w = sp_load_window(l, counted_ns);
    if (!good) {
        w->counts.bad_status++;
        return;
    }
    w->counts.ok++;
    sp_load_histogram_add(&w->latency, now_ns > due_ns ? now_ns - due_ns : 0);
}

/* After a loss: a held connection stays lost; a settled one is dialled when its next request is due, as the
 * pool of a client does; all others at once. */
static void dial_again(struct load *l, struct load_conn *c)
{
    bool idle = c->due_head == c->due_tail;
    if (l->set.hold || l->stopping || (l->set.settle && idle))
        return;
    sp_load_conn_dial(l, c);
}

/* The connection is gone: count what went with it and dial again. */
static void lost(struct load *l, struct load_conn *c, bool reset)
{
    bool was_up = c->up;
    if (!was_up) {
        sp_load_counts(l)->connect_errors++;
    } else if (!l->stopping) {
        sp_load_counts(l)->resets += reset;
        sp_load_counts(l)->closes++;
        sp_load_counts(l)->closes_busy += c->under_way > 0;
        sp_load_counts(l)->failed += c->under_way;
    }
    memset(c->sent, 0, (c->sent_mask + 1) * sizeof *c->sent);
    c->under_way = 0;
    c->up = false;
    close(c->fd);
    c->fd = -1;
    if (!was_up && !l->set.hold && !l->stopping) {
        struct timespec pause = { .tv_nsec = 1000000 }; /* nobody listens: do not spin */
        nanosleep(&pause, NULL);
    }
    dial_again(l, c);
}

/* Read the head of an answer up to its empty line. */
static void http_head(struct load *l, struct load_conn *c, const char *p, const char *end)
{
    c->status = end - p > 12 ? (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0') : 0;
    c->body_left = 0;
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end + 2 - p));
        if (!nl)
            return;
        if (strncasecmp(p, "content-length:", 15) == 0) {
            c->body_left = strtoul(p + 15, NULL, 10);
        } else if (strncasecmp(p, "connection: close", 17) == 0) {
            sp_load_counts(l)->close_headers++;
            c->last_answer = true;
        } else if (strncasecmp(p, "transfer-encoding:", 18) == 0) {
            fprintf(stderr, "load: the answer has a transfer-encoding, which no server of the rig sends\n");
            exit(3);
        }
        p = nl + 1;
    }
}

/* Take all whole answers; false when the connection makes no sense any more. */
static bool take_http(struct load *l, struct load_conn *c, uint64_t now_ns)
{
    const char *p = c->in;
    size_t left = c->in_len;
    while (left) {
        if (!c->in_body) {
            const char *end = memmem(p, left, "\r\n\r\n", 4);
            if (!end)
                break;
            http_head(l, c, p, end);
            left -= (size_t)(end + 4 - p);
            p = end + 4;
            c->in_body = true;
        }
        size_t k = left < c->body_left ? left : c->body_left;
        c->body_left -= k;
        p += k;
        left -= k;
        if (c->body_left)
            break;
        c->in_body = false;
        answered(l, c, c->next_id - c->under_way, c->status == 200, now_ns);
        if (c->last_answer)
            return true;
    }
    if (left)
        memmove(c->in, p, left);
    c->in_len = left;
    return left < LOAD_INPUT;
}

static bool take_bolt(struct load *l, struct load_conn *c, uint64_t now_ns)
{
    const char *p = c->in;
    size_t left = c->in_len;
    while (left >= BOLT_RESPONSE) {
        if (p[0] != 1 || p[1] != 0) {
            sp_load_counts(l)->id_errors++;
            return false;
        }
        size_t content = sp_rig_be32(p + 16);
        size_t frame = BOLT_RESPONSE + sp_rig_be16(p + 12) + sp_rig_be16(p + 14) + content;
        if (frame > LOAD_INPUT)
            return false;
        if (left < frame)
            break;
        answered(l, c, sp_rig_be32(p + 5), sp_rig_be16(p + 10) == 0 && content == l->set.size, now_ns);
        p += frame;
        left -= frame;
    }
    if (left && p != c->in)
        memmove(c->in, p, left);
    c->in_len = left;
    return true;
}

/* The answer said that it is the last: that is a close, though a polite one. */
static void renew(struct load *l, struct load_conn *c)
{
    if (!l->stopping)
        sp_load_counts(l)->closes++;
    memset(c->sent, 0, (c->sent_mask + 1) * sizeof *c->sent);
    c->under_way = 0;
    c->up = false;
    close(c->fd);
    c->fd = -1;
    dial_again(l, c);
}

/* One read, and the answers in it. False when the connection was lost or renewed. */
static bool on_readable(struct load *l, struct load_conn *c)
{
    bool tcp = l->set.protocol == SP_LOAD_TCP;
    ssize_t n = tcp ? recv(c->fd, l->drain, LOAD_DRAIN, 0)
                    : recv(c->fd, c->in + c->in_len, LOAD_INPUT - c->in_len, 0);
    if (n < 0 && errno == EAGAIN)
        return true;
    if (n <= 0) {
        lost(l, c, n < 0);
        return false;
    }
    if (tcp) {
        sp_load_counts(l)->bytes += l->measuring ? (uint64_t)n : 0;
        return true;
    }
    c->in_len += (size_t)n;
    uint64_t now_ns = sp_load_now();
    bool sane = l->set.protocol == SP_LOAD_HTTP ? take_http(l, c, now_ns) : take_bolt(l, c, now_ns);
    if (!sane)
        lost(l, c, false);
    else if (c->last_answer)
        renew(l, c);
    else
        return true;
    return false;
}

static bool on_connected(struct load *l, struct load_conn *c)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) || error) {
        lost(l, c, false);
        return false;
    }
    c->up = true;
    sp_rig_arm(l->epoll, c->fd, &c->armed, EPOLLIN, c);
    return true;
}

void sp_load_conn_event(struct load *l, struct load_conn *c, uint32_t events)
{
    if (c->fd < 0)
        return;
    if (!c->up && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) && !on_connected(l, c))
        return;
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) && !on_readable(l, c))
        return;
    refill(l, c, sp_load_now());
    if (c->up && !flush(l, c))
        lost(l, c, true);
}

void sp_load_conn_due(struct load *l, struct load_conn *c, uint64_t due_ns, uint64_t now_ns)
{
    if (c->due_tail - c->due_head >= LOAD_DUE) {
        sp_load_counts(l)->overflow++;
        return;
    }
    c->due[c->due_tail++ % LOAD_DUE] = due_ns;
    if (c->fd < 0)
        sp_load_conn_dial(l, c);
    refill(l, c, now_ns);
    if (c->up && c->out_len && !flush(l, c))
        lost(l, c, true);
}

uint64_t sp_load_conn_open(const struct load_conn *c)
{
    return c->under_way + (c->due_tail - c->due_head);
}

static void charge(struct load *l, uint64_t due_ns, uint64_t now_ns)
{
    if (due_ns < l->from_ns || due_ns >= l->to_ns)
        return;
    struct load_window *w = sp_load_window(l, due_ns);
    w->counts.unanswered++;
    if (now_ns - due_ns > w->latency.max_ns)
        w->latency.max_ns = now_ns - due_ns;
}

void sp_load_conn_charge(struct load *l, const struct load_conn *c, uint64_t now_ns)
{
    for (uint32_t i = 0; i <= c->sent_mask; i++)
        if (c->sent[i].due_ns)
            charge(l, c->sent[i].due_ns, now_ns);
    for (uint32_t i = c->due_head; i != c->due_tail; i++)
        charge(l, c->due[i % LOAD_DUE], now_ns);
}
