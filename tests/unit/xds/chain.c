/* Chains: which connections they take, and the filters that speak with them. */
#include "unit/xds/help.h"

#include "wire/call.h"

static const struct frame bare_hcm = { HCM, 10, FILTER_PATH };
static const struct frame bare_rpc = { RPC, 10, FILTER_PATH };
static const struct frame chain_frame = { LISTENER "    filter_chains:\n    -\n", 6,
                                          "static_resources.listeners[0].filter_chains[0]" };

#define TO_OUT                                                                                               \
    "filters: [{name: tcp, typed_config: {\"@type\": "                                                       \
    "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy,\n"                          \
    "  stat_prefix: t, cluster: out}}]\n"

/* ---- HttpConnectionManager ---- */

static void http_has_envoy_s_defaults_and_two_of_ours(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&hcm_frame, "", &l);
    const struct sp_chain_spec *c = chain_of(&l);
    assert_int_equal(c->kind, SP_CHAIN_HTTP);
    assert_int_equal(c->protocol, SP_PROTO_HTTP1);
    check_str(c->stat_prefix, "in");
    assert_int_equal(c->stream_idle_ns, 300 * NS_PER_S);
    assert_int_equal(c->idle_ns, 3600 * NS_PER_S);
    assert_int_equal(c->request_timeout_ns, 0);
    assert_int_equal(c->headers_timeout_ns, 60 * NS_PER_S); /* ours: Envoy has none */
    assert_int_equal(c->max_connection_ns, 0);
    assert_int_equal(c->max_headers_kb, 60);
    assert_int_equal(c->max_headers, 100);
    assert_true(c->generate_request_id);
    assert_false(c->preserve_request_id || c->use_remote_address || c->normalize_path || c->merge_slashes);
    assert_false(c->upgrade_websocket || c->upgrade_connect);
    assert_int_equal(c->server_name.len, 0); /* ours: Envoy writes its name */
    assert_int_equal(c->log_count, 0);
    unload(&l);
}

static void what_http_says_is_taken(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(
        &hcm_frame,
        "codec_type: HTTP1\n"
        "stream_idle_timeout: 10s\nrequest_timeout: 20s\nrequest_headers_timeout: 5s\n"
        "common_http_protocol_options: {idle_timeout: 30s, max_connection_duration: 40s, max_headers_count: "
        "50}\n"
        "max_request_headers_kb: 16\nuse_remote_address: true\nxff_num_trusted_hops: 2\n"
        "generate_request_id: false\npreserve_external_request_id: true\nnormalize_path: "
        "true\nmerge_slashes: true\n"
        "http_protocol_options: {allow_absolute_url: true, accept_http_10: true, "
        "enable_trailers: true}\n"
        "path_with_escaped_slashes_action: KEEP_UNCHANGED\n",
        &l);
    const struct sp_chain_spec *c = chain_of(&l);
    assert_int_equal(c->stream_idle_ns, 10 * NS_PER_S);
    assert_int_equal(c->request_timeout_ns, 20 * NS_PER_S);
    assert_int_equal(c->headers_timeout_ns, 5 * NS_PER_S);
    assert_int_equal(c->idle_ns, 30 * NS_PER_S);
    assert_int_equal(c->max_connection_ns, 40 * NS_PER_S);
    assert_int_equal(c->max_headers, 50);
    assert_int_equal(c->max_headers_kb, 16);
    assert_int_equal(c->xff_hops, 2);
    assert_true(c->use_remote_address && c->preserve_request_id && c->normalize_path && c->merge_slashes);
    assert_false(c->generate_request_id);
    unload(&l);
}

/* Envoy's meaning: what is said wins over our default, and 0s says that there is no limit. */
static void no_time_limit_is_one_that_is_zero(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&hcm_frame,
                "request_headers_timeout: 0s\nstream_idle_timeout: 0s\nrequest_timeout: 0s\n"
                "common_http_protocol_options: {idle_timeout: 0s}\n",
                &l);
    const struct sp_chain_spec *c = chain_of(&l);
    assert_true(c->headers_timeout_ns > UINT64_C(86400) * 365 * NS_PER_S); /* never */
    assert_int_equal(c->stream_idle_ns, 0);
    assert_int_equal(c->request_timeout_ns, 0);
    assert_int_equal(c->idle_ns, 0);
    unload(&l);
}

/* Files may not say it yet: the Server header stays as the application wrote it. */
static void a_server_header_is_named_by_the_wire_alone(void **state)
{
    (void)state;
    struct loaded l;
    check_says(
        &hcm_frame, "server_name: s",
        "1:1: server_name: is known to Envoy but not supported: the Server header stays as the application "
        "wrote it\n");
    check_takes_by_wire(&hcm_frame, "server_name: s", &l);
    check_str(chain_of(&l)->server_name, "s");
    unload(&l);
    check_takes_by_wire(&hcm_frame, "server_name: s\nserver_header_transformation: PASS_THROUGH", &l);
    assert_int_equal(chain_of(&l)->server_name.len, 0);
    unload(&l);
    check_fine(&hcm_frame, "server_header_transformation: PASS_THROUGH");
}

static void upgrades_are_let_through_where_told(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&hcm_frame, "upgrade_configs: [{upgrade_type: WebSocket}, {upgrade_type: CONNECT}]", &l);
    assert_true(chain_of(&l)->upgrade_websocket && chain_of(&l)->upgrade_connect);
    unload(&l);
    check_takes(
        &hcm_frame,
        "upgrade_configs: [{upgrade_type: websocket, enabled: false}, {upgrade_type: connect, enabled: "
        "false}]",
        &l);
    assert_false(chain_of(&l)->upgrade_websocket || chain_of(&l)->upgrade_connect);
    unload(&l);
}

static void what_http_cannot_do_is_refused_by_name(void **state)
{
    (void)state;
    check_says(
        &hcm_frame,
        "upgrade_configs: [{upgrade_type: h2c}]\n"
        "common_http_protocol_options: {max_headers_count: 129, max_requests_per_connection: 5}\n"
        "http_protocol_options: {allow_absolute_url: false}\n",
        "2:51: common_http_protocol_options.max_headers_count: must be at most 128\n"
        "2:85: common_http_protocol_options.max_requests_per_connection: is not supported: callers keep "
        "their "
        "connections\n"
        "1:34: upgrade_configs[0].upgrade_type: is not supported; websocket and CONNECT are\n"
        "3:45: http_protocol_options.allow_absolute_url: is always true: RFC 9112 3.2.2 wants servers to "
        "take "
        "absolute URLs\n");
    check_says(
        &hcm_frame, "http_protocol_options: {accept_http_10: false, enable_trailers: false}\n",
        "1:41: http_protocol_options.accept_http_10: is always true: who spoke HTTP/1.0 to the "
        "application still shall\n"
        "1:65: http_protocol_options.enable_trailers: is always true: a sidecar takes nothing away that "
        "the application said\n");
    check_says(&hcm_frame, "server_header_transformation: APPEND_IF_ABSENT",
               "1:31: server_header_transformation: APPEND_IF_ABSENT is known to Envoy but not supported: "
               "OVERWRITE and "
               "PASS_THROUGH are there\n");
    check_says(&hcm_frame, "codec_type: HTTP2",
               "1:13: codec_type: HTTP2 is known to Envoy but not supported: HTTP/2 is not built yet\n");
}

static void routes_by_xds_are_refused(void **state)
{
    (void)state;
    check_says(
        &bare_hcm, ROUTER "rds: {route_config_name: r}",
        "2:1: rds: is known to Envoy but not supported: xDS is not built yet; write the resource under "
        "static_resources\n");
}

/* ---- HTTP filters ---- */

static void the_router_is_the_only_filter_and_has_to_be_there(void **state)
{
    (void)state;
    check_says(
        &bare_hcm, "route_config: {}",
        "above: http_filters: must end with the router: {name: envoy.filters.http.router, typed_config: "
        "{\"@type\": "
        "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}\n");
    check_says(&bare_hcm,
               "route_config: {}\nhttp_filters:\n"
               "- {name: a, typed_config: {\"@type\": "
               "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}\n"
               "- {name: b, typed_config: {\"@type\": "
               "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}\n",
               "3:3: http_filters[0]: only the last filter can be the router\n");
    check_says(
        &bare_hcm,
        "route_config: {}\nhttp_filters:\n"
        "- name: fault\n"
        "  typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}\n",
        "4:27: http_filters[0].typed_config[\"@type\"]: envoy.extensions.filters.http.fault.v3.HTTPFault is "
        "known to "
        "Envoy but not supported\n");
    check_says(
        &bare_hcm,
        "route_config: {}\nhttp_filters:\n"
        "- name: odd\n"
        "  typed_config: {\"@type\": "
        "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}\n"
        "- name: none\n",
        "4:3: http_filters[0].typed_config: envoy.extensions.access_loggers.stream.v3.StdoutAccessLog is no "
        "HTTP filter "
        "that is supported; the router is\n"
        "5:3: http_filters[1].typed_config: is missing: it says what this is, by its \"@type\"\n"
        "3:3: http_filters[0]: only the last filter can be the router\n");
}

static void the_router_s_options_are_looked_at(void **state)
{
    (void)state;
    static const char form[] =
        "route_config: {}\nhttp_filters:\n- name: a\n  is_optional: true\n  typed_config:\n"
        "    \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n"
        "    dynamic_stats: %s\n";
    char text[512];
    snprintf(text, sizeof(text), form, "true");
    check_fine(&bare_hcm, text);
    snprintf(text, sizeof(text), form, "false");
    check_says(&bare_hcm, text,
               "7:20: http_filters[0].typed_config.dynamic_stats: is always true: figures of clusters cost "
               "nothing\n");
}

/* ---- RpcConnectionManager ---- */

static void rpc_speaks_bolt_or_what_it_hears(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&rpc_frame, "protocol: bolt\nstream_idle_timeout: 10s", &l);
    const struct sp_chain_spec *c = chain_of(&l);
    assert_int_equal(c->kind, SP_CHAIN_RPC);
    assert_int_equal(c->protocol, SP_PROTO_BOLT);
    assert_int_equal(c->stream_idle_ns, 10 * NS_PER_S);
    assert_int_equal(c->idle_ns, 3600 * NS_PER_S);
    assert_true(listener_of(&l)->detect); /* one of two versions */
    unload(&l);
    check_takes(&rpc_frame, "protocol: auto", &l);
    assert_int_equal(chain_of(&l)->protocol, SP_PROTO_NONE);
    assert_int_equal(chain_of(&l)->headers_timeout_ns, 60 * NS_PER_S);
    unload(&l);
    check_takes(&rpc_frame, "protocol: bolt\nframe_timeout: 2s", &l);
    assert_int_equal(chain_of(&l)->headers_timeout_ns, 2 * NS_PER_S);
    unload(&l);
}

static void a_frame_has_some_time(void **state)
{
    (void)state;
    check_says(&rpc_frame, "protocol: bolt\nframe_timeout: 0s",
               "2:16: frame_timeout: must be at least 1000000 ns\n");
}

static void other_rpc_protocols_are_refused_by_name(void **state)
{
    (void)state;
    check_says(&rpc_frame, "protocol: dubbo", "1:11: protocol: dubbo is not supported; bolt and auto are\n");
}

static void an_rpc_chain_has_routes_and_the_router(void **state)
{
    (void)state;
    check_says(
        &bare_rpc, "protocol: bolt\nroute_config: {}",
        "above: http_filters: must end with the router: {name: envoy.filters.http.router, typed_config: "
        "{\"@type\": "
        "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}\n");
    check_says(&bare_rpc, "protocol: bolt\n" ROUTER, "above: one of these must be set: route_config\n");
}

/* ---- TcpProxy ---- */

static void tcp_relays_to_one_cluster_or_several(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&tcp_frame, "cluster: out", &l);
    const struct sp_chain_spec *c = chain_of(&l);
    assert_int_equal(c->kind, SP_CHAIN_TCP);
    assert_int_equal(c->protocol, SP_PROTO_TCP);
    check_str(c->cluster, "out");
    assert_int_equal(c->tcp_idle_ns, 3600 * NS_PER_S);
    assert_int_equal(c->connect_attempts, 1);
    assert_false(listener_of(&l)->detect);
    unload(&l);
    check_takes_by_wire(&tcp_frame,
                        "weighted_clusters: {clusters: [{name: out, weight: 1}, {name: other, weight: 2}]}\n"
                        "idle_timeout: 0s\nmax_connect_attempts: 3\nmax_downstream_connection_duration: 5s",
                        &l);
    c = chain_of(&l);
    assert_int_equal(c->weighted_count, 2);
    assert_int_equal(c->weight_total, 3);
    check_str(c->weighted[1].cluster, "other");
    assert_int_equal(c->tcp_idle_ns, 0);
    assert_int_equal(c->connect_attempts, 3);
    assert_int_equal(c->max_connection_ns, 5 * NS_PER_S);
    unload(&l);
}

static void tcp_goes_to_clusters_that_exist(void **state)
{
    (void)state;
    check_says(&tcp_frame, "cluster: outt", "1:10: cluster: there is no cluster outt; did you mean out?\n");
    check_says(&tcp_frame, "cluster: \"\"", "1:10: cluster: must not be empty\n");
    check_says(&tcp_frame,
               "weighted_clusters: {clusters: [{name: x, weight: 4294967295}, {name: out, weight: 1}]}",
               "1:21: weighted_clusters.clusters: the weights sum up to more than 32 bits hold\n"
               "1:39: weighted_clusters.clusters[0].name: there is no cluster x\n");
}

/* ---- which connections ---- */

static void conditions_of_a_chain_are_taken(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&chain_frame,
                "name: a\nfilter_chain_match:\n"
                "  destination_port: 8080\n"
                "  prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}, {address_prefix: \"::\"}]\n"
                "  source_prefix_ranges: [{address_prefix: 127.0.0.1, prefix_len: 32}]\n"
                "  transport_protocol: raw_buffer\n"
                "  application_protocols: [http/1.1, bolt]\n" TO_OUT,
                &l);
    const struct sp_chain_spec *c = chain_of(&l);
    check_str(c->name, "a");
    assert_int_equal(c->match_port, 8080);
    assert_int_equal(c->match_net_count, 2);
    assert_int_equal(c->match_nets[0].bits, 8);
    assert_int_equal(c->match_nets[1].bits, 0); /* absent is 0, as Envoy has it */
    assert_int_equal(c->match_nets[1].addr.family, SP_ADDR_IP6);
    assert_int_equal(c->match_sources[0].bits, 32);
    assert_true(c->match_raw);
    assert_int_equal(c->match_protocol_count, 2);
    assert_true(listener_of(&l)->detect);
    unload(&l);
}

static void bad_conditions_are_all_told(void **state)
{
    (void)state;
    check_says(
        &chain_frame,
        "filter_chain_match:\n"
        "  prefix_ranges: [{address_prefix: ten, prefix_len: 8}, {address_prefix: 10.0.0.0, prefix_len: "
        "33}]\n"
        "  transport_protocol: tls\n"
        "  application_protocols: [h2]\n" TO_OUT,
        "2:36: filter_chain_match.prefix_ranges[0].address_prefix: is not an IP address\n"
        "2:96: filter_chain_match.prefix_ranges[1].prefix_len: must be at most 32 for this address\n"
        "4:27: filter_chain_match.application_protocols[0]: is not detected; http/1.0, http/1.1, bolt and "
        "tcp are\n"
        "3:23: filter_chain_match.transport_protocol: TLS is not supported yet\n");
    check_says(&chain_frame, "filter_chain_match: {transport_protocol: quic}\n" TO_OUT,
               "1:42: filter_chain_match.transport_protocol: is not detected; raw_buffer is\n");
}

/* ---- filters of a chain ---- */

static void a_chain_has_one_network_filter(void **state)
{
    (void)state;
    check_says(&chain_frame, "name: a", "1:1: filters: is missing: a chain has one network filter\n");
    check_says(&chain_frame, "filters: [{name: a}]",
               "1:11: filters[0].typed_config: is missing: it says what this is, by its \"@type\"\n");
    check_says(
        &chain_frame,
        "filters:\n"
        "- {name: a, typed_config: {\"@type\": "
        "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}\n"
        "- {name: b, typed_config: {\"@type\": "
        "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, "
        "cluster: out}}\n",
        "3:3: filters[1]: a chain has one network filter; this one would never be asked\n"
        "2:13: filters[0].typed_config: envoy.extensions.filters.http.router.v3.Router is no network filter "
        "that is "
        "supported; HttpConnectionManager, RpcConnectionManager and TcpProxy are\n");
}

static void tls_to_callers_is_refused_by_name(void **state)
{
    (void)state;
    check_says(&chain_frame, "transport_socket: {name: envoy.transport_sockets.tls}\n" TO_OUT,
               "1:26: transport_socket.name: TLS is not supported yet\n");
    check_says(
        &chain_frame,
        "transport_socket: {name: t, typed_config: {\"@type\": "
        "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext}}\n" TO_OUT,
        "1:53: transport_socket.typed_config[\"@type\"]: "
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext is known to Envoy but not "
        "supported\n");
    check_says(
        &chain_frame, "transport_socket: {name: odd}\n" TO_OUT,
        "1:26: transport_socket.name: is no transport socket for callers that is supported; raw_buffer is\n");
    check_fine(&chain_frame,
               "transport_socket: {name: r, typed_config: {\"@type\": "
               "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}\n" TO_OUT);
}

/* ---- protocols of clusters ---- */

static void a_caller_and_its_cluster_speak_the_same(void **state)
{
    (void)state;
    check_says(&route_frame, "match: {prefix: /}\nroute: {cluster: bolt}",
               "2:18: route.cluster: the cluster bolt speaks bolt, and the caller does not\n");
    check_fine(&rpc_route_frame, "match: {prefix: /}\nroute: {cluster: bolt}");
    check_fine(&rpc_route_frame,
               "match: {prefix: /}\nroute: {cluster: out}"); /* speaks what its caller does */
    check_fine(&tcp_frame, "cluster: bolt");                 /* a relay does not mind */
}

/* A whole bootstrap with a cluster that says HTTP and a caller of some protocol. */
static void an_rpc_chain_does_not_reach_a_cluster_of_http(void **state)
{
    (void)state;
    static const char form[] =
        "static_resources:\n"
        "  listeners:\n"
        "  - name: in\n"
        "    address: {pipe: {path: /run/in}}\n"
        "    filter_chains:\n"
        "    - filters:\n"
        "      - name: rpc\n"
        "        typed_config:\n"
        "          \"@type\": type.googleapis.com/sampan.rpc.v1.RpcConnectionManager\n"
        "          protocol: %s\n"
        "          " ROUTER "          route_config: {virtual_hosts: [{name: a, domains: [\"*\"], routes:\n"
        "            [{match: {prefix: /}, route: {cluster: web}}]}]}\n"
        "  clusters:\n"
        "  - name: web\n"
        "    load_assignment: {cluster_name: web}\n"
        "    typed_extension_protocol_options:\n"
        "      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"
        "        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n"
        "        explicit_http_config: {http_protocol_options: {}}\n";
    static const char *const protocols[] = { "bolt", "auto" };
    for (size_t i = 0; i < SP_COUNTOF(protocols); i++) {
        char text[2048];
        snprintf(text, sizeof(text), form, protocols[i]);
        check_says(
            &whole, text,
            "13:52: static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config."
            "virtual_hosts[0].routes[0].route.cluster: the cluster web speaks http, and the caller does "
            "not\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_has_envoy_s_defaults_and_two_of_ours),
        cmocka_unit_test(what_http_says_is_taken),
        cmocka_unit_test(no_time_limit_is_one_that_is_zero),
        cmocka_unit_test(a_server_header_is_named_by_the_wire_alone),
        cmocka_unit_test(upgrades_are_let_through_where_told),
        cmocka_unit_test(what_http_cannot_do_is_refused_by_name),
        cmocka_unit_test(routes_by_xds_are_refused),
        cmocka_unit_test(the_router_is_the_only_filter_and_has_to_be_there),
        cmocka_unit_test(the_router_s_options_are_looked_at),
        cmocka_unit_test(rpc_speaks_bolt_or_what_it_hears),
        cmocka_unit_test(a_frame_has_some_time),
        cmocka_unit_test(other_rpc_protocols_are_refused_by_name),
        cmocka_unit_test(an_rpc_chain_has_routes_and_the_router),
        cmocka_unit_test(tcp_relays_to_one_cluster_or_several),
        cmocka_unit_test(tcp_goes_to_clusters_that_exist),
        cmocka_unit_test(conditions_of_a_chain_are_taken),
        cmocka_unit_test(bad_conditions_are_all_told),
        cmocka_unit_test(a_chain_has_one_network_filter),
        cmocka_unit_test(tls_to_callers_is_refused_by_name),
        cmocka_unit_test(a_caller_and_its_cluster_speak_the_same),
        cmocka_unit_test(an_rpc_chain_does_not_reach_a_cluster_of_http),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
