/* Formats of access log lines: text to parts. */
#include "model/logformat.h"

#include "base/arena.h"
#include "base/rng.h"
#include "unit/base/help.h"

struct read {
    struct sp_arena arena;
    struct sp_log_part *parts;
    uint32_t count;
    const char *why;
    sp_err err;
};

static void parse(struct read *r, sp_str text)
{
    *r = (struct read){ .why = "" };
    sp_arena_init(&r->arena, NULL, 0, 1024, 0);
    r->err = sp_log_format_parse(text, &r->arena, &r->parts, &r->count, &r->why);
}

static void check_part(const struct read *r, uint32_t i, enum sp_log_op op, const char *text)
{
    assert_int_equal(r->err, 0);
    assert_true(i < r->count);
    assert_int_equal(r->parts[i].op, op);
    check_str(r->parts[i].text, text);
}

static void check_refused(const char *text, sp_err err, const char *why)
{
    struct read r;
    parse(&r, sp_str_c(text));
    assert_int_equal(r.err, err);
    assert_string_equal(r.why, why);
    sp_arena_deinit(&r.arena);
}

static void text_and_operators_alternate(void **state)
{
    (void)state;
    struct read r;
    parse(&r, SP_STR("a %RESPONSE_CODE% b%DURATION%%DURATION%\n"));
    assert_int_equal(r.count, 6);
    check_part(&r, 0, SP_LOG_OP_LITERAL, "a ");
    check_part(&r, 1, SP_LOG_OP_RESPONSE_CODE, "");
    check_part(&r, 2, SP_LOG_OP_LITERAL, " b");
    check_part(&r, 3, SP_LOG_OP_DURATION, "");
    check_part(&r, 4, SP_LOG_OP_DURATION, "");
    check_part(&r, 5, SP_LOG_OP_LITERAL, "\n");
    sp_arena_deinit(&r.arena);
}

static void an_empty_format_has_no_parts(void **state)
{
    (void)state;
    struct read r;
    parse(&r, SP_STR(""));
    assert_int_equal(r.err, 0);
    assert_int_equal(r.count, 0);
    sp_arena_deinit(&r.arena);
}

static void two_per_cent_signs_are_one(void **state)
{
    (void)state;
    struct read r;
    parse(&r, SP_STR("100%%%%x%%"));
    assert_int_equal(r.count, 5);
    check_part(&r, 0, SP_LOG_OP_LITERAL, "100");
    check_part(&r, 1, SP_LOG_OP_LITERAL, "%");
    check_part(&r, 2, SP_LOG_OP_LITERAL, "%");
    check_part(&r, 3, SP_LOG_OP_LITERAL, "x");
    check_part(&r, 4, SP_LOG_OP_LITERAL, "%");
    sp_arena_deinit(&r.arena);
}

static void headers_have_slots_and_a_second_choice(void **state)
{
    (void)state;
    struct read r;
    parse(
        &r,
        SP_STR("%REQ(:Method)%%REQ(X-REQUEST-ID?USER-AGENT):12%%REQ(HOST)%%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"
               "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%%REQ(x-forwarded-for)%"));
    assert_int_equal(r.count, 6);
    assert_int_equal(r.parts[0].header, SP_LOG_HEADER_METHOD);
    assert_int_equal(r.parts[0].or_header, SP_LOG_HEADER_NONE);
    assert_int_equal(r.parts[0].max_bytes, 0);
    assert_int_equal(r.parts[1].header, SP_LOG_HEADER_REQUEST_ID);
    assert_int_equal(r.parts[1].or_header, SP_LOG_HEADER_USER_AGENT);
    assert_int_equal(r.parts[1].max_bytes, 12);
    assert_int_equal(r.parts[2].header, SP_LOG_HEADER_AUTHORITY);
    assert_int_equal(r.parts[3].header, SP_LOG_HEADER_PATH);
    assert_int_equal(r.parts[3].or_header, SP_LOG_HEADER_NONE); /* both names mean the path as it came */
    assert_int_equal(r.parts[4].op, SP_LOG_OP_UPSTREAM_SERVICE_TIME);
    assert_int_equal(r.parts[5].header, SP_LOG_HEADER_FORWARDED_FOR);
    sp_arena_deinit(&r.arena);
}

static void a_start_time_may_have_a_format(void **state)
{
    (void)state;
    struct read r;
    parse(&r, SP_STR("%START_TIME%|%START_TIME(%Y/%m/%dT%H:%M:%S.%3f%z %s %F %T %f %6f %9f 100%%)%"));
    assert_int_equal(r.count, 3);
    check_part(&r, 0, SP_LOG_OP_START_TIME, "");
    check_part(&r, 2, SP_LOG_OP_START_TIME, "%Y/%m/%dT%H:%M:%S.%3f%z %s %F %T %f %6f %9f 100%%");
    sp_arena_deinit(&r.arena);
    static const char why[] = "; it knows %Y %m %d %H %M %S %F %T %s %z, %f, %3f, %6f and %9f";
    char want[256];
    snprintf(want, sizeof(want), "START_TIME does not know %%j%s", why);
    check_refused("%START_TIME(%j)%", SP_E_UNSUPPORTED, want);
    snprintf(want, sizeof(want), "START_TIME does not know %%4%s", why);
    check_refused("%START_TIME(%4f)%", SP_E_UNSUPPORTED, want);
    snprintf(want, sizeof(want), "START_TIME does not know %%%s", why);
    check_refused("%START_TIME(x%)%", SP_E_UNSUPPORTED, want);
}

static void every_operator_is_found_by_its_name(void **state)
{
    (void)state;
    assert_null(sp_log_op_name(SP_LOG_OP_LITERAL));
    assert_null(sp_log_op_name(SP_LOG_OPS));
    for (int op = SP_LOG_OP_LITERAL + 1; op < SP_LOG_OPS; op++) {
        struct read r;
        char text[128];
        const char *name = sp_log_op_name((enum sp_log_op)op);
        assert_non_null(name);
        if (op == SP_LOG_OP_REQ || op == SP_LOG_OP_RESP)
            continue; /* they want arguments */
        snprintf(text, sizeof(text), "%%%s%%", name);
        parse(&r, sp_str_c(text));
        assert_int_equal(r.err, 0);
        assert_int_equal(r.parts[0].op, op);
        sp_arena_deinit(&r.arena);
    }
    struct read r;
    parse(&r, SP_STR("%UPSTREAM_CLUSTER_RAW%"));
    assert_int_equal(r.parts[0].op, SP_LOG_OP_UPSTREAM_CLUSTER);
    sp_arena_deinit(&r.arena);
}

static void what_cannot_be_written_is_refused_in_words(void **state)
{
    (void)state;
    check_refused("%GRPC_STATUS%", SP_E_UNSUPPORTED, "the operator %GRPC_STATUS% is not supported");
    check_refused("%GRPC_STATUSES%", SP_E_INVALID,
                  "there is no operator %GRPC_STATUSES%; a per cent sign itself is written %%");
    check_refused("50%", SP_E_INVALID, "there is no operator %%; a per cent sign itself is written %%");
    check_refused("%duration%", SP_E_INVALID,
                  "there is no operator %duration%; a per cent sign itself is written %%");
    check_refused("%DURATION", SP_E_INVALID, "a per cent sign is missing behind %DURATION");
    check_refused("%DURATION(1)%", SP_E_INVALID, "the operator %DURATION% takes no argument");
    check_refused("%REQ(:path%", SP_E_INVALID, "the parenthesis of %REQ is not closed");
    check_refused("%DURATION:x%", SP_E_INVALID,
                  "after the colon of %DURATION% a length from 1 to 65536 is expected");
    check_refused("%DURATION:0%", SP_E_INVALID,
                  "after the colon of %DURATION% a length from 1 to 65536 is expected");
    check_refused("%REQ(TRACEPARENT)%", SP_E_UNSUPPORTED,
                  "of traceparent the id alone is kept; write %TRACE_ID%");
    check_refused(
        "%REQ(COOKIE)%", SP_E_UNSUPPORTED,
        "the header \"COOKIE\" is not kept for logs; these are: :method, :path, :authority, user-agent, "
        "x-request-id, x-forwarded-for");
    check_refused(
        "%REQ(:path?COOKIE)%", SP_E_UNSUPPORTED,
        "the header \"COOKIE\" is not kept for logs; these are: :method, :path, :authority, user-agent, "
        "x-request-id, x-forwarded-for");
    check_refused("%RESP(SERVER)%", SP_E_UNSUPPORTED,
                  "of a response only x-envoy-upstream-service-time is kept for logs, not \"SERVER\"");
}

static void envoy_s_line_can_be_written(void **state)
{
    (void)state;
    struct read r;
    parse(&r, sp_log_format_default);
    assert_int_equal(r.err, 0);
    assert_int_equal(r.parts[r.count - 1].op, SP_LOG_OP_LITERAL);
    check_str(r.parts[r.count - 1].text, "\"\n");
    sp_arena_deinit(&r.arena);
}

static void there_are_256_parts_at_most(void **state)
{
    (void)state;
    char text[257 * 2 + 1];
    struct read r;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = '%';
    parse(&r, sp_str_of(text, 256 * 2));
    assert_int_equal(r.err, 0);
    assert_int_equal(r.count, 256);
    sp_arena_deinit(&r.arena);
    parse(&r, sp_str_of(text, 257 * 2));
    assert_int_equal(r.err, SP_E_LIMIT);
    sp_arena_deinit(&r.arena);
}

/* Pieces of formats in any order: no byte outside the text is read, and literals are the text's own. */
static void run_any_text(uint64_t seed)
{
    static const char *const pieces[] = { "%",        "%%",    "(", ")", ":",   "REQ",
                                          "DURATION", ":path", "?", "9", "x y", "START_TIME" };
    struct sp_rng rng;
    char text[256];
    size_t len = 0;
    sp_rng_init(&rng, seed);
    for (uint64_t n = sp_rng_below(&rng, 20); n; n--) {
        const char *piece = pieces[sp_rng_below(&rng, SP_COUNTOF(pieces))];
        memcpy(text + len, piece, strlen(piece));
        len += strlen(piece);
    }
    char *exact = malloc(len ? len : 1);
    memcpy(exact, text, len);
    struct read r;
    parse(&r, sp_str_of(exact, len));
    size_t sum = 0;
    for (uint32_t i = 0; i < (r.err ? 0 : r.count); i++) {
        sum += r.parts[i].text.len;
        bool inside = !r.parts[i].text.len || (r.parts[i].text.ptr >= exact &&
                                               r.parts[i].text.ptr + r.parts[i].text.len <= exact + len);
        check_seed(seed, inside);
    }
    check_seed(seed, sum <= len);
    check_seed(seed, !r.err || *r.why);
    sp_arena_deinit(&r.arena);
    free(exact);
}

static void any_text_is_read_or_refused(void **state)
{
    (void)state;
    each_seed(5000, run_any_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_operators_alternate),
        cmocka_unit_test(an_empty_format_has_no_parts),
        cmocka_unit_test(two_per_cent_signs_are_one),
        cmocka_unit_test(headers_have_slots_and_a_second_choice),
        cmocka_unit_test(a_start_time_may_have_a_format),
        cmocka_unit_test(every_operator_is_found_by_its_name),
        cmocka_unit_test(what_cannot_be_written_is_refused_in_words),
        cmocka_unit_test(envoy_s_line_can_be_written),
        cmocka_unit_test(there_are_256_parts_at_most),
        cmocka_unit_test(any_text_is_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
