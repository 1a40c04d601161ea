#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "proto/header.h"

/* Headers are shown as "name|raw value;". */
static const struct {
    const char *name;
    const char *message;
    const char *headers;
    int block_size; /* -1: all of it */
} rows[] = {
    {"usual", "From: a@x\r\nTo: b@x\r\n\r\nbody: no\r\n", "From|a@x;To|b@x;", 22},
    {"lf only", "From: a@x\nTo: b@x\n\nbody", "From|a@x;To|b@x;", 19},
    {"no body", "From: a@x\r\n", "From|a@x;", -1},
    {"no line end", "From: a@x", "From|a@x;", -1},
    {"body only", "\r\nbody", "", 2},
    {"nothing", "", "", -1},
    {"folded", "Subject: one\r\n two\r\n\tthree\r\nTo: b\r\n\r\n",
     "Subject|one\r\n two\r\n\tthree;To|b;", 37},
    {"folded at once", "Subject:\r\n one\r\n\r\n", "Subject|\r\n one;", 18},
    {"empty value", "Subject:\r\nTo: b\r\n\r\n", "Subject|;To|b;", 19},
    {"no space", "Subject:one\r\n\r\n", "Subject|one;", 15},
    {"several spaces", "Subject:   one \r\n\r\n", "Subject|one ;", 19},
    {"blank before the colon", "Subject : one\r\n\r\n", "Subject|one;", 17},
    {"no colon", "what is this\r\nTo: b\r\n\r\n", "what is this|;To|b;", 23},
    {"a colon in the continuation only", "what\r\n is: this\r\nTo: b\r\n\r\n",
     "what\r\n is: this|;To|b;", 26},
    {"colon first", ": value\r\n\r\n", "|value;", 11},
    {"bare cr is text", "A: b\rc\r\n\r\n", "A|b\rc;", 10},
};

static void blocks_are_walked(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice message = slice_str(rows[i].message);
        size_t want = rows[i].block_size < 0 ? message.len : (size_t)rows[i].block_size;
        struct buf shown = {0};
        struct header h;
        size_t at = 0, fields_len = 0, end;

        while (header_next(message, &at, &h)) {
            buf_put(&shown, h.name);
            buf_char(&shown, '|');
            buf_put(&shown, h.raw_value);
            buf_char(&shown, ';');
            assert_ptr_equal(h.field.ptr, message.ptr + fields_len);
            fields_len += h.field.len;
        }
        if (!slice_eq(buf_slice(&shown), slice_str(rows[i].headers))) {
            fail_msg("%s: %.*s", rows[i].name, (int)shown.len, shown.ptr);
        }
        assert_int_equal(header_block_size(message), want);
        assert_int_equal(header_block_end(message, &end), rows[i].block_size >= 0);
        if (rows[i].block_size >= 0) {
            assert_int_equal(end, fields_len);
        }
        buf_free(&shown);
    }
}

static void headers_are_found_in_any_case(void **state)
{
    struct slice message = SLICE("a: 1\r\nB: 2\r\nA: 3\r\n\r\na: 4\r\n");
    struct header h;
    size_t at = 0;

    assert_true(header_find(message, SLICE("A"), &at, &h));
    assert_true(slice_eq(h.raw_value, SLICE("1")));
    assert_true(header_find(message, SLICE("A"), &at, &h));
    assert_true(slice_eq(h.raw_value, SLICE("3")));
    assert_false(header_find(message, SLICE("A"), &at, &h));
}

static void patterns_end_in_a_star(void **state)
{
    static const struct {
        const char *name, *pattern;
        bool matches;
    } patterns[] = {
        {"Subject", "subject", true},   {"Subject", "Subj", false},   {"Subject", "Subj*", true},
        {"X-Job", "x-*", true},         {"Xylo", "X-*", false},       {"anything", "*", true},
        {"", "*", true},                {"Subject", "", false},       {"Subject", "*ject", false},
    };

    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        assert_int_equal(
            header_name_matches(slice_str(patterns[i].name), slice_str(patterns[i].pattern)),
            patterns[i].matches);
    }
}

static void unfolding_leaves_one_space(void **state)
{
    struct buf out = {0};

    header_unfold_put(&out, SLICE("one\r\n two\n\t three  four"));
    assert_true(slice_eq(buf_slice(&out), SLICE("one two three four")));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_walked),
        cmocka_unit_test(headers_are_found_in_any_case),
        cmocka_unit_test(patterns_end_in_a_star),
        cmocka_unit_test(unfolding_leaves_one_space),
    };
    return cmocka_run_group_tests_name("proto/header", tests, NULL, NULL);
}
