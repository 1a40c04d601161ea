/*
 * civil - seconds since 1970 UTC to calendar fields and back, and RFC 3339 text.
 *
 * Pure arithmetic on the proleptic Gregorian calendar: no clock, no time zone, no locale.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

struct civil {
    int64_t year;
    uint8_t month;   /* 1 .. 12 */
    uint8_t day;     /* 1 .. 31 */
    uint8_t weekday; /* 0 = Monday */
    uint8_t hour, minute, second;
};

/* A moment as it was written down: the zone offset is kept so that it can be written again. */
struct civil_moment {
    int64_t s;          /* since 1970 UTC */
    uint32_t ns;        /* within the second */
    int16_t offset_min; /* east of UTC */
};

/* Days since 1970-01-01. */
PURE int64_t civil_days(int64_t year, unsigned month, unsigned day);
PURE unsigned civil_month_days(int64_t year, unsigned month);
void civil_from_s(int64_t s, struct civil *out);

/* "2026-02-02T02:40:03", 19 bytes for the years 0 to 9999, which all others are clamped to. */
#define CIVIL_TEXT 19u
void civil_text(int64_t s, char out[CIVIL_TEXT]);
/* ".120458711" with 3, 6 or 9 digits as needed, nothing for 0. Answers the bytes written. */
#define CIVIL_FRACTION_MAX 10u
size_t civil_fraction(uint32_t ns, char out[CIVIL_FRACTION_MAX]);

/* Appends a moment with the offset it was written with; Z for none. Moments in nanoseconds and
 * UTC are time_text.h's. */
void civil_put_moment(struct buf *out, const struct civil_moment *m);
/* RFC 3339 date-time, nothing before or after it. A second of 60 is read as the next second. */
NODISCARD bool civil_parse(struct slice text, struct civil_moment *out);
