#include "core/base/throttle_spec.h"

#include "core/base/limit_spec.h"

static const struct {
    struct slice name;
    uint64_t seconds;
} periods[] = {
    {SLICE_INIT("h"), 3600},  {SLICE_INIT("hr"), 3600},   {SLICE_INIT("hour"), 3600},
    {SLICE_INIT("m"), 60},    {SLICE_INIT("min"), 60},    {SLICE_INIT("minute"), 60},
    {SLICE_INIT("s"), 1},     {SLICE_INIT("sec"), 1},     {SLICE_INIT("second"), 1},
    {SLICE_INIT("d"), 86400}, {SLICE_INIT("day"), 86400},
};

/* period = [ factor ] unit */
static bool parse_period(struct slice text, uint64_t *seconds, struct buf *why)
{
    struct slice unit = text, factor_text;
    uint64_t factor = 1;

    while (unit.len > 0 && unit.ptr[0] >= '0' && unit.ptr[0] <= '9') {
        unit = slice_from(unit, 1);
    }
    factor_text = slice_head(text, text.len - unit.len);
    if (factor_text.len > 0 && !slice_to_u64(factor_text, &factor)) {
        BUF_LIT(why, "number too big");
        return false;
    }
    for (size_t i = 0; i < ARRAY_COUNT(periods); i++) {
        if (slice_eq(unit, periods[i].name) && factor > 0 &&
            !__builtin_mul_overflow(periods[i].seconds, factor, seconds)) {
            return true;
        }
    }
    if (unit.len == 0 || factor != 1) {
        buf_printf(why, "invalid period quantity %.*s", SLICE_ARG(slice_head(text, 128)));
    } else {
        buf_printf(why, "unknown period quantity %.*s", SLICE_ARG(slice_head(unit, 128)));
    }
    return false;
}

bool throttle_spec_parse(struct slice text, struct throttle_spec *out, struct buf *why)
{
    static const struct slice local = SLICE_INIT("local:"), burst = SLICE_INIT(",max_burst=");
    struct slice spec;
    size_t slash;
    const char *hit;

    *out = (struct throttle_spec){.force_local = slice_starts(text, local)};
    spec = slice_from(text, out->force_local ? local.len : 0);
    hit = spec.len != 0 ? memmem(spec.ptr, spec.len, burst.ptr, burst.len) : NULL;
    if (hit != NULL) {
        struct slice count = slice_from(spec, (size_t)(hit - spec.ptr) + burst.len);

        spec = slice_head(spec, (size_t)(hit - spec.ptr));
        out->has_burst = true;
        if (!count_parse(count, &out->max_burst, why)) {
            return false;
        }
    }
    slash = slice_find_char(spec, '/');
    if (slash == spec.len) {
        buf_printf(why, "expected 'limit/period', got %.*s", SLICE_ARG(slice_head(spec, 128)));
        return false;
    }
    if (!parse_period(slice_from(spec, slash + 1), &out->period_s, why) ||
        !count_parse(slice_head(spec, slash), &out->limit, why)) {
        return false;
    }
    if (out->limit == 0) {
        buf_printf(why, "invalid ThrottleSpec `%.*s`: limit must be greater than 0!",
                   SLICE_ARG(slice_head(spec, 128)));
        return false;
    }
    return true;
}

void throttle_spec_put(struct buf *out, const struct throttle_spec *spec)
{
    if (spec->force_local) {
        BUF_LIT(out, "local:");
    }
    buf_u64(out, spec->limit);
    buf_char(out, '/');
    switch (spec->period_s) {
    case 86400:
        buf_char(out, 'd');
        break;
    case 3600:
        buf_char(out, 'h');
        break;
    case 60:
        buf_char(out, 'm');
        break;
    case 1:
        buf_char(out, 's');
        break;
    default:
        buf_u64(out, spec->period_s);
        buf_char(out, 's');
        break;
    }
    if (spec->has_burst) {
        BUF_LIT(out, ",max_burst=");
        buf_u64(out, spec->max_burst);
    }
}

bool throttle_spec_eq(const struct throttle_spec *a, const struct throttle_spec *b)
{
    return a->limit == b->limit && a->period_s == b->period_s && a->has_burst == b->has_burst &&
           (!a->has_burst || a->max_burst == b->max_burst) && a->force_local == b->force_local;
}
