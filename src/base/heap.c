/* heap: what is due next.
 *
 * A loop has thousands of timers (one or two for each connection, one for each call with a deadline), sets
 * them again at every byte, and asks only for the smallest. That is a heap. It is intrusive: the node is
 * part of whatever is timed and remembers its own place, so removing or moving one is a walk along a
 * path and never a search.
 *
 * Four children to a node instead of two: half the levels, and the four pointers compared on the way
 * down share a cache line or two.
 *
 *      place      1
 *          2   3     4   5
 *       6 7 8 9 ...
 *
 * The order of equal keys depends on the order of operations alone, so that a simulation replays.
 *
 * The array of pointers is the only allocation; `reserve` makes it ahead, so that setting a timer on a
 * request's way cannot fail. It never shrinks: four or eight bytes for each timer that ever was at once.
 *
 * Tried and left: a hierarchical wheel. It beats the heap in setting and loses in "when is the next", which
 * epoll_wait asks every turn, and in memory when empty. */
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
        h->nodes[i]->place = 0;
    sp_mem_free(h->nodes);
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
    struct sp_heap_node **nodes = sp_mem_realloc(h->nodes, cap * sizeof(*nodes));
    if (!nodes)
        return SP_E_NOMEM;
    h->nodes = nodes;
    h->cap = (uint32_t)cap;
    return 0;
}

static void place_at(struct sp_heap *h, struct sp_heap_node *node, uint32_t i)
{
    h->nodes[i] = node;
    node->place = i + 1;
}

/* Move `node`, for which slot i is free, toward the root as far as its key asks. */
static void sift_up(struct sp_heap *h, struct sp_heap_node *node, uint32_t i)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / CHILDREN;
        if (h->nodes[parent]->key <= node->key)
            break;
        place_at(h, h->nodes[parent], i);
        i = parent;
    }
    place_at(h, node, i);
}

static void sift_down(struct sp_heap *h, struct sp_heap_node *node, uint32_t i)
{
    for (;;) {
        uint64_t first = (uint64_t)i * CHILDREN + 1;
        if (first >= h->len)
            break;
        uint32_t last = (uint32_t)SP_MIN(first + CHILDREN, (uint64_t)h->len);
        uint32_t least = (uint32_t)first;
        for (uint32_t child = least + 1; child < last; child++)
            if (h->nodes[child]->key < h->nodes[least]->key)
                least = child;
        if (node->key <= h->nodes[least]->key)
            break;
        place_at(h, h->nodes[least], i);
        i = least;
    }
    place_at(h, node, i);
}

/* Put `node` where it belongs, starting from the free slot i. */
static void settle(struct sp_heap *h, struct sp_heap_node *node, uint32_t i)
{
    if (i > 0 && node->key < h->nodes[(i - 1) / CHILDREN]->key)
        sift_up(h, node, i);
    else
        sift_down(h, node, i);
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
    sift_up(h, node, h->len++);
    return 0;
}

void sp_heap_rekey(struct sp_heap *h, struct sp_heap_node *node, uint64_t key)
{
    SP_ASSERT(node->place && node->place <= h->len && h->nodes[node->place - 1] == node);
    node->key = key;
    settle(h, node, node->place - 1);
}

void sp_heap_remove(struct sp_heap *h, struct sp_heap_node *node)
{
    if (node->place == 0)
        return;
    uint32_t i = node->place - 1;
    SP_ASSERT(i < h->len && h->nodes[i] == node);
    node->place = 0;
    struct sp_heap_node *last = h->nodes[--h->len];
    if (last != node)
        settle(h, last, i);
}

struct sp_heap_node *sp_heap_first(const struct sp_heap *h)
{
    return h->len ? h->nodes[0] : NULL;
}
