/* harness.c - batches of small things, taken in turn, so that what drifts drifts for all.
 *
 *     batch 1:  a a a a | b b b b | base base | c c c
 *     batch 2:  a a a a | b b b b | base base | c c c        ratio of a batch = a / base of the same batch
 *     ...
 *
 * On a shared machine the clock of a core and the neighbours' use of its caches change within seconds, by
 * more than most changes that one wants to see. So a benchmark is not run to its end before the next: one
 * batch of each is run, then the next batch of each, and the figure is the median over the batches; the
 * ratio to a baseline is taken within each batch, where both ran within milliseconds of each other.
 *
 * The number of rounds in a batch is found once, by doubling until a batch is long enough for the clock to
 * be exact (the clock costs 20 to 50 ns; a batch of 2 ms makes that a hundred-thousandth).
 *
 * It knows nothing of what it runs: a table of names and functions. What was left out: warming by time (the
 * search for the number of rounds warms), removal of outliers (the median does), counting of instructions
 * (perf stat does that, on any one benchmark by --only).
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GROWTH_MAX = 16 }; /* a first round that met a cold cache must not be believed too far */

void *sp_bench_alloc(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p) {
        perror("bench: calloc");
        exit(1);
    }
    return p;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t)) {
        perror("bench: clock_gettime");
        exit(1);
    }
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t batch_ns(const struct sp_bench *b, void *state, uint64_t rounds)
{
    uint64_t began = now_ns();
    b->run(state, rounds);
    return now_ns() - began;
}

/* How many rounds make a batch of at least `least_ns`. */
static uint64_t find_rounds(const struct sp_bench *b, void *state, uint64_t least_ns)
{
    uint64_t rounds = 1;
    for (;;) {
        uint64_t took = batch_ns(b, state, rounds);
        if (took >= least_ns)
            return rounds;
        uint64_t growth = took ? least_ns * 5 / 4 / took + 1 : GROWTH_MAX;
        rounds *= growth < 2 ? 2 : growth > GROWTH_MAX ? GROWTH_MAX : growth;
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the values. */
static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static size_t index_of(const struct sp_bench *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i]->name, name) == 0)
            return i;
    fprintf(stderr, "bench: there is no %s to compare with\n", name);
    exit(2);
}

/* cost[i][b]: nanoseconds of one round of benchmark i in batch b. */
static void run_batches(const struct sp_bench *const *list, size_t count, const struct sp_bench_plan *plan,
                        struct sp_bench_figure *figures, double *cost)
{
    void **state = sp_bench_alloc(count * sizeof *state);
    for (size_t i = 0; i < count; i++) {
        state[i] = list[i]->make ? list[i]->make() : NULL;
        figures[i].bench = list[i];
        figures[i].rounds = find_rounds(list[i], state[i], plan->batch_ns);
    }
    for (uint32_t b = 0; b < plan->batches; b++)
        for (size_t i = 0; i < count; i++)
            cost[i * plan->batches + b] = (double)batch_ns(list[i], state[i], figures[i].rounds) /
                                          (double)figures[i].rounds;
    for (size_t i = 0; i < count; i++)
        if (list[i]->drop)
            list[i]->drop(state[i]);
    free(state);
}

void sp_bench_measure(const struct sp_bench *const *list, size_t count, const struct sp_bench_plan *plan,
                      struct sp_bench_figure *ret_figures)
{
    size_t batches = plan->batches;
    double *cost = sp_bench_alloc(count * batches * sizeof *cost);
    double *sorted = sp_bench_alloc(batches * sizeof *sorted);
    run_batches(list, count, plan, ret_figures, cost);
    for (size_t i = 0; i < count; i++) {
        struct sp_bench_figure *f = &ret_figures[i];
        const double *own = cost + i * batches;
        f->ratio = 0;
        if (list[i]->baseline) {
            const double *base = cost + index_of(list, count, list[i]->baseline) * batches;
            for (size_t b = 0; b < batches; b++)
                sorted[b] = own[b] / base[b];
            f->ratio = median(sorted, batches);
        }
        memcpy(sorted, own, batches * sizeof *sorted);
        f->median_ns = median(sorted, batches);
        f->min_ns = sorted[0];
        f->max_ns = sorted[batches - 1];
    }
    free(sorted);
    free(cost);
}
