/* txn: what a transaction does to the tree, or why it does nothing.
 *
 * It decides first and changes then: comparisons choose the branch, the branch is checked against every limit
 * (bytes, keys that its deletions would meet, leases), and only then is the first version pushed. The one
 * thing that can still fail is memory, and then what was pushed is popped again: the tree's log is its own
 * undo.
 *
 *     compares ──> branch ──> allowed? ──> push, push, push ──> revision + 1
 *                               │ no               │ no memory
 *                               ▼                  ▼
 *                             why            pop, pop: as before
 *
 * Operations see what those before them in the same transaction did, and so does a range at revision 0. All
 * changes bear the same new revision; a transaction that changes nothing (reads, a deletion that meets no
 * key) leaves the revision alone.
 *
 * A transaction may be evaluated a second time: when its batch could not be kept, everything was taken back
 * and each ask is answered anew from what there is; then changes are refused and reads are read again. */
#include <string.h>

#include "base/mem.h"
#include "store/local_impl.h"

sp_err sp_local_push(struct sp_local *local, struct sp_store_kv *kv)
{
    struct sp_tree_node *node;
    kv->mod_revision = local->tree.revision + 1;
    sp_err err = sp_tree_push(&local->tree, kv, &node);
    if (!err)
        sp_lease_bind(local, node, kv->lease);
    return err;
}

void sp_local_undo(struct sp_local *local, uint64_t place)
{
    struct sp_tree *tree = &local->tree;
    while (sp_tree_log_end(tree) > place) {
        struct sp_tree_node *node = sp_tree_find(tree,
                                                 sp_tree_event(tree, sp_tree_log_end(tree) - 1)->kv->key);
        sp_lease_bind(local, node, 0);
        node = sp_tree_pop(tree);
        if (node)
            sp_lease_bind(local, node, sp_tree_newest(node)->lease);
    }
}

/* ---- comparisons ---- */

static bool relates(int order, enum sp_store_relation relation)
{
    switch (relation) {
    case SP_STORE_EQUAL: return order == 0;
    case SP_STORE_DIFFERENT: return order != 0;
    case SP_STORE_GREATER: return order > 0;
    case SP_STORE_LESS: return order < 0;
    }
    return false;
}

static bool holds(const struct sp_local *local, const struct sp_ask_compare *compare)
{
    static const struct sp_store_kv nothing;
    const struct sp_tree_node *node = sp_tree_find(&local->tree, compare->key);
    const struct sp_store_kv *kv = node ? sp_tree_at(node, UINT64_MAX) : NULL;
    if (compare->field == SP_STORE_VALUE)
        return kv && relates(sp_str_cmp(kv->value, compare->value), compare->relation);
    if (!kv)
        kv = &nothing;
    uint64_t number = 0;
    switch (compare->field) {
    case SP_STORE_VERSION: number = kv->version; break;
    case SP_STORE_CREATED: number = kv->create_revision; break;
    case SP_STORE_MODIFIED: number = kv->mod_revision; break;
    case SP_STORE_LEASE: number = kv->lease; break;
    case SP_STORE_VALUE: break;
    }
    return relates((number > compare->number) - (number < compare->number), compare->relation);
}

/* ---- is it allowed ---- */

static uint64_t count_live(const struct sp_local *local, const struct sp_store_span *span, uint64_t upto)
{
    uint64_t count = 0;
    for (struct sp_tree_node *node = sp_tree_first(&local->tree, span); node && count <= upto;
         node = sp_tree_next(node, span))
        count += sp_tree_at(node, UINT64_MAX) != NULL;
    return count;
}

static enum sp_store_why check_range(const struct sp_local *local, const struct sp_ask_op *op)
{
    if (op->revision > local->tree.revision)
        return SP_STORE_FUTURE;
    return op->revision && op->revision < local->compacted ? SP_STORE_COMPACTED : SP_STORE_FINE;
}

static enum sp_store_why check_put(const struct sp_local *local, const struct sp_ask_op *op, uint32_t puts)
{
    if (!op->kv->lease)
        return SP_STORE_FINE;
    const struct sp_store_hold *hold = sp_lease_find(local, op->kv->lease);
    if (!hold)
        return SP_STORE_NO_LEASE;
    return hold->node_count + puts > SP_STORE_CHANGES_MAX ? SP_STORE_WIDE : SP_STORE_FINE;
}

static enum sp_store_why check(const struct sp_local *local, const struct sp_ask_branch *branch,
                               enum sp_store_why refuse)
{
    uint64_t bytes = 0, changes = 0;
    uint32_t puts = 0;
    enum sp_store_why why = SP_STORE_FINE;
    for (const struct sp_ask_op *op = branch->first; op && !why; op = op->next) {
        switch (op->op) {
        case SP_STORE_RANGE: why = check_range(local, op); continue;
        case SP_STORE_PUT:
            why = check_put(local, op, ++puts);
            bytes += sp_store_kv_weight(op->kv);
            changes++;
            break;
        case SP_STORE_DELETE: changes += count_live(local, &op->span, SP_STORE_CHANGES_MAX); break;
        }
        if (refuse)
            why = refuse;
    }
    if (!why && changes > SP_STORE_CHANGES_MAX)
        return SP_STORE_WIDE;
    /* Deletions pass: they are how one gets below the limit. */
    return !why && bytes && local->tree.bytes + bytes > local->limit_bytes ? SP_STORE_FULL : why;
}

/* ---- do it ---- */

/* The list of a result grows by doubling. */
static sp_err add_kv(struct sp_store_result *result, uint32_t *cap, const struct sp_store_kv *kv)
{
    if (result->kv_count == *cap) {
        uint32_t wanted = *cap ? *cap * 2 : 4;
        void *kvs = sp_mem_realloc((void *)result->kvs, wanted * sizeof(*result->kvs));
        if (!kvs)
            return SP_E_NOMEM;
        result->kvs = kvs;
        *cap = wanted;
    }
    ((struct sp_store_kv **)result->kvs)[result->kv_count++] = sp_store_kv_ref(kv);
    return SP_OK;
}

static sp_err do_range(struct sp_local *local, const struct sp_ask_op *op, struct sp_store_result *result)
{
    uint64_t at = op->revision ? op->revision : UINT64_MAX;
    uint32_t cap = 0;
    for (struct sp_tree_node *node = sp_tree_first(&local->tree, &op->span); node;
         node = sp_tree_next(node, &op->span)) {
        const struct sp_store_kv *kv = sp_tree_at(node, at);
        if (!kv)
            continue;
        result->count++;
        if (op->count_only)
            continue;
        if (op->limit && result->kv_count >= op->limit)
            result->more = true;
        else if (add_kv(result, &cap, kv))
            return SP_E_NOMEM;
    }
    return SP_OK;
}

static sp_err do_put(struct sp_local *local, const struct sp_ask_op *op, struct sp_store_result *result)
{
    const struct sp_tree_node *node = sp_tree_find(&local->tree, op->kv->key);
    const struct sp_store_kv *previous = node ? sp_tree_at(node, UINT64_MAX) : NULL;
    uint32_t cap = 0;
    if (previous && op->want_previous && add_kv(result, &cap, previous))
        return SP_E_NOMEM;
    op->kv->create_revision = previous ? previous->create_revision : local->tree.revision + 1;
    op->kv->version = previous ? previous->version + 1 : 1;
    return sp_local_push(local, op->kv);
}

static sp_err push_deletion(struct sp_local *local, sp_str key)
{
    struct sp_store_kv *kv = sp_store_kv_new(key, SP_STR(""));
    if (!kv)
        return SP_E_NOMEM;
    sp_err err = sp_local_push(local, kv);
    sp_store_kv_unref(kv);
    return err;
}

static sp_err do_delete(struct sp_local *local, const struct sp_ask_op *op, struct sp_store_result *result)
{
    uint32_t cap = 0;
    for (struct sp_tree_node *node = sp_tree_first(&local->tree, &op->span); node;
         node = sp_tree_next(node, &op->span)) {
        const struct sp_store_kv *kv = sp_tree_at(node, UINT64_MAX);
        if (!kv)
            continue;
        if ((op->want_previous && add_kv(result, &cap, kv)) || push_deletion(local, kv->key))
            return SP_E_NOMEM;
        result->count++;
    }
    return SP_OK;
}

static sp_err do_op(struct sp_local *local, const struct sp_ask_op *op, struct sp_store_result *result)
{
    switch (op->op) {
    case SP_STORE_RANGE: return do_range(local, op, result);
    case SP_STORE_PUT: return do_put(local, op, result);
    case SP_STORE_DELETE: return do_delete(local, op, result);
    }
    return SP_E_UNSUPPORTED;
}

static sp_err do_branch(struct sp_local *local, struct sp_store_ask *ask, const struct sp_ask_branch *branch)
{
    ask->results = branch->count ? sp_mem_zalloc(branch->count * sizeof(*ask->results)) : NULL;
    if (branch->count && !ask->results)
        return SP_E_NOMEM;
    ask->answer.results = ask->results;
    for (const struct sp_ask_op *op = branch->first; op; op = op->next) {
        struct sp_store_result *result = &ask->results[ask->answer.result_count++];
        result->op = op->op;
        sp_err err = do_op(local, op, result);
        if (err)
            return err;
    }
    return SP_OK;
}

void sp_local_txn(struct sp_local *local, struct sp_store_ask *ask, enum sp_store_why refuse)
{
    bool succeeded = true;
    for (const struct sp_ask_compare *compare = ask->compares; compare && succeeded; compare = compare->next)
        succeeded = holds(local, compare);
    const struct sp_ask_branch *branch = &ask->branches[!succeeded];
    enum sp_store_why why = check(local, branch, refuse);
    if (!why) {
        uint64_t place = sp_tree_log_end(&local->tree);
        if (do_branch(local, ask, branch)) {
            sp_local_undo(local, place);
            sp_ask_clear(ask);
            why = SP_STORE_NO_MEMORY;
        } else if (sp_tree_log_end(&local->tree) > place) {
            local->tree.revision++;
        }
    }
    ask->answer.why = why;
    ask->answer.succeeded = !why && succeeded;
}
