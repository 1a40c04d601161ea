#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/mem.h"
#include "spool/loc.h"
#include "spool/table.h"
#include "tests/support/fake_disk.h"

struct thing {
    uint64_t key, next;
    uint64_t payload;
};

#define KEYS 20000u

static void items_are_found_by_key_as_long_as_they_live(void **state)
{
    uint32_t *where = mem_take(KEYS * sizeof(*where));
    struct table t;
    uint64_t seed = 42;

    (void)state;
    table_init(&t, sizeof(struct thing));
    for (uint32_t i = 0; i < KEYS; i++) {
        where[i] = TABLE_NONE;
    }
    for (uint32_t i = 0; i < 200000; i++) {
        uint32_t k = (uint32_t)(fake_random(&seed) % KEYS);
        uint64_t key = (1ull << 40) + k + 1;

        assert_int_equal(table_find(&t, key), where[k]);
        if (where[k] == TABLE_NONE) {
            where[k] = table_take(&t, key);
            ((struct thing *)table_at(&t, where[k]))->payload = key * 3;
        } else {
            assert_true(((struct thing *)table_at(&t, where[k]))->payload == key * 3);
            table_give(&t, where[k]);
            where[k] = TABLE_NONE;
        }
    }
    table_free(&t);
    mem_give(where);
}

static void freed_places_are_used_again(void **state)
{
    struct table t;

    (void)state;
    table_init(&t, sizeof(struct thing));
    for (uint64_t key = 1; key <= 100000; key++) {
        uint32_t index = table_take(&t, key);

        assert_true(index < 2);
        if (key > 1) {
            table_give(&t, table_find(&t, key - 1));
        }
    }
    assert_int_equal(t.count, 1);
    assert_int_equal(t.page_count, 1);
    table_free(&t);
}

/* Accounting adds and subtracts what a place says; it may say too much, never too little. */
static void a_place_remembers_where_exactly_and_how_long_at_least(void **state)
{
    static const uint64_t sizes[] = {16,    48,    1008,   16368,   16384,
                                     16400, 65551, 262144, 4200000, 268435456};

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        uint64_t loc = loc_make(12345, 67890, sizes[i]);

        assert_int_equal(loc_segment(loc), 12345);
        assert_int_equal(loc_offset(loc), 67890 * 16);
        assert_true(loc_size(loc) >= sizes[i] && loc_size(loc) <= sizes[i] + sizes[i] / 256 + 16);
        assert_int_equal(loc_flags(loc_with_flags(loc, 3)), 3);
        assert_true(loc_place(loc_with_flags(loc, 3)) == loc_place(loc));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_found_by_key_as_long_as_they_live),
        cmocka_unit_test(freed_places_are_used_again),
        cmocka_unit_test(a_place_remembers_where_exactly_and_how_long_at_least),
    };
    return cmocka_run_group_tests_name("spool/table", tests, NULL, NULL);
}
