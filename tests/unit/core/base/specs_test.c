/* Expectations: the throttle, limit and free-space grammars, with their error texts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/free_space.h"
#include "core/base/limit_spec.h"
#include "core/base/throttle_spec.h"

struct spec_case {
    struct slice name; /* the text read */
    const char *want;  /* canonical form, or the error */
};

static const struct spec_case throttle_good[] = {
    {SLICE_INIT("100/hr"), "100/h"},
    {SLICE_INIT("100/hour"), "100/h"},
    {SLICE_INIT("local:100/day"), "local:100/d"},
    {SLICE_INIT("1_0,00/minute"), "1000/m"},
    {SLICE_INIT("7/sec"), "7/s"},
    {SLICE_INIT("20/30min"), "20/1800s"},
    {SLICE_INIT("20/60s"), "20/m"},
    {SLICE_INIT("20/24h"), "20/d"},
    {SLICE_INIT("local:100/123m,max_burst=1_0"), "local:100/7380s,max_burst=10"},
    {SLICE_INIT("50/day,max_burst=0"), "50/d,max_burst=0"},
};

static const struct spec_case throttle_bad[] = {
    {SLICE_INIT(""), "expected 'limit/period', got "},
    {SLICE_INIT("100"), "expected 'limit/period', got 100"},
    {SLICE_INIT("local:"), "expected 'limit/period', got "},
    {SLICE_INIT("100/our"), "unknown period quantity our"},
    {SLICE_INIT("100/seconds"), "unknown period quantity seconds"},
    {SLICE_INIT("100/H"), "unknown period quantity H"},
    {SLICE_INIT("100/"), "invalid period quantity "},
    {SLICE_INIT("100/30"), "invalid period quantity 30"},
    {SLICE_INIT("100/0s"), "invalid period quantity 0s"},
    {SLICE_INIT("100/99999999999999999999s"), "number too big"},
    {SLICE_INIT("100/9999999999999999999d"), "invalid period quantity 9999999999999999999d"},
    {SLICE_INIT("three/hour"), "invalid limit 'three': invalid digit found in string"},
    {SLICE_INIT("/hour"), "invalid limit '': cannot parse integer from empty string"},
    {SLICE_INIT("18446744073709551616/h"),
     "invalid limit '18446744073709551616': number too large to fit in target type"},
    {SLICE_INIT("0/h"), "invalid ThrottleSpec `0/h`: limit must be greater than 0!"},
    {SLICE_INIT("5/h,max_burst=x"), "invalid limit 'x': invalid digit found in string"},
    {SLICE_INIT("5/h,MAX_BURST=1"), "unknown period quantity h,MAX_BURST=1"},
    {SLICE_INIT("-5/h"), "invalid limit '-5': invalid digit found in string"},
};

static void throttles_are_read_and_printed_canonically(void **state)
{
    struct buf out = {0}, why = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(throttle_good); i++) {
        struct throttle_spec spec, again;

        print_message("%.*s\n", SLICE_ARG(throttle_good[i].name));
        buf_clear(&out);
        assert_true(throttle_spec_parse(throttle_good[i].name, &spec, &why));
        throttle_spec_put(&out, &spec);
        assert_true(slice_eq(buf_slice(&out), slice_str(throttle_good[i].want)));
        assert_true(throttle_spec_parse(buf_slice(&out), &again, &why));
        assert_true(throttle_spec_eq(&spec, &again));
        again.limit++;
        assert_false(throttle_spec_eq(&spec, &again));
    }
    buf_free(&out);
    buf_free(&why);
}

static void bad_throttles_say_why_in_the_known_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(throttle_bad); i++) {
        struct throttle_spec spec;
        struct buf why = {0};

        assert_false(throttle_spec_parse(throttle_bad[i].name, &spec, &why));
        print_message("%.*s: %.*s\n", SLICE_ARG(throttle_bad[i].name), SLICE_ARG(buf_slice(&why)));
        assert_true(slice_eq(buf_slice(&why), slice_str(throttle_bad[i].want)));
        buf_free(&why);
    }
}

static void limits_are_at_least_one(void **state)
{
    struct buf out = {0}, why = {0};
    struct limit_spec spec;

    (void)state;
    assert_true(limit_spec_parse(SLICE("local:1_00"), &spec, &why));
    limit_spec_put(&out, &spec);
    assert_true(slice_eq(buf_slice(&out), SLICE("local:100")));
    assert_true(limit_spec_from_int(32, &spec, &why));
    assert_true(spec.limit == 32 && !spec.force_local);
    assert_int_equal(why.len, 0);

    assert_false(limit_spec_parse(SLICE("local:0"), &spec, &why));
    assert_true(
        slice_eq(buf_slice(&why), SLICE("invalid LimitSpec `0`: limit must be greater than 0!")));
    buf_clear(&why);
    assert_false(limit_spec_parse(SLICE("1.5"), &spec, &why));
    assert_true(
        slice_eq(buf_slice(&why), SLICE("invalid limit '1.5': invalid digit found in string")));
    buf_clear(&why);
    assert_false(limit_spec_from_int(0, &spec, &why));
    assert_true(slice_eq(buf_slice(&why), SLICE("limit must be 1 or larger")));
    assert_false(limit_spec_from_int(INT64_MIN, &spec, &why));
    buf_free(&out);
    buf_free(&why);
}

static void free_space_is_a_percentage_or_an_amount(void **state)
{
    struct buf out = {0}, why = {0};
    struct free_space fs;

    (void)state;
    assert_true(free_space_parse(SLICE("10%"), &fs, &why));
    assert_true(fs.percent && fs.amount == 10);
    free_space_put(&out, &fs);
    assert_true(slice_eq(buf_slice(&out), SLICE("10%")));
    assert_true(free_space_short(&fs, 9999, 100000));
    assert_false(free_space_short(&fs, 10000, 100000));
    assert_false(free_space_short(&fs, 0, 0));
    assert_true(free_space_short(&fs, UINT64_MAX / 20, UINT64_MAX));
    assert_true(free_space_parse(SLICE("255%"), &fs, &why));
    assert_true(free_space_parse(SLICE("1048576"), &fs, &why));
    assert_false(fs.percent);
    assert_true(free_space_short(&fs, 1048575, 0));
    assert_false(free_space_short(&fs, 1048576, 0));
    assert_int_equal(why.len, 0);
    assert_false(free_space_parse(SLICE("256%"), &fs, &why));
    assert_false(free_space_parse(SLICE("%"), &fs, &why));
    assert_false(free_space_parse(SLICE(""), &fs, &why));
    assert_false(free_space_parse(SLICE("10.5%"), &fs, &why));
    assert_false(free_space_parse(SLICE("1GB"), &fs, &why));
    assert_true(why.len > 0);
    buf_free(&out);
    buf_free(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(throttles_are_read_and_printed_canonically),
        cmocka_unit_test(bad_throttles_say_why_in_the_known_words),
        cmocka_unit_test(limits_are_at_least_one),
        cmocka_unit_test(free_space_is_a_percentage_or_an_amount),
    };
    return cmocka_run_group_tests_name("core/base/specs", tests, NULL, NULL);
}
