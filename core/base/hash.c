#include "core/base/hash.h"

#include "core/base/hash_private.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HASH_LONG 256u /* bytes from which on the processor's wider registers tell */

uint64_t hash64(const void *bytes, size_t len, uint64_t seed)
{
#ifdef __x86_64__
    if (len >= HASH_LONG && __builtin_cpu_supports("avx2")) {
        return hash64_avx2(bytes, len, seed);
    }
#endif
    return XXH3_64bits_withSeed(bytes, len, seed);
}
