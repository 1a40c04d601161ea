/*
 * throttle - the named token buckets of one shard.
 *
 * A bucket is known by its name and its whole spec (name:limit:burst:period), so a changed spec
 * starts a new bucket. The shard that owns a bucket is shard_of_name(group, name) for buckets
 * that several paths or queues share, the owner of the path or queue for its own ones; whoever
 * calls here stands on that shard already.
 *
 * Owner     one shard; no locking.
 * Memory    a bucket that is full again equals one that never was: each insert looks at two old
 *           buckets and drops those. At count_max the least recently used goes although it still
 *           holds a debt, and dropped_count says how often that happened.
 * Blocking  never; time comes with the call.
 */
#pragma once

#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/hmap.h"
#include "core/base/list.h"
#include "core/base/slice.h"
#include "core/base/throttle_spec.h"
#include "core/limit/gcra.h"

#define THROTTLE_COUNT_MAX_DEFAULT (1u << 20)

struct throttles {
    struct hmap buckets;
    struct dlist used; /* least recently used first */
    struct buf key;    /* scratch */
    size_t count_max;
    uint64_t dropped_count;
};

void throttles_init(struct throttles *ts, uint64_t seed, size_t count_max);
void throttles_free(struct throttles *ts);

/* Takes `count` tokens or none: 0 when taken, otherwise the wait in nanoseconds, GCRA_NEVER when
 * `count` can never be had at once. */
NODISCARD uint64_t throttle_take(struct throttles *ts, struct slice name,
                                 const struct gcra_rate *rate, uint64_t now_ns, uint64_t count);
/* As many as there are, at most `count`. */
NODISCARD uint64_t throttle_take_some(struct throttles *ts, struct slice name,
                                      const struct gcra_rate *rate, uint64_t now_ns,
                                      uint64_t count);
void throttle_give(struct throttles *ts, struct slice name, const struct gcra_rate *rate,
                   uint64_t now_ns, uint64_t count);
struct gcra_verdict throttle_judge(struct throttles *ts, struct slice name,
                                   const struct gcra_rate *rate, uint64_t now_ns,
                                   uint64_t count);

static inline struct gcra_rate throttle_rate(const struct throttle_spec *spec)
{
    return gcra_rate_make(spec->limit, spec->period_s,
                          spec->has_burst ? spec->max_burst : GCRA_NO_BURST);
}

/* Appends "name:limit:burst:period", the key shared with other stores. */
void throttle_key_put(struct buf *out, struct slice name, const struct gcra_rate *rate);
