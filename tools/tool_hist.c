/* Log-linear buckets. */
#include "tools/tool_hist.h"

#define STEP_BITS 6u
_Static_assert(TOOL_HIST_STEPS == 1u << STEP_BITS, "a step is the bits below the leading one");

/* Values below 64 ns share the first row one by one; above, row = power, column = next 6 bits. */
static uint32_t bucket_of(uint64_t ns)
{
    uint32_t power;

    if (ns < TOOL_HIST_STEPS) {
        return (uint32_t)ns;
    }
    power = 63u - (uint32_t)__builtin_clzll(ns);
    if (power - STEP_BITS + 1 >= TOOL_HIST_POWERS) {
        return TOOL_HIST_POWERS * TOOL_HIST_STEPS - 1;
    }
    return (power - STEP_BITS + 1) * TOOL_HIST_STEPS +
           (uint32_t)((ns >> (power - STEP_BITS)) & (TOOL_HIST_STEPS - 1));
}

static uint64_t bucket_upper_ns(uint32_t bucket)
{
    uint32_t row = bucket / TOOL_HIST_STEPS;
    uint64_t step = bucket % TOOL_HIST_STEPS;

    if (row == 0) {
        return step;
    }
    return ((TOOL_HIST_STEPS + step + 1) << (row - 1)) - 1;
}

void tool_hist_add(struct tool_hist *h, uint64_t ns)
{
    h->counts[bucket_of(ns)]++;
    h->count++;
    h->sum_ns += ns;
    if (ns > h->max_ns) {
        h->max_ns = ns;
    }
}

void tool_hist_merge(struct tool_hist *into, const struct tool_hist *from)
{
    for (uint32_t i = 0; i < TOOL_HIST_POWERS * TOOL_HIST_STEPS; i++) {
        into->counts[i] += from->counts[i];
    }
    into->count += from->count;
    into->sum_ns += from->sum_ns;
    if (from->max_ns > into->max_ns) {
        into->max_ns = from->max_ns;
    }
}

uint64_t tool_hist_at_ns(const struct tool_hist *h, double share)
{
    uint64_t want = (uint64_t)(share * (double)h->count + 0.5);
    uint64_t seen = 0;

    if (want == 0) {
        want = 1;
    }
    for (uint32_t i = 0; i < TOOL_HIST_POWERS * TOOL_HIST_STEPS && h->count != 0; i++) {
        seen += h->counts[i];
        if (seen >= want) {
            uint64_t upper = bucket_upper_ns(i);

            return upper < h->max_ns ? upper : h->max_ns;
        }
    }
    return h->max_ns;
}
