/* doors: what operators and tools see of the process: admin and the access log, joined to the workers. */
#ifndef SP_CMD_PROXY_DOORS_H
#define SP_CMD_PROXY_DOORS_H

#include <stdbool.h>

#include "base/record.h"

struct server;
struct doors;

/* Before the threads start; workers are made. Says on the log what it could not open; only memory is an
 * error. */
sp_err doors_open(struct server *server, struct doors **ret_doors) SP_MUST_USE;
/* SIGHUP. False: some file could not be opened; the log says which, and the old one goes on. */
bool doors_reopen_logs(struct doors *doors);
/* For a successor, while the threads stand: listening sockets; everything else. */
void doors_save_sockets(struct doors *doors, struct sp_record_writer *writer);
void doors_save(struct doors *doors, struct sp_record_writer *writer);
/* SP_E_MISSING: not a record of what stands here. */
sp_err doors_load(struct doors *doors, struct sp_record_reader *reader, uint16_t kind) SP_MUST_USE;
/* What waits in the workers' rings, to its files: the last act of a process that has handed over. */
void doors_write_logs(struct doors *doors);
/* Admin goes before the threads are stopped, the log when they have ended. NULL is fine. */
void doors_close_admin(struct doors *doors);
void doors_free(struct doors *doors);

#endif
