/* bolt_encode: what leaves is read by the decoder again, and is what a real peer would have sent. */
#include "bolt_help.h"

#include "base/arena.h"

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

static void load(struct rig *rig, struct golden *g, const char *file, const char *name)
{
    golden_load(g, file, name);
    rig_init(rig, codec_of(g->bytes));
    assert_int_equal(rig_decode(rig, g->bytes, g->len), g->len);
}

static void heads_that_nobody_edited_encode_to_their_own_bytes(void **unused)
{
    for (size_t f = 0; f < SP_COUNTOF(golden_frames); f++) {
        struct rig rig;
        struct golden g;
        char out[8192];
        load(&rig, &g, golden_frames[f].file, golden_frames[f].name);
        ssize_t n = rig.codec->encode_head(&rig.head, out, sizeof out);
        if (n != (ssize_t)rig.head.raw.len || memcmp(out, rig.head.raw.ptr, (size_t)n) != 0)
            fail_msg("%s: encodes to other bytes", g.name);
        assert_int_equal(rig.codec->delta(&rig.head, sp_str_of(out, (size_t)n)), 0);
    }
}

static void patching_changes_id_and_time_and_nothing_else(void **unused)
{
    for (size_t f = 0; f < SP_COUNTOF(golden_frames); f++) {
        struct rig rig, again;
        struct golden g, before;
        load(&rig, &g, golden_frames[f].file, golden_frames[f].name);
        before = g;
        bool answer = rig.head.kind == SP_MSG_RESPONSE || rig.head.kind == SP_MSG_HEARTBEAT_ACK;
        uint32_t delta = rig.codec->patch(&rig.head, 0xdeadbeef, 1234);
        rig.codec->fix((char *)g.bytes + rig.head.raw.len, rig.ev.body.len, 0, delta);
        if (rig.head.flags & SP_HEAD_CRC)
            assert_true(delta && sp_bolt_crc_ok(sp_str_of(g.bytes, g.len)));
        else
            assert_int_equal(delta, 0);

        rig_init(&again, rig.codec);
        assert_int_equal(rig_decode(&again, g.bytes, g.len), g.len);
        assert_int_equal(again.head.id, 0xdeadbeef);
        assert_int_equal(again.head.timeout_ms, answer ? 0 : 1234);
        assert_int_equal(again.head.raw_status, rig.head.raw_status);

        /* Back again: the bytes are what they were. */
        delta = rig.codec->patch(&again.head, rig.head.id, answer ? 0 : rig.head.timeout_ms);
        rig.codec->fix((char *)g.bytes + rig.head.raw.len, rig.ev.body.len, 0, delta);
        if (memcmp(g.bytes, before.bytes, g.len) != 0)
            fail_msg("%s: patching back gives other bytes", g.name);
    }
}

static void a_patch_without_time_leaves_the_time(void **unused)
{
    struct rig rig, again;
    struct golden g;
    load(&rig, &g, V2, "request-crc");
    uint32_t delta = rig.codec->patch(&rig.head, 9, 0);
    rig.codec->fix((char *)g.bytes + rig.head.raw.len, rig.ev.body.len, 0, delta);
    rig_init(&again, rig.codec);
    assert_int_equal(rig_decode(&again, g.bytes, g.len), g.len);
    assert_int_equal(again.head.timeout_ms, 3000);
    assert_int_equal(again.head.id, 9);
    assert_true(sp_bolt_crc_ok(sp_str_of(g.bytes, g.len)));

    sp_bolt_patch_timeout((char *)g.bytes, 42);
    sp_bolt_patch_id((char *)g.bytes, 43);
    rig_init(&again, rig.codec);
    assert_int_equal(rig_decode(&again, g.bytes, g.len), g.len);
    assert_int_equal(again.head.timeout_ms, 42);
    assert_int_equal(again.head.id, 43);
}

/* Encode the head anew and put the body behind it, cut at `cut`, as a proxy that streams does. */
static size_t forward(const struct rig *rig, const struct golden *g, size_t cut, unsigned char *out,
                      size_t room)
{
    size_t body_len = g->len - rig->head.raw.len;
    ssize_t n = rig->codec->encode_head(&rig->head, (char *)out, room);
    assert_true(n > 0);
    uint32_t delta = rig->codec->delta(&rig->head, sp_str_of(out, (size_t)n));
    memcpy(out + n, g->bytes + rig->head.raw.len, body_len);
    rig->codec->fix((char *)out + n, cut, body_len - cut, delta);
    rig->codec->fix((char *)out + n + cut, body_len - cut, 0, delta);
    return (size_t)n + body_len;
}

static void edited_heads_are_read_back_with_a_true_crc_wherever_the_body_is_cut(void **unused)
{
    for (size_t f = 0; f < SP_COUNTOF(golden_frames); f++) {
        struct rig rig, again;
        struct golden g;
        unsigned char out[16 * 1024];
        char storage[8192];
        struct sp_arena arena;
        load(&rig, &g, golden_frames[f].file, golden_frames[f].name);
        sp_arena_init(&arena, storage, sizeof storage, 4096, 0);
        uint32_t had = rig.head.header_count;
        assert_int_equal(sp_head_add(&rig.head, &arena, SP_STR("x-one"), SP_STR("1")), SP_OK);
        assert_int_equal(sp_head_set(&rig.head, &arena, SP_STR("sofa_head_method_name"), SP_STR("sing")),
                         SP_OK);
        sp_head_remove(&rig.head, SP_STR("type"));
        rig.head.id += 1000;
        for (size_t cut = 0; cut <= rig.ev.body.len; cut++) {
            size_t len = forward(&rig, &g, cut, out, sizeof out);
            rig_init(&again, rig.codec);
            assert_int_equal(rig_decode(&again, out, len), len);
            if (rig.head.flags & SP_HEAD_CRC)
                assert_true(sp_bolt_crc_ok(sp_str_of(out, len)));
        }
        assert_int_equal(again.head.id, rig.head.id);
        assert_int_equal(again.head.kind, rig.head.kind);
        assert_int_equal(again.head.timeout_ms, rig.head.timeout_ms);
        assert_int_equal(again.head.raw_status, rig.head.raw_status);
        assert_int_equal(again.head.codec_id, rig.head.codec_id);
        assert_true(sp_str_eq(again.head.class_name, rig.head.class_name));
        assert_true(had + 2 >= again.head.header_count);
        check_text(again.head.method, "sing");
        check_text(sp_head_value_name(&again.head, SP_STR("x-one")), "1");
        assert_null(sp_head_find_name(&again.head, SP_STR("type")));
        sp_arena_deinit(&arena);
    }
}

static void a_broken_frame_stays_broken_when_its_head_is_edited(void **unused)
{
    struct golden g;
    golden_load(&g, V2, "request-crc");
    for (size_t at = 24; at < g.len; at++) { /* from the class on: the lengths stay */
        for (unsigned bit = 0; bit < 8; bit++) {
            struct rig rig;
            struct golden bad = g;
            unsigned char out[256];
            struct sp_header extra = { "x", "1", 1, 1, 0, 0 };
            bad.bytes[at] ^= (unsigned char)(1 << bit);
            rig_init(&rig, &sp_bolt2_codec);
            assert_int_equal(rig_decode(&rig, bad.bytes, bad.len), bad.len);
            rig.head.headers = &extra;
            rig.head.header_count = 1;
            rig.head.id = 5;
            size_t len = forward(&rig, &bad, 0, out, sizeof out);
            if (sp_bolt_crc_ok(sp_str_of(out, len)))
                fail_msg("bit %u of byte %zu was repaired", bit, at);
        }
    }
}

static void a_block_with_nulls_and_doubles_leaves_in_one_meaning(void **unused)
{
    static const char block[] = "\0\0\0\1a\377\377\377\377"
                                "\0\0\0\1c\0\0\0\1d"
                                "\0\0\0\1c\0\0\0\1e";
    static const char clean[] = "\0\0\0\1c\0\0\0\1e";
    unsigned char f[128], out[128];
    struct parts p = { .proto = 2,
                       .ver1 = 2,
                       .switches = 1,
                       .type = 1,
                       .cmd = 1,
                       .codec = 11,
                       .id = 7,
                       .wait = 100,
                       .class_name = "C",
                       .block = block,
                       .block_len = sizeof block - 1,
                       .content = "body",
                       .content_len = 4,
                       .crc = true };
    struct rig rig;
    struct golden g = { .len = 0 };
    rig_init(&rig, &sp_bolt2_codec);
    g.len = make_frame(f, &p);
    memcpy(g.bytes, f, g.len);
    assert_int_equal(rig_decode(&rig, g.bytes, g.len), g.len);
    assert_true(rig.head.flags & SP_HEAD_EDITED);
    size_t len = forward(&rig, &g, 3, out, sizeof out);
    p.block = clean;
    p.block_len = sizeof clean - 1;
    assert_int_equal(len, make_frame(f, &p));
    assert_memory_equal(out, f, len);
}

static void a_hop_by_hop_header_is_not_written(void **unused)
{
    struct rig rig, again;
    struct golden g;
    char out[1024];
    load(&rig, &g, V1, "request");
    rig.headers[0].flags = SP_HEADER_HOP;
    ssize_t n = rig.codec->encode_head(&rig.head, out, sizeof out);
    rig_init(&again, rig.codec);
    assert_int_equal(rig_decode(&again, out, (size_t)n), n);
    assert_int_equal(again.head.header_count, rig.head.header_count - 1);
}

static void heads_that_no_peer_could_read_are_not_written(void **unused)
{
    static char out[80 * 1024];
    static char big[40 * 1024];
    struct sp_header h = { "n", big, 0, 1, 0, 0 };
    struct sp_head head = {
        .kind = SP_MSG_REQUEST, .protocol = SP_PROTO_BOLT, .headers = &h, .header_count = 1, .header_cap = 1
    };
    const struct sp_codec *c = &sp_bolt_codec;
    memset(big, 'v', sizeof big);

    h.value_len = 32767 - 9;
    assert_int_equal(c->encode_head(&head, out, sizeof out), 22 + 32767);
    h.value_len++;
    assert_int_equal(c->encode_head(&head, out, sizeof out), SP_E_RANGE);
    h.value_len = 0xffffffff;
    assert_int_equal(c->encode_head(&head, out, sizeof out), SP_E_RANGE);
    h.value_len = 0;
    head.class_name = sp_str_of(big, 32767);
    assert_int_equal(c->encode_head(&head, out, sizeof out), 22 + 32767 + 9);
    head.class_name.len++;
    assert_int_equal(c->encode_head(&head, out, sizeof out), SP_E_RANGE);
    head.class_name = SP_STR_NULL;
    head.body_bytes = 0x7fffffff - 9;
    assert_int_equal(c->encode_head(&head, out, sizeof out), 22 + 9);
    head.body_bytes++;
    assert_int_equal(c->encode_head(&head, out, sizeof out), SP_E_RANGE);
    head.body_bytes = INT64_MAX;
    assert_int_equal(c->encode_head(&head, out, sizeof out), SP_E_RANGE);
    head.body_bytes = -1;
    assert_int_equal(c->encode_head(&head, out, sizeof out), SP_E_INVALID);
    head.body_bytes = 3;
    head.flags = SP_HEAD_CRC;
    head.protocol = SP_PROTO_BOLT2;
    assert_int_equal(c->encode_head(&head, out, sizeof out), SP_E_INVALID); /* no room for its own CRC */
    head.body_bytes = 4;
    assert_int_equal(c->encode_head(&head, out, sizeof out), 24 + 9);
    head.protocol = SP_PROTO_BOLT;
    assert_int_equal(c->encode_head(&head, out, sizeof out), SP_E_INVALID);
    head.flags = 0;
    head.protocol = SP_PROTO_HTTP1;
    assert_int_equal(c->encode_head(&head, out, sizeof out), SP_E_INVALID);
    head.protocol = SP_PROTO_BOLT;
    head.kind = SP_MSG_INTERIM;
    assert_int_equal(c->encode_head(&head, out, sizeof out), SP_E_INVALID);
}

static void too_little_room_writes_nothing(void **unused)
{
    struct rig rig;
    struct golden g;
    load(&rig, &g, V1, "request");
    for (size_t room = 0; room < rig.head.raw.len; room++) {
        char out[512];
        memset(out, 'x', sizeof out);
        assert_int_equal(rig.codec->encode_head(&rig.head, out, room), SP_E_LIMIT);
        for (size_t i = 0; i < sizeof out; i++)
            assert_int_equal(out[i], 'x');
    }
    for (size_t room = 0; room < 20; room++) {
        char out[32] = { 0 };
        assert_int_equal(rig.codec->encode_error(&rig.head, 503, SP_STR_NULL, SP_STR_NULL, false, out, room),
                         SP_E_LIMIT);
        assert_int_equal(rig.codec->encode_heartbeat(NULL, 1, true, out, room), SP_E_LIMIT);
        assert_int_equal(out[0], 0);
    }
}

static void our_errors_are_answers_with_the_calls_id(void **unused)
{
    static const struct {
        unsigned status;
        const char *reason;
        unsigned want;
    } cases[] = {
        { 400, "BAD_FRAME", SP_BOLT_CODEC_EXCEPTION },
        { 403, "DENIED", SP_BOLT_SERVER_EXCEPTION },
        { 404, "NO_ROUTE", SP_BOLT_NO_PROCESSOR },
        { 413, "BODY_TOO_LARGE", SP_BOLT_CODEC_EXCEPTION },
        { 429, "LIMITED", SP_BOLT_BUSY },
        { 500, "DIRECT", SP_BOLT_SERVER_EXCEPTION },
        { 502, "UPSTREAM_RESET", SP_BOLT_CONNECTION_CLOSED },
        { 503, "NO_HEALTHY", SP_BOLT_NO_PROCESSOR },
        { 503, "UPSTREAM_RESET", SP_BOLT_CONNECTION_CLOSED },
        { 503, "CONNECT", SP_BOLT_CONNECTION_CLOSED },
        { 503, "POOL_FULL", SP_BOLT_BUSY },
        { 502, "UPSTREAM_PROTOCOL", SP_BOLT_CODEC_EXCEPTION },
        { 504, "CONNECT", SP_BOLT_TIMEOUT },
        { 503, "DRAINING", SP_BOLT_BUSY },
        { 503, "RETRY_LIMIT", SP_BOLT_UNKNOWN },
        { 503, "", SP_BOLT_BUSY },
        { 504, "TIMEOUT", SP_BOLT_TIMEOUT },
        { 418, "TEAPOT", SP_BOLT_UNKNOWN },
    };
    static const char *const requests[] = { "request-ver1", "request-crc", "request-plain" };
    for (size_t r = 0; r <= SP_COUNTOF(requests); r++) {
        for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
            struct rig rig, again;
            struct golden g;
            char out[256];
            load(&rig, &g, r ? V2 : V1, r ? requests[r - 1] : "request");
            rig.head.id = 0x01020304;
            ssize_t n = rig.codec->encode_error(&rig.head, cases[i].status, sp_str_c(cases[i].reason),
                                                SP_STR("words"), true, out, sizeof out);
            rig_init(&again, rig.codec);
            assert_int_equal(rig_decode(&again, out, (size_t)n), n);
            assert_true(again.ev.end);
            assert_int_equal(again.head.kind, SP_MSG_RESPONSE);
            assert_int_equal(again.head.id, 0x01020304);
            assert_int_equal(again.head.raw_status, cases[i].want);
            assert_int_equal(again.head.proto_ver, rig.head.proto_ver);
            assert_int_equal(again.head.codec_id, rig.head.codec_id);
            assert_int_equal(again.head.body_bytes + (int64_t)again.head.class_name.len, 0);
            assert_int_equal(again.head.flags, 0);
            check_text(sp_head_value_name(&again.head, SP_STR("x-sampan-reason")), cases[i].reason);
        }
    }
}

static void nobody_is_answered_who_waits_for_nothing(void **unused)
{
    struct rig rig;
    struct golden g;
    char out[256];
    load(&rig, &g, V2, "oneway-crc");
    assert_int_equal(rig.codec->encode_error(&rig.head, 503, SP_STR("X"), SP_STR(""), false, out, sizeof out),
                     0);
    load(&rig, &g, V1, "response");
    assert_int_equal(rig.codec->encode_error(&rig.head, 503, SP_STR("X"), SP_STR(""), false, out, sizeof out),
                     0);
}

static void a_frame_that_was_refused_can_be_answered(void **unused)
{
    struct rig rig, again;
    struct golden g;
    char out[256];
    golden_load(&g, V1, "request");
    g.bytes[22 + 44] = 0x80; /* the first name's length */
    rig_init(&rig, &sp_bolt_codec);
    assert_int_equal(rig_decode(&rig, g.bytes, g.len), SP_E_INVALID);
    assert_int_equal(rig.head.raw.len, 22);
    ssize_t n = rig.codec->encode_error(&rig.head, rig.ev.status, SP_STR("BAD_FRAME"), SP_STR(""), true, out,
                                        sizeof out);
    rig_init(&again, &sp_bolt_codec);
    assert_int_equal(rig_decode(&again, out, (size_t)n), n);
    assert_int_equal(again.head.id, 1);
    assert_int_equal(again.head.raw_status, SP_BOLT_CODEC_EXCEPTION);
}

static void heartbeats_are_those_of_real_programs(void **unused)
{
    struct golden g;
    char out[64];
    golden_load(&g, V1, "heartbeat");
    assert_int_equal(sp_bolt_codec.encode_heartbeat(NULL, 3, false, out, sizeof out), g.len);
    assert_memory_equal(out, g.bytes, g.len);
    golden_load(&g, V1, "heartbeat-ack");
    assert_int_equal(sp_bolt_codec.encode_heartbeat(NULL, 3, true, out, sizeof out), g.len);
    assert_memory_equal(out, g.bytes, g.len);

    struct rig rig;
    struct sp_head like = { .proto_ver = 2, .flags = SP_HEAD_CRC };
    for (unsigned ack = 0; ack < 2; ack++) {
        for (unsigned with = 0; with < 2; with++) {
            ssize_t n = sp_bolt2_codec.encode_heartbeat(with ? &like : NULL, 99, ack, out, sizeof out);
            rig_init(&rig, &sp_bolt2_codec);
            assert_int_equal(n, ack ? 22 : 24);
            assert_int_equal(rig_decode(&rig, out, (size_t)n), n);
            assert_int_equal(rig.head.kind, ack ? SP_MSG_HEARTBEAT_ACK : SP_MSG_HEARTBEAT);
            assert_int_equal(rig.head.id, 99);
            assert_int_equal(rig.head.proto_ver, with ? 2 : 1);
            assert_int_equal(rig.head.flags, 0);
        }
    }
}

static void status_words_agree_with_http_and_back(void **unused)
{
    assert_int_equal(sp_bolt_http_status(SP_BOLT_SUCCESS), 200);
    assert_int_equal(sp_bolt_http_status(SP_BOLT_BUSY), 503);
    assert_int_equal(sp_bolt_http_status(SP_BOLT_TIMEOUT), 504);
    assert_int_equal(sp_bolt_http_status(SP_BOLT_CONNECTION_CLOSED), 502);
    for (uint32_t status = 0; status < 0x10000; status++) {
        uint32_t http = sp_bolt_http_status(status);
        assert_true(http == 200 ? status == 0 : http >= 500 && http <= 504);
        if (http != 500)
            assert_int_equal(sp_bolt_status_of(http, SP_STR_NULL), status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_that_nobody_edited_encode_to_their_own_bytes),
        cmocka_unit_test(patching_changes_id_and_time_and_nothing_else),
        cmocka_unit_test(a_patch_without_time_leaves_the_time),
        cmocka_unit_test(edited_heads_are_read_back_with_a_true_crc_wherever_the_body_is_cut),
        cmocka_unit_test(a_broken_frame_stays_broken_when_its_head_is_edited),
        cmocka_unit_test(a_block_with_nulls_and_doubles_leaves_in_one_meaning),
        cmocka_unit_test(a_hop_by_hop_header_is_not_written),
        cmocka_unit_test(heads_that_no_peer_could_read_are_not_written),
        cmocka_unit_test(too_little_room_writes_nothing),
        cmocka_unit_test(our_errors_are_answers_with_the_calls_id),
        cmocka_unit_test(nobody_is_answered_who_waits_for_nothing),
        cmocka_unit_test(a_frame_that_was_refused_can_be_answered),
        cmocka_unit_test(heartbeats_are_those_of_real_programs),
        cmocka_unit_test(status_words_agree_with_http_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
