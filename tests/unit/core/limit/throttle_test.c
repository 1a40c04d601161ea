/* Named buckets: identity by name and spec, and memory that follows use. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/limit/throttle.h"

#define S UINT64_C(1000000000)

static void the_key_is_name_limit_burst_period(void **state)
{
    struct gcra_rate plain = gcra_rate_make(100, 60, GCRA_NO_BURST);
    struct gcra_rate burst = gcra_rate_make(100, 60, 5);
    struct buf key = {0};

    (void)state;
    throttle_key_put(&key, SLICE("a->b@smtp_client-connection-rate"), &plain);
    BUF_LIT(&key, " ");
    throttle_key_put(&key, SLICE("x"), &burst);
    assert_true(slice_eq(buf_slice(&key),
                         SLICE("a->b@smtp_client-connection-rate:100:100:60 x:100:5:60")));
    buf_free(&key);
}

static void names_and_specs_have_buckets_of_their_own(void **state)
{
    struct throttles ts;
    struct gcra_rate one = gcra_rate_make(1, 60, GCRA_NO_BURST);
    struct gcra_rate two = gcra_rate_make(2, 60, GCRA_NO_BURST);

    (void)state;
    throttles_init(&ts, 1, 100);
    assert_int_equal(throttle_take(&ts, SLICE("a"), &one, S, 1), 0);
    assert_int_equal(throttle_take(&ts, SLICE("a"), &one, S, 1), 60 * S);
    assert_int_equal(throttle_take(&ts, SLICE("b"), &one, S, 1), 0);
    /* a changed spec starts anew */
    assert_int_equal(throttle_take(&ts, SLICE("a"), &two, S, 2), 0);
    assert_true(throttle_judge(&ts, SLICE("a"), &two, S, 1).throttled);
    throttle_give(&ts, SLICE("a"), &two, S, 1);
    assert_int_equal(throttle_take_some(&ts, SLICE("a"), &two, S, 9), 1);
    throttles_free(&ts);
}

static void take_numbered(struct throttles *ts, unsigned number, const struct gcra_rate *rate,
                          uint64_t now_ns)
{
    char name[32];
    int len = snprintf(name, sizeof(name), "n%u", number);

    assert_int_equal(throttle_take(ts, slice_of(name, (size_t)len), rate, now_ns, 1), 0);
}

static void buckets_that_are_full_again_are_forgotten(void **state)
{
    struct throttles ts;
    struct gcra_rate rate = gcra_rate_make(1, 1, GCRA_NO_BURST);

    (void)state;
    throttles_init(&ts, 1, 1000000);
    for (unsigned i = 0; i < 10000; i++) {
        take_numbered(&ts, i, &rate, S + i * (S / 10)); /* ten live at a time */
    }
    assert_in_range(ts.buckets.count, 10, 40);
    assert_int_equal(ts.dropped_count, 0);
    throttles_free(&ts);
}

static void a_long_debt_does_not_hide_the_forgettable_behind_it(void **state)
{
    struct throttles ts;
    struct gcra_rate day = gcra_rate_make(1, 86400, GCRA_NO_BURST);
    struct gcra_rate second = gcra_rate_make(1, 1, GCRA_NO_BURST);

    (void)state;
    throttles_init(&ts, 1, 1000000);
    for (unsigned i = 0; i < 5; i++) {
        take_numbered(&ts, 100000 + i, &day, S);
    }
    for (unsigned i = 0; i < 5000; i++) {
        take_numbered(&ts, i, &second, S + i * S);
    }
    assert_in_range(ts.buckets.count, 5, 40);
    assert_int_not_equal(throttle_take(&ts, SLICE("n100000"), &day, 5000 * S, 1), 0);
    throttles_free(&ts);
}

static void the_number_of_buckets_is_bounded_and_the_loss_counted(void **state)
{
    struct throttles ts;
    struct gcra_rate day = gcra_rate_make(1, 86400, GCRA_NO_BURST);

    (void)state;
    throttles_init(&ts, 1, 100);
    for (unsigned i = 0; i < 1000; i++) {
        take_numbered(&ts, i, &day, S);
    }
    assert_true(ts.buckets.count <= 100);
    assert_true(ts.dropped_count >= 900);
    /* the latest are kept */
    assert_int_not_equal(throttle_take(&ts, SLICE("n999"), &day, S, 1), 0);
    throttles_free(&ts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_is_name_limit_burst_period),
        cmocka_unit_test(names_and_specs_have_buckets_of_their_own),
        cmocka_unit_test(buckets_that_are_full_again_are_forgotten),
        cmocka_unit_test(a_long_debt_does_not_hide_the_forgettable_behind_it),
        cmocka_unit_test(the_number_of_buckets_is_bounded_and_the_loss_counted),
    };
    return cmocka_run_group_tests_name("core/limit/throttle", tests, NULL, NULL);
}
