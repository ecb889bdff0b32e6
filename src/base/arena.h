/* arena: memory by lifetime. Bump allocation from chained blocks, dropped whole by reset or deinit.
 *
 * One owner, one thread. A stream's arena starts on storage inside the stream and takes its first heap
 * block only when that is full; reset keeps one block, so a warm stream never meets the heap. */
#ifndef SP_BASE_ARENA_H
#define SP_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/poison.h"

struct sp_arena_block;

struct sp_arena {
    char *at;                      /* next free byte */
    char *end;                     /* end of the current block */
    struct sp_arena_block *blocks; /* newest first; heap blocks only */
    struct sp_arena_block *spare;  /* the one that a reset kept, or NULL */
    char *first;                   /* storage given at init, or NULL */
    size_t first_bytes;
    size_t block_bytes; /* size of a fresh heap block, its header (16 bytes) included */
    size_t held_bytes;  /* of heap blocks, their headers and the spare included */
    size_t limit_bytes; /* most that held_bytes may reach; 0 = no limit */
};

/* `storage` may be NULL; it stays the caller's. `limit_bytes` bounds the heap blocks together. */
void sp_arena_init(struct sp_arena *a, void *storage, size_t storage_bytes, size_t block_bytes,
                   size_t limit_bytes);
void sp_arena_deinit(struct sp_arena *a);
/* Empty again; keeps at most one block of block_bytes. Pointers given out before are dead; under
 * AddressSanitizer touching them is reported, and so is touching the storage other than through the
 * arena before `deinit`. */
void sp_arena_reset(struct sp_arena *a);

/* Slow path: a fresh block. NULL when memory or the limit is out. */
void *sp_arena_more(struct sp_arena *a, size_t bytes, size_t align);

/* Uninitialised bytes, aligned to `align` (a power of two); NULL when memory or the limit is out. */
static inline void *sp_arena_alloc_align(struct sp_arena *a, size_t bytes, size_t align)
{
    char *p = (char *)(((uintptr_t)a->at + (align - 1)) & ~(uintptr_t)(align - 1));
    if (SP_UNLIKELY(!a->at || p > a->end || (size_t)(a->end - p) < bytes))
        return sp_arena_more(a, bytes, align);
    a->at = p + bytes;
    SP_UNPOISON(p, bytes);
    return p;
}

static inline void *sp_arena_alloc(struct sp_arena *a, size_t bytes)
{
    return sp_arena_alloc_align(a, bytes, 8);
}

static inline void *sp_arena_zalloc(struct sp_arena *a, size_t bytes)
{
    void *p = sp_arena_alloc(a, bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

#define SP_ARENA_NEW(arena, type) ((type *)sp_arena_zalloc((arena), sizeof(type)))
/* Zeroed; NULL too when count * size would overflow. */
void *sp_arena_array(struct sp_arena *a, size_t count, size_t item_bytes);

/* printf into the arena, NUL behind it; NULL when out. Not on a request's way. */
char *sp_arena_printf(struct sp_arena *a, const char *fmt, ...) SP_PRINTF(2, 3);

#endif
