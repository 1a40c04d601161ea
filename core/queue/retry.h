/*
 * retry - when a message is tried again and when it is given up. Pure arithmetic.
 *
 * Units     milliseconds; the jitter is a whole number of seconds, as in the reference.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"

struct retry_schedule {
    uint64_t retry_interval_s;     /* only whole seconds count */
    uint64_t max_retry_interval_s; /* 0: no cap */
    uint64_t max_age_ms;
};

/* The delay after a failed attempt; `attempts` is the counter before it is raised, `random` any
 * 64 random bits. */
PURE uint64_t retry_delay_ms(const struct retry_schedule *s, uint16_t attempts, uint64_t random);

/* A short uniform delay of up to a minute, for messages that could not be promoted. */
PURE uint64_t retry_spread_ms(uint64_t random);

/* Whether the next try, `delay_ms` from now, comes too late for a message of this age. */
PURE bool retry_expires(const struct retry_schedule *s, uint64_t age_ms, uint64_t delay_ms);
