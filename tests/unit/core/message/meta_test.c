#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/json.h"
#include "core/message/json_text.h"
#include "core/message/meta.h"

static void expect_json(const struct meta *m, const char *want)
{
    struct buf out = {0};

    meta_write_json(&out, m);
    buf_char(&out, '\0');
    assert_string_equal(out.ptr, want);
    buf_free(&out);
}

static void setting_keeps_the_order_of_first_set(void **state)
{
    struct meta m = {0};

    expect_json(&m, "{}");
    meta_set(&m, SLICE("a"), SLICE("1"));
    meta_set_string(&m, SLICE("b"), SLICE("two"));
    meta_set(&m, SLICE("c"), SLICE("{}"));
    expect_json(&m, "{\"a\":1,\"b\":\"two\",\"c\":{}}");

    meta_set(&m, SLICE("b"), SLICE("null"));
    meta_set_string(&m, SLICE("a"), SLICE("much longer than before"));
    meta_set(&m, SLICE("c"), SLICE("[]"));
    expect_json(&m, "{\"a\":\"much longer than before\",\"b\":null,\"c\":[]}");
    meta_free(&m);
}

static void an_unset_name_has_no_text(void **state)
{
    struct meta m = {0};

    meta_set(&m, SLICE("ab"), SLICE("1"));
    assert_int_equal(meta_get(&m, SLICE("a")).len, 0);
    assert_int_equal(meta_get(&m, SLICE("abc")).len, 0);
    assert_true(slice_eq(meta_get(&m, SLICE("ab")), SLICE("1")));
    meta_free(&m);
}

static void a_name_beyond_its_limit_is_refused(void **state)
{
    struct meta m = {0};
    struct buf name = {0};

    for (size_t i = 0; i < META_NAME_MAX; i++) {
        buf_char(&name, 'n');
    }
    assert_true(meta_set(&m, buf_slice(&name), SLICE("1")));
    buf_char(&name, 'n');
    assert_false(meta_set(&m, buf_slice(&name), SLICE("1")));
    assert_false(meta_set_string(&m, buf_slice(&name), SLICE("1")));
    assert_int_equal(meta_get(&m, buf_slice(&name)).len, 0);
    buf_free(&name);
    meta_free(&m);
}

static void only_strings_answer_as_strings(void **state)
{
    static const struct {
        const char *name, *json, *want; /* want NULL: no string */
        bool is_other;
    } cases[] = {
        {"a plain string", "\"acme\"", "acme", false},
        {"an escaped string", "\"a\\\"b\\u00e9\\ud83d\\ude00\\n\"",
         "a\"b\xc3\xa9\xf0\x9f\x98\x80\n", false},
        {"a lone surrogate", "\"\\ud83dx\"", "\xef\xbf\xbdx", false},
        {"an empty string", "\"\"", "", false},
        {"null counts as unset", "null", NULL, false},
        {"a number", "12", NULL, true},
        {"an object", "{\"a\":1}", NULL, true},
        {"a broken escape", "\"\\x\"", NULL, true},
    };
    struct buf scratch = {0};

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct meta m = {0};
        struct slice got = {0};
        bool is_other;

        meta_set(&m, SLICE("k"), slice_str(cases[i].json));
        bool ok = meta_get_string(&m, SLICE("k"), &scratch, &got, &is_other);

        if (ok != (cases[i].want != NULL) || is_other != cases[i].is_other ||
            (ok && !slice_eq(got, slice_str(cases[i].want)))) {
            fail_msg("%s: got %.*s", cases[i].name, SLICE_ARG(got));
        }
        meta_free(&m);
    }
    buf_free(&scratch);
}

/* Whatever byte stands wherever, what was written reads back. */
static void ascii_strings_read_back_as_they_were(void **state)
{
    struct buf out = {0}, scratch = {0};
    char text[24];
    struct slice got;

    for (unsigned c = 0; c < 0x80; c++) {
        for (size_t at = 0; at < sizeof(text); at++) {
            memset(text, 'x', sizeof(text));
            text[at] = (char)c;
            buf_clear(&out);
            json_write_string(&out, slice_of(text, sizeof(text)));
            assert_true(json_text_get(buf_slice(&out), &scratch, &got));
            assert_int_equal(got.len, sizeof(text));
            assert_memory_equal(got.ptr, text, sizeof(text));
        }
    }
    buf_free(&out);
    buf_free(&scratch);
}

static void a_copy_replaces_and_stands_alone(void **state)
{
    struct meta a = {0}, b = {0};

    meta_set(&a, SLICE("x"), SLICE("1"));
    meta_set(&b, SLICE("y"), SLICE("2"));
    meta_copy(&b, &a);
    meta_set(&a, SLICE("x"), SLICE("3"));
    expect_json(&b, "{\"x\":1}");
    meta_free(&a);
    meta_free(&b);
}

static void a_run_that_is_cut_anywhere_is_refused(void **state)
{
    struct meta a = {0};

    meta_set(&a, SLICE("name"), SLICE("\"value\""));
    meta_set(&a, SLICE("n"), SLICE("1"));

    size_t first = 6 + 4 + 7;
    for (size_t len = 0; len <= a.packed.len; len++) {
        struct meta b = {0};
        bool ok = meta_unpack(&b, slice_of(a.packed.ptr, len));

        assert_int_equal(ok, len == 0 || len == first || len == a.packed.len);
        meta_free(&b);
    }
    meta_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_keeps_the_order_of_first_set),
        cmocka_unit_test(an_unset_name_has_no_text),
        cmocka_unit_test(a_name_beyond_its_limit_is_refused),
        cmocka_unit_test(only_strings_answer_as_strings),
        cmocka_unit_test(ascii_strings_read_back_as_they_were),
        cmocka_unit_test(a_copy_replaces_and_stands_alone),
        cmocka_unit_test(a_run_that_is_cut_anywhere_is_refused),
    };
    return cmocka_run_group_tests_name("core/message/meta", tests, NULL, NULL);
}
