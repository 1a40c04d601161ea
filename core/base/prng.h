/*
 * prng - xoshiro256** as a value, seeded through splitmix64. Fast, repeatable from its seed, and
 * no secret: keys and session ids come from the ring's randomness instead.
 */
#pragma once

#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/check.h"

struct prng {
    uint64_t s[4];
};

static inline uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline struct prng prng_from_seed(uint64_t seed)
{
    struct prng p;

    for (unsigned i = 0; i < 4; i++) {
        p.s[i] = splitmix64(&seed);
    }
    return p;
}

static inline uint64_t prng_rotl(uint64_t x, unsigned k)
{
    return x << k | x >> (64 - k);
}

static inline uint64_t prng_next(struct prng *p)
{
    uint64_t result = prng_rotl(p->s[1] * 5, 7) * 9, t = p->s[1] << 17;

    p->s[2] ^= p->s[0];
    p->s[3] ^= p->s[1];
    p->s[1] ^= p->s[2];
    p->s[0] ^= p->s[3];
    p->s[2] ^= t;
    p->s[3] = prng_rotl(p->s[3], 45);
    return result;
}

/* 0 .. bound - 1, without bias worth a name (bound * 2^-64); bound > 0. */
static inline uint64_t prng_below(struct prng *p, uint64_t bound)
{
    MUST_HOT(bound > 0);
    return (uint64_t)(((unsigned __int128)prng_next(p) * bound) >> 64);
}

/* 0 <= x < 1, 53 bits. */
static inline double prng_unit(struct prng *p)
{
    return (double)(prng_next(p) >> 11) * 0x1p-53;
}
