/* Route tables: domains, virtual hosts, what a route matches. */
#include "unit/xds/help.h"

#include "model/regex.h"
#include "wire/call.h"

/* ---- paths ---- */

static void prefix_path_and_separated_prefix_are_taken_as_written(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&table_frame,
                "virtual_hosts:\n"
                "- name: all\n"
                "  domains: [\"*\"]\n"
                "  routes:\n"
                "  - {match: {prefix: /a}, route: {cluster: out}}\n"
                "  - {match: {path: /b, case_sensitive: false}, route: {cluster: out}}\n"
                "  - {match: {path_separated_prefix: /c}, route: {cluster: out}}\n"
                "  - {match: {safe_regex: {regex: \"/d/[0-9]+\"}}, route: {cluster: out}}\n"
                "  - {match: {connect_matcher: {}}, route: {cluster: out}}\n",
                &l);
    const struct sp_route *routes = route_of(&l);
    assert_int_equal(routes[0].match.kind, SP_PATH_PREFIX);
    check_str(routes[0].match.path, "/a");
    assert_false(routes[0].match.ignore_case);
    assert_int_equal(routes[0].match.fraction_ppm, 1000000);
    assert_int_equal(routes[1].match.kind, SP_PATH_EXACT);
    assert_true(routes[1].match.ignore_case);
    assert_int_equal(routes[2].match.kind, SP_PATH_SEPARATED_PREFIX);
    assert_int_equal(routes[3].match.kind, SP_PATH_REGEX);
    bool hit = false;
    assert_int_equal(sp_regex_match(routes[3].match.regex, SP_STR("/d/17"), &hit), 0);
    assert_true(hit);
    assert_int_equal(routes[4].match.kind, SP_PATH_CONNECT);
    assert_true(routes[4].connect);
    assert_false(routes[3].connect);
    unload(&l);
}

static void a_separated_prefix_starts_with_a_slash_and_does_not_end_with_one(void **state)
{
    (void)state;
    static const char words[] =
        "1:32: match.path_separated_prefix: must start with / and not end with it, and "
        "hold no ? or #\n";
    check_says(&route_frame, "match: {path_separated_prefix: a}\nroute: {cluster: out}", words);
    check_says(&route_frame, "match: {path_separated_prefix: /a/}\nroute: {cluster: out}", words);
    check_says(&route_frame, "match: {path_separated_prefix: /}\nroute: {cluster: out}", words);
    check_says(&route_frame, "match: {path_separated_prefix: /a?b}\nroute: {cluster: out}", words);
    check_fine(&route_frame, "match: {path_separated_prefix: /a/b}\nroute: {cluster: out}");
}

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

/* ---- shares ---- */

static uint32_t share(const char *fraction)
{
    struct loaded l;
    struct sp_buf text;
    sp_buf_init(&text, 0);
    sp_buf_printf(&text, "match: {prefix: /, runtime_fraction: {default_value: %s}}\nroute: {cluster: out}%c",
                  fraction, 0);
    check_takes(&route_frame, text.ptr, &l);
    uint32_t ppm = route_of(&l)->match.fraction_ppm;
    unload(&l);
    sp_buf_deinit(&text);
    return ppm;
}

static void a_fraction_counts_in_millionths_whatever_its_denominator(void **state)
{
    (void)state;
    assert_int_equal(share("{numerator: 25}"), 250000);
    assert_int_equal(share("{numerator: 25, denominator: TEN_THOUSAND}"), 2500);
    assert_int_equal(share("{numerator: 25, denominator: MILLION}"), 25);
    assert_int_equal(share("{numerator: 100}"), 1000000);
    assert_int_equal(share("{numerator: 0}"), 0);
}

static void more_than_the_whole_is_no_fraction(void **state)
{
    (void)state;
    check_says(
        &route_frame,
        "match:\n  prefix: /\n  runtime_fraction: {default_value: {numerator: 101}}\nroute: {cluster: out}",
        "3:49: match.runtime_fraction.default_value.numerator: is more than the whole\n");
    check_says(&route_frame,
               "match:\n  prefix: /\n"
               "  runtime_fraction: {default_value: {numerator: 4294967295, denominator: TEN_THOUSAND}}\n"
               "route: {cluster: out}",
               "3:49: match.runtime_fraction.default_value.numerator: is more than the whole\n");
}

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
        "match:\n  prefix: /\n  headers:\n  - {name: a, range_match: {start: 5, end: 5}}\nroute: {cluster: out}",
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

/* ---- RPC ---- */

static void rpc_tables_compare_domains_byte_for_byte(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(
        &rpc_table_frame,
        "virtual_hosts:\n"
        "- {name: a, domains: [\"com.acme.Echo:1.0\"], routes: [{match: {prefix: /}, route: {cluster: bolt}}]}\n"
        "- {name: b, domains: [\"com.acme.echo:1.0\"], routes: [{match: {prefix: /}, route: {cluster: bolt}}]}\n",
        &l);
    const struct sp_route_table *table = chain_of(&l)->routes;
    assert_false(table->fold_domains);
    assert_ptr_equal(sp_route_table_vhost(table, SP_STR("com.acme.Echo:1.0")), &table->vhosts[0]);
    assert_ptr_equal(sp_route_table_vhost(table, SP_STR("com.acme.echo:1.0")), &table->vhosts[1]);
    assert_null(sp_route_table_vhost(table, SP_STR("com.acme.ECHO:1.0")));
    unload(&l);
}

static void what_has_no_meaning_in_rpc_is_refused(void **state)
{
    (void)state;
    check_says(&rpc_route_frame, "match: {connect_matcher: {}}\nroute: {cluster: bolt}",
               "1:9: match.connect_matcher: has no meaning in RPC: CONNECT is HTTP's\n");
    check_says(&rpc_route_frame,
               "match:\n  prefix: /\n  query_parameters: [{name: a}]\nroute: {cluster: bolt}",
               "3:3: match.query_parameters: have no meaning in RPC: a path has no query there\n");
    check_says(&rpc_route_frame, "match: {prefix: /}\nredirect: {host_redirect: a}",
               "2:1: redirect: an RPC call cannot be redirected; write route: {cluster: ...}\n");
    check_says(
        &rpc_route_frame, "match: {prefix: /}\nroute:\n  cluster: bolt\n  prefix_rewrite: /a",
        "4:19: route.prefix_rewrite: has no meaning in RPC: service and method also stand in the body\n");
    check_says(
        &rpc_route_frame, "match: {prefix: /}\nroute:\n  cluster: bolt\n  host_rewrite_literal: a",
        "4:25: route.host_rewrite_literal: has no meaning in RPC: service and method also stand in the body\n");
    check_says(&rpc_route_frame,
               "match: {prefix: /}\nroute:\n  cluster: bolt\n  hash_policy: [{cookie: {name: a}}]",
               "4:18: route.hash_policy[0].cookie: has no meaning in RPC; hash a header\n");
}

static void a_direct_response_is_fine_in_rpc(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&rpc_route_frame, "match: {prefix: /}\ndirect_response: {status: 503}", &l);
    assert_int_equal(route_of(&l)->kind, SP_ROUTE_DIRECT);
    assert_int_equal(route_of(&l)->direct_status, 503);
    unload(&l);
}

/* ---- domains ---- */

static void bad_domains_are_all_told(void **state)
{
    (void)state;
    static const char words[] = "is no domain: a name, with one * at its beginning or end, or * alone\n";
    char want[1024];
    snprintf(want, sizeof(want),
             "3:13: virtual_hosts[0].domains[0]: %s3:21: virtual_hosts[0].domains[1]: %s"
             "3:29: virtual_hosts[0].domains[2]: %s3:33: virtual_hosts[0].domains[3]: %s",
             words, words, words, words);
    check_says(&table_frame,
               "virtual_hosts:\n- name: a\n  domains: [\"a*.b\", \"*a.*\", \"\", \"a b\"]\n"
               "  routes: [{match: {prefix: /}, route: {cluster: out}}]",
               want);
}

static void the_same_domain_twice_names_the_other_virtual_host(void **state)
{
    (void)state;
    check_says(&table_frame,
               "virtual_hosts:\n"
               "- {name: a, domains: [a.example, \"*.b\", \"*\"]}\n"
               "- name: b\n"
               "  domains:\n"
               "  - A.example\n"
               "  - \"*.b\"\n"
               "  - c.*\n"
               "  - \"*\"\n"
               "- name: c\n"
               "  domains: [c.*]\n",
               "5:5: virtual_hosts[1].domains[0]: A.example stands twice; virtual host a has it too\n"
               "6:5: virtual_hosts[1].domains[1]: *.b stands twice; virtual host a has it too\n"
               "8:5: virtual_hosts[1].domains[3]: * stands twice; virtual host a has it too\n"
               "10:13: virtual_hosts[2].domains[0]: c.* stands twice; virtual host b has it too\n");
}

static void virtual_hosts_of_one_name_are_an_error(void **state)
{
    (void)state;
    check_says(&table_frame, "virtual_hosts:\n- {name: a, domains: [a]}\n- {name: a, domains: [b]}",
               "3:10: virtual_hosts[1].name: another virtual host of this table has this name\n");
}

static void a_table_finds_its_virtual_hosts(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&table_frame,
                "ignore_port_in_host_matching: true\n"
                "virtual_hosts:\n"
                "- {name: a, domains: [A.example, \"*.b.example\"]}\n"
                "- {name: c, domains: [c.*]}\n"
                "- {name: rest, domains: [\"*\"]}\n",
                &l);
    const struct sp_route_table *table = chain_of(&l)->routes;
    assert_true(table->fold_domains && table->ignore_port);
    check_str(sp_route_table_vhost(table, SP_STR("a.example"))->name, "a");
    check_str(sp_route_table_vhost(table, SP_STR("a.example:80"))->name, "a");
    check_str(sp_route_table_vhost(table, SP_STR("x.b.example"))->name, "a");
    check_str(sp_route_table_vhost(table, SP_STR("c.org"))->name, "c");
    check_str(sp_route_table_vhost(table, SP_STR("d"))->name, "rest");
    unload(&l);
}

/* ---- by itself ---- */

static void a_table_of_its_own_is_a_resource(void **state)
{
    (void)state;
    struct sp_arena arena;
    struct sp_form_doc doc;
    struct sp_resource *resource = NULL;
    void *msg;
    sp_arena_init(&arena, NULL, 0, 4096, 0);
    assert_int_equal(sp_form_doc_init(&doc, &arena, "r.yaml"), 0);
    sp_str text = SP_STR(
        "name: table\nvirtual_hosts: [{name: a, domains: [a], routes: [{match: {prefix: /}, route: "
        "{cluster: nowhere}}]}]");
    assert_int_equal(sp_form_read_yaml(&doc, &sp_pb_route_route_configuration_msg, text, 0, &msg), 0);
    struct sp_vec uses;
    sp_vec_init(&uses, sizeof(struct sp_xds_use));
    struct sp_xds_reading in = { .doc = &doc, .uses = &uses };
    assert_int_equal(sp_xds_routes(&in, msg, false, &resource), 0);
    assert_int_equal(resource->kind, SP_RESOURCE_ROUTES);
    check_str(resource->name, "table");
    assert_true(resource->routes->vhosts[0].routes[0].upgrade_websocket);
    assert_int_equal(uses.len, 1);
    check_str(((struct sp_xds_use *)sp_vec_at(&uses, 0))->cluster, "nowhere");
    sp_vec_deinit(&uses);
    sp_arena_deinit(&arena);
    check_str(resource->routes->vhosts[0].domains[0], "a"); /* a copy */
    sp_resource_unref(resource);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefix_path_and_separated_prefix_are_taken_as_written),
        cmocka_unit_test(a_separated_prefix_starts_with_a_slash_and_does_not_end_with_one),
        cmocka_unit_test(a_regex_that_does_not_compile_is_told_with_its_place_and_why),
        cmocka_unit_test(back_references_are_refused_as_re2_does),
        cmocka_unit_test(a_fraction_counts_in_millionths_whatever_its_denominator),
        cmocka_unit_test(more_than_the_whole_is_no_fraction),
        cmocka_unit_test(header_conditions_have_one_form_whatever_their_spelling),
        cmocka_unit_test(a_range_without_a_number_in_it_is_an_error),
        cmocka_unit_test(query_parameters_are_matched_by_value_or_presence),
        cmocka_unit_test(rpc_tables_compare_domains_byte_for_byte),
        cmocka_unit_test(what_has_no_meaning_in_rpc_is_refused),
        cmocka_unit_test(a_direct_response_is_fine_in_rpc),
        cmocka_unit_test(bad_domains_are_all_told),
        cmocka_unit_test(the_same_domain_twice_names_the_other_virtual_host),
        cmocka_unit_test(virtual_hosts_of_one_name_are_an_error),
        cmocka_unit_test(a_table_finds_its_virtual_hosts),
        cmocka_unit_test(a_table_of_its_own_is_a_resource),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
