/* The whole of a bootstrap: what only all of it together can tell, and running out of memory on the way. */
#include "unit/xds/help.h"

#define AT "address: {socket_address: {address: 127.0.0.1, port_value: "
#define TCP_TO                                                                                               \
    "filter_chains: [{filters: [{name: tcp, typed_config: {\"@type\": "                                      \
    "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: "
#define END_TCP "}}]}]"

static void everything_is_told_at_once_in_the_order_of_the_text(void **state)
{
    (void)state;
    struct loaded l;
    struct sp_buf said;
    sp_buf_init(&said, 0);
    load(&l, "f.yaml",
         SP_STR("static_resources:\n"
                "  listeners:\n"
                "  - {name: a, " AT "1"
                "}}"
                ", tcp_backlog_size: 99999, " TCP_TO "nowhere" END_TCP "}\n"
                "  - {name: b, " AT "2"
                "}}"
                ", " TCP_TO "out" END_TCP "}\n"
                "  clusters:\n"
                "  - {name: out, connect_timeout: 0.1s}\n"
                "admin: {address: {pipe: {path: a}}}\n"));
    assert_int_equal(l.err, SP_E_INVALID);
    sp_form_print_errors(&l.doc, &said);
    check_str(sp_buf_str(&said),
              "f.yaml:3:97: static_resources.listeners[0].tcp_backlog_size: must be at most 65535\n"
              "f.yaml:3:268: static_resources.listeners[0].filter_chains[0].filters[0].typed_config.cluster: "
              "there is no cluster "
              "nowhere\n"
              "f.yaml:6:5: static_resources.clusters[0].load_assignment: is missing: write {cluster_name, "
              "endpoints: "
              "[{lb_endpoints: [{endpoint: {address}}]}]}\n"
              "f.yaml:7:19: admin.address.pipe: is not supported: admin is on a Unix socket under --base-dir "
              "anyway\n");
    sp_buf_deinit(&said);
    unload(&l);
}

/* A broken text is read to its end as well; what only follows from what is broken is not said. */
static void errors_of_the_text_and_of_its_meaning_are_told_together(void **state)
{
    (void)state;
    check_says(
        &whole,
        "static_resources:\n"
        "  clusters:\n"
        "  - {name: out, conect_timeout: 1s, load_assignment: {cluster_name: out}}\n"
        "  - {name: odd, lb_policy: RANDOM, ring_hash_lb_config: {}, load_assignment: {cluster_name: odd}}\n"
        "  listeners:\n"
        "  - {name: a, " AT "1"
        "}}"
        ", tcp_backlog_size: 99999, " TCP_TO "out" END_TCP "}\n",
        "3:17: static_resources.clusters[0].conect_timeout: unknown field of "
        "envoy.config.cluster.v3.Cluster; "
        "did you mean connect_timeout?\n"
        "4:36: static_resources.clusters[1].ring_hash_lb_config: has no effect: lb_policy says another "
        "policy\n"
        "6:97: static_resources.listeners[0].tcp_backlog_size: must be at most 65535\n");
}

static void what_was_misspelt_is_not_missing_as_well(void **state)
{
    (void)state;
    check_says(
        &whole,
        "static_resources:\n"
        "  clusters:\n"
        "  - {name: out, load_asignment: {cluster_name: out}}\n"
        "  - {nmae: other, load_assignment: {cluster_name: out}}\n"
        "  listeners:\n"
        "  - {name: a, addres: {}, " TCP_TO "other" END_TCP "}\n"
        "  - {name: b, address: {}, " TCP_TO "out" END_TCP "}\n"
        "  - {name: c, " AT "5"
        "}}"
        ", filter_chains: [{filters: [{name: f, typed_config: 5}]}]}\n"
        "  - {name: d, " AT "here"
        "}}"
        ", " TCP_TO "nowhere" END_TCP "}\n",
        "3:17: static_resources.clusters[0].load_asignment: unknown field of "
        "envoy.config.cluster.v3.Cluster; "
        "did you mean load_assignment?\n"
        "4:6: static_resources.clusters[1].nmae: unknown field of envoy.config.cluster.v3.Cluster; did you "
        "mean "
        "name?\n"
        "6:15: static_resources.listeners[0].addres: unknown field of envoy.config.listener.v3.Listener; "
        "did you "
        "mean address?\n"
        "8:130: static_resources.listeners[2].filter_chains[0].filters[0].typed_config: should be a map with "
        "\"@type\", not a bare word\n"
        "9:74: static_resources.listeners[3].address.socket_address.port_value: \"here\" is not a whole "
        "number\n"
        "7:15: static_resources.listeners[1].address: one of these must be set: socket_address, pipe\n"
        "4:5: static_resources.clusters[1].name: must not be empty\n");
}

static void a_text_with_errors_gives_no_snapshot(void **state)
{
    (void)state;
    struct loaded l;
    load(&l, "f.yaml", SP_STR("admin: {adress: {}}\n"));
    assert_int_equal(l.err, SP_E_INVALID);
    assert_null(l.snapshot);
    unload(&l);
}

static void a_route_to_a_cluster_that_is_wrong_itself_is_no_second_error(void **state)
{
    (void)state;
    check_says(
        &whole,
        "static_resources:\n  clusters:\n  - {name: out}\n  listeners:\n  - {name: a, " AT "1"
        "}}"
        ", " TCP_TO "out" END_TCP "}\n",
        "3:5: static_resources.clusters[0].load_assignment: is missing: write {cluster_name, endpoints: "
        "[{lb_endpoints: "
        "[{endpoint: {address}}]}]}\n");
}

static void names_stand_once(void **state)
{
    (void)state;
    check_says(&whole,
               "static_resources:\n  clusters:\n"
               "  - {name: out, load_assignment: {cluster_name: out}}\n"
               "  - {name: out, load_assignment: {cluster_name: out}}\n"
               "  listeners:\n"
               "  - {name: a, " AT "1"
               "}}"
               ", " TCP_TO "out" END_TCP "}\n"
               "  - {name: a, " AT "2"
               "}}"
               ", " TCP_TO "out" END_TCP "}\n",
               "4:12: static_resources.clusters[1].name: out stands twice; first in line 3\n"
               "7:12: static_resources.listeners[1].name: a stands twice; first in line 6\n");
}

static void addresses_are_taken_once(void **state)
{
    (void)state;
    check_says(&whole,
               "admin: {" AT "1"
               "}}"
               "}\n"
               "static_resources:\n  clusters: [{name: out, load_assignment: {cluster_name: out}}]\n"
               "  listeners:\n"
               "  - {name: a, " AT "1"
               "}}"
               ", " TCP_TO "out" END_TCP "}\n"
               "  - {name: b, " AT "2"
               "}}"
               ", " TCP_TO "out" END_TCP "}\n"
               "  - {name: c, " AT "2"
               "}}"
               ", " TCP_TO "out" END_TCP "}\n"
               "  - {name: d, address: {pipe: {path: /run/d}}, " TCP_TO "out" END_TCP "}\n"
               "  - {name: e, address: {pipe: {path: "
               "/run/d}}, " TCP_TO "out" END_TCP "}\n"
               "  - {name: f, " AT "0"
               "}}"
               ", " TCP_TO "out" END_TCP "}\n"
               "  - {name: g, " AT "0"
               "}}"
               ", " TCP_TO "out" END_TCP "}\n"
               "bootstrap_extensions:\n"
               "- name: s\n  "
               "typed_config:\n    \"@type\": type.googleapis.com/sampan.proxy.v1.Settings\n"
               "    light_sdk: {" AT "2"
               "}}"
               ", traffic_listener: a}\n",
               "5:15: static_resources.listeners[0].address: 127.0.0.1:1 is taken by admin\n"
               "6:15: static_resources.listeners[1].address: 127.0.0.1:2 is taken by the light SDK's door\n"
               "7:15: static_resources.listeners[2].address: 127.0.0.1:2 is taken by the light SDK's door\n"
               "9:15: static_resources.listeners[4].address: /run/d is taken by another listener\n");
}

static void clusters_may_stand_after_the_routes_that_name_them(void **state)
{
    (void)state;
    check_fine(&whole, "static_resources:\n  listeners:\n  - {name: a, " AT "1"
                       "}}"
                       ", " TCP_TO "out" END_TCP "}\n"
                       "  clusters: [{name: out, load_assignment: {cluster_name: out}}]\n");
}

static void a_proxy_header_is_for_raw_connections(void **state)
{
    (void)state;
    struct loaded l;
    struct sp_buf said;
    sp_buf_init(&said, 0);
    load(&l, "f.yaml",
         SP_STR("static_resources:\n"
                "  listeners:\n"
                "  - name: a\n"
                "    " AT "1"
                "}}"
                "\n"
                "    filter_chains:\n"
                "    - filters:\n"
                "      - name: hcm\n"
                "        typed_config:\n"
                "          \"@type\": type.googleapis.com/"
                "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n"
                "          stat_prefix: a\n"
                "          route_config:\n"
                "            virtual_hosts:\n"
                "            - {name: v, domains: ['*'], routes: [{match: {prefix: /}, route: "
                "{cluster: out}}]}\n"
                "          http_filters:\n"
                "          - name: router\n"
                "            typed_config:\n"
                "              \"@type\": "
                "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n"
                "  clusters:\n"
                "  - name: out\n"
                "    load_assignment:\n"
                "      cluster_name: out\n"
                "      endpoints: [{lb_endpoints: [{endpoint: {" AT "2"
                "}}"
                "}}]}]\n"
                "    transport_socket:\n"
                "      name: p\n"
                "      typed_config:\n"
                "        \"@type\": type.googleapis.com/"
                "envoy.extensions.transport_sockets.proxy_protocol.v3."
                "ProxyProtocolUpstreamTransport\n"
                "        transport_socket: {name: envoy.transport_sockets.raw_buffer}\n"));
    assert_int_not_equal(l.err, 0);
    sp_form_print_errors(&l.doc, &said);
    sp_buf_add_char(&said, '\0');
    if (!strstr(said.ptr, "f.yaml:13:") ||
        !strstr(said.ptr, "cluster out sends a PROXY header, which is for TcpProxy only"))
        fail_msg("said: %s", said.ptr);
    sp_buf_deinit(&said);
    unload(&l);
}

static void xds_in_a_bootstrap_is_refused(void **state)
{
    (void)state;
    check_says(&whole, "dynamic_resources: {}",
               "1:1: dynamic_resources: is known to Envoy but not supported: xDS is not built yet; write the "
               "resource under "
               "static_resources\n");
}

static void json_says_the_same(void **state)
{
    (void)state;
    struct loaded l;
    load(&l, "f.json",
         SP_STR("{\"static_resources\": {\"clusters\": [{\"name\": \"out\", \"connectTimeout\": \"1s\", "
                "\"loadAssignment\": {\"clusterName\": \"out\"}}]}}"));
    assert_int_equal(l.err, 0);
    assert_int_equal(cluster_of(&l, "out")->connect_timeout_ns, NS_PER_S);
    unload(&l);
}

/* ---- out of memory ---- */

static const char everything[] =
    "node: {id: me, metadata: {NAME: w}}\n"
    "static_resources:\n"
    "  clusters:\n"
    "  - {name: out, load_assignment: {cluster_name: out, endpoints: [{lb_endpoints: [{endpoint: {" AT "9"
    "}}"
    "}}]}]}}\n"
    "  listeners:\n"
    "  - name: in\n"
    "    " AT "1"
    "}}"
    "\n"
    "    filter_chains:\n"
    "    - filter_chain_match: {prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: "
    "8}]}\n"
    "      filters:\n"
    "      - name: http\n"
    "        typed_config:\n"
    "          \"@type\": "
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
    "HttpConnectionManager\n"
    "          stat_prefix: in\n"
    "          " ROUTER "          access_log: [{typed_config: {\"@type\": "
    "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}]\n"
    "          route_config:\n"
    "            virtual_hosts:\n"
    "            - name: a\n"
    "              domains: [a.example, \"*.b\", \"*\"]\n"
    "              routes:\n"
    "              - match: {safe_regex: {regex: \"/[a-z]+\"}, headers: [{name: a, "
    "string_match: {safe_regex: {regex: b}}}]}\n"
    "                route: {weighted_clusters: {clusters: [{name: out, weight: 1}]}, "
    "hash_policy: [{cookie: {name: c}}]}\n"
    "                request_headers_to_add: [{header: {key: a, value: b}}]\n"
    "              - {match: {prefix: /}, direct_response: {status: 200, body: "
    "{inline_string: x}}}\n";

/* Each allocation fails once, in every place where one is made: nothing is lost, and the error is that one.
 * Some may fail without harm: machine code for a regex, which is interpreted then. */
static void a_failure_at_every_allocation_leaves_nothing_behind(void **state)
{
    (void)state;
    struct sp_arena arena;
    struct sp_form_doc doc;
    void *msg = NULL;
    sp_arena_init(&arena, NULL, 0, 1 << 16, 0);
    assert_int_equal(sp_form_doc_init(&doc, &arena, "f.yaml"), 0);
    assert_int_equal(sp_form_read_yaml(&doc, &sp_pb_bootstrap_bootstrap_msg, sp_str_c(everything), 0, &msg),
                     0);
    uint64_t made, n = 0, failed = 0;
    do {
        struct sp_arena keep;
        struct sp_settings settings;
        struct sp_snapshot *snapshot = NULL;
        uint64_t blocks = sp_mem_live_blocks();
        size_t held = arena.held_bytes;
        sp_arena_init(&keep, NULL, 0, 256, 0);
        sp_mem_fail_at(++n);
        sp_err err = sp_xds_bootstrap(&doc, msg, &keep, &settings, &snapshot);
        made = sp_mem_fail_at(0);
        if (err && err != SP_E_NOMEM)
            fail_msg("failing allocation %llu it says %s", (unsigned long long)n, sp_err_str(err));
        failed += err != 0;
        assert_int_equal(doc.errors_len, 0);
        sp_snapshot_unref(snapshot);
        sp_arena_deinit(&keep);
        if (arena.held_bytes == held) /* what the document's arena took meanwhile stays its own */
            assert_int_equal(sp_mem_live_blocks(), blocks);
    } while (made >= n);
    assert_true(failed >= 20);
    sp_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_told_at_once_in_the_order_of_the_text),
        cmocka_unit_test(errors_of_the_text_and_of_its_meaning_are_told_together),
        cmocka_unit_test(what_was_misspelt_is_not_missing_as_well),
        cmocka_unit_test(a_text_with_errors_gives_no_snapshot),
        cmocka_unit_test(a_route_to_a_cluster_that_is_wrong_itself_is_no_second_error),
        cmocka_unit_test(names_stand_once),
        cmocka_unit_test(addresses_are_taken_once),
        cmocka_unit_test(clusters_may_stand_after_the_routes_that_name_them),
        cmocka_unit_test(a_proxy_header_is_for_raw_connections),
        cmocka_unit_test(xds_in_a_bootstrap_is_refused),
        cmocka_unit_test(json_says_the_same),
        cmocka_unit_test(a_failure_at_every_allocation_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
