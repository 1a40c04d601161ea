/*
 * conn_limit - named counters of connections, held as leases.
 *
 * A limit is known by its name; the number allowed comes with each request, since a config may
 * change while leases are out. A lease is a plain value that may travel between shards; only the
 * shard that owns the name (shard_of_name(), or the path's owner for its own limit) counts.
 * A lease that nobody extends runs out by itself, so a holder that vanished frees its place.
 *
 * Owner     one shard. Every call is made on it.
 * Memory    an entry per name in use, a slot per lease out; slots are reused, never given back.
 * Order     waiters of one name get a place in the order they came; one whose own number leaves
 *           no room does not hold up another whose number does.
 * Blocking  never. A waiter's callback runs from the loop, never inside a call made here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/hmap.h"
#include "core/base/list.h"
#include "core/base/slice.h"
#include "core/shard/shard.h"

struct conn_limit;
struct conn_lease_slot;
struct conn_waiter;

/* {0} is no lease. */
struct conn_lease {
    uint32_t slot; /* index + 1 */
    uint32_t generation;
};

/* The lease belongs to the callee. */
typedef void conn_waiter_fn(struct conn_waiter *w, struct conn_lease lease);

/* A field of whoever waits; fn is set by the owner, the rest by conn_limit_wait(). */
struct conn_waiter {
    struct dlist link; /* linked while waiting or while the answer is on its way */
    conn_waiter_fn *fn;
    struct conn_limit *limit;
    uint64_t count_max;
    uint64_t lease_ms;
    struct conn_lease lease; /* set: granted, callback pending */
};

struct conn_limits {
    struct shard *shard;
    struct hmap limits;
    struct conn_lease_slot **chunks;
    uint32_t chunk_count;
    uint32_t slot_free; /* head of the free list, index + 1 */
    uint32_t lease_count;
    struct dlist granted; /* struct conn_waiter, to be told */
    struct post post;
};

/* A request: how many may be out at once, and how long the lease lasts unless extended. */
struct conn_limit_ask {
    struct slice name;
    uint64_t count_max; /* at least 1 */
    uint64_t lease_ms;
};

void conn_limits_init(struct conn_limits *cl, struct shard *shard, uint64_t seed);
/* Forgets leases and waiters; waiters are not called. */
void conn_limits_free(struct conn_limits *cl);

/* False when all places are taken, or when others wait for one. */
NODISCARD bool conn_limit_take(struct conn_limits *cl, const struct conn_limit_ask *ask,
                               struct conn_lease *out);
/* Queues for a place; the answer comes through w->fn even when one is free now. */
void conn_limit_wait(struct conn_limits *cl, const struct conn_limit_ask *ask,
                     struct conn_waiter *w);
/* Does nothing when not waiting; a place granted meanwhile goes to the next. */
void conn_limit_unwait(struct conn_limits *cl, struct conn_waiter *w);

/* Starts the lease's time anew. False: it ran out, and the place may be another's. */
NODISCARD bool conn_lease_extend(struct conn_limits *cl, struct conn_lease lease,
                                 uint64_t lease_ms);
/* Sets *lease to {0}. One that ran out, or {0}, is accepted. */
void conn_lease_give(struct conn_limits *cl, struct conn_lease *lease);

static inline bool conn_lease_is_some(struct conn_lease lease)
{
    return lease.slot != 0;
}

/* Leases out and waiters queued for a name. */
struct conn_limit_state {
    uint64_t in_use, waiting;
};
struct conn_limit_state conn_limit_state(const struct conn_limits *cl, struct slice name);
