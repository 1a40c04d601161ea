#include "core/base/time_text.h"

#include "core/base/civil.h"
#include "core/base/digits.h"

#define NS_PER_S UINT64_C(1000000000)

/* wall_ns ends in the year 2554, so four digits always do. */
static inline char *put_year(char *to, const struct civil *c)
{
    return digits_put2(digits_put2(to, (unsigned)c->year / 100), (unsigned)c->year % 100);
}

void time_put_rfc3339(struct buf *out, uint64_t wall_ns)
{
    char text[32], *to = text;
    struct civil c;

    civil_from_s((int64_t)(wall_ns / NS_PER_S), &c);
    to = put_year(to, &c);
    *to++ = '-';
    to = digits_put2(to, c.month);
    *to++ = '-';
    to = digits_put2(to, c.day);
    *to++ = 'T';
    to = digits_put2(to, c.hour);
    *to++ = ':';
    to = digits_put2(to, c.minute);
    *to++ = ':';
    to = digits_put2(to, c.second);
    to += civil_fraction((uint32_t)(wall_ns % NS_PER_S), to);
    *to++ = 'Z';
    buf_append(out, text, (size_t)(to - text));
}

void time_put_rfc2822(struct buf *out, uint64_t wall_ns)
{
    static const char days[] = "MonTueWedThuFriSatSun";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char text[40], *to = text;
    struct civil c;

    civil_from_s((int64_t)(wall_ns / NS_PER_S), &c);
    memcpy(to, days + 3 * c.weekday, 3);
    memcpy(to + 3, ", ", 2);
    to += 5;
    if (c.day >= 10) {
        to = digits_put2(to, c.day);
    } else {
        *to++ = (char)('0' + c.day);
    }
    *to++ = ' ';
    memcpy(to, months + 3 * (c.month - 1), 3);
    to += 3;
    *to++ = ' ';
    to = put_year(to, &c);
    *to++ = ' ';
    to = digits_put2(to, c.hour);
    *to++ = ':';
    to = digits_put2(to, c.minute);
    *to++ = ':';
    to = digits_put2(to, c.second);
    memcpy(to, " +0000", 6);
    buf_append(out, text, (size_t)(to + 6 - text));
}

void time_put_log_stamp(struct buf *out, uint64_t wall_ns)
{
    char text[32], *to = text;
    struct civil c;

    civil_from_s((int64_t)(wall_ns / NS_PER_S), &c);
    to = digits_put2(digits_put2(put_year(to, &c), c.month), c.day);
    *to++ = '-';
    to = digits_put2(digits_put2(digits_put2(to, c.hour), c.minute), c.second);
    to += civil_fraction((uint32_t)(wall_ns % NS_PER_S), to);
    buf_append(out, text, (size_t)(to - text));
}

bool time_parse_rfc3339(struct slice text, uint64_t *wall_ns)
{
    struct civil_moment m;

    if (!civil_parse(text, &m) || m.s < 0 ||
        __builtin_mul_overflow((uint64_t)m.s, NS_PER_S, wall_ns) ||
        __builtin_add_overflow(*wall_ns, (uint64_t)m.ns, wall_ns)) {
        return false;
    }
    return true;
}
