/* lease: keys that live as long as somebody says so.
 *
 * A lease is a time and a list of the keys whose newest version names it. Who granted it keeps it alive; when
 * it is over, or revoked, all its keys are deleted under one revision, and the watches tell.
 *
 *     dues (heap) ── lease 7: 30 s ── nodes ──> "a" ──> "b"
 *                 ── lease 9: 10 s ── nodes ──> "c"
 *
 * Leases have a clock of their own, and that is the point of this file. A machine that was paused for an
 * hour, a disk that stood still for a minute, a debugger: the loop's clock jumps, and by it every lease would
 * be over before its owner, who was there all the time, could say a word. So the leases' clock follows the
 * loop's from tick to tick, but by no more than PAUSE at once: a pause costs each lease two seconds, never
 * its life. Wall time plays no part. For the same reason a lease has its whole time again when the store is
 * opened anew; when it will end is not kept, and keeping it alive writes nothing.
 *
 * Expiry is bounded for each turn, so that a hundred thousand leases that end at once do not hold back a
 * deletion that somebody asks for. Whether so many should end at once is not for the store to judge: that is
 * the registry's protection. If deletions cannot be kept (disk full), leases stay due and are tried each
 * tick.
 *
 * Grants and revocations are part of the batch: until it is kept, a revoked lease lies on `changed` and can
 * be put back. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/local_impl.h"

#define TICK SP_NS_PER_S
#define PAUSE (2 * SP_NS_PER_S)

enum { EXPIRE_MAX = 512 };

struct sp_store_hold *sp_lease_find(const struct sp_local *local, uint64_t id)
{
    return sp_idmap_get(&local->leases, id);
}

void sp_lease_bind(struct sp_local *local, struct sp_tree_node *node, uint64_t id)
{
    if (node->lease) {
        sp_list_remove(&node->lease_link);
        node->lease->node_count--;
    }
    node->lease = id ? sp_lease_find(local, id) : NULL;
    if (node->lease) {
        sp_list_push(&node->lease->nodes, &node->lease_link);
        node->lease->node_count++;
    }
}

void sp_lease_advance(struct sp_local *local)
{
    sp_ns now = sp_loop_now(local->store.loop);
    sp_ns passed = now - local->ticked_at;
    local->lease_clock += SP_MIN(passed, PAUSE);
    local->ticked_at = now;
}

/* The first tick that leases or watches want; a clock that nobody needs stands still. */
void sp_local_arm(struct sp_local *local)
{
    const struct sp_heap_node *first = sp_heap_first(&local->dues);
    if (!first && !local->progress_watches)
        return;
    sp_ns delay = TICK;
    if (first && first->key > local->lease_clock && first->key - local->lease_clock < TICK)
        delay = first->key - local->lease_clock;
    if (!sp_timer_is_set(&local->tick))
        sp_timer_set(local->store.loop, &local->tick, delay);
}

/* ---- grants ---- */

static sp_ns end_of(const struct sp_local *local, uint32_t ttl_s)
{
    return local->lease_clock + ttl_s * SP_NS_PER_S;
}

static struct sp_store_hold *hold_new(struct sp_local *local, uint64_t id, uint32_t ttl_s)
{
    struct sp_store_hold *hold = sp_mem_zalloc(sizeof(*hold));
    if (!hold)
        return NULL;
    hold->id = id;
    hold->ttl_s = ttl_s;
    sp_list_init(&hold->nodes);
    if (sp_idmap_put(&local->leases, id, hold))
        goto fail_put;
    if (sp_heap_insert(&local->dues, &hold->due, end_of(local, ttl_s)))
        goto fail_insert;
    return hold;

fail_insert:
    (void)sp_idmap_remove(&local->leases, id); /* it is what was just put */
fail_put:
    sp_mem_free(hold);
    return NULL;
}

sp_err sp_lease_load(struct sp_local *local, uint64_t id, uint32_t ttl_s)
{
    return hold_new(local, id, ttl_s) ? SP_OK : SP_E_NOMEM;
}

static uint64_t choose_id(struct sp_local *local)
{
    uint64_t id;
    do
        id = sp_rng_next(sp_loop_rng(local->store.loop)) >> 1; /* 63 bits, as etcd's */
    while (!id || sp_lease_find(local, id));
    return id;
}

static enum sp_store_why grant(struct sp_local *local, struct sp_store_ask *ask)
{
    uint64_t id = ask->id ? ask->id : choose_id(local);
    if (sp_lease_find(local, id))
        return SP_STORE_LEASE_TAKEN;
    if (local->leases.len >= SP_STORE_LEASES_MAX)
        return SP_STORE_LEASES_FULL;
    struct sp_store_hold *hold = hold_new(local, id, ask->ttl_s);
    if (!hold)
        return SP_STORE_NO_MEMORY;
    hold->granted = true;
    sp_list_push(&local->changed, &hold->batch_link);
    ask->answer.lease = id;
    ask->answer.ttl_s = ask->answer.left_s = ask->ttl_s;
    return SP_STORE_FINE;
}

/* ---- the end ---- */

static int by_key(const void *a, const void *b)
{
    return sp_str_cmp(sp_tree_key(*(struct sp_tree_node *const *)a),
                      sp_tree_key(*(struct sp_tree_node *const *)b));
}

/* In the order of keys, whatever the order in which they came to hang on it: the same history, told the same.
 * */
static sp_err delete_nodes(struct sp_local *local, const struct sp_store_hold *hold)
{
    uint32_t count = 0;
    struct sp_tree_node **nodes = sp_mem_alloc(hold->node_count * sizeof(struct sp_tree_node *)), *node;
    sp_err err = nodes ? SP_OK : SP_E_NOMEM;
    SP_LIST_EACH(&hold->nodes, node, next, struct sp_tree_node, lease_link)
        if (nodes)
            nodes[count++] = node;
    if (nodes)
        qsort(nodes, count, sizeof(struct sp_tree_node *), by_key);
    for (uint32_t i = 0; !err && i < count; i++) {
        struct sp_store_kv *kv = sp_store_kv_new(sp_tree_key(nodes[i]), SP_STR(""));
        err = kv ? sp_local_push(local, kv) : SP_E_NOMEM;
        sp_store_kv_unref(kv);
    }
    sp_mem_free(nodes);
    return err;
}

/* Its keys are deleted under one revision; it is gone from the tables and waits for the commit. */
static enum sp_store_why revoke(struct sp_local *local, struct sp_store_hold *hold)
{
    uint64_t place = sp_tree_log_end(&local->tree);
    if (delete_nodes(local, hold)) {
        sp_local_undo(local, place);
        return SP_STORE_NO_MEMORY;
    }
    if (sp_tree_log_end(&local->tree) > place)
        local->tree.revision++;
    sp_heap_remove(&local->dues, &hold->due);
    SP_ASSERT(sp_idmap_remove(&local->leases, hold->id) == hold);
    hold->revoked = true;
    if (!hold->granted)
        sp_list_push(&local->changed, &hold->batch_link);
    return SP_STORE_FINE;
}

bool sp_lease_expire(struct sp_local *local)
{
    for (int i = 0; i < EXPIRE_MAX; i++) {
        struct sp_heap_node *first = sp_heap_first(&local->dues);
        if (!first || first->key > local->lease_clock)
            return false;
        if (revoke(local, SP_CONTAINER(first, struct sp_store_hold, due)))
            return false; /* memory: at the next tick */
    }
    return true;
}

/* ---- asks ---- */

static void look(const struct sp_local *local, const struct sp_store_hold *hold,
                 struct sp_store_answer *answer)
{
    sp_ns left = hold->due.key > local->lease_clock ? hold->due.key - local->lease_clock : 0;
    answer->lease = hold->id;
    answer->ttl_s = hold->ttl_s;
    answer->left_s = (uint32_t)((left + SP_NS_PER_S - 1) / SP_NS_PER_S);
    answer->lease_keys = hold->node_count;
}

void sp_lease_ask(struct sp_local *local, struct sp_store_ask *ask, enum sp_store_why refuse)
{
    struct sp_store_hold *hold = sp_lease_find(local, ask->id);
    bool changes = ask->kind == SP_ASK_GRANT || ask->kind == SP_ASK_REVOKE;
    if (changes && refuse) {
        ask->answer.why = refuse;
        return;
    }
    if (ask->kind == SP_ASK_GRANT) {
        ask->answer.why = grant(local, ask);
        return;
    }
    if (!hold) {
        ask->answer.why = SP_STORE_NO_LEASE;
        return;
    }
    if (ask->kind == SP_ASK_KEEP_ALIVE)
        sp_heap_rekey(&local->dues, &hold->due, end_of(local, hold->ttl_s));
    look(local, hold, &ask->answer);
    if (ask->kind == SP_ASK_REVOKE)
        ask->answer.why = revoke(local, hold);
}

/* ---- the batch ---- */

void sp_lease_commit(struct sp_local *local)
{
    struct sp_list *link;
    while ((link = sp_list_pop_first(&local->changed))) {
        struct sp_store_hold *hold = SP_CONTAINER(link, struct sp_store_hold, batch_link);
        hold->granted = false;
        if (hold->revoked)
            sp_mem_free(hold);
    }
}

/* First those that the batch granted leave the tables: one of them may bear the id of one that comes back.
 * There is room for those, for they were there. */
void sp_lease_undo(struct sp_local *local)
{
    struct sp_store_hold *hold;
    SP_LIST_EACH(&local->changed, hold, next, struct sp_store_hold, batch_link)
        if (hold->granted && !hold->revoked) {
            sp_heap_remove(&local->dues, &hold->due);
            SP_ASSERT(sp_idmap_remove(&local->leases, hold->id) == hold);
        }
    SP_LIST_EACH(&local->changed, hold, again, struct sp_store_hold, batch_link)
        if (!hold->granted) {
            hold->revoked = false;
            SP_ASSERT(sp_idmap_put(&local->leases, hold->id, hold) == SP_OK);
            SP_ASSERT(sp_heap_insert(&local->dues, &hold->due, hold->due.key) == SP_OK);
        }
}

void sp_lease_undone(struct sp_local *local)
{
    struct sp_list *link;
    while ((link = sp_list_pop_first(&local->changed))) {
        struct sp_store_hold *hold = SP_CONTAINER(link, struct sp_store_hold, batch_link);
        if (hold->granted)
            sp_mem_free(hold);
    }
}

void sp_leases_deinit(struct sp_local *local)
{
    uint32_t at = 0;
    void *hold;
    sp_heap_deinit(&local->dues); /* first: it tells its nodes that they are in none */
    while (sp_idmap_next(&local->leases, &at, NULL, &hold))
        sp_mem_free(hold);
    sp_idmap_deinit(&local->leases);
}
