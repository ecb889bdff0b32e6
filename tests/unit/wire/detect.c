/* detect: each protocol by its first bytes, byte by byte, and those that only look like it. */
#include "lib/golden.h"

#include "base/rng.h"
#include "wire/detect.h"

struct case_of {
    const char *bytes;
    size_t len;
    size_t sure; /* bytes after which the answer is given */
    enum sp_protocol want;
    bool hello;
};

#define TEXT(text, sure, want)                                                                               \
    {                                                                                                        \
        text, sizeof(text) - 1, sure, want, false                                                            \
    }

static const struct case_of cases[] = {
    TEXT("GET / HTTP/1.1\r\n", 5, SP_PROTO_HTTP1),
    TEXT("POST /a", 6, SP_PROTO_HTTP1),
    TEXT("OPTIONS * HTTP/1.1", 9, SP_PROTO_HTTP1),
    TEXT("OPTIONS /", 9, SP_PROTO_HTTP1),
    TEXT("OPTIONS rtsp://a", 9, SP_PROTO_TCP),
    TEXT("GET http://a/", 11, SP_PROTO_HTTP1),
    TEXT("GET HTTPS://a/", 12, SP_PROTO_HTTP1),
    TEXT("GET httpx", 9, SP_PROTO_TCP),
    TEXT("GET key\r\n", 5, SP_PROTO_TCP),
    TEXT("GET  /", 5, SP_PROTO_TCP),
    TEXT("CONNECT a.b:443 HTTP/1.1", 9, SP_PROTO_HTTP1),
    TEXT("CONNECT [::1]:443", 9, SP_PROTO_HTTP1),
    TEXT("CONNECT\naccept-version:1.2", 8, SP_PROTO_TCP), /* STOMP */
    TEXT("CONNECT /", 9, SP_PROTO_TCP),
    TEXT("VERSION-CONTROL /a", 17, SP_PROTO_HTTP1),
    TEXT("ABCDEFGHIJKLMNOPQRST /", 22, SP_PROTO_HTTP1),
    TEXT("ABCDEFGHIJKLMNOPQRSTU /", 21, SP_PROTO_TCP),
    TEXT("\r\nGET /", 7, SP_PROTO_HTTP1),
    TEXT("\r\n\r\nGET /", 3, SP_PROTO_TCP),
    TEXT("\rGET /", 2, SP_PROTO_TCP),
    TEXT("\nGET /", 1, SP_PROTO_TCP),
    TEXT("get /", 1, SP_PROTO_TCP),
    TEXT("-GET /", 1, SP_PROTO_TCP),
    TEXT("GO /", 3, SP_PROTO_TCP),
    TEXT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 5, SP_PROTO_TCP),
    TEXT("EHLO mail.example", 6, SP_PROTO_TCP),
    TEXT("SSH-2.0-x", 5, SP_PROTO_TCP),
    TEXT("NICK someone", 6, SP_PROTO_TCP),
    TEXT("PING\r\n", 5, SP_PROTO_TCP),
    TEXT("*1\r\n$4\r\nPING\r\n", 1, SP_PROTO_TCP), /* Redis */
    TEXT("\xda\xbb\xc2\0", 1, SP_PROTO_TCP),       /* Dubbo */
    TEXT("\0\0\0\x0c", 1, SP_PROTO_TCP),
    TEXT("\x80", 1, SP_PROTO_TCP),
    { "\x16\x03\x01\x02\x00\x01\x00", 7, 6, SP_PROTO_TCP, true },
    { "\x16\x03\x03\x40\x00\x01\x00", 7, 6, SP_PROTO_TCP, true },
    { "\x16\x03\x01\x02\x00\x02\x00", 7, 6, SP_PROTO_TCP, false },
    { "\x16\x02\x01\x02\x00\x01\x00", 7, 2, SP_PROTO_TCP, false },
    { "\x16\x03\x05\x02\x00\x01\x00", 7, 3, SP_PROTO_TCP, false },
    { "\x16\x03\x01\x00\x03\x01\x00", 7, 5, SP_PROTO_TCP, false },
    { "\x16\x03\x01\x40\x01\x01\x00", 7, 5, SP_PROTO_TCP, false },
};

/* At each length the answer is NONE until it is sure, and then the same for ever. */
static void check_case(const char *name, const struct case_of *c)
{
    for (size_t len = 0; len <= c->len; len++) {
        bool hello = true;
        char *exact = malloc(len + 1);
        memcpy(exact, c->bytes, len);
        enum sp_protocol have = sp_detect(sp_str_of(exact, len), &hello);
        enum sp_protocol want = len < c->sure ? SP_PROTO_NONE : c->want;
        free(exact);
        if (have != want || hello != (c->hello && len >= c->sure))
            fail_msg("%s at %zu bytes: have %d hello %d, want %d", name, len, have, hello, want);
        assert_int_equal(sp_detect(sp_str_of(c->bytes, len), NULL), want);
    }
}

static void each_protocol_is_told_as_soon_as_it_is_sure(void **unused)
{
    for (size_t i = 0; i < SP_COUNTOF(cases); i++)
        check_case(cases[i].bytes, &cases[i]);
}

static void bolt_is_told_by_its_fixed_part(void **unused)
{
    static const struct {
        const char *file, *name;
        enum sp_protocol want;
        size_t sure;
    } frames[] = {
        { "bolt/v1.hex", "request", SP_PROTO_BOLT, 22 },
        { "bolt/v1.hex", "heartbeat", SP_PROTO_BOLT, 22 },
        { "bolt/v1.hex", "response", SP_PROTO_TCP, 2 },
        { "bolt/v2.hex", "request-ver1", SP_PROTO_BOLT2, 24 },
        { "bolt/v2.hex", "request-crc", SP_PROTO_BOLT2, 24 },
        { "bolt/v2.hex", "oneway-crc", SP_PROTO_BOLT2, 24 },
        { "bolt/v2.hex", "response-crc", SP_PROTO_TCP, 3 },
    };
    for (size_t i = 0; i < SP_COUNTOF(frames); i++) {
        struct golden g;
        golden_load(&g, frames[i].file, frames[i].name);
        struct case_of c = { (const char *)g.bytes, g.len, frames[i].sure, frames[i].want, false };
        check_case(g.name, &c);
    }
}

static void a_wrong_byte_in_a_bolt_head_makes_it_tcp(void **unused)
{
    static const struct {
        const char *name;
        size_t at;
        unsigned char byte;
    } wrong[] = {
        { "request", 1, 0 },        { "request", 1, 3 },        { "request", 2, 1 },
        { "request", 3, 2 },        { "request", 3, 99 },       { "request", 4, 0 },
        { "request", 4, 2 },        { "request", 14, 128 },     { "request", 16, 128 },
        { "request", 18, 128 },     { "request-crc", 1, 0 },    { "request-crc", 1, 3 },
        { "request-crc", 2, 0 },    { "request-crc", 3, 1 },    { "request-crc", 4, 2 },
        { "request-crc", 5, 2 },    { "request-crc", 11, 128 }, { "request-crc", 16, 128 },
        { "request-crc", 18, 128 }, { "request-crc", 20, 128 },
    };
    for (size_t i = 0; i < SP_COUNTOF(wrong); i++) {
        struct golden g;
        golden_load(&g, strchr(wrong[i].name, '-') ? "bolt/v2.hex" : "bolt/v1.hex", wrong[i].name);
        g.bytes[wrong[i].at] = wrong[i].byte;
        struct case_of c = { (const char *)g.bytes, g.len, wrong[i].at + 1, SP_PROTO_TCP, false };
        check_case(g.name, &c);
    }
}

static void goaway_and_any_id_are_still_bolt(void **unused)
{
    struct golden g;
    golden_load(&g, "bolt/v1.hex", "heartbeat");
    g.bytes[3] = 100;
    memset(g.bytes + 5, 0xff, 9);
    assert_int_equal(sp_detect(sp_str_of(g.bytes, g.len), NULL), SP_PROTO_BOLT);
}

static void any_bytes_are_answered_once_and_for_all(void **unused)
{
    static const char alphabet[] = "\1\2\0\x16\3 /*\r\nAGETPR-h:";
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        char bytes[SP_DETECT_BYTES];
        struct sp_rng rng;
        sp_rng_init(&rng, seed);
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = seed % 2 ? alphabet[sp_rng_below(&rng, sizeof alphabet - 1)] : (char)sp_rng_next(&rng);
        enum sp_protocol before = SP_PROTO_NONE;
        for (size_t len = 0; len <= sizeof bytes; len++) {
            enum sp_protocol now = sp_detect(sp_str_of(bytes, len), NULL);
            if (before != SP_PROTO_NONE && now != before)
                fail_msg("seed %llu: %d, then %d at %zu bytes", (unsigned long long)seed, before, now, len);
            before = now;
        }
        if (before == SP_PROTO_NONE)
            fail_msg("seed %llu: no answer", (unsigned long long)seed);
    }
}

static void the_preface_of_http2_is_known_by_name(void **unused)
{
    assert_true(sp_detect_is_h2(SP_STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0")));
    assert_true(sp_detect_is_h2(SP_STR("PRI *")));
    assert_false(sp_detect_is_h2(SP_STR("PRI ")));
    assert_false(sp_detect_is_h2(SP_STR("PRI * HTTP/3.0\r\n")));
    assert_false(sp_detect_is_h2(SP_STR("GET / HTTP/1.1\r\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_protocol_is_told_as_soon_as_it_is_sure),
        cmocka_unit_test(bolt_is_told_by_its_fixed_part),
        cmocka_unit_test(a_wrong_byte_in_a_bolt_head_makes_it_tcp),
        cmocka_unit_test(goaway_and_any_id_are_still_bolt),
        cmocka_unit_test(any_bytes_are_answered_once_and_for_all),
        cmocka_unit_test(the_preface_of_http2_is_known_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
