#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/message/message.h"

static struct message *message_of(const char *text)
{
    struct message *m = message_new();
    struct buf bytes = {0};

    m->content = message_content_new();
    buf_put(&bytes, slice_str(text));
    message_set_data(m, &bytes);
    return m;
}

static void expect_data(const struct message *m, const char *want)
{
    struct buf out = {0};

    message_data_put(m, &out);
    assert_int_equal(out.len, message_data_size(m));
    assert_int_equal(out.len, m->size);
    buf_char(&out, '\0');
    assert_string_equal(out.ptr, want);
    buf_free(&out);
}

static bool is_x(void *arg, struct slice name, struct slice raw_value)
{
    return slice_starts_nocase(name, SLICE("X-"));
}

static bool list_header(void *arg, struct slice name, struct slice raw_value)
{
    buf_put(arg, name);
    buf_char(arg, '=');
    buf_put(arg, raw_value);
    buf_char(arg, ';');
    return true;
}

static void expect_headers(const struct message *m, const char *want)
{
    struct buf out = {0};

    message_each_header(m, list_header, &out);
    buf_char(&out, '\0');
    assert_string_equal(out.ptr, want);
    buf_free(&out);
}

static void a_prepended_header_goes_to_the_very_top(void **state)
{
    struct message *m = message_of("A: 1\r\n\r\nbody\r\n");

    message_prepend_header(m, SLICE("B"), SLICE("2"));
    message_prepend_header(m, SLICE("C"), SLICE("3"));
    expect_data(m, "C: 3\r\nB: 2\r\nA: 1\r\n\r\nbody\r\n");
    expect_headers(m, "C=3;B=2;A=1;");
    assert_int_equal(m->content->body_from, 0);
    assert_true(m->content->data_dirty);
    message_free(&m);
}

static void an_appended_header_follows_the_last_one(void **state)
{
    struct message *m = message_of("A: 1\r\n\r\nbody\r\n");

    message_prepend_header(m, SLICE("P"), SLICE("0"));
    assert_true(message_append_header(m, SLICE("B"), SLICE("2")));
    expect_data(m, "P: 0\r\nA: 1\r\nB: 2\r\n\r\nbody\r\n");
    assert_true(message_append_header(m, SLICE("C"), SLICE("3")));
    message_prepend_header(m, SLICE("Q"), SLICE("9"));
    expect_data(m, "Q: 9\r\nP: 0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\nbody\r\n");
    expect_headers(m, "Q=9;P=0;A=1;B=2;C=3;");
    message_free(&m);
}

static void a_header_without_an_end_takes_no_more(void **state)
{
    struct message *m = message_of("A: 1\r\nB: 2\r\n");

    assert_false(message_append_header(m, SLICE("C"), SLICE("3")));
    expect_data(m, "A: 1\r\nB: 2\r\n");
    message_free(&m);
}

static void a_message_without_headers_takes_the_first_one(void **state)
{
    struct message *m = message_of("\r\nbody\r\n");

    assert_true(message_append_header(m, SLICE("A"), SLICE("1")));
    assert_true(message_append_header(m, SLICE("B"), SLICE("2")));
    expect_data(m, "A: 1\r\nB: 2\r\n\r\nbody\r\n");
    message_free(&m);
}

struct remove_case {
    const char *name, *text, *want;
    size_t count;
};

static const struct remove_case remove_cases[] = {
    {"none to remove", "A: 1\r\n\r\nb\r\n", "A: 1\r\n\r\nb\r\n", 0},
    {"with their continuations", "X-A: 1\r\n 2\r\nB: 3\r\nx-c: 4\r\n\r\nX-D: 5\r\n",
     "B: 3\r\n\r\nX-D: 5\r\n", 2},
    {"all of them", "X-A: 1\r\n\r\nb\r\n", "\r\nb\r\n", 1},
    {"a header that never ends", "X-A: 1\r\nB: 2", "B: 2", 1},
    {"a continuation of nothing stays", " x-a: 1\r\nX-B: 2\r\n\r\n", " x-a: 1\r\n\r\n", 1},
};

static void removed_headers_are_gone_and_the_rest_is_untouched(void **state)
{
    for (size_t i = 0; i < ARRAY_COUNT(remove_cases); i++) {
        const struct remove_case *c = &remove_cases[i];
        struct message *m = message_of(c->text);

        m->content->data_dirty = false;
        size_t got = message_remove_headers(m, is_x, NULL);

        if (got != c->count || m->content->data_dirty != (c->count != 0)) {
            fail_msg("%s: removed %zu", c->name, got);
        }
        expect_data(m, c->want);
        assert_int_equal(message_remove_headers(m, is_x, NULL), 0);
        message_free(&m);
    }
}

static void removal_reaches_prepended_headers_too(void **state)
{
    struct message *m = message_of("A: 1\r\nX-B: 2\r\n\r\nb\r\n");

    message_prepend_header(m, SLICE("X-P"), SLICE("0"));
    message_prepend_header(m, SLICE("Q"), SLICE("0"));
    assert_int_equal(message_remove_headers(m, is_x, NULL), 2);
    expect_data(m, "Q: 0\r\nA: 1\r\n\r\nb\r\n");
    message_free(&m);
}

/* A policy may write anything as a value; what follows an empty line is not lost. */
static void an_empty_line_in_a_value_loses_nothing(void **state)
{
    struct message *m = message_of("X-A: 1\r\n\r\nb\r\n");

    message_prepend_header(m, SLICE("B"), SLICE("1\r\n\r\nX-C: 2"));
    assert_int_equal(message_remove_headers(m, is_x, NULL), 1);
    expect_data(m, "B: 1\r\n\r\nX-C: 2\r\n\r\nb\r\n");
    message_free(&m);
}

static bool stop_at_first(void *arg, struct slice name, struct slice raw_value)
{
    ++*(unsigned *)arg;
    return false;
}

static void a_walk_ends_when_it_is_told_to(void **state)
{
    struct message *m = message_of("A: 1\r\nB: 2\r\n\r\n");
    unsigned count = 0;

    message_prepend_header(m, SLICE("P"), SLICE("0"));
    message_each_header(m, stop_at_first, &count);
    assert_int_equal(count, 1);
    message_free(&m);
}

static void edits_of_one_recipient_do_not_show_at_another(void **state)
{
    struct message *a = message_of("A: 1\r\n\r\nb\r\n");
    struct message *b = message_new();

    b->content = message_content_new();
    b->content->body = body_get(a->content->body);
    b->size = (uint32_t)message_data_size(b);
    assert_true(message_append_header(a, SLICE("B"), SLICE("2")));
    expect_data(a, "A: 1\r\nB: 2\r\n\r\nb\r\n");
    expect_data(b, "A: 1\r\n\r\nb\r\n");
    message_free(&a);
    expect_data(b, "A: 1\r\n\r\nb\r\n");
    message_free(&b);
}

static void new_data_drops_all_edits(void **state)
{
    struct message *m = message_of("A: 1\r\n\r\nb\r\n");
    struct buf bytes = {0};

    assert_true(message_append_header(m, SLICE("B"), SLICE("2")));
    buf_put(&bytes, SLICE("C: 3\r\n\r\nnew\r\n"));
    message_set_data(m, &bytes);
    assert_null(bytes.ptr);
    expect_data(m, "C: 3\r\n\r\nnew\r\n");
    message_free(&m);
}

static void flags_cover_the_headers_that_were_added(void **state)
{
    struct message *m = message_of("A: 1\r\n\r\nb\r\n");

    assert_int_equal(message_flags(m), 0);
    message_prepend_header(m, SLICE("B"), SLICE("caf\xc3\xa9"));
    assert_int_equal(message_flags(m), BODY_HAS_8BIT);
    message_prepend_header(m, SLICE("C"), SLICE("x\n.y"));
    assert_int_equal(message_flags(m), BODY_HAS_8BIT | BODY_NOT_CANONICAL | BODY_NEEDS_STUFFING);
    message_free(&m);

    m = message_of("X-A: 1\r\nB: 2");
    assert_int_equal(message_flags(m), BODY_NO_FINAL_CRLF);
    assert_int_equal(message_remove_headers(m, is_x, NULL), 1);
    assert_int_equal(message_flags(m), BODY_NO_FINAL_CRLF);
    message_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prepended_header_goes_to_the_very_top),
        cmocka_unit_test(an_appended_header_follows_the_last_one),
        cmocka_unit_test(a_header_without_an_end_takes_no_more),
        cmocka_unit_test(a_message_without_headers_takes_the_first_one),
        cmocka_unit_test(removed_headers_are_gone_and_the_rest_is_untouched),
        cmocka_unit_test(removal_reaches_prepended_headers_too),
        cmocka_unit_test(an_empty_line_in_a_value_loses_nothing),
        cmocka_unit_test(a_walk_ends_when_it_is_told_to),
        cmocka_unit_test(edits_of_one_recipient_do_not_show_at_another),
        cmocka_unit_test(new_data_drops_all_edits),
        cmocka_unit_test(flags_cover_the_headers_that_were_added),
    };
    return cmocka_run_group_tests_name("core/message/message_content", tests, NULL, NULL);
}
