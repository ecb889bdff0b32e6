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

/* ---- RPC ---- */

static void rpc_tables_compare_domains_byte_for_byte(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(
        &rpc_table_frame,
        "virtual_hosts:\n"
        "- {name: a, domains: [\"com.acme.Echo:1.0\"], routes: [{match: {prefix: /}, route: {cluster: "
        "bolt}}]}\n"
        "- {name: b, domains: [\"com.acme.echo:1.0\"], routes: [{match: {prefix: /}, route: {cluster: "
        "bolt}}]}\n",
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
        "4:25: route.host_rewrite_literal: has no meaning in RPC: service and method also stand in the "
        "body\n");
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
        cmocka_unit_test(a_fraction_counts_in_millionths_whatever_its_denominator),
        cmocka_unit_test(more_than_the_whole_is_no_fraction),
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
