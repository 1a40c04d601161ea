/*
 * throttle_spec - so much in so long, as policies write it:
 *
 *     [local:]<limit>/<[n]period>[,max_burst=<burst>]        100/hr   local:1,000/m   20/30min
 *
 * Limit and burst may hold ',' and '_' between their digits. A period is one of
 * h hr hour m min minute s sec second d day, with an optional factor in front.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

struct throttle_spec {
    uint64_t limit; /* 0: no spec */
    uint64_t period_s;
    uint64_t max_burst; /* counts only with has_burst */
    bool has_burst;
    bool force_local; /* this process alone, even where throttles are shared */
};

/* On failure the reference's text is appended to `why`. */
NODISCARD bool throttle_spec_parse(struct slice text, struct throttle_spec *out, struct buf *why);
/* The canonical form: "100/h", "local:100/90s,max_burst=5". */
void throttle_spec_put(struct buf *out, const struct throttle_spec *spec);
PURE bool throttle_spec_eq(const struct throttle_spec *a, const struct throttle_spec *b);
