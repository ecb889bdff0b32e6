/* Settings: who the process is, its doors, what it may hold. */
#include "unit/xds/help.h"

static const struct frame own = { CLUSTERS "bootstrap_extensions:\n- name: sampan.proxy\n  typed_config:\n"
                                           "    \"@type\": type.googleapis.com/sampan.proxy.v1.Settings\n",
                                  4, "bootstrap_extensions[0].typed_config" };
static const struct frame own_with_listener = {
    LISTENER "    use_original_dst: true\nbootstrap_extensions:\n- name: sampan.proxy\n  typed_config:\n"
             "    \"@type\": type.googleapis.com/sampan.proxy.v1.Settings\n",
    4, "bootstrap_extensions[0].typed_config"
};

static void an_empty_bootstrap_has_defaults(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&whole, "{}", &l);
    assert_int_equal(l.settings.admin.family, SP_ADDR_NONE);
    assert_int_equal(l.settings.drain_ns, 30 * NS_PER_S);
    assert_int_equal(l.settings.detect_ns, 300 * NS_PER_MS);
    assert_int_equal(l.settings.max_connections, 0);
    assert_int_equal(l.settings.max_memory_bytes, 0);
    assert_int_equal(l.settings.max_streams, 100000);
    assert_int_equal(l.settings.why_records, 512);
    assert_true(l.settings.reason_header);
    assert_false(l.settings.lightsdk.on);
    assert_int_equal(l.settings.labels.workload.len, 0);
    assert_int_equal(l.snapshot->by_name[SP_RESOURCE_LISTENER].len, 0);
    unload(&l);
}

static void our_extension_is_taken(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&own,
                "drain_time: 5s\ndetect_timeout: 0.1s\ncaps: {max_connections: 10, memory_bytes: 1000000}\n"
                "workload: {name: w, namespace: ns, app: a, version: v}\n",
                &l);
    assert_int_equal(l.settings.drain_ns, 5 * NS_PER_S);
    assert_int_equal(l.settings.detect_ns, 100 * NS_PER_MS);
    assert_int_equal(l.settings.max_connections, 10);
    assert_int_equal(l.settings.max_memory_bytes, 1000000);
    check_str(l.settings.labels.workload, "w");
    check_str(l.settings.labels.workload_namespace, "ns");
    check_str(l.settings.labels.app, "a");
    check_str(l.settings.labels.version, "v");
    check_str(l.settings.labels.canonical_service, "a");
    check_str(l.settings.labels.canonical_revision, "v");
    unload(&l);
}

static void labels_come_from_istio_s_metadata_where_we_say_none(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(
        &whole,
        "node:\n  id: sidecar~1.2.3.4~web-1.shop~shop.svc.cluster.local\n  cluster: web.shop\n  locality: "
        "{region: r, zone: z, sub_zone: s}\n"
        "  metadata:\n    NAME: web-1\n    NAMESPACE: shop\n    WORKLOAD_NAME: web\n    CLUSTER_ID: c1\n"
        "    LABELS: {app: web-app, version: v2, service.istio.io/canonical-name: web-canonical,\n"
        "      service.istio.io/canonical-revision: latest}\n",
        &l);
    check_str(l.settings.node_id, "sidecar~1.2.3.4~web-1.shop~shop.svc.cluster.local");
    check_str(l.settings.node_cluster, "web.shop");
    check_str(l.settings.labels.workload, "web");
    check_str(l.settings.labels.workload_namespace, "shop");
    check_str(l.settings.labels.cluster, "c1");
    check_str(l.settings.labels.app, "web-app");
    check_str(l.settings.labels.version, "v2");
    check_str(l.settings.labels.canonical_service, "web-canonical");
    check_str(l.settings.labels.canonical_revision, "latest");
    unload(&l);
    check_takes(&whole, "node: {metadata: {NAME: pod-1, LABELS: 5}}",
                &l); /* odd metadata is nobody's error */
    check_str(l.settings.labels.workload, "pod-1");
    check_str(l.settings.labels.canonical_service, "pod-1");
    assert_int_equal(l.settings.labels.app.len, 0);
    unload(&l);
}

static void our_word_counts_before_istio_s(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&whole,
                "node: {metadata: {WORKLOAD_NAME: theirs, NAMESPACE: kept}}\n"
                "bootstrap_extensions:\n- {name: s, typed_config: {\"@type\": "
                "type.googleapis.com/sampan.proxy.v1.Settings, workload: {name: ours}}}\n",
                &l);
    check_str(l.settings.labels.workload, "ours");
    check_str(l.settings.labels.workload_namespace, "kept");
    unload(&l);
}

static void other_extensions_are_refused_by_name(void **state)
{
    (void)state;
    check_says(
        &whole,
        "bootstrap_extensions:\n- name: a\n"
        "- {name: b, typed_config: {\"@type\": "
        "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}\n"
        "- {name: c, typed_config: {\"@type\": type.googleapis.com/sampan.proxy.v1.Settings}}\n"
        "- {name: d, typed_config: {\"@type\": type.googleapis.com/sampan.proxy.v1.Settings}}\n",
        "2:3: bootstrap_extensions[0].typed_config: is missing: it says what this is, by its \"@type\"\n"
        "3:13: bootstrap_extensions[1].typed_config: envoy.extensions.filters.http.router.v3.Router is no "
        "extension "
        "that is supported; sampan.proxy.v1.Settings is\n"
        "5:13: bootstrap_extensions[3].typed_config: stands twice\n");
}

static void admin_has_an_ip_address_or_none(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&whole, "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}", &l);
    assert_int_equal(l.settings.admin.family, SP_ADDR_IP4);
    assert_int_equal(l.settings.admin.port, 15000);
    unload(&l);
    check_fine(&whole, "admin: {}");
    check_says(
        &whole, "admin: {address: {pipe: {path: /run/a}}}",
        "1:19: admin.address.pipe: is not supported: admin is on a Unix socket under --base-dir anyway\n");
    check_says(
        &whole, "admin: {address: {socket_address: {address: here, port_value: 15000}}}",
        "1:45: admin.address.socket_address.address: \"here\" is not an IP address; names are resolved in "
        "clusters of "
        "type STRICT_DNS only\n");
}

/* ---- the light SDK ---- */

#define DOOR "light_sdk: {address: {socket_address: {address: 127.0.0.1, port_value: 13330}}"

static void the_light_sdk_is_told_the_address_of_the_named_listener(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(&own_with_listener, DOOR ", traffic_listener: in}", &l);
    assert_true(l.settings.lightsdk.on);
    assert_int_equal(l.settings.lightsdk.api.port, 13330);
    assert_int_equal(l.settings.lightsdk.traffic.port, 8080);
    unload(&l);
}

static void the_light_sdk_s_own_port_does_without_a_name(void **state)
{
    (void)state;
    static const char *const addresses[] = { "127.0.0.1", "0.0.0.0", "\"::\"" };
    for (size_t i = 0; i < SP_COUNTOF(addresses); i++) {
        struct loaded l;
        char text[512];
        snprintf(text, sizeof(text),
                 "static_resources:\n  listeners:\n  - use_original_dst: true\n"
                 "    address: {socket_address: {address: %s, port_value: 12220}}\n"
                 "bootstrap_extensions:\n- name: s\n  typed_config:\n"
                 "    \"@type\": type.googleapis.com/sampan.proxy.v1.Settings\n    " DOOR "}\n",
                 addresses[i]);
        check_takes(&whole, text, &l);
        assert_int_equal(l.settings.lightsdk.traffic.family, SP_ADDR_IP4);
        assert_int_equal(l.settings.lightsdk.traffic.port, 12220);
        unload(&l);
    }
}

static void the_light_sdk_s_calls_need_a_listener(void **state)
{
    (void)state;
    check_says(
        &own_with_listener, DOOR "}",
        "1:1: light_sdk.traffic_listener: is missing, and no listener is at 127.0.0.1:12220, where the SDKs "
        "call\n");
    check_says(&own_with_listener, DOOR ",\n  traffic_listener: out}",
               "2:21: light_sdk.traffic_listener: there is no listener out with an IP address\n");
}

static void the_light_sdk_knows_where_applications_serve_each_protocol(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(
        &own_with_listener,
        DOOR
        ", traffic_listener: in, applications: [{protocol: bolt, address: {socket_address: {address: "
        "127.0.0.1, port_value: 12200}}}, {protocol: dubbo, address: {socket_address: {address: \"::1\", "
        "port_value: 20880}}}]}",
        &l);
    assert_int_equal(l.settings.lightsdk.app_count, 2);
    check_str(l.settings.lightsdk.apps[0].protocol, "bolt");
    assert_int_equal(l.settings.lightsdk.apps[0].addr.port, 12200);
    assert_int_equal(l.settings.lightsdk.apps[1].addr.family, SP_ADDR_IP6);
    unload(&l);
    check_says(&own_with_listener,
               DOOR ", traffic_listener: in,\n  applications: [\n"
                    "  {protocol: bolt, address: {socket_address: {address: 127.0.0.1, port_value: 1}}},\n"
                    "  {protocol: bolt, address: {socket_address: {address: localhost, port_value: 2}}}]}",
               "4:14: light_sdk.applications[1].protocol: stands twice\n"
               "4:56: light_sdk.applications[1].address.socket_address.address: \"localhost\" is not an IP "
               "address; names "
               "are resolved in clusters of type STRICT_DNS only\n");
}

/* ---- run-time values ---- */

static const struct frame runtime = { LISTENER "    use_original_dst: true\nlayered_runtime:\n", 2,
                                      "layered_runtime" };

static void a_listener_may_have_a_limit_of_connections(void **state)
{
    (void)state;
    static const char *const ways[] = {
        "layers: [{name: s, static_layer: {envoy.resource_limits.listener.in.connection_limit: 100}}]",
        "layers: [{name: s, static_layer: {envoy.resource_limits.listener.in.connection_limit: \"100\"}}]",
        "layers:\n- name: s\n  static_layer:\n"
        "    envoy: {resource_limits: {listener: {in: {connection_limit: 100}}}}",
    };
    struct loaded l;
    for (size_t i = 0; i < SP_COUNTOF(ways); i++) {
        check_takes(&runtime, ways[i], &l);
        assert_int_equal(listener_of(&l)->max_connections, 100);
        unload(&l);
    }
    check_takes(&runtime, "layers: []", &l);
    assert_int_equal(listener_of(&l)->max_connections, 0);
    unload(&l);
}

static void a_later_layer_counts(void **state)
{
    (void)state;
    struct loaded l;
    check_takes(
        &runtime,
        "layers:\n- {name: a, static_layer: {envoy.resource_limits.listener.in.connection_limit: 1}}\n"
        "- {name: b, static_layer: {envoy.resource_limits.listener.in.connection_limit: 2}}",
        &l);
    assert_int_equal(listener_of(&l)->max_connections, 2);
    unload(&l);
}

static void other_run_time_values_are_refused_by_name(void **state)
{
    (void)state;
    check_says(
        &runtime,
        "layers:\n- name: s\n  static_layer:\n    overload.global_downstream_max_connections: 5\n"
        "    envoy.resource_limits.listener..connection_limit: 5\n"
        "    envoy: {resource_limits: {listener: {in: {connection_limit: none}}}}\n"
        "    envoy.resource_limits.listener.in.connection_limit: 0\n",
        "3:3: layers[0].static_layer: overload.global_downstream_max_connections is not supported; "
        "envoy.resource_limits.listener.<name>.connection_limit is\n"
        "3:3: layers[0].static_layer: envoy.resource_limits.listener..connection_limit is not supported; "
        "envoy.resource_limits.listener.<name>.connection_limit is\n"
        "3:3: layers[0].static_layer: envoy.resource_limits.listener.in.connection_limit must be a whole "
        "number, at least 1\n"
        "3:3: layers[0].static_layer: envoy.resource_limits.listener.in.connection_limit must be a whole "
        "number, at least 1\n");
}

static void a_limit_is_of_a_listener_that_there_is(void **state)
{
    (void)state;
    check_says(&runtime,
               "layers: [{name: s, static_layer: {envoy.resource_limits.listener.out.connection_limit: 1}}]",
               "above: there is no listener out to limit the connections of\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_bootstrap_has_defaults),
        cmocka_unit_test(our_extension_is_taken),
        cmocka_unit_test(labels_come_from_istio_s_metadata_where_we_say_none),
        cmocka_unit_test(our_word_counts_before_istio_s),
        cmocka_unit_test(other_extensions_are_refused_by_name),
        cmocka_unit_test(admin_has_an_ip_address_or_none),
        cmocka_unit_test(the_light_sdk_is_told_the_address_of_the_named_listener),
        cmocka_unit_test(the_light_sdk_s_own_port_does_without_a_name),
        cmocka_unit_test(the_light_sdk_s_calls_need_a_listener),
        cmocka_unit_test(the_light_sdk_knows_where_applications_serve_each_protocol),
        cmocka_unit_test(a_listener_may_have_a_limit_of_connections),
        cmocka_unit_test(a_later_layer_counts),
        cmocka_unit_test(other_run_time_values_are_refused_by_name),
        cmocka_unit_test(a_limit_is_of_a_listener_that_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
