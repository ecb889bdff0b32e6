/* settings: what of a bootstrap concerns the process: who it is, where its doors are, how much it may hold.
 *
 * Most of it has no word in Envoy's schema and stands in an extension of ours, sampan.proxy.v1.Settings.
 * Whom metrics name as this side of a call is told there under `workload`; what is not said there is looked
 * up in node.metadata under Istio's keys, which injected sidecars bear already:
 *
 *      WORKLOAD_NAME, NAMESPACE, CLUSTER_ID, LABELS { app, version,
 *      service.istio.io/canonical-name, service.istio.io/canonical-revision }
 *
 * Envoy's layered_runtime is where a listener's limit of connections stands:
 *
 *      layers: [{name: static, static_layer: {envoy.resource_limits.listener.in.connection_limit: 100}}]
 *
 * Keys may be nested or have dots, as Envoy has it. This is the one that we know; a file with another is
 * refused.
 *
 * The light SDK is told one address for all calls: that of the listener which the bootstrap names, or the
 * one that the SDKs dial by themselves, 127.0.0.1:12220. A listener has to be there, or every call would be
 * refused; so that is checked. */
#include "xds/types/types_impl.h"

enum { DRAIN_S = 30, DETECT_MS = 300, STREAMS = 100000, WHY_RECORDS = 512, SDK_TRAFFIC_PORT = 12220 };

static sp_str either(sp_str a, sp_str b)
{
    return a.len ? a : b;
}

static void take_labels(struct sp_xds_build *b, const struct sp_pb_core_node *node,
                        const struct sp_pb_proxy_workload *own, struct sp_labels *labels)
{
    static const struct sp_pb_proxy_workload none;
    const struct sp_pb_google_struct *metadata = node ? node->metadata : NULL;
    const struct sp_pb_google_value *value = sp_xds_struct_get(metadata, "LABELS");
    const struct sp_pb_google_struct *of_pod = value ? value->struct_value : NULL;
    own = own ? own : &none;
    sp_str name = either(
        own->name, either(sp_xds_struct_str(metadata, "WORKLOAD_NAME"), sp_xds_struct_str(metadata, "NAME")));
    sp_str app = either(own->app, sp_xds_struct_str(of_pod, "app"));
    sp_str version = either(own->version, sp_xds_struct_str(of_pod, "version"));
    sp_str canonical = either(sp_xds_struct_str(of_pod, "service.istio.io/canonical-name"),
                              either(app, name));
    sp_str revision = either(sp_xds_struct_str(of_pod, "service.istio.io/canonical-revision"), version);
    labels->workload = sp_xds_str(b, name);
    labels->workload_namespace = sp_xds_str(b,
                                            either(own->namespace, sp_xds_struct_str(metadata, "NAMESPACE")));
    labels->app = sp_xds_str(b, app);
    labels->version = sp_xds_str(b, version);
    labels->cluster = sp_xds_str(b, sp_xds_struct_str(metadata, "CLUSTER_ID"));
    labels->canonical_service = sp_xds_str(b, canonical);
    labels->canonical_revision = sp_xds_str(b, revision);
}

static void take_admin(struct sp_xds_build *b, const struct sp_pb_bootstrap_admin *m,
                       struct sp_settings *settings)
{
    if (!m)
        return;
    if (!m->address)
        return;
    if (m->address->pipe)
        SP_XDS_REFUSE(b, m->address, SP_FIELD_CORE_ADDRESS_PIPE,
                      "is not supported: admin is on a Unix socket under --base-dir anyway");
    else
        (void)sp_xds_addr(b, m, SP_FIELD_BOOTSTRAP_ADMIN_ADDRESS, m->address, &settings->admin,
                          NULL); /* said, and left empty */
}

/* ---- the light SDK ---- */

static bool is_traffic(const sp_addr *addr, const sp_addr *wanted)
{
    static const uint8_t any[16];
    bool everywhere = (addr->family == SP_ADDR_IP4 || addr->family == SP_ADDR_IP6) &&
                      !memcmp(addr->ip, any, sizeof(any));
    return addr->port == wanted->port && (sp_addr_eq(addr, wanted) || everywhere);
}

static void take_traffic(struct sp_xds_build *b, const struct sp_pb_proxy_light_sdk *m,
                         const struct sp_pb_bootstrap_bootstrap_static_resources *resources,
                         struct sp_lightsdk_spec *sdk)
{
    sp_addr addr;
    if (sp_addr_parse_ip(SP_STR("127.0.0.1"), SDK_TRAFFIC_PORT, &sdk->traffic))
        return;
    for (uint32_t i = 0; resources && i < resources->listeners_len; i++) {
        const struct sp_pb_listener_listener *listener = resources->listeners[i];
        bool named = m->traffic_listener.len && sp_str_eq(listener->name, m->traffic_listener);
        if (!sp_xds_peek_addr(listener->address, &addr))
            continue;
        if (named)
            sdk->traffic = addr;
        if (named || (!m->traffic_listener.len && is_traffic(&addr, &sdk->traffic)))
            return;
    }
    if (resources &&
        sp_xds_is_broken_below(b->in, resources, SP_FIELD_BOOTSTRAP_BOOTSTRAP_STATIC_RESOURCES_LISTENERS))
        return; /* it may be the one whose name or address is wrong */
    if (m->traffic_listener.len)
        SP_XDS_WRONG(b, m, SP_FIELD_PROXY_LIGHT_SDK_TRAFFIC_LISTENER,
                     "there is no listener %.*s with an IP address", SP_STR_ARG(m->traffic_listener));
    else
        SP_XDS_WRONG(b, m, SP_FIELD_PROXY_LIGHT_SDK_TRAFFIC_LISTENER,
                     "is missing, and no listener is at 127.0.0.1:12220, where the SDKs call");
}

static void take_apps(struct sp_xds_build *b, const struct sp_pb_proxy_light_sdk *m,
                      struct sp_lightsdk_spec *sdk)
{
    struct sp_lightsdk_app_spec *apps = sp_xds_array(b, m->applications_len, sizeof(*apps));
    if (!apps)
        return;
    for (uint32_t i = 0; i < m->applications_len; i++) {
        const struct sp_pb_proxy_application *app = m->applications[i];
        for (uint32_t k = 0; k < i; k++)
            if (sp_str_eq(apps[k].protocol, app->protocol))
                SP_XDS_WRONG(b, app, SP_FIELD_PROXY_APPLICATION_PROTOCOL, "stands twice");
        apps[i].protocol = sp_xds_str(b, app->protocol);
        (void)sp_xds_addr(b, app, SP_FIELD_PROXY_APPLICATION_ADDRESS, app->address, &apps[i].addr,
                          NULL); /* said */
    }
    sdk->apps = apps;
    sdk->app_count = m->applications_len;
}

static void take_sdk(struct sp_xds_build *b, const struct sp_pb_proxy_light_sdk *m,
                     const struct sp_pb_bootstrap_bootstrap_static_resources *resources,
                     struct sp_lightsdk_spec *sdk)
{
    if (!m)
        return;
    sdk->on = true;
    (void)sp_xds_addr(b, m, SP_FIELD_PROXY_LIGHT_SDK_ADDRESS, m->address, &sdk->api,
                      NULL); /* said, and left empty */
    take_traffic(b, m, resources, sdk);
    take_apps(b, m, sdk);
}

/* ---- run-time values ---- */

#define LIMIT_HEAD "envoy.resource_limits.listener."
#define LIMIT_TAIL ".connection_limit"

struct limits {
    struct sp_xds_build *b;
    const struct sp_pb_bootstrap_runtime_layer *layer; /* that is being read */
    struct sp_vec list;                                /* of struct sp_listener_limit */
};

static bool is_count(const struct sp_pb_google_value *value, uint32_t *ret_count)
{
    uint64_t n = 0;
    double number = value->number_value;
    bool text = value->kind_case == SP_FIELD_GOOGLE_VALUE_STRING_VALUE;
    if (!text && value->kind_case != SP_FIELD_GOOGLE_VALUE_NUMBER_VALUE)
        return false;
    if (!text && number >= 1 && number <= UINT32_MAX)
        n = (uint64_t)number;
    if (text ? sp_str_to_u64(value->string_value, &n) != 0 : (double)n != number)
        return false;
    *ret_count = (uint32_t)n;
    return n >= 1 && n <= UINT32_MAX;
}

static void take_runtime_value(struct limits *l, sp_str key, const struct sp_pb_google_value *value)
{
    enum { FIELD = SP_FIELD_BOOTSTRAP_RUNTIME_LAYER_STATIC_LAYER };
    struct sp_xds_build *b = l->b;
    sp_str shown = sp_str_upto(key, 200), head = SP_STR(LIMIT_HEAD), tail = SP_STR(LIMIT_TAIL);
    uint32_t count;
    bool known = sp_str_starts(key, head) && key.len > head.len + tail.len &&
                 sp_str_eq(sp_str_from(key, key.len - tail.len), tail);
    if (!known) {
        SP_XDS_REFUSE(b, l->layer, FIELD, "%.*s is not supported; " LIMIT_HEAD "<name>" LIMIT_TAIL " is",
                      SP_STR_ARG(shown));
        return;
    }
    if (!is_count(value, &count)) {
        SP_XDS_WRONG(b, l->layer, FIELD, "%.*s must be a whole number, at least 1", SP_STR_ARG(shown));
        return;
    }
    struct sp_listener_limit *limit = sp_vec_push(&l->list);
    if (!limit) {
        b->no_memory = true;
        return;
    }
    limit->listener = sp_xds_str(b, sp_str_of(key.ptr + head.len, key.len - head.len - tail.len));
    limit->connections = count;
}

/* `above` is the path of keys to this struct, with the dot behind it. */
static void walk_runtime(struct limits *l, const char *above, const struct sp_pb_google_struct *s)
{
    for (uint32_t i = 0; s && i < s->fields_len; i++) {
        const struct sp_pb_google_value *value = s->fields[i]->value;
        bool nested = value && value->struct_value;
        const char *key = sp_arena_printf(l->b->doc->arena, "%s%.*s%s", above, SP_STR_ARG(s->fields[i]->key),
                                          nested ? "." : "");
        if (!key)
            l->b->no_memory = true;
        else if (nested)
            walk_runtime(l, key, value->struct_value);
        else if (value)
            take_runtime_value(l, sp_str_c(key), value);
    }
}

static void take_runtime(struct sp_xds_build *b, const struct sp_pb_bootstrap_layered_runtime *m,
                         struct sp_settings *settings)
{
    struct limits l = { .b = b };
    sp_vec_init(&l.list, sizeof(struct sp_listener_limit));
    for (uint32_t i = 0; m && i < m->layers_len; i++) {
        l.layer = m->layers[i];
        walk_runtime(&l, "", l.layer->static_layer);
    }
    struct sp_listener_limit *limits = sp_xds_array(b, l.list.len, sizeof(*limits));
    for (size_t i = 0; limits && i < l.list.len; i++)
        limits[i] = *(struct sp_listener_limit *)sp_vec_at(&l.list, i);
    settings->listener_limits = limits;
    settings->listener_limit_count = limits ? (uint32_t)l.list.len : 0;
    sp_vec_deinit(&l.list);
}

/* ---- all of it ---- */

static void take_own(struct sp_xds_build *b, const struct sp_pb_proxy_settings *m,
                     const struct sp_pb_bootstrap_bootstrap *bootstrap, struct sp_settings *settings)
{
    settings->drain_ns = sp_xds_ns(b, m, SP_FIELD_PROXY_SETTINGS_DRAIN_TIME, m->drain_time,
                                   settings->drain_ns);
    settings->detect_ns = sp_xds_ns(b, m, SP_FIELD_PROXY_SETTINGS_DETECT_TIMEOUT, m->detect_timeout,
                                    settings->detect_ns);
    if (m->caps) {
        settings->max_connections = m->caps->max_connections;
        settings->max_memory_bytes = m->caps->memory_bytes;
    }
    take_sdk(b, m->light_sdk, bootstrap->static_resources, &settings->lightsdk);
    take_labels(b, bootstrap->node, m->workload, &settings->labels);
}

static void take_extensions(struct sp_xds_build *b, const struct sp_pb_bootstrap_bootstrap *m,
                            struct sp_settings *settings)
{
    bool seen = false;
    take_labels(b, m->node, NULL, &settings->labels);
    for (uint32_t i = 0; i < m->bootstrap_extensions_len; i++) {
        const struct sp_pb_core_typed_extension_config *extension = m->bootstrap_extensions[i];
        uint32_t field = SP_FIELD_CORE_TYPED_EXTENSION_CONFIG_TYPED_CONFIG;
        void *config = sp_xds_any(b, extension, field, extension->typed_config);
        if (!config)
            continue;
        if (!sp_xds_is(config, &sp_pb_proxy_settings_msg))
            SP_XDS_REFUSE(b, extension, field,
                          "%s is no extension that is supported; sampan.proxy.v1.Settings is",
                          ((const struct sp_form_head *)config)->type->name);
        else if (seen)
            SP_XDS_WRONG(b, extension, field, "stands twice");
        else
            take_own(b, config, m, settings);
        seen |= sp_xds_is(config, &sp_pb_proxy_settings_msg);
    }
}

sp_err sp_xds_settings(const struct sp_xds_reading *in, const struct sp_pb_bootstrap_bootstrap *msg,
                       struct sp_arena *keep, struct sp_settings *ret_settings)
{
    struct sp_xds_build b = {
        .in = in, .doc = in->doc, .arena = keep, .errors_before = sp_xds_error_count(in->doc)
    };
    struct sp_settings settings = { .drain_ns = DRAIN_S * SP_XDS_NS_PER_S,
                                    .detect_ns = DETECT_MS * SP_XDS_NS_PER_MS,
                                    .max_streams = STREAMS,
                                    .why_records = WHY_RECORDS,
                                    .reason_header = true };
    if (msg->node) {
        settings.node_id = sp_xds_str(&b, msg->node->id);
        settings.node_cluster = sp_xds_str(&b, msg->node->cluster);
    }
    take_admin(&b, msg->admin, &settings);
    take_extensions(&b, msg, &settings);
    take_runtime(&b, msg->layered_runtime, &settings);
    if (b.no_memory)
        return SP_E_NOMEM;
    if (sp_xds_error_count(b.doc) > b.errors_before)
        return SP_E_INVALID;
    *ret_settings = settings;
    return 0;
}
