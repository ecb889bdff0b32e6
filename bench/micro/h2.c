/* h2.c - what a call costs in the codec of HTTP/2, beside nghttp2: a client writes the head of a POST with
 * nine headers, as a gRPC client behind a sidecar does, and a body of 32 bytes; a server reads it and answers
 * with a head, 32 bytes and trailers; the client reads that. Both ends are warm: what comes again is in the
 * tables.
 *
 * Work of both ends is in one round, so a hop of a proxy (it reads and writes each half once) costs as much.
 * The baseline is nghttp2 doing the same, with its own copy of each body. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "wire/h2/h2.h"

static const char *const names[] = { "content-type", "user-agent",      "te",
                                     "grpc-timeout", "x-app",           "x-request-id",
                                     "traceparent",  "accept-encoding", "x-tenant" };
static const char *const values[] = { "application/grpc",
                                      "grpc-go/1.60.0",
                                      "trailers",
                                      "1S",
                                      "orders",
                                      "8e5bb8c1-7d1d-4c3e-9a55-0d3c3c9c2f4b",
                                      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                      "gzip",
                                      "blue" };
enum { HEADERS = sizeof names / sizeof *names, BODY = 32, ANSWER_HEADERS = 1 };

static const char body[BODY + 1] = "\0\0\0\0\x1b"
                                   "a message of 27 bytes, ok..";

/* ---- ours ---- */

struct end {
    struct sp_h2 *h2;
    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head head;
    struct sp_h2_event ev;
};

struct calls {
    struct sp_h2_limits limits;
    struct end client, server;
    struct sp_header asked[HEADERS], told[ANSWER_HEADERS], sums[1];
    struct sp_head ask, tell, trailers;
    char out[4096];
};

static struct sp_header header(const char *name, const char *value)
{
    return (struct sp_header){ name,
                               value,
                               (uint32_t)strlen(value),
                               (uint16_t)strlen(name),
                               (uint8_t)sp_hdr_of(sp_str_c(name), true),
                               0 };
}

static void give(struct end *e, enum sp_h2_region region, uint32_t bytes)
{
    free(sp_h2_give(e->h2, region, sp_bench_alloc(bytes), bytes));
}

static void begin(struct end *e, enum sp_role role, const struct sp_h2_limits *limits)
{
    e->h2 = sp_h2_init(sp_bench_alloc(sp_h2_bytes()), role, limits);
    e->head.headers = e->headers;
    e->head.header_cap = SP_HEADERS_MAX;
    e->ev.base.head = &e->head;
    e->ev.scratch_bytes = sp_h2_scratch_bytes(limits);
    e->ev.scratch = sp_bench_alloc(e->ev.scratch_bytes);
    for (enum sp_h2_region r = SP_H2_STREAMS; r < SP_H2_REGIONS; r++)
        give(e, r, sp_h2_region_bytes(e->h2, r));
}

/* What one end says; the other end's updates of its windows go back at once. */
static void carry_bytes(struct end *to, struct end *from, const char *bytes, size_t len)
{
    char credit[64];
    sp_str in = sp_str_of(bytes, len);
    while (in.len) {
        ssize_t used = sp_h2_decode(to->h2, in, &to->ev);
        if (used <= 0)
            abort();
        sp_bench_keep(&to->ev);
        uint32_t body_len = (uint32_t)to->ev.base.body.len;
        ssize_t said = body_len ? sp_h2_took(to->h2, to->ev.id, body_len, credit, sizeof credit) : 0;
        if (said > 0)
            carry_bytes(from, to, credit, (size_t)said);
        in = sp_str_from(in, (size_t)used);
    }
}

static void *make(void)
{
    struct calls *c = sp_bench_alloc(sizeof *c);
    begin(&c->client, SP_ROLE_CLIENT, &c->limits);
    begin(&c->server, SP_ROLE_SERVER, &c->limits);
    for (int i = 0; i < HEADERS; i++)
        c->asked[i] = header(names[i], values[i]);
    c->told[0] = header("content-type", "application/grpc");
    c->sums[0] = header("grpc-status", "0");
    c->ask = (struct sp_head){ .kind = SP_MSG_REQUEST,
                               .protocol = SP_PROTO_HTTP1,
                               .method = SP_STR("POST"),
                               .path = SP_STR("/acme.Orders/Get"),
                               .service = SP_STR("orders.default:8080"),
                               .body_bytes = -1,
                               .headers = c->asked,
                               .header_count = HEADERS };
    c->tell = (struct sp_head){ .kind = SP_MSG_RESPONSE,
                                .status = 200,
                                .body_bytes = -1,
                                .headers = c->told,
                                .header_count = ANSWER_HEADERS };
    c->trailers = (struct sp_head){ .headers = c->sums, .header_count = 1 };
    ssize_t n = sp_h2_encode_preface(c->client.h2, c->out, sizeof c->out);
    carry_bytes(&c->server, &c->client, c->out, (size_t)n);
    n = sp_h2_encode_preface(c->server.h2, c->out, sizeof c->out);
    carry_bytes(&c->client, &c->server, c->out, (size_t)n);
    return c;
}

static size_t put_body(struct end *e, uint32_t id, bool end, char *out, size_t room)
{
    ssize_t n = sp_h2_encode_data(e->h2, id, BODY, end, out, room);
    if (n < 0)
        abort();
    memcpy(out + n, body, BODY);
    return (size_t)n + BODY;
}

static void call(struct calls *c)
{
    uint32_t id;
    ssize_t n = sp_h2_encode_request(c->client.h2, &c->ask, false, &id, c->out, 1024);
    if (n < 0)
        abort();
    size_t len = (size_t)n + put_body(&c->client, id, true, c->out + n, 1024);
    carry_bytes(&c->server, &c->client, c->out, len);
    n = sp_h2_encode_answer(c->server.h2, id, &c->tell, false, c->out, 1024);
    len = (size_t)n + put_body(&c->server, id, false, c->out + n, 1024);
    n = sp_h2_encode_end(c->server.h2, id, &c->trailers, c->out + len, 1024);
    carry_bytes(&c->client, &c->server, c->out, len + (size_t)n);
    if (sp_h2_streams(c->client.h2))
        abort();
}

static void drop(void *state)
{
    struct calls *c = state;
    struct end *const ends[] = { &c->client, &c->server };
    for (size_t i = 0; i < 2; i++) {
        for (enum sp_h2_region r = SP_H2_STREAMS; r < SP_H2_REGIONS; r++)
            free(sp_h2_give(ends[i]->h2, r, NULL, 0));
        free(ends[i]->h2);
        free(ends[i]->ev.scratch);
    }
    free(c);
}

static void run_call(void *state, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++)
        call(state);
}

/* ---- nghttp2 ---- */

struct theirs {
    nghttp2_session *client, *server;
    nghttp2_nv asked[4 + HEADERS], told[2], sums[1];
};

static nghttp2_nv field(const char *name, const char *value, uint8_t flags)
{
    return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
                         flags };
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    struct theirs *t = user;
    memcpy(buf, body, BODY);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (session == t->server) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        nghttp2_submit_trailer(session, id, t->sums, 1);
    }
    return BODY;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    sp_bench_keep(name);
    sp_bench_keep(value);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t len,
                   void *user)
{
    sp_bench_keep(p);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct theirs *t = user;
    if (session == t->server && frame->hd.stream_id && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        nghttp2_data_provider provider = { .read_callback = read_body };
        nghttp2_submit_response(session, frame->hd.stream_id, t->told, 2, &provider);
    }
    return 0;
}

static void carry(nghttp2_session *from, nghttp2_session *to)
{
    const uint8_t *out;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(from, &out)) > 0)
        if (nghttp2_session_mem_recv(to, out, (size_t)n) != n)
            abort();
}

static void *make_theirs(void)
{
    struct theirs *t = sp_bench_alloc(sizeof *t);
    nghttp2_session_callbacks *callbacks;
    t->asked[0] = field(":method", "POST", 0);
    t->asked[1] = field(":scheme", "http", 0);
    t->asked[2] = field(":path", "/acme.Orders/Get", 0);
    t->asked[3] = field(":authority", "orders.default:8080", 0);
    for (int i = 0; i < HEADERS; i++)
        t->asked[4 + i] = field(names[i], values[i], 0);
    t->told[0] = field(":status", "200", 0);
    t->told[1] = field("content-type", "application/grpc", 0);
    t->sums[0] = field("grpc-status", "0", 0);
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_option *option;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_session_client_new2(&t->client, callbacks, t, option);
    nghttp2_session_server_new2(&t->server, callbacks, t, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(t->client, 0, NULL, 0);
    nghttp2_submit_settings(t->server, 0, NULL, 0);
    carry(t->client, t->server);
    carry(t->server, t->client);
    carry(t->client, t->server);
    return t;
}

static void run_theirs(void *state, uint64_t rounds)
{
    struct theirs *t = state;
    for (uint64_t i = 0; i < rounds; i++) {
        nghttp2_data_provider provider = { .read_callback = read_body };
        if (nghttp2_submit_request(t->client, NULL, t->asked, 4 + HEADERS, &provider, NULL) < 0)
            abort();
        carry(t->client, t->server);
        carry(t->server, t->client);
    }
}

static void drop_theirs(void *state)
{
    struct theirs *t = state;
    nghttp2_session_del(t->client);
    nghttp2_session_del(t->server);
    free(t);
}

const struct sp_bench sp_bench_h2[] = {
    { .name = "h2/nghttp2", .make = make_theirs, .run = run_theirs, .drop = drop_theirs },
    { .name = "h2/call", .baseline = "h2/nghttp2", .make = make, .run = run_call, .drop = drop },
    { 0 },
};
