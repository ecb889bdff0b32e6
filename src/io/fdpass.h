/* fdpass: descriptors over a Unix socket (SCM_RIGHTS), at most 253 a message, and who the peer is. */
#ifndef SP_IO_FDPASS_H
#define SP_IO_FDPASS_H

#include <stdbool.h>
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
/* From here on the peer's messages are refused (SP_E_RESET there). What it had sent before is still received,
 * then comes the end (0). So of each message both sides know whether it counts. We may go on sending. */
void sp_fdpass_shut(int sock);
sp_err sp_fdpass_peer(int sock, uint32_t *ret_pid, uint32_t *ret_uid) SP_MUST_USE;

/* A Unix socket of whole messages (SOCK_SEQPACKET), mode 0600; "@name" = abstract. A socket at the path that
 * nobody listens on is replaced, and so is one that somebody does when `replace`. SP_E_EXISTS: somebody
 * listens there, or it is no socket. Its peers see the process that called this as the one they talk to, so a
 * socket that was handed over must not be used in its place. */
sp_err sp_fdpass_listen(const char *path, bool replace, int *ret_sock) SP_MUST_USE;
/* Does not wait: SP_E_AGAIN. */
sp_err sp_fdpass_accept(int listening, int *ret_sock) SP_MUST_USE;
/* SP_E_MISSING: no socket there, or nobody behind it; SP_E_TIMEOUT: its queue stays full; SP_E_UNSUPPORTED: a
 * socket of another type; SP_E_DENIED. */
sp_err sp_fdpass_connect(const char *path, int timeout_ms, int *ret_sock) SP_MUST_USE;

#endif
