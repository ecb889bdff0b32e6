/* route_impl: what the files of the route decision share: how they read a call. */
#ifndef SP_PROXY_ROUTE_IMPL_H
#define SP_PROXY_ROUTE_IMPL_H

#include "proxy/route.h"

/* Fill in->path, and in->query where there is one, unless they are there. False: memory is out. */
bool sp_route_see_path(struct sp_route_input *in);
/* Fill in->service as the table compares it. False: memory is out. */
bool sp_route_see_service(const struct sp_route_table *table, struct sp_route_input *in);
/* Path and query as one string, as it would go on; ptr NULL when memory is out. */
sp_str sp_route_target(struct sp_route_input *in, sp_str path);

/* The value of the first parameter of that name, as sent (no decoding, as Envoy); ptr NULL when absent. */
sp_str sp_route_param(struct sp_route_input *in, sp_str name);

#endif
