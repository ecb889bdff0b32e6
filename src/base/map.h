/* map: open-addressing hash table from a string or a 64-bit number to a pointer.
 *
 * Keys of string maps are borrowed: whoever puts one keeps its bytes alive while it is in. Seeded, so
 * that a peer cannot choose colliding keys. One thread. */
#ifndef SP_BASE_MAP_H
#define SP_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct sp_map_slot {
    uint64_t hash; /* 0 = empty, 1 = removed; real hashes are >= 2 */
    sp_str key;    /* string maps */
    void *value;
};

struct sp_map {
    struct sp_map_slot *slots;
    size_t cap; /* 0 or a power of two */
    size_t len;
    size_t filled; /* len + removed */
    uint64_t seed;
};

void sp_map_init(struct sp_map *m, uint64_t seed);
void sp_map_deinit(struct sp_map *m);
/* NULL when absent. */
void *sp_map_get(const struct sp_map *m, sp_str key);
/* Replaces. `value` is never NULL; `ret_old` may be. SP_E_NOMEM leaves the map as it was. */
sp_err sp_map_put(struct sp_map *m, sp_str key, void *value, void **ret_old) SP_MUST_USE;
/* The removed value or NULL. */
void *sp_map_remove(struct sp_map *m, sp_str key);
/* Iterate: start with *at = 0; false at the end. The map must not change meanwhile. Either ret_ may be
 * NULL. */
bool sp_map_next(const struct sp_map *m, size_t *at, sp_str *ret_key, void **ret_value);

/* The same with 64-bit keys, denser slots: ids of calls under way. */
struct sp_idmap_slot {
    uint64_t key;
    void *value; /* NULL = empty */
};

struct sp_idmap {
    struct sp_idmap_slot *slots; /* NULL while empty for the first time */
    uint32_t cap;                /* 0 or a power of two */
    uint32_t len;
    uint64_t seed;  /* 0 = the ids are ours */
    uint32_t shift; /* 64 - log2 of cap */
};

/* For ids that we count up ourselves. */
void sp_idmap_init(struct sp_idmap *m);
/* For ids that a peer chooses: it does not know the seed, so it cannot make them collide. */
void sp_idmap_init_seed(struct sp_idmap *m, uint64_t seed);
void sp_idmap_deinit(struct sp_idmap *m);
/* Gives the slots back when the map is empty: for a connection that goes idle. */
void sp_idmap_trim(struct sp_idmap *m);
void *sp_idmap_get(const struct sp_idmap *m, uint64_t key);
/* The key must not be in, `value` not NULL: both are asserted. Removal shifts back: no tombstones. */
sp_err sp_idmap_put(struct sp_idmap *m, uint64_t key, void *value) SP_MUST_USE;
void *sp_idmap_remove(struct sp_idmap *m, uint64_t key);
bool sp_idmap_next(const struct sp_idmap *m, uint32_t *at, uint64_t *ret_key, void **ret_value);

#endif
