/* Listeners: addresses, listener filters, chains side by side. */
#include "unit/xds/help.h"

#define TCP_TO_OUT                                                                                           \
    "filters: [{name: tcp, typed_config: {\"@type\": "                                                       \
    "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, "                           \
    "stat_prefix: t, cluster: out}}]"
#define CHAIN "filter_chains: [{" TCP_TO_OUT "}]\n"

static const struct frame bare_listener = { CLUSTERS "  listeners:\n  -\n", 4,
                                            "static_resources.listeners[0]" };

static void a_listener_has_envoy_s_defaults_and_our_detection_time(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&listener_frame, CHAIN, &l);
    const struct sp_listener_spec *s = listener_of(&l);
    check_str(s->name, "in");
    assert_int_equal(s->addr.port, 8080);
    assert_int_equal(s->direction, SP_DIRECTION_NONE);
    assert_true(s->bind);
    assert_false(s->use_original_dst || s->read_original_dst || s->transparent || s->proxy_protocol ||
                 s->detect);
    assert_int_equal(s->detect_ns, 300 * NS_PER_MS);
    assert_int_equal(s->backlog, 0);
    assert_int_equal(s->buffer_bytes, 0);
    assert_int_equal(s->chain_count, 1);
    assert_false(s->has_default);
    unload(&l);
}

static void what_a_listener_says_is_taken(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(
        &listener_frame,
        "bind_to_port: false\nuse_original_dst: true\ntransparent: true\ntraffic_direction: OUTBOUND\n"
        "tcp_backlog_size: 128\nper_connection_buffer_limit_bytes: 65536\nlistener_filters_timeout: 1s\n"
        "continue_on_listener_filters_timeout: true\nenable_reuse_port: true\nreuse_port: true\n"
        "metadata: {filter_metadata: {istio: {}}}\n"
        "listener_filters:\n"
        "- {name: a, typed_config: {\"@type\": "
        "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}}\n"
        "- {name: b, typed_config: {\"@type\": "
        "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector}}\n"
        "- {name: c, typed_config: {\"@type\": "
        "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol, "
        "allow_requests_without_proxy_protocol: true}}\n" CHAIN,
        &l);
    const struct sp_listener_spec *s = listener_of(&l);
    assert_false(s->bind);
    assert_true(s->use_original_dst && s->read_original_dst && s->transparent);
    assert_true(s->proxy_protocol && s->proxy_protocol_optional);
    assert_int_equal(s->direction, SP_DIRECTION_OUTBOUND);
    assert_int_equal(s->backlog, 128);
    assert_int_equal(s->buffer_bytes, 65536);
    assert_int_equal(s->detect_ns, NS_PER_S);
    unload(&l);
}

static void the_process_s_detection_time_holds_where_a_listener_has_none(void **state)
{
    (void)state;
    static const struct frame slow = {
        "bootstrap_extensions:\n- name: sampan.proxy\n"
        "  typed_config:\n    \"@type\": type.googleapis.com/sampan.proxy.v1.Settings\n"
        "    detect_timeout: 2s\n" LISTENER,
        4, ""
    };
    struct loaded l;
    check_takes(&slow, CHAIN, &l);
    assert_int_equal(listener_of(&l)->detect_ns, 2 * NS_PER_S);
    unload(&l);
}

static void a_listener_without_a_name_is_called_by_its_address(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&bare_listener, "address: {socket_address: {address: \"::1\", port_value: 80}}\n" CHAIN, &l);
    assert_non_null(sp_snapshot_listener(l.snapshot, SP_STR("::1:80")));
    unload(&l);
    check_takes(&bare_listener, "address: {pipe: {path: /run/x, mode: 432}}\n" CHAIN, &l);
    const struct sp_listener_spec *s = sp_snapshot_listener(l.snapshot, SP_STR("/run/x"));
    assert_non_null(s);
    assert_int_equal(s->addr.family, SP_ADDR_UNIX);
    assert_int_equal(s->unix_mode, 0660);
    unload(&l);
}

static void an_address_is_there_and_made_of_numbers(void **state)
{
    (void)state;
    check_says(&bare_listener, "name: in\n" CHAIN,
               "1:1: address: is missing: write socket_address: {address, port_value} or pipe: {path}\n");
    check_says(
        &bare_listener, "address: {socket_address: {address: localhost, port_value: 80}}\n" CHAIN,
        "1:37: address.socket_address.address: \"localhost\" is not an IP address; names are resolved in "
        "clusters of "
        "type STRICT_DNS only\n");
    check_fine(&bare_listener,
               "address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n" CHAIN); /* any port */
}

static void a_listener_does_something_with_a_connection(void **state)
{
    (void)state;
    check_says(&listener_frame, "tcp_backlog_size: 1",
               "above: filter_chains: is missing: nothing is done with a connection\n");
    check_fine(&listener_frame, "use_original_dst: true"); /* hands it to others */
}

static void limits_and_times_of_a_listener_are_checked(void **state)
{
    (void)state;
    check_says(
        &listener_frame,
        "tcp_backlog_size: 65536\nlistener_filters_timeout: 0s\nenable_reuse_port: false\n" CHAIN,
        "1:19: tcp_backlog_size: must be at most 65535\n"
        "2:27: listener_filters_timeout: must be more than 0: a caller that waits for the server to speak "
        "would wait "
        "for ever\n"
        "3:20: enable_reuse_port: is always true: each worker has a listening socket\n");
}

static void other_listener_filters_are_refused_by_name(void **state)
{
    (void)state;
    check_says(&listener_frame,
               "listener_filters:\n- name: a\n"
               "- {name: t, typed_config: {\"@type\": "
               "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}\n" CHAIN,
               "2:3: listener_filters[0].typed_config: is missing: it says what this is, by its \"@type\"\n"
               "3:13: listener_filters[1].typed_config: envoy.extensions.filters.http.router.v3.Router is no "
               "listener filter "
               "that is supported; OriginalDst, ProxyProtocol and HttpInspector are\n");
    check_says(&listener_frame,
               "listener_filters:\n- name: t\n  typed_config:\n    \"@type\": "
               "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector\n" CHAIN,
               "4:14: listener_filters[0].typed_config[\"@type\"]: "
               "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector is known to Envoy but not "
               "supported\n");
}

/* ---- chains side by side ---- */

static void the_default_chain_is_the_last(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&listener_frame,
                "default_filter_chain: {name: rest, metadata: {filter_metadata: {}}, " TCP_TO_OUT "}\n"
                "filter_chains: [{name: a, filter_chain_match: {destination_port: 1}, " TCP_TO_OUT "}]\n",
                &l);
    const struct sp_listener_spec *s = listener_of(&l);
    assert_true(s->has_default);
    assert_int_equal(s->chain_count, 2);
    check_str(s->chains[0].name, "a");
    check_str(s->chains[1].name, "rest");
    unload(&l);
}

static void a_default_chain_has_no_conditions(void **state)
{
    (void)state;
    check_says(
        &listener_frame, "default_filter_chain:\n  filter_chain_match: {destination_port: 1}\n  " TCP_TO_OUT,
        "2:3: default_filter_chain.filter_chain_match: has no effect: the default chain takes what no other "
        "takes\n");
}

static void two_chains_for_the_same_connections_are_an_error(void **state)
{
    (void)state;
    static const char words[] =
        "takes the same connections as filter_chains[0]; for the rest there is default_filter_chain\n";
    char want[512];
    snprintf(want, sizeof(want), "3:3: filter_chains[1].filter_chain_match: %s", words);
    check_says(&listener_frame, "filter_chains:\n- {" TCP_TO_OUT "}\n- {" TCP_TO_OUT "}\n", want);
    snprintf(want, sizeof(want), "3:4: filter_chains[1].filter_chain_match: %s", words);
    check_says(
        &listener_frame,
        "filter_chains:\n"
        "- {filter_chain_match: {destination_port: 1, prefix_ranges: [{address_prefix: 10.0.0.0, "
        "prefix_len: 8}],\n"
        "   application_protocols: [bolt]}, " TCP_TO_OUT "}\n"
        "- {filter_chain_match: {destination_port: 1, prefix_ranges: [{address_prefix: 10.0.0.0, "
        "prefix_len: 8}],\n"
        "   application_protocols: [bolt]}, " TCP_TO_OUT "}\n",
        "4:4: filter_chains[1].filter_chain_match: takes the same connections as filter_chains[0]; for the "
        "rest there "
        "is default_filter_chain\n");
    check_fine(
        &listener_frame,
        "filter_chains:\n"
        "- {filter_chain_match: {destination_port: 1}, " TCP_TO_OUT "}\n"
        "- {filter_chain_match: {destination_port: 2}, " TCP_TO_OUT "}\n"
        "- {filter_chain_match: {prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}, " TCP_TO_OUT
        "}\n"
        "- {filter_chain_match: {prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 9}]}, " TCP_TO_OUT
        "}\n"
        "- {filter_chain_match: {application_protocols: [http/1.1]}, " TCP_TO_OUT "}\n"
        "- {filter_chain_match: {transport_protocol: raw_buffer}, " TCP_TO_OUT "}\n");
}

static void two_chains_of_one_name_are_an_error(void **state)
{
    (void)state;
    check_says(&listener_frame,
               "filter_chains:\n"
               "- {name: a, filter_chain_match: {destination_port: 1}, " TCP_TO_OUT "}\n"
               "- {name: a, filter_chain_match: {destination_port: 2}, " TCP_TO_OUT "}\n",
               "3:10: filter_chains[1].name: filter_chains[0] has this name too\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_has_envoy_s_defaults_and_our_detection_time),
        cmocka_unit_test(what_a_listener_says_is_taken),
        cmocka_unit_test(the_process_s_detection_time_holds_where_a_listener_has_none),
        cmocka_unit_test(a_listener_without_a_name_is_called_by_its_address),
        cmocka_unit_test(an_address_is_there_and_made_of_numbers),
        cmocka_unit_test(a_listener_does_something_with_a_connection),
        cmocka_unit_test(limits_and_times_of_a_listener_are_checked),
        cmocka_unit_test(other_listener_filters_are_refused_by_name),
        cmocka_unit_test(the_default_chain_is_the_last),
        cmocka_unit_test(a_default_chain_has_no_conditions),
        cmocka_unit_test(two_chains_for_the_same_connections_are_an_error),
        cmocka_unit_test(two_chains_of_one_name_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
