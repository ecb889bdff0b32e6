/* route: where does this call go? Its head against the table, and the first route in order that matches.
 *
 *      head ──► virtual host (by service) ──► routes in order: path, headers, parameters, share ──► cluster
 *
 * Most tables of a sidecar's inbound side are one virtual host "*" with one route "/". For those the decision
 * is a handful of loads: no name is made canonical, no path is built. What costs is done when the first route
 * asks for it (route_read.c), once, and is left in the input for those who ask later: edits, hash, redirect.
 *
 * What is matched, whatever the protocol:
 *
 *      service   HTTP: the authority, lower case, port as sent.   RPC: the unique service name, byte for byte
 *      path      HTTP: the target before '?', canonical where the chain says so.   RPC: "/service/method"
 *      headers   by name; ":method", ":authority", ":path", ":scheme" are the parts of the head
 *
 * A path that the chain wants canonical is made so even when no route looks at it: the upstream gets it, and
 * must not see another path than the rules that were asked. CONNECT has no path: only a route that says
 * CONNECT takes it.
 *
 * The share of calls (fraction) is drawn last, so that calls that would not match anyway cost no random
 * number.
 *
 * A regex that used up its bounded work refuses the call. Skipping the route would be a decision too, one
 * that whoever writes the path could force. A cluster_header that the call does not bear leaves the cluster's
 * name empty: the call did match, so the refusal is NO_CLUSTER and not NO_ROUTE. */
#include "proxy/route.h"

#include "model/regex.h"
#include "proxy/route_impl.h"

enum { WHOLE_PPM = 1000000 };

/* What one condition, or a whole route, said. Neither: the call is refused with `why`. */
enum verdict { NO, YES, NEITHER };

static enum sp_why why_of(sp_err err)
{
    return err == SP_E_LIMIT ? SP_WHY_REGEX_LIMIT : err == SP_E_INVALID ? SP_WHY_BAD_REQUEST : SP_WHY_MEMORY;
}

static enum verdict give_up(sp_err err, enum sp_why *ret_why)
{
    *ret_why = why_of(err);
    return NEITHER;
}

/* ---- one route ---- */

static bool is_root_prefix(const struct sp_route_match *match)
{
    return match->kind == SP_PATH_PREFIX && match->path.len == 1 && match->path.ptr[0] == '/';
}

static bool starts(const struct sp_route_match *match, sp_str path)
{
    return match->ignore_case ? sp_str_starts_nocase(path, match->path) : sp_str_starts(path, match->path);
}

static enum verdict match_path(const struct sp_route_match *match, struct sp_route_input *in,
                               enum sp_why *ret_why)
{
    const struct sp_head *head = in->head;
    bool tunnel = head->flags & SP_HEAD_TUNNEL, hit = false;
    if (tunnel || match->kind == SP_PATH_CONNECT)
        return tunnel && match->kind == SP_PATH_CONNECT ? YES : NO;
    if (is_root_prefix(match)) /* an RPC path would be "/service/method"; a canonical one begins as it did */
        return !sp_route_is_http(head) || (head->path.len && head->path.ptr[0] == '/') ? YES : NO;
    sp_err err = sp_route_see_path(in);
    if (err)
        return give_up(err, ret_why);

    sp_str path = in->path;
    size_t len = match->path.len;
    switch (match->kind) {
    case SP_PATH_PREFIX: hit = starts(match, path); break;
    case SP_PATH_EXACT: hit = path.len == len && starts(match, path); break;
    case SP_PATH_SEPARATED_PREFIX:
        hit = starts(match, path) && (path.len == len || path.ptr[len] == '/');
        break;
    case SP_PATH_REGEX:
        if ((err = sp_regex_match(match->regex, path, &hit)))
            return give_up(err, ret_why);
        break;
    case SP_PATH_CONNECT: break; /* above */
    }
    return hit ? YES : NO;
}

static enum verdict match_headers(const struct sp_route_match *match, struct sp_route_input *in,
                                  enum sp_why *ret_why)
{
    for (uint32_t i = 0; i < match->header_count; i++) {
        sp_str value;
        bool hit;
        sp_err err = sp_route_header(in, match->headers[i].name, &value);
        if (!err)
            err = sp_match_test(&match->headers[i], value, &hit);
        if (err)
            return give_up(err, ret_why);
        if (!hit)
            return NO;
    }
    return YES;
}

static enum verdict match_params(const struct sp_route_match *match, struct sp_route_input *in,
                                 enum sp_why *ret_why)
{
    for (uint32_t i = 0; i < match->param_count; i++) {
        bool hit;
        sp_err err = sp_match_test(&match->params[i], sp_route_param(in, match->params[i].name), &hit);
        if (err)
            return give_up(err, ret_why);
        if (!hit)
            return NO;
    }
    return YES;
}

static enum verdict match_route(const struct sp_route_match *match, struct sp_route_input *in,
                                enum sp_why *ret_why)
{
    enum verdict verdict = match_path(match, in, ret_why);
    if (verdict == YES && match->header_count)
        verdict = match_headers(match, in, ret_why);
    if (verdict == YES && match->param_count)
        verdict = match_params(match, in, ret_why);
    if (verdict == YES && match->fraction_ppm < WHOLE_PPM)
        verdict = sp_rng_below(in->rng, WHOLE_PPM) < match->fraction_ppm ? YES : NO;
    return verdict;
}

/* ---- the decision ---- */

static sp_str draw_cluster(const struct sp_route *route, struct sp_route_input *in,
                           const struct sp_weighted **ret_weighted)
{
    *ret_weighted = NULL;
    if (route->cluster_header.len) {
        uint32_t at = 0;
        sp_str name = sp_route_next_value(in->head, route->cluster_header, &at);
        return name.ptr ? name : SP_STR("");
    }
    if (!route->weighted_count)
        return route->cluster;
    uint64_t left = route->weight_total ? sp_rng_below(in->rng, route->weight_total) : 0;
    uint32_t i = 0;
    while (i + 1 < route->weighted_count && left >= route->weighted[i].weight)
        left -= route->weighted[i++].weight;
    *ret_weighted = &route->weighted[i];
    return route->weighted[i].cluster;
}

static const struct sp_vhost *find_vhost(const struct sp_route_table *table, struct sp_route_input *in,
                                         enum sp_why *ret_why)
{
    if (!table->exact.len && !table->suffix_count && !table->prefix_count)
        return table->any;
    sp_err err = sp_route_see_service(table, in);
    if (!err)
        return sp_route_table_vhost(table, in->service);
    *ret_why = why_of(err);
    return NULL;
}

enum sp_why sp_route_find(const struct sp_route_table *table, struct sp_route_input *in,
                          struct sp_route_choice *ret_choice)
{
    enum sp_why why = SP_WHY_NO_ROUTE;
    if ((in->normalize || in->merge_slashes) && sp_route_is_http(in->head)) {
        sp_err err = sp_route_see_path(in);
        if (err)
            return why_of(err);
    }
    const struct sp_vhost *vhost = find_vhost(table, in, &why);
    for (uint32_t i = 0; vhost && i < vhost->route_count; i++) {
        const struct sp_route *route = &vhost->routes[i];
        enum verdict verdict = match_route(&route->match, in, &why);
        if (verdict == NO)
            continue;
        if (verdict == NEITHER)
            return why;
        ret_choice->vhost = vhost;
        ret_choice->route = route;
        ret_choice->cluster = draw_cluster(route, in, &ret_choice->weighted);
        return SP_WHY_NONE;
    }
    return why;
}
