/* What arrived, what is missing, what came twice. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tools/ringsink_seen.h"

static void missing_and_duplicates_are_told_apart(void **state)
{
    struct sink_seen s;
    struct buf sample = {0};

    sink_seen_init(&s, 0, 100, 2);
    assert_true(sink_seen_add(&s, 7, 100, 0));
    assert_true(sink_seen_add(&s, 7, 100, 1));
    assert_true(sink_seen_add(&s, 7, 102, 1));
    assert_true(sink_seen_add(&s, 7, 102, 1));
    assert_int_equal(sink_seen_distinct(&s), 3);
    assert_int_equal(s.duplicates, 1);
    assert_int_equal(sink_seen_missing(&s, 0, 10, &sample), 3);
    assert_true(slice_eq(buf_slice(&sample), SLICE("101,101,102")));
    buf_clear(&sample);
    assert_int_equal(sink_seen_missing(&s, 200000, 1, &sample), 199997);
    assert_true(slice_eq(buf_slice(&sample), SLICE("101")));
    buf_free(&sample);
    sink_seen_free(&s);
}

static void other_runs_and_absurd_numbers_are_foreign(void **state)
{
    struct sink_seen s;

    sink_seen_init(&s, 0, 10, 1);
    assert_true(sink_seen_add(&s, 7, 10, 0));
    assert_false(sink_seen_add(&s, 8, 11, 0));
    assert_false(sink_seen_add(&s, 7, 9, 0));
    assert_false(sink_seen_add(&s, 7, 11, 1));
    assert_false(sink_seen_add(&s, 7, UINT64_MAX, 0));
    assert_int_equal(sink_seen_distinct(&s), 1);
    sink_seen_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_and_duplicates_are_told_apart),
        cmocka_unit_test(other_runs_and_absurd_numbers_are_foreign),
    };

    return cmocka_run_group_tests_name("tools/ringsink_seen", tests, NULL, NULL);
}
