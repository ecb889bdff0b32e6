/* base.c - what the room `base` costs where it stands on a request's way: cells, histograms, arenas.
 *
 * A request adds to a dozen cells, puts one time into a histogram and takes a few pieces of an arena that is
 * emptied when it ends. A cell must cost what an addition in memory costs (it is one); an arena's piece must
 * be far below a heap allocation, which is measured beside it for that reason.
 */
#include "bench.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/cell.h"
#include "base/hist.h"

enum { ARENA_BLOCK = 16384, PIECE = 48, PIECES = 64 };

static void *make_cell(void)
{
    return sp_bench_alloc(sizeof(sp_cell));
}

static void run_cell(void *state, uint64_t rounds)
{
    sp_cell *cell = state;
    for (uint64_t n = 0; n < rounds; n++) {
        sp_cell_add(cell, 1);
        sp_bench_keep(cell);
    }
}

static void *make_hist(void)
{
    struct sp_hist *h = sp_bench_alloc(sizeof *h);
    sp_hist_init(h);
    return h;
}

static void run_hist(void *state, uint64_t rounds)
{
    struct sp_hist *h = state;
    uint64_t value = 1;
    for (uint64_t n = 0; n < rounds; n++) {
        value = value * 6364136223846793005u + 1442695040888963407u; /* spread over the buckets */
        sp_hist_add(h, value >> 36);
    }
    sp_bench_keep(h);
}

static void drop_hist(void *state)
{
    sp_hist_deinit(state);
    free(state);
}

static void *make_arena(void)
{
    struct sp_arena *a = sp_bench_alloc(sizeof *a);
    sp_arena_init(a, NULL, 0, ARENA_BLOCK, 0);
    return a;
}

/* One round is one piece; the arena is emptied every 64 of them, as the end of a stream does. */
static void run_arena(void *state, uint64_t rounds)
{
    struct sp_arena *a = state;
    for (uint64_t n = 0; n < rounds; n++) {
        sp_bench_keep(sp_arena_alloc(a, PIECE));
        if (n % PIECES == PIECES - 1)
            sp_arena_reset(a);
    }
    sp_arena_reset(a);
}

static void drop_arena(void *state)
{
    sp_arena_deinit(state);
    free(state);
}

static void run_heap(void *state, uint64_t rounds)
{
    (void)state; /* the heap has its own */
    for (uint64_t n = 0; n < rounds; n++) {
        void *piece = malloc(PIECE);
        sp_bench_keep(piece);
        free(piece);
    }
}

const struct sp_bench sp_bench_base[] = {
    { .name = "base/cell_add", .baseline = "floor/add", .make = make_cell, .run = run_cell, .drop = free },
    { .name = "base/hist_add",
      .baseline = "floor/add",
      .make = make_hist,
      .run = run_hist,
      .drop = drop_hist },
    { .name = "base/heap_48", .run = run_heap },
    { .name = "base/arena_48",
      .baseline = "base/heap_48",
      .make = make_arena,
      .run = run_arena,
      .drop = drop_arena },
    { 0 },
};
