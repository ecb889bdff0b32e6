/* heap: what is due next.
 *
 * For whoever must know, exactly and in order, what comes next of many: events of a simulation, things that
 * expire. It is intrusive: the node is part of whatever waits and remembers its own place, so removing or
 * moving one is a walk along a path and never a search.
 *
 * Four children to a node instead of two: half the levels, and the four entries compared on the way down
 * are 64 bytes in a row. The key stands in the entry too, so that comparing follows no pointer.
 *
 *      place      1
 *          2   3     4   5
 *       6 7 8 9 ...
 *
 * The order of equal keys depends on the order of operations alone, so that a simulation replays.
 *
 * The array of entries is the only allocation; `reserve` makes it ahead, so that an insert on a
 * request's way cannot fail. It never shrinks: 16 bytes for each node that ever was in at once.
 *
 * The timers of the loop do not hang here but in a wheel (io/timer): they are coarse, set at every byte and
 * nearly all cancelled, which a wheel does in constant time and a heap of 10,000 in 95 ns. */
#include "base/heap.h"

#include "base/mem.h"

enum { CHILDREN = 4, FIRST_CAP = 16 };

void sp_heap_init(struct sp_heap *h)
{
    *h = (struct sp_heap){ 0 };
}

void sp_heap_deinit(struct sp_heap *h)
{
    for (uint32_t i = 0; i < h->len; i++)
        h->entries[i].node->place = 0;
    sp_mem_free(h->entries);
    *h = (struct sp_heap){ 0 };
}

sp_err sp_heap_reserve(struct sp_heap *h, uint32_t n)
{
    if (n <= h->cap)
        return 0;
    uint64_t cap = h->cap ? h->cap : FIRST_CAP;
    while (cap < n)
        cap *= 2;
    cap = SP_MIN(cap, (uint64_t)UINT32_MAX);
    struct sp_heap_entry *entries = sp_mem_realloc(h->entries, cap * sizeof(*entries));
    if (!entries)
        return SP_E_NOMEM;
    h->entries = entries;
    h->cap = (uint32_t)cap;
    return 0;
}

static void place_at(struct sp_heap *h, struct sp_heap_entry entry, uint32_t i)
{
    h->entries[i] = entry;
    entry.node->place = i + 1;
}

/* Move the entry, for which slot i is free, toward the root as far as its key asks. */
static void sift_up(struct sp_heap *h, struct sp_heap_entry entry, uint32_t i)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / CHILDREN;
        if (h->entries[parent].key <= entry.key)
            break;
        place_at(h, h->entries[parent], i);
        i = parent;
    }
    place_at(h, entry, i);
}

static void sift_down(struct sp_heap *h, struct sp_heap_entry entry, uint32_t i)
{
    for (;;) {
        uint64_t first = (uint64_t)i * CHILDREN + 1;
        if (first >= h->len)
            break;
        uint32_t last = (uint32_t)SP_MIN(first + CHILDREN, (uint64_t)h->len);
        uint32_t least = (uint32_t)first;
        for (uint32_t child = least + 1; child < last; child++)
            if (h->entries[child].key < h->entries[least].key)
                least = child;
        if (entry.key <= h->entries[least].key)
            break;
        place_at(h, h->entries[least], i);
        i = least;
    }
    place_at(h, entry, i);
}

/* Put the entry where it belongs, starting from the free slot i. */
static void settle(struct sp_heap *h, struct sp_heap_entry entry, uint32_t i)
{
    if (i > 0 && entry.key < h->entries[(i - 1) / CHILDREN].key)
        sift_up(h, entry, i);
    else
        sift_down(h, entry, i);
}

sp_err sp_heap_insert(struct sp_heap *h, struct sp_heap_node *node, uint64_t key)
{
    SP_ASSERT(node->place == 0);
    if (h->len == UINT32_MAX - 1)
        return SP_E_LIMIT;
    sp_err err = sp_heap_reserve(h, h->len + 1);
    if (err)
        return err;
    node->key = key;
    sift_up(h, (struct sp_heap_entry){ key, node }, h->len++);
    return 0;
}

void sp_heap_rekey(struct sp_heap *h, struct sp_heap_node *node, uint64_t key)
{
    SP_ASSERT(node->place && node->place <= h->len && h->entries[node->place - 1].node == node);
    node->key = key;
    settle(h, (struct sp_heap_entry){ key, node }, node->place - 1);
}

void sp_heap_remove(struct sp_heap *h, struct sp_heap_node *node)
{
    if (node->place == 0)
        return;
    uint32_t i = node->place - 1;
    SP_ASSERT(i < h->len && h->entries[i].node == node);
    node->place = 0;
    struct sp_heap_entry last = h->entries[--h->len];
    if (last.node != node)
        settle(h, last, i);
}

struct sp_heap_node *sp_heap_first(const struct sp_heap *h)
{
    return h->len ? h->entries[0].node : NULL;
}
