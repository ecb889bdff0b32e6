/* route: where does this call go? Its head against the table, and the first route in order that matches.
 *
 *      head ──► virtual host (by service) ──► routes in order: path, headers, parameters, share ──► cluster
 *
 * Most tables of a sidecar's inbound side are one virtual host "*" with one route "/". For those the decision is a
 * handful of loads: no name is made canonical, no path is built. Everything that costs is done when the first
 * route asks for it, once, and is left in the input for those who ask later (edits, hash, redirect).
 *
 * What is matched, whatever the protocol:
 *
 *      service   HTTP: the authority, lower case, port as sent.   RPC: the unique service name, byte for byte
 *      path      HTTP: the target before '?', canonical where the chain says so.   RPC: "/service/method"
 *      headers   by name; several of one name count as one value joined by ",". ":method", ":authority", ":path"
 *                and ":scheme" name the parts of the head, since operators write rules with them
 *
 * A path that the chain wants canonical is made so even when no route looks at it, because the upstream gets it, and
 * must not see another path than the rules that were asked. CONNECT has no path: only a route that says CONNECT
 * takes it.
 *
 * A regex that used up its bounded work refuses the call. Skipping the route would be a decision too, one that
 * whoever writes the path could make. A cluster_header that the call does not bear leaves the cluster's name empty:
 * the call did match, so the refusal is NO_CLUSTER and not NO_ROUTE. */
#include "proxy/route.h"

#include "model/regex.h"
#include "proxy/route_impl.h"

/* What one condition, or a whole route, said. */
enum verdict { NO, YES, LIMIT, MEMORY };

/* ---- reading the call ---- */

static bool is_http(const struct sp_head *head)
{
    return head->protocol == SP_PROTO_HTTP1;
}

bool sp_route_see_path(struct sp_route_input *in)
{
    const struct sp_head *head = in->head;
    if (!in->path.ptr) {
        in->path = is_http(head) ? sp_str_upto(head->path, sp_str_find(head->path, '?')) : sp_head_path(head, in->arena);
        if (!in->path.ptr)
            in->path = is_http(head) ? SP_STR("") : SP_STR_NULL; /* CONNECT has none */
    }
    if (!in->query.ptr && is_http(head)) {
        size_t mark = sp_str_find(head->path, '?');
        if (mark < head->path.len)
            in->query = sp_str_from(head->path, mark + 1);
    }
    return in->path.ptr != NULL;
}

static bool is_canonical(sp_str host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool root_dot = c == '.' && (i + 1 == host.len || host.ptr[i + 1] == ':');
        if ((c >= 'A' && c <= 'Z') || root_dot)
            return false;
    }
    return true;
}

bool sp_route_see_service(const struct sp_route_table *table, struct sp_route_input *in)
{
    if (in->service.ptr)
        return true;
    sp_str service = in->head->service;
    if (!service.ptr)
        service = SP_STR("");
    if (!table->fold_domains || is_canonical(service)) {
        in->service = service;
        return true;
    }
    char *out = sp_arena_alloc_align(in->arena, service.len, 1);
    if (!out)
        return false;
    in->service = sp_host_canonical(service, out, service.len);
    return true;
}

/* ---- one route ---- */

static bool is_separated(sp_str path, size_t prefix_len)
{
    return path.len == prefix_len || path.ptr[prefix_len] == '/';
}

static enum verdict match_path(const struct sp_route_match *match, struct sp_route_input *in)
{
    if (match->kind == SP_PATH_CONNECT)
        return in->head->flags & SP_HEAD_TUNNEL ? YES : NO;
    if (in->head->flags & SP_HEAD_TUNNEL)
        return NO;
    if (match->kind == SP_PATH_PREFIX && match->path.len == 1 && match->path.ptr[0] == '/') {
        sp_str path = in->head->path; /* RPC: the path would be "/service/method" */
        return !is_http(in->head) || (path.len && path.ptr[0] == '/') ? YES : NO;
    }
    if (!sp_route_see_path(in))
        return MEMORY;
    sp_str path = in->path, wanted = match->path;
    bool starts = match->ignore_case ? sp_str_starts_nocase(path, wanted) : sp_str_starts(path, wanted);
    switch (match->kind) {
    case SP_PATH_PREFIX: return starts ? YES : NO;
    case SP_PATH_EXACT: return starts && path.len == wanted.len ? YES : NO;
    case SP_PATH_SEPARATED_PREFIX: return starts && is_separated(path, wanted.len) ? YES : NO;
    case SP_PATH_CONNECT: return NO; /* above */
    case SP_PATH_REGEX: break;
    }
    bool hit;
    if (sp_regex_match(match->regex, path, &hit))
        return LIMIT;
    return hit ? YES : NO;
}

static enum verdict match_route(const struct sp_route_match *match, struct sp_route_input *in)
{
    enum verdict verdict = match_path(match, in);
    if (verdict != YES)
        return verdict;
    if (match->fraction_ppm < 1000000 && sp_rng_below(in->rng, 1000000) >= match->fraction_ppm)
        return NO;
    return YES;
}

/* ---- the decision ---- */

static sp_str draw_cluster(const struct sp_route *route, struct sp_route_input *in, const struct sp_weighted **ret_weighted)
{
    *ret_weighted = NULL;
    if (route->cluster_header.len) {
        sp_str name = sp_head_value_name(in->head, route->cluster_header);
        return name.ptr ? name : SP_STR("");
    }
    if (!route->weighted_count || !route->weight_total)
        return route->cluster;
    uint64_t left = route->weighted_count == 1 ? 0 : sp_rng_below(in->rng, route->weight_total);
    uint32_t i = 0;
    while (i + 1 < route->weighted_count && left >= route->weighted[i].weight)
        left -= route->weighted[i++].weight;
    *ret_weighted = &route->weighted[i];
    return route->weighted[i].cluster;
}

static const struct sp_vhost *find_vhost(const struct sp_route_table *table, struct sp_route_input *in, enum sp_why *ret_why)
{
    if (!table->exact.len && !table->suffix_count && !table->prefix_count)
        return table->any;
    if (sp_route_see_service(table, in))
        return sp_route_table_vhost(table, in->service);
    *ret_why = SP_WHY_MEMORY;
    return NULL;
}

enum sp_why sp_route_find(const struct sp_route_table *table, struct sp_route_input *in, struct sp_route_choice *ret_choice)
{
    enum sp_why why = SP_WHY_NO_ROUTE;
    const struct sp_vhost *vhost = find_vhost(table, in, &why);
    if (!vhost)
        return why;
    for (uint32_t i = 0; i < vhost->route_count; i++) {
        const struct sp_route *route = &vhost->routes[i];
        enum verdict verdict = match_route(&route->match, in);
        if (verdict == NO)
            continue;
        if (verdict != YES)
            return verdict == LIMIT ? SP_WHY_REGEX_LIMIT : SP_WHY_MEMORY;
        ret_choice->vhost = vhost;
        ret_choice->route = route;
        ret_choice->cluster = draw_cluster(route, in, &ret_choice->weighted);
        return SP_WHY_NONE;
    }
    return SP_WHY_NO_ROUTE;
}
