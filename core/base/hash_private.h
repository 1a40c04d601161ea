/*
 * hash_private - hash64() for the processors that have AVX2; for long runs, twice as fast. The
 * answer is the same.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"

PURE uint64_t hash64_avx2(const void *bytes, size_t len, uint64_t seed);
