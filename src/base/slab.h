/* slab: where bytes land and from where they leave. Reference-counted blocks of a few sizes, kept in a
 * free list by the worker that owns the pool; views point into them.
 *
 *      struct sp_slab           bytes[cap]
 *     +-------+-----+-----+----------------------------------+
 *     | refs  | cap | used|#########landed########|   free   |
 *     +-------+-----+-----+----------------------------------+
 *                           ^view.ptr, view.len
 *
 * One thread for each pool: counts are plain integers. A slab's bytes below `used` never change while
 * more than one reference is out, save for a request id patched in place by the stream that owns it. */
#ifndef SP_BASE_SLAB_H
#define SP_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Size classes; `cap` counts the bytes behind the header. */
enum sp_slab_class {
    SP_SLAB_SMALL,  /* 512 B: heads that we write, small remainders */
    SP_SLAB_MEDIUM, /* 4 KiB */
    SP_SLAB_READ,   /* 16 KiB: what a read is given first */
    SP_SLAB_LARGE,  /* 64 KiB: what a read is given when the last one came back full */
    SP_SLAB_HUGE,   /* 256 KiB: where a head that was cut is put together */
    SP_SLAB_CLASSES
};

struct sp_slab_pool;

struct sp_slab {
    uint32_t refs;
    uint32_t used; /* bytes filled from the front */
    uint32_t cap;
    uint32_t klass;
    struct sp_slab_pool *pool;
    struct sp_slab *next_free;
    char bytes[];
};

struct sp_slab_pool {
    struct sp_slab *free[SP_SLAB_CLASSES];
    uint32_t free_count[SP_SLAB_CLASSES];
    uint32_t keep_bytes;  /* how much may wait in the free lists together */
    uint32_t kept_bytes;  /* how much waits now */
    uint64_t held_bytes;  /* out and waiting together */
    uint64_t limit_bytes; /* most that held_bytes may reach; 0 = none */
    uint64_t refused;     /* takes that the limit refused */
};

/* A run of bytes inside a slab; holds a reference when its holder says so. slab NULL = bytes that live
 * elsewhere for long enough (a literal, an arena of the same stream). */
struct sp_view {
    struct sp_slab *slab;
    const char *ptr;
    size_t len;
};

void sp_slab_pool_init(struct sp_slab_pool *pool, uint32_t keep_bytes, uint64_t limit_bytes);
/* All slabs must be back. */
void sp_slab_pool_deinit(struct sp_slab_pool *pool);
/* Free what waits; called when a worker goes idle. */
void sp_slab_pool_trim(struct sp_slab_pool *pool);

/* A slab with refs 1, used 0; NULL when memory or the pool's limit is out. */
struct sp_slab *sp_slab_take(struct sp_slab_pool *pool, enum sp_slab_class klass);
/* The smallest class that holds `bytes`; NULL also when none does. */
struct sp_slab *sp_slab_take_for(struct sp_slab_pool *pool, size_t bytes);
void sp_slab_give(struct sp_slab *slab); /* internal to unref: refs is 0 */

static inline struct sp_slab *sp_slab_ref(struct sp_slab *slab)
{
    slab->refs++;
    return slab;
}

/* NULL is fine. */
static inline void sp_slab_unref(struct sp_slab *slab)
{
    if (slab && --slab->refs == 0)
        sp_slab_give(slab);
}

static inline sp_str sp_view_str(struct sp_view v)
{
    return (sp_str){ v.ptr, v.len };
}

#endif
