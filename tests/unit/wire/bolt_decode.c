/* bolt_decode: frames of real programs, cut everywhere; frames of nobody, refused by name. */
#include "bolt_help.h"

#define V1 "bolt/v1.hex"
#define V2 "bolt/v2.hex"

static const struct {
    const char *file, *name;
} golden_frames[] = {
    { V1, "request" },     { V1, "response" },      { V1, "request-2" },      { V1, "response-error" },
    { V1, "heartbeat" },   { V1, "heartbeat-ack" }, { V2, "request-ver1" },   { V2, "response-ver1" },
    { V2, "request-crc" }, { V2, "response-crc" },  { V2, "request-plain" },  { V2, "response-plain" },
    { V2, "oneway-crc" },  { V2, "request-fails" }, { V2, "response-fails" },
};

static void whole(struct rig *rig, struct golden *g, const char *file, const char *name)
{
    golden_load(g, file, name);
    rig_init(rig, codec_of(g->bytes));
    assert_int_equal(rig_decode(rig, g->bytes, g->len), g->len);
    assert_int_equal(rig->ev.kind, SP_EVENT_HEAD);
    assert_true(rig->ev.end);
    assert_true(rig->codec->is_idle(&rig->state));
    assert_int_equal(rig->head.raw.len + rig->ev.body.len, g->len);
    assert_int_equal(rig->head.body_bytes, rig->ev.body.len);
    assert_ptr_equal(rig->head.raw.ptr, g->bytes);
    assert_ptr_equal(rig->ev.body.ptr, g->bytes + rig->head.raw.len);
}

static void request_of_sofarpc_fills_every_slot(void **unused)
{
    struct rig rig;
    struct golden g;
    whole(&rig, &g, V1, "request");
    const struct sp_head *h = &rig.head;
    assert_int_equal(h->kind, SP_MSG_REQUEST);
    assert_int_equal(h->protocol, SP_PROTO_BOLT);
    assert_int_equal(h->id, 1);
    assert_int_equal(h->codec_id, 1);
    assert_int_equal(h->timeout_ms, 3000);
    assert_int_equal(h->flags, 0);
    assert_int_equal(h->header_count, 11);
    assert_int_equal(h->raw.len, 22 + 44 + 373);
    assert_int_equal(h->body_bytes, 334);
    check_text(h->class_name, "com.alipay.sofa.rpc.core.request.SofaRequest");
    check_text(h->service, "demo.Hello:1.0");
    check_text(h->method, "say");
    check_text(sp_head_value(h, SP_HDR_SOFA_TRACE_ID), "c00002021795392752387100128095");
    check_text(sp_head_value(h, SP_HDR_SOFA_RPC_ID), "0");
    check_text(sp_head_value(h, SP_HDR_SOFA_APP), "cli-app");
    check_text(sp_head_value_name(h, SP_STR("type")), "sync");
    check_text(sp_head_value_name(h, SP_STR("rpc_trace_context.sysPenAttrs")), "");
}

static void responses_say_success_and_business_error(void **unused)
{
    struct rig rig;
    struct golden g;
    whole(&rig, &g, V1, "response");
    assert_int_equal(rig.head.kind, SP_MSG_RESPONSE);
    assert_int_equal(rig.head.status, 200);
    assert_int_equal(rig.head.flags, 0);
    assert_int_equal(rig.head.body_bytes, 101);

    whole(&rig, &g, V1, "response-error");
    assert_int_equal(rig.head.status, 200);
    assert_int_equal(rig.head.raw_status, SP_BOLT_SUCCESS);
    assert_int_equal(rig.head.flags, SP_HEAD_APP_ERROR);

    whole(&rig, &g, V2, "response-fails");
    assert_int_equal(rig.head.status, 500);
    assert_int_equal(rig.head.raw_status, SP_BOLT_SERVER_EXCEPTION);
    assert_int_equal(rig.head.flags, 0);
    check_text(rig.head.class_name, "com.alipay.remoting.rpc.exception.RpcServerException");
}

static void heartbeats_are_told_apart_from_calls(void **unused)
{
    struct rig rig;
    struct golden g;
    whole(&rig, &g, V1, "heartbeat");
    assert_int_equal(rig.head.kind, SP_MSG_HEARTBEAT);
    assert_int_equal(rig.head.timeout_ms, -1);
    assert_int_equal(rig.head.id, 3);
    whole(&rig, &g, V1, "heartbeat-ack");
    assert_int_equal(rig.head.kind, SP_MSG_HEARTBEAT_ACK);
    assert_int_equal(rig.head.id, 3);
}

static void version_two_has_a_crc_only_when_both_bytes_say_so(void **unused)
{
    struct rig rig;
    struct golden g;
    whole(&rig, &g, V2, "request-ver1");
    assert_int_equal(rig.head.protocol, SP_PROTO_BOLT2);
    assert_int_equal(rig.head.proto_ver, 1);
    assert_int_equal(rig.head.flags, 0);
    whole(&rig, &g, V2, "request-crc");
    assert_int_equal(rig.head.proto_ver, 2);
    assert_int_equal(rig.head.flags, SP_HEAD_CRC);
    assert_int_equal(sp_bolt_crc_bytes(&rig.head), 4);
    assert_true(sp_bolt_crc_ok(sp_str_of(g.bytes, g.len)));
    whole(&rig, &g, V2, "request-plain");
    assert_int_equal(rig.head.flags, 0);
    whole(&rig, &g, V2, "oneway-crc");
    assert_int_equal(rig.head.kind, SP_MSG_ONEWAY);
    assert_int_equal(rig.head.timeout_ms, -1);
}

/* What came out of a stream of events: the head's figures and all body bytes. */
struct seen {
    unsigned char frame[16 * 1024];
    size_t len;
    unsigned heads, ends;
    uint32_t id, headers, flags;
};

static void see(struct seen *seen, const struct rig *rig)
{
    if (rig->ev.kind == SP_EVENT_HEAD) {
        seen->heads++;
        seen->id = rig->head.id;
        seen->headers = rig->head.header_count;
        seen->flags = rig->head.flags;
        seen->len = put_part(seen->frame, seen->len, rig->head.raw.ptr, rig->head.raw.len);
    }
    seen->len = put_part(seen->frame, seen->len, rig->ev.body.ptr, rig->ev.body.len);
    seen->ends += rig->ev.end;
}

/* Feed bytes that end at `cuts[i]`, each time in fresh memory of exactly that size, moving the state to a
 * fresh decoder between any two calls. */
static void feed(struct rig *rig, const struct golden *g, const size_t *cuts, size_t count, struct seen *seen)
{
    size_t used = 0;
    memset(seen, 0, sizeof *seen);
    for (size_t i = 0; i < count; i++) {
        for (;;) {
            size_t len = cuts[i] - used;
            unsigned char *copy = malloc(len +
                                         1); /* as long as the bytes, so that ASan sees a step too far */
            memcpy(copy, g->bytes + used, len);
            ssize_t n = rig_decode(rig, copy, len);
            if (n < 0)
                fail_msg("%s: cut at %zu: %s", g->name, cuts[i], rig->ev.why);
            if (n > 0)
                see(seen, rig);
            free(copy);
            used += (size_t)n;

            unsigned char kept[SP_CODEC_STATE_BYTES];
            bool idle = rig->codec->is_idle(&rig->state);
            rig->codec->save(&rig->state, kept);
            memset(&rig->state, 0x5a, sizeof rig->state);
            assert_int_equal(rig->codec->load(&rig->state, kept, &rig->limits), SP_OK);
            assert_int_equal(rig->codec->is_idle(&rig->state), idle);
            if (n == 0)
                break;
        }
    }
    assert_int_equal(used, g->len);
    assert_true(rig->codec->is_idle(&rig->state));
    assert_int_equal(rig->codec->finish(&rig->state, &rig->ev), 0);
}

static void every_split_of_every_golden_frame_gives_the_same_frame(void **unused)
{
    for (size_t f = 0; f < SP_COUNTOF(golden_frames); f++) {
        struct rig rig;
        struct golden g;
        static struct seen once, cut;
        whole(&rig, &g, golden_frames[f].file, golden_frames[f].name);
        memset(&once, 0, sizeof once);
        see(&once, &rig);
        for (size_t at = 0; at <= g.len; at++) {
            rig_init(&rig, codec_of(g.bytes));
            feed(&rig, &g, (size_t[]){ at, g.len }, 2, &cut);
            if (memcmp(&once, &cut, sizeof once) != 0)
                fail_msg("%s: cut at %zu gives another frame", g.name, at);
        }
    }
}

static void frames_that_come_byte_by_byte_give_the_same_frame(void **unused)
{
    static size_t cuts[16 * 1024];
    for (size_t f = 0; f < SP_COUNTOF(golden_frames); f++) {
        struct rig rig;
        struct golden g;
        static struct seen once, slow;
        whole(&rig, &g, golden_frames[f].file, golden_frames[f].name);
        memset(&once, 0, sizeof once);
        see(&once, &rig);
        for (size_t i = 0; i < g.len; i++)
            cuts[i] = i + 1;
        rig_init(&rig, codec_of(g.bytes));
        feed(&rig, &g, cuts, g.len, &slow);
        if (memcmp(&once, &slow, sizeof once) != 0)
            fail_msg("%s: byte by byte gives another frame", g.name);
    }
}

static void a_whole_small_frame_waits_to_be_one_event(void **unused)
{
    struct rig rig;
    struct golden g;
    golden_load(&g, V1, "request");
    rig_init(&rig, &sp_bolt_codec);
    rig.limits.whole_bytes = 773;
    for (size_t at = 0; at < g.len; at++)
        assert_int_equal(rig_decode(&rig, g.bytes, at), 0);
    assert_int_equal(rig_decode(&rig, g.bytes, g.len), g.len);
    assert_true(rig.ev.end);

    rig_init(&rig, &sp_bolt_codec);
    rig.limits.whole_bytes = 772;
    assert_int_equal(rig_decode(&rig, g.bytes, 500), 500);
    assert_int_equal(rig.ev.kind, SP_EVENT_HEAD);
    assert_false(rig.ev.end);
}

static void many_frames_in_one_read_come_one_by_one(void **unused)
{
    static unsigned char stream[64 * 1024];
    struct rig rig;
    struct golden g;
    size_t len = 0;
    for (unsigned i = 0; i < 40; i++) {
        golden_load(&g, V1, i % 2 ? "response" : "request");
        sp_bolt_patch_id((char *)g.bytes, i);
        len = put_part(stream, len, g.bytes, g.len);
    }
    rig_init(&rig, &sp_bolt_codec);
    size_t used = 0;
    for (unsigned i = 0; i < 40; i++) {
        ssize_t n = rig_decode(&rig, stream + used, len - used);
        assert_true(n > 0);
        assert_int_equal(rig.head.id, i);
        assert_int_equal(rig.head.kind, i % 2 ? SP_MSG_RESPONSE : SP_MSG_REQUEST);
        used += (size_t)n;
    }
    assert_int_equal(used, len);
}

static void both_roles_decode_both_directions(void **unused)
{
    struct rig rig;
    struct golden g;
    for (unsigned role = SP_ROLE_SERVER; role <= SP_ROLE_CLIENT; role++) {
        rig_init(&rig, &sp_bolt_codec);
        rig.codec->init(&rig.state, (enum sp_role)role, NULL);
        golden_load(&g, V1, "request");
        assert_int_equal(rig_decode(&rig, g.bytes, g.len), g.len);
        golden_load(&g, V1, "response");
        assert_int_equal(rig_decode(&rig, g.bytes, g.len), g.len);
    }
}

static void decoding_allocates_nothing(void **unused)
{
    struct rig rig;
    struct golden g;
    uint64_t before = sp_mem_fail_at(0);
    (void)before; /* only starts the count */
    whole(&rig, &g, V1, "request");
    whole(&rig, &g, V2, "response-crc");
    assert_int_equal(sp_mem_fail_at(0), 0);
}

/* --- refusals ----------------------------------------------------------------------------------------- */

static void refused(const unsigned char *frame, size_t len, sp_err err, unsigned status, const char *words,
                    uint32_t id)
{
    struct rig rig;
    rig_init(&rig, codec_of(frame));
    ssize_t n = rig_decode(&rig, frame, len);
    if (n != err || rig.ev.status != status || !rig.ev.why || !strstr(rig.ev.why, words))
        fail_msg("want %d %u \"%s\", have %zd %u \"%s\"", err, status, words, n, rig.ev.status,
                 rig.ev.why ? rig.ev.why : "-");
    assert_int_equal(rig.ev.kind, SP_EVENT_NONE);
    assert_int_equal(rig.head.raw.len > 0, id != 0);
    if (id)
        assert_int_equal(rig.head.id, id);
    assert_true(rig_decode(&rig, frame, len) < 0);
    assert_false(rig.codec->is_idle(&rig.state));
}

static struct parts request_parts(unsigned proto)
{
    return (
        struct parts){ .proto = proto, .ver1 = 1, .type = 1, .cmd = 1, .codec = 1, .id = 77, .wait = 3000 };
}

static void broken_fixed_parts_are_refused_by_name(void **unused)
{
    unsigned char f[256];
    for (unsigned proto = 1; proto <= 2; proto++) {
        unsigned k = proto - 1;
        struct parts p = request_parts(proto);
        size_t len = make_frame(f, &p);

        f[1 + k] = 3;
        refused(f, len, SP_E_INVALID, 400, "unknown type", 0);
        for (unsigned type = 0; type <= 2; type++) {
            for (unsigned cmd = 0; cmd < 300; cmd++) {
                bool fine = cmd == 0 || (cmd == 1 && type != 0) || (cmd == 2 && type == 0) ||
                            (cmd == 100 && type != 0);
                p.type = type;
                p.cmd = cmd;
                len = make_frame(f, &p);
                struct rig rig;
                rig_init(&rig, codec_of(f));
                if (fine)
                    assert_int_equal(rig_decode(&rig, f, len), len);
                else
                    refused(f, len, SP_E_INVALID, 400, "do not belong together", 77);
            }
        }
        p = request_parts(proto);
        len = make_frame(f, &p);
        f[4 + k] = 2;
        refused(f, len, SP_E_INVALID, 400, "command version", 77);
    }
    struct parts p = request_parts(2);
    for (unsigned ver1 = 0; ver1 < 256; ver1++) {
        if (ver1 == 1 || ver1 == 2)
            continue;
        p.ver1 = ver1;
        refused(f, make_frame(f, &p), SP_E_INVALID, 400, "unknown version of protocol 2", 77);
    }
    p = request_parts(2);
    p.switches = 128;
    refused(f, make_frame(f, &p), SP_E_INVALID, 400, "switch", 77);
}

static void the_other_version_is_refused_at_its_first_byte(void **unused)
{
    struct rig rig;
    for (unsigned first = 0; first < 256; first++) {
        unsigned char byte = (unsigned char)first;
        rig_init(&rig, &sp_bolt_codec);
        assert_int_equal(rig_decode(&rig, &byte, 1), first == 1 ? 0 : SP_E_INVALID);
        rig_init(&rig, &sp_bolt2_codec);
        assert_int_equal(rig_decode(&rig, &byte, 1), first == 2 ? 0 : SP_E_INVALID);
    }
}

/* A fixed part that claims these lengths, with nothing behind it. */
static ssize_t claim(struct rig *rig, unsigned proto, uint64_t class_len, uint64_t block_len,
                     uint64_t content_len, bool crc)
{
    unsigned char f[64];
    struct parts p = request_parts(proto);
    p.ver1 = crc ? 2 : 1;
    p.switches = crc;
    size_t len = make_frame(f, &p);
    put_number(f, len - 8, 2, (uint32_t)class_len);
    put_number(f, len - 6, 2, (uint32_t)block_len);
    put_number(f, len - 4, 4, (uint32_t)content_len);
    return rig_decode(rig, f, len);
}

static void lengths_around_every_power_are_understood_in_one_way(void **unused)
{
    struct rig rig;
    const uint64_t short_edges[] = { 0, 1, 255, 256, 257, 32766, 32767, 32768, 32769, 65534, 65535 };
    const uint64_t edges[] = { 0x7f,       0xff,       0x100,      0x101,     0x7fff,     0x8000,
                               0x8001,     0xffff,     0x10000,    0x10001,   0x7ffffffe, 0x7fffffff,
                               0x80000000, 0x80000001, 0xfffffffe, 0xffffffff };
    for (unsigned proto = 1; proto <= 2; proto++) {
        const struct sp_codec *codec = proto == 2 ? &sp_bolt2_codec : &sp_bolt_codec;
        for (size_t i = 0; i < SP_COUNTOF(short_edges); i++) {
            for (size_t j = 0; j < SP_COUNTOF(short_edges); j++) {
                rig_init(&rig, codec);
                ssize_t n = claim(&rig, proto, short_edges[i], short_edges[j], 0, false);
                bool negative = short_edges[i] > 32767 || short_edges[j] > 32767;
                bool over = short_edges[i] + short_edges[j] + 20 + 2 * proto > 64 * 1024;
                bool empty = short_edges[i] + short_edges[j] == 0;
                assert_int_equal(n, negative ? SP_E_INVALID
                                    : over   ? SP_E_LIMIT
                                    : empty  ? 20 + 2 * (int)proto
                                             : 0);
                if (!negative && over)
                    assert_int_equal(rig.ev.status, 431);
            }
        }
        for (size_t i = 0; i < SP_COUNTOF(edges); i++) {
            for (unsigned crc = 0; crc < proto; crc++) {
                rig_init(&rig, codec);
                ssize_t n = claim(&rig, proto, 0, 0, edges[i], crc);
                bool fine = edges[i] + 4 * crc <= 0x7fffffff;
                assert_int_equal(n, fine ? 20 + 2 * (int)proto : SP_E_INVALID);
                if (fine)
                    assert_true(rig.head.body_bytes == (int64_t)(edges[i] + 4 * crc) && !rig.ev.end);
            }
        }
        rig_init(&rig, codec); /* each is fine, the sum is not */
        assert_int_equal(claim(&rig, proto, 1, 0, 0x7fffffff, false), SP_E_INVALID);
        rig_init(&rig, codec);
        assert_int_equal(claim(&rig, proto, 32767, 32767, 0x7fffffff, false), SP_E_INVALID);
    }
}

static void limits_refuse_before_the_bytes_have_come(void **unused)
{
    struct rig rig;
    rig_init(&rig, &sp_bolt_codec);
    rig.limits.body_bytes = 1000;
    assert_int_equal(claim(&rig, 1, 0, 0, 1001, false), SP_E_LIMIT);
    assert_int_equal(rig.ev.status, 413);
    assert_int_equal(rig.head.id, 77);
    rig_init(&rig, &sp_bolt2_codec); /* the CRC is not content */
    rig.limits.body_bytes = 1000;
    assert_int_equal(claim(&rig, 2, 0, 0, 1000, true), 24);
    rig_init(&rig, &sp_bolt_codec);
    rig.limits.head_bytes = 100;
    assert_int_equal(claim(&rig, 1, 44, 35, 0, false), SP_E_LIMIT);
    assert_int_equal(rig.ev.status, 431);
    rig_init(&rig, &sp_bolt_codec);
    rig.limits.head_bytes = 100;
    assert_int_equal(claim(&rig, 1, 44, 34, 0, false), 0);
}

/* A request with this header block. */
static ssize_t decode_block(struct rig *rig, const void *block, size_t len)
{
    static unsigned char f[64 * 1024];
    struct parts p = request_parts(1);
    p.block = block;
    p.block_len = len;
    rig_init(rig, &sp_bolt_codec);
    return rig_decode(rig, f, make_frame(f, &p));
}

static void broken_header_blocks_are_refused_by_name(void **unused)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *words;
    } cases[] = {
        { "\0", 1, "ends inside a pair" },
        { "\0\0", 2, "ends inside a pair" },
        { "\0\0\0", 3, "ends inside a pair" },
        { "\0\0\0\0", 4, "ends inside a pair" }, /* an empty name, and no value */
        { "\0\0\0\1a", 5, "ends inside a pair" },
        { "\0\0\0\1a\0\0\0", 8, "ends inside a pair" },
        { "\0\0\0\2a", 5, "runs over the end" },
        { "\0\0\0\1a\0\0\0\2b", 10, "runs over the end" },
        { "\0\0\0\1a\0\0\0\1b\0", 11, "ends inside a pair" },
        { "\177\377\377\377a", 5, "runs over the end" },
        { "\200\0\0\0a", 5, "negative" },
        { "\377\377\377\376a", 5, "negative" },
        { "\0\0\0\1a\377\377\377\376", 9, "negative" },
        { "\377\377\377\377", 4, "ends inside a pair" }, /* a null name, and no value */
    };
    struct rig rig;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        assert_int_equal(decode_block(&rig, cases[i].bytes, cases[i].len), SP_E_INVALID);
        if (!strstr(rig.ev.why, cases[i].words))
            fail_msg("case %zu: have \"%s\", want \"%s\"", i, rig.ev.why, cases[i].words);
        assert_int_equal(rig.head.id, 77);
        assert_int_equal(rig.head.raw.len, 22);
    }
}

static void nulls_are_dropped_and_the_head_is_to_be_written_anew(void **unused)
{
    struct rig rig;
    static const char block[] = "\0\0\0\1a\377\377\377\377"
                                "\377\377\377\377\0\0\0\1b"
                                "\377\377\377\377\377\377\377\377"
                                "\0\0\0\1c\0\0\0\1d";
    assert_true(decode_block(&rig, block, sizeof block - 1) > 0);
    assert_int_equal(rig.head.header_count, 1);
    assert_int_equal(rig.head.flags, SP_HEAD_EDITED);
    check_text(sp_head_value_name(&rig.head, SP_STR("c")), "d");
}

static void of_two_pairs_of_a_name_the_last_counts(void **unused)
{
    struct rig rig;
    unsigned char block[512];
    size_t len = put_pair(block, 0, "service", "first");
    len = put_pair(block, len, "x", "1");
    len = put_pair(block, len, "", "empty name");
    len = put_pair(block, len, "service", "second");
    len = put_pair(block, len, "x", "2");
    len = put_pair(block, len, "", "again");
    assert_true(decode_block(&rig, block, len) > 0);
    assert_int_equal(rig.head.header_count, 3);
    assert_int_equal(rig.head.flags, SP_HEAD_EDITED);
    check_text(rig.head.service, "second");
    check_text(sp_head_value(&rig.head, SP_HDR_SOFA_SERVICE), "second");
    check_text(sp_head_value_name(&rig.head, SP_STR("x")), "2");
    check_text(sp_head_value_name(&rig.head, SP_STR("")), "again");

    len = put_pair(block, 0, "Service", "other"); /* names of Java strings do not fold */
    len = put_pair(block, len, "service", "mine");
    assert_true(decode_block(&rig, block, len) > 0);
    assert_int_equal(rig.head.flags, 0);
    check_text(rig.head.service, "mine");
}

static void service_comes_from_service_else_from_the_target(void **unused)
{
    struct rig rig;
    unsigned char block[512];
    size_t len = put_pair(block, 0, "sofa_head_target_service", "target");
    assert_true(decode_block(&rig, block, len) > 0);
    check_text(rig.head.service, "target");
    len = put_pair(block, len, "service", "");
    assert_true(decode_block(&rig, block, len) > 0);
    check_text(rig.head.service, "target");
    len = put_pair(block, 0, "service", "s");
    len = put_pair(block, len, "sofa_head_target_service", "target");
    assert_true(decode_block(&rig, block, len) > 0);
    check_text(rig.head.service, "s");
    assert_true(decode_block(&rig, block, 0) > 0);
    assert_int_equal(rig.head.service.len + rig.head.method.len, 0);
}

static void a_hundred_names_are_all_kept_apart(void **unused)
{
    static unsigned char block[16 * 1024];
    struct rig rig;
    size_t len = 0;
    char name[64];
    for (unsigned i = 0; i < SP_HEADERS_MAX; i++) {
        snprintf(name, sizeof name, "%.*s%u", (int)(i % 30), "rpc_req_baggage.abcdefghijklmnop", i);
        len = put_pair(block, len, name, name);
    }
    assert_true(decode_block(&rig, block, len) > 0);
    assert_int_equal(rig.head.header_count, SP_HEADERS_MAX);
    assert_int_equal(rig.head.flags, 0);
    for (unsigned i = 0; i < SP_HEADERS_MAX; i++)
        assert_true(sp_str_eq(sp_str_of(rig.headers[i].name, rig.headers[i].name_len),
                              sp_str_of(rig.headers[i].value, rig.headers[i].value_len)));

    size_t full = len;
    len = put_pair(block, full, "one-more", "");
    assert_int_equal(decode_block(&rig, block, len), SP_E_LIMIT);
    assert_int_equal(rig.ev.status, 431);
    len = put_pair(block, full, "0", "known already");
    assert_true(decode_block(&rig, block, len) > 0);
    assert_int_equal(rig.head.header_count, SP_HEADERS_MAX);
}

static void names_have_the_numbers_that_the_waist_knows(void **unused)
{
    static const char *const names[] = {
        "app",
        "service",
        "tracestate",
        "traceparent",
        "x-request-id",
        "sofa_head_target_app",
        "sofa_head_method_name",
        "sofa_head_target_service",
        "sofa_head_response_error",
        "rpc_trace_context.sofaRpcId",
        "rpc_trace_context.sofaTraceId",
        "sofa_head_deadline_remain_time",
        "host",
        "SERVICE",
        "App",
        "x-b3-traceid",
        "SOFA-TraceId",
        "connection",
        "x-envoy-retry-on",
        "protocol",
        "type",
        "sofa_head_method_nam\xc3",
    };
    struct rig rig;
    unsigned char block[128];
    unsigned known = 0;
    for (size_t i = 0; i < SP_COUNTOF(names); i++) {
        assert_true(decode_block(&rig, block, put_pair(block, 0, names[i], "v")) > 0);
        enum sp_hdr want = sp_hdr_of(sp_str_c(names[i]), false);
        if (rig.headers[0].id != want)
            fail_msg("%s: %u, want %u", names[i], rig.headers[0].id, want);
        known += want != SP_HDR_OTHER;
    }
    assert_int_equal(known, 12);
}

static void a_connection_that_ends_in_a_frame_is_broken(void **unused)
{
    struct rig rig;
    struct golden g;
    golden_load(&g, V1, "request");
    for (size_t at = 1; at < g.len; at++) {
        rig_init(&rig, &sp_bolt_codec);
        ssize_t n = rig_decode(&rig, g.bytes, at);
        assert_true(n >= 0);
        assert_true(rig.codec->finish(&rig.state, &rig.ev) < 0);
        assert_non_null(rig.ev.why);
    }
    rig_init(&rig, &sp_bolt_codec);
    assert_int_equal(rig.codec->finish(&rig.state, &rig.ev), 0);
    assert_int_equal(rig.ev.kind, SP_EVENT_NONE);
}

static void states_that_save_could_not_write_are_refused(void **unused)
{
    struct rig rig;
    rig_init(&rig, &sp_bolt_codec);
    assert_int_equal(rig.codec->save_bytes, 16);
    static const unsigned char bad[][16] = {
        { 0, 1, 0, 0 },                            /* schema */
        { 2, 1, 0, 0 },                            /* schema of tomorrow */
        { 1, 2, 0, 0 },                            /* another protocol */
        { 1, 1, 2, 0 },                            /* role */
        { 1, 1, 0, 3 },                            /* phase */
        { 1, 1, 0, 0, 1 },                         /* less than any fixed part */
        { 1, 1, 0, 0, 0, 0, 0, 0xff },             /* more than any frame */
        { 1, 1, 0, 0, 0, 0, 0, 0, 1 },             /* body left between frames */
        { 1, 1, 0, 1 },                            /* no body left inside one */
        { 1, 1, 0, 1, 22, 0, 0, 0, 1 },            /* both */
        { 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x80 }, /* 2^31 */
        { 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 },
    };
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        if (rig.codec->load(&rig.state, bad[i], NULL) != SP_E_INVALID)
            fail_msg("state %zu was loaded", i);
    }
    static const unsigned char good[16] = { 1, 1, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f };
    assert_int_equal(rig.codec->load(&rig.state, good, NULL), SP_OK);
    assert_false(rig.codec->is_idle(&rig.state));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_of_sofarpc_fills_every_slot),
        cmocka_unit_test(responses_say_success_and_business_error),
        cmocka_unit_test(heartbeats_are_told_apart_from_calls),
        cmocka_unit_test(version_two_has_a_crc_only_when_both_bytes_say_so),
        cmocka_unit_test(every_split_of_every_golden_frame_gives_the_same_frame),
        cmocka_unit_test(frames_that_come_byte_by_byte_give_the_same_frame),
        cmocka_unit_test(a_whole_small_frame_waits_to_be_one_event),
        cmocka_unit_test(many_frames_in_one_read_come_one_by_one),
        cmocka_unit_test(both_roles_decode_both_directions),
        cmocka_unit_test(decoding_allocates_nothing),
        cmocka_unit_test(broken_fixed_parts_are_refused_by_name),
        cmocka_unit_test(the_other_version_is_refused_at_its_first_byte),
        cmocka_unit_test(lengths_around_every_power_are_understood_in_one_way),
        cmocka_unit_test(limits_refuse_before_the_bytes_have_come),
        cmocka_unit_test(broken_header_blocks_are_refused_by_name),
        cmocka_unit_test(nulls_are_dropped_and_the_head_is_to_be_written_anew),
        cmocka_unit_test(of_two_pairs_of_a_name_the_last_counts),
        cmocka_unit_test(service_comes_from_service_else_from_the_target),
        cmocka_unit_test(a_hundred_names_are_all_kept_apart),
        cmocka_unit_test(names_have_the_numbers_that_the_waist_knows),
        cmocka_unit_test(a_connection_that_ends_in_a_frame_is_broken),
        cmocka_unit_test(states_that_save_could_not_write_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
