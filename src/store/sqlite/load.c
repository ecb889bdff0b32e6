/* load: from the file's rows to the tree, believing none of them.
 *
 * SQLite checks its own pages (quick_check), but not what stands in them: a disk that flips a bit in a value
 * goes unnoticed by it. So each row has a sum of all that it says, the number of rows is written down, and
 * what a history must obey is looked at while it is read:
 *
 *     revisions never go back, none is above the store's
 *     a key changes once in a revision
 *     a version follows its predecessor: version + 1, the same creation; or begins anew at 1
 *     a key that hangs on a lease hangs on one that is there
 *
 * A file that breaks one of these is refused with the number of the row. It is not repaired: a control plane
 * that starts on half of what it was told would take away the other half from every sidecar. The way out is a
 * backup, or the configuration's own source (docs/store.md).
 *
 * All rows go into the log, also those below what is compacted: the sweep that runs anyway then finishes what
 * the last process had not come to. */
#include "store/sqlite/sqlite_impl.h"

static sp_err said(struct sp_sqlite *body, struct sp_buf *trouble)
{
    int code = sqlite3_errcode(body->db) & 0xff;
    if (code == SQLITE_NOMEM)
        return SP_E_NOMEM;
    sp_buf_printf(trouble, "%s", sqlite3_errmsg(body->db));
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? SP_E_INVALID : SP_E_IO;
}

static sp_err bad_row(struct sp_buf *trouble, uint64_t number, const char *what)
{
    sp_buf_printf(trouble, "change %llu: %s", (unsigned long long)number, what);
    return SP_E_INVALID;
}

static uint64_t column(sqlite3_stmt *row, int i)
{
    return (uint64_t)sqlite3_column_int64(row, i);
}

/* ---- the pages ---- */

static sp_err check_pages(struct sp_sqlite *body, struct sp_buf *trouble)
{
    sqlite3_stmt *check;
    if (sqlite3_prepare_v2(body->db, "PRAGMA quick_check(1)", -1, &check, NULL))
        return said(body, trouble);
    sp_err err = SP_OK;
    if (sqlite3_step(check) != SQLITE_ROW) {
        err = said(body, trouble);
    } else if (strcmp((const char *)sqlite3_column_text(check, 0), "ok") != 0) {
        sp_buf_printf(trouble, "%s", (const char *)sqlite3_column_text(check, 0));
        err = SP_E_INVALID;
    }
    sqlite3_finalize(check);
    return err;
}

/* ---- meta ---- */

static sp_err load_meta(struct sp_sqlite *body, struct sp_tree *tree, uint64_t *ret_rows,
                        struct sp_buf *trouble)
{
    sqlite3_stmt *meta;
    if (sqlite3_prepare_v2(body->db, "SELECT revision, compacted, rows, sum FROM meta WHERE id = 1", -1,
                           &meta, NULL))
        return said(body, trouble);
    sp_err err = SP_OK;
    int step = sqlite3_step(meta);
    if (step == SQLITE_ROW) {
        tree->revision = column(meta, 0);
        tree->compacted = column(meta, 1);
        *ret_rows = column(meta, 2);
        if (column(meta, 3) != sp_sqlite_meta_sum(tree->revision, tree->compacted, *ret_rows) ||
            tree->compacted > tree->revision)
            step = SQLITE_DONE;
    }
    if (step == SQLITE_DONE) {
        sp_buf_add_c(trouble, "the revision is missing or damaged");
        err = SP_E_INVALID;
    } else if (step != SQLITE_ROW) {
        err = said(body, trouble);
    }
    sqlite3_finalize(meta);
    return err;
}

/* ---- leases ---- */

static sp_err load_leases(struct sp_sqlite *body, struct sp_local *local, struct sp_buf *trouble)
{
    sqlite3_stmt *row;
    if (sqlite3_prepare_v2(body->db, "SELECT id, ttl FROM leases", -1, &row, NULL))
        return said(body, trouble);
    sp_err err = SP_OK;
    int step;
    while (!err && (step = sqlite3_step(row)) != SQLITE_DONE) {
        uint64_t id = step == SQLITE_ROW ? column(row, 0) : 0, ttl = step == SQLITE_ROW ? column(row, 1) : 0;
        if (step != SQLITE_ROW) {
            err = said(body, trouble);
        } else if (!id || !ttl || ttl > SP_STORE_TTL_MAX_S || local->leases.len >= SP_STORE_LEASES_MAX) {
            sp_buf_printf(trouble, "lease %llu is damaged", (unsigned long long)id);
            err = SP_E_INVALID;
        } else {
            err = sp_lease_load(local, id, (uint32_t)ttl);
        }
    }
    sqlite3_finalize(row);
    return err;
}

/* ---- history ---- */

/* What is wrong with it, seen alone and behind what was read before it; NULL: nothing. */
static const char *fault_of(const struct sp_tree *tree, const struct sp_store_kv *kv, uint64_t last_revision)
{
    if (kv->key.len == 0 || kv->key.len > SP_STORE_KEY_MAX || kv->value.len > SP_STORE_VALUE_MAX)
        return "a key or a value has a length that cannot be";
    if (kv->mod_revision < last_revision || kv->mod_revision == 0 || kv->mod_revision > tree->revision)
        return "its revision is out of order";
    const struct sp_tree_node *node = sp_tree_find(tree, kv->key);
    const struct sp_store_kv *newest = node ? sp_tree_newest(node) : NULL;
    if (newest && newest->mod_revision == kv->mod_revision)
        return "its key changes twice in one revision";
    if (!kv->version)
        return kv->value.len || kv->lease || kv->create_revision ? "a deletion has a value" : NULL;
    if (kv->create_revision == 0 || kv->create_revision > kv->mod_revision)
        return "its creation is out of order";
    if (newest && newest->version)
        return kv->version == newest->version + 1 && kv->create_revision == newest->create_revision
                   ? NULL
                   : "it does not follow the version before it";
    if (kv->version == 1)
        return kv->create_revision == kv->mod_revision ? NULL : "its creation is out of order";
    return newest || kv->mod_revision > tree->compacted ? "the version before it is missing" : NULL;
}

static sp_err load_row(struct sp_local *local, sqlite3_stmt *row, uint64_t *last_revision,
                       struct sp_buf *trouble)
{
    /* Lengths first, by SQLite's own contract: the pointers are good until the next step. */
    sp_str key = { .len = (size_t)sqlite3_column_bytes(row, 5) };
    sp_str value = { .len = (size_t)sqlite3_column_bytes(row, 6) };
    key.ptr = sqlite3_column_blob(row, 5);
    value.ptr = sqlite3_column_blob(row, 6);
    struct sp_store_kv *kv = sp_store_kv_new(key, value);
    if (!kv)
        return SP_E_NOMEM;
    kv->number = column(row, 0);
    kv->mod_revision = column(row, 1);
    kv->create_revision = column(row, 2);
    kv->version = column(row, 3);
    kv->lease = column(row, 4);

    struct sp_tree_node *node;
    const char *fault = column(row, 7) != sp_sqlite_row_sum(kv) ? "its sum is wrong"
                                                                : fault_of(&local->tree, kv, *last_revision);
    sp_err err = fault ? bad_row(trouble, kv->number, fault) : sp_tree_load(&local->tree, kv, &node);
    if (!err) {
        sp_lease_bind(local, node, kv->lease);
        *last_revision = kv->mod_revision;
    }
    sp_store_kv_unref(kv);
    return err;
}

static sp_err load_history(struct sp_sqlite *body, struct sp_local *local, struct sp_buf *trouble)
{
    sqlite3_stmt *row;
    if (sqlite3_prepare_v2(body->db,
                           "SELECT number, revision, created, version, lease, key, value, sum FROM history "
                           "ORDER BY number",
                           -1, &row, NULL))
        return said(body, trouble);
    sp_err err = SP_OK;
    uint64_t last_revision = 0;
    int step;
    while (!err && (step = sqlite3_step(row)) != SQLITE_DONE)
        err = step == SQLITE_ROW ? load_row(local, row, &last_revision, trouble) : said(body, trouble);
    sqlite3_finalize(row);
    return err;
}

static sp_err check_leases(const struct sp_local *local, struct sp_buf *trouble)
{
    const struct sp_store_span all = { .kind = SP_STORE_PREFIX };
    for (const struct sp_tree_node *node = sp_tree_first(&local->tree, &all); node;
         node = sp_tree_next(node, &all))
        if (sp_tree_newest(node)->lease && !node->lease)
            return bad_row(trouble, sp_tree_newest(node)->number, "its lease is missing");
    return SP_OK;
}

sp_err sp_sqlite_load(struct sp_sqlite *body, struct sp_local *local, struct sp_buf *trouble)
{
    uint64_t rows = 0;
    sp_err err = check_pages(body, trouble);
    if (!err)
        err = load_meta(body, &local->tree, &rows, trouble);
    if (!err)
        err = load_leases(body, local, trouble);
    if (!err)
        err = load_history(body, local, trouble);
    if (!err && local->tree.events != rows) {
        sp_buf_printf(trouble, "%llu changes are there, %llu were kept",
                      (unsigned long long)local->tree.events, (unsigned long long)rows);
        err = SP_E_INVALID;
    }
    if (!err)
        err = check_leases(local, trouble);
    local->compacted = local->tree.compacted;
    return err;
}
