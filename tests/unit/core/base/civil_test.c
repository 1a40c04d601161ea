#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/civil.h"

static void known_days_have_their_numbers(void **state)
{
    static const struct {
        int64_t year;
        unsigned month, day, weekday;
        int64_t want;
    } cases[] = {
        {1970, 1, 1, 3, 0},         {1969, 12, 31, 2, -1},     {2000, 2, 29, 1, 11016},
        {2026, 2, 2, 0, 20486},     {1600, 3, 1, 2, -135080},  {2400, 12, 31, 6, 157419},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct civil c;

        assert_int_equal(civil_days(cases[i].year, cases[i].month, cases[i].day), cases[i].want);
        civil_from_s(cases[i].want * 86400 + 86399, &c);
        assert_int_equal(c.year, cases[i].year);
        assert_int_equal(c.month, cases[i].month);
        assert_int_equal(c.day, cases[i].day);
        assert_int_equal(c.weekday, cases[i].weekday);
        assert_int_equal(c.hour * 10000 + c.minute * 100 + c.second, 235959);
    }
}

static void every_day_of_four_centuries_comes_back(void **state)
{
    struct civil before = {0};

    for (int64_t day = civil_days(1899, 12, 31); day < civil_days(2300, 1, 1); day++) {
        struct civil c;

        civil_from_s(day * 86400, &c);
        assert_int_equal(civil_days(c.year, c.month, c.day), day);
        assert_in_range(c.day, 1, civil_month_days(c.year, c.month));
        if (before.year != 0) {
            assert_int_equal(c.weekday, (before.weekday + 1) % 7);
        }
        before = c;
    }
}

struct text_case {
    const char *text;
    bool valid;
    int64_t s;
    uint32_t ns;
    int offset_min;
    const char *again; /* NULL: as it was */
};

static const struct text_case text_cases[] = {
    {"2026-02-02T02:40:03Z", true, 1770000003, 0, 0, NULL},
    {"2026-02-02T02:40:03.120458711Z", true, 1770000003, 120458711, 0, NULL},
    {"2026-02-02T02:40:03.5z", true, 1770000003, 500000000, 0, "2026-02-02T02:40:03.500Z"},
    {"2026-02-02t04:40:03+02:00", true, 1770000003, 0, 120, "2026-02-02T04:40:03+02:00"},
    {"2026-02-01 21:10:03-05:30", true, 1770000003, 0, -330, "2026-02-01T21:10:03-05:30"},
    {"2016-12-31T23:59:60Z", true, 1483228800, 0, 0, "2017-01-01T00:00:00Z"},
    {"1969-12-31T23:59:59Z", true, -1, 0, 0, NULL},
    {"2026-02-02T02:40:03.1234567891Z", true, 1770000003, 123456789, 0,
     "2026-02-02T02:40:03.123456789Z"},
    {"2026-02-29T00:00:00Z", false, 0, 0, 0, NULL},
    {"2026-13-01T00:00:00Z", false, 0, 0, 0, NULL},
    {"2026-02-02T24:00:00Z", false, 0, 0, 0, NULL},
    {"2026-02-02T02:40:03", false, 0, 0, 0, NULL},
    {"2026-02-02T02:40Z", false, 0, 0, 0, NULL},
    {"2026-02-02T02:40:03.Z", false, 0, 0, 0, NULL},
    {"2026-02-02T02:40:03+0200", false, 0, 0, 0, NULL},
    {"2026-02-02T02:40:03+24:00", false, 0, 0, 0, NULL},
    {"2026-02-02T02:40:03Z ", false, 0, 0, 0, NULL},
    {"26-02-02T02:40:03Z", false, 0, 0, 0, NULL},
    {"", false, 0, 0, 0, NULL},
};

static void rfc3339_text_is_read_strictly_and_written_again(void **state)
{
    for (size_t i = 0; i < ARRAY_COUNT(text_cases); i++) {
        const struct text_case *c = &text_cases[i];
        struct civil_moment m;
        struct buf out = {0};
        bool ok = civil_parse(slice_str(c->text), &m);

        if (ok != c->valid ||
            (ok && (m.s != c->s || m.ns != c->ns || m.offset_min != c->offset_min))) {
            fail_msg("%s: read as %d %lld", c->text, ok, ok ? (long long)m.s : 0);
        }
        if (ok) {
            civil_put_moment(&out, &m);
            buf_char(&out, '\0');
            assert_string_equal(out.ptr, c->again != NULL ? c->again : c->text);
            buf_free(&out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_days_have_their_numbers),
        cmocka_unit_test(every_day_of_four_centuries_comes_back),
        cmocka_unit_test(rfc3339_text_is_read_strictly_and_written_again),
    };
    return cmocka_run_group_tests_name("core/base/civil", tests, NULL, NULL);
}
