/* local: a store whose keys are in this process: asks in, one commit for all of a turn, answers out.
 *
 *     mail ──> queue ──┐                        turn's end
 *     mail ──> queue ──┴─> evaluate each, in order ──> commit ──┬─ kept ──────> answers, watches, sweep
 *                          leases that are over                 │
 *                          a slice of what is compacted         └─ not kept ──> take all back,
 *                                                                               answer each anew: reads read,
 *                                                                               changes are refused by name
 *
 * While a commit waits for the disk, asks gather in the mailbox and are the next batch: the slower the disk,
 * the larger the batch, and nobody sets a knob (group commit). Nothing that is not on the disk is ever
 * answered or told to a watch. That is why a batch that fails is answered anew: a read in it may have seen a
 * put of it.
 *
 * How a batch is kept is a table of three functions (struct sp_keep_ops). mem keeps nothing; sqlite writes
 * rows. etcd will not come in here: it answers letters itself, from its own loop (struct sp_store in
 * ask_impl.h).
 *
 * When nobody can say whether a commit is on the disk (its fsync failed), the store is broken: it goes on
 * reading what was committed before, and refuses every change until it is opened anew and looks.
 *
 * Left aside: an own thread with a condition variable (a loop has timers, mail and turns already, and the
 * simulation runs it as it is), and writing while the next batch is evaluated (undo would have to know two).
 * */
#include "store/local_impl.h"

#include "base/mem.h"

#define LIMIT_BYTES (512ull << 20)

enum { BATCH_ASKS = 4096, BATCH_BYTES = 16 << 20, SWEEP_MAX = 1024 };

static void on_turn_end(struct sp_turn *turn);

static void on_tick(struct sp_timer *timer)
{
    struct sp_local *local = SP_CONTAINER(timer, struct sp_local, tick);
    sp_lease_advance(local);
    sp_local_progress(local);
    sp_local_wake(local);
    sp_local_arm(local);
}

static void on_ask(struct sp_store *store, struct sp_store_ask *ask)
{
    struct sp_local *local = SP_CONTAINER(store, struct sp_local, store);
    sp_list_push(&local->queue, &ask->link);
    sp_local_wake(local);
}

void sp_local_wake(struct sp_local *local)
{
    sp_loop_at_turn_end(local->store.loop, &local->turn);
}

struct sp_local *sp_local_new(const struct sp_local_config *config)
{
    struct sp_local *local = sp_mem_zalloc(sizeof(*local));
    if (!local || sp_tree_init(&local->tree)) {
        sp_mem_free(local);
        config->ops->free(config->keep);
        return NULL;
    }
    local->store = (struct sp_store){ .loop = config->loop,
                                      .on_ask = on_ask,
                                      .on_watch = sp_local_on_watch,
                                      .on_unwatch = sp_local_on_unwatch,
                                      .on_batch_back = sp_local_on_batch_back,
                                      .free = sp_local_free };
    local->ops = config->ops;
    local->keep = config->keep;
    local->limit_bytes = config->limit_bytes ? config->limit_bytes : LIMIT_BYTES;
    local->keep_events = config->keep_events;
    local->turn.on_turn_end = on_turn_end;
    local->tick.on_fire = on_tick;
    local->ticked_at = sp_loop_now(config->loop);
    sp_list_init(&local->queue);
    sp_list_init(&local->changed);
    sp_list_init(&local->watches);
    sp_idmap_init_seed(&local->leases, sp_rng_next(sp_loop_rng(config->loop)) | 1);
    sp_heap_init(&local->dues);
    return local;
}

void sp_local_free(struct sp_store *store)
{
    struct sp_local *local = SP_CONTAINER(store, struct sp_local, store);
    SP_ASSERT(sp_list_is_empty(&local->queue) && sp_list_is_empty(&local->watches));
    sp_timer_stop(local->store.loop, &local->tick);
    sp_loop_turn_cancel(&local->turn);
    sp_tree_deinit(&local->tree);
    sp_leases_deinit(local);
    local->ops->free(local->keep);
    sp_mem_free(local);
}

/* ---- one ask ---- */

static enum sp_store_why compact(struct sp_local *local, uint64_t revision, enum sp_store_why refuse)
{
    if (revision > local->tree.revision)
        return SP_STORE_FUTURE;
    if (revision <= local->compacted)
        return SP_STORE_COMPACTED;
    if (!refuse)
        local->compacted = revision;
    return refuse;
}

static void evaluate(struct sp_local *local, struct sp_store_ask *ask, enum sp_store_why refuse)
{
    if (ask->early) {
        ask->answer.why = ask->early;
    } else {
        switch (ask->kind) {
        case SP_ASK_TXN: sp_local_txn(local, ask, refuse); break;
        case SP_ASK_GRANT:
        case SP_ASK_KEEP_ALIVE:
        case SP_ASK_REVOKE:
        case SP_ASK_LEASE: sp_lease_ask(local, ask, refuse); break;
        case SP_ASK_COMPACT: ask->answer.why = compact(local, ask->revision, refuse); break;
        case SP_ASK_BACKUP: break; /* when the batch is kept */
        }
    }
    ask->answer.revision = local->tree.revision;
    ask->answer.compacted = local->compacted;
}

static void answer(struct sp_local *local, struct sp_store_ask *ask)
{
    if (ask->kind == SP_ASK_BACKUP && !ask->early)
        ask->answer.why = local->ops->backup(local->keep, ask->path);
    sp_ask_answer(ask);
}

/* ---- a batch ---- */

/* History beyond what is to be kept goes by itself, a quarter at a time. */
static void compact_by_length(struct sp_local *local)
{
    const struct sp_tree *tree = &local->tree;
    if (!local->keep_events || tree->log_len <= local->keep_events + local->keep_events / 4 || local->refuse)
        return;
    uint64_t first_kept = sp_tree_event(tree, sp_tree_log_end(tree) - local->keep_events)->kv->mod_revision;
    if (first_kept - 1 > local->compacted)
        local->compacted = first_kept - 1;
}

/* Up to where this batch sweeps. */
static uint64_t sweep_to(const struct sp_local *local)
{
    const struct sp_tree *tree = &local->tree;
    uint64_t place = tree->log_first, end = sp_tree_log_end(tree);
    while (place < end && place - tree->log_first < SWEEP_MAX &&
           sp_tree_event(tree, place)->kv->mod_revision <= tree->compacted)
        place++;
    return place;
}

static void kept(struct sp_local *local, uint64_t spoilt_to)
{
    sp_lease_commit(local);
    while (local->tree.log_first < spoilt_to)
        sp_tree_drop_first(&local->tree);
}

static void take_back(struct sp_local *local, uint64_t place, uint64_t revision, struct sp_list *batch,
                      enum sp_store_why why)
{
    sp_lease_undo(local);
    sp_local_undo(local, place);
    sp_lease_undone(local);
    local->tree.revision = revision;
    local->compacted = local->tree.compacted;
    if (why == SP_STORE_BROKEN)
        local->refuse = why;
    struct sp_store_ask *ask;
    SP_LIST_EACH(batch, ask, next, struct sp_store_ask, link) {
        sp_ask_clear(ask);
        evaluate(local, ask, why);
    }
}

static void evaluate_queue(struct sp_local *local, struct sp_list *batch)
{
    size_t bytes = 0;
    struct sp_list *link;
    for (int i = 0; i < BATCH_ASKS && bytes < BATCH_BYTES && (link = sp_list_pop_first(&local->queue)); i++) {
        struct sp_store_ask *ask = SP_CONTAINER(link, struct sp_store_ask, link);
        sp_list_push(batch, &ask->link);
        bytes += ask->bytes;
        evaluate(local, ask, local->refuse);
    }
}

static enum sp_store_why keep(struct sp_local *local, uint64_t place, uint64_t spoilt_to)
{
    const struct sp_tree *tree = &local->tree;
    if (sp_tree_log_end(tree) == place && spoilt_to == tree->log_first && sp_list_is_empty(&local->changed) &&
        local->compacted == tree->compacted)
        return SP_STORE_FINE;
    return local->ops->commit(local->keep, &(struct sp_keep_batch){ .tree = tree,
                                                                    .from = place,
                                                                    .spoilt_to = spoilt_to,
                                                                    .compacted = local->compacted,
                                                                    .leases = &local->changed });
}

static void on_turn_end(struct sp_turn *turn)
{
    struct sp_local *local = SP_CONTAINER(turn, struct sp_local, turn);
    struct sp_list batch;
    sp_list_init(&batch);
    uint64_t place = sp_tree_log_end(&local->tree), revision = local->tree.revision;

    sp_lease_advance(local);
    evaluate_queue(local, &batch);
    bool more = !local->refuse && sp_lease_expire(local);
    compact_by_length(local);
    uint64_t spoilt_to = local->refuse ? local->tree.log_first : sweep_to(local);
    enum sp_store_why why = keep(local, place, spoilt_to);
    if (why)
        take_back(local, place, revision, &batch, why);

    struct sp_list *link;
    while ((link = sp_list_pop_first(&batch)))
        answer(local, SP_CONTAINER(link, struct sp_store_ask, link));
    if (sp_tree_log_end(&local->tree) > place || local->hungry)
        sp_local_feed(local); /* before the compaction that this batch asked for, and before the sweep */
    if (!why) {
        kept(local, spoilt_to);
        local->tree.compacted = local->compacted;
        more |= sweep_to(local) > local->tree.log_first;
    }
    if (!sp_list_is_empty(&local->queue) || (more && !why && !local->refuse))
        sp_local_wake(local);
    sp_local_arm(local);
}
