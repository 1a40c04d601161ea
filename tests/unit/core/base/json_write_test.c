#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/json.h"

struct string_case {
    const char *name;
    struct slice bytes, text;
};

static const struct string_case string_cases[] = {
    {"nothing", SLICE_INIT(""), SLICE_INIT("\"\"")},
    {"plain", SLICE_INIT("user@example.com says hello"),
     SLICE_INIT("\"user@example.com says hello\"")},
    {"quotes and backslashes", SLICE_INIT("a\"b\\c"), SLICE_INIT("\"a\\\"b\\\\c\"")},
    {"controls", SLICE_INIT("\0\b\t\n\v\f\r\x1f\x7f"),
     SLICE_INIT("\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\x7f\"")},
    {"UTF-8 as it is", SLICE_INIT("na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80"),
     SLICE_INIT("\"na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80\"")},
    {"a stray byte",
     SLICE_INIT("a\xff"
                "b"),
     SLICE_INIT("\"a\xef\xbf\xbd"
                "b\"")},
    {"a cut sequence is one mark", SLICE_INIT("x\xf0\x9f\x98"), SLICE_INIT("\"x\xef\xbf\xbd\"")},
    {"overlong: a mark a byte", SLICE_INIT("\xc0\xaf"), SLICE_INIT("\"\xef\xbf\xbd\xef\xbf\xbd\"")},
    {"an escape at every place of a word", SLICE_INIT("\n1\n34\n678\n"),
     SLICE_INIT("\"\\n1\\n34\\n678\\n\"")},
};

static void strings_are_escaped_and_always_utf8(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(string_cases); i++) {
        struct buf out = {0};

        print_message("%s\n", string_cases[i].name);
        json_write_string(&out, string_cases[i].bytes);
        assert_true(slice_eq(buf_slice(&out), string_cases[i].text));
        buf_free(&out);
    }
}

/* The word-at-a-time scan against the definition, every byte at every place of two words. */
static void every_byte_at_every_place_reads_back(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 128; c++) {
        for (unsigned place = 0; place < 17; place++) {
            char bytes[17];
            struct buf out = {0}, why = {0};
            struct json_doc doc;

            memset(bytes, place % 2 == 0 ? '~' : '#', sizeof(bytes));
            bytes[place] = (char)c;
            json_write_string(&out, slice_of(bytes, sizeof(bytes)));
            assert_true(json_parse(buf_slice(&out), 0, &doc, &why));
            assert_true(slice_eq(doc.root->string, slice_of(bytes, sizeof(bytes))));
            assert_int_equal(out.len, c >= 0x20 && c != '"' && c != '\\'                   ? 19
                                      : strchr("\b\t\n\f\r\"\\", (int)c) != NULL && c != 0 ? 20
                                                                                           : 24);
            json_doc_free(&doc);
            buf_free(&out);
            buf_free(&why);
        }
    }
}

/* Every class of byte, at every place of strings from nothing to two blocks and a bit, against the
 * escape rules one by one. */
static void escapes_are_the_same_wherever_a_byte_stands(void **state)
{
    static const struct {
        const char *name;
        char byte;
        struct slice text;
    } classes[] = {
        {"NUL", '\0', SLICE_INIT("\\u0000")},      {"a control", '\x1f', SLICE_INIT("\\u001f")},
        {"a newline", '\n', SLICE_INIT("\\n")},    {"a quote", '"', SLICE_INIT("\\\"")},
        {"a backslash", '\\', SLICE_INIT("\\\\")}, {"a space", ' ', SLICE_INIT(" ")},
        {"a letter", 'k', SLICE_INIT("k")},         {"DEL", '\x7f', SLICE_INIT("\x7f")},
        {"no UTF-8", '\x80', SLICE_INIT("\xef\xbf\xbd")},
        {"never UTF-8", '\xff', SLICE_INIT("\xef\xbf\xbd")},
    };
    char bytes[35];

    (void)state;
    memset(bytes, 'a', sizeof(bytes));
    for (size_t i = 0; i < ARRAY_COUNT(classes); i++) {
        print_message("%s\n", classes[i].name);
        for (size_t len = 1; len <= sizeof(bytes); len++) {
            for (size_t place = 0; place < len; place++) {
                struct buf out = {0}, expected = {0};

                bytes[place] = classes[i].byte;
                json_write_string(&out, slice_of(bytes, len));
                bytes[place] = 'a';
                buf_printf(&expected, "\"%.*s%.*s%.*s\"", (int)place, bytes,
                           SLICE_ARG(classes[i].text), (int)(len - place - 1), bytes);
                assert_true(slice_eq(buf_slice(&out), buf_slice(&expected)));
                buf_free(&out);
                buf_free(&expected);
            }
        }
    }
}

struct double_case {
    double v;
    const char *name;
};

static const struct double_case double_cases[] = {
    {0, "0"},
    {1, "1"},
    {-3, "-3"},
    {0.1, "0.1"},
    {1.5, "1.5"},
    {1e15, "1000000000000000"},
    {1e16, "1e16"},
    {1e21, "1e21"},
    {1e-7, "1e-7"},
    {1e-100, "1e-100"},
    {-2.5e-10, "-2.5e-10"},
    {0.1 + 0.2, "0.30000000000000004"},
};

static void numbers_are_short_and_exact(void **state)
{
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(double_cases); i++) {
        buf_clear(&out);
        json_write_double(&out, double_cases[i].v);
        print_message("%s: %.*s\n", double_cases[i].name, SLICE_ARG(buf_slice(&out)));
        assert_true(slice_eq(buf_slice(&out), slice_str(double_cases[i].name)));
    }
    buf_clear(&out);
    json_write_double(&out, __builtin_nan(""));
    assert_true(slice_eq(buf_slice(&out), SLICE("null")));
    buf_free(&out);
}

static void a_tree_is_built_cloned_and_printed_with_sorted_keys(void **state)
{
    struct json_doc doc = {0}, copy = {0};
    struct buf out = {0};
    struct json *list;

    (void)state;
    doc.root = json_new(&doc, JSON_OBJECT);
    json_object_set(&doc, doc.root, SLICE("z"), json_new_int(&doc, -1));
    json_object_set(&doc, doc.root, SLICE("a"), json_new_bool(&doc, false));
    list = json_new(&doc, JSON_ARRAY);
    json_object_set(&doc, doc.root, SLICE("m"), list);
    json_array_add(list, json_new_string(&doc, SLICE("one")));
    json_array_add(list, json_new(&doc, JSON_OBJECT));
    json_array_add(list, json_new_uint(&doc, UINT64_MAX));
    json_object_set(&doc, doc.root, SLICE("m"), json_clone(&doc, list));
    json_object_set(&doc, doc.root, SLICE("z"), json_new_double(&doc, 2.5));
    copy.root = json_clone(&copy, doc.root);
    json_doc_free(&doc);

    json_write(&out, copy.root);
    assert_true(slice_eq(buf_slice(&out),
                         SLICE("{\"z\":2.5,\"a\":false,\"m\":[\"one\",{},18446744073709551615]}")));
    buf_clear(&out);
    json_write_pretty(&out, copy.root);
    assert_true(
        slice_eq(buf_slice(&out), SLICE("{\n  \"a\": false,\n  \"m\": [\n    \"one\",\n    {},\n"
                                        "    18446744073709551615\n  ],\n  \"z\": 2.5\n}")));
    assert_int_equal(copy.root->count, 3);
    json_doc_free(&copy);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped_and_always_utf8),
        cmocka_unit_test(every_byte_at_every_place_reads_back),
        cmocka_unit_test(escapes_are_the_same_wherever_a_byte_stands),
        cmocka_unit_test(numbers_are_short_and_exact),
        cmocka_unit_test(a_tree_is_built_cloned_and_printed_with_sorted_keys),
    };
    return cmocka_run_group_tests_name("core/base/json_write", tests, NULL, NULL);
}
