/* fdpass: descriptors over a Unix socket (SCM_RIGHTS), at most 253 a message, and who the peer is. */
#ifndef SP_IO_FDPASS_H
#define SP_IO_FDPASS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum { SP_FDPASS_MAX = 253 };

/* Blocking up to timeout_ms; bytes >= 1. */
sp_err sp_fdpass_send(int sock, const void *bytes, size_t len, const int *fds, uint32_t count,
                      int timeout_ms) SP_MUST_USE;
/* Received descriptors are close-on-exec. SP_E_LIMIT (all closed again) when more came than fit. */
ssize_t sp_fdpass_recv(int sock, void *out, size_t out_bytes, int *fds, uint32_t fds_max, uint32_t *ret_count,
                       int timeout_ms) SP_MUST_USE;
sp_err sp_fdpass_peer(int sock, uint32_t *ret_pid, uint32_t *ret_uid) SP_MUST_USE;

#endif
