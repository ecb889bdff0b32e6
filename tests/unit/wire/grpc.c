/* grpc: messages at every cut, lengths that lie, status and words, and time limits by their grammar. */
#include "lib/golden.h"

#include "wire/grpc/grpc.h"

static const char two_messages[] = "\0\0\0\0\5hello\0\0\0\0\0\0\0\0\0\1!";

/* Pieces joined, a bar behind each message. */
static void read_all(struct sp_grpc_reader *r, sp_str in, char *text)
{
    struct sp_grpc_event ev;
    while (in.len) {
        ssize_t used = sp_grpc_read(r, in, &ev);
        assert_true(used > 0);
        if (ev.begins)
            snprintf(text + strlen(text), 16, "%u:", ev.bytes);
        strncat(text, ev.piece.ptr ? ev.piece.ptr : "", ev.piece.len);
        if (ev.ends)
            strncat(text, "|", 2);
        in = sp_str_from(in, (size_t)used);
    }
}

static void messages_are_the_same_at_every_cut(void **unused)
{
    for (size_t cut = 0; cut < sizeof two_messages; cut++) {
        struct sp_grpc_reader r = { 0 };
        char text[128] = "";
        read_all(&r, sp_str_of(two_messages, cut), text);
        assert_int_equal(sp_grpc_is_between(&r), cut == 0 || cut == 10 || cut == 15 || cut == 21);
        read_all(&r, sp_str_of(two_messages + cut, sizeof two_messages - 1 - cut), text);
        assert_string_equal(text, "5:hello|0:|1:!|");
        assert_true(sp_grpc_is_between(&r));
    }
}

static void messages_that_are_refused(void **unused)
{
    struct sp_grpc_event ev;
    struct sp_grpc_reader r = { 0 };
    assert_int_equal(sp_grpc_read(&r, SP_STR("\2\0\0\0\1"), &ev), SP_E_INVALID);
    r = (struct sp_grpc_reader){ 0 };
    assert_int_equal(sp_grpc_read(&r, SP_STR("\1\0\0\0\1"), &ev), SP_E_UNSUPPORTED);
    assert_int_equal(ev.code, SP_GRPC_UNIMPLEMENTED);
    r = (struct sp_grpc_reader){ .takes_packed = 1 };
    assert_int_equal(sp_grpc_read(&r, SP_STR("\1\0\0\0\1z"), &ev), 6);
    assert_true(ev.packed && ev.begins && ev.ends);
    r = (struct sp_grpc_reader){ 0 };
    assert_int_equal(sp_grpc_read(&r, SP_STR("\0\0\x40\0\1"), &ev), SP_E_LIMIT);
    assert_int_equal(ev.code, SP_GRPC_RESOURCE_EXHAUSTED);
    r = (struct sp_grpc_reader){ .most = 10 };
    assert_int_equal(sp_grpc_read(&r, SP_STR("\0\xff\xff\xff\xff"), &ev), SP_E_LIMIT);
    r = (struct sp_grpc_reader){ .most = 10 };
    assert_int_equal(sp_grpc_read(&r, SP_STR("\0\0\0\0\12"), &ev), 5);
}

static void a_prefix_says_what_is_read(void **unused)
{
    char prefix[SP_GRPC_PREFIX];
    sp_grpc_put_prefix(prefix, 0x010203, true);
    assert_memory_equal(prefix, "\1\0\1\2\3", 5);
}

static void words_are_coded_and_come_back(void **unused)
{
    static const struct {
        const char *plain, *coded;
    } cases[] = {
        { "all good", "all good" },
        { "50% of\n", "50%25 of%0A" },
        { " edges ", "%20edges%20" },
        { "\xe4\xbd\xa0", "%E4%BD%A0" },
        { "\xff", "%FF" },
        { "", "" },
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        char out[64], back[64], code[4], words[3 * SP_GRPC_MESSAGE_MOST];
        struct sp_header headers[2];
        size_t n = sp_grpc_put_message(sp_str_c(cases[i].plain), out, sizeof out);
        assert_int_equal(n, strlen(cases[i].coded));
        assert_memory_equal(out, cases[i].coded, n);
        struct sp_head head = { .protocol = SP_PROTO_HTTP1, .headers = headers };
        uint32_t status;
        head.header_count = sp_grpc_trailers(SP_GRPC_UNAVAILABLE, sp_str_c(cases[i].plain), code, words,
                                             headers);
        assert_int_equal(sp_grpc_status(&head, &status), 0);
        assert_int_equal(status, 14);
        n = sp_grpc_message(&head, back, sizeof back);
        assert_int_equal(n, strlen(cases[i].plain));
        assert_memory_equal(back, cases[i].plain, n);
    }
    char out[4]; /* a character is whole or not there */
    assert_int_equal(sp_grpc_put_message(SP_STR("a\xe4\xbd\xa0"), out, sizeof out), 1);
}

static void words_that_are_not_well_coded_stay(void **unused)
{
    struct sp_header headers[] = { { "grpc-message", "100% %zz %4", 11, 12, 0, 0 } };
    struct sp_head head = { .protocol = SP_PROTO_HTTP1, .headers = headers, .header_count = 1 };
    char out[32];
    uint32_t status;
    assert_int_equal(sp_grpc_message(&head, out, sizeof out), 11);
    assert_memory_equal(out, "100% %zz %4", 11);
    assert_int_equal(sp_grpc_status(&head, &status), SP_E_MISSING);
    headers[0] = (struct sp_header){ "grpc-status", "x", 1, 11, 0, 0 };
    assert_int_equal(sp_grpc_status(&head, &status), SP_E_INVALID);
}

static void time_limits_by_their_grammar(void **unused)
{
    static const char *const bad[] = { "", "S", "1", "123456789S", "1s", "-1S", "1.5S", " 1S", "1 S", "1SS" };
    uint64_t ns;
    for (size_t i = 0; i < SP_COUNTOF(bad); i++)
        assert_int_equal(sp_grpc_timeout(sp_str_c(bad[i]), &ns), SP_E_INVALID);
    assert_int_equal(sp_grpc_timeout(SP_STR("5S"), &ns), 0);
    assert_int_equal(ns, 5000000000u);
    assert_int_equal(sp_grpc_timeout(SP_STR("99999999H"), &ns), 0);
    assert_true(ns == UINT64_MAX);
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = { { 0, "0n" },
                  { 99999999, "99999999n" },
                  { 100000000, "100000u" },
                  { 100000001, "100001u" },
                  { 3600000000000u, "3600000m" },
                  { UINT64_MAX, "5124096H" } };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        char out[SP_GRPC_TIMEOUT_ROOM];
        size_t n = sp_grpc_put_timeout(cases[i].ns, out);
        if (n != strlen(cases[i].text) || memcmp(out, cases[i].text, n) != 0)
            fail_msg("%.*s, not %s", (int)n, out, cases[i].text);
        assert_int_equal(sp_grpc_timeout(sp_str_of(out, n), &ns), 0);
        assert_true(ns >= cases[i].ns);
    }
}

static void content_types_of_grpc(void **unused)
{
    assert_true(sp_grpc_is_type(SP_STR("application/grpc")));
    assert_true(sp_grpc_is_type(SP_STR("application/grpc+proto")));
    assert_true(sp_grpc_is_type(SP_STR("application/grpc;x=y")));
    assert_false(sp_grpc_is_type(SP_STR("application/grpc-web")));
    assert_false(sp_grpc_is_type(SP_STR("application/json")));
    assert_int_equal(sp_grpc_of_http(404), SP_GRPC_UNIMPLEMENTED);
    assert_int_equal(sp_grpc_of_own(504), SP_GRPC_DEADLINE_EXCEEDED);
    assert_string_equal(sp_grpc_code_name(14), "UNAVAILABLE");
    assert_string_equal(sp_grpc_code_name(99), "UNKNOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_the_same_at_every_cut),
        cmocka_unit_test(messages_that_are_refused),
        cmocka_unit_test(a_prefix_says_what_is_read),
        cmocka_unit_test(words_are_coded_and_come_back),
        cmocka_unit_test(words_that_are_not_well_coded_stay),
        cmocka_unit_test(time_limits_by_their_grammar),
        cmocka_unit_test(content_types_of_grpc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
