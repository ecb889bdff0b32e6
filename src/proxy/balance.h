/* balance: which endpoint of a cluster gets the next call. One worker's state; weights and health come from
 * the endpoints, the order from here. */
#ifndef SP_PROXY_BALANCE_H
#define SP_PROXY_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "model/cluster.h"

struct sp_endpoint;

struct sp_balance_key {
    uint64_t hash;                    /* of the route's hash policy */
    bool has_hash;                    /* without one a hashing policy picks at random */
    struct sp_endpoint *const *avoid; /* endpoints tried before by this call, or NULL */
    uint32_t avoid_count;
};

struct sp_ring_point {
    uint64_t hash;
    uint32_t endpoint;
};

struct sp_balance {
    enum sp_balance_kind kind;
    struct sp_endpoint **endpoints; /* the cluster's; healthy and not, all priorities */
    uint32_t *usable;               /* indices of healthy endpoints of the best priority that has any */
    uint32_t usable_count;
    bool equal_weights;
    uint64_t at;      /* round robin, equal weights */
    int64_t *current; /* smooth weighted round robin: current weight of usable[i] */
    int64_t weight_total;
    uint32_t choices;
    struct sp_ring_point *ring; /* ring hash; sorted */
    uint32_t ring_count;
    uint64_t ring_min, ring_max;
    struct sp_rng *rng;
};

sp_err sp_balance_init(struct sp_balance *b, const struct sp_cluster_spec *spec,
                       struct sp_rng *rng) SP_MUST_USE;
void sp_balance_deinit(struct sp_balance *b);
/* The set, weights or health changed; borrowed until the next call. On SP_E_NOMEM the old set stays. */
sp_err sp_balance_set(struct sp_balance *b, struct sp_endpoint **endpoints, uint32_t count) SP_MUST_USE;
/* NULL: none is usable. Endpoints in key->avoid come only when no other is left. */
struct sp_endpoint *sp_balance_pick(struct sp_balance *b, const struct sp_balance_key *key);

#endif
