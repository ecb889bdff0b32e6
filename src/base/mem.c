/* mem: the only door to the heap.
 *
 * Nothing on a request's way comes here: arenas and slab pools do, for whole blocks, and set-up and
 * control paths. So the door can afford to count. It counts what malloc really set aside
 * (malloc_usable_size), not what was asked for: no header of ours in front of each block, and the figure
 * is nearer to what the machine gave. The two counters are process-wide and relaxed: they are sums, and
 * no one decides by their order.
 *
 * Allocation failure is a thing that tests must be able to cause at will, at every allocation of a
 * path, one after the other:
 *
 *      for (n = 1;; n++) {
 *          sp_mem_fail_at(n);
 *          err = set_up();
 *          made = sp_mem_fail_at(0);
 *          if (made < n) break;       every allocation has failed once
 *          check(err == SP_E_NOMEM);  and nothing leaked
 *      }
 *
 * The count is of the thread that asks, so that a test with several workers fails the one it means.
 *
 * Left aside: a header with the size in front of each block (16 bytes each, and the malloc alignment
 * spent on them); a table of call sites (perf and heaptrack do that better). */
#include "base/mem.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

/* tidy: state because the heap itself is one for the process, and this is its sum. */
static uint64_t used_bytes;
/* tidy: state because the heap is one for the process, as above. */
static uint64_t live_blocks;

/* tidy: state because a failure must reach allocations far below the test that wants it, through functions
 * that take no allocator; by thread, so that no other test or worker is hit. */
static _Thread_local struct {
    uint64_t made;    /* allocations since the last sp_mem_fail_at */
    uint64_t fail_in; /* 1 = the next one fails; 0 = none */
} fault;

static bool must_fail(void)
{
    fault.made++;
    return SP_UNLIKELY(fault.fail_in) && --fault.fail_in == 0;
}

static void *count_in(void *ptr)
{
    if (!ptr)
        return NULL;
    __atomic_fetch_add(&used_bytes, malloc_usable_size(ptr), __ATOMIC_RELAXED);
    __atomic_fetch_add(&live_blocks, 1, __ATOMIC_RELAXED);
    return ptr;
}

void *sp_mem_alloc(size_t bytes)
{
    return must_fail() ? NULL : count_in(malloc(bytes ? bytes : 1));
}

void *sp_mem_zalloc(size_t bytes)
{
    return must_fail() ? NULL : count_in(calloc(1, bytes ? bytes : 1));
}

void *sp_mem_realloc(void *ptr, size_t bytes)
{
    if (!ptr)
        return sp_mem_alloc(bytes);
    if (must_fail())
        return NULL;
    size_t before = malloc_usable_size(ptr);
    /* realloc(p, 0) frees in glibc and returns NULL, which would look like a failure. */
    void *moved = realloc(ptr, bytes ? bytes : 1);
    if (moved) /* wraps when smaller: the sum comes out right */
        __atomic_fetch_add(&used_bytes, malloc_usable_size(moved) - before, __ATOMIC_RELAXED);
    return moved;
}

void sp_mem_free(void *ptr)
{
    if (!ptr)
        return;
    __atomic_fetch_sub(&used_bytes, malloc_usable_size(ptr), __ATOMIC_RELAXED);
    __atomic_fetch_sub(&live_blocks, 1, __ATOMIC_RELAXED);
    free(ptr);
}

uint64_t sp_mem_used_bytes(void)
{
    return __atomic_load_n(&used_bytes, __ATOMIC_RELAXED);
}

uint64_t sp_mem_live_blocks(void)
{
    return __atomic_load_n(&live_blocks, __ATOMIC_RELAXED);
}

void sp_mem_trim(void)
{
/* With a sanitizer the memory is not glibc's, and its arenas do not bear it. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    malloc_trim(0);
#endif
}

uint64_t sp_mem_fail_at(uint64_t n)
{
    uint64_t made = fault.made;
    fault.made = 0;
    fault.fail_in = n;
    return made;
}
