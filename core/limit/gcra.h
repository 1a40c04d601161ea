/*
 * gcra - a token bucket as one number: the moment at which the bucket would be full again.
 *
 * A bucket of {0} is full. Nothing ticks: time is given by the caller, so a bucket costs nothing
 * while nobody takes from it, and one whose moment has passed may be forgotten.
 *
 * Owner     whoever holds the struct; plain values.
 * Units     nanoseconds of the ring's monotonic clock.
 * Limits    a bucket that takes longer than 146 years to fill counts as one of 146 years.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"

#define GCRA_NO_BURST UINT64_MAX /* no max_burst given: the whole limit may come at once */
#define GCRA_NEVER UINT64_MAX

struct gcra_rate {
    uint64_t limit;       /* tokens per period, at least 1 */
    uint64_t burst;       /* as configured, or the limit; part of a bucket's name */
    uint64_t period_s;    /* at least 1 */
    uint64_t interval_ns; /* one token refills in this time */
    uint64_t capacity;    /* tokens of a full bucket: burst + 1, at most limit */
};

struct gcra {
    uint64_t full_at_ns;
};

/* What kumo.make_throttle's objects report; durations are exact, see gcra_whole_s(). */
struct gcra_verdict {
    bool throttled;
    uint64_t limit;          /* the capacity */
    uint64_t remaining;      /* tokens left after this call */
    uint64_t reset_after_ns; /* until the bucket is full */
    uint64_t retry_after_ns; /* 0 when not throttled; GCRA_NEVER when more was asked than fits */
};

/* limit and period_s of 0 count as 1: the grammar refuses them before they come here. */
struct gcra_rate gcra_rate_make(uint64_t limit, uint64_t period_s, uint64_t max_burst);

/* Takes `count` tokens or none. Answers 0 when taken, otherwise how long to wait before asking
 * again, GCRA_NEVER when `count` exceeds the capacity. */
NODISCARD uint64_t gcra_take(struct gcra *g, const struct gcra_rate *rate, uint64_t now_ns,
                             uint64_t count);
/* Takes as many as there are, at most `count`; for whoever leases tokens in batches. */
NODISCARD uint64_t gcra_take_some(struct gcra *g, const struct gcra_rate *rate, uint64_t now_ns,
                                  uint64_t count);
/* Gives back tokens that were taken and not used. */
void gcra_give(struct gcra *g, const struct gcra_rate *rate, uint64_t count);
/* gcra_take() with the full report. */
struct gcra_verdict gcra_judge(struct gcra *g, const struct gcra_rate *rate, uint64_t now_ns,
                               uint64_t count);

/* Tokens a take at now_ns would find. */
PURE uint64_t gcra_room(const struct gcra *g, const struct gcra_rate *rate, uint64_t now_ns);

static inline bool gcra_is_full(const struct gcra *g, uint64_t now_ns)
{
    return g->full_at_ns <= now_ns;
}

/* Rounded up, as every report in whole seconds is: a caller that comes back then is let in. */
static inline uint64_t gcra_whole_s(uint64_t ns)
{
    return ns / 1000000000u + (ns % 1000000000u != 0);
}
