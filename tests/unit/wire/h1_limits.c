/* h1_limits: each limit holds to the byte, however the bytes come; no byte is looked at twice; a saved state
 * that could not have been saved is refused. */
#include "unit/base/help.h"
#include "unit/wire/h1_kit.h"
#include "wire/h1/h1_impl.h"

/* Feed `text` in strides; the status it is refused with, 0 = taken, -1 = wants more. */
static int feed(enum sp_role role, const struct sp_codec_limits *limits, sp_str text, size_t stride,
                uint32_t cap)
{
    struct sp_header headers[SP_HEADERS_MAX];
    struct sp_head head = { .headers = headers, .header_cap = cap };
    struct sp_codec_state st;
    size_t at = 0, avail = 0;
    bool ended = false;
    sp_h1_codec.init(&st, role, limits);
    if (role == SP_ROLE_CLIENT)
        h1_ask(&st, "GET");
    while (at < text.len) {
        struct sp_event ev = { .head = &head };
        if (avail == at)
            avail = SP_MIN(at + stride, text.len);
        ssize_t used = sp_h1_codec.decode(&st, sp_str_of(text.ptr + at, avail - at), &ev);
        if (used < 0)
            return ev.status;
        ended = ev.end;
        at += (size_t)used;
        if (used == 0 && avail == text.len)
            return -1;
        if (used == 0)
            avail = SP_MIN(avail + stride, text.len);
    }
    return ended ? 0 : -1;
}

static void check_server(const struct sp_codec_limits *limits, const struct sp_buf *text, int want)
{
    static const size_t strides[] = { 1, 2, 7, 16, 61, 4096, 1 << 20 };
    for (size_t i = 0; i < SP_COUNTOF(strides); i++) {
        int have = feed(SP_ROLE_SERVER, limits, sp_buf_str(text), strides[i], SP_HEADERS_MAX);
        if (have != want)
            fail_msg("strides of %zu: %d, want %d", strides[i], have, want);
    }
}

static void add_run(struct sp_buf *b, char c, size_t count)
{
    while (count--)
        sp_buf_add_char(b, c);
}

static void a_start_line_may_have_its_limit_and_no_byte_more(void **state)
{
    for (size_t more = 0; more < 3; more++) {
        struct sp_buf text;
        struct sp_codec_limits limits = { .line_bytes = 100 };
        sp_buf_init(&text, 0);
        sp_buf_add_c(&text, "GET /");
        add_run(&text, 'a', 100 - 5 - 9 + more);
        sp_buf_add_c(&text, " HTTP/1.1\r\nHost: a\r\n\r\n");
        check_server(&limits, &text, more ? 414 : 0);
        sp_buf_deinit(&text);
    }
}

static void a_start_line_without_end_is_refused_at_its_limit(void **state)
{
    struct sp_buf text;
    struct sp_codec_limits limits = { .line_bytes = 100 };
    sp_buf_init(&text, 0);
    add_run(&text, 'a', 100);
    check_server(&limits, &text, -1);
    add_run(&text, 'a', 1);
    check_server(&limits, &text, 414);
    sp_buf_deinit(&text);
}

static void a_head_may_have_its_limit_and_no_byte_more(void **state)
{
    /* The last line that counts ends at the limit at the latest. */
    for (size_t more = 0; more < 3; more++) {
        struct sp_buf text;
        struct sp_codec_limits limits = { .head_bytes = 300 };
        sp_buf_init(&text, 0);
        sp_buf_add_c(&text, "GET / HTTP/1.1\r\nHost: a\r\nb: ");
        add_run(&text, 'c', 300 - 2 - text.len + more);
        sp_buf_add_c(&text, "\r\n\r\n");
        check_server(&limits, &text, more ? 431 : 0);
        sp_buf_deinit(&text);
    }
}

static void a_head_without_end_is_refused_at_its_limit(void **state)
{
    struct sp_buf text;
    struct sp_codec_limits limits = { .head_bytes = 300 };
    sp_buf_init(&text, 0);
    sp_buf_add_c(&text, "GET / HTTP/1.1\r\nb: ");
    add_run(&text, 'c', 300 - text.len);
    check_server(&limits, &text, -1);
    add_run(&text, 'c', 1);
    check_server(&limits, &text, 431);
    sp_buf_deinit(&text);
}

static void limits_of_their_own_hold_when_none_are_given(void **state)
{
    struct sp_buf text;
    struct sp_codec_limits limits = { 0 };
    sp_buf_init(&text, 0);
    add_run(&text, 'a', 16 << 10);
    check_server(&limits, &text, -1);
    check_server(NULL, &text, -1);
    add_run(&text, 'a', 1);
    check_server(NULL, &text, 414);
    sp_buf_reset(&text);
    sp_buf_add_c(&text, "GET / HTTP/1.1\r\nb: ");
    add_run(&text, 'c', (64 << 10) - text.len);
    check_server(&limits, &text, -1);
    add_run(&text, 'c', 1);
    check_server(&limits, &text, 431);
    sp_buf_deinit(&text);
}

static void headers_are_counted(void **state)
{
    for (uint32_t most = 1; most <= SP_HEADERS_MAX; most += 127) {
        struct sp_buf text;
        struct sp_codec_limits limits = { .headers = most };
        sp_buf_init(&text, 0);
        sp_buf_add_c(&text, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (uint32_t i = 1; i < most; i++)
            sp_buf_add_c(&text, "b: c\r\n");
        size_t len = text.len;
        sp_buf_add_c(&text, "\r\n");
        check_server(&limits, &text, 0);
        text.len = len;
        sp_buf_add_c(&text, "d: e\r\n\r\n");
        check_server(&limits, &text, 431);
        /* Told before the head is whole. */
        text.len -= 2;
        check_server(&limits, &text, 431);
        sp_buf_deinit(&text);
    }
}

static void more_headers_than_anybody_may_allow_are_refused(void **state)
{
    struct sp_buf text;
    struct sp_codec_limits limits = { .headers = 100000 };
    sp_buf_init(&text, 0);
    sp_buf_add_c(&text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (uint32_t i = 0; i < SP_HEADERS_MAX; i++)
        sp_buf_add_c(&text, "b: c\r\n");
    sp_buf_add_c(&text, "\r\n");
    check_server(&limits, &text, 431);
    sp_buf_deinit(&text);
}

static void a_table_that_is_too_small_is_refused_not_overrun(void **state)
{
    sp_str text = SP_STR("GET / HTTP/1.1\r\nHost: a\r\nb: c\r\nd: e\r\n\r\n");
    assert_int_equal(feed(SP_ROLE_SERVER, NULL, text, 100, 3), 0);
    assert_int_equal(feed(SP_ROLE_SERVER, NULL, text, 100, 2), 431);
    sp_str chunked = SP_STR(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: b\r\nc: d\r\ne: f\r\n\r\n");
    assert_int_equal(feed(SP_ROLE_SERVER, NULL, chunked, 1000, 3), 0);
    assert_int_equal(feed(SP_ROLE_SERVER, NULL, chunked, 1000, 2), 431);
}

static void bodies_longer_than_their_limit_are_refused_by_their_length(void **state)
{
    struct sp_codec_limits limits = { .body_bytes = 5 };
    assert_int_equal(feed(SP_ROLE_SERVER, &limits,
                          SP_STR("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"), 9, 9),
                     0);
    assert_int_equal(feed(SP_ROLE_SERVER, &limits,
                          SP_STR("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n"), 9, 9),
                     413);
    assert_int_equal(
        feed(SP_ROLE_CLIENT, &limits, SP_STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), 9, 9), 0);
    assert_int_equal(
        feed(SP_ROLE_CLIENT, &limits, SP_STR("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"), 9, 9), 502);
}

static void chunk_extensions_share_one_limit(void **state)
{
    for (size_t more = 0; more < 2; more++) {
        struct sp_buf text;
        sp_buf_init(&text, 0);
        sp_buf_add_c(&text, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        /* Four times 1024 bytes from behind the semicolon to the CR, that included. */
        for (int i = 0; i < 4; i++) {
            sp_buf_add_c(&text, "1;");
            add_run(&text, 'e', 1023 + (i == 3 ? more : 0));
            sp_buf_add_c(&text, "\r\nx\r\n");
        }
        sp_buf_add_c(&text, "0\r\n\r\n");
        check_server(NULL, &text, more ? 400 : 0);
        sp_buf_deinit(&text);
    }
}

static void trailers_have_the_limits_of_a_head(void **state)
{
    static const char start[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    struct sp_codec_limits limits = { .head_bytes = 200, .headers = 5 };
    for (size_t more = 0; more < 2; more++) {
        struct sp_buf text;
        sp_buf_init(&text, 0);
        sp_buf_add_c(&text, start);
        sp_buf_add_c(&text, "a: ");
        add_run(&text, 'b', 198 - 3 + more);
        sp_buf_add_c(&text, "\r\n\r\n");
        check_server(&limits, &text, more ? 431 : 0);
        sp_buf_reset(&text);
        sp_buf_add_c(&text, start);
        for (size_t i = 0; i < 5 + more; i++)
            sp_buf_add_c(&text, "a: b\r\n");
        sp_buf_add_c(&text, "\r\n");
        check_server(&limits, &text, more ? 431 : 0);
        sp_buf_deinit(&text);
    }
}

static void interim_answers_are_counted(void **state)
{
    for (int more = 0; more < 2; more++) {
        struct sp_buf text;
        sp_buf_init(&text, 0);
        for (int i = 0; i < SP_H1_INTERIMS + more; i++)
            sp_buf_add_c(&text, "HTTP/1.1 100 Continue\r\n\r\n");
        sp_buf_add_c(&text, "HTTP/1.1 204 No Content\r\n\r\n");
        assert_int_equal(feed(SP_ROLE_CLIENT, NULL, sp_buf_str(&text), 1000, 5), more ? 502 : 0);
        sp_buf_deinit(&text);
    }
}

static void names_in_connection_are_counted(void **state)
{
    for (int more = 0; more < 2; more++) {
        struct sp_buf text;
        sp_buf_init(&text, 0);
        sp_buf_add_c(&text, "GET / HTTP/1.1\r\nHost: a\r\nConnection: a");
        for (int i = 1; i < SP_H1_CONNECTION_OPTIONS + more; i++)
            sp_buf_add_c(&text, ",, b");
        sp_buf_add_c(&text, "\r\n\r\n");
        check_server(NULL, &text, more ? 431 : 0);
        sp_buf_deinit(&text);
    }
}

static void a_name_longer_than_its_field_is_refused(void **state)
{
    struct sp_buf text;
    struct sp_codec_limits limits = { .head_bytes = 1 << 20 };
    sp_buf_init(&text, 0);
    for (size_t more = 0; more < 2; more++) {
        sp_buf_reset(&text);
        sp_buf_add_c(&text, "GET / HTTP/1.1\r\nHost: a\r\n");
        add_run(&text, 'n', UINT16_MAX + more);
        sp_buf_add_c(&text, ": v\r\n\r\n");
        assert_int_equal(feed(SP_ROLE_SERVER, &limits, sp_buf_str(&text), 4096, 5), more ? 431 : 0);
    }
    sp_buf_deinit(&text);
}

static void a_head_that_trickles_in_is_looked_at_once(void **state)
{
    struct sp_buf text;
    struct sp_codec_state st;
    struct sp_header headers[4];
    struct sp_head head = { .headers = headers, .header_cap = 4 };
    struct sp_event ev = { .head = &head };
    sp_buf_init(&text, 0);
    sp_buf_add_c(&text, "GET / HTTP/1.1\r\nHost: a\r\nb: ");
    add_run(&text, 'c', 60000);
    sp_h1_codec.init(&st, SP_ROLE_SERVER, NULL);
    for (size_t avail = 1; avail <= text.len; avail++) {
        assert_int_equal(sp_h1_codec.decode(&st, sp_str_of(text.ptr, avail), &ev), 0);
        /* At most a CR at the end is looked at again. */
        assert_true(sp_h1_of(&st)->scanned + 1 >= avail);
    }
    sp_buf_deinit(&text);
}

/* --- saved states --------------------------------------------------------------------------------------- */

static void check_load_of(enum sp_role role, size_t at, unsigned char byte, bool want)
{
    struct sp_codec_state st, before;
    unsigned char saved[SP_CODEC_STATE_BYTES];
    sp_h1_codec.init(&st, role, NULL);
    sp_h1_codec.save(&st, saved);
    saved[at] = byte;
    before = st;
    sp_err err = sp_h1_codec.load(&st, saved, NULL);
    if ((err == 0) != want)
        fail_msg("byte %zu as %u: %d", at, byte, err);
    if (err)
        assert_memory_equal(&st, &before, sizeof st);
}

static void check_load(size_t at, unsigned char byte, bool want)
{
    check_load_of(SP_ROLE_SERVER, at, byte, want);
}

static void a_clients_state_that_was_never_saved_is_not_loaded(void **state)
{
    check_load_of(SP_ROLE_CLIENT, 2, SP_H1_UNTIL_CLOSE, true);
    check_load_of(SP_ROLE_CLIENT, 2, SP_H1_HELD, false);
    check_load_of(SP_ROLE_CLIENT, 3, SP_H1_WISH_HEAD, true);
    check_load_of(SP_ROLE_CLIENT, 4, SP_H1_AGREED, false); /* a server decides */
    check_load_of(SP_ROLE_CLIENT, 9, 1, false);            /* no empty line before an answer */
}

static void a_state_that_was_never_saved_is_not_loaded(void **state)
{
    check_load(0, 1, true);
    check_load(0, 0, false); /* version */
    check_load(0, 2, false);
    check_load(1, 2, false);             /* role */
    check_load(2, SP_H1_COUNTED, false); /* with nothing left */
    check_load(2, SP_H1_CHUNK_DATA, false);
    check_load(2, SP_H1_CHUNK_SIZE, true);
    check_load(2, SP_H1_UNTIL_CLOSE, false); /* a server */
    check_load(2, SP_H1_HELD, false);        /* without a wish */
    check_load(2, SP_H1_TUNNEL, true);
    check_load(2, SP_H1_PHASE_COUNT, false);
    check_load(3, SP_H1_WISH_HEAD, false); /* a server */
    check_load(3, SP_H1_WISH_COUNT, false);
    check_load(4, SP_H1_VERDICT_COUNT, false);
    check_load(5, 2, false); /* last */
    check_load(6, SP_H1_CHUNK_DIGITS + 1, false);
    check_load(7, SP_H1_EXT_COUNT, false);
    check_load(8, SP_H1_INTERIMS + 1, false);
    check_load(9, 2, false);     /* blank */
    check_load(10, 1, false);    /* a line that has no bytes */
    check_load(12, 9, true);     /* nine bytes looked at */
    check_load(16, 9, false);    /* a line that begins behind them */
    check_load(31, 0x80, false); /* left */
}

static void any_bytes_are_loaded_and_decode_or_are_refused(void **state)
{
    static const char input[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 200000; i++) {
        struct sp_header headers[8];
        struct sp_head head = { .headers = headers, .header_cap = 8 };
        struct sp_event ev = { .head = &head };
        struct sp_codec_state st;
        unsigned char saved[SP_CODEC_STATE_BYTES] = { 1 };
        for (size_t k = 1; k < 32; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            /* Small numbers, so that most are within their range. */
            saved[k] = (unsigned char)((x >> 32) % (k < 10 ? 6 : 2) * ((x >> 40) % 3 == 0));
        }
        if (sp_h1_codec.load(&st, saved, NULL))
            continue;
        /* What stands behind `scanned` must be there, as it was when it was saved. */
        size_t have = SP_MIN(sizeof input - 1, (size_t)sp_h1_of(&st)->scanned + 30);
        if (sp_h1_of(&st)->scanned > have)
            continue;
        ssize_t used = sp_h1_codec.decode(&st, sp_str_of(input, have), &ev);
        assert_true(used <= (ssize_t)have);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_line_may_have_its_limit_and_no_byte_more),
        cmocka_unit_test(a_start_line_without_end_is_refused_at_its_limit),
        cmocka_unit_test(a_head_may_have_its_limit_and_no_byte_more),
        cmocka_unit_test(a_head_without_end_is_refused_at_its_limit),
        cmocka_unit_test(limits_of_their_own_hold_when_none_are_given),
        cmocka_unit_test(headers_are_counted),
        cmocka_unit_test(more_headers_than_anybody_may_allow_are_refused),
        cmocka_unit_test(a_table_that_is_too_small_is_refused_not_overrun),
        cmocka_unit_test(bodies_longer_than_their_limit_are_refused_by_their_length),
        cmocka_unit_test(chunk_extensions_share_one_limit),
        cmocka_unit_test(trailers_have_the_limits_of_a_head),
        cmocka_unit_test(interim_answers_are_counted),
        cmocka_unit_test(names_in_connection_are_counted),
        cmocka_unit_test(a_name_longer_than_its_field_is_refused),
        cmocka_unit_test(a_head_that_trickles_in_is_looked_at_once),
        cmocka_unit_test(a_state_that_was_never_saved_is_not_loaded),
        cmocka_unit_test(a_clients_state_that_was_never_saved_is_not_loaded),
        cmocka_unit_test(any_bytes_are_loaded_and_decode_or_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
