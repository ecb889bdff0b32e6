/* map: from a name or a number to a pointer.
 *
 * Both tables are open addressing with linear probing: one array, the next slot is in the same cache
 * line, no node to allocate. They differ in what they optimise.
 *
 * sp_map is for names: clusters by name, virtual hosts by domain, metric families by label. It keeps each
 * key's 64-bit hash in the slot, so a probe compares a number before it compares bytes and growing never
 * hashes again. Removed slots stay as tombstones until the next growth: removal is rare there.
 *
 * sp_idmap is for ids of calls under way on one connection: put once, got once, removed once, all within
 * a millisecond, thousands of times a second. Tombstones would fill it; so removal shifts the followers
 * of the run back instead, and an empty table is truly empty:
 *
 *      home of b is 3, of c is 3, of d is 5
 *      index    2    3    4    5    6    7
 *             |    | a  | b  | c  | d  |    |     remove a:
 *             |    | b  | c  | d  |    |    |     b, c, d each move toward home, never past it
 *
 * Ids that we count up ourselves are a row of numbers, and multiplying by the golden ratio lays a row out
 * without a collision in a table at most half full: put, get and remove take 9 ns together, where mixed
 * hashes took 50 (the processor cannot guess where a run of a random table ends). Ids that a peer chooses
 * could be chosen to collide; for those a table has a seed and mixes, and pays the 50.
 *
 * Both double when they grow, sp_map at three quarters full, sp_idmap at half. Growing is the only
 * allocation; when it fails, nothing has changed. The order of a walk depends on keys, seed and history
 * alone, so a simulation replays.
 *
 * Left aside: control bytes probed by SSE2 (Swiss tables). At the sizes here (tens to hundreds) the
 * second array costs the cache line that the wide compare saves. */
#include "base/map.h"

#include "base/mem.h"

enum { FIRST_CAP = 8 };

static bool is_crowded(size_t filled, size_t cap)
{
    return (filled + 1) * 4 > cap * 3;
}

/* --- strings ------------------------------------------------------------------------------------- */

enum { HASH_EMPTY = 0, HASH_REMOVED = 1, HASH_FIRST = 2 };

void sp_map_init(struct sp_map *m, uint64_t seed)
{
    *m = (struct sp_map){ .seed = seed };
}

void sp_map_deinit(struct sp_map *m)
{
    sp_mem_free(m->slots);
    *m = (struct sp_map){ 0 };
}

static uint64_t hash_of(const struct sp_map *m, sp_str key)
{
    uint64_t hash = sp_str_hash_seed(key, m->seed);
    return hash < HASH_FIRST ? hash + HASH_FIRST : hash;
}

/* The slot with that key or NULL. There is always an empty slot, so the walk ends. */
static struct sp_map_slot *find_slot(const struct sp_map *m, sp_str key, uint64_t hash)
{
    if (m->cap == 0)
        return NULL;
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct sp_map_slot *slot = &m->slots[i];
        if (slot->hash == hash && sp_str_eq(slot->key, key))
            return slot;
        if (slot->hash == HASH_EMPTY)
            return NULL;
    }
}

/* The first slot on the key's walk that may be filled. */
static struct sp_map_slot *find_free(struct sp_map_slot *slots, size_t cap, uint64_t hash)
{
    size_t i = hash & (cap - 1);
    while (slots[i].hash >= HASH_FIRST)
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

/* Rebuild without tombstones, with room for one more. */
static sp_err rebuild(struct sp_map *m)
{
    size_t cap = m->cap ? m->cap : FIRST_CAP;
    size_t bytes;

    /* At most half full afterwards: else a table at the brink rebuilds for every few tombstones. */
    while (m->len * 2 >= cap)
        cap *= 2;
    if (__builtin_mul_overflow(cap, sizeof(struct sp_map_slot), &bytes))
        return SP_E_NOMEM;
    struct sp_map_slot *slots = sp_mem_zalloc(bytes);
    if (!slots)
        return SP_E_NOMEM;

    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].hash >= HASH_FIRST)
            *find_free(slots, cap, m->slots[i].hash) = m->slots[i];
    sp_mem_free(m->slots);
    m->slots = slots;
    m->cap = cap;
    m->filled = m->len;
    return 0;
}

void *sp_map_get(const struct sp_map *m, sp_str key)
{
    if (m->len == 0)
        return NULL;
    struct sp_map_slot *slot = find_slot(m, key, hash_of(m, key));
    return slot ? slot->value : NULL;
}

sp_err sp_map_put(struct sp_map *m, sp_str key, void *value, void **ret_old)
{
    uint64_t hash = hash_of(m, key);
    struct sp_map_slot *slot = find_slot(m, key, hash);
    void *old = slot ? slot->value : NULL;

    SP_ASSERT(value);
    if (!slot) {
        if (is_crowded(m->filled, m->cap)) {
            sp_err err = rebuild(m);
            if (err)
                return err;
        }
        slot = find_free(m->slots, m->cap, hash);
        m->filled += slot->hash == HASH_EMPTY;
        m->len++;
    }
    *slot = (struct sp_map_slot){ .hash = hash, .key = key, .value = value };
    if (ret_old)
        *ret_old = old;
    return 0;
}

void *sp_map_remove(struct sp_map *m, sp_str key)
{
    struct sp_map_slot *slot = find_slot(m, key, hash_of(m, key));
    if (!slot)
        return NULL;
    void *value = slot->value;
    *slot = (struct sp_map_slot){ .hash = HASH_REMOVED };
    m->len--;
    return value;
}

bool sp_map_next(const struct sp_map *m, size_t *at, sp_str *ret_key, void **ret_value)
{
    while (*at < m->cap) {
        const struct sp_map_slot *slot = &m->slots[(*at)++];
        if (slot->hash < HASH_FIRST)
            continue;
        if (ret_key)
            *ret_key = slot->key;
        if (ret_value)
            *ret_value = slot->value;
        return true;
    }
    return false;
}

/* --- numbers ------------------------------------------------------------------------------------- */

void sp_idmap_init(struct sp_idmap *m)
{
    *m = (struct sp_idmap){ 0 };
}

void sp_idmap_init_seed(struct sp_idmap *m, uint64_t seed)
{
    *m = (struct sp_idmap){ .seed = seed };
}

void sp_idmap_deinit(struct sp_idmap *m)
{
    sp_mem_free(m->slots);
    *m = (struct sp_idmap){ 0 };
}

void sp_idmap_trim(struct sp_idmap *m)
{
    if (m->len)
        return;
    sp_mem_free(m->slots);
    m->slots = NULL;
    m->cap = 0;
}

/* Where a key would like to be. The high bits of key times 2^64 over the golden ratio spread a row of
 * numbers evenly, without a collision while the table is half full. A seed mixes all bits first. */
static uint32_t home_of(const struct sp_idmap *m, uint64_t key)
{
    if (m->seed) {
        key = (key ^ m->seed) * 0xD6E8FEB86659FD93u;
        key ^= key >> 32;
    }
    return (uint32_t)(key * 0x9E3779B97F4A7C15u >> m->shift);
}

static uint32_t find_id(const struct sp_idmap *m, uint64_t key)
{
    uint32_t i = home_of(m, key);
    while (m->slots[i].value && m->slots[i].key != key)
        i = (i + 1) & (m->cap - 1);
    return i;
}

void *sp_idmap_get(const struct sp_idmap *m, uint64_t key)
{
    return m->len ? m->slots[find_id(m, key)].value : NULL;
}

static sp_err grow_ids(struct sp_idmap *m)
{
    struct sp_idmap old = *m;

    if (old.cap > UINT32_MAX / 2)
        return SP_E_NOMEM;
    uint32_t cap = old.cap ? old.cap * 2 : FIRST_CAP;
    struct sp_idmap_slot *slots = sp_mem_zalloc((size_t)cap * sizeof(*slots));
    if (!slots)
        return SP_E_NOMEM;
    m->slots = slots;
    m->cap = cap;
    m->shift = 64 - (uint32_t)__builtin_ctz(cap);
    for (uint32_t i = 0; i < old.cap; i++)
        if (old.slots[i].value)
            slots[find_id(m, old.slots[i].key)] = old.slots[i];
    sp_mem_free(old.slots);
    return 0;
}

sp_err sp_idmap_put(struct sp_idmap *m, uint64_t key, void *value)
{
    SP_ASSERT(value);
    if (m->len * 2 >= m->cap) {
        sp_err err = grow_ids(m);
        if (err)
            return err;
    }
    struct sp_idmap_slot *slot = &m->slots[find_id(m, key)];
    SP_ASSERT(!slot->value);
    *slot = (struct sp_idmap_slot){ .key = key, .value = value };
    m->len++;
    return 0;
}

void *sp_idmap_remove(struct sp_idmap *m, uint64_t key)
{
    if (m->len == 0)
        return NULL;
    uint32_t mask = m->cap - 1, hole = find_id(m, key);
    void *value = m->slots[hole].value;
    if (!value)
        return NULL;

    for (uint32_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
        uint32_t home = home_of(m, m->slots[i].key);
        /* It may move when the hole lies on its way: from home, the hole comes no later than i. */
        if (((hole - home) & mask) <= ((i - home) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole].value = NULL;
    m->len--;
    return value;
}

bool sp_idmap_next(const struct sp_idmap *m, uint32_t *at, uint64_t *ret_key, void **ret_value)
{
    while (*at < m->cap) {
        const struct sp_idmap_slot *slot = &m->slots[(*at)++];
        if (!slot->value)
            continue;
        if (ret_key)
            *ret_key = slot->key;
        if (ret_value)
            *ret_value = slot->value;
        return true;
    }
    return false;
}
