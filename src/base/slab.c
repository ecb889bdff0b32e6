/* slab: where bytes land and from where they leave.
 *
 * A read fills a slab, a codec makes views into it, and the same slab goes out by writev to the other
 * side. Nothing is copied in between, so someone must know when the last view is gone: the slab counts
 * its references. All of that happens on one thread, so the count is a plain integer.
 *
 *      pool                          out
 *     +---------+                   +----------------------------+
 *     | free[0] |-> 512 -> 512      |  conn ──ref──> slab <──ref── view of the head
 *     | free[1] |-> 4K              |                  ^
 *     | free[2] |-> 16K -> 16K      |                  └──ref── queue of the other conn
 *     | ...     |                   +----------------------------+
 *     +---------+  take ->   <- give (at the last unref)
 *
 * Five sizes. A read starts with 16 KiB (what a socket holds of a usual answer), takes 64 KiB when the
 * last read came back full (a bulk body: fewer system calls); 512 B and 4 KiB are for what we write
 * ourselves and for remainders moved out of a slab that is nearly empty, so that a slow peer pins little;
 * 256 KiB is where a large head that came in pieces is put together.
 *
 * Free lists are last in, first out: the slab given back last is the one still in cache. What waits in
 * them is bounded by keep_bytes; beyond it a slab goes back to the heap at once, and a worker that goes
 * idle trims the rest. limit_bytes bounds out and waiting together, by the bytes that slabs hold: at the
 * limit, waiting slabs of other sizes are freed first, then the take is refused and counted, and the
 * reader stops reading until something comes back.
 *
 * Under AddressSanitizer a waiting slab is poisoned whole: a view that outlived its reference, or one
 * unref too many, is reported where it happens. */
#include "base/slab.h"

#include "base/mem.h"
#include "base/poison.h"

static const uint32_t class_bytes[SP_SLAB_CLASSES] = {
    [SP_SLAB_SMALL] = 512,   [SP_SLAB_MEDIUM] = 4096, [SP_SLAB_READ] = 16384,
    [SP_SLAB_LARGE] = 65536, [SP_SLAB_HUGE] = 262144,
};

void sp_slab_pool_init(struct sp_slab_pool *pool, uint32_t keep_bytes, uint64_t limit_bytes)
{
    *pool = (struct sp_slab_pool){ .keep_bytes = keep_bytes, .limit_bytes = limit_bytes };
}

void sp_slab_pool_deinit(struct sp_slab_pool *pool)
{
    sp_slab_pool_trim(pool);
    SP_ASSERT(pool->held_bytes == 0);
    *pool = (struct sp_slab_pool){ 0 };
}

static struct sp_slab *pop_free(struct sp_slab_pool *pool, unsigned klass)
{
    struct sp_slab *slab = pool->free[klass];
    if (!slab)
        return NULL;
    SP_UNPOISON(slab, sizeof(*slab) + class_bytes[klass]);
    pool->free[klass] = slab->next_free;
    pool->free_count[klass]--;
    pool->kept_bytes -= class_bytes[klass];
    return slab;
}

void sp_slab_pool_trim(struct sp_slab_pool *pool)
{
    for (unsigned klass = 0; klass < SP_SLAB_CLASSES; klass++) {
        struct sp_slab *slab;
        while ((slab = pop_free(pool, klass))) {
            pool->held_bytes -= class_bytes[klass];
            sp_mem_free(slab);
        }
    }
}

static bool has_room(const struct sp_slab_pool *pool, uint32_t bytes)
{
    return pool->limit_bytes == 0 || pool->held_bytes + bytes <= pool->limit_bytes;
}

static struct sp_slab *new_slab(struct sp_slab_pool *pool, unsigned klass)
{
    uint32_t bytes = class_bytes[klass];

    if (!has_room(pool, bytes) && pool->kept_bytes)
        sp_slab_pool_trim(pool);
    if (!has_room(pool, bytes)) {
        pool->refused++;
        return NULL;
    }
    struct sp_slab *slab = sp_mem_alloc(sizeof(*slab) + bytes);
    if (!slab)
        return NULL;
    slab->cap = bytes;
    slab->klass = klass;
    slab->pool = pool;
    pool->held_bytes += bytes;
    return slab;
}

struct sp_slab *sp_slab_take(struct sp_slab_pool *pool, enum sp_slab_class klass)
{
    SP_ASSERT((unsigned)klass < SP_SLAB_CLASSES);
    struct sp_slab *slab = pop_free(pool, klass);
    if (!slab)
        slab = new_slab(pool, klass);
    if (!slab)
        return NULL;
    slab->refs = 1;
    slab->used = 0;
    slab->next_free = NULL;
    return slab;
}

struct sp_slab *sp_slab_take_for(struct sp_slab_pool *pool, size_t bytes)
{
    for (unsigned klass = 0; klass < SP_SLAB_CLASSES; klass++)
        if (bytes <= class_bytes[klass])
            return sp_slab_take(pool, (enum sp_slab_class)klass);
    return NULL;
}

void sp_slab_give(struct sp_slab *slab)
{
    struct sp_slab_pool *pool = slab->pool;

    SP_ASSERT(slab->refs == 0 && slab->used <= slab->cap);
    if (slab->cap > pool->keep_bytes - pool->kept_bytes) {
        pool->held_bytes -= slab->cap;
        sp_mem_free(slab);
        return;
    }
    pool->kept_bytes += slab->cap;
    pool->free_count[slab->klass]++;
    slab->next_free = pool->free[slab->klass];
    pool->free[slab->klass] = slab;
    SP_POISON(slab, sizeof(*slab) + class_bytes[slab->klass]);
}
