/* heap: an intrusive 4-ary min-heap by a 64-bit key. The node knows its place, so removal and re-keying
 * need no search. One thread; nodes are their owners' and outlive their stay. */
#ifndef SP_BASE_HEAP_H
#define SP_BASE_HEAP_H

#include <stdint.h>

#include "base/err.h"

struct sp_heap_node {
    uint64_t key;   /* to read; changed by `rekey` only */
    uint32_t place; /* index + 1; 0 = in no heap */
};

/* The key again: going down compares four neighbours and must not chase four pointers for it. */
struct sp_heap_entry {
    uint64_t key;
    struct sp_heap_node *node;
};

struct sp_heap {
    struct sp_heap_entry *entries;
    uint32_t len, cap;
};

void sp_heap_init(struct sp_heap *h);
void sp_heap_deinit(struct sp_heap *h);
/* Room for at least `n` nodes without allocating again. */
sp_err sp_heap_reserve(struct sp_heap *h, uint32_t n) SP_MUST_USE;
sp_err sp_heap_insert(struct sp_heap *h, struct sp_heap_node *node, uint64_t key) SP_MUST_USE;
void sp_heap_rekey(struct sp_heap *h, struct sp_heap_node *node, uint64_t key);
/* A node in no heap is fine. */
void sp_heap_remove(struct sp_heap *h, struct sp_heap_node *node);
struct sp_heap_node *sp_heap_first(const struct sp_heap *h); /* NULL when empty; stays in */

#endif
