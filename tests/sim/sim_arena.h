/*
 * sim_arena - memory that outlives the daemon's process: the simulated world lives here.
 *
 * Each life of the daemon runs in a forked child, so that a crash leaves nothing of it behind.
 * The world is in a mapping that all of them share, at one address.
 *
 * Owner     the one thread that runs at any moment.
 * Memory    never given back to the system before sim_arena_reset(). Allocations are zero.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/slice.h"

#define ARENA_CLASSES 40u

struct sim_arena {
    size_t size, used;
    int fd;
    void *free[ARENA_CLASSES]; /* by power of two */
};

/* Address space, not memory; the arena is at its start. */
struct sim_arena *sim_arena_open(size_t size);
/* In a forked process: from now on its own copy, which nobody else sees. */
bool arena_fork(struct sim_arena *a);
/* Everything is gone, the memory too. */
void sim_arena_reset(struct sim_arena *a);
void *sim_arena_take(struct sim_arena *a, size_t size);
/* `size` as it was taken. NULL is accepted. */
void sim_arena_give(struct sim_arena *a, void *ptr, size_t size);
void *sim_arena_grow(struct sim_arena *a, void *ptr, size_t old_size, size_t size);

/* A queue of bytes. {0} is an empty one. */
struct sim_bytes {
    char *ptr;
    size_t start, len, cap;
};

void bytes_put(struct sim_arena *a, struct sim_bytes *b, struct slice s);
void bytes_drop(struct sim_bytes *b, size_t n);
void bytes_free(struct sim_arena *a, struct sim_bytes *b);

static inline struct slice bytes_slice(const struct sim_bytes *b)
{
    return b->len > 0 ? slice_of(b->ptr + b->start, b->len) : SLICE("");
}
