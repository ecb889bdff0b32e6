/* memfile: bytes in a sealed file of memory, for another process: it reads them where they are, and nobody
 * can change them any more, the writer included. */
#ifndef SP_IO_MEMFILE_H
#define SP_IO_MEMFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Copies `bytes`; the descriptor is the caller's and close-on-exec. SP_E_NOMEM, SP_E_NOFILE. */
sp_err sp_memfile_new(sp_str bytes, int *ret_fd) SP_MUST_USE;
/* Read-only, until sp_memfile_unmap; the descriptor may be closed at once. SP_E_INVALID: not a memory file,
 * or one that could still change under our hands; SP_E_LIMIT: longer than limit_bytes. Empty is NULL, 0. */
sp_err sp_memfile_map(int fd, uint64_t limit_bytes, sp_str *ret_bytes) SP_MUST_USE;
void sp_memfile_unmap(sp_str bytes); /* NULL is fine */

#endif
