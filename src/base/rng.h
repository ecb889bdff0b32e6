/* rng: xoshiro256**, seeded by the caller. Not for keys; io/crypto is. */
#ifndef SP_BASE_RNG_H
#define SP_BASE_RNG_H

#include <stdint.h>

struct sp_rng {
    uint64_t s[4];
};

void sp_rng_init(struct sp_rng *r, uint64_t seed); /* splitmix64 spreads the seed */
uint64_t sp_rng_next(struct sp_rng *r);
/* Uniform in 0 .. n-1 without bias; n > 0. */
uint64_t sp_rng_below(struct sp_rng *r, uint64_t n);
/* True with probability permille / 1000. */
int sp_rng_chance(struct sp_rng *r, uint32_t permille);

#endif
