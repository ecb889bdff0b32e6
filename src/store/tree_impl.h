/* tree_impl: all versions of all keys, in order, and the history of changes that watches are cut from. */
#ifndef SP_STORE_TREE_IMPL_H
#define SP_STORE_TREE_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/rng.h"
#include "store/store.h"

struct sp_store_hold;

enum { SP_TREE_HEIGHT = 16 };

/* A key: its versions that are still known, oldest first, at least one. */
struct sp_tree_node {
    struct sp_store_kv **versions; /* counted */
    uint32_t len, cap;
    uint32_t height;
    struct sp_store_hold *lease; /* of the newest version, or NULL; lease.c's */
    struct sp_list lease_link;   /* on sp_store_hold.nodes */
    struct sp_tree_node *next[]; /* `height` of them */
};

/* A change: events[n] is change number first + n. Both counted: `kv` by the log too, `previous` by its node,
 * where it stays as long as this event is in the log. */
struct sp_tree {
    struct sp_tree_node *head;  /* of full height, no versions */
    struct sp_rng rng;          /* of heights */
    struct sp_store_event *log; /* a ring, cap a power of two */
    size_t log_at, log_len, log_cap;
    uint64_t log_first; /* how many have been dropped: the place of the first that is there */
    uint64_t revision, compacted;
    uint64_t next_number;
    uint64_t bytes;  /* of versions and history */
    uint64_t events; /* versions that are held: rows of a body */
};

sp_err sp_tree_init(struct sp_tree *tree) SP_MUST_USE;
void sp_tree_deinit(struct sp_tree *tree);

/* A version with refs 1, its key and value copied behind it. NULL when memory is out. */
struct sp_store_kv *sp_store_kv_new(sp_str key, sp_str value);
uint64_t sp_store_kv_weight(const struct sp_store_kv *kv);

sp_str sp_tree_key(const struct sp_tree_node *node);
/* The first node whose key is not below `key`; NULL behind the last. */
struct sp_tree_node *sp_tree_seek(const struct sp_tree *tree, sp_str key);
/* NULL when there is none. */
struct sp_tree_node *sp_tree_find(const struct sp_tree *tree, sp_str key);
/* Valid as of `revision`, or NULL: not yet, or deleted. */
struct sp_store_kv *sp_tree_at(const struct sp_tree_node *node, uint64_t revision);
struct sp_store_kv *sp_tree_newest(const struct sp_tree_node *node); /* a deletion too */
/* The first node of the span, and the next behind `node`; NULL at the end. */
struct sp_tree_node *sp_tree_first(const struct sp_tree *tree, const struct sp_store_span *span);
struct sp_tree_node *sp_tree_next(const struct sp_tree_node *node, const struct sp_store_span *span);

/* The newest version of its key, and the last change; `kv` is counted. Gives it its number. SP_E_NOMEM. */
sp_err sp_tree_push(struct sp_tree *tree, struct sp_store_kv *kv, struct sp_tree_node **ret_node) SP_MUST_USE;
/* Take the last change back. NULL when the key is gone with it. The node must hang on no lease. */
struct sp_tree_node *sp_tree_pop(struct sp_tree *tree);
/* A version as a body has kept it, ascending by number. It goes into the log, also below what is compacted:
 * the sweep finds there what the last process had not come to. */
sp_err sp_tree_load(struct sp_tree *tree, struct sp_store_kv *kv, struct sp_tree_node **ret_node) SP_MUST_USE;

/* The event at a place from log_first; asserted to be there. */
const struct sp_store_event *sp_tree_event(const struct sp_tree *tree, uint64_t place);
uint64_t sp_tree_log_end(const struct sp_tree *tree);
/* The first place with a revision not below `revision`. */
uint64_t sp_tree_place(const struct sp_tree *tree, uint64_t revision);

/* What the first event of the log, which lies at or below `compacted`, makes superfluous: its predecessor,
 * itself when it is a deletion. Up to two, borrowed; returns how many. */
uint32_t sp_tree_spoil(const struct sp_tree *tree, uint64_t place, const struct sp_store_kv *ret_kvs[2]);
/* Drop the first event of the log and what it makes superfluous. */
void sp_tree_drop_first(struct sp_tree *tree);
#endif
