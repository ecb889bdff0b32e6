/* A benchmark of one small thing, and how it is run beside its baseline.
 *
 * A room's benchmarks are one file, bench/micro/<room>.c, that ends in a table `sp_bench_<room>`, closed by a
 * line without a name. The table is declared here and listed in main.c; the file is named in meson.build.
 *
 *     static void decode(void *state, uint64_t rounds)
 *     {
 *         for (uint64_t i = 0; i < rounds; i++)
 *             sp_bench_keep(...);
 *     }
 *     const struct sp_bench sp_bench_wire[] = {
 *         {.name = "wire/h1_decode", .baseline = "floor/lines", .bytes = 300, .run = decode},
 *         {0},
 *     };
 *
 * `run` must do the same work in each round and leave the state as it found it. What one round cannot do
 * alone (fill an arena, empty a pool) it does every so many rounds, and says so. */
#ifndef SP_BENCH_MICRO_BENCH_H
#define SP_BENCH_MICRO_BENCH_H

#include <stddef.h>
#include <stdint.h>

struct sp_bench {
    const char *name;     /* room/thing; NULL ends a table */
    const char *baseline; /* the benchmark that divides this one; NULL: none */
    size_t bytes;         /* bytes that one round looks at; 0: not shown */
    void *(*make)(void);  /* the state, once before all batches; NULL: none. Never fails */
    void (*run)(void *state, uint64_t rounds);
    void (*drop)(void *state); /* frees the state; NULL when there is nothing to free */
};

extern const struct sp_bench sp_bench_floor[];
extern const struct sp_bench sp_bench_base[];
extern const struct sp_bench sp_bench_bolt[];
extern const struct sp_bench sp_bench_h1[];
extern const struct sp_bench sp_bench_h2[];
extern const struct sp_bench sp_bench_route[];
extern const struct sp_bench sp_bench_store[];

/* Make the compiler believe that the value is used, and that memory was read and written. */
static inline void sp_bench_keep(const void *value)
{
    /* The only assembly of the tree: no instruction, just a wall for the optimiser. A volatile store would
     * do as well but costs a cycle, which is what is measured here. */
    __asm__ volatile("" : : "r"(value) : "memory");
}

static inline void sp_bench_keep_number(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

/* Zeroed memory for a state, or the end of the program. */
void *sp_bench_alloc(size_t bytes);

/* ---- the harness, for main.c ---- */

struct sp_bench_plan {
    uint32_t batches;  /* of each benchmark */
    uint64_t batch_ns; /* least length of a batch */
};

/* The cost of one round over the batches of one benchmark. */
struct sp_bench_figure {
    const struct sp_bench *bench;
    uint64_t rounds; /* in each batch */
    double median_ns, min_ns, max_ns;
    double ratio; /* median over the batches of cost / cost of the baseline; 0: it has none */
};

/* Run `count` benchmarks, each batch of each in turn, and fill `ret_figures[count]`. A baseline must be
 * among them. */
void sp_bench_measure(const struct sp_bench *const *list, size_t count, const struct sp_bench_plan *plan,
                      struct sp_bench_figure *ret_figures);

#endif
