/* tree: all versions of all keys, and the history of changes.
 *
 *     keys in order (skip list)      versions, oldest first          log, in the order of changes
 *
 *       "a" ───────────────────> [ 3: v1 ][ 7: deleted ]              3: a   (was nothing)
 *        │                                                            5: b   (was 2)
 *       "b" ───────────────────> [ 2: x  ][ 5: y ]                    7: a   (was 3)
 *        │                          ▲        ▲
 *        ▼                          └─previous└─kv ─────────────────────┘
 *
 * A version is one block of memory that never changes: the node holds it, the log holds it, answers and
 * batches hold it, and whoever lets go last frees it, on whatever thread that is. So a thousand watches share
 * the bytes of one put.
 *
 * Reads are at a revision: the newest version that is not above it. Watches are cut from the log by place.
 * Changes that could not be kept are taken back from the end of the log, newest first, which is all the undo
 * there is.
 *
 * Compaction to C walks the front of the log, one event at a time: an event at or below C makes its
 * predecessor superfluous (nobody may read below C any more), and itself when it is a deletion. So it is
 * paid by the number of changes, in slices as large as one likes, and never looks at keys that did not
 * change. `previous` of an event that is still in the log is always still there: it could only be dropped by
 * this very event.
 *
 * It refuses to know leases (it leaves a link in the node for them), disks, and who asks. Left aside: a
 * B-tree (fewer misses, three times the code; a seek among 100,000 keys costs 1 us here, a commit 100 times
 * that), and versions kept on the disk alone: what a mesh is told to do fits in memory many times over. */
#include "store/tree_impl.h"

#include <string.h>

#include "base/mem.h"

enum { LOG_FIRST_CAP = 64, SEED = 7 };

/* ---- versions ---- */

struct sp_store_kv *sp_store_kv_new(sp_str key, sp_str value)
{
    struct sp_store_kv *kv = sp_mem_alloc(sizeof(*kv) + key.len + value.len);
    if (!kv)
        return NULL;
    char *bytes = (char *)(kv + 1);
    if (key.len)
        memcpy(bytes, key.ptr, key.len);
    if (value.len)
        memcpy(bytes + key.len, value.ptr, value.len);
    *kv = (struct sp_store_kv){ .key = { bytes, key.len },
                                .value = { bytes + key.len, value.len },
                                .refs = 1 };
    return kv;
}

struct sp_store_kv *sp_store_kv_ref(const struct sp_store_kv *kv)
{
    struct sp_store_kv *counted = (struct sp_store_kv *)kv;
    __atomic_fetch_add(&counted->refs, 1, __ATOMIC_RELAXED);
    return counted;
}

void sp_store_kv_unref(const struct sp_store_kv *kv)
{
    struct sp_store_kv *counted = (struct sp_store_kv *)kv;
    if (counted && __atomic_fetch_sub(&counted->refs, 1, __ATOMIC_ACQ_REL) == 1)
        sp_mem_free(counted);
}

/* With its places in a node and in the log. */
uint64_t sp_store_kv_weight(const struct sp_store_kv *kv)
{
    return sizeof(*kv) + kv->key.len + kv->value.len + sizeof(struct sp_tree_node) + 64;
}

/* ---- nodes ---- */

static struct sp_tree_node *node_new(uint32_t height)
{
    struct sp_tree_node *node = sp_mem_zalloc(sizeof(*node) + height * sizeof(struct sp_tree_node *));
    if (node)
        node->height = height;
    return node;
}

static void node_free(struct sp_tree_node *node)
{
    for (uint32_t i = 0; i < node->len; i++)
        sp_store_kv_unref(node->versions[i]);
    sp_mem_free(node->versions);
    sp_mem_free(node);
}

sp_err sp_tree_init(struct sp_tree *tree)
{
    *tree = (struct sp_tree){ .next_number = 1 };
    sp_rng_init(&tree->rng, SEED);
    tree->head = node_new(SP_TREE_HEIGHT);
    return tree->head ? SP_OK : SP_E_NOMEM;
}

void sp_tree_deinit(struct sp_tree *tree)
{
    for (size_t i = 0; i < tree->log_len; i++)
        sp_store_kv_unref(tree->log[(tree->log_at + i) & (tree->log_cap - 1)].kv);
    sp_mem_free(tree->log);
    while (tree->head) {
        struct sp_tree_node *next = tree->head->next[0];
        node_free(tree->head);
        tree->head = next;
    }
    *tree = (struct sp_tree){ 0 };
}

sp_str sp_tree_key(const struct sp_tree_node *node)
{
    return node->versions[node->len - 1]->key;
}

/* The last node below `key` on each level. */
static void find_before(const struct sp_tree *tree, sp_str key, struct sp_tree_node *before[SP_TREE_HEIGHT])
{
    struct sp_tree_node *node = tree->head;
    for (int level = SP_TREE_HEIGHT - 1; level >= 0; level--) {
        while (node->next[level] && sp_str_cmp(sp_tree_key(node->next[level]), key) < 0)
            node = node->next[level];
        before[level] = node;
    }
}

struct sp_tree_node *sp_tree_seek(const struct sp_tree *tree, sp_str key)
{
    struct sp_tree_node *before[SP_TREE_HEIGHT];
    find_before(tree, key, before);
    return before[0]->next[0];
}

struct sp_tree_node *sp_tree_find(const struct sp_tree *tree, sp_str key)
{
    struct sp_tree_node *node = sp_tree_seek(tree, key);
    return node && sp_str_eq(sp_tree_key(node), key) ? node : NULL;
}

struct sp_store_kv *sp_tree_newest(const struct sp_tree_node *node)
{
    return node->versions[node->len - 1];
}

struct sp_store_kv *sp_tree_at(const struct sp_tree_node *node, uint64_t revision)
{
    uint32_t low = 0, high = node->len; /* how many are not above `revision` */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (node->versions[middle]->mod_revision <= revision)
            low = middle + 1;
        else
            high = middle;
    }
    return low && node->versions[low - 1]->version ? node->versions[low - 1] : NULL;
}

bool sp_store_span_holds(const struct sp_store_span *span, sp_str key)
{
    switch (span->kind) {
    case SP_STORE_ONE: return sp_str_eq(key, span->from);
    case SP_STORE_PREFIX: return sp_str_starts(key, span->from);
    case SP_STORE_UNTIL: return sp_str_cmp(key, span->from) >= 0 && sp_str_cmp(key, span->to) < 0;
    case SP_STORE_ONWARD: return sp_str_cmp(key, span->from) >= 0;
    }
    return false;
}

struct sp_tree_node *sp_tree_first(const struct sp_tree *tree, const struct sp_store_span *span)
{
    struct sp_tree_node *node = sp_tree_seek(tree, span->from);
    return node && sp_store_span_holds(span, sp_tree_key(node)) ? node : NULL;
}

struct sp_tree_node *sp_tree_next(const struct sp_tree_node *node, const struct sp_store_span *span)
{
    struct sp_tree_node *next = node->next[0];
    return next && sp_store_span_holds(span, sp_tree_key(next)) ? next : NULL;
}

static struct sp_tree_node *node_add(struct sp_tree *tree, struct sp_tree_node *before[SP_TREE_HEIGHT])
{
    uint32_t height = 1;
    while (height < SP_TREE_HEIGHT && sp_rng_below(&tree->rng, 4) == 0)
        height++;
    struct sp_tree_node *node = node_new(height);
    if (!node)
        return NULL;
    for (uint32_t level = 0; level < height; level++) {
        node->next[level] = before[level]->next[level];
        before[level]->next[level] = node;
    }
    return node;
}

/* A node without versions has no key to be found by: `key` was it. */
static void node_remove(struct sp_tree *tree, struct sp_tree_node *node,
                        struct sp_tree_node *before[SP_TREE_HEIGHT])
{
    SP_ASSERT(!node->lease);
    for (uint32_t level = 0; level < node->height; level++) {
        SP_ASSERT(before[level]->next[level] == node);
        before[level]->next[level] = node->next[level];
    }
    node_free(node);
}

static sp_err reserve_version(struct sp_tree_node *node)
{
    if (node->len < node->cap)
        return SP_OK;
    uint32_t cap = node->cap ? node->cap * 2 : 1;
    struct sp_store_kv **versions = sp_mem_realloc(node->versions, cap * sizeof(*versions));
    if (!versions)
        return SP_E_NOMEM;
    node->versions = versions;
    node->cap = cap;
    return SP_OK;
}

/* ---- the log ---- */

static sp_err reserve_log(struct sp_tree *tree)
{
    if (tree->log_len < tree->log_cap)
        return SP_OK;
    size_t cap = tree->log_cap ? tree->log_cap * 2 : LOG_FIRST_CAP;
    struct sp_store_event *log = sp_mem_alloc(cap * sizeof(*log));
    if (!log)
        return SP_E_NOMEM;
    for (size_t i = 0; i < tree->log_len; i++)
        log[i] = tree->log[(tree->log_at + i) & (tree->log_cap - 1)];
    sp_mem_free(tree->log);
    tree->log = log;
    tree->log_at = 0;
    tree->log_cap = cap;
    return SP_OK;
}

const struct sp_store_event *sp_tree_event(const struct sp_tree *tree, uint64_t place)
{
    SP_ASSERT(place >= tree->log_first && place < sp_tree_log_end(tree));
    return &tree->log[(tree->log_at + (place - tree->log_first)) & (tree->log_cap - 1)];
}

uint64_t sp_tree_log_end(const struct sp_tree *tree)
{
    return tree->log_first + tree->log_len;
}

uint64_t sp_tree_place(const struct sp_tree *tree, uint64_t revision)
{
    uint64_t low = tree->log_first, high = sp_tree_log_end(tree);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (sp_tree_event(tree, middle)->kv->mod_revision < revision)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- changes ---- */

/* Both or nothing: a place in the log is only taken when the version is in its node. */
static sp_err add(struct sp_tree *tree, struct sp_store_kv *kv, struct sp_tree_node **ret_node)
{
    struct sp_tree_node *before[SP_TREE_HEIGHT];
    find_before(tree, kv->key, before);
    struct sp_tree_node *node = before[0]->next[0];
    bool there = node && sp_str_eq(sp_tree_key(node), kv->key);
    if (reserve_log(tree))
        return SP_E_NOMEM;
    if (!there && !(node = node_add(tree, before)))
        return SP_E_NOMEM;
    if (reserve_version(node)) {
        if (!there)
            node_remove(tree, node, before);
        return SP_E_NOMEM;
    }
    struct sp_store_kv *previous = there && sp_tree_newest(node)->version ? sp_tree_newest(node) : NULL;
    node->versions[node->len++] = sp_store_kv_ref(kv);
    tree->bytes += sp_store_kv_weight(kv);
    tree->events++;
    size_t at = (tree->log_at + tree->log_len++) & (tree->log_cap - 1);
    tree->log[at] = (struct sp_store_event){ sp_store_kv_ref(kv), previous };
    *ret_node = node;
    return SP_OK;
}

sp_err sp_tree_push(struct sp_tree *tree, struct sp_store_kv *kv, struct sp_tree_node **ret_node)
{
    sp_err err = add(tree, kv, ret_node);
    if (!err)
        kv->number = tree->next_number++;
    return err;
}

sp_err sp_tree_load(struct sp_tree *tree, struct sp_store_kv *kv, struct sp_tree_node **ret_node)
{
    sp_err err = add(tree, kv, ret_node);
    if (!err)
        tree->next_number = kv->number + 1;
    return err;
}

/* Take version `i` out; true when the node is gone with it. */
static bool drop_version(struct sp_tree *tree, struct sp_tree_node *node, uint32_t i)
{
    struct sp_tree_node *before[SP_TREE_HEIGHT];
    struct sp_store_kv *kv = node->versions[i];
    bool last = node->len == 1;
    if (last)
        find_before(tree, kv->key, before);
    tree->bytes -= sp_store_kv_weight(kv);
    tree->events--;
    node->len--;
    memmove(node->versions + i, node->versions + i + 1, (node->len - i) * sizeof(*node->versions));
    if (last)
        node_remove(tree, node, before);
    sp_store_kv_unref(kv);
    return last;
}

struct sp_tree_node *sp_tree_pop(struct sp_tree *tree)
{
    SP_ASSERT(tree->log_len);
    size_t at = (tree->log_at + --tree->log_len) & (tree->log_cap - 1);
    const struct sp_store_kv *kv = tree->log[at].kv;
    struct sp_tree_node *node = sp_tree_find(tree, kv->key);
    SP_ASSERT(node && sp_tree_newest(node) == kv);
    tree->next_number = kv->number;
    bool gone = drop_version(tree, node, node->len - 1);
    sp_store_kv_unref(kv);
    return gone ? NULL : node;
}

/* ---- compaction ---- */

uint32_t sp_tree_spoil(const struct sp_tree *tree, uint64_t place, const struct sp_store_kv *ret_kvs[2])
{
    const struct sp_store_event *event = sp_tree_event(tree, place);
    uint32_t count = 0;
    if (event->previous)
        ret_kvs[count++] = event->previous;
    if (!event->kv->version)
        ret_kvs[count++] = event->kv;
    return count;
}

static void forget(struct sp_tree *tree, sp_str key, uint64_t number)
{
    struct sp_tree_node *node = sp_tree_find(tree, key);
    for (uint32_t i = 0; node && i < node->len; i++)
        if (node->versions[i]->number == number) {
            (void)drop_version(tree, node, i); /* the caller needs the node no more */
            return;
        }
    SP_ASSERT(!"a version that the log knows is in its node");
}

void sp_tree_drop_first(struct sp_tree *tree)
{
    const struct sp_store_kv *spoilt[2];
    uint32_t count = sp_tree_spoil(tree, tree->log_first, spoilt);
    const struct sp_store_kv *kv = sp_tree_event(tree, tree->log_first)->kv;
    tree->log_at = (tree->log_at + 1) & (tree->log_cap - 1);
    tree->log_first++;
    tree->log_len--;
    for (uint32_t i = 0; i < count; i++)
        forget(tree, kv->key, spoilt[i]->number);
    sp_store_kv_unref(kv);
}
