/* route_impl: how the files of the route decision read a call. What is built is built once and left in the
 * input. */
#ifndef SP_PROXY_ROUTE_IMPL_H
#define SP_PROXY_ROUTE_IMPL_H

#include "proxy/route.h"

static inline bool sp_route_is_http(const struct sp_head *head)
{
    return head->protocol == SP_PROTO_HTTP1;
}

/* Fill in->path, in->changed and, where there is one, in->query, unless they are there. SP_E_NOMEM, or
 * SP_E_INVALID when the path has no canonical form (the caller answers 400). */
sp_err sp_route_see_path(struct sp_route_input *in) SP_MUST_USE;
/* Fill in->service as the table compares it. SP_E_NOMEM. */
sp_err sp_route_see_service(const struct sp_route_table *table, struct sp_route_input *in) SP_MUST_USE;

/* `path` with the call's query behind it; the path must have been seen. ptr NULL when memory is out. */
sp_str sp_route_target(struct sp_route_input *in, sp_str path);
/* The path with what the route's path condition took replaced; no query. ptr NULL when memory is out. */
sp_str sp_route_rewritten(const struct sp_route *route, struct sp_route_input *in, sp_str with);

/* The next value of that name from header *at on; ptr NULL when there is none. */
sp_str sp_route_next_value(const struct sp_head *head, sp_str name, uint32_t *at);
/* What a condition on that header looks at, in *ret_value; ptr NULL when absent. SP_E_NOMEM, SP_E_INVALID. */
sp_err sp_route_header(struct sp_route_input *in, sp_str name, sp_str *ret_value) SP_MUST_USE;
/* The value of the first parameter of that name, as sent (nothing is decoded, as Envoy); ptr NULL when
 * absent. */
sp_str sp_route_param(struct sp_route_input *in, sp_str name);

#endif
