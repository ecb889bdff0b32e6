/* Conditions on headers and parameters, and regexes. */
#include "unit/xds/help.h"

#include "model/regex.h"
#include "wire/call.h"

/* ---- headers and parameters ---- */

static void header_conditions_have_one_form_whatever_their_spelling(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&route_frame,
                "match:\n"
                "  prefix: /\n"
                "  headers:\n"
                "  - {name: a}\n"
                "  - {name: b, exact_match: x}\n"
                "  - {name: c, string_match: {prefix: x, ignore_case: true}, invert_match: true}\n"
                "  - {name: d, suffix_match: x}\n"
                "  - {name: e, string_match: {contains: x}, treat_missing_header_as_empty: true}\n"
                "  - {name: f, string_match: {safe_regex: {regex: x}}}\n"
                "  - {name: g, range_match: {start: -1, end: 10}}\n"
                "  - {name: h, present_match: false}\n"
                "  - {name: user-agent, prefix_match: x}\n"
                "  - {name: x-envoy-a, contains_match: x}\n"
                "  - {name: i, safe_regex_match: {google_re2: {}, regex: x}}\n"
                "  - {name: j, string_match: {suffix: x}}\n"
                "route: {cluster: out}",
                &l);
    const struct sp_match *m = route_of(&l)->match.headers;
    assert_int_equal(route_of(&l)->match.header_count, 12);
    assert_int_equal(m[0].kind, SP_MATCH_PRESENT);
    assert_true(m[0].want_present);
    assert_int_equal(m[1].kind, SP_MATCH_EXACT);
    check_str(m[1].text, "x");
    assert_int_equal(m[2].kind, SP_MATCH_PREFIX);
    assert_true(m[2].ignore_case && m[2].invert && !m[2].missing_is_empty);
    assert_int_equal(m[3].kind, SP_MATCH_SUFFIX);
    assert_int_equal(m[4].kind, SP_MATCH_CONTAINS);
    assert_true(m[4].missing_is_empty);
    assert_int_equal(m[5].kind, SP_MATCH_REGEX);
    assert_non_null(m[5].regex);
    assert_int_equal(m[6].kind, SP_MATCH_RANGE);
    assert_true(m[6].range_start == -1 && m[6].range_end == 10);
    assert_int_equal(m[7].kind, SP_MATCH_PRESENT);
    assert_false(m[7].want_present);
    assert_int_equal(m[8].id, SP_HDR_USER_AGENT);
    assert_int_equal(m[9].id, SP_HDR_OTHER); /* one number for all of x-envoy-*: it goes by name */
    check_str(m[9].name, "x-envoy-a");
    assert_int_equal(m[10].kind, SP_MATCH_REGEX);
    assert_int_equal(m[11].kind, SP_MATCH_SUFFIX);
    unload(&l);
}

static void a_range_without_a_number_in_it_is_an_error(void **state)
{
    (void)state;
    check_says(
        &route_frame,
        "match:\n  prefix: /\n  headers:\n  - {name: a, range_match: {start: 5, end: 5}}\nroute: {cluster: "
        "out}",
        "4:15: match.headers[0].range_match: holds no number: start is in the range, end is not\n");
}

static void query_parameters_are_matched_by_value_or_presence(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(
        &route_frame,
        "match:\n  prefix: /\n  query_parameters:\n"
        "  - {name: a}\n  - {name: b, present_match: false}\n  - {name: c, string_match: {exact: x}}\n"
        "route: {cluster: out}",
        &l);
    const struct sp_match *m = route_of(&l)->match.params;
    assert_int_equal(route_of(&l)->match.param_count, 3);
    assert_true(m[0].kind == SP_MATCH_PRESENT && m[0].want_present);
    assert_true(m[1].kind == SP_MATCH_PRESENT && !m[1].want_present);
    assert_true(m[2].kind == SP_MATCH_EXACT);
    unload(&l);
}

/* ---- regexes ---- */

static void a_regex_that_does_not_compile_is_told_with_its_place_and_why(void **state)
{
    (void)state;
    struct loaded l;
    struct sp_buf text;
    sp_buf_init(&text, 0);
    put_fragment(&route_frame, "match: {safe_regex: {regex: \"(a\"}}\nroute: {cluster: out}", &text);
    load(&l, "f.yaml", sp_buf_str(&text));
    assert_int_equal(l.err, SP_E_INVALID);
    assert_int_equal(l.doc.errors_len, 1);
    assert_non_null(strstr(l.doc.errors[0].text, "is not a regex that RE2 takes: "));
    assert_non_null(strstr(l.doc.errors[0].path, "routes[0].match.safe_regex.regex"));
    unload(&l);
    sp_buf_deinit(&text);
}

static void back_references_are_refused_as_re2_does(void **state)
{
    (void)state;
    struct loaded l;
    struct sp_buf text;
    sp_buf_init(&text, 0);
    put_fragment(&route_frame, "match: {safe_regex: {regex: \"(a)\\\\1\"}}\nroute: {cluster: out}", &text);
    load(&l, "f.yaml", sp_buf_str(&text));
    assert_int_equal(l.doc.errors_len, 1);
    assert_non_null(strstr(l.doc.errors[0].text, "is not a regex that RE2 takes: "));
    unload(&l);
    sp_buf_deinit(&text);
}

static void a_regex_matches_as_re2_does(void **state)
{
    (void)state;
    struct loaded l;
    bool hit;
    check_takes(&route_frame,
                "match: {safe_regex: {google_re2: {}, regex: \"/v[0-9]+\"}}\nroute: {cluster: out}", &l);
    assert_int_equal(sp_regex_match(route_of(&l)->match.regex, SP_STR("/v12"), &hit), 0);
    assert_true(hit);
    assert_int_equal(sp_regex_match(route_of(&l)->match.regex, SP_STR("/v12/more"), &hit), 0);
    assert_false(hit); /* the whole string, and not a part */
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_conditions_have_one_form_whatever_their_spelling),
        cmocka_unit_test(a_range_without_a_number_in_it_is_an_error),
        cmocka_unit_test(query_parameters_are_matched_by_value_or_presence),
        cmocka_unit_test(a_regex_that_does_not_compile_is_told_with_its_place_and_why),
        cmocka_unit_test(back_references_are_refused_as_re2_does),
        cmocka_unit_test(a_regex_matches_as_re2_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
