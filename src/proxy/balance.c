/* balance: which endpoint gets the next call.
 *
 * round robin     in order; with weights the smooth form (each pick adds its weight to every endpoint and
 * takes
 *                 the total off the winner), so 5:1:1 gives a a b a c a a and never aaaaabc
 * least request   of N drawn at random the one with the fewest calls under way, weighted by weight/(active+1)
 * random          by weight
 * ring hash       a ring of points, xxHash64 of "address_i"; a call goes to the first point at or after its
 * hash
 *
 * The usable set is made when the set or health changes: the healthy endpoints of the best priority that has
 * any. Picking never allocates. A call that is tried again passes over the endpoints it has tried, while
 * there is another: a bounded number of redraws first, a walk over the set at last.
 *
 * One worker's round robin starts at a random place: workers that start together would else send their first
 * calls all to the same endpoint. */
#include "proxy/balance.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/cluster.h"

enum { REDRAWS = 4 };

sp_err sp_balance_init(struct sp_balance *b, const struct sp_cluster_spec *spec, struct sp_rng *rng)
{
    memset(b, 0, sizeof(*b));
    b->kind = spec->balance;
    b->choices = spec->least_choices ? spec->least_choices : 2;
    b->ring_min = spec->ring_min ? spec->ring_min : 1024;
    b->ring_max = spec->ring_max ? spec->ring_max : 8 * 1024 * 1024;
    b->rng = rng;
    b->at = sp_rng_next(rng);
    return 0;
}

void sp_balance_deinit(struct sp_balance *b)
{
    sp_mem_free(b->usable);
    sp_mem_free(b->current);
    sp_mem_free(b->ring);
    memset(b, 0, sizeof(*b));
}

/* ---- the ring ---- */

static int by_hash(const void *a, const void *b)
{
    const struct sp_ring_point *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->endpoint < y->endpoint ? -1 : x->endpoint > y->endpoint;
}

static double round_up(double x)
{
    double whole = (double)(uint64_t)x;
    return whole < x ? whole + 1 : whole;
}

/* Points in proportion to weight, at least ring_min in all, as Envoy and gRPC scale them (gRFC A42). */
static sp_err build_ring(const struct sp_balance *b, const uint32_t *usable, uint32_t count, int64_t total,
                         struct sp_ring_point **ret_ring, uint32_t *ret_count)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++)
        least = SP_MIN(least, b->endpoints[usable[i]]->weight);
    double min_normal = (double)least / (double)total;
    double scale = (double)b->ring_min;
    scale = SP_MIN(round_up(min_normal * scale) / min_normal, (double)b->ring_max);
    struct sp_ring_point *ring = sp_mem_alloc(((size_t)scale + count + 1) * sizeof(*ring));
    if (!ring)
        return SP_E_NOMEM;
    double current = 0, target = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct sp_endpoint *ep = b->endpoints[usable[i]];
        char key[SP_ADDR_TEXT_BYTES + 16];
        size_t len = sp_addr_print(&ep->addr, key, SP_ADDR_TEXT_BYTES);
        key[len++] = '_';
        target += scale * ((double)ep->weight / (double)total);
        for (uint32_t copy = 0; current < target; copy++, current += 1) {
            char digits[12];
            int d = 0;
            for (uint32_t v = copy; d == 0 || v; v /= 10)
                digits[d++] = (char)('0' + v % 10);
            size_t at = len;
            while (d)
                key[at++] = digits[--d];
            ring[n++] = (struct sp_ring_point){ sp_str_xxh64(sp_str_of(key, at), 0), usable[i] };
        }
    }
    qsort(ring, n, sizeof(*ring), by_hash);
    *ret_ring = ring;
    *ret_count = n;
    return 0;
}

static struct sp_endpoint *pick_ring(struct sp_balance *b, uint64_t hash, uint32_t step)
{
    uint32_t low = 0, high = b->ring_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (b->ring[mid].hash < hash)
            low = mid + 1;
        else
            high = mid;
    }
    return b->endpoints[b->ring[(low + step) % b->ring_count].endpoint];
}

/* ---- the set ---- */

sp_err sp_balance_set(struct sp_balance *b, struct sp_endpoint **endpoints, uint32_t count)
{
    uint32_t best = UINT32_MAX, n = 0;
    for (uint32_t i = 0; i < count; i++)
        if (endpoints[i]->healthy)
            best = SP_MIN(best, endpoints[i]->priority);
    uint32_t *usable = sp_mem_alloc((count + 1) * sizeof(*usable));
    int64_t *current = sp_mem_zalloc((count + 1) * sizeof(*current));
    struct sp_ring_point *ring = NULL;
    uint32_t ring_count = 0;
    if (!usable || !current)
        goto fail;
    int64_t total = 0;
    bool equal = true;
    for (uint32_t i = 0; i < count; i++) {
        if (!endpoints[i]->healthy || endpoints[i]->priority != best)
            continue;
        equal = equal && (n == 0 || endpoints[i]->weight == endpoints[usable[0]]->weight);
        total += endpoints[i]->weight;
        usable[n++] = i;
    }
    struct sp_endpoint **before = b->endpoints;
    b->endpoints = endpoints;
    if (b->kind == SP_BALANCE_RING_HASH && n && build_ring(b, usable, n, total, &ring, &ring_count)) {
        b->endpoints = before;
        goto fail;
    }
    sp_mem_free(b->usable);
    sp_mem_free(b->current);
    sp_mem_free(b->ring);
    b->usable = usable;
    b->current = current;
    b->ring = ring;
    b->ring_count = ring_count;
    b->usable_count = n;
    b->weight_total = total;
    b->equal_weights = equal;
    return 0;

fail:
    sp_mem_free(usable);
    sp_mem_free(current);
    return SP_E_NOMEM;
}

/* ---- picking ---- */

static struct sp_endpoint *pick_random(struct sp_balance *b)
{
    if (b->equal_weights)
        return b->endpoints[b->usable[sp_rng_below(b->rng, b->usable_count)]];
    int64_t at = (int64_t)sp_rng_below(b->rng, (uint64_t)b->weight_total);
    for (uint32_t i = 0; i < b->usable_count; i++) {
        at -= b->endpoints[b->usable[i]]->weight;
        if (at < 0)
            return b->endpoints[b->usable[i]];
    }
    return b->endpoints[b->usable[0]];
}

static struct sp_endpoint *pick_round(struct sp_balance *b)
{
    if (b->equal_weights)
        return b->endpoints[b->usable[b->at++ % b->usable_count]];
    uint32_t winner = 0;
    for (uint32_t i = 0; i < b->usable_count; i++) {
        b->current[i] += b->endpoints[b->usable[i]]->weight;
        if (b->current[i] > b->current[winner])
            winner = i;
    }
    b->current[winner] -= b->weight_total;
    return b->endpoints[b->usable[winner]];
}

/* Is x the better choice: fewer calls under way for its weight? (a+1)/wa < (b+1)/wb */
static bool is_less_busy(const struct sp_endpoint *x, const struct sp_endpoint *y)
{
    return ((uint64_t)x->active + 1) * y->weight < ((uint64_t)y->active + 1) * x->weight;
}

static struct sp_endpoint *pick_least(struct sp_balance *b)
{
    struct sp_endpoint *best = b->endpoints[b->usable[sp_rng_below(b->rng, b->usable_count)]];
    for (uint32_t i = 1; i < b->choices; i++) {
        struct sp_endpoint *other = b->endpoints[b->usable[sp_rng_below(b->rng, b->usable_count)]];
        if (is_less_busy(other, best))
            best = other;
    }
    return best;
}

static struct sp_endpoint *pick_once(struct sp_balance *b, const struct sp_balance_key *key, uint32_t step)
{
    switch (b->kind) {
    case SP_BALANCE_ROUND_ROBIN:
    case SP_BALANCE_GIVEN: return pick_round(b);
    case SP_BALANCE_LEAST_REQUEST: return pick_least(b);
    case SP_BALANCE_RANDOM: return pick_random(b);
    case SP_BALANCE_RING_HASH: return pick_ring(b, key->has_hash ? key->hash : sp_rng_next(b->rng), step);
    }
    return NULL;
}

static bool is_avoided(const struct sp_balance_key *key, const struct sp_endpoint *ep)
{
    for (uint32_t i = 0; i < key->avoid_count; i++)
        if (key->avoid[i] == ep)
            return true;
    return false;
}

struct sp_endpoint *sp_balance_pick(struct sp_balance *b, const struct sp_balance_key *key)
{
    if (b->usable_count == 0)
        return NULL;
    struct sp_endpoint *first = pick_once(b, key, 0);
    if (!key->avoid_count || !is_avoided(key, first))
        return first;
    for (uint32_t step = 1; step <= REDRAWS; step++) {
        struct sp_endpoint *ep = pick_once(b, key, step);
        if (!is_avoided(key, ep))
            return ep;
    }
    for (uint32_t i = 0; i < b->usable_count; i++)
        if (!is_avoided(key, b->endpoints[b->usable[i]]))
            return b->endpoints[b->usable[i]];
    return first;
}
