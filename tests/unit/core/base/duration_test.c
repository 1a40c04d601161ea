/* Expectations: the duration grammar of the queue chapter. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/duration.h"

struct read_case {
    struct slice name; /* the text itself */
    uint64_t ns;
};

static const struct read_case read_cases[] = {
    {SLICE_INIT("0"), 0},
    {SLICE_INIT(" 0 "), 0},
    {SLICE_INIT("0s"), 0},
    {SLICE_INIT("1m 30s"), 90 * DURATION_S},
    {SLICE_INIT("1m30s"), 90 * DURATION_S},
    {SLICE_INIT("20 minutes"), 20 * DURATION_MIN},
    {SLICE_INIT("5mins"), 5 * DURATION_MIN},
    {SLICE_INIT("4.2s"), 4200 * DURATION_MS},
    {SLICE_INIT("1.5h"), 90 * DURATION_MIN},
    {SLICE_INIT("0.000000001s"), 1},
    {SLICE_INIT("0.1234567890123456789999s"), 123456789},
    {SLICE_INIT("7 days"), 7 * DURATION_DAY},
    {SLICE_INIT("1w"), 7 * DURATION_DAY},
    {SLICE_INIT("1M"), DURATION_MONTH},
    {SLICE_INIT("1m"), DURATION_MIN},
    {SLICE_INIT("2yrs"), 2 * DURATION_YEAR},
    {SLICE_INIT("3\xc2\xb5s"), 3 * DURATION_US},
    {SLICE_INIT("2s 481ms 890us 590ns"), UINT64_C(2481890590)},
    {SLICE_INIT("584years"), 584 * DURATION_YEAR},
};

static void durations_are_read_as_people_write_them(void **state)
{
    struct buf why = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(read_cases); i++) {
        uint64_t ns = 1;

        print_message("%.*s\n", SLICE_ARG(read_cases[i].name));
        assert_true(duration_parse(read_cases[i].name, &ns, &why));
        assert_true(ns == read_cases[i].ns);
    }
    assert_int_equal(why.len, 0);
    buf_free(&why);
}

static void what_is_no_duration_is_refused_with_a_reason(void **state)
{
    static const struct slice bad[] = {
        SLICE_INIT(""),
        SLICE_INIT("  "),
        SLICE_INIT("5"),
        SLICE_INIT("1m 30"),
        SLICE_INIT("-5s"),
        SLICE_INIT("s"),
        SLICE_INIT("5S"),
        SLICE_INIT("5 foo"),
        SLICE_INIT("1.s"),
        SLICE_INIT(".5s"),
        SLICE_INIT("1,5s"),
        SLICE_INIT("585 years"),
        SLICE_INIT("1e3s"),
        SLICE_INIT("5s\0"),
        SLICE_INIT("300years 300years"),
        SLICE_INIT("99999999999999999999s"),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct buf why = {0};
        uint64_t ns;

        print_message("%.*s\n", SLICE_ARG(bad[i]));
        assert_false(duration_parse(bad[i], &ns, &why));
        assert_true(why.len > 0);
        buf_free(&why);
    }
}

struct write_case {
    uint64_t ns;
    struct slice name;
};

static const struct write_case write_cases[] = {
    {0, SLICE_INIT("0s")},
    {20 * DURATION_MIN, SLICE_INIT("20m")},
    {65 * DURATION_MIN, SLICE_INIT("1h 5m")},
    {7 * DURATION_DAY, SLICE_INIT("7days")},
    {DURATION_DAY, SLICE_INIT("1day")},
    {UINT64_C(2481890590), SLICE_INIT("2s 481ms 890us 590ns")},
    {DURATION_YEAR + DURATION_MONTH + 2 * DURATION_DAY, SLICE_INIT("1year 1month 2days")},
    {2 * DURATION_YEAR + 3 * DURATION_MONTH, SLICE_INIT("2years 3months")},
    {290 * DURATION_S + UINT64_C(207320231), SLICE_INIT("4m 50s 207ms 320us 231ns")},
};

static void durations_are_written_in_the_canonical_form_and_read_back(void **state)
{
    struct buf out = {0}, why = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(write_cases); i++) {
        uint64_t ns;

        buf_clear(&out);
        duration_put(&out, write_cases[i].ns);
        print_message("%.*s\n", SLICE_ARG(buf_slice(&out)));
        assert_true(slice_eq(buf_slice(&out), write_cases[i].name));
        assert_true(duration_parse(buf_slice(&out), &ns, &why));
        assert_true(ns == write_cases[i].ns);
    }
    buf_free(&out);
    buf_free(&why);
}

static void numbers_are_seconds(void **state)
{
    uint64_t ns;

    (void)state;
    assert_true(duration_from_seconds(1.5, &ns) && ns == 1500 * DURATION_MS);
    assert_true(duration_from_seconds(0.0, &ns) && ns == 0);
    assert_true(duration_from_seconds(0.3, &ns) && ns == 300 * DURATION_MS);
    assert_false(duration_from_seconds(-0.5, &ns));
    assert_false(duration_from_seconds(1e300, &ns));
    assert_false(duration_from_seconds(__builtin_nan(""), &ns));
    assert_false(duration_from_seconds(__builtin_inf(), &ns));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read_as_people_write_them),
        cmocka_unit_test(what_is_no_duration_is_refused_with_a_reason),
        cmocka_unit_test(durations_are_written_in_the_canonical_form_and_read_back),
        cmocka_unit_test(numbers_are_seconds),
    };
    return cmocka_run_group_tests_name("core/base/duration", tests, NULL, NULL);
}
