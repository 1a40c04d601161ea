#include "core/base/time_text.h"

#include "core/base/civil.h"

#define NS_PER_S UINT64_C(1000000000)

static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                            "25262728293031323334353637383940414243444546474849"
                            "50515253545556575859606162636465666768697071727374"
                            "75767778798081828384858687888990919293949596979899";

static inline char *put2(char *to, unsigned value)
{
    memcpy(to, pairs + 2 * (size_t)value, 2);
    return to + 2;
}

static inline char *put3(char *to, unsigned value)
{
    *to = (char)('0' + value / 100);
    return put2(to + 1, value % 100);
}

/* wall_ns ends in the year 2554, so four digits always do. */
static inline char *put_year(char *to, const struct civil *c)
{
    return put2(put2(to, (unsigned)c->year / 100), (unsigned)c->year % 100);
}

static char *put_fraction(char *to, uint32_t ns)
{
    if (ns == 0) {
        return to;
    }
    *to++ = '.';
    to = put3(to, ns / 1000000);
    ns %= 1000000;
    if (ns != 0) {
        to = put3(to, ns / 1000);
        if (ns % 1000 != 0) {
            to = put3(to, ns % 1000);
        }
    }
    return to;
}

void time_put_rfc3339(struct buf *out, uint64_t wall_ns)
{
    char text[32], *to = text;
    struct civil c;

    civil_from_s((int64_t)(wall_ns / NS_PER_S), &c);
    to = put_year(to, &c);
    *to++ = '-';
    to = put2(to, c.month);
    *to++ = '-';
    to = put2(to, c.day);
    *to++ = 'T';
    to = put2(to, c.hour);
    *to++ = ':';
    to = put2(to, c.minute);
    *to++ = ':';
    to = put2(to, c.second);
    to = put_fraction(to, (uint32_t)(wall_ns % NS_PER_S));
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
        to = put2(to, c.day);
    } else {
        *to++ = (char)('0' + c.day);
    }
    *to++ = ' ';
    memcpy(to, months + 3 * (c.month - 1), 3);
    to += 3;
    *to++ = ' ';
    to = put_year(to, &c);
    *to++ = ' ';
    to = put2(to, c.hour);
    *to++ = ':';
    to = put2(to, c.minute);
    *to++ = ':';
    to = put2(to, c.second);
    memcpy(to, " +0000", 6);
    buf_append(out, text, (size_t)(to + 6 - text));
}

void time_put_log_stamp(struct buf *out, uint64_t wall_ns)
{
    char text[32], *to = text;
    struct civil c;

    civil_from_s((int64_t)(wall_ns / NS_PER_S), &c);
    to = put2(put2(put_year(to, &c), c.month), c.day);
    *to++ = '-';
    to = put2(put2(put2(to, c.hour), c.minute), c.second);
    to = put_fraction(to, (uint32_t)(wall_ns % NS_PER_S));
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
