/* file: whole files, append-only log files, and what the process may ask of the system about itself. */
#ifndef SP_IO_FILE_H
#define SP_IO_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Whole file behind the end of `into`; SP_E_LIMIT above limit_bytes. */
sp_err sp_file_read(const char *path, size_t limit_bytes, struct sp_buf *into) SP_MUST_USE;
/* Written beside and renamed over, so a reader never sees half. */
sp_err sp_file_replace(const char *path, sp_str bytes, uint32_t mode) SP_MUST_USE;

/* Append-only file for logs. "/dev/stdout" and "/dev/stderr" mean those descriptors. */
struct sp_file_log {
    char *path;
    int fd;
    uint64_t lost_bytes; /* could not be written (disk full): counted, never waited for */
    sp_err lost_err;     /* why, the last time */
};
sp_err sp_file_log_open(struct sp_file_log *log, const char *path) SP_MUST_USE;
void sp_file_log_write(struct sp_file_log *log, sp_str bytes);
sp_err sp_file_log_reopen(struct sp_file_log *log) SP_MUST_USE; /* after rotation; keeps the old on failure */
void sp_file_log_close(struct sp_file_log *log);

/* Absolute, links resolved, NUL-terminated into `out`. */
sp_err sp_file_real_path(const char *path, char *out, size_t out_bytes) SP_MUST_USE;
/* mkdir -p with `mode` for what it makes. */
sp_err sp_file_make_dirs(const char *path, uint32_t mode) SP_MUST_USE;

/* Raise the soft descriptor limit to the hard one; returns what holds now. */
uint64_t sp_proc_raise_files(void);
/* Have the system's table of our descriptors made for so many. Later, with several threads, each doubling of
 * it stops who opens a descriptor for one grace period of RCU, some 15 ms (expand_fdtable, fs/file.c). */
void sp_proc_reserve_files(uint64_t count);
uint64_t sp_proc_rss_bytes(void);
/* What the machine has, or the least of the control groups that we are in; 0 = not known. */
uint64_t sp_proc_memory_bytes(void);
uint64_t sp_proc_memory_under(const char *root); /* the same, by the files under another root */
uint64_t sp_proc_cpu_ns(void);
uint32_t sp_proc_open_files(void);
/* The environment variable or NULL. */
const char *sp_proc_env(const char *name);
/* Random bytes from the system, for keys and seeds. */
void sp_proc_random(void *out, size_t bytes);

#endif
