/* Dates as mail writes them: RFC 5322, 3.3 and 4.3. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/attr.h"
#include "proto/mail_date.h"

static const struct date_row {
    const char *name, *text;
    uint64_t s; /* 0: refused */
} dates[] = {
    {"usual", "Fri, 21 Nov 1997 09:55:06 -0600", 880127706},
    {"no day's name, no seconds", "21 Nov 1997 09:55 -0600", 880127700},
    {"zone with a comment", "Thu, 8 Mar 2005 14:00:00 +0100 (CET (winter\\) time))", 1110286800},
    {"folded", "Fri,\r\n 21 Nov\t1997\r\n\t09:55:06 -0600 ", 880127706},
    {"two-digit years", "21 Nov 97 09:55:06 GMT", 880106106},
    {"two-digit years of this century", "21 Nov 07 09:55:06 UT", 1195638906},
    {"three-digit years", "21 Nov 107 09:55:06 Z", 1195638906},
    {"zone by letters", "21 Nov 1997 09:55:06 EST", 880124106},
    {"military zone means nothing", "21 Nov 1997 09:55:06 A", 880106106},
    {"leap second", "31 Dec 1998 23:59:60 +0000", 915148800},
    {"any case", "fri, 21 NOV 1997 09:55:06 gmt", 880106106},
    {"29 February", "29 Feb 2024 00:00:00 +0000", 1709164800},
    {"no 29 February", "29 Feb 2023 00:00:00 +0000", 0},
    {"nothing", "", 0},
    {"a comment alone", "(((", 0},
    {"RFC 3339", "1997-11-21T09:55:06Z", 0},
    {"no zone", "21 Nov 1997 09:55:06", 0},
    {"too many words", "Fri, 21 Nov 1997 09:55:06 -0600 or so", 0},
    {"day 0", "0 Nov 1997 09:55:06 -0600", 0},
    {"hour 24", "21 Nov 1997 24:00:00 -0600", 0},
    {"time with too much", "21 Nov 1997 09:55:06:07 -0600", 0},
    {"time that ends in a colon", "21 Nov 1997 09:55: -0600", 0},
    {"minutes of zone", "21 Nov 1997 09:55:06 -0690", 0},
    {"before 1970", "21 Nov 1967 09:55:06 -0600", 0},
    {"huge day", "99999999999999999999 Nov 1997 09:55:06 -0600", 0},
};

static void dates_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(dates); i++) {
        uint64_t ns = 0;
        bool ok = mail_date_parse(slice_str(dates[i].text), &ns);

        if (ok != (dates[i].s != 0) || ns != dates[i].s * 1000000000u) {
            fail_msg("%s: %s, %llu s", dates[i].name, ok ? "taken" : "refused",
                     (unsigned long long)(ns / 1000000000u));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_read),
    };
    return cmocka_run_group_tests_name("proto/mail_date", tests, NULL, NULL);
}
