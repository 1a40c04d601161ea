/*
 * hash - the 64-bit hash of this project (XXH3), for maps, placement and checksums.
 * Stable across runs and machines for a given seed: it is written to disk.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/slice.h"

PURE uint64_t hash64(const void *bytes, size_t len, uint64_t seed);

static inline uint64_t hash64_slice(struct slice s, uint64_t seed)
{
    return hash64(s.ptr, s.len, seed);
}
