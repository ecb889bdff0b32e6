/* doors: what operators and tools see of the process: admin and the access log, joined to the workers. */
#ifndef SP_CMD_PROXY_DOORS_H
#define SP_CMD_PROXY_DOORS_H

#include <stdbool.h>

#include "base/err.h"

struct server;
struct doors;

/* Before the threads start; workers are made. Says on the log what it could not open; only memory is an
 * error. */
sp_err doors_open(struct server *server, struct doors **ret_doors) SP_MUST_USE;
/* SIGHUP. False: some file could not be opened; the log says which, and the old one goes on. */
bool doors_reopen_logs(struct doors *doors);
/* Admin goes before the threads are stopped, the log when they have ended. NULL is fine. */
void doors_close_admin(struct doors *doors);
void doors_free(struct doors *doors);

#endif
