/* pidfd: another process, held by a descriptor: it is that process for as long as we hold it, whoever gets
 * its number later. */
#ifndef SP_IO_PIDFD_H
#define SP_IO_PIDFD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

uint32_t sp_pid_own(void);
uint32_t sp_uid_own(void); /* effective */
/* The process at the other end of a connected Unix socket (for the one that connected: the process that made
 * the other end listen). Close-on-exec; the caller's. SP_E_MISSING: it is dead, and the connection ended;
 * SP_E_UNSUPPORTED: it is in a pid namespace that we do not see, or dead while another holds its end. */
sp_err sp_pidfd_peer(int sock, int *ret_fd, uint32_t *ret_pid, uint32_t *ret_uid) SP_MUST_USE;
/* May we end it? SP_E_DENIED; SP_E_MISSING: it has ended by itself. */
sp_err sp_pidfd_may_end(int fd) SP_MUST_USE;
/* By SIGKILL; it is gone when sp_pidfd_wait says so. */
sp_err sp_pidfd_end(int fd) SP_MUST_USE;
/* Is it stopped, as by SIGSTOP? `pid` is its number. False also where that cannot be seen. */
bool sp_pidfd_is_stopped(int fd, uint32_t pid);
/* SP_OK: it has ended (its descriptors were closed before); SP_E_TIMEOUT: it has not. 0 only looks. */
sp_err sp_pidfd_wait(int fd, int timeout_ms) SP_MUST_USE;

#endif
