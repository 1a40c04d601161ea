#include "core/egress/path_rates.h"

/* The path's own throttle comes after the shared ones of the same rate. */
static uint32_t own_index(const struct path_rates *rates)
{
    return rates->shared->count;
}

const struct throttle_spec *path_rates_spec(const struct path_rates *rates, uint32_t at)
{
    MUST(at <= rates->shared->count);
    return at == own_index(rates) ? rates->own : &rates->shared->items[at].spec;
}

static int rate_compare(const struct throttle_spec *a, const struct throttle_spec *b)
{
    double rate_a = (double)a->limit / (double)a->period_s;
    double rate_b = (double)b->limit / (double)b->period_s;

    return rate_a < rate_b ? -1 : rate_a > rate_b;
}

/* Whether `a` is paid before `b`. */
static bool comes_before(const struct path_rates *rates, uint32_t a, uint32_t b)
{
    int order = rate_compare(path_rates_spec(rates, a), path_rates_spec(rates, b));

    return order < 0 || (order == 0 && a < b);
}

uint32_t path_rates_next(const struct path_rates *rates, uint32_t paid)
{
    uint32_t end = rates->shared->count + (rates->own != NULL ? 1 : 0);
    uint32_t next = PATH_RATES_END;

    if (paid >= end) { /* none yet; or the path has fewer than it had */
        paid = PATH_RATES_BEGIN;
    }
    for (uint32_t at = 0; at < end; at++) {
        if (at != paid && (paid == PATH_RATES_BEGIN || comes_before(rates, paid, at)) &&
            (next == PATH_RATES_END || comes_before(rates, at, next))) {
            next = at;
        }
    }
    return next;
}

void path_rates_name(const struct path_rates *rates, uint32_t at, struct buf *out,
                     struct slice own_prefix, struct slice own_name)
{
    if (at == own_index(rates)) {
        buf_put(out, own_prefix);
        buf_put(out, own_name);
    } else {
        buf_put(out, slice_str(rates->shared->items[at].name));
    }
}
