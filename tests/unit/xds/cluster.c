/* Clusters and their endpoints. */
#include "unit/xds/help.h"

#include "io/dns.h"
#include "wire/call.h"

#define C "name: c\n"
#define ONE                                                                                                  \
    "\nload_assignment:\n  cluster_name: c\n  endpoints:\n"                                                  \
    "  - lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}}]\n"

/* ---- defaults ---- */

static void a_cluster_that_says_little_is_as_envoy_s(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&cluster_frame, C ONE, &l);
    const struct sp_cluster_spec *c = cluster_of(&l, "c");
    check_str(c->name, "c");
    assert_int_equal(c->kind, SP_CLUSTER_STATIC);
    assert_int_equal(c->balance, SP_BALANCE_ROUND_ROBIN);
    assert_int_equal(c->connect_timeout_ns, 5 * NS_PER_S);
    assert_int_equal(c->idle_timeout_ns, 3600 * NS_PER_S);
    assert_int_equal(c->limits.connections, 1024);
    assert_int_equal(c->limits.pending, 1024);
    assert_int_equal(c->limits.requests, 1024);
    assert_int_equal(c->limits.retries, 3);
    assert_int_equal(c->protocol, SP_PROTO_NONE);
    assert_int_equal(c->dns_refresh_ns, 5 * NS_PER_S);
    assert_int_equal(c->least_choices, 2);
    assert_int_equal(c->ring_min, 1024);
    assert_int_equal(c->ring_max, 8 << 20);
    assert_int_equal(c->proxyproto, SP_PROXYPROTO_OFF);
    assert_int_equal(c->max_connection_ns, 0);
    assert_int_equal(c->max_requests_per_connection, 0);
    assert_int_equal(c->bind.family, SP_ADDR_NONE);
    assert_int_equal(c->endpoint_count, 1);
    assert_int_equal(c->endpoints[0].weight, 1);
    assert_true(c->endpoints[0].healthy);
    assert_int_equal(c->endpoints[0].addr.port, 80);
    unload(&l);
}

static void what_a_cluster_says_is_taken(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(
        &cluster_frame,
        C "connect_timeout: 0.25s\nalt_stat_name: cc\nper_connection_buffer_limit_bytes: 32768\n"
          "circuit_breakers: {thresholds: [{max_connections: 1, max_pending_requests: 2, max_requests: 3, "
          "max_retries: 4}]}\n"
          "upstream_bind_config: {source_address: {address: 127.0.0.2, port_value: 0}}\n"
          "common_lb_config: {healthy_panic_threshold: {value: 0}}\n"
          "upstream_connection_options: {}\nlb_policy: ROUND_ROBIN\nround_robin_lb_config: {}\n"
          "common_http_protocol_options: {idle_timeout: 60s, max_connection_duration: 90s, "
          "max_requests_per_connection: 7}" ONE,
        &l);
    const struct sp_cluster_spec *c = cluster_of(&l, "c");
    assert_int_equal(c->connect_timeout_ns, 250 * NS_PER_MS);
    check_str(c->alt_stat_name, "cc");
    assert_int_equal(c->buffer_bytes, 32768);
    assert_true(c->limits.connections == 1 && c->limits.pending == 2 && c->limits.requests == 3 &&
                c->limits.retries == 4);
    assert_int_equal(c->bind.family, SP_ADDR_IP4);
    assert_int_equal(c->idle_timeout_ns, 60 * NS_PER_S);
    assert_int_equal(c->max_connection_ns, 90 * NS_PER_S);
    assert_int_equal(c->max_requests_per_connection, 7);
    unload(&l);
}

static void the_old_field_for_requests_on_a_connection_counts_too(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&cluster_frame, C "max_requests_per_connection: 9" ONE, &l);
    assert_int_equal(cluster_of(&l, "c")->max_requests_per_connection, 9);
    unload(&l);
}

/* ---- kinds ---- */

static void strict_dns_takes_names_and_addresses(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(
        &cluster_frame,
        "name: c\ntype: STRICT_DNS\ndns_refresh_rate: 60s\nrespect_dns_ttl: true\ndns_lookup_family: "
        "V4_ONLY\n"
        "load_assignment:\n  cluster_name: c\n  endpoints:\n  - lb_endpoints:\n"
        "    - {endpoint: {address: {socket_address: {address: a.example, port_value: 80}}}}\n"
        "    - {endpoint: {hostname: h, address: {socket_address: {address: b.example, port_value: 81}}}}\n"
        "    - {endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 82}}}}\n",
        &l);
    const struct sp_cluster_spec *c = cluster_of(&l, "c");
    assert_int_equal(c->kind, SP_CLUSTER_STRICT_DNS);
    assert_int_equal(c->dns_refresh_ns, 60 * NS_PER_S);
    assert_true(c->dns_respect_ttl);
    assert_int_equal(c->dns_family, SP_DNS_IP4_ONLY);
    check_str(c->endpoints[0].host, "a.example");
    check_str(c->endpoints[0].hostname, "a.example");
    assert_int_equal(c->endpoints[0].port, 80);
    assert_int_equal(c->endpoints[0].addr.family, SP_ADDR_NONE);
    check_str(c->endpoints[1].hostname, "h");
    assert_int_equal(c->endpoints[2].addr.family, SP_ADDR_IP4);
    assert_int_equal(c->endpoints[2].host.len, 0);
    unload(&l);
}

static void both_enums_of_dns_families_count_alike(void **state)
{
    (void)state;
    assert_int_equal(SP_PB_CLUSTER_CLUSTER_DNS_LOOKUP_FAMILY_AUTO, SP_DNS_ANY);
    assert_int_equal(SP_PB_CLUSTER_CLUSTER_DNS_LOOKUP_FAMILY_V4_ONLY, SP_DNS_IP4_ONLY);
    assert_int_equal(SP_PB_CLUSTER_CLUSTER_DNS_LOOKUP_FAMILY_V6_ONLY, SP_DNS_IP6_ONLY);
    assert_int_equal(SP_PB_CLUSTER_CLUSTER_DNS_LOOKUP_FAMILY_V4_PREFERRED, SP_DNS_IP4_FIRST);
    assert_int_equal(SP_PB_CLUSTER_CLUSTER_DNS_LOOKUP_FAMILY_ALL, SP_DNS_ALL);
}

static void original_dst_has_no_endpoints_and_its_own_policy(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&cluster_frame, "name: c\ntype: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED", &l);
    assert_int_equal(cluster_of(&l, "c")->kind, SP_CLUSTER_ORIGINAL_DST);
    assert_int_equal(cluster_of(&l, "c")->balance, SP_BALANCE_GIVEN);
    assert_int_equal(cluster_of(&l, "c")->original_dst_header.len, 0);
    unload(&l);
    check_takes_by_wire(&cluster_frame,
                        "name: c\ntype: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED\noriginal_dst_lb_config: "
                        "{use_http_header: true}",
                        &l);
    check_str(cluster_of(&l, "c")->original_dst_header, "x-envoy-original-dst-host");
    unload(&l);
    check_says(
        &cluster_frame, "name: c\ntype: ORIGINAL_DST\nload_assignment: {cluster_name: c}",
        "1:1: lb_policy: must be CLUSTER_PROVIDED in a cluster of type ORIGINAL_DST: the caller chose the "
        "endpoint\n"
        "3:1: load_assignment: has no effect in a cluster of type ORIGINAL_DST: the caller chose the "
        "endpoint\n");
}

static void cluster_provided_is_for_original_dst_alone(void **state)
{
    (void)state;
    check_says(&cluster_frame, C "lb_policy: CLUSTER_PROVIDED" ONE,
               "2:12: lb_policy: CLUSTER_PROVIDED is for clusters of type ORIGINAL_DST\n");
}

static void other_kinds_are_refused_by_name(void **state)
{
    (void)state;
    check_says(&cluster_frame, "name: c\ntype: EDS",
               "2:7: type: EDS is known to Envoy but not supported: xDS is not built yet\n");
}

/* ---- policies ---- */

static void policies_take_their_options(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&cluster_frame,
                C "lb_policy: RING_HASH\nring_hash_lb_config: {minimum_ring_size: 10, maximum_ring_size: 20, "
                  "hash_function: XX_HASH}" ONE,
                &l);
    assert_int_equal(cluster_of(&l, "c")->balance, SP_BALANCE_RING_HASH);
    assert_int_equal(cluster_of(&l, "c")->ring_min, 10);
    assert_int_equal(cluster_of(&l, "c")->ring_max, 20);
    unload(&l);
    check_takes(&cluster_frame, C "lb_policy: LEAST_REQUEST\nleast_request_lb_config: {choice_count: 5}" ONE,
                &l);
    assert_int_equal(cluster_of(&l, "c")->balance, SP_BALANCE_LEAST_REQUEST);
    assert_int_equal(cluster_of(&l, "c")->least_choices, 5);
    unload(&l);
    check_takes(&cluster_frame, C "lb_policy: RANDOM" ONE, &l);
    assert_int_equal(cluster_of(&l, "c")->balance, SP_BALANCE_RANDOM);
    unload(&l);
}

static void options_of_another_policy_are_an_error(void **state)
{
    (void)state;
    check_says(&cluster_frame, C "lb_policy: RANDOM\nring_hash_lb_config: {minimum_ring_size: 10}" ONE,
               "3:1: ring_hash_lb_config: has no effect: lb_policy says another policy\n");
    check_says(&cluster_frame,
               C
               "lb_policy: RING_HASH\nring_hash_lb_config: {minimum_ring_size: 10, maximum_ring_size: 9}" ONE,
               "3:42: ring_hash_lb_config.minimum_ring_size: must be at most maximum_ring_size, 9\n");
    check_says(&cluster_frame, C "lb_policy: LEAST_REQUEST\nleast_request_lb_config: {choice_count: 65}" ONE,
               "3:41: least_request_lb_config.choice_count: must be at most 64\n");
}

/* ---- protocols ---- */

static void a_cluster_may_speak_bolt(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(
        &cluster_frame,
        C
        "typed_extension_protocol_options:\n  sampan.rpc.v1: {\"@type\": "
        "type.googleapis.com/sampan.rpc.v1.RpcProtocolOptions, protocol: bolt, heartbeat_interval: 30s}" ONE,
        &l);
    assert_int_equal(cluster_of(&l, "c")->protocol, SP_PROTO_BOLT);
    assert_int_equal(cluster_of(&l, "c")->heartbeat_ns, 30 * NS_PER_S);
    unload(&l);
    check_takes(
        &cluster_frame,
        C "typed_extension_protocol_options:\n  sampan.rpc.v1: {\"@type\": "
          "type.googleapis.com/sampan.rpc.v1.RpcProtocolOptions, protocol: bolt, heartbeat_interval: 0s}" ONE,
        &l);
    assert_true(cluster_of(&l, "c")->heartbeat_ns > 86400 * NS_PER_S); /* never, and not the default */
    unload(&l);
}

static void a_cluster_may_speak_http(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&cluster_frame,
                C
                "typed_extension_protocol_options:\n"
                "  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"
                "    \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n"
                "    explicit_http_config: {http_protocol_options: {}}\n"
                "    common_http_protocol_options: {idle_timeout: 0s}" ONE,
                &l);
    assert_int_equal(cluster_of(&l, "c")->protocol, SP_PROTO_HTTP1);
    assert_int_equal(cluster_of(&l, "c")->idle_timeout_ns, 0);
    unload(&l);
}

static void a_cluster_speaks_one_known_protocol(void **state)
{
    (void)state;
    check_says(
        &cluster_frame,
        C "typed_extension_protocol_options:\n  sampan.rpc.v1: {\"@type\": "
          "type.googleapis.com/sampan.rpc.v1.RpcProtocolOptions, protocol: dubbo}\n"
          "  x: {\"@type\": type.googleapis.com/sampan.rpc.v1.RpcProtocolOptions, protocol: bolt}" ONE,
        "3:92: typed_extension_protocol_options[\"sampan.rpc.v1\"].protocol: dubbo is not supported; bolt "
        "is\n"
        "4:3: typed_extension_protocol_options.x: is not supported; sampan.rpc.v1 and "
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions are\n");
    check_says(
        &cluster_frame,
        C "typed_extension_protocol_options:\n"
          "  sampan.rpc.v1: {\"@type\": type.googleapis.com/sampan.rpc.v1.RpcProtocolOptions, protocol: "
          "bolt}\n"
          "  envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": "
          "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, "
          "explicit_http_config: "
          "{http_protocol_options: {}}}" ONE,
        "4:3: typed_extension_protocol_options[\"envoy.extensions.upstreams.http.v3.HttpProtocolOptions\"]: "
        "a cluster "
        "speaks one protocol; another key has said which\n");
    check_says(&cluster_frame,
               C "typed_extension_protocol_options:\n  sampan.rpc.v1: {\"@type\": "
                 "type.googleapis.com/google.protobuf.Struct, value: {}}" ONE,
               "3:3: typed_extension_protocol_options[\"sampan.rpc.v1\"]: must be of type "
               "sampan.rpc.v1.RpcProtocolOptions "
               "under this key\n");
}

/* ---- transport ---- */

#define RAW                                                                                                  \
    "{name: raw, typed_config: {\"@type\": "                                                                 \
    "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}"
#define PROXY                                                                                                \
    "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3."                              \
    "ProxyProtocolUpstreamTransport"

static void a_proxy_header_may_go_before_the_bytes(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&cluster_frame,
                C "transport_socket: {name: p, typed_config: {\"@type\": " PROXY ", config: {version: V2}, "
                  "transport_socket: " RAW "}}" ONE,
                &l);
    assert_int_equal(cluster_of(&l, "c")->proxyproto, SP_PROXYPROTO_V2);
    unload(&l);
    check_takes(&cluster_frame,
                C "transport_socket: {name: p, typed_config: {\"@type\": " PROXY ", transport_socket: "
                  "{name: envoy.transport_sockets.raw_buffer}}}" ONE,
                &l);
    assert_int_equal(cluster_of(&l, "c")->proxyproto, SP_PROXYPROTO_V1);
    unload(&l);
}

static void tls_to_an_endpoint_is_refused_by_name(void **state)
{
    (void)state;
    check_says(&cluster_frame, C "transport_socket: {name: envoy.transport_sockets.tls}" ONE,
               "2:26: transport_socket.name: TLS is not supported yet\n");
    check_says(
        &cluster_frame,
        C "transport_socket:\n  name: t\n  typed_config: {\"@type\": "
          "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext}" ONE,
        "4:27: transport_socket.typed_config[\"@type\"]: "
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext is known to Envoy but not supported\n");
    check_says(&cluster_frame,
               C "transport_socket: {name: p, typed_config: {\"@type\": " PROXY ", transport_socket:\n"
                 "  {name: envoy.transport_sockets.tls}}}" ONE,
               "3:10: transport_socket.typed_config.transport_socket.name: TLS is not supported yet\n");
}

static void other_transport_sockets_are_refused(void **state)
{
    (void)state;
    check_says(
        &cluster_frame, C "transport_socket: {name: odd}" ONE,
        "2:26: transport_socket.name: is no transport socket that is supported here; raw_buffer is, and "
        "ProxyProtocolUpstreamTransport around it\n");
}

/* ---- endpoints ---- */

static void endpoints_know_zone_priority_weight_and_health(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&cluster_frame,
                "name: c\nload_assignment:\n  cluster_name: c\n  endpoints:\n"
                "  - locality: {region: r, zone: z1, sub_zone: s}\n    lb_endpoints:\n"
                "    - {load_balancing_weight: 7, endpoint: {address: {pipe: {path: /run/a.sock}}}}\n"
                "    - {health_status: DRAINING, endpoint: {address: {socket_address: {address: \"::1\", "
                "port_value: 1}}}}\n"
                "  - priority: 1\n    load_balancing_weight: 3\n    lb_endpoints:\n"
                "    - endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 1}}}\n"
                "      metadata: {filter_metadata: {istio: {workload: \"web-1;shop;web;v1;c1\"}}}\n",
                &l);
    const struct sp_endpoint_spec *e = cluster_of(&l, "c")->endpoints;
    assert_int_equal(cluster_of(&l, "c")->endpoint_count, 3);
    check_str(e[0].zone, "z1");
    assert_int_equal(e[0].weight, 7);
    assert_int_equal(e[0].addr.family, SP_ADDR_UNIX);
    assert_string_equal(e[0].addr.path, "/run/a.sock");
    assert_false(e[1].healthy);
    assert_int_equal(e[1].addr.family, SP_ADDR_IP6);
    assert_int_equal(e[2].priority, 1);
    check_str(e[2].workload, "web-1");
    check_str(e[2].workload_namespace, "shop");
    assert_int_equal(e[0].workload.len, 0);
    unload(&l);
}

static void bad_endpoints_are_all_told(void **state)
{
    (void)state;
    check_says(
        &cluster_frame,
        "name: c\nload_assignment:\n  cluster_name: c\n  endpoints:\n  - lb_endpoints:\n"
        "    - {endpoint: {address: {socket_address: {address: a.example, port_value: 80}}}}\n"
        "    - {endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 0}}}}\n"
        "    - {endpoint: {}}\n"
        "    - {health_status: HEALTHY}\n",
        "6:55: load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: "
        "\"a.example\" is "
        "not an IP address; names are resolved in clusters of type STRICT_DNS only\n"
        "7:77: load_assignment.endpoints[0].lb_endpoints[1].endpoint.address.socket_address.port_value: "
        "must not be "
        "0: there is nobody to call\n"
        "8:8: load_assignment.endpoints[0].lb_endpoints[2].endpoint.address: is missing: write "
        "socket_address: "
        "{address, port_value} or pipe: {path}\n"
        "9:7: load_assignment.endpoints[0].lb_endpoints[3].endpoint: is missing: it says the address\n");
    check_says(
        &cluster_frame,
        "name: c\ntype: STRICT_DNS\nload_assignment:\n  cluster_name: c\n  endpoints:\n  - lb_endpoints:\n"
        "    - {endpoint: {address: {socket_address: {address: \"a..b\", port_value: 80}}}}\n",
        "7:55: load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: "
        "\"a..b\" is neither "
        "an IP address nor a host name\n");
}

static void a_cluster_without_endpoints_says_so(void **state)
{
    (void)state;
    check_says(
        &cluster_frame, "name: c",
        "1:1: load_assignment: is missing: write {cluster_name, endpoints: [{lb_endpoints: [{endpoint: "
        "{address}}]}]}\n");
    check_fine(&cluster_frame, "name: c\nload_assignment: {cluster_name: c}"); /* nobody is there, for now */
}

static void weights_of_a_priority_fit_into_32_bits(void **state)
{
    (void)state;
    check_says(
        &cluster_frame,
        "name: c\nload_assignment:\n  cluster_name: c\n  endpoints:\n  - priority: 2\n    lb_endpoints:\n"
        "    - {load_balancing_weight: 4294967295, endpoint: {address: {pipe: {path: a}}}}\n"
        "    - {load_balancing_weight: 1, endpoint: {address: {pipe: {path: b}}}}\n",
        "4:3: load_assignment.endpoints: the weights of priority 2 sum up to more than 32 bits hold\n");
}

/* ---- labels ---- */

static void check_service(const char *text, const char *service, const char *name, const char *namespace)
{
    struct loaded l;
    check_takes(&cluster_frame, text, &l);
    size_t at = 0;
    void *value;
    assert_true(sp_map_next(&l.snapshot->by_name[SP_RESOURCE_CLUSTER], &at, NULL, &value));
    const struct sp_cluster_spec *c = ((const struct sp_resource *)value)->cluster;
    check_str(c->service, service);
    check_str(c->service_name, name);
    check_str(c->service_namespace, namespace);
    unload(&l);
}

static void the_service_behind_a_cluster_is_known_from_metadata_or_name(void **state)
{
    (void)state;
    check_service(
        "name: c\nload_assignment: {cluster_name: c}\n"
        "metadata: {filter_metadata: {istio: {services: [{host: r.d.svc.local, name: r, namespace: d}]}}}",
        "r.d.svc.local", "r", "d");
    check_service(
        "name: outbound|9080|v1|reviews.default.svc.cluster.local\nload_assignment: {cluster_name: c}",
        "reviews.default.svc.cluster.local", "reviews", "default");
    check_service("name: outbound|443||api.example.org\nload_assignment: {cluster_name: c}",
                  "api.example.org", "api.example.org", "");
    check_service("name: inbound|8080||\nload_assignment: {cluster_name: c}", "inbound|8080||",
                  "inbound|8080||", "");
    check_service("name: plain\nload_assignment: {cluster_name: c}", "plain", "plain", "");
}

/* ---- limits of what is there ---- */

static void what_a_cluster_cannot_do_is_refused_by_name(void **state)
{
    (void)state;
    check_says(
        &cluster_frame,
        C "circuit_breakers: {thresholds: [{max_connections: 1}, {max_connections: 2}]}\n"
          "common_lb_config: {healthy_panic_threshold: {value: 50}}\n"
          "upstream_bind_config: {source_address: {address: a, port_value: 0}}\n"
          "common_http_protocol_options: {max_headers_count: 1}" ONE,
        "2:55: circuit_breakers.thresholds[1]: stands twice; there is one priority, DEFAULT\n"
        "5:51: common_http_protocol_options.max_headers_count: is not supported: an answer may have 128 "
        "headers\n"
        "4:50: upstream_bind_config.source_address.address: \"a\" is not an IP address; names are resolved "
        "in "
        "clusters of type STRICT_DNS only\n"
        "3:20: common_lb_config.healthy_panic_threshold: is not supported: who is unhealthy gets no call; "
        "write "
        "{value: 0}\n");
    check_says(
        &cluster_frame, C "circuit_breakers: {thresholds: [{priority: HIGH}]}" ONE,
        "2:44: circuit_breakers.thresholds[0].priority: HIGH is known to Envoy but not supported: there is "
        "one "
        "priority, DEFAULT\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_that_says_little_is_as_envoy_s),
        cmocka_unit_test(what_a_cluster_says_is_taken),
        cmocka_unit_test(the_old_field_for_requests_on_a_connection_counts_too),
        cmocka_unit_test(strict_dns_takes_names_and_addresses),
        cmocka_unit_test(both_enums_of_dns_families_count_alike),
        cmocka_unit_test(original_dst_has_no_endpoints_and_its_own_policy),
        cmocka_unit_test(cluster_provided_is_for_original_dst_alone),
        cmocka_unit_test(other_kinds_are_refused_by_name),
        cmocka_unit_test(policies_take_their_options),
        cmocka_unit_test(options_of_another_policy_are_an_error),
        cmocka_unit_test(a_cluster_may_speak_bolt),
        cmocka_unit_test(a_cluster_may_speak_http),
        cmocka_unit_test(a_cluster_speaks_one_known_protocol),
        cmocka_unit_test(a_proxy_header_may_go_before_the_bytes),
        cmocka_unit_test(tls_to_an_endpoint_is_refused_by_name),
        cmocka_unit_test(other_transport_sockets_are_refused),
        cmocka_unit_test(endpoints_know_zone_priority_weight_and_health),
        cmocka_unit_test(bad_endpoints_are_all_told),
        cmocka_unit_test(a_cluster_without_endpoints_says_so),
        cmocka_unit_test(weights_of_a_priority_fit_into_32_bits),
        cmocka_unit_test(the_service_behind_a_cluster_is_known_from_metadata_or_name),
        cmocka_unit_test(what_a_cluster_cannot_do_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
