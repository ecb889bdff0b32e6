/* local_impl: a store whose keys are in this process: what the bodies mem and sqlite share, and the few
 * functions by which they differ. Everything is of the store's thread. */
#ifndef SP_STORE_LOCAL_IMPL_H
#define SP_STORE_LOCAL_IMPL_H

#include "base/heap.h"
#include "base/map.h"
#include "io/timer.h"
#include "store/ask_impl.h"
#include "store/tree_impl.h"

/* A lease. */
struct sp_store_hold {
    uint64_t id;
    uint32_t ttl_s;
    struct sp_heap_node due; /* in sp_local.dues, by the leases' clock */
    struct sp_list nodes;    /* of sp_tree_node.lease_link */
    uint32_t node_count;
    struct sp_list batch_link; /* on sp_local.changed, while it is not committed */
    bool granted, revoked;     /* in this batch */
};

/* What is to be kept under one commit. */
struct sp_keep_batch {
    const struct sp_tree *tree; /* its revision is the one to keep */
    uint64_t from;              /* changes: events from this place on */
    uint64_t spoilt_to;         /* the log below this place is swept: see sp_tree_spoil */
    uint64_t compacted;
    const struct sp_list *leases; /* of sp_store_hold.batch_link: granted, revoked, or both */
};

struct sp_keep_ops {
    /* All or nothing. DISK_FULL and NO_MEMORY: it may go well the next time; BROKEN: nobody knows. */
    enum sp_store_why (*commit)(void *keep, const struct sp_keep_batch *batch);
    enum sp_store_why (*backup)(void *keep, const char *path);
    void (*free)(void *keep);
};

struct sp_local {
    struct sp_store store;
    struct sp_tree tree;
    const struct sp_keep_ops *ops;
    void *keep;
    uint64_t limit_bytes, keep_events;
    enum sp_store_why refuse; /* what every change is answered with; FINE */
    uint64_t compacted;       /* with what this batch asks; tree.compacted is what holds */
    struct sp_list queue;     /* of sp_store_ask.link */
    struct sp_turn turn;
    struct sp_timer tick;
    struct sp_idmap leases; /* id -> sp_store_hold */
    struct sp_heap dues;
    struct sp_list changed; /* of sp_store_hold.batch_link */
    sp_ns lease_clock, ticked_at;
    struct sp_list watches; /* of sp_store_watch.store_link */
    uint32_t progress_watches;
    bool hungry; /* a watch has more to scan than one turn gives it */
};

struct sp_local_config {
    struct sp_loop *loop;
    uint64_t limit_bytes, keep_events;
    const struct sp_keep_ops *ops;
    void *keep; /* the store's from here on, also when it fails */
};
/* NULL when memory is out. */
struct sp_local *sp_local_new(const struct sp_local_config *config);
void sp_local_free(struct sp_store *store);
/* Something is to be done at the turn's end. */
void sp_local_wake(struct sp_local *local);
void sp_local_arm(struct sp_local *local);

/* ---- txn.c ---- */
/* Fills in the answer. With a `refuse`, nothing changes and what would change is answered so. */
void sp_local_txn(struct sp_local *local, struct sp_store_ask *ask, enum sp_store_why refuse);
/* One change of the revision after this one, with its lease. */
sp_err sp_local_push(struct sp_local *local, struct sp_store_kv *kv) SP_MUST_USE;
/* Take changes back, down to this place. */
void sp_local_undo(struct sp_local *local, uint64_t place);

/* ---- lease.c ---- */
struct sp_store_hold *sp_lease_find(const struct sp_local *local, uint64_t id);
/* The node's newest version has changed: it hangs on lease `id` (0, or one that is gone: on none). */
void sp_lease_bind(struct sp_local *local, struct sp_tree_node *node, uint64_t id);
/* A lease as a body kept it. */
sp_err sp_lease_load(struct sp_local *local, uint64_t id, uint32_t ttl_s) SP_MUST_USE;
void sp_lease_ask(struct sp_local *local, struct sp_store_ask *ask, enum sp_store_why refuse);
/* Revoke what is over, a bounded number; true when more is. */
bool sp_lease_expire(struct sp_local *local);
/* The batch is kept / is taken back: before its changes are undone, and behind that. */
void sp_lease_commit(struct sp_local *local);
void sp_lease_undo(struct sp_local *local);
void sp_lease_undone(struct sp_local *local);
void sp_lease_advance(struct sp_local *local);
void sp_leases_deinit(struct sp_local *local);

/* ---- watch.c ---- */
void sp_local_on_watch(struct sp_store *store, struct sp_store_watch *watch);
void sp_local_on_unwatch(struct sp_store *store, struct sp_store_watch *watch);
void sp_local_on_batch_back(struct sp_store *store, struct sp_store_watch *watch);
/* Tell all watches what is new. */
void sp_local_feed(struct sp_local *local);
void sp_local_progress(struct sp_local *local);

#endif
