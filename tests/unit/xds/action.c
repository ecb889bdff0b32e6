/* Actions of routes: clusters, weights, times, retries, hashes, redirects, answers of our own. */
#include "unit/xds/help.h"

#define MATCH "match: {prefix: /}\n"

/* ---- times ---- */

static void a_route_gives_fifteen_seconds_unless_told(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&route_frame, MATCH "route: {cluster: out}", &l);
    assert_int_equal(route_of(&l)->timeout_ns, 15 * NS_PER_S);
    assert_int_equal(route_of(&l)->idle_timeout_ns, 0);
    assert_int_equal(route_of(&l)->retry.on, 0);
    assert_int_equal(route_of(&l)->retry.retries, 0);
    unload(&l);
    check_takes(&route_frame, MATCH "route: {cluster: out, timeout: 0s, idle_timeout: 1.5s}", &l);
    assert_int_equal(route_of(&l)->timeout_ns, 0);
    assert_int_equal(route_of(&l)->idle_timeout_ns, 1500 * NS_PER_MS);
    unload(&l);
}

static void an_idle_timeout_of_zero_means_never_and_not_as_the_chain_has_it(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&route_frame, MATCH "route: {cluster: out, idle_timeout: 0s}", &l);
    assert_true(route_of(&l)->idle_timeout_ns > 86400 * NS_PER_S);
    unload(&l);
}

/* ---- clusters ---- */

static void weights_are_taken_as_written(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&route_frame,
                MATCH "route:\n  priority: DEFAULT\n  cluster_not_found_response_code: SERVICE_UNAVAILABLE\n"
                      "  weighted_clusters:\n    total_weight: 3\n    clusters:\n"
                      "    - {name: out, weight: 3, request_headers_to_add: [{header: {key: A, value: b}}]}\n"
                      "    - {name: other, weight: 0}\n",
                &l);
    const struct sp_route *route = route_of(&l);
    assert_int_equal(route->weighted_count, 2);
    assert_int_equal(route->weight_total, 3);
    check_str(route->weighted[0].cluster, "out");
    assert_int_equal(route->weighted[0].weight, 3);
    check_str(route->weighted[0].request.add[0].name, "a");
    assert_int_equal(route->weighted[1].weight, 0);
    unload(&l);
}

static void weights_that_lead_nowhere_are_an_error(void **state)
{
    (void)state;
    check_says(
        &route_frame,
        MATCH
        "route:\n  weighted_clusters:\n    clusters: [{name: out, weight: 0}, {name: other, weight: 0}]",
        "4:5: route.weighted_clusters.clusters: the weights sum up to 0; they must be more than 0 and fit "
        "into 32 "
        "bits\n");
    check_says(
        &route_frame,
        MATCH "route:\n  weighted_clusters:\n    clusters: [{name: out, weight: 4294967295}, {name: other, "
              "weight: 1}]",
        "4:5: route.weighted_clusters.clusters: the weights sum up to 4294967296; they must be more than 0 "
        "and fit "
        "into 32 bits\n");
    check_says(&route_frame, MATCH "route:\n  weighted_clusters:\n    clusters: [{name: out}, {weight: 1}]",
               "4:16: route.weighted_clusters.clusters[0].weight: is missing; 0 means no call\n"
               "4:29: route.weighted_clusters.clusters[1].name: must not be empty\n");
    check_says(&route_frame,
               MATCH
               "route:\n  weighted_clusters:\n    total_weight: 100\n    clusters: [{name: out, weight: 90}]",
               "4:19: route.weighted_clusters.total_weight: is not the sum of the weights, which is 90\n");
}

static void a_cluster_that_does_not_exist_is_an_error_with_a_near_miss(void **state)
{
    (void)state;
    check_says(&route_frame, MATCH "route: {cluster: ohter}",
               "2:18: route.cluster: there is no cluster ohter; did you mean other?\n");
    check_says(&route_frame,
               MATCH "route:\n  weighted_clusters:\n    clusters: [{name: zzzzzzzzz, weight: 1}]",
               "4:23: route.weighted_clusters.clusters[0].name: there is no cluster zzzzzzzzz\n");
}

static void validate_clusters_off_lets_a_cluster_be_missing(void **state)
{
    (void)state;
    check_fine(
        &table_frame,
        "validate_clusters: false\n"
        "virtual_hosts: [{name: a, domains: [a], routes: [{match: {prefix: /}, route: {cluster: x}}]}]");
}

static void a_header_may_name_the_cluster(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&route_frame, MATCH "route: {cluster_header: x-to}", &l);
    check_str(route_of(&l)->cluster_header, "x-to");
    assert_int_equal(route_of(&l)->cluster.len, 0);
    unload(&l);
}

/* ---- retries ---- */

static void connect_failure_is_retried_once_after_25_ms_unless_told(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&route_frame, MATCH "route: {cluster: out, retry_policy: {retry_on: connect-failure}}", &l);
    const struct sp_retry *retry = &route_of(&l)->retry;
    assert_int_equal(retry->on, SP_RETRY_CONNECT_FAILURE);
    assert_int_equal(retry->retries, 1);
    assert_int_equal(retry->back_off_ns, 25 * NS_PER_MS);
    assert_int_equal(retry->back_off_max_ns, 250 * NS_PER_MS);
    assert_int_equal(retry->per_try_ns, 0);
    unload(&l);
    check_takes_by_wire(
        &route_frame,
        MATCH
        "route:\n  cluster: out\n  retry_policy:\n    retry_on: \"connect-failure, connect-failure\"\n"
        "    num_retries: 3\n    per_try_timeout: 1s\n    retry_back_off: {base_interval: 1s, max_interval: "
        "2s}\n",
        &l);
    retry = &route_of(&l)->retry;
    assert_int_equal(retry->retries, 3);
    assert_int_equal(retry->per_try_ns, NS_PER_S);
    assert_int_equal(retry->back_off_ns, NS_PER_S);
    assert_int_equal(retry->back_off_max_ns, 2 * NS_PER_S);
    unload(&l);
}

static void a_virtual_host_may_have_the_retry_policy(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&table_frame,
                "virtual_hosts:\n- name: a\n  domains: [\"*\"]\n  retry_policy: {retry_on: connect-failure, "
                "num_retries: 2}\n"
                "  routes: [{match: {prefix: /}, route: {cluster: out}}]",
                &l);
    assert_int_equal(route_of(&l)->retry.on, SP_RETRY_CONNECT_FAILURE);
    assert_int_equal(route_of(&l)->retry.retries, 2);
    unload(&l);
    check_takes(&table_frame, /* a route's own takes its place whole, even an empty one */
                "virtual_hosts:\n- name: a\n  domains: [\"*\"]\n  retry_policy: {retry_on: connect-failure, "
                "num_retries: 2}\n"
                "  routes: [{match: {prefix: /}, route: {cluster: out, retry_policy: {}}}]",
                &l);
    assert_int_equal(route_of(&l)->retry.on, 0);
    assert_int_equal(route_of(&l)->retry.retries, 0);
    unload(&l);
}

static void other_retry_conditions_are_refused_by_name(void **state)
{
    (void)state;
    check_says(
        &route_frame,
        MATCH "route: {cluster: out, retry_policy: {retry_on: \"5xx,connect-failure,gateway-error\"}}",
        "2:48: route.retry_policy.retry_on: 5xx is not supported: calls are only repeated while no byte of "
        "them has "
        "left; write connect-failure\n"
        "2:48: route.retry_policy.retry_on: gateway-error is not supported: calls are only repeated while "
        "no byte of "
        "them has left; write connect-failure\n");
    check_says(&route_frame, MATCH "route: {cluster: out, retry_policy: {retry_on: conect-failure}}",
               "2:48: route.retry_policy.retry_on: \"conect-failure\" is no retry condition; did you mean "
               "connect-failure?\n");
}

/* ---- hashes and rewrites ---- */

static void hash_policies_keep_their_order(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&route_frame,
                MATCH "route:\n  cluster: out\n  hash_policy:\n"
                      "  - {header: {header_name: x-a}, terminal: true}\n"
                      "  - {cookie: {name: c}}\n"
                      "  - {connection_properties: {source_ip: true}}\n"
                      "  - {query_parameter: {name: q}}\n",
                &l);
    const struct sp_hash_policy *hash = route_of(&l)->hash;
    assert_int_equal(route_of(&l)->hash_count, 4);
    assert_true(hash[0].kind == SP_HASH_HEADER && hash[0].terminal);
    check_str(hash[0].name, "x-a");
    assert_true(hash[1].kind == SP_HASH_COOKIE && !hash[1].terminal);
    assert_true(hash[2].kind == SP_HASH_SOURCE_IP);
    assert_true(hash[3].kind == SP_HASH_QUERY);
    unload(&l);
}

static void a_hash_of_nothing_is_an_error(void **state)
{
    (void)state;
    check_says(&route_frame, MATCH "route:\n  cluster: out\n  hash_policy: [{connection_properties: {}}]",
               "4:18: route.hash_policy[0].connection_properties: hashes nothing; write source_ip: true\n");
}

static void rewrites_are_taken(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&route_frame, MATCH "route: {cluster: out, prefix_rewrite: /b, host_rewrite_literal: h}", &l);
    check_str(route_of(&l)->prefix_rewrite, "/b");
    check_str(route_of(&l)->host_rewrite, "h");
    assert_false(route_of(&l)->auto_host_rewrite);
    unload(&l);
    check_takes_by_wire(&route_frame, MATCH "route: {cluster: out, auto_host_rewrite: true}", &l);
    assert_true(route_of(&l)->auto_host_rewrite);
    unload(&l);
}

static void a_path_is_not_rewritten_where_there_is_none(void **state)
{
    (void)state;
    check_says(&route_frame, "match: {connect_matcher: {}}\nroute: {cluster: out, prefix_rewrite: /a}",
               "2:39: route.prefix_rewrite: has no meaning for CONNECT, which has no path\n");
}

/* ---- redirect and direct response ---- */

static void redirects_have_a_status_and_parts(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&route_frame,
                MATCH "redirect: {host_redirect: h, prefix_rewrite: /p, response_code: PERMANENT_REDIRECT, "
                      "https_redirect: true, strip_query: true, port_redirect: 8443}",
                &l);
    const struct sp_redirect *redirect = &route_of(&l)->redirect;
    assert_int_equal(route_of(&l)->kind, SP_ROUTE_REDIRECT);
    check_str(redirect->host, "h");
    check_str(redirect->prefix, "/p");
    assert_int_equal(redirect->status, 308);
    assert_int_equal(redirect->port, 8443);
    assert_true(redirect->https && redirect->strip_query);
    unload(&l);
    check_takes(&route_frame, MATCH "redirect: {path_redirect: /q, scheme_redirect: ftp}", &l);
    redirect = &route_of(&l)->redirect;
    assert_int_equal(redirect->status, 301);
    check_str(redirect->path, "/q");
    check_str(redirect->scheme, "ftp");
    unload(&l);
}

static void a_redirect_to_no_port_is_an_error(void **state)
{
    (void)state;
    check_says(&route_frame, MATCH "redirect: {port_redirect: 70000}",
               "2:27: redirect.port_redirect: must be at most 65535\n");
}

static void a_direct_response_has_its_body_inline(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&route_frame, MATCH "direct_response: {status: 404, body: {inline_string: gone}}", &l);
    assert_int_equal(route_of(&l)->kind, SP_ROUTE_DIRECT);
    assert_int_equal(route_of(&l)->direct_status, 404);
    check_str(route_of(&l)->direct_body, "gone");
    unload(&l);
    check_says(&route_frame, MATCH "direct_response: {status: 404, body: {filename: /etc/motd}}",
               "2:39: direct_response.body.filename: is known to Envoy but not supported: write it as "
               "inline_string\n");
}

static void a_direct_body_keeps_to_the_table_s_size(void **state)
{
    (void)state;
    static const char table[] =
        "max_direct_response_body_size_bytes: 3\n"
        "virtual_hosts: [{name: a, domains: [a], routes: [{match: {prefix: /}, direct_response: {status: "
        "200,\n"
        "  body: {inline_string: %s}}}]}]";
    char text[512];
    snprintf(text, sizeof(text), table, "abc");
    check_fine(&table_frame, text);
    snprintf(text, sizeof(text), table, "abcd");
    check_says(&table_frame, text,
               "3:25: virtual_hosts[0].routes[0].direct_response.body.inline_string: has 4 bytes, more than "
               "max_direct_response_body_size_bytes of the table, 3\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_gives_fifteen_seconds_unless_told),
        cmocka_unit_test(an_idle_timeout_of_zero_means_never_and_not_as_the_chain_has_it),
        cmocka_unit_test(weights_are_taken_as_written),
        cmocka_unit_test(weights_that_lead_nowhere_are_an_error),
        cmocka_unit_test(a_cluster_that_does_not_exist_is_an_error_with_a_near_miss),
        cmocka_unit_test(validate_clusters_off_lets_a_cluster_be_missing),
        cmocka_unit_test(a_header_may_name_the_cluster),
        cmocka_unit_test(connect_failure_is_retried_once_after_25_ms_unless_told),
        cmocka_unit_test(a_virtual_host_may_have_the_retry_policy),
        cmocka_unit_test(other_retry_conditions_are_refused_by_name),
        cmocka_unit_test(hash_policies_keep_their_order),
        cmocka_unit_test(a_hash_of_nothing_is_an_error),
        cmocka_unit_test(rewrites_are_taken),
        cmocka_unit_test(a_path_is_not_rewritten_where_there_is_none),
        cmocka_unit_test(redirects_have_a_status_and_parts),
        cmocka_unit_test(a_redirect_to_no_port_is_an_error),
        cmocka_unit_test(a_direct_response_has_its_body_inline),
        cmocka_unit_test(a_direct_body_keeps_to_the_table_s_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
