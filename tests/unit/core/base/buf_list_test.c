#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/buf.h"
#include "core/base/list.h"

static void a_buffer_grows_inserts_and_consumes(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_u64(&b, 0);
    buf_u64(&b, UINT64_MAX);
    assert_true(slice_eq(buf_slice(&b), SLICE("018446744073709551615")));
    buf_clear(&b);
    buf_insert(&b, 0, SLICE("tail"));
    buf_insert(&b, 0, SLICE("head "));
    buf_insert(&b, 9, SLICE("."));
    assert_true(slice_eq(buf_slice(&b), SLICE("head tail.")));
    buf_consume(&b, 5);
    assert_true(slice_eq(buf_slice(&b), SLICE("tail.")));
    buf_consume(&b, 5);
    assert_int_equal(b.len, 0);
    for (unsigned i = 0; i < 1000; i++) {
        buf_printf(&b, "%s%u,", "0123456789012345678901234567890123456789012345678901234567890", i);
    }
    assert_int_equal(b.len, 61 * 1000 + 10 * 2 + 90 * 3 + 900 * 4);
    buf_free(&b);
    assert_null(b.ptr);
}

static void numbers_are_read_whole_or_not_at_all(void **state)
{
    uint64_t v = 7;

    (void)state;
    assert_true(slice_to_u64(SLICE("18446744073709551615"), &v));
    assert_true(v == UINT64_MAX);
    assert_false(slice_to_u64(SLICE("18446744073709551616"), &v));
    assert_false(slice_to_u64(SLICE(""), &v));
    assert_false(slice_to_u64(SLICE("-1"), &v));
    assert_false(slice_to_u64(SLICE("+1"), &v));
    assert_false(slice_to_u64(SLICE("1 "), &v));
    assert_true(v == UINT64_MAX);
}

static void slices_compare_and_trim(void **state)
{
    (void)state;
    assert_true(slice_eq_nocase(SLICE("MaiL"), SLICE("mAIl")));
    assert_false(slice_eq_nocase(SLICE("MaiL"), SLICE("mAI")));
    assert_false(slice_eq_nocase(SLICE("@"), SLICE("`")));
    assert_true(slice_eq(slice_trim(SLICE(" \ta b \t")), SLICE("a b")));
    assert_int_equal(slice_trim(SLICE(" \t ")).len, 0);
    assert_true(slice_cmp(SLICE("a"), SLICE("ab")) < 0);
    assert_true(slice_cmp(SLICE("b"), SLICE("ab")) > 0);
    assert_true(slice_cmp(SLICE("\xff"), SLICE("a")) > 0);
    assert_int_equal(slice_cmp(SLICE(""), SLICE("")), 0);
    assert_int_equal(slice_find_char(SLICE("a:b"), ':'), 1);
    assert_int_equal(slice_find_char(SLICE("ab"), ':'), 2);
    assert_int_equal(slice_from(SLICE("ab"), 9).len, 0);
}

struct item {
    struct dlist link;
    struct slist next;
    int value;
};

static void a_ring_list_gives_up_any_member(void **state)
{
    struct item items[3] = {{.value = 1}, {.value = 2}, {.value = 3}};
    struct dlist head, other;

    (void)state;
    dlist_init(&head);
    dlist_init(&other);
    assert_null(dlist_pop(&head));
    for (int i = 0; i < 3; i++) {
        dlist_push(&head, &items[i].link);
    }
    dlist_remove(&items[1].link);
    assert_false(dlist_linked(&items[1].link));
    dlist_push_front(&other, &items[1].link);
    dlist_splice(&other, &head);
    assert_true(dlist_empty(&head));
    assert_int_equal(CONTAINER_OF(dlist_pop(&other), struct item, link)->value, 2);
    assert_int_equal(CONTAINER_OF(dlist_pop(&other), struct item, link)->value, 1);
    assert_int_equal(CONTAINER_OF(dlist_pop(&other), struct item, link)->value, 3);
    assert_true(dlist_empty(&other));
}

static void a_queue_keeps_its_order_across_running_empty(void **state)
{
    struct item items[2] = {{.value = 1}, {.value = 2}};
    struct slist_queue q = {0};

    (void)state;
    for (int round = 0; round < 2; round++) {
        assert_null(slist_pop(&q));
        slist_push(&q, &items[0].next);
        slist_push(&q, &items[1].next);
        assert_ptr_equal(slist_pop(&q), &items[0].next);
        assert_ptr_equal(slist_pop(&q), &items[1].next);
    }
}

static void a_buffer_used_over_keeps_its_room_unless_that_is_much(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_reuse(&b);
    assert_null(b.ptr);
    buf_reserve(&b, BUF_REUSE_MAX);
    BUF_LIT(&b, "text");
    buf_reuse(&b);
    assert_int_equal(b.len, 0);
    assert_true(b.cap >= BUF_REUSE_MAX);
    buf_reserve(&b, BUF_REUSE_MAX + 1);
    buf_reuse(&b);
    assert_int_equal(b.cap, 0);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_grows_inserts_and_consumes),
        cmocka_unit_test(a_buffer_used_over_keeps_its_room_unless_that_is_much),
        cmocka_unit_test(numbers_are_read_whole_or_not_at_all),
        cmocka_unit_test(slices_compare_and_trim),
        cmocka_unit_test(a_ring_list_gives_up_any_member),
        cmocka_unit_test(a_queue_keeps_its_order_across_running_empty),
    };
    return cmocka_run_group_tests_name("core/base/buf_list", tests, NULL, NULL);
}
