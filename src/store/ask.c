/* ask: how a caller says what it wants, before the letter goes out.
 *
 * An ask is one block with an arena, filled on the client's thread, posted to the store's, answered in place
 * and posted back: no thread ever looks at it while another does. What is wrong with it (a key too long, too
 * many operations) is remembered and comes as its answer, so that a caller has one place where it hears of
 * trouble.
 *
 * A version that will be put is made here already, key and value in the block that the tree, the watches and
 * the answers will share: the bytes are copied once, on the thread of the one who brings them, and the
 * store's thread only writes revisions into it.
 *
 *     ask  ── compares ──> key = version 3 ──> key value < "x"
 *          ── branches[0] ──> put ──> range            all hold
 *          ── branches[1] ──> range                    else
 *
 * A branch that changes a key twice is refused here, as etcd does: what would the version be? Ranges of
 * deletions may overlap each other: the second finds nothing. */
#include "store/ask_impl.h"

#include <string.h>

#include "base/mem.h"
#include "store/client_impl.h"
#include "store/tree_impl.h"

enum { ARENA_BLOCK = 4096 };

struct sp_store_ask *sp_store_ask_new(struct sp_store_client *client)
{
    if (client->asks_out >= SP_STORE_ASKS_MAX)
        return NULL;
    struct sp_store_ask *ask = sp_mem_alloc(sizeof(*ask));
    if (!ask)
        return NULL;
    memset(ask, 0, offsetof(struct sp_store_ask, first_bytes));
    ask->client = client;
    for (int i = 0; i < 2; i++)
        ask->branches[i].last = &ask->branches[i].first;
    sp_arena_init(&ask->arena, ask->first_bytes, sizeof(ask->first_bytes), ARENA_BLOCK, 0);
    return ask;
}

void sp_ask_clear(struct sp_store_ask *ask)
{
    for (uint32_t i = 0; i < ask->answer.result_count; i++) {
        for (uint32_t k = 0; k < ask->results[i].kv_count; k++)
            sp_store_kv_unref(ask->results[i].kvs[k]);
        sp_mem_free((void *)ask->results[i].kvs);
    }
    sp_mem_free(ask->results);
    ask->results = NULL;
    ask->answer = (struct sp_store_answer){ 0 };
}

void sp_store_ask_free(struct sp_store_ask *ask)
{
    if (!ask)
        return;
    sp_ask_clear(ask);
    for (int i = 0; i < 2; i++)
        for (struct sp_ask_op *op = ask->branches[i].first; op; op = op->next)
            sp_store_kv_unref(op->kv);
    sp_arena_deinit(&ask->arena);
    sp_mem_free(ask);
}

static void spoil(struct sp_store_ask *ask, enum sp_store_why why)
{
    if (!ask->early)
        ask->early = why;
}

static bool is_bad_key(sp_str key)
{
    return key.len == 0 || key.len > SP_STORE_KEY_MAX;
}

static void count_bytes(struct sp_store_ask *ask, size_t bytes)
{
    ask->bytes += bytes;
    if (ask->bytes > SP_STORE_ASK_MAX)
        spoil(ask, SP_STORE_TOO_LARGE);
}

static sp_str copy(struct sp_store_ask *ask, sp_str bytes)
{
    if (!bytes.len || ask->early)
        return SP_STR("");
    sp_str copied = sp_str_dup(&ask->arena, bytes);
    if (!copied.ptr)
        spoil(ask, SP_STORE_NO_MEMORY);
    return copied;
}

static void *take(struct sp_store_ask *ask, size_t bytes)
{
    void *piece = ask->early ? NULL : sp_arena_zalloc(&ask->arena, bytes);
    if (!piece)
        spoil(ask, SP_STORE_NO_MEMORY);
    return piece;
}

/* ---- comparisons ---- */

static void compare(struct sp_store_ask *ask, const struct sp_ask_compare *wanted)
{
    if (is_bad_key(wanted->key))
        spoil(ask, SP_STORE_BAD_KEY);
    if (wanted->value.len > SP_STORE_VALUE_MAX)
        spoil(ask, SP_STORE_BAD_VALUE);
    if (++ask->compare_count > SP_STORE_OPS_MAX)
        spoil(ask, SP_STORE_TOO_MANY);
    count_bytes(ask, wanted->key.len + wanted->value.len);
    struct sp_ask_compare *made = take(ask, sizeof(*made));
    if (!made)
        return;
    *made = *wanted;
    made->key = copy(ask, wanted->key);
    made->value = copy(ask, wanted->value);
    made->next = ask->compares;
    ask->compares = made;
}

void sp_store_ask_if(struct sp_store_ask *ask, sp_str key, enum sp_store_field field,
                     enum sp_store_relation relation, uint64_t number)
{
    SP_ASSERT(field != SP_STORE_VALUE);
    compare(ask,
            &(struct sp_ask_compare){ .key = key, .field = field, .relation = relation, .number = number });
}

void sp_store_ask_if_value(struct sp_store_ask *ask, sp_str key, enum sp_store_relation relation,
                           sp_str value)
{
    compare(ask, &(struct sp_ask_compare){
                     .key = key, .field = SP_STORE_VALUE, .relation = relation, .value = value });
}

void sp_store_ask_else(struct sp_store_ask *ask)
{
    ask->otherwise = true;
}

/* ---- operations ---- */

static struct sp_ask_op *add_op(struct sp_store_ask *ask, enum sp_store_op kind)
{
    struct sp_ask_branch *branch = &ask->branches[ask->otherwise];
    if (++branch->count > SP_STORE_OPS_MAX)
        spoil(ask, SP_STORE_TOO_MANY);
    struct sp_ask_op *op = take(ask, sizeof(*op));
    if (!op)
        return NULL;
    op->op = kind;
    *branch->last = op;
    branch->last = &op->next;
    return op;
}

static void check_twice(struct sp_store_ask *ask, const struct sp_ask_op *last)
{
    for (const struct sp_ask_op *op = ask->branches[ask->otherwise].first; op != last; op = op->next) {
        if (last->op == SP_STORE_PUT && op->op == SP_STORE_PUT && sp_str_eq(op->kv->key, last->kv->key))
            spoil(ask, SP_STORE_TWICE);
        if (last->op == SP_STORE_PUT && op->op == SP_STORE_DELETE &&
            sp_store_span_holds(&op->span, last->kv->key))
            spoil(ask, SP_STORE_TWICE);
        if (last->op == SP_STORE_DELETE && op->op == SP_STORE_PUT &&
            sp_store_span_holds(&last->span, op->kv->key))
            spoil(ask, SP_STORE_TWICE);
    }
}

void sp_store_ask_put(struct sp_store_ask *ask, sp_str key, sp_str value, uint64_t lease, bool want_previous)
{
    if (is_bad_key(key))
        spoil(ask, SP_STORE_BAD_KEY);
    if (value.len > SP_STORE_VALUE_MAX)
        spoil(ask, SP_STORE_BAD_VALUE);
    count_bytes(ask, key.len + value.len);
    struct sp_store_kv *kv = ask->early ? NULL : sp_store_kv_new(key, value);
    struct sp_ask_op *op = kv ? add_op(ask, SP_STORE_PUT) : NULL;
    if (!op) {
        spoil(ask, SP_STORE_NO_MEMORY);
        sp_store_kv_unref(kv);
        return;
    }
    kv->lease = lease;
    op->kv = kv;
    op->want_previous = want_previous;
    check_twice(ask, op);
}

static struct sp_ask_op *add_span(struct sp_store_ask *ask, enum sp_store_op kind,
                                  const struct sp_store_span *span)
{
    if (span->from.len > SP_STORE_KEY_MAX || span->to.len > SP_STORE_KEY_MAX ||
        (span->kind == SP_STORE_ONE && !span->from.len))
        spoil(ask, SP_STORE_BAD_KEY);
    count_bytes(ask, span->from.len + span->to.len);
    struct sp_ask_op *op = add_op(ask, kind);
    if (!op)
        return NULL;
    op->span = (struct sp_store_span){ copy(ask, span->from), copy(ask, span->to), span->kind };
    return op;
}

void sp_store_ask_delete(struct sp_store_ask *ask, const struct sp_store_span *span, bool want_previous)
{
    struct sp_ask_op *op = add_span(ask, SP_STORE_DELETE, span);
    if (!op)
        return;
    op->want_previous = want_previous;
    check_twice(ask, op);
}

void sp_store_ask_range(struct sp_store_ask *ask, const struct sp_store_span *span, uint64_t revision,
                        uint64_t limit, bool count_only)
{
    struct sp_ask_op *op = add_span(ask, SP_STORE_RANGE, span);
    if (!op)
        return;
    op->revision = revision;
    op->limit = limit;
    op->count_only = count_only;
}

/* ---- all that is not a transaction ---- */

static void become(struct sp_store_ask *ask, enum sp_ask_kind kind)
{
    SP_ASSERT(ask->kind == SP_ASK_TXN && !ask->compares && !ask->branches[0].count &&
              !ask->branches[1].count);
    ask->kind = kind;
}

void sp_store_ask_grant(struct sp_store_ask *ask, uint64_t id, uint32_t ttl_s)
{
    become(ask, SP_ASK_GRANT);
    ask->id = id;
    ask->ttl_s = ttl_s;
    if (ttl_s == 0 || ttl_s > SP_STORE_TTL_MAX_S)
        spoil(ask, SP_STORE_BAD_TTL);
    if (id > INT64_MAX) /* as bodies keep it, and etcd too */
        spoil(ask, SP_STORE_NO_LEASE);
}

void sp_store_ask_keep_alive(struct sp_store_ask *ask, uint64_t id)
{
    become(ask, SP_ASK_KEEP_ALIVE);
    ask->id = id;
}

void sp_store_ask_revoke(struct sp_store_ask *ask, uint64_t id)
{
    become(ask, SP_ASK_REVOKE);
    ask->id = id;
}

void sp_store_ask_lease(struct sp_store_ask *ask, uint64_t id)
{
    become(ask, SP_ASK_LEASE);
    ask->id = id;
}

void sp_store_ask_compact(struct sp_store_ask *ask, uint64_t revision)
{
    become(ask, SP_ASK_COMPACT);
    ask->revision = revision;
}

void sp_store_ask_backup(struct sp_store_ask *ask, sp_str path)
{
    become(ask, SP_ASK_BACKUP);
    ask->path = sp_str_dup_z(&ask->arena, path);
    if (!ask->path)
        spoil(ask, SP_STORE_NO_MEMORY);
}
