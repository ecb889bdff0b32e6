/* rng: chance, from a seed.
 *
 * Picks among equal endpoints, jitter in retries, faults in the simulation. The algorithm is xoshiro256**
 * by Blackman and Vigna: 32 bytes of state, a nanosecond a number, and it passes what a load balancer could
 * ever notice. It is *not* for keys, tokens or anything that a peer must not guess; io/crypto is.
 *
 * The seed is always given. Nothing in this file asks the machine for randomness, so a run with the same
 * seed is the same run. splitmix64 spreads the seed over the state: seeds 1, 2, 3 give unrelated rows, and
 * no seed gives the all-zero state, from which the generator would never get away. */
#include "base/rng.h"

#include "base/err.h"

static uint64_t rotate(uint64_t v, int by)
{
    return v << by | v >> (64 - by);
}

void sp_rng_init(struct sp_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += 0x9E3779B97F4A7C15u;
        uint64_t z = seed;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        r->s[i] = z ^ z >> 31;
    }
}

uint64_t sp_rng_next(struct sp_rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

/* Up to 2^32 by a multiplication: the high half of x * n is uniform but for the few low halves below
 * 2^32 mod n, which are drawn again (Lemire). The division is met once in 2^32 / n draws. */
static uint32_t below_u32(struct sp_rng *r, uint32_t n)
{
    uint64_t product = (sp_rng_next(r) >> 32) * n;
    if ((uint32_t)product < n) {
        uint32_t reject = (0u - n) % n;
        while ((uint32_t)product < reject)
            product = (sp_rng_next(r) >> 32) * n;
    }
    return (uint32_t)(product >> 32);
}

uint64_t sp_rng_below(struct sp_rng *r, uint64_t n)
{
    SP_ASSERT(n > 0);
    if (n <= UINT32_MAX)
        return below_u32(r, (uint32_t)n);
    uint64_t reject = (0 - n) % n, x; /* 2^64 mod n: the rest divides evenly */
    do
        x = sp_rng_next(r);
    while (x < reject);
    return x % n;
}

int sp_rng_chance(struct sp_rng *r, uint32_t permille)
{
    return sp_rng_below(r, 1000) < permille;
}
