/* resolve: the names of STRICT_DNS clusters, looked up on the main loop; answers go to every worker by
 * mail. */
#ifndef SP_PROXY_RESOLVE_H
#define SP_PROXY_RESOLVE_H

#include "proxy/process.h"

/* Looks after all STRICT_DNS clusters of process->snapshot; call again when that changes. */
sp_err sp_resolve_update(struct sp_process *process) SP_MUST_USE;
void sp_resolve_free(struct sp_resolve *resolve);

#endif
