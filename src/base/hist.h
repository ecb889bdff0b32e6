/* hist: log-linear histogram of 64-bit values: 8 steps in each power of two, so a value is known to
 * within 12.5 %. Cells of one worker; others read and merge without a lock. */
#ifndef SP_BASE_HIST_H
#define SP_BASE_HIST_H

#include <stdint.h>

#include "base/cell.h"
#include "base/err.h"
#include "base/str.h"

struct sp_buf;

enum { SP_HIST_SUB = 8, SP_HIST_POWERS = 40, SP_HIST_BUCKETS = SP_HIST_SUB * SP_HIST_POWERS };

/* The largest value told apart (73 minutes in nanoseconds); larger ones count in the last bucket, whose
 * top is UINT64_MAX. */
#define SP_HIST_LARGEST ((UINT64_C(1) << 42) - 1)

/* The buckets are allocated on the first value: an unused histogram costs three words. Only the owner adds
 * and deinits; everything else any thread may do meanwhile. */
struct sp_hist {
    sp_cell *buckets; /* SP_HIST_BUCKETS, or NULL; published by a release store */
    sp_cell count;
    sp_cell sum;
};

void sp_hist_init(struct sp_hist *h);
void sp_hist_deinit(struct sp_hist *h);
/* Out of memory loses the value from the buckets, never from count and sum. */
void sp_hist_add(struct sp_hist *h, uint64_t value);
/* Add `from` (another worker's, being written) into `into` (ours). */
void sp_hist_merge(struct sp_hist *into, const struct sp_hist *from);
/* The upper bound of the bucket that holds the permille-th value, at most SP_HIST_LARGEST; 0 when empty. */
uint64_t sp_hist_quantile(const struct sp_hist *h, uint32_t permille);
/* How many values are <= bound, counting whole buckets whose upper bound is <= bound. All at UINT64_MAX. */
uint64_t sp_hist_count_upto(const struct sp_hist *h, uint64_t bound);
/* For hand-over: count, sum and the buckets that are not zero, as varints. */
void sp_hist_save(const struct sp_hist *h, struct sp_buf *out);
/* Add what was saved to `h`, which is ours. SP_E_INVALID, with nothing added: bytes that save could not have
 * written. SP_E_NOMEM. */
sp_err sp_hist_load(struct sp_hist *h, sp_str bytes) SP_MUST_USE;
uint32_t sp_hist_bucket_of(uint64_t value);
uint64_t sp_hist_bucket_top(uint32_t bucket);

#endif
