/* Percentiles. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tools/tool_hist.h"

static void percentiles_are_within_two_percent(void **state)
{
    static struct tool_hist h;
    static const double shares[] = {0.01, 0.5, 0.9, 0.99, 0.999};

    memset(&h, 0, sizeof(h));
    for (uint64_t i = 1; i <= 100000; i++) {
        tool_hist_add(&h, i * 1000);
    }
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        double want = shares[i] * 1e8;
        double got = (double)tool_hist_at_ns(&h, shares[i]);

        assert_true(got >= want && got <= want * 1.02);
    }
    assert_int_equal(tool_hist_at_ns(&h, 1.0), 100000000);
}

static void no_value_is_too_small_or_too_large(void **state)
{
    static struct tool_hist h;

    memset(&h, 0, sizeof(h));
    assert_int_equal(tool_hist_at_ns(&h, 0.5), 0);
    tool_hist_add(&h, 0);
    assert_int_equal(tool_hist_at_ns(&h, 0.5), 0);
    tool_hist_add(&h, 63);
    tool_hist_add(&h, 64);
    assert_int_equal(tool_hist_at_ns(&h, 0.6), 63);
    assert_int_equal(tool_hist_at_ns(&h, 1.0), 64);
    tool_hist_add(&h, UINT64_MAX);
    assert_int_equal(h.max_ns, UINT64_MAX);
}

static void merging_is_adding(void **state)
{
    static struct tool_hist a, b;

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    for (uint64_t i = 0; i < 100; i++) {
        tool_hist_add(&a, 1000);
        tool_hist_add(&b, 9000000);
    }
    tool_hist_merge(&a, &b);
    assert_int_equal(a.count, 200);
    assert_in_range(tool_hist_at_ns(&a, 0.5), 1000, 1020);
    assert_in_range(tool_hist_at_ns(&a, 0.51), 9000000, 9180000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_within_two_percent),
        cmocka_unit_test(no_value_is_too_small_or_too_large),
        cmocka_unit_test(merging_is_adding),
    };

    return cmocka_run_group_tests_name("tools/tool_hist", tests, NULL, NULL);
}
