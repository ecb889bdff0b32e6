/* budget: what must hold for the process (connections, requests, retries of a cluster) without a shared
 * cache line for each call. A budget lends batches to workers: one atomic operation for a batch, never more
 * out than the limit, and shares that lie idle go back.
 *
 * The batch is a small part of the limit (limit / (64 * workers), at least 1, at most 64), so what other
 * workers hold unused can refuse at most about 3 % too early; a batch of 1 holds nothing back: small limits
 * are exact at every instant. */
#ifndef SP_PROXY_BUDGET_H
#define SP_PROXY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct sp_budget {
    uint64_t out;   /* atomic: lent */
    uint64_t limit; /* atomic; may change at run time, also below what is out */
    uint32_t batch;
    char apart[44]; /* no two budgets write to one cache line, wherever memory puts them */
};

/* One worker's share. */
struct sp_lease {
    struct sp_budget *budget;
    uint32_t spare; /* lent to us, not in use */
    uint64_t used;
    uint64_t used_before; /* at the last idle tick */
};

void sp_budget_init(struct sp_budget *budget, uint64_t limit, uint32_t workers);
void sp_budget_set_limit(struct sp_budget *budget, uint64_t limit, uint32_t workers);
uint64_t sp_budget_out(const struct sp_budget *budget);

void sp_lease_init(struct sp_lease *lease, struct sp_budget *budget);
/* Everything must have been given back; returns the spare. */
void sp_lease_deinit(struct sp_lease *lease);
/* False: the limit is reached. */
bool sp_lease_take(struct sp_lease *lease);
void sp_lease_give(struct sp_lease *lease);
/* Take one whatever the limit says: what was lent before a hand-over is lent after it. */
void sp_lease_force(struct sp_lease *lease);
/* Once a second or so: return what has not been needed. */
void sp_lease_idle(struct sp_lease *lease);

#endif
