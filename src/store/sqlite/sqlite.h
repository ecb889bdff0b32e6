/* sqlite: a store in one file, which nobody else may have open.
 *
 * Opened on any thread, then it belongs to the thread that turns its loop: SQLite's own reads, writes and
 * fsyncs happen there and block it, which is why that is a thread of its own in production. */
#ifndef SP_STORE_SQLITE_SQLITE_H
#define SP_STORE_SQLITE_SQLITE_H

#include <stdint.h>

#include "base/err.h"

struct sp_loop;
struct sp_store;

enum { SP_STORE_SQLITE_TROUBLE = 300, SP_STORE_SQLITE_SCHEMA = 1 };

struct sp_store_sqlite_config {
    struct sp_loop *loop;
    const char *path;     /* made with mode 0600 when it is not there; beside it come -wal and -shm */
    const char *vfs;      /* SQLite's name of what does the file's input and output; NULL: its own choice */
    uint64_t limit_bytes; /* as in mem/mem.h */
    uint64_t keep_events;
};
/* Reads all into memory. With words in `trouble`: SP_E_EXISTS another process (or store) has it open,
 * SP_E_UNSUPPORTED a newer schema or another program's file, SP_E_INVALID broken, SP_E_IO, SP_E_NOMEM. */
sp_err sp_store_sqlite_open(const struct sp_store_sqlite_config *config, struct sp_store **ret_store,
                            char trouble[SP_STORE_SQLITE_TROUBLE]) SP_MUST_USE;

#endif
