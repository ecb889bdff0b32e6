/* route: from a request's head to the decision where it goes; pure over the model's table. */
#ifndef SP_PROXY_ROUTE_H
#define SP_PROXY_ROUTE_H

#include "base/addr.h"
#include "base/arena.h"
#include "base/rng.h"
#include "model/route.h"
#include "proxy/why.h"
#include "wire/call.h"

struct sp_route_choice {
    const struct sp_vhost *vhost;
    const struct sp_route *route;
    const struct sp_weighted *weighted; /* the drawn one, or NULL */
    sp_str cluster;
};

/* What matching reads. Whoever calls sets head, arena, rng and the wishes and leaves the rest zero; the
 * functions below fill in service (canonical where the table folds), path (canonical by wire/path.h where the
 * chain normalises) and query when they first need them, and use them where they are set. */
struct sp_route_input {
    const struct sp_head *head;
    sp_str service;
    sp_str path;                   /* without the query */
    sp_str query;                  /* behind '?', may be empty */
    bool normalize, merge_slashes; /* the chain's wish for HTTP paths */
    bool changed;                  /* out: `path` is not what the caller wrote: it is what goes on, too */
    struct sp_arena *arena;
    struct sp_rng *rng;
};

/* SP_WHY_NONE with *ret_choice: the first route in order that matches; its cluster is empty when the header
 * that should name it is absent. Else NO_ROUTE, REGEX_LIMIT, BAD_REQUEST (a path without canonical form),
 * MEMORY. */
enum sp_why sp_route_find(const struct sp_route_table *table, struct sp_route_input *in,
                          struct sp_route_choice *ret_choice);

/* Hash of the call under the route's policies; false when none applies. */
bool sp_route_hash(const struct sp_route *route, struct sp_route_input *in, const sp_addr *source,
                   uint64_t *ret_hash);

/* Head edits on the way to the upstream (weighted cluster, route, vhost, table: innermost first), with path
 * and host rewrites; and on the way back. SP_E_NOMEM. */
sp_err sp_route_edit_request(const struct sp_route_table *table, const struct sp_route_choice *choice,
                             struct sp_route_input *in, struct sp_head *head) SP_MUST_USE;
sp_err sp_route_edit_response(const struct sp_route_table *table, const struct sp_route_choice *choice,
                              struct sp_arena *arena, struct sp_head *head) SP_MUST_USE;
/* The Location of a redirect; ptr NULL when memory is out. */
sp_str sp_route_location(const struct sp_route *route, struct sp_route_input *in);

#endif
