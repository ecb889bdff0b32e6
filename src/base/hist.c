/* hist: how long things took, in 320 numbers.
 *
 * Log-linear: each power of two is cut into eight equal steps, so a value is known to within an eighth of
 * itself whether it was a microsecond or an hour, and finding the bucket is a count of leading zeros and a
 * shift. Values below eight have a bucket each.
 *
 *      value     0..7     8..15     16..31     32..63           2^41..2^42-1
 *      bucket    0..7     8..15     16..23     24..31    ...    312..319
 *      step      1        1         2          4                2^38
 *
 * The owner adds with plain loads and stores to its own cells. Another thread that shows figures merges the
 * histograms of all workers into one of its own, without a lock: it may see a value in the count and not
 * yet in its bucket, so quantiles go by the sum of the buckets and never by the count.
 *
 * The buckets (2.5 KiB) come with the first value: of the thousands of clusters in a mesh most are never
 * called from here. Their pointer is published with release and read with acquire, so a reader sees
 * zeroed buckets or none.
 *
 * Left aside: exact digests (t-digest, DDSketch). They merge slower than they are read, allocate, and an
 * eighth is finer than what one can do about a latency. */
#include "base/hist.h"

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

enum { SUB_BITS = 3 };

void sp_hist_init(struct sp_hist *h)
{
    *h = (struct sp_hist){ 0 };
}

void sp_hist_deinit(struct sp_hist *h)
{
    sp_mem_free(h->buckets);
    *h = (struct sp_hist){ 0 };
}

uint32_t sp_hist_bucket_of(uint64_t value)
{
    if (value < SP_HIST_SUB)
        return (uint32_t)value;
    if (value > SP_HIST_LARGEST)
        return SP_HIST_BUCKETS - 1;
    uint32_t shift = (uint32_t)(63 - __builtin_clzll(value)) - SUB_BITS;
    /* value >> shift is 8..15: its own 8 carries the row over the linear one. */
    return shift * SP_HIST_SUB + (uint32_t)(value >> shift);
}

uint64_t sp_hist_bucket_top(uint32_t bucket)
{
    if (bucket < SP_HIST_SUB)
        return bucket;
    if (bucket >= SP_HIST_BUCKETS - 1)
        return UINT64_MAX;
    uint32_t shift = bucket / SP_HIST_SUB - 1;
    uint64_t step = bucket % SP_HIST_SUB + SP_HIST_SUB;
    return ((step + 1) << shift) - 1;
}

static sp_cell *buckets_of(const struct sp_hist *h)
{
    return __atomic_load_n(&h->buckets, __ATOMIC_ACQUIRE);
}

/* The owner's. NULL when memory is out. */
static sp_cell *make_buckets(struct sp_hist *h)
{
    sp_cell *buckets = sp_mem_zalloc(SP_HIST_BUCKETS * sizeof(*buckets));
    if (buckets)
        __atomic_store_n(&h->buckets, buckets, __ATOMIC_RELEASE);
    return buckets;
}

void sp_hist_add(struct sp_hist *h, uint64_t value)
{
    sp_cell *buckets = h->buckets;

    if (SP_UNLIKELY(!buckets))
        buckets = make_buckets(h);
    if (SP_LIKELY(buckets != NULL))
        sp_cell_add(&buckets[sp_hist_bucket_of(value)], 1);
    sp_cell_add(&h->count, 1);
    sp_cell_add(&h->sum, value);
}

void sp_hist_merge(struct sp_hist *into, const struct sp_hist *from)
{
    const sp_cell *theirs = buckets_of(from);

    sp_cell_add(&into->count, sp_cell_get(&from->count));
    sp_cell_add(&into->sum, sp_cell_get(&from->sum));
    if (!theirs)
        return;
    sp_cell *ours = into->buckets ? into->buckets : make_buckets(into);
    if (!ours)
        return;
    for (uint32_t i = 0; i < SP_HIST_BUCKETS; i++) {
        uint64_t n = sp_cell_get(&theirs[i]);
        if (n)
            sp_cell_add(&ours[i], n);
    }
}

uint64_t sp_hist_quantile(const struct sp_hist *h, uint32_t permille)
{
    const sp_cell *buckets = buckets_of(h);
    uint64_t counts[SP_HIST_BUCKETS], total = 0, seen = 0;

    if (!buckets)
        return 0;
    for (uint32_t i = 0; i < SP_HIST_BUCKETS; i++)
        total += counts[i] = sp_cell_get(&buckets[i]);
    if (total == 0)
        return 0;
    /* The rank, rounded up, 1 .. total; by parts, since total * permille might not fit. */
    permille = SP_MIN(permille, 1000u);
    uint64_t rank = total / 1000 * permille + (total % 1000 * permille + 999) / 1000;
    rank = SP_MAX(rank, (uint64_t)1);
    for (uint32_t i = 0; i < SP_HIST_BUCKETS; i++) {
        seen += counts[i];
        if (seen >= rank)
            return SP_MIN(sp_hist_bucket_top(i), SP_HIST_LARGEST);
    }
    return SP_HIST_LARGEST;
}

uint64_t sp_hist_count_upto(const struct sp_hist *h, uint64_t bound)
{
    const sp_cell *buckets = buckets_of(h);
    uint64_t sum = 0;

    if (!buckets)
        return 0;
    for (uint32_t i = 0; i < SP_HIST_BUCKETS && sp_hist_bucket_top(i) <= bound; i++)
        sum += sp_cell_get(&buckets[i]);
    return sum;
}

/* ---- hand-over ---- */

static void add_varint(struct sp_buf *out, uint64_t v)
{
    while (v >= 0x80) {
        sp_buf_add_char(out, (char)(v | 0x80));
        v >>= 7;
    }
    sp_buf_add_char(out, (char)v);
}

static bool get_varint(sp_str *in, uint64_t *ret_v)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && in->len; shift += 7) {
        uint8_t byte = (uint8_t)in->ptr[0];
        *in = sp_str_from(*in, 1);
        if (shift == 63 && byte > 1)
            return false;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_v = v;
            return true;
        }
    }
    return false;
}

/* count, sum, then pairs: how many empty buckets to pass over, what is in the next */
void sp_hist_save(const struct sp_hist *h, struct sp_buf *out)
{
    const sp_cell *buckets = buckets_of(h);
    add_varint(out, sp_cell_get(&h->count));
    add_varint(out, sp_cell_get(&h->sum));
    uint32_t empty = 0;
    for (uint32_t i = 0; buckets && i < SP_HIST_BUCKETS; i++) {
        uint64_t n = sp_cell_get(&buckets[i]);
        if (!n) {
            empty++;
            continue;
        }
        add_varint(out, empty);
        add_varint(out, n);
        empty = 0;
    }
}

static bool walk_saved(sp_str in, uint64_t *ret_count, uint64_t *ret_sum, sp_cell *into)
{
    if (!get_varint(&in, ret_count) || !get_varint(&in, ret_sum))
        return false;
    uint64_t at = 0, empty, n;
    while (in.len) {
        if (!get_varint(&in, &empty) || !get_varint(&in, &n) || !n || empty >= SP_HIST_BUCKETS - at)
            return false;
        at += empty;
        if (into)
            sp_cell_add(&into[at], n);
        at++;
    }
    return true;
}

sp_err sp_hist_load(struct sp_hist *h, sp_str bytes)
{
    uint64_t count, sum;
    if (!walk_saved(bytes, &count, &sum, NULL))
        return SP_E_INVALID;
    if (count && !h->buckets && !make_buckets(h))
        return SP_E_NOMEM;
    if (h->buckets)
        (void)walk_saved(bytes, &count, &sum, h->buckets); /* it held the first time */
    sp_cell_add(&h->count, count);
    sp_cell_add(&h->sum, sum);
    return 0;
}
