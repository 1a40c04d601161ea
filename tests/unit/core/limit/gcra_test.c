/* Expectations: the in-process row of the throttle engines table and the throttle grammar. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/limit/gcra.h"

#define S UINT64_C(1000000000)

struct burst_case {
    const char *name;
    uint64_t limit, period_s, max_burst;
    uint64_t want_at_once;
};

static const struct burst_case burst_cases[] = {
    {"without max_burst the whole limit comes at once", 20, 60, GCRA_NO_BURST, 20},
    {"max_burst=1 lets two through back to back", 20, 60, 1, 2},
    {"max_burst=5 lets six through", 20, 60, 5, 6},
    {"max_burst just below the limit is the limit", 20, 60, 19, 20},
    {"max_burst equal to the limit is the limit", 20, 60, 20, 20},
    {"max_burst above the limit is the limit", 20, 60, 500, 20},
    {"one a day", 1, 86400, GCRA_NO_BURST, 1},
    {"max_burst=0 is one by one", 20, 60, 0, 1},
    {"a limit that does not divide the second", 7, 1, GCRA_NO_BURST, 7},
};

static void burst_is_what_the_table_says(void **state)
{
    unsigned wrong_count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(burst_cases); i++) {
        const struct burst_case *c = &burst_cases[i];
        struct gcra_rate rate = gcra_rate_make(c->limit, c->period_s, c->max_burst);
        struct gcra g = {0};
        uint64_t got = 0;

        while (got <= c->want_at_once && gcra_take(&g, &rate, 5 * S, 1) == 0) {
            got++;
        }
        if (got != c->want_at_once) {
            print_error("%s: got %lu, want %lu\n", c->name, (unsigned long)got,
                        (unsigned long)c->want_at_once);
            wrong_count++;
        }
    }
    assert_int_equal(wrong_count, 0);
}

static void no_period_lets_more_than_limit_plus_burst_through(void **state)
{
    struct gcra_rate rate = gcra_rate_make(10, 1, 2);
    struct gcra g = {0};
    uint64_t taken = 0;

    (void)state;
    for (uint64_t now = 0; now < 3 * S; now += S / 1000) {
        taken += gcra_take(&g, &rate, now, 1) == 0;
    }
    assert_in_range(taken, 30, 30 + 3);
}

static void waiting_as_told_is_enough_and_one_nanosecond_less_is_not(void **state)
{
    struct gcra_rate rate = gcra_rate_make(3, 10, GCRA_NO_BURST);
    struct gcra g = {0};
    const uint64_t now = 77 * S;

    (void)state;
    assert_int_equal(gcra_take(&g, &rate, now, 3), 0);

    uint64_t wait_ns = gcra_take(&g, &rate, now, 1);
    assert_int_equal(wait_ns, 10 * S / 3);
    assert_int_equal(gcra_take(&g, &rate, now + wait_ns - 1, 1), 1);
    assert_int_equal(gcra_take(&g, &rate, now + wait_ns, 1), 0);
}

static void a_refused_take_costs_nothing(void **state)
{
    struct gcra_rate rate = gcra_rate_make(2, 1, GCRA_NO_BURST);
    struct gcra g = {0};

    (void)state;
    assert_int_equal(gcra_take(&g, &rate, S, 2), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_not_equal(gcra_take(&g, &rate, S, 1), 0);
    }
    assert_int_equal(gcra_take(&g, &rate, S + S / 2, 1), 0);
}

static void a_whole_bucket_is_back_after_one_period(void **state)
{
    struct gcra_rate rate = gcra_rate_make(7, 1, GCRA_NO_BURST);
    struct gcra g = {0};

    (void)state;
    assert_int_equal(gcra_take(&g, &rate, S, 7), 0);
    assert_int_equal(gcra_take(&g, &rate, 2 * S, 7), 0);
    assert_int_not_equal(gcra_take(&g, &rate, 2 * S, 1), 0);
}

static void more_than_the_bucket_holds_is_never_granted(void **state)
{
    struct gcra_rate rate = gcra_rate_make(10, 1, 3);
    struct gcra g = {0};

    (void)state;
    assert_true(gcra_take(&g, &rate, S, 5) == GCRA_NEVER);
    assert_int_equal(gcra_take(&g, &rate, S, 4), 0);
}

static void a_batch_gets_what_is_left_and_may_bring_it_back(void **state)
{
    struct gcra_rate rate = gcra_rate_make(10, 10, GCRA_NO_BURST);
    struct gcra g = {0};

    (void)state;
    assert_int_equal(gcra_take_some(&g, &rate, S, 7), 7);
    assert_int_equal(gcra_take_some(&g, &rate, S, 7), 3);
    assert_int_equal(gcra_take_some(&g, &rate, S, 7), 0);
    gcra_give(&g, &rate, 2);
    assert_int_equal(gcra_room(&g, &rate, S), 2);
    gcra_give(&g, &rate, 1000);
    assert_int_equal(gcra_take_some(&g, &rate, S, 100), 10);
}

static void the_report_counts_down_and_rounds_up(void **state)
{
    struct gcra_rate rate = gcra_rate_make(2, 3, GCRA_NO_BURST);
    struct gcra g = {0};
    struct gcra_verdict v = gcra_judge(&g, &rate, S, 1);

    (void)state;
    assert_false(v.throttled);
    assert_int_equal(v.limit, 2);
    assert_int_equal(v.remaining, 1);
    assert_int_equal(gcra_whole_s(v.reset_after_ns), 2);
    v = gcra_judge(&g, &rate, S, 1);
    assert_int_equal(v.remaining, 0);
    v = gcra_judge(&g, &rate, S, 1);
    assert_true(v.throttled);
    assert_int_equal(v.retry_after_ns, 3 * S / 2);
    assert_int_equal(gcra_whole_s(v.retry_after_ns), 2);
    assert_int_equal(gcra_whole_s(2 * S), 2);
}

static void absurd_specs_saturate_instead_of_wrapping(void **state)
{
    struct gcra_rate slow = gcra_rate_make(1, UINT64_MAX, GCRA_NO_BURST);
    struct gcra_rate fast = gcra_rate_make(UINT64_MAX, 1, GCRA_NO_BURST);
    struct gcra g = {0};

    (void)state;
    assert_int_equal(gcra_take(&g, &slow, S, 1), 0);
    assert_int_not_equal(gcra_take(&g, &slow, UINT64_MAX / 8, 1), 0);
    g = (struct gcra){0};
    assert_int_equal(gcra_take(&g, &fast, S, 1000000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_is_what_the_table_says),
        cmocka_unit_test(no_period_lets_more_than_limit_plus_burst_through),
        cmocka_unit_test(waiting_as_told_is_enough_and_one_nanosecond_less_is_not),
        cmocka_unit_test(a_refused_take_costs_nothing),
        cmocka_unit_test(a_whole_bucket_is_back_after_one_period),
        cmocka_unit_test(more_than_the_bucket_holds_is_never_granted),
        cmocka_unit_test(a_batch_gets_what_is_left_and_may_bring_it_back),
        cmocka_unit_test(the_report_counts_down_and_rounds_up),
        cmocka_unit_test(absurd_specs_saturate_instead_of_wrapping),
    };
    return cmocka_run_group_tests_name("core/limit/gcra", tests, NULL, NULL);
}
