/* action: what a matched route does: send the call to a cluster, redirect it, or answer at once.
 *
 * Defaults are Envoy's: 15 s for the whole answer (0 turns it off), one retry where a policy names a
 * condition without a number, 25 ms before it and ten times that at most.
 *
 * Of the retry conditions, connect-failure alone is honoured: no byte of the call has left, so to try
 * elsewhere is always right. The others need a call that can be sent twice, body and all, or an answer that
 * can be taken back; each of them is refused by its name, with what it would have meant.
 *
 * Weights are as written. They need not sum up to a hundred; but a sum of 0 could send a call nowhere. */
#include "xds/types/types_impl.h"

enum { RETRIES_DEFAULT = 1, BACK_OFF_MS = 25, BACK_OFF_FACTOR = 10, TIMEOUT_S = 15 };

/* ---- retries ---- */

static void take_condition(struct sp_xds_build *b, const struct sp_pb_route_retry_policy *m, sp_str word,
                           struct sp_retry *retry)
{
    static const char *const known[] = {
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "envoy-ratelimited",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "http3-post-connect-failure",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    };
    if (sp_str_eq(word, SP_STR("connect-failure"))) {
        retry->on |= SP_RETRY_CONNECT_FAILURE;
        return;
    }
    for (size_t i = 0; i < SP_COUNTOF(known); i++)
        if (sp_str_eq(word, sp_str_c(known[i]))) {
            SP_XDS_REFUSE(b, m, SP_FIELD_ROUTE_RETRY_POLICY_RETRY_ON,
                          "%.*s is not supported: calls are only repeated while no byte of them has left; "
                          "write connect-failure",
                          SP_STR_ARG(word));
            return;
        }
    const char *near = sp_form_did_you_mean(word, known, SP_COUNTOF(known));
    SP_XDS_WRONG(b, m, SP_FIELD_ROUTE_RETRY_POLICY_RETRY_ON, "\"%.*s\" is no retry condition%s%s%s",
                 SP_STR_ARG(sp_str_upto(word, 60)), near ? "; did you mean " : "", near ? near : "",
                 near ? "?" : "");
}

static void take_back_off(struct sp_xds_build *b, const struct sp_pb_route_retry_policy_retry_back_off *m,
                          struct sp_retry *retry)
{
    retry->back_off_ns = BACK_OFF_MS * SP_XDS_NS_PER_MS;
    if (m)
        retry->back_off_ns = sp_xds_ns(b, m, SP_FIELD_ROUTE_RETRY_POLICY_RETRY_BACK_OFF_BASE_INTERVAL,
                                       m->base_interval, retry->back_off_ns);
    uint64_t longest = retry->back_off_ns > UINT64_MAX / BACK_OFF_FACTOR
                           ? UINT64_MAX
                           : retry->back_off_ns * BACK_OFF_FACTOR;
    retry->back_off_max_ns = m ? sp_xds_ns(b, m, SP_FIELD_ROUTE_RETRY_POLICY_RETRY_BACK_OFF_MAX_INTERVAL,
                                           m->max_interval, longest)
                               : longest;
    if (retry->back_off_max_ns < retry->back_off_ns)
        SP_XDS_WRONG(b, m, SP_FIELD_ROUTE_RETRY_POLICY_RETRY_BACK_OFF_MAX_INTERVAL,
                     "must be at least base_interval");
}

void sp_xds_retry(struct sp_xds_build *b, const struct sp_pb_route_retry_policy *m,
                  struct sp_retry *ret_retry)
{
    for (sp_str rest = m->retry_on; rest.ptr && rest.len;) {
        sp_str word = sp_str_trim(sp_str_cut(&rest, ','));
        if (word.len)
            take_condition(b, m, word, ret_retry);
    }
    ret_retry->retries = ret_retry->on ? sp_xds_u32(m->num_retries, RETRIES_DEFAULT) : 0;
    ret_retry->per_try_ns = sp_xds_ns(b, m, SP_FIELD_ROUTE_RETRY_POLICY_PER_TRY_TIMEOUT, m->per_try_timeout,
                                      0);
    take_back_off(b, m->retry_back_off, ret_retry);
}

/* ---- where the call goes ---- */

static void take_weighted(struct sp_xds_build *b, const struct sp_pb_route_weighted_cluster_cluster_weight *m,
                          struct sp_weighted *weighted)
{
    if (m->name.len == 0)
        SP_XDS_WRONG(b, m, SP_FIELD_ROUTE_WEIGHTED_CLUSTER_CLUSTER_WEIGHT_NAME, "must not be empty");
    weighted->cluster = sp_xds_str(b, m->name);
    weighted->weight = sp_xds_u32(m->weight, 0);
    if (!m->weight)
        SP_XDS_WRONG(b, m, SP_FIELD_ROUTE_WEIGHTED_CLUSTER_CLUSTER_WEIGHT_WEIGHT,
                     "is missing; 0 means no call");
    sp_xds_use(b, m->name, m, SP_FIELD_ROUTE_WEIGHTED_CLUSTER_CLUSTER_WEIGHT_NAME);
    struct sp_xds_edit_lists request = {
        m,
        m->request_headers_to_add,
        m->request_headers_to_remove,
        m->request_headers_to_add_len,
        m->request_headers_to_remove_len,
        SP_FIELD_ROUTE_WEIGHTED_CLUSTER_CLUSTER_WEIGHT_REQUEST_HEADERS_TO_ADD,
        SP_FIELD_ROUTE_WEIGHTED_CLUSTER_CLUSTER_WEIGHT_REQUEST_HEADERS_TO_REMOVE
    };
    struct sp_xds_edit_lists response = {
        m,
        m->response_headers_to_add,
        m->response_headers_to_remove,
        m->response_headers_to_add_len,
        m->response_headers_to_remove_len,
        SP_FIELD_ROUTE_WEIGHTED_CLUSTER_CLUSTER_WEIGHT_RESPONSE_HEADERS_TO_ADD,
        SP_FIELD_ROUTE_WEIGHTED_CLUSTER_CLUSTER_WEIGHT_RESPONSE_HEADERS_TO_REMOVE
    };
    sp_xds_edits(b, &request, &weighted->request);
    sp_xds_edits(b, &response, &weighted->response);
}

static void take_clusters(struct sp_xds_build *b, const struct sp_pb_route_weighted_cluster *m,
                          struct sp_route *route)
{
    struct sp_weighted *weighted = sp_xds_array(b, m->clusters_len, sizeof(*weighted));
    uint64_t total = 0;
    if (!weighted)
        return;
    for (uint32_t i = 0; i < m->clusters_len; i++) {
        take_weighted(b, m->clusters[i], &weighted[i]);
        total += weighted[i].weight;
    }
    if (total == 0 || total > UINT32_MAX)
        SP_XDS_WRONG(b, m, SP_FIELD_ROUTE_WEIGHTED_CLUSTER_CLUSTERS,
                     "the weights sum up to %llu; they must be more than 0 and fit into 32 bits",
                     (unsigned long long)total);
    else if (m->total_weight && m->total_weight->value != total)
        SP_XDS_WRONG(b, m, SP_FIELD_ROUTE_WEIGHTED_CLUSTER_TOTAL_WEIGHT,
                     "is not the sum of the weights, which is %llu", (unsigned long long)total);
    route->weighted = weighted;
    route->weighted_count = m->clusters_len;
    route->weight_total = (uint32_t)total;
}

static void take_target(struct sp_xds_build *b, const struct sp_pb_route_route_action *m,
                        struct sp_route *route)
{
    switch (m->cluster_specifier_case) {
    case SP_FIELD_ROUTE_ROUTE_ACTION_CLUSTER:
        route->cluster = sp_xds_str(b, m->cluster);
        sp_xds_use(b, m->cluster, m, SP_FIELD_ROUTE_ROUTE_ACTION_CLUSTER);
        break;
    case SP_FIELD_ROUTE_ROUTE_ACTION_CLUSTER_HEADER:
        route->cluster_header = sp_xds_str(b, m->cluster_header);
        break;
    case SP_FIELD_ROUTE_ROUTE_ACTION_WEIGHTED_CLUSTERS:
        if (m->weighted_clusters)
            take_clusters(b, m->weighted_clusters, route);
        break;
    default: break; /* said by the schema */
    }
}

static void take_hash(struct sp_xds_build *b, const struct sp_pb_route_route_action_hash_policy *m,
                      struct sp_hash_policy *hash)
{
    hash->terminal = m->terminal;
    switch (m->policy_specifier_case) {
    case SP_FIELD_ROUTE_ROUTE_ACTION_HASH_POLICY_HEADER:
        hash->kind = SP_HASH_HEADER;
        hash->name = m->header ? sp_xds_str(b, m->header->header_name) : SP_STR("");
        break;
    case SP_FIELD_ROUTE_ROUTE_ACTION_HASH_POLICY_COOKIE:
        hash->kind = SP_HASH_COOKIE;
        hash->name = m->cookie ? sp_xds_str(b, m->cookie->name) : SP_STR("");
        break;
    case SP_FIELD_ROUTE_ROUTE_ACTION_HASH_POLICY_CONNECTION_PROPERTIES:
        hash->kind = SP_HASH_SOURCE_IP;
        if (!m->connection_properties || !m->connection_properties->source_ip)
            SP_XDS_WRONG(b, m, SP_FIELD_ROUTE_ROUTE_ACTION_HASH_POLICY_CONNECTION_PROPERTIES,
                         "hashes nothing; write source_ip: true");
        break;
    case SP_FIELD_ROUTE_ROUTE_ACTION_HASH_POLICY_QUERY_PARAMETER:
        hash->kind = SP_HASH_QUERY;
        hash->name = m->query_parameter ? sp_xds_str(b, m->query_parameter->name) : SP_STR("");
        break;
    default: SP_XDS_REFUSE(b, m, 0, "says nothing to hash that is supported"); break;
    }
    bool http = hash->kind == SP_HASH_COOKIE || hash->kind == SP_HASH_QUERY;
    if (b->rpc && http)
        SP_XDS_WRONG(b, m, m->policy_specifier_case, "has no meaning in RPC; hash a header");
}

static void take_hashes(struct sp_xds_build *b, const struct sp_pb_route_route_action *m,
                        struct sp_route *route)
{
    struct sp_hash_policy *hash = sp_xds_array(b, m->hash_policy_len, sizeof(*hash));
    for (uint32_t i = 0; hash && i < m->hash_policy_len; i++)
        take_hash(b, m->hash_policy[i], &hash[i]);
    route->hash = hash;
    route->hash_count = hash ? m->hash_policy_len : 0;
}

static void take_rewrites(struct sp_xds_build *b, const struct sp_pb_route_route_action *m,
                          struct sp_route *route)
{
    route->host_rewrite = sp_xds_str(b, m->host_rewrite_literal);
    route->auto_host_rewrite = sp_xds_bool(m->auto_host_rewrite, false);
    route->prefix_rewrite = sp_xds_str(b, m->prefix_rewrite);
    if (m->prefix_rewrite.len && route->match.kind == SP_PATH_CONNECT)
        SP_XDS_WRONG(b, m, SP_FIELD_ROUTE_ROUTE_ACTION_PREFIX_REWRITE,
                     "has no meaning for CONNECT, which has no path");
    if (b->rpc && (m->host_rewrite_specifier_case || m->prefix_rewrite.len))
        SP_XDS_WRONG(b, m,
                     m->prefix_rewrite.len ? (uint32_t)SP_FIELD_ROUTE_ROUTE_ACTION_PREFIX_REWRITE
                                           : m->host_rewrite_specifier_case,
                     "has no meaning in RPC: service and method also stand in the body");
}

void sp_xds_route_action(struct sp_xds_build *b, const struct sp_pb_route_route_action *m,
                         struct sp_route *route)
{
    if (!m)
        return;
    route->kind = SP_ROUTE_FORWARD;
    route->connect = route->match.kind == SP_PATH_CONNECT;
    take_target(b, m, route);
    take_rewrites(b, m, route);
    take_hashes(b, m, route);
    route->timeout_ns = sp_xds_ns(b, m, SP_FIELD_ROUTE_ROUTE_ACTION_TIMEOUT, m->timeout,
                                  TIMEOUT_S * SP_XDS_NS_PER_S);
    route->idle_timeout_ns = sp_xds_ns(b, m, SP_FIELD_ROUTE_ROUTE_ACTION_IDLE_TIMEOUT, m->idle_timeout, 0);
    if (m->idle_timeout && !route->idle_timeout_ns)
        route->idle_timeout_ns = SP_XDS_NEVER_NS; /* 0 in the model means: as the chain has it */
    if (m->retry_policy)
        sp_xds_retry(b, m->retry_policy, &route->retry);
}

/* ---- redirect and direct response ---- */

void sp_xds_redirect(struct sp_xds_build *b, const struct sp_pb_route_redirect_action *m,
                     struct sp_route *route)
{
    static const uint16_t statuses[] = { 301, 302, 303, 307, 308 }; /* by enum RedirectResponseCode */
    struct sp_redirect *redirect = &route->redirect;
    if (!m)
        return;
    route->kind = SP_ROUTE_REDIRECT;
    redirect->host = sp_xds_str(b, m->host_redirect);
    redirect->path = sp_xds_str(b, m->path_redirect);
    redirect->prefix = sp_xds_str(b, m->prefix_rewrite);
    redirect->scheme = sp_xds_str(b, m->scheme_redirect);
    redirect->https = m->https_redirect;
    redirect->strip_query = m->strip_query;
    redirect->port = m->port_redirect;
    bool known = m->response_code >= 0 && (size_t)m->response_code < SP_COUNTOF(statuses);
    redirect->status = known ? statuses[m->response_code] : statuses[0];
    if (!known)
        SP_XDS_WRONG(b, m, SP_FIELD_ROUTE_REDIRECT_ACTION_RESPONSE_CODE, "%d is no redirect",
                     (int)m->response_code);
    if (m->port_redirect > UINT16_MAX)
        SP_XDS_WRONG(b, m, SP_FIELD_ROUTE_REDIRECT_ACTION_PORT_REDIRECT, "must be at most 65535");
    if (b->rpc)
        SP_XDS_WRONG(b, m, 0, "an RPC call cannot be redirected; write route: {cluster: ...}");
}

static sp_str take_body(struct sp_xds_build *b, const struct sp_pb_core_data_source *m, uint32_t body_max)
{
    bool text = m->specifier_case == SP_FIELD_CORE_DATA_SOURCE_INLINE_STRING;
    if (!text && m->specifier_case != SP_FIELD_CORE_DATA_SOURCE_INLINE_BYTES) {
        SP_XDS_REFUSE(b, m, m->specifier_case, "is not supported; write the body as inline_string");
        return SP_STR("");
    }
    sp_str body = text ? m->inline_string : m->inline_bytes;
    if (body.len > body_max)
        SP_XDS_WRONG(b, m, m->specifier_case,
                     "has %zu bytes, more than max_direct_response_body_size_bytes of the table, %u",
                     body.len, (unsigned)body_max);
    return sp_xds_str(b, body);
}

void sp_xds_direct(struct sp_xds_build *b, const struct sp_pb_route_direct_response_action *m,
                   uint32_t body_max, struct sp_route *route)
{
    if (!m)
        return;
    route->kind = SP_ROUTE_DIRECT;
    route->direct_status = m->status;
    if (m->body)
        route->direct_body = take_body(b, m->body, body_max);
}
