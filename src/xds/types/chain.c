/* chain: a filter chain: which connections it takes, and the one network filter that speaks with them.
 *
 * Three filters are there: HttpConnectionManager, RpcConnectionManager and TcpProxy. Each ends the
 * connection, so a chain has exactly one, and it is the last as well as the first. In the chain of HTTP
 * filters only the router is there yet, and it has to be: without it Envoy would answer nothing.
 *
 * HttpConnectionManager's AUTO means that the version of HTTP is found by the first bytes. There is one
 * version, so nothing needs to be found, and a connection is handed over without a look.
 * RpcConnectionManager looks: `bolt` has two versions, and `auto` takes whatever RPC protocol it hears.
 *
 * Defaults are Envoy's: a stream may be silent for 5 minutes, a connection for an hour; a head may have 60
 * KiB and 100 headers; a request without an id gets one. Two differ. The head of a request must be there
 * within 60 s, where Envoy waits for ever. And a Server header is left as the application wrote it unless
 * server_name says otherwise, because a sidecar should not be noticed. */
#include "xds/types/types_impl.h"

enum { STREAM_IDLE_S = 300, IDLE_S = 3600, HEADERS_KB = 60, HEADERS = 100, HEADERS_TIMEOUT_S = 60 };

/* ---- which connections ---- */

static const struct sp_net *take_nets(struct sp_xds_build *b, struct sp_pb_core_cidr_range *const *list,
                                      uint32_t count, uint32_t *ret_count)
{
    struct sp_net *nets = sp_xds_array(b, count, sizeof(*nets));
    for (uint32_t i = 0; nets && i < count; i++) {
        const struct sp_pb_core_cidr_range *m = list[i];
        if (sp_addr_parse_ip(m->address_prefix, 0, &nets[i].addr)) {
            SP_XDS_WRONG(b, m, SP_FIELD_CORE_CIDR_RANGE_ADDRESS_PREFIX, "is not an IP address");
            continue;
        }
        uint32_t most = nets[i].addr.family == SP_ADDR_IP4 ? 32 : 128;
        nets[i].bits = sp_xds_u32(m->prefix_len, 0);
        if (nets[i].bits > most)
            SP_XDS_WRONG(b, m, SP_FIELD_CORE_CIDR_RANGE_PREFIX_LEN, "must be at most %u for this address",
                         (unsigned)most);
    }
    *ret_count = nets ? count : 0;
    return nets;
}

static void take_protocols(struct sp_xds_build *b, const struct sp_pb_listener_filter_chain_match *m,
                           struct sp_chain_spec *chain)
{
    static const char *const known[] = { "http/1.0", "http/1.1", "bolt", "tcp" };
    sp_str *names = sp_xds_array(b, m->application_protocols_len, sizeof(*names));
    for (uint32_t i = 0; names && i < m->application_protocols_len; i++) {
        bool found = false;
        for (size_t k = 0; k < SP_COUNTOF(known); k++)
            found |= sp_str_eq(m->application_protocols[i], sp_str_c(known[k]));
        if (!found)
            SP_XDS_REFUSE_ITEM(b, m, SP_FIELD_LISTENER_FILTER_CHAIN_MATCH_APPLICATION_PROTOCOLS, i,
                               "is not detected; http/1.0, http/1.1, bolt and tcp are");
        names[i] = sp_xds_str(b, m->application_protocols[i]);
    }
    chain->match_protocols = names;
    chain->match_protocol_count = names ? m->application_protocols_len : 0;
}

static void take_chain_match(struct sp_xds_build *b, const struct sp_pb_listener_filter_chain_match *m,
                             struct sp_chain_spec *chain)
{
    chain->match_port = (uint16_t)sp_xds_u32(m->destination_port, 0);
    chain->match_nets = take_nets(b, m->prefix_ranges, m->prefix_ranges_len, &chain->match_net_count);
    chain->match_sources = take_nets(b, m->source_prefix_ranges, m->source_prefix_ranges_len,
                                     &chain->match_source_count);
    take_protocols(b, m, chain);
    chain->match_raw = sp_str_eq(m->transport_protocol, SP_STR("raw_buffer"));
    if (sp_str_eq(m->transport_protocol, SP_STR("tls")))
        SP_XDS_REFUSE(b, m, SP_FIELD_LISTENER_FILTER_CHAIN_MATCH_TRANSPORT_PROTOCOL,
                      "TLS is not supported yet");
    else if (m->transport_protocol.len && !chain->match_raw)
        SP_XDS_REFUSE(b, m, SP_FIELD_LISTENER_FILTER_CHAIN_MATCH_TRANSPORT_PROTOCOL,
                      "is not detected; raw_buffer is");
}

/* ---- HTTP filters ---- */

/* Of the router: what has an effect elsewhere or none at all. */
static void check_router(struct sp_xds_build *b, const struct sp_pb_hcm_http_filter *m)
{
    const struct sp_pb_router_router *router;
    void *config = sp_xds_any(b, m, SP_FIELD_HCM_HTTP_FILTER_TYPED_CONFIG, m->typed_config);
    if (!config)
        return;
    if (!sp_xds_is(config, &sp_pb_router_router_msg)) {
        SP_XDS_REFUSE(b, m, SP_FIELD_HCM_HTTP_FILTER_TYPED_CONFIG,
                      "%s is no HTTP filter that is supported; the router is",
                      ((const struct sp_form_head *)config)->type->name);
        return;
    }
    router = config;
    if (router->dynamic_stats && !router->dynamic_stats->value)
        SP_XDS_REFUSE(b, router, SP_FIELD_ROUTER_ROUTER_DYNAMIC_STATS,
                      "is always true: figures of clusters cost nothing");
}

static void check_filters(struct sp_xds_build *b, const void *msg, uint32_t field,
                          struct sp_pb_hcm_http_filter *const *filters, uint32_t count)
{
    if (count == 0)
        SP_XDS_WRONG(b, msg, field,
                     "must end with the router: "
                     "{name: envoy.filters.http.router, typed_config: {\"@type\": "
                     "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}");
    for (uint32_t i = 0; i < count; i++)
        check_router(b, filters[i]);
    if (count > 1)
        SP_XDS_WRONG_ITEM(b, msg, field, 0, "only the last filter can be the router");
}

/* ---- HttpConnectionManager ---- */

static void take_http_options(struct sp_xds_build *b, const struct sp_pb_core_http_protocol_options *m,
                              struct sp_chain_spec *chain)
{
    chain->idle_ns = IDLE_S * SP_XDS_NS_PER_S;
    chain->max_headers = HEADERS;
    if (!m)
        return;
    chain->idle_ns = sp_xds_ns(b, m, SP_FIELD_CORE_HTTP_PROTOCOL_OPTIONS_IDLE_TIMEOUT, m->idle_timeout,
                               chain->idle_ns);
    chain->max_connection_ns = sp_xds_ns(b, m, SP_FIELD_CORE_HTTP_PROTOCOL_OPTIONS_MAX_CONNECTION_DURATION,
                                         m->max_connection_duration, 0);
    chain->max_headers = sp_xds_u32(m->max_headers_count, HEADERS);
    if (chain->max_headers > SP_HEADERS_MAX)
        SP_XDS_WRONG(b, m, SP_FIELD_CORE_HTTP_PROTOCOL_OPTIONS_MAX_HEADERS_COUNT, "must be at most %d",
                     SP_HEADERS_MAX);
    sp_xds_unset(b, m, SP_FIELD_CORE_HTTP_PROTOCOL_OPTIONS_MAX_REQUESTS_PER_CONNECTION,
                 "callers keep their connections");
}

static void take_upgrades(struct sp_xds_build *b, const struct sp_pb_hcm_http_connection_manager *m,
                          struct sp_chain_spec *chain)
{
    for (uint32_t i = 0; i < m->upgrade_configs_len; i++) {
        const struct sp_pb_hcm_http_connection_manager_upgrade_config *config = m->upgrade_configs[i];
        bool enabled = sp_xds_bool(config->enabled, true);
        if (sp_str_eq_nocase(config->upgrade_type, SP_STR("websocket"))) {
            chain->upgrade_websocket = enabled;
        } else if (sp_str_eq_nocase(config->upgrade_type, SP_STR("connect"))) {
            chain->upgrade_connect = enabled;
        } else {
            SP_XDS_REFUSE(b, config, SP_FIELD_HCM_HTTP_CONNECTION_MANAGER_UPGRADE_CONFIG_UPGRADE_TYPE,
                          "is not supported; websocket and CONNECT are");
        }
    }
}

static void take_server_header(struct sp_xds_build *b, const struct sp_pb_hcm_http_connection_manager *m,
                               struct sp_chain_spec *chain)
{
    switch (m->server_header_transformation) {
    case SP_PB_HCM_HTTP_CONNECTION_MANAGER_SERVER_HEADER_TRANSFORMATION_OVERWRITE:
        chain->server_name = sp_xds_str(b, m->server_name);
        break;
    case SP_PB_HCM_HTTP_CONNECTION_MANAGER_SERVER_HEADER_TRANSFORMATION_PASS_THROUGH: break;
    default:
        SP_XDS_REFUSE(b, m, SP_FIELD_HCM_HTTP_CONNECTION_MANAGER_SERVER_HEADER_TRANSFORMATION,
                      "is not supported; OVERWRITE and PASS_THROUGH are");
        break;
    }
}

void sp_xds_check_http1(struct sp_xds_build *b, const struct sp_pb_core_http1_protocol_options *m)
{
    enum {
        OLD = SP_FIELD_CORE_HTTP1_PROTOCOL_OPTIONS_ACCEPT_HTTP_10,
        TRAILERS = SP_FIELD_CORE_HTTP1_PROTOCOL_OPTIONS_ENABLE_TRAILERS,
    };
    if (!m)
        return;
    if (!m->accept_http_10 && sp_form_is_said(b->in->doc, m, OLD))
        SP_XDS_REFUSE(b, m, OLD, "is always true: who spoke HTTP/1.0 to the application still shall");
    if (!m->enable_trailers && sp_form_is_said(b->in->doc, m, TRAILERS))
        SP_XDS_REFUSE(b, m, TRAILERS,
                      "is always true: a sidecar takes nothing away that the application said");
    if (!sp_xds_bool(m->allow_absolute_url, true))
        SP_XDS_REFUSE(b, m, SP_FIELD_CORE_HTTP1_PROTOCOL_OPTIONS_ALLOW_ABSOLUTE_URL,
                      "is always true: RFC 9112 3.2.2 wants servers to take absolute URLs");
}

static void take_hcm_times(struct sp_xds_build *b, const struct sp_pb_hcm_http_connection_manager *m,
                           struct sp_chain_spec *chain)
{
    chain->stream_idle_ns = sp_xds_ns(b, m, SP_FIELD_HCM_HTTP_CONNECTION_MANAGER_STREAM_IDLE_TIMEOUT,
                                      m->stream_idle_timeout, STREAM_IDLE_S * SP_XDS_NS_PER_S);
    chain->request_timeout_ns = sp_xds_ns(b, m, SP_FIELD_HCM_HTTP_CONNECTION_MANAGER_REQUEST_TIMEOUT,
                                          m->request_timeout, 0);
    chain->headers_timeout_ns = sp_xds_ns(b, m, SP_FIELD_HCM_HTTP_CONNECTION_MANAGER_REQUEST_HEADERS_TIMEOUT,
                                          m->request_headers_timeout, HEADERS_TIMEOUT_S * SP_XDS_NS_PER_S);
    if (m->request_headers_timeout && !chain->headers_timeout_ns)
        chain->headers_timeout_ns = SP_XDS_NEVER_NS; /* 0 in the model means: nobody has said */
    take_http_options(b, m->common_http_protocol_options, chain);
}

/* The table lives beside its chain. */
static const struct sp_route_table *take_table(struct sp_xds_build *b, const void *msg, uint32_t field,
                                               const struct sp_pb_route_route_configuration *routes)
{
    if (!routes) {
        SP_XDS_WRONG(b, msg, field, "is missing: routes stand in it");
        return NULL;
    }
    struct sp_route_table *table = sp_xds_array(b, 1, sizeof(*table));
    return table ? sp_xds_route_table(b, routes, table) : NULL;
}

static void take_hcm(struct sp_xds_build *b, const struct sp_pb_hcm_http_connection_manager *m,
                     struct sp_chain_spec *chain)
{
    chain->kind = SP_CHAIN_HTTP;
    chain->protocol = SP_PROTO_HTTP1;
    chain->stat_prefix = sp_xds_str(b, m->stat_prefix);
    chain->max_headers_kb = sp_xds_u32(m->max_request_headers_kb, HEADERS_KB);
    chain->use_remote_address = sp_xds_bool(m->use_remote_address, false);
    chain->xff_hops = m->xff_num_trusted_hops;
    chain->generate_request_id = sp_xds_bool(m->generate_request_id, true);
    chain->preserve_request_id = m->preserve_external_request_id;
    chain->normalize_path = sp_xds_bool(m->normalize_path, false);
    chain->merge_slashes = m->merge_slashes;
    take_hcm_times(b, m, chain);
    take_server_header(b, m, chain);
    take_upgrades(b, m, chain);
    sp_xds_check_http1(b, m->http_protocol_options);
    check_filters(b, m, SP_FIELD_HCM_HTTP_CONNECTION_MANAGER_HTTP_FILTERS, m->http_filters,
                  m->http_filters_len);
    b->rpc = false;
    b->chain = SP_CHAIN_HTTP;
    b->protocol = SP_PROTO_HTTP1;
    chain->routes = take_table(b, m, SP_FIELD_HCM_HTTP_CONNECTION_MANAGER_ROUTE_CONFIG, m->route_config);
    chain->logs = sp_xds_logs(b, m->access_log, m->access_log_len, &chain->log_count);
}

/* ---- RpcConnectionManager ---- */

static void take_rpc(struct sp_xds_build *b, const struct sp_pb_rpc_rpc_connection_manager *m,
                     struct sp_chain_spec *chain)
{
    chain->kind = SP_CHAIN_RPC;
    if (sp_str_eq(m->protocol, SP_STR("bolt")))
        chain->protocol = SP_PROTO_BOLT;
    else if (!sp_str_eq(m->protocol, SP_STR("auto")))
        SP_XDS_REFUSE(b, m, SP_FIELD_RPC_RPC_CONNECTION_MANAGER_PROTOCOL,
                      "%.*s is not supported; bolt and auto are", SP_STR_ARG(sp_str_upto(m->protocol, 60)));
    chain->stat_prefix = sp_xds_str(b, m->stat_prefix);
    chain->stream_idle_ns = sp_xds_ns(b, m, SP_FIELD_RPC_RPC_CONNECTION_MANAGER_STREAM_IDLE_TIMEOUT,
                                      m->stream_idle_timeout, STREAM_IDLE_S * SP_XDS_NS_PER_S);
    chain->headers_timeout_ns = sp_xds_ns(b, m, SP_FIELD_RPC_RPC_CONNECTION_MANAGER_FRAME_TIMEOUT,
                                          m->frame_timeout, HEADERS_TIMEOUT_S * SP_XDS_NS_PER_S);
    chain->max_headers_kb = HEADERS_KB;
    take_http_options(b, NULL, chain);
    check_filters(b, m, SP_FIELD_RPC_RPC_CONNECTION_MANAGER_HTTP_FILTERS, m->http_filters,
                  m->http_filters_len);
    b->rpc = true;
    b->chain = SP_CHAIN_RPC;
    b->protocol = chain->protocol;
    chain->routes = take_table(b, m, SP_FIELD_RPC_RPC_CONNECTION_MANAGER_ROUTE_CONFIG, m->route_config);
    b->rpc = false;
    chain->logs = sp_xds_logs(b, m->access_log, m->access_log_len, &chain->log_count);
}

/* ---- TcpProxy ---- */

static void take_tcp_clusters(struct sp_xds_build *b,
                              const struct sp_pb_tcpproxy_tcp_proxy_weighted_cluster *m,
                              struct sp_chain_spec *chain)
{
    struct sp_weighted *weighted = sp_xds_array(b, m->clusters_len, sizeof(*weighted));
    uint64_t total = 0;
    if (!weighted)
        return;
    for (uint32_t i = 0; i < m->clusters_len; i++) {
        const struct sp_pb_tcpproxy_tcp_proxy_weighted_cluster_cluster_weight *one = m->clusters[i];
        weighted[i].cluster = sp_xds_str(b, one->name);
        weighted[i].weight = one->weight;
        total += one->weight;
        sp_xds_use(b, one->name, one, SP_FIELD_TCPPROXY_TCP_PROXY_WEIGHTED_CLUSTER_CLUSTER_WEIGHT_NAME);
    }
    if (total > UINT32_MAX)
        SP_XDS_WRONG(b, m, SP_FIELD_TCPPROXY_TCP_PROXY_WEIGHTED_CLUSTER_CLUSTERS,
                     "the weights sum up to more than 32 bits hold");
    chain->weighted = weighted;
    chain->weighted_count = m->clusters_len;
    chain->weight_total = (uint32_t)total;
}

static void take_tcp(struct sp_xds_build *b, const struct sp_pb_tcpproxy_tcp_proxy *m,
                     struct sp_chain_spec *chain)
{
    chain->kind = SP_CHAIN_TCP;
    chain->protocol = SP_PROTO_TCP;
    chain->stat_prefix = sp_xds_str(b, m->stat_prefix);
    chain->tcp_idle_ns = sp_xds_ns(b, m, SP_FIELD_TCPPROXY_TCP_PROXY_IDLE_TIMEOUT, m->idle_timeout,
                                   IDLE_S * SP_XDS_NS_PER_S);
    chain->connect_attempts = sp_xds_u32(m->max_connect_attempts, 1);
    chain->max_connection_ns = sp_xds_ns(b, m, SP_FIELD_TCPPROXY_TCP_PROXY_MAX_DOWNSTREAM_CONNECTION_DURATION,
                                         m->max_downstream_connection_duration, 0);
    b->chain = SP_CHAIN_TCP;
    b->protocol = SP_PROTO_TCP;
    if (m->cluster_specifier_case == SP_FIELD_TCPPROXY_TCP_PROXY_CLUSTER && m->cluster.len == 0)
        SP_XDS_WRONG(b, m, SP_FIELD_TCPPROXY_TCP_PROXY_CLUSTER, "must not be empty");
    chain->cluster = sp_xds_str(b, m->cluster);
    sp_xds_use(b, m->cluster, m, SP_FIELD_TCPPROXY_TCP_PROXY_CLUSTER);
    if (m->weighted_clusters)
        take_tcp_clusters(b, m->weighted_clusters, chain);
    chain->logs = sp_xds_logs(b, m->access_log, m->access_log_len, &chain->log_count);
}

/* ---- the chain ---- */

static void take_filter(struct sp_xds_build *b, const struct sp_pb_listener_filter *m,
                        struct sp_chain_spec *chain)
{
    void *config = sp_xds_any(b, m, SP_FIELD_LISTENER_FILTER_TYPED_CONFIG, m->typed_config);
    if (!config)
        return;
    if (sp_xds_is(config, &sp_pb_hcm_http_connection_manager_msg))
        take_hcm(b, config, chain);
    else if (sp_xds_is(config, &sp_pb_rpc_rpc_connection_manager_msg))
        take_rpc(b, config, chain);
    else if (sp_xds_is(config, &sp_pb_tcpproxy_tcp_proxy_msg))
        take_tcp(b, config, chain);
    else
        SP_XDS_REFUSE(
            b, m, SP_FIELD_LISTENER_FILTER_TYPED_CONFIG,
            "%s is no network filter that is supported; HttpConnectionManager, RpcConnectionManager and "
            "TcpProxy are",
            ((const struct sp_form_head *)config)->type->name);
}

static void check_transport_socket(struct sp_xds_build *b, const struct sp_pb_core_transport_socket *m)
{
    if (!m)
        return;
    void *config = m->typed_config
                       ? sp_xds_any(b, m, SP_FIELD_CORE_TRANSPORT_SOCKET_TYPED_CONFIG, m->typed_config)
                       : NULL;
    if (m->typed_config && !config)
        return;
    bool raw = config ? sp_xds_is(config, &sp_pb_rawbuffer_raw_buffer_msg)
                      : sp_str_eq(m->name, SP_STR("envoy.transport_sockets.raw_buffer"));
    bool tls = !config && sp_str_eq(m->name, SP_STR("envoy.transport_sockets.tls"));
    if (tls)
        SP_XDS_REFUSE(b, m, SP_FIELD_CORE_TRANSPORT_SOCKET_NAME, "TLS is not supported yet");
    else if (!raw)
        SP_XDS_REFUSE(b, m, SP_FIELD_CORE_TRANSPORT_SOCKET_NAME,
                      "is no transport socket for callers that is supported; raw_buffer is");
}

void sp_xds_chain(struct sp_xds_build *b, const struct sp_pb_listener_filter_chain *m,
                  struct sp_chain_spec *chain)
{
    chain->name = sp_xds_str(b, m->name);
    if (m->filter_chain_match)
        take_chain_match(b, m->filter_chain_match, chain);
    check_transport_socket(b, m->transport_socket);
    if (m->filters_len == 0)
        SP_XDS_WRONG(b, m, SP_FIELD_LISTENER_FILTER_CHAIN_FILTERS,
                     "is missing: a chain has one network filter");
    if (m->filters_len > 1)
        SP_XDS_WRONG_ITEM(b, m, SP_FIELD_LISTENER_FILTER_CHAIN_FILTERS, 1,
                          "a chain has one network filter; this one would never be asked");
    for (uint32_t i = 0; i < m->filters_len; i++)
        take_filter(b, m->filters[i], chain);
}
