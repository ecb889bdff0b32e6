/* base.c - what the room `base` costs where it stands on a request's way: cells, histograms, memory, ids.
 *
 * A request adds to a dozen cells, puts one time into a histogram and takes a few pieces of an arena that is
 * emptied when it ends. A cell must cost what an addition in memory costs (it is one); an arena's piece must
 * be far below a heap allocation, which is measured beside it for that reason. So must a slab taken and
 * given back, though it is 16 KiB. A call on a shared connection puts its id into a map, is found by it when
 * the answer comes, and is taken out: with ids of our own, which are a row of numbers, and with ids that a
 * peer chose.
 */
#include "bench.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/cell.h"
#include "base/hist.h"
#include "base/map.h"
#include "base/slab.h"

enum { ARENA_BLOCK = 16384, PIECE = 48, PIECES = 64, LIVE = 100 };

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

static void *make_slabs(void)
{
    struct sp_slab_pool *pool = sp_bench_alloc(sizeof *pool);
    sp_slab_pool_init(pool, 1 << 20, 0);
    return pool;
}

static void run_slabs(void *state, uint64_t rounds)
{
    for (uint64_t n = 0; n < rounds; n++) {
        struct sp_slab *slab = sp_slab_take(state, SP_SLAB_READ);
        sp_bench_keep(slab);
        sp_slab_unref(slab);
    }
}

static void drop_slabs(void *state)
{
    sp_slab_pool_deinit(state);
    free(state);
}

struct ids {
    struct sp_idmap map;
    uint64_t next;
};

/* LIVE calls are always under way. */
static struct ids *fill_ids(struct ids *ids)
{
    while (ids->next < LIVE)
        if (sp_idmap_put(&ids->map, ids->next++, ids))
            abort();
    return ids;
}

static void *make_own_ids(void)
{
    struct ids *ids = sp_bench_alloc(sizeof *ids);
    sp_idmap_init(&ids->map);
    return fill_ids(ids);
}

static void *make_peer_ids(void)
{
    struct ids *ids = sp_bench_alloc(sizeof *ids);
    sp_idmap_init_seed(&ids->map, 77);
    return fill_ids(ids);
}

/* One round is one call: put, found, removed. */
static void run_ids(void *state, uint64_t rounds)
{
    struct ids *ids = state;
    for (uint64_t n = 0; n < rounds; n++) {
        uint64_t id = ids->next++;
        if (sp_idmap_put(&ids->map, id, ids))
            abort();
        sp_bench_keep(sp_idmap_get(&ids->map, id - LIVE / 2));
        sp_bench_keep(sp_idmap_remove(&ids->map, id - LIVE));
    }
}

static void drop_ids(void *state)
{
    struct ids *ids = state;
    sp_idmap_deinit(&ids->map);
    free(ids);
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
    { .name = "base/slab_16k",
      .baseline = "base/heap_48",
      .make = make_slabs,
      .run = run_slabs,
      .drop = drop_slabs },
    { .name = "base/idmap_own",
      .baseline = "base/heap_48",
      .make = make_own_ids,
      .run = run_ids,
      .drop = drop_ids },
    { .name = "base/idmap_peer",
      .baseline = "base/heap_48",
      .make = make_peer_ids,
      .run = run_ids,
      .drop = drop_ids },
    { 0 },
};
