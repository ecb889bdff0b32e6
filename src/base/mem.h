/* mem: the only door to the heap. Counts what is out, and can fail on purpose in tests.
 *
 * Any thread; the counters are relaxed atomics, touched only here and so never on a request's way
 * (there memory comes from arenas and slab pools, which come here for whole blocks). */
#ifndef SP_BASE_MEM_H
#define SP_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* NULL when memory is out (or the n-th allocation was told to fail). Aligned to 16. `zalloc` gives zeroed
 * bytes. 0 bytes give a block too. */
void *sp_mem_alloc(size_t bytes) SP_MUST_USE;
void *sp_mem_zalloc(size_t bytes) SP_MUST_USE;
/* Grow or shrink; on failure the old block stays as it was. */
void *sp_mem_realloc(void *ptr, size_t bytes) SP_MUST_USE;
/* NULL is fine. */
void sp_mem_free(void *ptr);

/* Bytes out and not yet freed, over all threads, as malloc rounds them. */
uint64_t sp_mem_used_bytes(void);
/* Blocks alive; a test compares before and after to find leaks. */
uint64_t sp_mem_live_blocks(void);
/* Give free pages back to the system (malloc_trim). */
void sp_mem_trim(void);

/* Tests only: make the n-th allocation from now fail (1 = the next); 0 switches off. Returns how many
 * allocations had been made since the last call. This thread alone is meant. */
uint64_t sp_mem_fail_at(uint64_t n);

#endif
