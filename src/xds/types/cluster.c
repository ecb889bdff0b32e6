/* cluster: a Cluster: how its endpoints are found, how calls are spread over them, and on which terms.
 *
 * Defaults are Envoy's: 5 s to connect; 1024 connections, 1024 waiting calls, 1024 calls, 3 retries; pooled
 * connections close after an hour without a call; names are asked for every 5 s. One thing Envoy does and
 * we never do: when too many endpoints are unhealthy it calls them all the same (panic); here who is
 * unhealthy gets no call.
 *
 * What a cluster speaks is told under typed_extension_protocol_options: an RPC protocol by the key
 * sampan.rpc.v1, HTTP by Envoy's. Without either it speaks what its caller does.
 *
 * Metrics name the service behind a cluster. Istio writes it into the metadata, and also into the name, so
 * there are three sources, the best first:
 *
 *      filter_metadata: { istio: { services: [{ host, name, namespace }] } }
 *      outbound|9080|v1|reviews.default.svc.cluster.local    the host, reviews, default
 *      anything else                                         the cluster's name, twice */
#include "xds/types/types_impl.h"

enum {
    CONNECT_S = 5,
    IDLE_S = 3600,
    LIMIT = 1024,
    RETRIES = 3,
    DNS_REFRESH_S = 5,
    LEAST_CHOICES = 2,
    CHOICES_MAX = 64
};
enum { RING_MIN = 1024, RING_MAX = 8 << 20 };

/* ---- kind and balance ---- */

static void take_kind(struct sp_xds_build *b, const struct sp_pb_cluster_cluster *m,
                      struct sp_cluster_spec *spec)
{
    switch (m->type) {
    case SP_PB_CLUSTER_CLUSTER_DISCOVERY_TYPE_STATIC: spec->kind = SP_CLUSTER_STATIC; break;
    case SP_PB_CLUSTER_CLUSTER_DISCOVERY_TYPE_STRICT_DNS: spec->kind = SP_CLUSTER_STRICT_DNS; break;
    case SP_PB_CLUSTER_CLUSTER_DISCOVERY_TYPE_ORIGINAL_DST: spec->kind = SP_CLUSTER_ORIGINAL_DST; break;
    default:
        SP_XDS_REFUSE(b, m, SP_FIELD_CLUSTER_CLUSTER_TYPE,
                      "is not supported; STATIC, STRICT_DNS and ORIGINAL_DST are");
        break;
    }
}

static void take_policy(struct sp_xds_build *b, const struct sp_pb_cluster_cluster *m,
                        struct sp_cluster_spec *spec)
{
    bool given = spec->kind == SP_CLUSTER_ORIGINAL_DST;
    switch (m->lb_policy) {
    case SP_PB_CLUSTER_CLUSTER_LB_POLICY_ROUND_ROBIN: spec->balance = SP_BALANCE_ROUND_ROBIN; break;
    case SP_PB_CLUSTER_CLUSTER_LB_POLICY_LEAST_REQUEST: spec->balance = SP_BALANCE_LEAST_REQUEST; break;
    case SP_PB_CLUSTER_CLUSTER_LB_POLICY_RING_HASH: spec->balance = SP_BALANCE_RING_HASH; break;
    case SP_PB_CLUSTER_CLUSTER_LB_POLICY_RANDOM: spec->balance = SP_BALANCE_RANDOM; break;
    case SP_PB_CLUSTER_CLUSTER_LB_POLICY_CLUSTER_PROVIDED: spec->balance = SP_BALANCE_GIVEN; break;
    default:
        SP_XDS_REFUSE(
            b, m, SP_FIELD_CLUSTER_CLUSTER_LB_POLICY,
            "is not supported; ROUND_ROBIN, LEAST_REQUEST, RANDOM, RING_HASH and CLUSTER_PROVIDED are");
        return;
    }
    if (given != (spec->balance == SP_BALANCE_GIVEN))
        SP_XDS_WRONG(
            b, m, SP_FIELD_CLUSTER_CLUSTER_LB_POLICY,
            given
                ? "must be CLUSTER_PROVIDED in a cluster of type ORIGINAL_DST: the caller chose the endpoint"
                : "CLUSTER_PROVIDED is for clusters of type ORIGINAL_DST");
}

static void take_ring(struct sp_xds_build *b, const struct sp_pb_cluster_cluster_ring_hash_lb_config *m,
                      struct sp_cluster_spec *spec)
{
    if (!m)
        return;
    spec->ring_min = m->minimum_ring_size ? m->minimum_ring_size->value : RING_MIN;
    spec->ring_max = m->maximum_ring_size ? m->maximum_ring_size->value : RING_MAX;
    if (spec->ring_min > spec->ring_max)
        SP_XDS_WRONG(b, m, SP_FIELD_CLUSTER_CLUSTER_RING_HASH_LB_CONFIG_MINIMUM_RING_SIZE,
                     "must be at most maximum_ring_size, %llu", (unsigned long long)spec->ring_max);
}

static void take_original_dst(struct sp_xds_build *b,
                              const struct sp_pb_cluster_cluster_original_dst_lb_config *m,
                              struct sp_cluster_spec *spec)
{
    if (!m)
        return;
    if (m->use_http_header)
        spec->original_dst_header = m->http_header_name.len ? sp_xds_str(b, m->http_header_name)
                                                            : SP_STR("x-envoy-original-dst-host");
    else if (m->http_header_name.len)
        SP_XDS_WRONG(b, m, SP_FIELD_CLUSTER_CLUSTER_ORIGINAL_DST_LB_CONFIG_HTTP_HEADER_NAME,
                     "has no effect without use_http_header: true");
}

static void take_balance(struct sp_xds_build *b, const struct sp_pb_cluster_cluster *m,
                         struct sp_cluster_spec *spec)
{
    enum sp_balance_kind meant = spec->balance;
    take_policy(b, m, spec);
    spec->ring_min = RING_MIN;
    spec->ring_max = RING_MAX;
    spec->least_choices = LEAST_CHOICES;
    switch (m->lb_config_case) {
    case 0: return;
    case SP_FIELD_CLUSTER_CLUSTER_RING_HASH_LB_CONFIG:
        meant = SP_BALANCE_RING_HASH;
        take_ring(b, m->ring_hash_lb_config, spec);
        break;
    case SP_FIELD_CLUSTER_CLUSTER_LEAST_REQUEST_LB_CONFIG:
        meant = SP_BALANCE_LEAST_REQUEST;
        if (m->least_request_lb_config)
            spec->least_choices = sp_xds_u32(m->least_request_lb_config->choice_count, LEAST_CHOICES);
        if (spec->least_choices > CHOICES_MAX)
            SP_XDS_WRONG(b, m->least_request_lb_config,
                         SP_FIELD_CLUSTER_CLUSTER_LEAST_REQUEST_LB_CONFIG_CHOICE_COUNT, "must be at most %d",
                         CHOICES_MAX);
        break;
    case SP_FIELD_CLUSTER_CLUSTER_ORIGINAL_DST_LB_CONFIG:
        meant = SP_BALANCE_GIVEN;
        take_original_dst(b, m->original_dst_lb_config, spec);
        break;
    case SP_FIELD_CLUSTER_CLUSTER_ROUND_ROBIN_LB_CONFIG: meant = SP_BALANCE_ROUND_ROBIN; break;
    default: return; /* refused by the schema */
    }
    if (meant != spec->balance)
        SP_XDS_WRONG(b, m, m->lb_config_case, "has no effect: lb_policy says another policy");
}

/* ---- limits and times ---- */

static void take_limits(struct sp_xds_build *b, const struct sp_pb_cluster_circuit_breakers *m,
                        struct sp_cluster_limits *limits)
{
    *limits = (struct sp_cluster_limits){ LIMIT, LIMIT, LIMIT, RETRIES };
    for (uint32_t i = 0; m && i < m->thresholds_len; i++) {
        const struct sp_pb_cluster_circuit_breakers_thresholds *t = m->thresholds[i];
        limits->connections = sp_xds_u32(t->max_connections, LIMIT);
        limits->pending = sp_xds_u32(t->max_pending_requests, LIMIT);
        limits->requests = sp_xds_u32(t->max_requests, LIMIT);
        limits->retries = sp_xds_u32(t->max_retries, RETRIES);
    }
    if (m && m->thresholds_len > 1)
        SP_XDS_WRONG_ITEM(b, m, SP_FIELD_CLUSTER_CIRCUIT_BREAKERS_THRESHOLDS, 1,
                          "stands twice; there is one priority, DEFAULT");
}

static void take_http_options(struct sp_xds_build *b, const struct sp_pb_core_http_protocol_options *m,
                              struct sp_cluster_spec *spec)
{
    if (!m)
        return;
    spec->idle_timeout_ns = sp_xds_ns(b, m, SP_FIELD_CORE_HTTP_PROTOCOL_OPTIONS_IDLE_TIMEOUT, m->idle_timeout,
                                      spec->idle_timeout_ns);
    spec->max_connection_ns = sp_xds_ns(b, m, SP_FIELD_CORE_HTTP_PROTOCOL_OPTIONS_MAX_CONNECTION_DURATION,
                                        m->max_connection_duration, 0);
    spec->max_requests_per_connection = sp_xds_u32(m->max_requests_per_connection,
                                                   spec->max_requests_per_connection);
    sp_xds_unset(b, m, SP_FIELD_CORE_HTTP_PROTOCOL_OPTIONS_MAX_HEADERS_COUNT,
                 "an answer may have 128 headers");
}

static void take_dns(struct sp_xds_build *b, const struct sp_pb_cluster_cluster *m,
                     struct sp_cluster_spec *spec)
{
    spec->dns_refresh_ns = sp_xds_ns(b, m, SP_FIELD_CLUSTER_CLUSTER_DNS_REFRESH_RATE, m->dns_refresh_rate,
                                     DNS_REFRESH_S * SP_XDS_NS_PER_S);
    spec->dns_failure_refresh_ns = spec->dns_refresh_ns;
    spec->dns_respect_ttl = m->respect_dns_ttl;
    spec->dns_family = (uint8_t)m->dns_lookup_family; /* both enums count alike, AUTO = 0 to ALL = 4 */
    if (m->dns_lookup_family < 0 || m->dns_lookup_family > SP_PB_CLUSTER_CLUSTER_DNS_LOOKUP_FAMILY_ALL)
        SP_XDS_WRONG(b, m, SP_FIELD_CLUSTER_CLUSTER_DNS_LOOKUP_FAMILY, "%d is no family",
                     (int)m->dns_lookup_family);
}

/* ---- what it speaks ---- */

static void take_rpc(struct sp_xds_build *b, const struct sp_pb_rpc_rpc_protocol_options *m,
                     struct sp_cluster_spec *spec)
{
    if (sp_str_eq(m->protocol, SP_STR("bolt")))
        spec->protocol = SP_PROTO_BOLT;
    else
        SP_XDS_REFUSE(b, m, SP_FIELD_RPC_RPC_PROTOCOL_OPTIONS_PROTOCOL, "%.*s is not supported; bolt is",
                      SP_STR_ARG(sp_str_upto(m->protocol, 60)));
    spec->heartbeat_ns = sp_xds_ns(b, m, SP_FIELD_RPC_RPC_PROTOCOL_OPTIONS_HEARTBEAT_INTERVAL,
                                   m->heartbeat_interval, 0);
    if (m->heartbeat_interval && spec->heartbeat_ns == 0)
        spec->heartbeat_ns = SP_XDS_NEVER_NS;
}

static void take_http(struct sp_xds_build *b, const struct sp_pb_upstreamhttp_http_protocol_options *m,
                      struct sp_cluster_spec *spec)
{
    spec->protocol = SP_PROTO_HTTP1;
    take_http_options(b, m->common_http_protocol_options, spec);
    if (m->explicit_http_config)
        sp_xds_check_http1(b, m->explicit_http_config->http_protocol_options);
}

/* Entry i of the map. */
static void take_protocol(struct sp_xds_build *b, const struct sp_pb_cluster_cluster *m, uint32_t i,
                          struct sp_cluster_spec *spec)
{
    enum { FIELD = SP_FIELD_CLUSTER_CLUSTER_TYPED_EXTENSION_PROTOCOL_OPTIONS };
    sp_str key = m->typed_extension_protocol_options[i]->key;
    bool rpc = sp_str_eq(key, SP_STR("sampan.rpc.v1"));
    bool http = sp_str_eq(key, SP_STR("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"));
    if (!rpc && !http) {
        SP_XDS_REFUSE_ITEM(
            b, m, FIELD, i,
            "is not supported; sampan.rpc.v1 and envoy.extensions.upstreams.http.v3.HttpProtocolOptions are");
        return;
    }
    void *config = sp_xds_any(b, m, FIELD, m->typed_extension_protocol_options[i]->value);
    if (!config)
        return;
    const struct sp_form_msg *want = rpc ? &sp_pb_rpc_rpc_protocol_options_msg
                                         : &sp_pb_upstreamhttp_http_protocol_options_msg;
    if (!sp_xds_is(config, want))
        SP_XDS_WRONG_ITEM(b, m, FIELD, i, "must be of type %s under this key", want->name);
    else if (spec->protocol)
        SP_XDS_WRONG_ITEM(b, m, FIELD, i, "a cluster speaks one protocol; another key has said which");
    else if (rpc)
        take_rpc(b, config, spec);
    else
        take_http(b, config, spec);
}

/* ---- transport ---- */

static void take_transport(struct sp_xds_build *b, const struct sp_pb_core_transport_socket *m, bool inner,
                           struct sp_cluster_spec *spec)
{
    if (!m)
        return;
    void *config = m->typed_config
                       ? sp_xds_any(b, m, SP_FIELD_CORE_TRANSPORT_SOCKET_TYPED_CONFIG, m->typed_config)
                       : NULL;
    if (m->typed_config && !config)
        return;
    if (!config && sp_str_eq(m->name, SP_STR("envoy.transport_sockets.tls"))) {
        SP_XDS_REFUSE(b, m, SP_FIELD_CORE_TRANSPORT_SOCKET_NAME, "TLS is not supported yet");
        return;
    }
    if (config && !inner && sp_xds_is(config, &sp_pb_upstreamproxy_proxy_protocol_upstream_transport_msg)) {
        const struct sp_pb_upstreamproxy_proxy_protocol_upstream_transport *proxy = config;
        bool v2 = proxy->config && proxy->config->version == SP_PB_CORE_PROXY_PROTOCOL_CONFIG_VERSION_V2;
        spec->proxyproto = v2 ? SP_PROXYPROTO_V2 : SP_PROXYPROTO_V1;
        take_transport(b, proxy->transport_socket, true, spec);
        return;
    }
    bool raw = config ? sp_xds_is(config, &sp_pb_rawbuffer_raw_buffer_msg)
                      : sp_str_eq(m->name, SP_STR("envoy.transport_sockets.raw_buffer"));
    if (!raw)
        SP_XDS_REFUSE(b, m, SP_FIELD_CORE_TRANSPORT_SOCKET_NAME,
                      "is no transport socket that is supported here; raw_buffer is%s",
                      inner ? "" : ", and ProxyProtocolUpstreamTransport around it");
}

static void take_bind(struct sp_xds_build *b, const struct sp_pb_core_bind_config *m,
                      struct sp_cluster_spec *spec)
{
    if (!m)
        return;
    if (m->source_address)
        (void)sp_xds_socket_addr(b, m->source_address, &spec->bind, NULL); /* said, and left empty */
}

/* ---- whose service it is ---- */

/* "reviews.default.svc.cluster.local" -> reviews, default. */
static void take_host_labels(struct sp_xds_build *b, sp_str host, struct sp_cluster_spec *spec)
{
    sp_str rest = host;
    spec->service = sp_xds_str(b, host);
    spec->service_name = sp_xds_str(b, sp_str_cut(&rest, '.'));
    bool kubernetes = rest.ptr && sp_str_find_str(rest, SP_STR(".svc")) < rest.len;
    if (kubernetes)
        spec->service_namespace = sp_xds_str(b, sp_str_cut(&rest, '.'));
    else
        spec->service_name = spec->service; /* a host outside: its name is the whole */
}

static void take_service(struct sp_xds_build *b, const struct sp_pb_cluster_cluster *m,
                         struct sp_cluster_spec *spec)
{
    const struct sp_pb_google_value *services = sp_xds_struct_get(sp_xds_metadata(m->metadata, "istio"),
                                                                  "services");
    const struct sp_pb_google_list_value *list = services ? services->list_value : NULL;
    const struct sp_pb_google_struct *first = list && list->values_len ? list->values[0]->struct_value : NULL;
    if (first) {
        spec->service = sp_xds_str(b, sp_xds_struct_str(first, "host"));
        spec->service_name = sp_xds_str(b, sp_xds_struct_str(first, "name"));
        spec->service_namespace = sp_xds_str(b, sp_xds_struct_str(first, "namespace"));
        return;
    }
    sp_str host = m->name;
    for (int i = 0; i < 3 && host.ptr; i++) /* direction, port, subset */
        (void)sp_str_cut(&host, '|');
    if (host.ptr && host.len) {
        take_host_labels(b, host, spec);
        return;
    }
    spec->service = spec->service_name = spec->name;
}

/* ---- the cluster ---- */

static void check_panic(struct sp_xds_build *b, const struct sp_pb_cluster_cluster_common_lb_config *common)
{
    if (common && common->healthy_panic_threshold && common->healthy_panic_threshold->value != 0)
        SP_XDS_REFUSE(b, common, SP_FIELD_CLUSTER_CLUSTER_COMMON_LB_CONFIG_HEALTHY_PANIC_THRESHOLD,
                      "is not supported: who is unhealthy gets no call; write {value: 0}");
}

static void take_endpoints(struct sp_xds_build *b, const struct sp_pb_cluster_cluster *m,
                           struct sp_cluster_spec *spec)
{
    bool given = spec->kind == SP_CLUSTER_ORIGINAL_DST;
    if (given && m->load_assignment)
        SP_XDS_WRONG(b, m, SP_FIELD_CLUSTER_CLUSTER_LOAD_ASSIGNMENT,
                     "has no effect in a cluster of type ORIGINAL_DST: the caller chose the endpoint");
    else if (!given && !m->load_assignment)
        SP_XDS_WRONG(
            b, m, SP_FIELD_CLUSTER_CLUSTER_LOAD_ASSIGNMENT,
            "is missing: write {cluster_name, endpoints: [{lb_endpoints: [{endpoint: {address}}]}]}");
    else if (!given)
        sp_xds_endpoints(b, m->load_assignment, spec);
}

static void take_cluster(struct sp_xds_build *b, const struct sp_pb_cluster_cluster *m,
                         struct sp_cluster_spec *spec)
{
    spec->name = b->resource->name;
    spec->alt_stat_name = sp_xds_str(b, m->alt_stat_name);
    take_kind(b, m, spec);
    take_balance(b, m, spec);
    spec->connect_timeout_ns = sp_xds_ns(b, m, SP_FIELD_CLUSTER_CLUSTER_CONNECT_TIMEOUT, m->connect_timeout,
                                         CONNECT_S * SP_XDS_NS_PER_S);
    take_limits(b, m->circuit_breakers, &spec->limits);
    spec->buffer_bytes = sp_xds_u32(m->per_connection_buffer_limit_bytes, 0);
    spec->idle_timeout_ns = IDLE_S * SP_XDS_NS_PER_S;
    spec->max_requests_per_connection = sp_xds_u32(m->max_requests_per_connection, 0);
    take_http_options(b, m->common_http_protocol_options, spec);
    sp_xds_check_http1(b, m->http_protocol_options);
    for (uint32_t i = 0; i < m->typed_extension_protocol_options_len; i++)
        take_protocol(b, m, i, spec);
    take_dns(b, m, spec);
    take_transport(b, m->transport_socket, false, spec);
    take_bind(b, m->upstream_bind_config, spec);
    take_service(b, m, spec);
    take_endpoints(b, m, spec);
    check_panic(b, m->common_lb_config);
}

sp_err sp_xds_cluster(const struct sp_xds_reading *in, const struct sp_pb_cluster_cluster *msg,
                      struct sp_resource **ret_resource)
{
    struct sp_xds_build b;
    sp_err err = sp_xds_open(&b, in, SP_RESOURCE_CLUSTER, msg->name);
    if (err)
        return err;
    take_cluster(&b, msg, b.resource->cluster);
    return sp_xds_close(&b, ret_resource);
}
