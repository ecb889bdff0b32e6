/* listener: a Listener: its address, what looks at a connection before a chain is chosen, and the chains.
 *
 *      address ──► listener filters (PROXY, original destination) ──► chain that fits best ──► its filter
 *
 * Protocols are detected wherever a chain depends on them; the listener filter http_inspector, which asks
 * Envoy to do so, is accepted and changes nothing. What is waited for is the first byte. A server that
 * speaks first (MySQL, SMTP) never sends one through its client, so after listener_filters_timeout the
 * connection is taken as raw TCP. Envoy waits 15 s by default; a client of a database would wait with it,
 * so our default is the process's detect_timeout, 300 ms. Envoy cuts the connection then unless
 * continue_on_listener_filters_timeout is set; here a chain that takes raw TCP says that it shall go on,
 * and where there is none the connection is cut.
 *
 * Chains stay in the order of the file, the default chain last. Two that take the same connections are an
 * error: one of them would never be asked. */
#include "xds/types/types_impl.h"

enum { CHAINS_MAX = 4096, BACKLOG_MAX = 65535 };

/* ---- listener filters ---- */

static void take_proxy_protocol(struct sp_xds_build *b, const struct sp_pb_proxyprotocol_proxy_protocol *m,
                                struct sp_listener_spec *spec)
{
    spec->proxy_protocol = true;
    spec->proxy_protocol_optional = m->allow_requests_without_proxy_protocol;
}

static void take_listener_filter(struct sp_xds_build *b, const struct sp_pb_listener_listener_filter *m,
                                 struct sp_listener_spec *spec)
{
    void *config = sp_xds_any(b, m, SP_FIELD_LISTENER_LISTENER_FILTER_TYPED_CONFIG, m->typed_config);
    if (!config)
        return;
    if (sp_xds_is(config, &sp_pb_originaldst_original_dst_msg))
        spec->read_original_dst = true;
    else if (sp_xds_is(config, &sp_pb_proxyprotocol_proxy_protocol_msg))
        take_proxy_protocol(b, config, spec);
    else if (!sp_xds_is(config, &sp_pb_httpinspector_http_inspector_msg))
        SP_XDS_REFUSE(
            b, m, SP_FIELD_LISTENER_LISTENER_FILTER_TYPED_CONFIG,
            "%s is no listener filter that is supported; OriginalDst, ProxyProtocol and HttpInspector are",
            ((const struct sp_form_head *)config)->type->name);
}

/* ---- chains ---- */

static bool is_same_nets(const struct sp_net *a, uint32_t a_count, const struct sp_net *b, uint32_t b_count)
{
    if (a_count != b_count)
        return false;
    for (uint32_t i = 0; i < a_count; i++)
        if (a[i].bits != b[i].bits || !sp_addr_eq(&a[i].addr, &b[i].addr))
            return false;
    return true;
}

static bool is_same_match(const struct sp_chain_spec *a, const struct sp_chain_spec *b)
{
    if (a->match_port != b->match_port || a->match_raw != b->match_raw ||
        a->match_protocol_count != b->match_protocol_count)
        return false;
    for (uint32_t i = 0; i < a->match_protocol_count; i++)
        if (!sp_str_eq(a->match_protocols[i], b->match_protocols[i]))
            return false;
    return is_same_nets(a->match_nets, a->match_net_count, b->match_nets, b->match_net_count) &&
           is_same_nets(a->match_sources, a->match_source_count, b->match_sources, b->match_source_count);
}

static void check_twins(struct sp_xds_build *b, const struct sp_pb_listener_listener *m,
                        const struct sp_chain_spec *chains)
{
    for (uint32_t i = 0; i < m->filter_chains_len; i++)
        for (uint32_t k = 0; k < i; k++) {
            if (is_same_match(&chains[i], &chains[k])) {
                SP_XDS_WRONG(b, m->filter_chains[i], SP_FIELD_LISTENER_FILTER_CHAIN_FILTER_CHAIN_MATCH,
                             "takes the same connections as filter_chains[%u]; for the rest there is "
                             "default_filter_chain",
                             (unsigned)k);
                break;
            }
            if (chains[i].name.len && sp_str_eq(chains[i].name, chains[k].name)) {
                SP_XDS_WRONG(b, m->filter_chains[i], SP_FIELD_LISTENER_FILTER_CHAIN_NAME,
                             "filter_chains[%u] has this name too", (unsigned)k);
                break;
            }
        }
}

static void take_chains(struct sp_xds_build *b, const struct sp_pb_listener_listener *m,
                        struct sp_listener_spec *spec)
{
    if (m->filter_chains_len > CHAINS_MAX) {
        SP_XDS_WRONG(b, m, SP_FIELD_LISTENER_LISTENER_FILTER_CHAINS, "has more than %d chains", CHAINS_MAX);
        return;
    }
    uint32_t count = m->filter_chains_len + (m->default_filter_chain ? 1 : 0);
    struct sp_chain_spec *chains = sp_xds_array(b, count, sizeof(*chains));
    if (count == 0 && !spec->use_original_dst)
        SP_XDS_WRONG(b, m, SP_FIELD_LISTENER_LISTENER_FILTER_CHAINS,
                     "is missing: nothing is done with a connection");
    if (!chains)
        return;
    for (uint32_t i = 0; i < m->filter_chains_len; i++)
        sp_xds_chain(b, m->filter_chains[i], &chains[i]);
    check_twins(b, m, chains);
    if (m->default_filter_chain) {
        sp_xds_chain(b, m->default_filter_chain, &chains[m->filter_chains_len]);
        if (m->default_filter_chain->filter_chain_match)
            SP_XDS_WRONG(b, m->default_filter_chain, SP_FIELD_LISTENER_FILTER_CHAIN_FILTER_CHAIN_MATCH,
                         "has no effect: the default chain takes what no other takes");
        spec->has_default = true;
    }
    spec->chains = chains;
    spec->chain_count = count;
    for (uint32_t i = 0; i < count; i++)
        spec->detect |= chains[i].match_protocol_count > 0 || chains[i].kind == SP_CHAIN_RPC;
}

/* ---- the listener ---- */

static void take_address(struct sp_xds_build *b, const struct sp_pb_listener_listener *m,
                         struct sp_listener_spec *spec)
{
    if (!sp_xds_addr(b, m, SP_FIELD_LISTENER_LISTENER_ADDRESS, m->address, &spec->addr, NULL))
        return;
    if (m->address->pipe)
        spec->unix_mode = m->address->pipe->mode;
}

static void take_direction(struct sp_xds_build *b, const struct sp_pb_listener_listener *m,
                           struct sp_listener_spec *spec)
{
    switch (m->traffic_direction) {
    case SP_PB_CORE_TRAFFIC_DIRECTION_UNSPECIFIED: spec->direction = SP_DIRECTION_NONE; break;
    case SP_PB_CORE_TRAFFIC_DIRECTION_INBOUND: spec->direction = SP_DIRECTION_INBOUND; break;
    case SP_PB_CORE_TRAFFIC_DIRECTION_OUTBOUND: spec->direction = SP_DIRECTION_OUTBOUND; break;
    default:
        SP_XDS_WRONG(b, m, SP_FIELD_LISTENER_LISTENER_TRAFFIC_DIRECTION, "%d is no direction",
                     (int)m->traffic_direction);
        break;
    }
}

static uint32_t limit_of(const struct sp_xds_reading *in, sp_str name)
{
    uint32_t limit = 0;
    for (uint32_t i = 0; in->settings && i < in->settings->listener_limit_count; i++)
        if (sp_str_eq(in->settings->listener_limits[i].listener, name))
            limit = in->settings->listener_limits[i].connections;
    return limit;
}

static void take_listener(struct sp_xds_build *b, const struct sp_pb_listener_listener *m,
                          struct sp_listener_spec *spec)
{
    spec->name = b->resource->name;
    spec->max_connections = limit_of(b->in, spec->name);
    spec->bind = sp_xds_bool(m->bind_to_port, true);
    spec->use_original_dst = sp_xds_bool(m->use_original_dst, false);
    spec->transparent = sp_xds_bool(m->transparent, false);
    take_address(b, m, spec);
    take_direction(b, m, spec);
    spec->backlog = sp_xds_u32(m->tcp_backlog_size, 0);
    if (spec->backlog > BACKLOG_MAX)
        SP_XDS_WRONG(b, m, SP_FIELD_LISTENER_LISTENER_TCP_BACKLOG_SIZE, "must be at most %d", BACKLOG_MAX);
    spec->buffer_bytes = sp_xds_u32(m->per_connection_buffer_limit_bytes, 0);
    for (uint32_t i = 0; i < m->listener_filters_len; i++)
        take_listener_filter(b, m->listener_filters[i], spec);
    uint64_t detect_ns = b->in->settings ? b->in->settings->detect_ns : 0;
    spec->detect_ns = sp_xds_ns(b, m, SP_FIELD_LISTENER_LISTENER_LISTENER_FILTERS_TIMEOUT,
                                m->listener_filters_timeout, detect_ns);
    if (m->listener_filters_timeout && !spec->detect_ns)
        SP_XDS_WRONG(b, m, SP_FIELD_LISTENER_LISTENER_LISTENER_FILTERS_TIMEOUT,
                     "must be more than 0: a caller that waits for the server to speak would wait for ever");
    take_chains(b, m, spec);
    if (!sp_xds_bool(m->enable_reuse_port, true))
        SP_XDS_REFUSE(b, m, SP_FIELD_LISTENER_LISTENER_ENABLE_REUSE_PORT,
                      "is always true: each worker has a listening socket");
}

/* What has no name is called by its address. */
static sp_str name_of(const struct sp_xds_reading *in, const struct sp_pb_listener_listener *m)
{
    const struct sp_pb_core_address *a = m->address;
    const char *name = NULL;
    if (m->name.len)
        return m->name;
    if (a && a->socket_address)
        name = sp_arena_printf(in->doc->arena, "%.*s:%u", SP_STR_ARG(a->socket_address->address),
                               (unsigned)a->socket_address->port_value);
    else if (a && a->pipe)
        return a->pipe->path;
    return sp_str_c(name ? name : "");
}

sp_err sp_xds_listener(const struct sp_xds_reading *in, const struct sp_pb_listener_listener *msg,
                       struct sp_resource **ret_resource)
{
    struct sp_xds_build b;
    sp_err err = sp_xds_open(&b, in, SP_RESOURCE_LISTENER, name_of(in, msg));
    if (err)
        return err;
    take_listener(&b, msg, b.resource->listener);
    return sp_xds_close(&b, ret_resource);
}
