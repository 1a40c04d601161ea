/*
 * zone_rule - the rule at the end of a TZif file, e.g. "CET-1CEST,M3.5.0,M10.5.0/3": what holds
 * after the last transition (POSIX TZ with the extensions of RFC 8536 3.3.1).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/slice.h"

enum zone_day { ZONE_DAY_JULIAN = 0, ZONE_DAY_OF_YEAR, ZONE_DAY_OF_MONTH };

/* One of the two changes of a year. */
struct zone_change {
    enum zone_day kind;
    uint16_t day;          /* Jn: 1..365 without 29 February; n: 0..365; Mm.w.d: 0 = Sunday */
    uint8_t month, week;   /* week 5 = the last */
    int32_t time_s;        /* local time of that day; may leave it */
};

struct zone_rule {
    bool has_dst;
    int32_t std_offset_s, dst_offset_s; /* east of UTC */
    struct zone_change dst_begin, dst_end;
};

NODISCARD bool zone_rule_parse(struct slice text, struct zone_rule *out);
PURE int32_t zone_rule_offset_s(const struct zone_rule *r, int64_t utc_s);
