#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/civil.h"
#include "core/base/time_text.h"

#define S UINT64_C(1000000000)

struct write_case {
    uint64_t ns;
    const char *rfc3339, *rfc2822, *stamp;
};

static const struct write_case write_cases[] = {
    {0, "1970-01-01T00:00:00Z", "Thu, 1 Jan 1970 00:00:00 +0000", "19700101-000000"},
    {946782245 * S, "2000-01-02T03:04:05Z", "Sun, 2 Jan 2000 03:04:05 +0000", "20000102-030405"},
    {946782245 * S + 120000000, "2000-01-02T03:04:05.120Z", "Sun, 2 Jan 2000 03:04:05 +0000",
     "20000102-030405.120"},
    {1770000003 * S + 120458000, "2026-02-02T02:40:03.120458Z", "Mon, 2 Feb 2026 02:40:03 +0000",
     "20260202-024003.120458"},
    {1770000003 * S + 1, "2026-02-02T02:40:03.000000001Z", "Mon, 2 Feb 2026 02:40:03 +0000",
     "20260202-024003.000000001"},
    {951782399 * S, "2000-02-28T23:59:59Z", "Mon, 28 Feb 2000 23:59:59 +0000", "20000228-235959"},
    {951868799 * S, "2000-02-29T23:59:59Z", "Tue, 29 Feb 2000 23:59:59 +0000", "20000229-235959"},
    {4107542400 * S, "2100-03-01T00:00:00Z", "Mon, 1 Mar 2100 00:00:00 +0000", "21000301-000000"},
    {1735689599 * S, "2024-12-31T23:59:59Z", "Tue, 31 Dec 2024 23:59:59 +0000", "20241231-235959"},
    {UINT64_MAX, "2554-07-21T23:34:33.709551615Z", "Sun, 21 Jul 2554 23:34:33 +0000",
     "25540721-233433.709551615"},
};

static void moments_are_written_in_three_forms_and_read_back(void **state)
{
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(write_cases); i++) {
        const struct write_case *c = &write_cases[i];
        uint64_t ns;

        print_message("%s\n", c->rfc3339);
        buf_clear(&out);
        time_put_rfc3339(&out, c->ns);
        assert_true(slice_eq(buf_slice(&out), slice_str(c->rfc3339)));
        assert_true(time_parse_rfc3339(buf_slice(&out), &ns));
        assert_true(ns == c->ns);
        buf_clear(&out);
        time_put_rfc2822(&out, c->ns);
        assert_true(slice_eq(buf_slice(&out), slice_str(c->rfc2822)));
        buf_clear(&out);
        time_put_log_stamp(&out, c->ns);
        assert_true(slice_eq(buf_slice(&out), slice_str(c->stamp)));
    }
    buf_free(&out);
}

/* Day by day through eight centuries, against a calendar that only counts. */
static void every_day_has_its_date(void **state)
{
    int64_t year = 1600;
    unsigned month = 1, day = 1, weekday = 5; /* 1600-01-01 was a Saturday */

    (void)state;
    for (int64_t days = civil_days(1600, 1, 1); year < 2400; days++) {
        struct civil c;

        civil_from_s(days * 86400 + 86399, &c);
        assert_true(c.year == year && c.month == month && c.day == day && c.weekday == weekday);
        assert_true(c.hour == 23 && c.minute == 59 && c.second == 59);
        assert_true(civil_days(year, month, day) == days);
        weekday = (weekday + 1) % 7;
        if (++day > civil_month_days(year, month)) {
            day = 1;
            if (++month > 12) {
                month = 1;
                year++;
            }
        }
    }
}

struct read_case {
    struct slice name; /* the text read */
    uint64_t ns;
};

static const struct read_case read_cases[] = {
    {SLICE_INIT("2000-01-02T03:04:05+00:00"), 946782245 * S},
    {SLICE_INIT("2000-01-02T05:04:05+02:00"), 946782245 * S},
    {SLICE_INIT("2000-01-01T21:34:05-05:30"), 946782245 * S},
    {SLICE_INIT("2000-01-02t03:04:05z"), 946782245 * S},
    {SLICE_INIT("2000-01-02T03:04:05.1Z"), 946782245 * S + 100000000},
    {SLICE_INIT("2000-01-02T03:04:05.1234567891Z"), 946782245 * S + 123456789},
    {SLICE_INIT("2016-12-31T23:59:60Z"), 1483228800 * S},
};

static const struct slice unreadable[] = {
    SLICE_INIT(""),
    SLICE_INIT("2000-01-02"),
    SLICE_INIT("2000-01-02T03:04:05"),
    SLICE_INIT("2000-13-02T03:04:05Z"),
    SLICE_INIT("2001-02-29T03:04:05Z"),
    SLICE_INIT("2000-01-02T24:04:05Z"),
    SLICE_INIT("2000-01-02T03:60:05Z"),
    SLICE_INIT("2000-01-02T03:04:61Z"),
    SLICE_INIT("2000-01-02T03:04:05.Z"),
    SLICE_INIT("2000-01-02T03:04:05Z "),
    SLICE_INIT("2000-01-02T03:04:05+0000"),
    SLICE_INIT("2000-01-02T03:04:05+24:00"),
    SLICE_INIT("1969-12-31T23:59:59Z"),
    SLICE_INIT("9999-01-02T03:04:05Z"),
    SLICE_INIT("20000-01-02T03:04:05Z"),
};

static void any_offset_is_read_and_nonsense_refused(void **state)
{
    uint64_t ns;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(read_cases); i++) {
        print_message("%.*s\n", SLICE_ARG(read_cases[i].name));
        assert_true(time_parse_rfc3339(read_cases[i].name, &ns));
        assert_true(ns == read_cases[i].ns);
    }
    for (size_t i = 0; i < ARRAY_COUNT(unreadable); i++) {
        print_message("%.*s\n", SLICE_ARG(unreadable[i]));
        assert_false(time_parse_rfc3339(unreadable[i], &ns));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_written_in_three_forms_and_read_back),
        cmocka_unit_test(every_day_has_its_date),
        cmocka_unit_test(any_offset_is_read_and_nonsense_refused),
    };
    return cmocka_run_group_tests_name("core/base/time_text", tests, NULL, NULL);
}
