/* watch: the store's end of watches: each is a place in the history, and one batch that is out or at home.
 *
 *     log:   ... 41 42 43 44 45 46 47 | end
 *                   ▲           ▲     ▲
 *      slow: out ───┘    scans ─┘     └── all others: told everything, wait
 *
 * There is no queue. A watch whose batch is at home is fed: from its place on, changes of its span go into
 * the batch until it is full (at the end of a revision, never within one), and the batch goes out. When it
 * comes back the watch is fed again from where it stands. So what a watch costs does not depend on how slow
 * it is, a watch that resumes at an old revision and one that fell behind are the same thing, and there is no
 * gap between catching up and living: order, no gap and no duplicate follow from one growing number.
 *
 * A place below what is compacted ends the watch, and it is told so: it must read anew. An event that lies at
 * the compacted revision counts as gone even while it is still in memory, so that the answer does not depend
 * on how far the sweep has come.
 *
 * Events point to versions that are shared with the tree and all other watches. Feeding is bounded for each
 * turn: a watch that has much to scan goes on in the next turn. */
#include "base/mem.h"
#include "store/local_impl.h"

enum { BATCH_EVENTS = 512, SCAN_MAX = 16384 };

static bool add_event(struct sp_store_watch *watch, const struct sp_store_event *event)
{
    if (watch->count == watch->cap) {
        uint32_t cap = watch->cap ? watch->cap * 2 : 4;
        struct sp_store_event *events = sp_mem_realloc(watch->events, cap * sizeof(*events));
        if (!events)
            return false;
        watch->events = events;
        watch->cap = cap;
    }
    bool previous = watch->config.want_previous && event->previous;
    watch->events[watch->count++] = (struct sp_store_event){
        .kv = sp_store_kv_ref(event->kv), .previous = previous ? sp_store_kv_ref(event->previous) : NULL
    };
    return true;
}

static void end(struct sp_local *local, struct sp_store_watch *watch, enum sp_store_why why)
{
    watch->ended = true;
    watch->why = why;
    watch->compacted = local->tree.compacted;
    sp_watch_send(watch);
}

/* Fill the batch; false when memory is out. */
static bool scan(struct sp_local *local, struct sp_store_watch *watch)
{
    uint64_t last = sp_tree_log_end(&local->tree), revision = 0;
    for (uint32_t looked = 0; watch->place < last; looked++, watch->place++) {
        const struct sp_store_event *event = sp_tree_event(&local->tree, watch->place);
        if (event->kv->mod_revision != revision) {
            if (watch->count >= BATCH_EVENTS || looked >= SCAN_MAX)
                break;
            revision = event->kv->mod_revision;
        }
        if (revision >= watch->config.from && sp_store_span_holds(&watch->config.span, event->kv->key) &&
            !add_event(watch, event))
            return false;
    }
    watch->revision = watch->place < last ? revision : local->tree.revision;
    return true;
}

static void feed(struct sp_local *local, struct sp_store_watch *watch)
{
    const struct sp_tree *tree = &local->tree;
    uint64_t from = watch->config.from;
    if (watch->out || watch->ended)
        return;
    if (watch->revision < from &&
        from > tree->compacted) { /* what lies before it may be gone: nobody asked */
        uint64_t place = sp_tree_place(tree, from);
        watch->place = SP_MAX(place, watch->place);
    }
    if (watch->place < tree->log_first ||
        (watch->place < sp_tree_log_end(tree) &&
         sp_tree_event(tree, watch->place)->kv->mod_revision <= tree->compacted)) {
        end(local, watch, SP_STORE_COMPACTED);
        return;
    }
    if (!scan(local, watch)) {
        end(local, watch, SP_STORE_NO_MEMORY);
        return;
    }
    if (from && watch->revision < from - 1)
        watch->revision = from - 1; /* of the future: nothing before it is wanted */
    if (watch->count || !watch->greeted) {
        watch->greeted = true;
        watch->told = watch->revision;
        sp_watch_send(watch);
    } else if (watch->place < sp_tree_log_end(tree)) {
        local->hungry = true;
        sp_local_wake(local);
    }
}

void sp_local_feed(struct sp_local *local)
{
    struct sp_store_watch *watch;
    SP_LIST_EACH(&local->watches, watch, next, struct sp_store_watch, store_link)
        feed(local, watch);
}

void sp_local_progress(struct sp_local *local)
{
    struct sp_store_watch *watch;
    SP_LIST_EACH(&local->watches, watch, next, struct sp_store_watch, store_link)
        if (watch->config.want_progress && !watch->out && !watch->ended &&
            watch->place == sp_tree_log_end(&local->tree) && watch->told < local->tree.revision) {
            watch->told = watch->revision = local->tree.revision;
            sp_watch_send(watch);
        }
}

/* Between turns, and so with nothing in the tree that is not committed. */
void sp_local_on_watch(struct sp_store *store, struct sp_store_watch *watch)
{
    struct sp_local *local = SP_CONTAINER(store, struct sp_local, store);
    uint64_t from = watch->config.from;
    sp_list_push(&local->watches, &watch->store_link);
    local->progress_watches += watch->config.want_progress;
    watch->place = from ? sp_tree_place(&local->tree, from) : sp_tree_log_end(&local->tree);
    if (from && from <= local->tree.compacted)
        end(local, watch, SP_STORE_COMPACTED);
    feed(local, watch);
    sp_local_arm(local);
}

void sp_local_on_unwatch(struct sp_store *store, struct sp_store_watch *watch)
{
    struct sp_local *local = SP_CONTAINER(store, struct sp_local, store);
    sp_list_remove(&watch->store_link);
    local->progress_watches -= watch->config.want_progress;
    watch->unwatched = true;
    if (!watch->out)
        sp_watch_gone(watch);
}

void sp_local_on_batch_back(struct sp_store *store, struct sp_store_watch *watch)
{
    struct sp_local *local = SP_CONTAINER(store, struct sp_local, store);
    watch->out = false;
    if (watch->unwatched)
        sp_watch_gone(watch);
    else
        feed(local, watch);
}
