#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/hmap.h"

#define COUNT 1000u

struct entry {
    struct hmap_node node;
    uint32_t key;
    bool seen;
};

static struct slice entry_key(const struct hmap_node *node)
{
    return slice_of(&CONTAINER_OF(node, struct entry, node)->key, sizeof(uint32_t));
}

static void what_went_in_is_found_until_removed(void **state)
{
    struct entry entries[COUNT] = {0};
    struct hmap m;

    (void)state;
    hmap_init(&m, entry_key, 42);
    for (uint32_t i = 0; i < COUNT; i++) {
        entries[i].key = i;
        assert_null(hmap_find(&m, slice_of(&i, sizeof(i))));
        hmap_insert(&m, &entries[i].node);
    }
    for (uint32_t i = 0; i < COUNT; i += 2) {
        hmap_remove(&m, &entries[i].node);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        struct hmap_node *n = hmap_find(&m, slice_of(&i, sizeof(i)));

        assert_ptr_equal(n, i % 2 == 0 ? NULL : &entries[i].node);
    }
    assert_int_equal(m.count, COUNT / 2);
    hmap_free(&m);
}

static void a_walk_meets_every_node_once_even_while_removing(void **state)
{
    struct entry entries[COUNT] = {0};
    struct hmap_node *next;
    unsigned met = 0;
    struct hmap m;

    (void)state;
    hmap_init(&m, entry_key, 42);
    assert_null(hmap_first(&m));
    for (uint32_t i = 0; i < COUNT; i++) {
        entries[i].key = i;
        hmap_insert(&m, &entries[i].node);
    }
    for (struct hmap_node *n = hmap_first(&m); n != NULL; n = next) {
        struct entry *e = CONTAINER_OF(n, struct entry, node);

        next = hmap_next(&m, n);
        assert_false(e->seen);
        e->seen = true;
        met++;
        if (e->key % 3 == 0) {
            hmap_remove(&m, n);
        }
    }
    assert_int_equal(met, COUNT);
    assert_int_equal(m.count, COUNT - 334);
    hmap_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_went_in_is_found_until_removed),
        cmocka_unit_test(a_walk_meets_every_node_once_even_while_removing),
    };
    return cmocka_run_group_tests_name("core/base/hmap", tests, NULL, NULL);
}
