/* The generic cell rate algorithm on unsigned nanoseconds. */
#include "core/limit/gcra.h"

#include "core/base/check.h"

/* A bucket is never deeper than this (146 years), so sums of two depths and a clock fit. */
#define DEPTH_MAX_NS (UINT64_C(1) << 62)

static uint64_t mul_sat(uint64_t a, uint64_t b)
{
    uint64_t product;

    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

struct gcra_rate gcra_rate_make(uint64_t limit, uint64_t period_s, uint64_t max_burst)
{
    struct gcra_rate rate = {
        .limit = limit != 0 ? limit : 1,
        .period_s = period_s != 0 ? period_s : 1,
    };

    rate.burst = max_burst != GCRA_NO_BURST ? max_burst : rate.limit;
    /* Rounded down, so that a whole bucket is back after one period and not a nanosecond later. */
    rate.interval_ns = mul_sat(rate.period_s, 1000000000u) / rate.limit;
    if (rate.interval_ns == 0) {
        rate.interval_ns = 1;
    }
    /* The reference allows one more than the configured burst, yet never more than the limit. */
    rate.capacity = rate.burst < rate.limit ? rate.burst + 1 : rate.limit;
    if (rate.capacity > DEPTH_MAX_NS) {
        rate.capacity = DEPTH_MAX_NS;
    }
    if (rate.interval_ns > DEPTH_MAX_NS / rate.capacity) {
        rate.interval_ns = DEPTH_MAX_NS / rate.capacity;
    }
    return rate;
}

/* How far in the future the bucket may be full: its depth in time. */
static uint64_t depth_ns(const struct gcra_rate *rate)
{
    return rate->interval_ns * rate->capacity;
}

static uint64_t debt_ns(const struct gcra *g, uint64_t now_ns)
{
    const uint64_t debt = g->full_at_ns > now_ns ? g->full_at_ns - now_ns : 0;

    return debt < DEPTH_MAX_NS ? debt : DEPTH_MAX_NS;
}

uint64_t gcra_take(struct gcra *g, const struct gcra_rate *rate, uint64_t now_ns, uint64_t count)
{
    MUST(rate->interval_ns != 0 && rate->capacity != 0);
    if (count > rate->capacity) {
        return GCRA_NEVER;
    }

    const uint64_t debt = debt_ns(g, now_ns) + rate->interval_ns * count;
    const uint64_t depth = depth_ns(rate);

    if (debt > depth) {
        return debt - depth;
    }
    g->full_at_ns = now_ns + debt;
    return 0;
}

uint64_t gcra_room(const struct gcra *g, const struct gcra_rate *rate, uint64_t now_ns)
{
    const uint64_t debt = debt_ns(g, now_ns);
    const uint64_t depth = depth_ns(rate);

    return debt < depth ? (depth - debt) / rate->interval_ns : 0;
}

uint64_t gcra_take_some(struct gcra *g, const struct gcra_rate *rate, uint64_t now_ns,
                        uint64_t count)
{
    const uint64_t room = gcra_room(g, rate, now_ns);
    const uint64_t taken = count < room ? count : room;

    return gcra_take(g, rate, now_ns, taken) == 0 ? taken : 0;
}

void gcra_give(struct gcra *g, const struct gcra_rate *rate, uint64_t count)
{
    const uint64_t back_ns = mul_sat(rate->interval_ns, count);

    g->full_at_ns = g->full_at_ns > back_ns ? g->full_at_ns - back_ns : 0;
}

struct gcra_verdict gcra_judge(struct gcra *g, const struct gcra_rate *rate, uint64_t now_ns,
                               uint64_t count)
{
    const uint64_t wait_ns = gcra_take(g, rate, now_ns, count);

    return (struct gcra_verdict){
        .throttled = wait_ns != 0,
        .limit = rate->capacity,
        .remaining = gcra_room(g, rate, now_ns),
        .reset_after_ns = debt_ns(g, now_ns),
        .retry_after_ns = wait_ns,
    };
}
