#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/arena.h"
#include "core/base/attr.h"

static void what_is_taken_stays_where_it_is_and_apart(void **state)
{
    static const size_t sizes[] = {1, 7, 8, 100, 1023, 1024, 5000, 200000};
    struct arena a = {0};
    unsigned char *runs[ARRAY_COUNT(sizes) * 20];
    size_t count = 0;

    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = 0; i < ARRAY_COUNT(sizes); i++, count++) {
            runs[count] = arena_take(&a, sizes[i]);
            assert_int_equal((uintptr_t)runs[count] % 8, 0);
            memset(runs[count], (int)count, sizes[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        size_t size = sizes[i % ARRAY_COUNT(sizes)];

        assert_int_equal(runs[i][0], (unsigned char)i);
        assert_int_equal(runs[i][size - 1], (unsigned char)i);
    }
    arena_free(&a);
    assert_null(a.newest);
}

static void room_reserved_is_one_run(void **state)
{
    struct arena a = {0};
    char *first, *second;

    (void)state;
    arena_reserve(&a, 4096);
    first = arena_take(&a, 96);
    second = arena_take(&a, 4000);
    assert_ptr_equal(second, first + 96);
    arena_free(&a);
}

static void copies_are_whole_and_a_copy_of_nothing_is_not_null(void **state)
{
    struct arena a = {0};
    struct slice one = arena_copy(&a, SLICE("one")), two = arena_copy(&a, SLICE("two"));
    const char *zeroed;

    (void)state;
    assert_true(slice_eq(one, SLICE("one")));
    assert_true(slice_eq(two, SLICE("two")));
    assert_non_null(arena_copy(&a, (struct slice){0}).ptr);
    zeroed = arena_take_zero(&a, 300);
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(zeroed[i], 0);
    }
    assert_int_equal((uintptr_t)zeroed % 8, 0);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_stays_where_it_is_and_apart),
        cmocka_unit_test(room_reserved_is_one_run),
        cmocka_unit_test(copies_are_whole_and_a_copy_of_nothing_is_not_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
