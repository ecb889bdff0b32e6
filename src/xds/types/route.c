/* route: a RouteConfiguration becomes the model's route table: domains, virtual hosts, routes and what they
 * match.
 *
 * In RPC the same words mean RPC's things: a domain is the unique service name, compared byte for byte; a
 * path is "/service/method"; headers are the call's own. What has no meaning there (query parameters,
 * CONNECT, redirects, rewriting the path) is refused rather than ignored.
 *
 * Domains are checked here, each by itself, though the table's index would find the first that stands
 * twice: an operator wants all of them, with their lines, and the name of the other virtual host.
 *
 * The share of calls in runtime_fraction is taken as written. A runtime key, by which a running Envoy could
 * be told another share, is refused by the schema's marks. */
#include "xds/types/types_impl.h"

enum { PPM = 1000000, BODY_BYTES_DEFAULT = 4096 };

/* ---- what a route matches ---- */

static uint32_t take_fraction(struct sp_xds_build *b,
                              const struct sp_pb_core_runtime_fractional_percent *fraction)
{
    const struct sp_pb_type_fractional_percent *share = fraction ? fraction->default_value : NULL;
    uint64_t factor = 0;
    if (!share)
        return PPM;
    switch (share->denominator) {
    case SP_PB_TYPE_FRACTIONAL_PERCENT_DENOMINATOR_TYPE_HUNDRED: factor = PPM / 100; break;
    case SP_PB_TYPE_FRACTIONAL_PERCENT_DENOMINATOR_TYPE_TEN_THOUSAND: factor = PPM / 10000; break;
    case SP_PB_TYPE_FRACTIONAL_PERCENT_DENOMINATOR_TYPE_MILLION: factor = 1; break;
    default: break;
    }
    if (!factor || share->numerator * factor > PPM) {
        SP_XDS_WRONG(b, share, SP_FIELD_TYPE_FRACTIONAL_PERCENT_NUMERATOR, "is more than the whole");
        return PPM;
    }
    return (uint32_t)(share->numerator * factor);
}

static void take_path(struct sp_xds_build *b, struct sp_route_match *match, enum sp_path_kind kind,
                      sp_str path)
{
    match->kind = kind;
    match->path = sp_xds_str(b, path);
}

/* So that "/a" takes "/a" and "/a/b", and not "/ab". */
static void check_separated(struct sp_xds_build *b, const struct sp_pb_route_route_match *m)
{
    sp_str path = m->path_separated_prefix;
    bool fine = path.len > 1 && path.ptr[0] == '/' && path.ptr[path.len - 1] != '/';
    if (!fine || sp_str_find(path, '?') < path.len || sp_str_find(path, '#') < path.len)
        SP_XDS_WRONG(b, m, SP_FIELD_ROUTE_ROUTE_MATCH_PATH_SEPARATED_PREFIX,
                     "must start with / and not end with it, and hold no ? or #");
}

static void take_match(struct sp_xds_build *b, const struct sp_pb_route_route_match *m,
                       struct sp_route_match *match)
{
    match->ignore_case = !sp_xds_bool(m->case_sensitive, true);
    switch (m->path_specifier_case) {
    case SP_FIELD_ROUTE_ROUTE_MATCH_PREFIX: take_path(b, match, SP_PATH_PREFIX, m->prefix); break;
    case SP_FIELD_ROUTE_ROUTE_MATCH_PATH: take_path(b, match, SP_PATH_EXACT, m->path); break;
    case SP_FIELD_ROUTE_ROUTE_MATCH_PATH_SEPARATED_PREFIX:
        check_separated(b, m);
        take_path(b, match, SP_PATH_SEPARATED_PREFIX, m->path_separated_prefix);
        break;
    case SP_FIELD_ROUTE_ROUTE_MATCH_SAFE_REGEX:
        match->kind = SP_PATH_REGEX;
        match->regex = sp_xds_regex(b, m->safe_regex);
        break;
    case SP_FIELD_ROUTE_ROUTE_MATCH_CONNECT_MATCHER:
        match->kind = SP_PATH_CONNECT;
        if (b->rpc)
            SP_XDS_WRONG(b, m, SP_FIELD_ROUTE_ROUTE_MATCH_CONNECT_MATCHER,
                         "has no meaning in RPC: CONNECT is HTTP's");
        break;
    default: break; /* the schema wants one of them, and has said so */
    }
    match->headers = sp_xds_header_matches(b, m->headers, m->headers_len);
    match->header_count = match->headers ? m->headers_len : 0;
    match->params = sp_xds_param_matches(b, m->query_parameters, m->query_parameters_len);
    match->param_count = match->params ? m->query_parameters_len : 0;
    if (b->rpc && m->query_parameters_len)
        SP_XDS_WRONG(b, m, SP_FIELD_ROUTE_ROUTE_MATCH_QUERY_PARAMETERS,
                     "have no meaning in RPC: a path has no query there");
    match->fraction_ppm = take_fraction(b, m->runtime_fraction);
}

/* ---- a route ---- */

static void take_route(struct sp_xds_build *b, const struct sp_pb_route_route *m, uint32_t body_max,
                       struct sp_route *route)
{
    route->name = sp_xds_str(b, m->name);
    route->upgrade_websocket = true; /* the chain decides */
    if (m->match)
        take_match(b, m->match, &route->match);
    switch (m->action_case) {
    case SP_FIELD_ROUTE_ROUTE_ROUTE: sp_xds_route_action(b, m->route, route); break;
    case SP_FIELD_ROUTE_ROUTE_REDIRECT: sp_xds_redirect(b, m->redirect, route); break;
    case SP_FIELD_ROUTE_ROUTE_DIRECT_RESPONSE: sp_xds_direct(b, m->direct_response, body_max, route); break;
    default: break; /* said by the schema */
    }
    struct sp_xds_edit_lists request = { m,
                                         m->request_headers_to_add,
                                         m->request_headers_to_remove,
                                         m->request_headers_to_add_len,
                                         m->request_headers_to_remove_len,
                                         SP_FIELD_ROUTE_ROUTE_REQUEST_HEADERS_TO_ADD,
                                         SP_FIELD_ROUTE_ROUTE_REQUEST_HEADERS_TO_REMOVE };
    struct sp_xds_edit_lists response = { m,
                                          m->response_headers_to_add,
                                          m->response_headers_to_remove,
                                          m->response_headers_to_add_len,
                                          m->response_headers_to_remove_len,
                                          SP_FIELD_ROUTE_ROUTE_RESPONSE_HEADERS_TO_ADD,
                                          SP_FIELD_ROUTE_ROUTE_RESPONSE_HEADERS_TO_REMOVE };
    sp_xds_edits(b, &request, &route->request);
    sp_xds_edits(b, &response, &route->response);
}

/* ---- virtual hosts ---- */

/* What is known of names in a table while its virtual hosts are read. */
struct names {
    struct sp_map domains; /* as compared -> struct sp_pb_route_virtual_host */
    struct sp_map vhosts;  /* name -> the same */
};

/* One star, at one end. */
static bool is_domain(sp_str domain)
{
    size_t stars = 0;
    for (size_t i = 0; i < domain.len; i++) {
        unsigned char c = (unsigned char)domain.ptr[i];
        stars += c == '*';
        if (c <= ' ' || c == 0x7f)
            return false;
    }
    bool at_end = domain.len && (domain.ptr[0] == '*' || domain.ptr[domain.len - 1] == '*');
    return domain.len && stars <= 1 && (stars == 0 || at_end);
}

static sp_str compared(struct sp_xds_build *b, sp_str domain)
{
    if (b->rpc)
        return domain;
    char *out = sp_arena_alloc_align(b->doc->arena, domain.len, 1);
    if (!out) {
        b->no_memory = true;
        return SP_STR_NULL;
    }
    return sp_host_canonical(domain, out, domain.len);
}

static void check_domain(struct sp_xds_build *b, struct names *names, struct sp_pb_route_virtual_host *m,
                         uint32_t i)
{
    sp_str domain = m->domains[i];
    if (!is_domain(domain)) {
        SP_XDS_WRONG_ITEM(b, m, SP_FIELD_ROUTE_VIRTUAL_HOST_DOMAINS, i,
                          "is no domain: a name, with one * at its beginning or end, or * alone");
        return;
    }
    sp_str text = compared(b, domain);
    if (!text.ptr)
        return;
    const struct sp_pb_route_virtual_host *other = sp_map_get(&names->domains, text);
    if (other) {
        SP_XDS_WRONG_ITEM(b, m, SP_FIELD_ROUTE_VIRTUAL_HOST_DOMAINS, i,
                          "%.*s stands twice; virtual host %.*s has it too", SP_STR_ARG(domain),
                          SP_STR_ARG(other->name));
        return;
    }
    if (sp_map_put(&names->domains, text, m, NULL))
        b->no_memory = true;
}

static void check_vhost_name(struct sp_xds_build *b, struct names *names, struct sp_pb_route_virtual_host *m)
{
    if (sp_map_get(&names->vhosts, m->name))
        SP_XDS_WRONG(b, m, SP_FIELD_ROUTE_VIRTUAL_HOST_NAME,
                     "another virtual host of this table has this name");
    else if (sp_map_put(&names->vhosts, m->name, m, NULL))
        b->no_memory = true;
}

static void take_vhost(struct sp_xds_build *b, struct names *names, struct sp_pb_route_virtual_host *m,
                       uint32_t body_max, struct sp_vhost *vhost)
{
    vhost->name = sp_xds_str(b, m->name);
    check_vhost_name(b, names, m);
    sp_str *domains = sp_xds_array(b, m->domains_len, sizeof(*domains));
    for (uint32_t i = 0; domains && i < m->domains_len; i++) {
        domains[i] = sp_xds_str(b, m->domains[i]);
        check_domain(b, names, m, i);
    }
    vhost->domains = domains;
    vhost->domain_count = domains ? m->domains_len : 0;

    struct sp_retry retry = { 0 }; /* of routes that have no policy of their own, be it an empty one */
    if (m->retry_policy)
        sp_xds_retry(b, m->retry_policy, &retry);
    struct sp_route *routes = sp_xds_array(b, m->routes_len, sizeof(*routes));
    for (uint32_t i = 0; routes && i < m->routes_len; i++) {
        take_route(b, m->routes[i], body_max, &routes[i]);
        if (m->routes[i]->route && !m->routes[i]->route->retry_policy)
            routes[i].retry = retry;
    }
    vhost->routes = routes;
    vhost->route_count = routes ? m->routes_len : 0;

    struct sp_xds_edit_lists request = { m,
                                         m->request_headers_to_add,
                                         m->request_headers_to_remove,
                                         m->request_headers_to_add_len,
                                         m->request_headers_to_remove_len,
                                         SP_FIELD_ROUTE_VIRTUAL_HOST_REQUEST_HEADERS_TO_ADD,
                                         SP_FIELD_ROUTE_VIRTUAL_HOST_REQUEST_HEADERS_TO_REMOVE };
    struct sp_xds_edit_lists response = { m,
                                          m->response_headers_to_add,
                                          m->response_headers_to_remove,
                                          m->response_headers_to_add_len,
                                          m->response_headers_to_remove_len,
                                          SP_FIELD_ROUTE_VIRTUAL_HOST_RESPONSE_HEADERS_TO_ADD,
                                          SP_FIELD_ROUTE_VIRTUAL_HOST_RESPONSE_HEADERS_TO_REMOVE };
    sp_xds_edits(b, &request, &vhost->request);
    sp_xds_edits(b, &response, &vhost->response);
}

/* ---- the table ---- */

static void take_vhosts(struct sp_xds_build *b, const struct sp_pb_route_route_configuration *msg,
                        struct sp_route_table *table)
{
    struct names names;
    uint32_t body_max = sp_xds_u32(msg->max_direct_response_body_size_bytes, BODY_BYTES_DEFAULT);
    struct sp_vhost *vhosts = sp_xds_array(b, msg->virtual_hosts_len, sizeof(*vhosts));
    if (!vhosts)
        return;
    sp_map_init(&names.domains, 0);
    sp_map_init(&names.vhosts, 0);
    for (uint32_t i = 0; i < msg->virtual_hosts_len; i++)
        take_vhost(b, &names, msg->virtual_hosts[i], body_max, &vhosts[i]);
    sp_map_deinit(&names.domains);
    sp_map_deinit(&names.vhosts);
    table->vhosts = vhosts;
    table->vhost_count = msg->virtual_hosts_len;
}

static void index_table(struct sp_xds_build *b, const struct sp_pb_route_route_configuration *msg,
                        struct sp_route_table *table, uint64_t errors_before)
{
    sp_str what = SP_STR("");
    if (b->no_memory || sp_xds_error_count(b->doc) > errors_before)
        return; /* it will not be used, and what is wrong has been said */
    sp_err err = sp_route_table_index(table, b->arena, &what);
    if (err == SP_E_NOMEM)
        b->no_memory = true;
    else if (err)
        SP_XDS_WRONG(b, msg, 0, "does not make a table: %s at \"%.*s\"", sp_err_str(err), SP_STR_ARG(what));
    else
        sp_xds_hold_table(b, table);
}

const struct sp_route_table *sp_xds_route_table(struct sp_xds_build *b,
                                                const struct sp_pb_route_route_configuration *m,
                                                struct sp_route_table *table)
{
    uint64_t errors_before = sp_xds_error_count(b->doc);
    table->name = sp_xds_str(b, m->name);
    table->fold_domains = !b->rpc;
    table->ignore_port = m->ignore_port_in_host_matching;
    b->may_miss = !sp_xds_bool(m->validate_clusters, true);
    take_vhosts(b, m, table);
    b->may_miss = false;

    struct sp_xds_edit_lists request = { m,
                                         m->request_headers_to_add,
                                         m->request_headers_to_remove,
                                         m->request_headers_to_add_len,
                                         m->request_headers_to_remove_len,
                                         SP_FIELD_ROUTE_ROUTE_CONFIGURATION_REQUEST_HEADERS_TO_ADD,
                                         SP_FIELD_ROUTE_ROUTE_CONFIGURATION_REQUEST_HEADERS_TO_REMOVE };
    struct sp_xds_edit_lists response = { m,
                                          m->response_headers_to_add,
                                          m->response_headers_to_remove,
                                          m->response_headers_to_add_len,
                                          m->response_headers_to_remove_len,
                                          SP_FIELD_ROUTE_ROUTE_CONFIGURATION_RESPONSE_HEADERS_TO_ADD,
                                          SP_FIELD_ROUTE_ROUTE_CONFIGURATION_RESPONSE_HEADERS_TO_REMOVE };
    sp_xds_edits(b, &request, &table->request);
    sp_xds_edits(b, &response, &table->response);
    index_table(b, m, table, errors_before);
    return table;
}

sp_err sp_xds_routes(const struct sp_xds_reading *in, const struct sp_pb_route_route_configuration *msg,
                     bool rpc, struct sp_resource **ret_resource)
{
    struct sp_xds_build b;
    sp_err err = sp_xds_open(&b, in, SP_RESOURCE_ROUTES, msg->name);
    if (err)
        return err;
    b.rpc = rpc;
    b.chain = rpc ? SP_CHAIN_RPC : SP_CHAIN_HTTP;
    b.protocol = rpc ? SP_PROTO_NONE : SP_PROTO_HTTP1;
    (void)sp_xds_route_table(&b, msg, b.resource->routes); /* the same that was given */
    return sp_xds_close(&b, ret_resource);
}
