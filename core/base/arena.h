/*
 * arena - many small things that end together.
 *
 * Memory    chunks, each twice as large as the one before up to 64 KiB, or as large as what fits
 *           none; {0} is an empty arena. arena_free() gives all back and leaves {0}.
 * Limits    none of its own: whoever takes room for peer input checks a bound first.
 */
#pragma once

#include <stddef.h>

#include "core/base/attr.h"
#include "core/base/slice.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *newest;
};

void arena_free(struct arena *a);
/* Sees to it that the next `size` bytes, padding included, come out of one chunk. */
void arena_reserve(struct arena *a, size_t size);
void *arena_take(struct arena *a, size_t size);      /* uninitialised, aligned for any object */
void *arena_take_zero(struct arena *a, size_t size); /* likewise, zeroed */
/* A copy, not aligned; of nothing, an empty slice that is not NULL. */
struct slice arena_copy(struct arena *a, struct slice s);

#define ARENA_NEW(a, type) ((type *)arena_take_zero((a), sizeof(type)))
