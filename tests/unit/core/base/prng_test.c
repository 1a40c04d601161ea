#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/prng.h"

/* The published first outputs of splitmix64 from seed 1234567. */
static void the_seed_expands_as_published(void **state)
{
    uint64_t seed = 1234567;

    (void)state;
    assert_true(splitmix64(&seed) == UINT64_C(6457827717110365317));
    assert_true(splitmix64(&seed) == UINT64_C(3203168211198807973));
}

/* The published first outputs of xoshiro256** from the state 1, 2, 3, 4. */
static void the_sequence_is_the_published_one(void **state)
{
    struct prng p = {{1, 2, 3, 4}};

    (void)state;
    assert_true(prng_next(&p) == 11520);
    assert_true(prng_next(&p) == 0);
    assert_true(prng_next(&p) == 1509978240);
    assert_true(prng_next(&p) == UINT64_C(1215971899390074240));
}

static void numbers_below_a_bound_reach_all_of_it(void **state)
{
    struct prng p = prng_from_seed(7), again = prng_from_seed(7);
    unsigned met[10] = {0};

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t v = prng_below(&p, 10);

        assert_true(v == prng_below(&again, 10));
        assert_in_range(v, 0, 9);
        met[v]++;
    }
    for (unsigned i = 0; i < 10; i++) {
        assert_in_range(met[i], 800, 1200);
    }
    for (unsigned i = 0; i < 10000; i++) {
        double u = prng_unit(&p);

        assert_true(u >= 0 && u < 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_seed_expands_as_published),
        cmocka_unit_test(the_sequence_is_the_published_one),
        cmocka_unit_test(numbers_below_a_bound_reach_all_of_it),
    };
    return cmocka_run_group_tests_name("core/base/prng", tests, NULL, NULL);
}
