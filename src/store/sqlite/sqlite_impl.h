/* sqlite_impl: what the two halves of the body share: writing (sqlite.c) and reading at the start (load.c).
 * */
#ifndef SP_STORE_SQLITE_SQLITE_IMPL_H
#define SP_STORE_SQLITE_SQLITE_IMPL_H

#include <sqlite3.h>

#include "base/buf.h"
#include "store/local_impl.h"

enum sp_sqlite_statement {
    SP_SQLITE_BEGIN,
    SP_SQLITE_COMMIT,
    SP_SQLITE_ROLLBACK,
    SP_SQLITE_ADD,
    SP_SQLITE_DROP,
    SP_SQLITE_GRANT,
    SP_SQLITE_REVOKE,
    SP_SQLITE_META,
    SP_SQLITE_STATEMENTS
};

struct sp_sqlite {
    sqlite3 *db;
    sqlite3_stmt *statements[SP_SQLITE_STATEMENTS];
    char *vfs; /* copied, or NULL */
};

/* Of a row of history, and of the row of meta: what a disk that forgets bits does not know. */
uint64_t sp_sqlite_row_sum(const struct sp_store_kv *kv);
uint64_t sp_sqlite_meta_sum(uint64_t revision, uint64_t compacted, uint64_t rows);

/* Read everything into an empty store. SP_E_INVALID with words, SP_E_IO with SQLite's, SP_E_NOMEM. */
sp_err sp_sqlite_load(struct sp_sqlite *body, struct sp_local *local, struct sp_buf *trouble) SP_MUST_USE;

#endif
