#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/json.h"

struct good_case {
    struct slice name; /* the text read */
    struct slice compact;
};

static const struct good_case good_cases[] = {
    {SLICE_INIT("null"), SLICE_INIT("null")},
    {SLICE_INIT(" true "), SLICE_INIT("true")},
    {SLICE_INIT("0"), SLICE_INIT("0")},
    {SLICE_INIT("-0.5e1"), SLICE_INIT("-5")},
    {SLICE_INIT("-9223372036854775808"), SLICE_INIT("-9223372036854775808")},
    {SLICE_INIT("18446744073709551615"), SLICE_INIT("18446744073709551615")},
    {SLICE_INIT("9007199254740993"), SLICE_INIT("9007199254740993")},
    {SLICE_INIT("1e300"), SLICE_INIT("1e300")},
    {SLICE_INIT("0.1"), SLICE_INIT("0.1")},
    {SLICE_INIT("1.7976931348623157e308"), SLICE_INIT("1.7976931348623157e308")},
    {SLICE_INIT("0.00001"), SLICE_INIT("1e-5")},
    {SLICE_INIT("[]"), SLICE_INIT("[]")},
    {SLICE_INIT("{ }"), SLICE_INIT("{}")},
    {SLICE_INIT("[1,\t[2],{\"a\":\r\n3}]"), SLICE_INIT("[1,[2],{\"a\":3}]")},
    {SLICE_INIT("{\"z\":1,\"a\":2}"), SLICE_INIT("{\"z\":1,\"a\":2}")},
    {SLICE_INIT("\"\\u0041\\ud83d\\ude00\\u00e9\\/\\b\\f\\n\\r\\t\\\\\\\"\""),
     SLICE_INIT("\"A\xf0\x9f\x98\x80\xc3\xa9/\\b\\f\\n\\r\\t\\\\\\\"\"")},
    {SLICE_INIT("\"\\u0000\""), SLICE_INIT("\"\\u0000\"")},
    {SLICE_INIT("{\"k\\u0065y\":\"a long enough run of plain bytes, then \\n more\"}"),
     SLICE_INIT("{\"key\":\"a long enough run of plain bytes, then \\n more\"}")},
};

static void valid_texts_mean_what_they_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good_cases); i++) {
        struct buf why = {0}, out = {0};
        struct json_doc doc;

        print_message("%.*s\n", SLICE_ARG(good_cases[i].name));
        assert_true(json_parse(good_cases[i].name, 0, &doc, &why));
        json_write(&out, doc.root);
        assert_true(slice_eq(buf_slice(&out), good_cases[i].compact));
        json_doc_free(&doc);
        buf_free(&out);
        buf_free(&why);
    }
}

struct bad_case {
    struct slice name; /* the text read */
    struct slice why;
};

static const struct bad_case bad_cases[] = {
    {SLICE_INIT(""), SLICE_INIT("EOF while parsing a value at line 1 column 0")},
    {SLICE_INIT("\n\n "), SLICE_INIT("EOF while parsing a value at line 3 column 1")},
    {SLICE_INIT("[1,]"), SLICE_INIT("expected value at line 1 column 4")},
    {SLICE_INIT("[1\n2]"), SLICE_INIT("expected `,` or `]` at line 2 column 1")},
    {SLICE_INIT("[1"), SLICE_INIT("EOF while parsing a list at line 1 column 2")},
    {SLICE_INIT("{a:1}"), SLICE_INIT("key must be a string at line 1 column 2")},
    {SLICE_INIT("{\"a\" 1}"), SLICE_INIT("expected `:` at line 1 column 6")},
    {SLICE_INIT("{\"a\":1"), SLICE_INIT("EOF while parsing an object at line 1 column 6")},
    {SLICE_INIT("{\"a\":1 \"b\""), SLICE_INIT("expected `,` or `}` at line 1 column 8")},
    {SLICE_INIT("1 2"), SLICE_INIT("trailing characters at line 1 column 3")},
    {SLICE_INIT("truth"), SLICE_INIT("expected ident at line 1 column 1")},
    {SLICE_INIT("01"), SLICE_INIT("invalid number at line 1 column 2")},
    {SLICE_INIT("-"), SLICE_INIT("EOF while parsing a value at line 1 column 1")},
    {SLICE_INIT("1.x"), SLICE_INIT("invalid number at line 1 column 3")},
    {SLICE_INIT("1e999"), SLICE_INIT("number out of range at line 1 column 5")},
    {SLICE_INIT("\"a"), SLICE_INIT("EOF while parsing a string at line 1 column 2")},
    {SLICE_INIT("\"\\u12"), SLICE_INIT("EOF while parsing a string at line 1 column 5")},
    {SLICE_INIT("\"\\x\""), SLICE_INIT("invalid escape at line 1 column 3")},
    {SLICE_INIT("\"\\ud800\""), SLICE_INIT("unexpected end of hex escape at line 1 column 8")},
    {SLICE_INIT("\"\\udc00\""),
     SLICE_INIT("lone leading surrogate in hex escape at line 1 column 8")},
    {SLICE_INIT("\"a\tb\""),
     SLICE_INIT(
         "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 3")},
    {SLICE_INIT("\"\xff\""), SLICE_INIT("invalid unicode code point at line 1 column 2")},
    {SLICE_INIT("// c\n1"), SLICE_INIT("expected value at line 1 column 1")},
    {SLICE_INIT("1\0"), SLICE_INIT("trailing characters at line 1 column 2")},
};

static void broken_texts_are_refused_with_the_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad_cases); i++) {
        struct buf why = {0};
        struct json_doc doc;

        print_message("%.*s\n", SLICE_ARG(bad_cases[i].name));
        assert_false(json_parse(bad_cases[i].name, 0, &doc, &why));
        print_message("  %.*s\n", SLICE_ARG(buf_slice(&why)));
        assert_true(slice_eq(buf_slice(&why), bad_cases[i].why));
        assert_null(doc.root);
        buf_free(&why);
    }
}

static void comments_are_skipped_where_asked_for(void **state)
{
    struct buf why = {0}, out = {0};
    struct json_doc doc;

    (void)state;
    assert_true(
        json_parse(SLICE("# one\n// two\n/* three * / */{/**/\"a#b\"//\n:#\n1 /* x */}#end"),
                   JSON_COMMENTS, &doc, &why));
    json_write(&out, doc.root);
    assert_true(slice_eq(buf_slice(&out), SLICE("{\"a#b\":1}")));
    json_doc_free(&doc);
    assert_false(json_parse(SLICE("1 /* never closed"), JSON_COMMENTS, &doc, &why));
    assert_false(json_parse(SLICE("/1"), JSON_COMMENTS, &doc, &why));
    buf_free(&out);
    buf_free(&why);
}

static void nesting_stops_at_its_limit(void **state)
{
    struct buf text = {0}, why = {0};
    struct json_doc doc;

    (void)state;
    for (unsigned i = 0; i < JSON_DEPTH_MAX; i++) {
        buf_char(&text, '[');
    }
    for (unsigned i = 0; i < JSON_DEPTH_MAX; i++) {
        buf_char(&text, ']');
    }
    assert_true(json_parse(buf_slice(&text), 0, &doc, &why));
    json_doc_free(&doc);
    buf_insert(&text, 0, SLICE("["));
    assert_false(json_parse(buf_slice(&text), 0, &doc, &why));
    assert_true(slice_starts(buf_slice(&why), SLICE("recursion limit exceeded")));
    buf_free(&text);
    buf_free(&why);
}

/* Whatever prefix of a text arrives, the answer is a refusal, not a read past its end. */
static void every_prefix_of_a_text_is_refused_in_bounds(void **state)
{
    static const struct slice text = SLICE_INIT(
        "{\"a\":[1,-2.5e+10,true,false,null,\"\\u00e9\\ud83d\\ude00 \xc3\xa9\"],\"b\":{}}");
    struct buf why = {0};

    (void)state;
    for (size_t len = 0; len < text.len; len++) {
        struct buf exact = {0};
        struct json_doc doc;

        buf_append(&exact, text.ptr, len);
        assert_false(json_parse(buf_slice(&exact), 0, &doc, &why));
        buf_free(&exact);
    }
    buf_free(&why);
}

/* The scan for the end of a run, against the definition. */
static void a_control_character_is_refused_wherever_it_stands(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 0x30; c++) {
        for (size_t place = 1; place < 34; place++) {
            char text[36];
            struct buf why = {0};
            struct json_doc doc;
            bool ok;

            memset(text, place % 2 == 0 ? '~' : ' ', sizeof(text));
            text[0] = '"';
            text[sizeof(text) - 1] = '"';
            text[place] = (char)c;
            ok = json_parse(slice_of(text, sizeof(text)), 0, &doc, &why);
            assert_int_equal(ok, c >= 0x20 && c != '"');
            json_doc_free(&doc);
            buf_free(&why);
        }
    }
}

static void the_last_of_two_members_wins(void **state)
{
    struct buf why = {0};
    struct json_doc doc;

    (void)state;
    assert_true(json_parse(SLICE("{\"a\":1,\"b\":2,\"a\":3}"), 0, &doc, &why));
    assert_int_equal(json_get(doc.root, SLICE("a"))->integer, 3);
    assert_null(json_get(doc.root, SLICE("c")));
    assert_null(json_get(json_get(doc.root, SLICE("a")), SLICE("c")));
    assert_null(json_get(NULL, SLICE("c")));
    json_doc_free(&doc);
    buf_free(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_texts_mean_what_they_say),
        cmocka_unit_test(broken_texts_are_refused_with_the_place),
        cmocka_unit_test(comments_are_skipped_where_asked_for),
        cmocka_unit_test(nesting_stops_at_its_limit),
        cmocka_unit_test(every_prefix_of_a_text_is_refused_in_bounds),
        cmocka_unit_test(a_control_character_is_refused_wherever_it_stands),
        cmocka_unit_test(the_last_of_two_members_wins),
    };
    return cmocka_run_group_tests_name("core/base/json_parse", tests, NULL, NULL);
}
