/* budget: one number for the process, lent to workers in batches.
 *
 *     out (atomic) <= limit           worker 0: used 17, spare 3
 *        = sum of used + spare        worker 1: used  5, spare 0
 *
 * A worker takes from its spare without touching shared memory. When that is empty it borrows a batch with
 * one compare-and-swap that never passes the limit; when it holds two spare batches it returns one. With a
 * batch of
 * 1 nothing is ever held back, so small limits (where tests and operators count by hand) are exact.
 *
 * Left aside: a plain shared counter, whose cache line every worker would write twice for each call; and
 * fixed shares (limit / workers), which refuse calls while others have room when connections hash
 * unevenly. */
#include "proxy/budget.h"

#include "base/err.h"

static uint32_t batch_for(uint64_t limit, uint32_t workers)
{
    if (workers <= 1)
        return (uint32_t)SP_MAX(1, SP_MIN(64, limit / 64));
    return (uint32_t)SP_MAX(1, SP_MIN(64, limit / (64ull * workers)));
}

void sp_budget_set_limit(struct sp_budget *budget, uint64_t limit, uint32_t workers)
{
    __atomic_store_n(&budget->batch, batch_for(limit, workers), __ATOMIC_RELAXED);
    __atomic_store_n(&budget->limit, limit, __ATOMIC_RELAXED);
}

void sp_budget_init(struct sp_budget *budget, uint64_t limit, uint32_t workers)
{
    budget->out = 0;
    sp_budget_set_limit(budget, limit, workers);
}

uint64_t sp_budget_out(const struct sp_budget *budget)
{
    return __atomic_load_n(&budget->out, __ATOMIC_RELAXED);
}

/* Up to `want`; 0 when the limit is reached. */
static uint32_t borrow(struct sp_budget *budget, uint32_t want)
{
    uint64_t out = __atomic_load_n(&budget->out, __ATOMIC_RELAXED);
    for (;;) {
        uint64_t limit = __atomic_load_n(&budget->limit, __ATOMIC_RELAXED);
        if (out >= limit)
            return 0;
        uint32_t got = (uint32_t)SP_MIN((uint64_t)want, limit - out);
        if (__atomic_compare_exchange_n(&budget->out, &out, out + got, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return got;
    }
}

static void put_back(struct sp_budget *budget, uint32_t n)
{
    uint64_t before = __atomic_fetch_sub(&budget->out, n, __ATOMIC_RELAXED);
    SP_ASSERT(before >= n);
}

void sp_lease_init(struct sp_lease *lease, struct sp_budget *budget)
{
    *lease = (struct sp_lease){ .budget = budget };
}

void sp_lease_deinit(struct sp_lease *lease)
{
    SP_ASSERT(lease->used == 0);
    if (lease->spare)
        put_back(lease->budget, lease->spare);
    lease->spare = 0;
}

bool sp_lease_take(struct sp_lease *lease)
{
    if (lease->spare == 0) {
        lease->spare = borrow(lease->budget, __atomic_load_n(&lease->budget->batch, __ATOMIC_RELAXED));
        if (lease->spare == 0)
            return false;
    }
    lease->spare--;
    lease->used++;
    return true;
}

void sp_lease_force(struct sp_lease *lease)
{
    if (sp_lease_take(lease))
        return;
    __atomic_fetch_add(&lease->budget->out, 1, __ATOMIC_RELAXED);
    lease->used++;
}

void sp_lease_give(struct sp_lease *lease)
{
    SP_ASSERT(lease->used > 0);
    lease->used--;
    lease->spare++;
    uint32_t batch = __atomic_load_n(&lease->budget->batch, __ATOMIC_RELAXED);
    if (batch == 1 || lease->spare >= 2 * batch) {
        put_back(lease->budget, batch);
        lease->spare -= batch;
    }
}

void sp_lease_idle(struct sp_lease *lease)
{
    if (lease->spare && lease->used == lease->used_before) {
        put_back(lease->budget, lease->spare);
        lease->spare = 0;
    }
    lease->used_before = lease->used;
}
