#include "core/base/duration.h"

#include <math.h>

/* More digits than these say nothing in nanoseconds; they are read and dropped. */
#define FRACTION_DIGITS_MAX 18u

static const struct {
    struct slice name;
    uint64_t ns;
} units[] = {
#define DURATION_UNIT(text, value) {SLICE_INIT(text), value},
#include "core/base/duration_units.def"
#undef DURATION_UNIT
};

struct term {
    uint64_t whole;
    uint64_t fraction; /* of fraction_scale */
    uint64_t fraction_scale;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct slice skip_spaces(struct slice s)
{
    size_t at = 0;

    while (at < s.len && (s.ptr[at] == ' ' || (s.ptr[at] >= '\t' && s.ptr[at] <= '\r'))) {
        at++;
    }
    return slice_from(s, at);
}

static size_t digit_count(struct slice s)
{
    size_t at = 0;

    while (at < s.len && is_digit(s.ptr[at])) {
        at++;
    }
    return at;
}

static bool cut_number(struct slice *text, struct term *term, struct buf *why)
{
    size_t digits = digit_count(*text), kept;

    if (digits == 0) {
        buf_printf(why, "expected number, got `%.*s`", SLICE_ARG(slice_head(*text, 64)));
        return false;
    }
    *term = (struct term){.fraction_scale = 1};
    if (!slice_to_u64(slice_head(*text, digits), &term->whole)) {
        BUF_LIT(why, "number is too large");
        return false;
    }
    *text = slice_from(*text, digits);
    if (text->len == 0 || text->ptr[0] != '.') {
        return true;
    }
    *text = slice_from(*text, 1);
    digits = digit_count(*text);
    if (digits == 0) {
        BUF_LIT(why, "expected digits after the decimal point");
        return false;
    }
    kept = digits < FRACTION_DIGITS_MAX ? digits : FRACTION_DIGITS_MAX;
    for (size_t i = 0; i < kept; i++) {
        term->fraction = term->fraction * 10 + (uint64_t)(text->ptr[i] - '0');
        term->fraction_scale *= 10;
    }
    *text = slice_from(*text, digits);
    return true;
}

static bool is_unit_byte(char c)
{
    return (char_lower(c) >= 'a' && char_lower(c) <= 'z') || (uint8_t)c >= 0x80;
}

/* 0 when the text does not begin with a unit. */
static uint64_t cut_unit(struct slice *text, struct buf *why)
{
    size_t len = 0;

    while (len < text->len && is_unit_byte(text->ptr[len])) {
        len++;
    }
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (slice_eq(slice_head(*text, len), units[i].name)) {
            *text = slice_from(*text, len);
            return units[i].ns;
        }
    }
    if (len == 0) {
        BUF_LIT(why, "time unit needed, for example 5sec or 5ms");
    } else {
        buf_printf(why,
                   "unknown time unit \"%.*s\", supported units: ns, us, ms, sec, min, hours, "
                   "days, weeks, months, years (and few variations)",
                   SLICE_ARG(slice_head(slice_head(*text, len), 64)));
    }
    return 0;
}

static bool add_term(uint64_t *total, struct term term, uint64_t unit_ns)
{
    uint64_t ns, part;

    part = (uint64_t)((unsigned __int128)term.fraction * unit_ns / term.fraction_scale);
    return !__builtin_mul_overflow(term.whole, unit_ns, &ns) &&
           !__builtin_add_overflow(ns, part, &ns) && !__builtin_add_overflow(*total, ns, total);
}

bool duration_parse(struct slice text, uint64_t *ns, struct buf *why)
{
    *ns = 0;
    text = skip_spaces(text);
    if (text.len == 0) {
        BUF_LIT(why, "value was empty");
        return false;
    }
    if (text.ptr[0] == '0' && skip_spaces(slice_from(text, 1)).len == 0) {
        return true;
    }
    while (text.len > 0) {
        struct term term;
        uint64_t unit_ns;

        if (!cut_number(&text, &term, why)) {
            return false;
        }
        text = skip_spaces(text);
        unit_ns = cut_unit(&text, why);
        if (unit_ns == 0) {
            return false;
        }
        if (!add_term(ns, term, unit_ns)) {
            BUF_LIT(why, "number is too large");
            return false;
        }
        text = skip_spaces(text);
    }
    return true;
}

bool duration_from_seconds(double seconds, uint64_t *ns)
{
    double whole = floor(seconds);

    if (!(seconds >= 0) || seconds >= (double)(UINT64_MAX / DURATION_S)) {
        return false;
    }
    *ns = (uint64_t)whole * DURATION_S + (uint64_t)((seconds - whole) * 1e9 + 0.5);
    return true;
}

void duration_put(struct buf *out, uint64_t ns)
{
    static const struct {
        uint64_t ns;
        struct slice one, many;
    } steps[] = {
        {DURATION_YEAR, SLICE_INIT("year"), SLICE_INIT("years")},
        {DURATION_MONTH, SLICE_INIT("month"), SLICE_INIT("months")},
        {DURATION_DAY, SLICE_INIT("day"), SLICE_INIT("days")},
        {DURATION_H, SLICE_INIT("h"), SLICE_INIT("h")},
        {DURATION_MIN, SLICE_INIT("m"), SLICE_INIT("m")},
        {DURATION_S, SLICE_INIT("s"), SLICE_INIT("s")},
        {DURATION_MS, SLICE_INIT("ms"), SLICE_INIT("ms")},
        {DURATION_US, SLICE_INIT("us"), SLICE_INIT("us")},
        {1, SLICE_INIT("ns"), SLICE_INIT("ns")},
    };
    bool first = true;

    if (ns == 0) {
        BUF_LIT(out, "0s");
    }
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        uint64_t count = ns / steps[i].ns;

        ns %= steps[i].ns;
        if (count == 0) {
            continue;
        }
        if (!first) {
            buf_char(out, ' ');
        }
        first = false;
        buf_u64(out, count);
        buf_put(out, count == 1 ? steps[i].one : steps[i].many);
    }
}
