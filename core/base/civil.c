#include "core/base/civil.h"

#include "core/base/digits.h"

#define DAY_S 86400
#define YEAR_MAX 9999

int64_t civil_days(int64_t year, unsigned month, unsigned day)
{
    /* Years begin in March here, so that the leap day is the last one of its year. */
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? (int64_t)month - 3 : (int64_t)month + 9) + 2) / 5 +
                          (int64_t)day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

unsigned civil_month_days(int64_t year, unsigned month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    MUST(month >= 1 && month <= 12);
    return days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

void civil_from_s(int64_t s, struct civil *out)
{
    int64_t days = s >= 0 ? s / DAY_S : (s - (DAY_S - 1)) / DAY_S;
    int64_t left = s - days * DAY_S;
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153; /* 0 = March */

    out->day = (uint8_t)(day_of_year - (153 * month + 2) / 5 + 1);
    out->month = (uint8_t)(month < 10 ? month + 3 : month - 9);
    out->year = year_of_era + era * 400 + (out->month <= 2 ? 1 : 0);
    out->weekday = (uint8_t)(((days + 3) % 7 + 7) % 7);
    out->hour = (uint8_t)(left / 3600);
    out->minute = (uint8_t)(left / 60 % 60);
    out->second = (uint8_t)(left % 60);
}

void civil_text(int64_t s, char out[CIVIL_TEXT])
{
    struct civil c;

    civil_from_s(s, &c);
    c.year = c.year < 0 ? 0 : c.year > YEAR_MAX ? YEAR_MAX : c.year;
    memcpy(out, "0000-00-00T00:00:00", CIVIL_TEXT);
    (void)digits_put2(out, (unsigned)(c.year / 100));
    (void)digits_put2(out + 2, (unsigned)(c.year % 100));
    (void)digits_put2(out + 5, c.month);
    (void)digits_put2(out + 8, c.day);
    (void)digits_put2(out + 11, c.hour);
    (void)digits_put2(out + 14, c.minute);
    (void)digits_put2(out + 17, c.second);
}

size_t civil_fraction(uint32_t ns, char out[CIVIL_FRACTION_MAX])
{
    char *to = out;

    MUST(ns < 1000000000u);
    if (ns == 0) {
        return 0;
    }
    *to++ = '.';
    to = digits_put3(to, ns / 1000000);
    ns %= 1000000;
    if (ns != 0) {
        to = digits_put3(to, ns / 1000);
    }
    if (ns % 1000 != 0) {
        to = digits_put3(to, ns % 1000);
    }
    return (size_t)(to - out);
}

void civil_put_moment(struct buf *out, const struct civil_moment *m)
{
    char text[CIVIL_TEXT + CIVIL_FRACTION_MAX + 6];
    size_t len = CIVIL_TEXT;

    civil_text(m->s + (int64_t)m->offset_min * 60, text);
    len += civil_fraction(m->ns, text + len);
    if (m->offset_min == 0) {
        text[len++] = 'Z';
    } else {
        unsigned minutes = (unsigned)(m->offset_min < 0 ? -m->offset_min : m->offset_min);

        text[len] = m->offset_min < 0 ? '-' : '+';
        (void)digits_put2(text + len + 1, minutes / 60);
        text[len + 3] = ':';
        (void)digits_put2(text + len + 4, minutes % 60);
        len += 6;
    }
    buf_append(out, text, len);
}

static bool cut_digits(struct slice *text, size_t count, unsigned *out)
{
    unsigned value = 0;

    if (text->len < count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        char c = text->ptr[i];

        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(c - '0');
    }
    *text = slice_from(*text, count);
    *out = value;
    return true;
}

static bool cut_char(struct slice *text, const char *any_of)
{
    if (text->len == 0 || text->ptr[0] == '\0' || strchr(any_of, text->ptr[0]) == NULL) {
        return false;
    }
    *text = slice_from(*text, 1);
    return true;
}

/* Digits beyond the ninth are read and dropped. */
static bool cut_fraction(struct slice *text, uint32_t *ns)
{
    uint32_t unit = 100000000;
    size_t count = 0;

    *ns = 0;
    if (!cut_char(text, ".")) {
        return true;
    }
    for (; count < text->len && text->ptr[count] >= '0' && text->ptr[count] <= '9'; count++) {
        *ns += (uint32_t)(text->ptr[count] - '0') * unit;
        unit /= 10;
    }
    *text = slice_from(*text, count);
    return count > 0;
}

static bool cut_offset(struct slice *text, int16_t *offset_min)
{
    bool west = text->len > 0 && text->ptr[0] == '-';
    unsigned hours, minutes;

    if (cut_char(text, "Zz")) {
        *offset_min = 0;
        return true;
    }
    if (!cut_char(text, "+-") || !cut_digits(text, 2, &hours) || !cut_char(text, ":") ||
        !cut_digits(text, 2, &minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    *offset_min = (int16_t)(hours * 60 + minutes);
    *offset_min = west ? (int16_t)-*offset_min : *offset_min;
    return true;
}

/* date-time = full-date "T" full-time   RFC 3339 5.6; a space may stand for the T. */
bool civil_parse(struct slice text, struct civil_moment *out)
{
    unsigned year, month, day, hour, minute, second;

    if (!cut_digits(&text, 4, &year) || !cut_char(&text, "-") || !cut_digits(&text, 2, &month) ||
        !cut_char(&text, "-") || !cut_digits(&text, 2, &day) || !cut_char(&text, "Tt ") ||
        !cut_digits(&text, 2, &hour) || !cut_char(&text, ":") || !cut_digits(&text, 2, &minute) ||
        !cut_char(&text, ":") || !cut_digits(&text, 2, &second) ||
        !cut_fraction(&text, &out->ns) || !cut_offset(&text, &out->offset_min) || text.len != 0) {
        return false;
    }
    if (month < 1 || month > 12 || day < 1 || day > civil_month_days(year, month) || hour > 23 ||
        minute > 59 || second > 60) {
        return false;
    }
    out->s = civil_days(year, month, day) * DAY_S + (int64_t)(hour * 3600 + minute * 60 + second) -
             (int64_t)out->offset_min * 60;
    return true;
}
