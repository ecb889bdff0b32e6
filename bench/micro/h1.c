/* h1.c - what an HTTP/1.1 call costs in the codec: a GET of 128 bytes as a load generator sends it, one of
 * 540 bytes as a browser or a Feign client behind a tracer does, their answers, and a chunked answer.
 *
 * The baseline is memchr over the same bytes for the ends of lines: the least that a reader must do to know
 * where a head ends. `h1/call` is what the proxy does for one call: two heads read, two written anew. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include "wire/h1/h1.h"

static const char get_small[] = "GET /index.html?id=1 HTTP/1.1\r\n"
                                "Host: reviews.default:9080\r\n"
                                "User-Agent: wrk/4.2.0\r\n"
                                "Accept: */*\r\n"
                                "X-Request-Id: 0123456789abcdef\r\n"
                                "\r\n";

static const char get_large[] =
    "GET /api/v1/orders/20240131/items?page=2&size=50 HTTP/1.1\r\n"
    "Host: order-service.default.svc.cluster.local:8080\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n"
    "Accept: application/json, application/*+json, */*;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
    "x-forwarded-for: 10.0.0.1\r\n"
    "x-request-id: 8e5bb8c1-7d1d-4c3e-9a55-0d3c3c9c2f4b\r\n"
    "Connection: keep-alive\r\n"
    "\r\n";

static const char answer[] = "HTTP/1.1 200 OK\r\n"
                             "Server: backend\r\n"
                             "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
                             "Content-Type: text/plain\r\n"
                             "Content-Length: 16\r\n"
                             "\r\n"
                             "0123456789abcdef";

static const char answer_chunked[] = "HTTP/1.1 200 OK\r\n"
                                     "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
                                     "Content-Type: application/json\r\n"
                                     "Transfer-Encoding: chunked\r\n"
                                     "\r\n"
                                     "10\r\n0123456789abcdef\r\n0\r\n\r\n";

struct calls {
    struct sp_codec_state server, client;
    struct sp_codec_limits limits;
    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head head, request;
    struct sp_event event;
    char out[1024];
};

static void *make(void)
{
    struct calls *c = sp_bench_alloc(sizeof *c);
    c->head.headers = c->headers;
    c->head.header_cap = SP_HEADERS_MAX;
    c->event.head = &c->head;
    c->request.method = SP_STR("GET");
    sp_h1_codec.init(&c->server, SP_ROLE_SERVER, &c->limits);
    sp_h1_codec.init(&c->client, SP_ROLE_CLIENT, &c->limits);
    return c;
}

static void *make_decoded(const char *text, size_t len)
{
    struct calls *c = make();
    sp_h1_codec.decode(&c->server, sp_str_of(text, len), &c->event);
    return c;
}

static void *make_small(void)
{
    return make_decoded(get_small, sizeof get_small - 1);
}

static void *make_large(void)
{
    return make_decoded(get_large, sizeof get_large - 1);
}

static void read_all(struct calls *c, struct sp_codec_state *state, const char *text, size_t len)
{
    sp_str in = sp_str_of(text, len);
    while (in.len) {
        ssize_t used = sp_h1_codec.decode(state, in, &c->event);
        if (used <= 0)
            abort();
        sp_bench_keep(&c->event);
        in = sp_str_from(in, (size_t)used);
    }
}

static void write_head(struct calls *c)
{
    sp_bench_keep_number((uint64_t)sp_h1_codec.encode_head(&c->head, c->out, sizeof c->out));
    sp_bench_keep(c->out);
}

static void run_floor_small(void *state, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        const char *at = get_small, *end = get_small + sizeof get_small - 1;
        sp_bench_keep(at);
        while (at < end)
            at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
        sp_bench_keep(at);
    }
}

static void run_decode_small(void *state, uint64_t rounds)
{
    struct calls *c = state;
    for (uint64_t i = 0; i < rounds; i++)
        read_all(c, &c->server, get_small, sizeof get_small - 1);
}

static void run_decode_large(void *state, uint64_t rounds)
{
    struct calls *c = state;
    for (uint64_t i = 0; i < rounds; i++)
        read_all(c, &c->server, get_large, sizeof get_large - 1);
}

static void run_decode_answer(void *state, uint64_t rounds)
{
    struct calls *c = state;
    for (uint64_t i = 0; i < rounds; i++) {
        sp_h1_codec.asked(&c->client, &c->request);
        read_all(c, &c->client, answer, sizeof answer - 1);
    }
}

static void run_decode_chunked(void *state, uint64_t rounds)
{
    struct calls *c = state;
    for (uint64_t i = 0; i < rounds; i++) {
        sp_h1_codec.asked(&c->client, &c->request);
        read_all(c, &c->client, answer_chunked, sizeof answer_chunked - 1);
    }
}

static void run_encode(void *state, uint64_t rounds)
{
    struct calls *c = state;
    for (uint64_t i = 0; i < rounds; i++)
        write_head(c);
}

static void run_call(void *state, uint64_t rounds)
{
    struct calls *c = state;
    for (uint64_t i = 0; i < rounds; i++) {
        read_all(c, &c->server, get_small, sizeof get_small - 1);
        write_head(c);
        sp_h1_codec.asked(&c->client, &c->head);
        read_all(c, &c->client, answer, sizeof answer - 1);
        write_head(c);
    }
}

const struct sp_bench sp_bench_h1[] = {
    { .name = "h1/floor", .bytes = sizeof get_small - 1, .run = run_floor_small },
    { .name = "h1/decode",
      .baseline = "h1/floor",
      .bytes = sizeof get_small - 1,
      .make = make,
      .run = run_decode_small,
      .drop = free },
    { .name = "h1/decode_large",
      .baseline = "h1/floor",
      .bytes = sizeof get_large - 1,
      .make = make,
      .run = run_decode_large,
      .drop = free },
    { .name = "h1/decode_answer",
      .baseline = "h1/floor",
      .bytes = sizeof answer - 1,
      .make = make,
      .run = run_decode_answer,
      .drop = free },
    { .name = "h1/decode_chunked",
      .baseline = "h1/floor",
      .bytes = sizeof answer_chunked - 1,
      .make = make,
      .run = run_decode_chunked,
      .drop = free },
    { .name = "h1/encode",
      .baseline = "h1/floor",
      .bytes = sizeof get_small - 1,
      .make = make_small,
      .run = run_encode,
      .drop = free },
    { .name = "h1/encode_large",
      .baseline = "h1/floor",
      .bytes = sizeof get_large - 1,
      .make = make_large,
      .run = run_encode,
      .drop = free },
    { .name = "h1/call",
      .baseline = "h1/floor",
      .bytes = sizeof get_small + sizeof answer - 2,
      .make = make,
      .run = run_call,
      .drop = free },
    { 0 },
};
