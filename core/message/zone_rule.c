#include "core/message/zone_rule.h"

#include "core/base/civil.h"

#define HOUR_S 3600
#define DAY_S 86400

static bool is_alpha(char c)
{
    c = char_lower(c);
    return c >= 'a' && c <= 'z';
}

/* std and dst: three letters or more, or anything quoted in <>. */
static bool cut_name(struct slice *in)
{
    size_t len = 0;

    if (in->len > 0 && in->ptr[0] == '<') {
        len = slice_find_char(*in, '>') + 1;
        if (len > in->len) {
            return false;
        }
    } else {
        while (len < in->len && is_alpha(in->ptr[len])) {
            len++;
        }
        if (len < 3) {
            return false;
        }
    }
    *in = slice_from(*in, len);
    return true;
}

static bool cut_number(struct slice *in, int32_t max, int32_t *out)
{
    int32_t value = 0;
    size_t len = 0;

    for (; len < in->len && len < 4 && in->ptr[len] >= '0' && in->ptr[len] <= '9'; len++) {
        value = value * 10 + (in->ptr[len] - '0');
    }
    *in = slice_from(*in, len);
    *out = value;
    return len > 0 && value <= max;
}

static bool cut_char(struct slice *in, char c)
{
    if (in->len == 0 || in->ptr[0] != c) {
        return false;
    }
    *in = slice_from(*in, 1);
    return true;
}

/* [+-]hh[:mm[:ss]] */
static bool cut_time(struct slice *in, int32_t *out)
{
    bool minus = cut_char(in, '-');
    int32_t hours, minutes = 0, seconds = 0;

    if (!minus) {
        (void)cut_char(in, '+');
    }
    if (!cut_number(in, 167, &hours) || (cut_char(in, ':') && !cut_number(in, 59, &minutes)) ||
        (cut_char(in, ':') && !cut_number(in, 59, &seconds))) {
        return false;
    }
    *out = hours * HOUR_S + minutes * 60 + seconds;
    *out = minus ? -*out : *out;
    return true;
}

static bool cut_change(struct slice *in, struct zone_change *c)
{
    int32_t day = 0, month = 0, week = 0;
    bool ok;

    if (cut_char(in, 'M')) {
        c->kind = ZONE_DAY_OF_MONTH;
        ok = cut_number(in, 12, &month) && month >= 1 && cut_char(in, '.') &&
             cut_number(in, 5, &week) && week >= 1 && cut_char(in, '.') && cut_number(in, 6, &day);
    } else if (cut_char(in, 'J')) {
        c->kind = ZONE_DAY_JULIAN;
        ok = cut_number(in, 365, &day) && day >= 1;
    } else {
        c->kind = ZONE_DAY_OF_YEAR;
        ok = cut_number(in, 365, &day);
    }
    c->day = (uint16_t)day;
    c->month = (uint8_t)month;
    c->week = (uint8_t)week;
    c->time_s = 2 * HOUR_S;
    return ok && (!cut_char(in, '/') || cut_time(in, &c->time_s));
}

/* std offset [dst [offset] , start [/time] , end [/time]] */
bool zone_rule_parse(struct slice text, struct zone_rule *out)
{
    int32_t west;

    *out = (struct zone_rule){0};
    if (!cut_name(&text) || !cut_time(&text, &west)) {
        return false;
    }
    out->std_offset_s = -west;
    if (text.len == 0) {
        return true;
    }
    out->has_dst = true;
    out->dst_offset_s = out->std_offset_s + HOUR_S;
    if (!cut_name(&text)) {
        return false;
    }
    if (text.len > 0 && text.ptr[0] != ',') {
        if (!cut_time(&text, &west)) {
            return false;
        }
        out->dst_offset_s = -west;
    }
    return cut_char(&text, ',') && cut_change(&text, &out->dst_begin) && cut_char(&text, ',') &&
           cut_change(&text, &out->dst_end) && text.len == 0;
}

/* Days since 1970 of a change in that year. */
static int64_t change_day(const struct zone_change *c, int64_t year)
{
    int64_t first, days;

    switch (c->kind) {
    case ZONE_DAY_JULIAN:
        days = civil_days(year, 1, 1) + c->day - 1;
        return days + (c->day > 59 && civil_month_days(year, 2) == 29 ? 1 : 0);
    case ZONE_DAY_OF_YEAR:
        return civil_days(year, 1, 1) + c->day;
    case ZONE_DAY_OF_MONTH:
        break;
    }
    first = civil_days(year, c->month, 1);
    /* 1970-01-01 was a Thursday; Sunday is 0 here. */
    days = ((int64_t)c->day - (first + 4) % 7 + 14) % 7 + 7 * (c->week - 1);
    while (days >= civil_month_days(year, c->month)) {
        days -= 7;
    }
    return first + days;
}

int32_t zone_rule_offset_s(const struct zone_rule *r, int64_t utc_s)
{
    struct civil local;
    int64_t begin, end;
    bool dst;

    if (!r->has_dst) {
        return r->std_offset_s;
    }
    civil_from_s(utc_s + r->std_offset_s, &local);
    begin = change_day(&r->dst_begin, local.year) * DAY_S + r->dst_begin.time_s - r->std_offset_s;
    end = change_day(&r->dst_end, local.year) * DAY_S + r->dst_end.time_s - r->dst_offset_s;
    dst = begin < end ? utc_s >= begin && utc_s < end : utc_s >= begin || utc_s < end;
    return dst ? r->dst_offset_s : r->std_offset_s;
}
