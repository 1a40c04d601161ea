/*
 * tool_hist - a histogram of durations with a relative error below 2 %.
 *
 * Buckets are linear within each power of two, so the size is fixed and adding is O(1).
 */
#pragma once

#include <stdint.h>

#include "core/base/attr.h"

#define TOOL_HIST_STEPS 64u  /* per power of two */
#define TOOL_HIST_POWERS 42u /* 2^6 .. 2^47 ns: a little over a day */

struct tool_hist {
    uint64_t counts[TOOL_HIST_POWERS * TOOL_HIST_STEPS];
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
};

void tool_hist_add(struct tool_hist *h, uint64_t ns);
void tool_hist_merge(struct tool_hist *into, const struct tool_hist *from);
/* The upper edge of the bucket in which the given share lies (0.5 is the median); 0 when empty. */
PURE uint64_t tool_hist_at_ns(const struct tool_hist *h, double share);
