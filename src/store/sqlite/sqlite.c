/* sqlite: the store on a disk: each batch is one transaction of SQLite, and one fsync.
 *
 *     history   number | revision created version lease key value | sum      a row for each version
 *     leases    id | ttl
 *     meta      the revision, what is compacted, how many rows               one row, written by every commit
 *
 * The table is the log: rows are added at its end, so a commit touches the last page, the page of meta, and
 * no index. Which rows are superfluous the tree knows, so compaction deletes them by number. Nothing is read
 * before the next start: reads are served from memory.
 *
 * WAL with synchronous=FULL: the fsync is on the log before the commit returns. The file is locked for this
 * process alone as long as it is open (locking_mode=EXCLUSIVE), before anything in it is looked at: two
 * stores on one file would each be right and together wrong. It also saves the shared memory file.
 *
 * What can go wrong while a batch is kept is of two kinds. Before COMMIT, and when the disk is full, nothing
 * of it can be read again: rolled back, the batch is refused, the next may succeed. A COMMIT that fails in
 * any other way (an fsync that said no) may or may not be on the disk, and asking again would be believed by
 * a kernel that has dropped the pages: the store is BROKEN until it is opened anew and reads what is there.
 *
 * The schema has a number (user_version). A file with a lower one is brought up by `steps`, one transaction
 * for each; a file with a higher one is refused by name, for it was written by a build that knew more.
 *
 * File access here is SQLite's own, by its VFS: the one exception to "files are io's". The tests bring a VFS
 * that runs full, fails and loses power at a chosen write. Left aside: one row for each key (an update in
 * place writes as much, and watches would need the history elsewhere), and synchronous=NORMAL, which loses
 * what was acknowledged when the power fails. */
#include "store/sqlite/sqlite.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/sqlite/sqlite_impl.h"

enum { APPLICATION = 0x534d5053 }; /* "SMPS", in the file's header */

static const char *const texts[SP_SQLITE_STATEMENTS] = {
    [SP_SQLITE_BEGIN] = "BEGIN IMMEDIATE",
    [SP_SQLITE_COMMIT] = "COMMIT",
    [SP_SQLITE_ROLLBACK] = "ROLLBACK",
    [SP_SQLITE_ADD] = "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [SP_SQLITE_DROP] = "DELETE FROM history WHERE number = ?",
    [SP_SQLITE_GRANT] = "INSERT INTO leases VALUES (?, ?)",
    [SP_SQLITE_REVOKE] = "DELETE FROM leases WHERE id = ?",
    [SP_SQLITE_META] = "UPDATE meta SET revision = ?, compacted = ?, rows = ?, sum = ? WHERE id = 1",
};

/* steps[n] leads from schema n to n + 1. */
static const char *const steps[SP_STORE_SQLITE_SCHEMA] = {
    "CREATE TABLE history (number INTEGER PRIMARY KEY, revision INTEGER NOT NULL, created INTEGER NOT NULL,"
    " version INTEGER NOT NULL, lease INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,"
    " sum INTEGER NOT NULL);"
    "CREATE TABLE leases (id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL);"
    "CREATE TABLE meta (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, compacted INTEGER NOT NULL,"
    " rows INTEGER NOT NULL, sum INTEGER NOT NULL);",
};

/* ---- sums ---- */

uint64_t sp_sqlite_row_sum(const struct sp_store_kv *kv)
{
    const uint64_t numbers[] = { kv->number, kv->mod_revision, kv->create_revision, kv->version, kv->lease };
    uint64_t sum = sp_str_hash(sp_str_of(numbers, sizeof(numbers)));
    return sp_str_hash_seed(kv->value, sp_str_hash_seed(kv->key, sum));
}

uint64_t sp_sqlite_meta_sum(uint64_t revision, uint64_t compacted, uint64_t rows)
{
    const uint64_t numbers[] = { revision, compacted, rows };
    return sp_str_hash(sp_str_of(numbers, sizeof(numbers)));
}

/* ---- commit ---- */

static int run(struct sp_sqlite *body, enum sp_sqlite_statement which)
{
    sqlite3_stmt *statement = body->statements[which];
    int code = sqlite3_step(statement);
    (void)sqlite3_reset(statement); /* says again what step said */
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int bind(struct sp_sqlite *body, enum sp_sqlite_statement which, int i, uint64_t number)
{
    return sqlite3_bind_int64(body->statements[which], i, (sqlite3_int64)number);
}

static int bind_bytes(struct sp_sqlite *body, enum sp_sqlite_statement which, int i, sp_str bytes)
{
    return sqlite3_bind_blob(body->statements[which], i, bytes.len ? bytes.ptr : "", (int)bytes.len,
                             SQLITE_STATIC);
}

static int add_row(struct sp_sqlite *body, const struct sp_store_kv *kv)
{
    const uint64_t numbers[] = { kv->number, kv->mod_revision, kv->create_revision, kv->version, kv->lease };
    int code = SQLITE_OK;
    for (int i = 0; !code && i < (int)SP_COUNTOF(numbers); i++)
        code = bind(body, SP_SQLITE_ADD, i + 1, numbers[i]);
    if (!code)
        code = bind_bytes(body, SP_SQLITE_ADD, 6, kv->key);
    if (!code)
        code = bind_bytes(body, SP_SQLITE_ADD, 7, kv->value);
    if (!code)
        code = bind(body, SP_SQLITE_ADD, 8, sp_sqlite_row_sum(kv));
    return code ? code : run(body, SP_SQLITE_ADD);
}

static int drop_spoilt(struct sp_sqlite *body, const struct sp_keep_batch *batch, uint64_t *rows)
{
    int code = SQLITE_OK;
    for (uint64_t place = batch->tree->log_first; !code && place < batch->spoilt_to; place++) {
        const struct sp_store_kv *spoilt[2];
        uint32_t count = sp_tree_spoil(batch->tree, place, spoilt);
        for (uint32_t i = 0; !code && i < count; i++) {
            code = bind(body, SP_SQLITE_DROP, 1, spoilt[i]->number);
            if (!code)
                code = run(body, SP_SQLITE_DROP);
            (*rows)--;
        }
    }
    return code;
}

/* Revocations first: a lease may have been revoked and granted anew. */
static int change_leases(struct sp_sqlite *body, const struct sp_keep_batch *batch)
{
    struct sp_store_hold *hold;
    int code = SQLITE_OK;
    SP_LIST_EACH(batch->leases, hold, next, struct sp_store_hold, batch_link)
        if (!code && !hold->granted) {
            code = bind(body, SP_SQLITE_REVOKE, 1, hold->id);
            if (!code)
                code = run(body, SP_SQLITE_REVOKE);
        }
    SP_LIST_EACH(batch->leases, hold, again, struct sp_store_hold, batch_link)
        if (!code && hold->granted && !hold->revoked) {
            code = bind(body, SP_SQLITE_GRANT, 1, hold->id);
            if (!code)
                code = bind(body, SP_SQLITE_GRANT, 2, hold->ttl_s);
            if (!code)
                code = run(body, SP_SQLITE_GRANT);
        }
    return code;
}

static int write_meta(struct sp_sqlite *body, uint64_t revision, uint64_t compacted, uint64_t rows)
{
    const uint64_t numbers[] = { revision, compacted, rows, sp_sqlite_meta_sum(revision, compacted, rows) };
    int code = SQLITE_OK;
    for (int i = 0; !code && i < (int)SP_COUNTOF(numbers); i++)
        code = bind(body, SP_SQLITE_META, i + 1, numbers[i]);
    return code ? code : run(body, SP_SQLITE_META);
}

static int write_batch(struct sp_sqlite *body, const struct sp_keep_batch *batch)
{
    uint64_t rows = batch->tree->events;
    int code = run(body, SP_SQLITE_BEGIN);
    for (uint64_t place = batch->from; !code && place < sp_tree_log_end(batch->tree); place++)
        code = add_row(body, sp_tree_event(batch->tree, place)->kv);
    if (!code)
        code = drop_spoilt(body, batch, &rows);
    if (!code)
        code = change_leases(body, batch);
    return code ? code : write_meta(body, batch->tree->revision, batch->compacted, rows);
}

static enum sp_store_why commit(void *keep, const struct sp_keep_batch *batch)
{
    struct sp_sqlite *body = keep;
    enum sp_store_why why = SP_STORE_BROKEN;
    int code = write_batch(body, batch);
    bool before = code != SQLITE_OK;
    if (!before)
        code = run(body, SP_SQLITE_COMMIT);
    if (!code)
        return SP_STORE_FINE;
    if ((code & 0xff) == SQLITE_FULL)
        why = SP_STORE_DISK_FULL;
    else if (before && (code & 0xff) == SQLITE_NOMEM)
        why = SP_STORE_NO_MEMORY;
    if (!sqlite3_get_autocommit(body->db) && run(body, SP_SQLITE_ROLLBACK))
        why = SP_STORE_BROKEN;
    return why;
}

/* ---- backup ---- */

/* 1: there is nothing in it yet. */
static bool is_empty(sqlite3 *db)
{
    sqlite3_stmt *count;
    if (sqlite3_prepare_v2(db, "PRAGMA page_count", -1, &count, NULL))
        return false;
    bool empty = sqlite3_step(count) == SQLITE_ROW && sqlite3_column_int64(count, 0) == 0;
    sqlite3_finalize(count);
    return empty;
}

static enum sp_store_why backup(void *keep, const char *path)
{
    struct sp_sqlite *body = keep;
    sqlite3 *copy = NULL;
    bool done = false, ours = false;
    if (sqlite3_open_v2(path, &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        body->vfs) == SQLITE_OK &&
        is_empty(copy) && chmod(path, 0600) == 0) {
        ours = true;
        sqlite3_backup *walk = sqlite3_backup_init(copy, "main", body->db, "main");
        done = walk && sqlite3_backup_step(walk, -1) == SQLITE_DONE;
        done = sqlite3_backup_finish(walk) == SQLITE_OK && done;
    }
    (void)sqlite3_close(copy); /* no statement is open on it */
    if (ours && !done)
        SP_IGNORE(unlink(path)); /* half a copy must not look like one; that there is none is said anyhow */
    return done ? SP_STORE_FINE : SP_STORE_NO_BACKUP;
}

/* ---- open and free ---- */

static void close_body(void *keep)
{
    struct sp_sqlite *body = keep;
    for (int i = 0; i < SP_SQLITE_STATEMENTS; i++)
        sqlite3_finalize(body->statements[i]);
    (void)sqlite3_close(
        body->db); /* all statements are finalized; what it could not tidy up, the next does */
    sp_mem_free(body->vfs);
    sp_mem_free(body);
}

static const struct sp_keep_ops sqlite_ops = { .commit = commit, .backup = backup, .free = close_body };

static sp_err say(struct sp_sqlite *body, struct sp_buf *trouble)
{
    switch (sqlite3_errcode(body->db) & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: sp_buf_add_c(trouble, "another process has it open"); return SP_E_EXISTS;
    case SQLITE_NOTADB: sp_buf_add_c(trouble, "this is no store: not a SQLite file"); return SP_E_INVALID;
    case SQLITE_CORRUPT: sp_buf_printf(trouble, "broken: %s", sqlite3_errmsg(body->db)); return SP_E_INVALID;
    case SQLITE_NOMEM: sp_buf_add_c(trouble, "out of memory"); return SP_E_NOMEM;
    case SQLITE_FULL: sp_buf_add_c(trouble, "the disk is full"); return SP_E_LIMIT;
    }
    sp_buf_printf(trouble, "%s", sqlite3_errmsg(body->db));
    return SP_E_IO;
}

static sp_err execute(struct sp_sqlite *body, const char *text, struct sp_buf *trouble)
{
    return sqlite3_exec(body->db, text, NULL, NULL, NULL) ? say(body, trouble) : SP_OK;
}

static sp_err ask_number(struct sp_sqlite *body, const char *text, int64_t *ret_number,
                         struct sp_buf *trouble)
{
    sqlite3_stmt *row;
    if (sqlite3_prepare_v2(body->db, text, -1, &row, NULL))
        return say(body, trouble);
    bool there = sqlite3_step(row) == SQLITE_ROW;
    int64_t number = there ? sqlite3_column_int64(row, 0) : 0;
    sp_err err = there ? SP_OK : say(body, trouble);
    sqlite3_finalize(row);
    if (!err)
        *ret_number = number;
    return err;
}

/* Whose file is it, and which schema has it? Nothing is written before that is known. */
static sp_err find_schema(struct sp_sqlite *body, int64_t *ret_schema, struct sp_buf *trouble)
{
    int64_t application = 0, schema = 0, tables = 0;
    sp_err err = ask_number(body, "PRAGMA application_id", &application, trouble);
    if (!err)
        err = ask_number(body, "PRAGMA user_version", &schema, trouble);
    if (!err)
        err = ask_number(body, "SELECT count(*) FROM sqlite_schema", &tables, trouble);
    if (err)
        return err;
    bool fresh = application == 0 && schema == 0 && tables == 0;
    if (!fresh && application != APPLICATION) {
        sp_buf_add_c(trouble, "a SQLite file of another program");
        return SP_E_UNSUPPORTED;
    }
    if (schema > SP_STORE_SQLITE_SCHEMA || schema < 0) {
        sp_buf_printf(trouble, "schema %lld: this build knows up to %d, a newer one wrote it",
                      (long long)schema, SP_STORE_SQLITE_SCHEMA);
        return SP_E_UNSUPPORTED;
    }
    *ret_schema = schema;
    return SP_OK;
}

static sp_err take_lock(struct sp_sqlite *body, int64_t *ret_schema, struct sp_buf *trouble)
{
    sp_err err = execute(body, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE", trouble);
    if (err)
        return err;
    err = find_schema(body, ret_schema, trouble);
    if (sqlite3_exec(body->db, "COMMIT", NULL, NULL, NULL) && !err)
        err = say(body, trouble);
    return err;
}

static sp_err make_first_row(struct sp_sqlite *body, struct sp_buf *trouble)
{
    char *text = sqlite3_mprintf("INSERT INTO meta VALUES (1, 0, 0, 0, %lld)",
                                 (long long)sp_sqlite_meta_sum(0, 0, 0));
    sp_err err = text ? execute(body, text, trouble) : SP_E_NOMEM;
    sqlite3_free(text);
    return err;
}

/* A crash between two steps leaves a file of the schema in between. */
static sp_err bring_up(struct sp_sqlite *body, int64_t schema, struct sp_buf *trouble)
{
    sp_err err = SP_OK;
    for (; !err && schema < SP_STORE_SQLITE_SCHEMA; schema++) {
        char head[128];
        struct sp_buf text;
        sp_buf_init_fixed(&text, head, sizeof(head));
        sp_buf_printf(&text, "PRAGMA application_id = %d; PRAGMA user_version = %lld; COMMIT", APPLICATION,
                      (long long)schema + 1);
        err = execute(body, "BEGIN IMMEDIATE", trouble);
        if (!err)
            err = execute(body, steps[schema], trouble);
        if (!err && schema == 0)
            err = make_first_row(body, trouble);
        if (!err)
            err = execute(body, head, trouble);
    }
    return err;
}

static sp_err prepare(struct sp_sqlite *body, struct sp_buf *trouble)
{
    for (int i = 0; i < SP_SQLITE_STATEMENTS; i++)
        if (sqlite3_prepare_v3(body->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &body->statements[i], NULL))
            return say(body, trouble);
    return SP_OK;
}

static sp_err make_durable(struct sp_sqlite *body, struct sp_buf *trouble)
{
    sqlite3_stmt *mode;
    if (sqlite3_prepare_v2(body->db, "PRAGMA journal_mode = WAL", -1, &mode, NULL))
        return say(body, trouble);
    bool there = sqlite3_step(mode) == SQLITE_ROW;
    sp_err err = there ? SP_OK : say(body, trouble);
    if (there && strcmp((const char *)sqlite3_column_text(mode, 0), "wal") != 0) {
        sp_buf_add_c(trouble, "this file system does not bear a write-ahead log");
        err = SP_E_IO;
    }
    sqlite3_finalize(mode);
    return err ? err
               : execute(
                     body,
                     "PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;"
                     "PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 16777216",
                     trouble);
}

static sp_err open_body(struct sp_sqlite *body, const struct sp_store_sqlite_config *config,
                        struct sp_buf *trouble)
{
    int64_t schema = 0;
    sp_err err = SP_OK;
    if (sqlite3_open_v2(config->path, &body->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, config->vfs))
        return body->db ? say(body, trouble) : SP_E_NOMEM;
    err = take_lock(body, &schema, trouble);
    if (!err && schema == 0 && chmod(config->path, 0600)) {
        sp_buf_add_c(trouble, "its mode cannot be set");
        err = SP_E_IO;
    }
    if (!err)
        err = make_durable(body, trouble);
    if (!err)
        err = bring_up(body, schema, trouble);
    return err ? err : prepare(body, trouble);
}

static char *copy_name(const char *name)
{
    size_t bytes = strlen(name) + 1;
    char *copied = sp_mem_alloc(bytes);
    return copied ? memcpy(copied, name, bytes) : NULL;
}

sp_err sp_store_sqlite_open(const struct sp_store_sqlite_config *config, struct sp_store **ret_store,
                            char trouble[SP_STORE_SQLITE_TROUBLE])
{
    struct sp_buf words;
    sp_buf_init_fixed(&words, trouble, SP_STORE_SQLITE_TROUBLE);
    sp_buf_printf(&words, "%s: ", config->path);
    struct sp_sqlite *body = sp_mem_zalloc(sizeof(*body));
    if (!body || (config->vfs && !(body->vfs = copy_name(config->vfs)))) {
        sp_mem_free(body);
        sp_buf_add_c(&words, "out of memory");
        return SP_E_NOMEM;
    }
    sp_err err = open_body(body, config, &words);
    if (err) {
        close_body(body);
        return err;
    }
    struct sp_local *local = sp_local_new(&(struct sp_local_config){ .loop = config->loop,
                                                                     .limit_bytes = config->limit_bytes,
                                                                     .keep_events = config->keep_events,
                                                                     .ops = &sqlite_ops,
                                                                     .keep = body });
    if (!local) {
        sp_buf_add_c(&words, "out of memory");
        return SP_E_NOMEM;
    }
    err = sp_sqlite_load(body, local, &words);
    if (err) {
        if (err == SP_E_NOMEM)
            sp_buf_add_c(&words, "out of memory");
        sp_local_free(&local->store);
        return err;
    }
    sp_local_wake(local); /* what is compacted and was not yet swept; the leases' tick */
    *ret_store = &local->store;
    return SP_OK;
}
