/* load_stat.c - latencies into a log-linear histogram, and the lines that end a run.
 *
 * A bucket is a power of two cut into 128 equal steps, so that any value is given back with less than 0.8 %
 * of error, from one nanosecond to centuries, in 58 KiB and without a branch on the range:
 *
 *     value   0 ... 127 | 128 ... 255 | 256 ... 511 | 512 ... 1023 | ...
 *     step        1     |      1      |      2      |      4       | ...
 *     bucket  0 ... 127 | 128 ... 255 | 256 ... 383 | 384 ... 511  | ...
 *
 * A quantile is the middle of the bucket that holds it; the maximum is kept apart and exact.
 */
#include "load_impl.h"

#include <inttypes.h>
#include <stdio.h>

enum { SUB_BITS = 7 };
_Static_assert(LOAD_SUB == 1 << SUB_BITS, "the steps of a power of two");

static uint32_t bucket_of(uint64_t v)
{
    if (v < LOAD_SUB)
        return (uint32_t)v;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(v) - SUB_BITS; /* v >> shift lies in [128, 256) */
    return (shift + 1) * LOAD_SUB + (uint32_t)((v >> shift) - LOAD_SUB);
}

static double bucket_middle(uint32_t b)
{
    if (b < LOAD_SUB)
        return b;
    uint32_t shift = b / LOAD_SUB - 1;
    return ((double)(b % LOAD_SUB + LOAD_SUB) + 0.5) * (double)(1ull << shift);
}

void sp_load_histogram_add(struct load_histogram *h, uint64_t ns)
{
    h->bucket[bucket_of(ns)]++;
    h->count++;
    h->sum_ns += (double)ns;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

double sp_load_histogram_us(const struct load_histogram *h, double quantile)
{
    uint64_t wanted = (uint64_t)(quantile * (double)h->count + 0.999999), seen = 0;
    if (h->count == 0)
        return 0;
    for (uint32_t i = 0; i < LOAD_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen >= wanted)
            return bucket_middle(i) / 1000.0;
    }
    return (double)h->max_ns / 1000.0;
}

static void report_window(const struct load_window *w, double elapsed_s)
{
    const struct load_counts *n = &w->counts;
    const struct load_histogram *h = &w->latency;
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {
        { "ok", n->ok },
        { "bytes", n->bytes },
        { "bad_status", n->bad_status },
        { "id_errors", n->id_errors },
        { "failed", n->failed },
        { "unanswered", n->unanswered },
        { "overflow", n->overflow },
        { "closes", n->closes },
        { "closes_busy", n->closes_busy },
        { "resets", n->resets },
        { "close_headers", n->close_headers },
        { "connects", n->connects },
        { "connect_errors", n->connect_errors },
    };
    printf("{\"secs\":%.4f,\"rps\":%.1f", elapsed_s, (double)n->ok / elapsed_s);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        printf(",\"%s\":%" PRIu64, counts[i].name, counts[i].value);
    printf(",\"mean_us\":%.2f", h->count ? h->sum_ns / (double)h->count / 1000 : 0);
    printf(",\"p50_us\":%.2f,\"p90_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,\"max_us\":%.2f}\n",
           sp_load_histogram_us(h, .5), sp_load_histogram_us(h, .9), sp_load_histogram_us(h, .99),
           sp_load_histogram_us(h, .999), (double)h->max_ns / 1000);
}

void sp_load_report(const struct load *l, double last_s)
{
    for (int i = 0; i < l->set.windows; i++)
        report_window(&l->window[i], i + 1 < l->set.windows ? l->set.secs : last_s);
    fflush(stdout);
}
