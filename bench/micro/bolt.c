/* bolt.c - what a Bolt call costs in the codec: a frame of 1 KiB with the 12 header pairs that SOFARPC sends,
 * its answer of 1 KiB with none, read, patched with another id, and once written anew.
 *
 * The baseline is a copy of 1 KiB: what a relay that understands nothing does with each direction, were its
 * sockets free. `bolt/call` is both directions of one call as the proxy forwards it: two decodes, two
 * patches, no copy. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include "wire/bolt/bolt.h"

enum { FRAME = 1024, FRAMES = 16 };

struct calls {
    const struct sp_codec *codec;
    struct sp_codec_state state;
    struct sp_codec_limits limits;
    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head head;
    struct sp_event event;
    char requests[FRAMES][FRAME], answers[FRAMES][FRAME];
    char out[FRAME];
};

#define PAIR(name, value)                                                                                    \
    {                                                                                                        \
        name, value, sizeof value - 1, sizeof name - 1, 0, 0                                                 \
    }

static struct sp_header pairs[] = {
    PAIR("sofa_head_target_service", "com.acme.EchoService:1.0"),
    PAIR("app", "order-app"),
    PAIR("rpc_trace_context.sofaRpcId", "0.1.2"),
    PAIR("protocol", "bolt"),
    PAIR("rpc_trace_context.samp", "true"),
    PAIR("rpc_trace_context.sofaTraceId", "c00002021795392752387100128095"),
    PAIR("service", "com.acme.EchoService:1.0"),
    PAIR("rpc_trace_context.sysPenAttrs", ""),
    PAIR("rpc_trace_context.sofaPenAttrs", ""),
    PAIR("sofa_head_method_name", "echo"),
    PAIR("type", "sync"),
    PAIR("sofa_head_generic_type", "0"),
};

/* Fill `frame` to its last byte, with a true CRC where there is one. */
static void fill(const struct sp_codec *codec, struct sp_head *head, char *frame)
{
    uint32_t crc_len = sp_bolt_crc_bytes(head);
    head->body_bytes = crc_len;
    size_t len = (size_t)codec->encode_head(head, frame, FRAME);
    head->body_bytes = (int64_t)(FRAME - len);
    len = (size_t)codec->encode_head(head, frame, FRAME);
    memset(frame + len, 'x', FRAME - len);
    uint32_t crc = sp_bolt_crc(0, sp_str_of(frame, FRAME - crc_len));
    for (uint32_t i = 0; i < crc_len; i++)
        frame[FRAME - 1 - i] = (char)(crc >> 8 * i);
}

static void *make(const struct sp_codec *codec)
{
    struct calls *c = sp_bench_alloc(sizeof *c);
    bool crc = codec == &sp_bolt2_codec;
    c->codec = codec;
    c->limits.whole_bytes = 64 * 1024;
    c->head.headers = c->headers;
    c->head.header_cap = SP_HEADERS_MAX;
    c->event.head = &c->head;
    codec->init(&c->state, SP_ROLE_SERVER, &c->limits);
    struct sp_head head = {
        .protocol = (uint8_t)codec->protocol, .codec_id = 1, .proto_ver = 2, .timeout_ms = 3000
    };
    head.flags = crc ? SP_HEAD_CRC : 0;
    for (uint32_t i = 0; i < FRAMES; i++) {
        head.id = i + 1;
        head.kind = SP_MSG_REQUEST;
        head.class_name = SP_STR("com.alipay.sofa.rpc.core.request.SofaRequest");
        head.headers = pairs;
        head.header_count = sizeof pairs / sizeof *pairs;
        fill(codec, &head, c->requests[i]);
        head.kind = SP_MSG_RESPONSE;
        head.class_name = SP_STR("com.alipay.sofa.rpc.core.response.SofaResponse");
        head.header_count = 0;
        fill(codec, &head, c->answers[i]);
    }
    return c;
}

static void *make_v1(void)
{
    return make(&sp_bolt_codec);
}

static void *make_crc(void)
{
    return make(&sp_bolt2_codec);
}

static void read_frame(struct calls *c, const char *frame)
{
    sp_bench_keep_number((uint64_t)c->codec->decode(&c->state, sp_str_of(frame, FRAME), &c->event));
}

static void send_frame(struct calls *c, uint32_t id, int32_t timeout_ms)
{
    uint32_t delta = c->codec->patch(&c->head, id, timeout_ms);
    if (delta)
        c->codec->fix((char *)(uintptr_t)c->event.body.ptr, c->event.body.len, 0, delta);
    sp_bench_keep_number(delta);
}

static void run_decode(void *state, uint64_t rounds)
{
    struct calls *c = state;
    for (uint64_t i = 0; i < rounds; i++)
        read_frame(c, c->requests[i % FRAMES]);
}

static void run_call(void *state, uint64_t rounds)
{
    struct calls *c = state;
    for (uint64_t i = 0; i < rounds; i++) {
        read_frame(c, c->requests[i % FRAMES]);
        send_frame(c, (uint32_t)i, (int32_t)(2900 + i % 100));
        read_frame(c, c->answers[i % FRAMES]);
        send_frame(c, (uint32_t)i, 0);
    }
}

static void run_anew(void *state, uint64_t rounds)
{
    struct calls *c = state;
    for (uint64_t i = 0; i < rounds; i++) {
        read_frame(c, c->requests[i % FRAMES]);
        ssize_t len = c->codec->encode_head(&c->head, c->out, sizeof c->out);
        sp_bench_keep_number(c->codec->delta(&c->head, sp_str_of(c->out, (size_t)len)));
    }
}

const struct sp_bench sp_bench_bolt[] = {
    { .name = "bolt/decode",
      .baseline = "floor/copy_1k",
      .bytes = FRAME,
      .make = make_v1,
      .run = run_decode,
      .drop = free },
    { .name = "bolt/call",
      .baseline = "floor/copy_1k",
      .bytes = 2 * FRAME,
      .make = make_v1,
      .run = run_call,
      .drop = free },
    { .name = "bolt/call_crc",
      .baseline = "floor/copy_1k",
      .bytes = 2 * FRAME,
      .make = make_crc,
      .run = run_call,
      .drop = free },
    { .name = "bolt/anew",
      .baseline = "floor/copy_1k",
      .bytes = FRAME,
      .make = make_v1,
      .run = run_anew,
      .drop = free },
    { .name = "bolt/anew_crc",
      .baseline = "floor/copy_1k",
      .bytes = FRAME,
      .make = make_crc,
      .run = run_anew,
      .drop = free },
    { 0 },
};
