/* main.c - bench_micro: the micro benchmarks of all rooms, their options and their table.
 *
 *     bench_micro [--only TEXT] [--batches N] [--batch-ms N] [--json] [--list]
 *
 * --only TEXT    those whose name holds the text, and the baselines that they need
 * --json         one line of JSON for each, in place of the table
 *
 * Prints, for each benchmark, the nanoseconds of one round (median, least, most over the batches), and how
 * that stands to its baseline in the same run. Absolute figures are for reading; what is held and compared
 * between commits is the ratio.
 *
 * The tables of the rooms are listed in `groups` below: that list is all the registration there is.
 */
#include "bench.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BENCHES_MAX = 256 };

static const struct sp_bench *const groups[] = {
    sp_bench_floor, /* first: what the others are divided by */
    sp_bench_base,  sp_bench_bolt, sp_bench_h1, sp_bench_h2, sp_bench_route, sp_bench_store,
};

struct options {
    const char *only;
    bool json, list;
    struct sp_bench_plan plan;
};

struct choice {
    const struct sp_bench *all[BENCHES_MAX];
    size_t all_count;
    const struct sp_bench *list[BENCHES_MAX]; /* those to run */
    size_t count;
};

static void find_all(struct choice *c)
{
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        for (const struct sp_bench *b = groups[g]; b->name; b++) {
            if (c->all_count == BENCHES_MAX) {
                fprintf(stderr, "bench: more than %d benchmarks\n", BENCHES_MAX);
                exit(2);
            }
            c->all[c->all_count++] = b;
        }
    }
}

static bool wanted(const struct sp_bench *b, const char *only)
{
    return !only || strstr(b->name, only);
}

/* A baseline is run when one that names it is, whether or not it was asked for. */
static bool is_baseline(const struct choice *c, const struct sp_bench *b, const char *only)
{
    for (size_t i = 0; i < c->all_count; i++)
        if (wanted(c->all[i], only) && c->all[i]->baseline && strcmp(c->all[i]->baseline, b->name) == 0)
            return true;
    return false;
}

static void choose(struct choice *c, const char *only)
{
    find_all(c);
    for (size_t i = 0; i < c->all_count; i++)
        if (wanted(c->all[i], only) || is_baseline(c, c->all[i], only))
            c->list[c->count++] = c->all[i];
}

static void print_line(const struct sp_bench_figure *f)
{
    printf("%-28s %10.2f  %10.2f %10.2f", f->bench->name, f->median_ns, f->min_ns, f->max_ns);
    if (f->bench->bytes)
        printf("  %7.2f", (double)f->bench->bytes / f->median_ns);
    else
        printf("  %7s", "");
    if (f->ratio > 0)
        printf("  %8.2f of %s", f->ratio, f->bench->baseline);
    putchar('\n');
}

static void print_json(const struct sp_bench_figure *f, uint32_t batches)
{
    printf("{\"name\":\"%s\",\"ns\":%.3f,\"min\":%.3f,\"max\":%.3f,\"rounds\":%" PRIu64
           ",\"batches\":%" PRIu32,
           f->bench->name, f->median_ns, f->min_ns, f->max_ns, f->rounds, batches);
    if (f->bench->bytes)
        printf(",\"bytes\":%zu", f->bench->bytes);
    if (f->ratio > 0)
        printf(",\"ratio\":%.4f,\"baseline\":\"%s\"", f->ratio, f->bench->baseline);
    puts("}");
}

static uint64_t number(const char *option, const char *text, uint64_t max)
{
    char *end;
    uint64_t v = strtoull(text, &end, 10);
    if (end == text || *end || v < 1 || v > max) {
        fprintf(stderr, "bench: %s: %s is not a number between 1 and %" PRIu64 "\n", option, text, max);
        exit(2);
    }
    return v;
}

static struct options read_options(int argc, char **argv)
{
    struct options o = { .plan = { .batches = 25, .batch_ns = 2000000 } };
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(name, "--json") == 0) {
            o.json = true;
        } else if (strcmp(name, "--list") == 0) {
            o.list = true;
        } else if (value && strcmp(name, "--only") == 0) {
            o.only = argv[++i];
        } else if (value && strcmp(name, "--batches") == 0) {
            o.plan.batches = (uint32_t)number(name, argv[++i], 10000);
        } else if (value && strcmp(name, "--batch-ms") == 0) {
            o.plan.batch_ns = number(name, argv[++i], 10000) * 1000000;
        } else {
            fprintf(stderr, "bench_micro [--only TEXT] [--batches N] [--batch-ms N] [--json] [--list]\n");
            exit(2);
        }
    }
    return o;
}

int main(int argc, char **argv)
{
    struct options o = read_options(argc, argv);
    struct choice c = { 0 };
    choose(&c, o.only);
    if (c.count == 0) {
        fprintf(stderr, "bench: no benchmark's name holds %s\n", o.only);
        return 2;
    }
    if (o.list) {
        for (size_t i = 0; i < c.count; i++)
            puts(c.list[i]->name);
        return 0;
    }
    struct sp_bench_figure *figures = sp_bench_alloc(c.count * sizeof *figures);
    sp_bench_measure(c.list, c.count, &o.plan, figures);
    if (!o.json)
        printf("%-28s %10s  %10s %10s  %7s  %8s\n", "ns for one round", "median", "least", "most", "GB/s",
               "ratio");
    for (size_t i = 0; i < c.count; i++) {
        if (o.json)
            print_json(&figures[i], o.plan.batches);
        else
            print_line(&figures[i]);
    }
    free(figures);
    return 0;
}
