/* resolve: the names of STRICT_DNS clusters, looked up on the main loop; answers go to every worker by
 * mail. */
#ifndef SP_PROXY_RESOLVE_H
#define SP_PROXY_RESOLVE_H

#include "proxy/process.h"

/* Looks after all STRICT_DNS clusters of process->snapshot; call again when that changes. */
sp_err sp_resolve_update(struct sp_process *process) SP_MUST_USE;
/* How many names of now have had neither a first answer nor a first failure. When there are some, `on_heard`
 * is called once, when there are none any more; NULL: not any more. */
uint32_t sp_resolve_await(struct sp_process *process, void (*on_heard)(void *arg), void *arg);
void sp_resolve_free(struct sp_resolve *resolve);

#endif
