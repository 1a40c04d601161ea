/* Compiled for AVX2. Includes nothing whose functions others could share. */
#include "core/base/hash_private.h"

#ifdef __x86_64__

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash64_avx2(const void *bytes, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, len, seed);
}

#endif
