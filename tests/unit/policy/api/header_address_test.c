/* Address headers: the list as tostring() prints it, and the shortcuts. */
#include "policy/api/api.h"
#include "tests/unit/policy/vm/vm_bench.h"

#define ONE(name, address) "{\"Address\":{\"name\":" name ",\"address\":\"" address "\"}}"

static const struct {
    const char *name, *value, *want; /* want NULL: not an address list */
} rows[] = {
    {"a bare address", "a@b.c", "[" ONE("null", "a@b.c") "]"},
    {"a name", "A B <a@b.c>", "[" ONE("\"A B\"", "a@b.c") "]"},
    {"a quoted name", "\"Smith, John\" <a@b.c>", "[" ONE("\"Smith, John\"", "a@b.c") "]"},
    {"an encoded name", "=?UTF-8?q?Gr=C3=BC=C3=9Fe?= <a@b.c>",
     "[" ONE("\"Gr\u00fc\u00dfe\"", "a@b.c") "]"},
    {"angle without a name", "<a@b.c>", "[" ONE("null", "a@b.c") "]"},
    {"two", "a@b.c, D <d@e.f>", "[" ONE("null", "a@b.c") "," ONE("\"D\"", "d@e.f") "]"},
    {"folded, with comments", "a (one (two)) @b.c,\r\n (three) <d@e.f>",
     "[" ONE("null", "a@b.c") "," ONE("null", "d@e.f") "]"},
    {"quoted local part", "\"a b\"@c.d", "[" ONE("null", "\\\"a b\\\"@c.d") "]"},
    {"a literal", "a@[10.0.0.1]", "[" ONE("null", "a@[10.0.0.1]") "]"},
    {"a source route", "<@x.y,@z.w:a@b.c>", "[" ONE("null", "a@b.c") "]"},
    {"a group", "G: a@b.c, D <d@e.f>;, z@z.z",
     "[{\"Group\":{\"name\":\"G\",\"entries\":[{\"name\":null,\"address\":\"a@b.c\"},"
     "{\"name\":\"D\",\"address\":\"d@e.f\"}]}}," ONE("null", "z@z.z") "]"},
    {"an empty group", "undisclosed-recipients:;",
     "[{\"Group\":{\"name\":\"undisclosed-recipients\",\"entries\":[]}}]"},
    {"empty elements", ",a@b.c,,", "[" ONE("null", "a@b.c") "]"},
    {"nothing", "", "[]"},
    {"a word", "nobody", NULL},
    {"no domain", "a@", NULL},
    {"no local part", "<@b.c>", NULL},
    {"an open angle", "A <a@b.c", NULL},
    {"an open quote", "\"A <a@b.c>", NULL},
    {"an open comment", "a@b.c (", NULL},
    {"an open group", "G: a@b.c", NULL},
    {"a group in a group", "G: H: a@b.c;;", NULL},
    {"two addresses without a comma", "<a@b.c> <d@e.f>", NULL},
    {"comments nested too deeply", "((((((((((((((((((((((((((((((((((((((((a", NULL},
};

static struct message *with_header(const char *value)
{
    struct message *m = message_new();
    struct buf text = {0};

    m->content = message_content_new();
    buf_printf(&text, "To: %s\r\n\r\nbody\r\n", value);
    message_set_data(m, &text);
    return m;
}

static const char *say(struct vm_bench *b, const char *event, const char *value)
{
    struct message *m = with_header(value);
    struct vm_call *c = vm_bench_named(b, event);

    vm_push_message(c, m);
    const char *got = vm_bench_finish(b, c);

    message_free(&m);
    return got;
}

static void lists_are_read_as_rfc_5322_says(void **state)
{
    unsigned wrong_count = 0;
    struct vm_bench b;

    vm_bench_init(&b);
    b.library = api_library();
    vm_bench_load(&b, "require('kumo').on('t', function(m) return tostring(m:to_header()) end)");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const char *got = say(&b, "t", rows[i].value);
        bool ok = rows[i].want != NULL ? strcmp(got, rows[i].want) == 0
                                       : strstr(got, "is not a valid address list") != NULL;

        if (!ok) {
            print_error("%s: got '%s'\n", rows[i].name, got);
            wrong_count++;
        }
    }
    vm_bench_close(&b);
    assert_int_equal(wrong_count, 0);
}

static void shortcuts_need_one_simple_address(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    b.library = api_library();
    vm_bench_load(
        &b, "local kumo = require 'kumo'\n"
            "kumo.on('one', function(m) local t = m:to_header() return t.user .. '|' .. t.domain "
            ".. '|' .. "
            "t.email .. '|' .. tostring(t.name) end)\n"
            "kumo.on('flat', function(m) local s = '' for _, a in ipairs(m:to_header().list) do "
            "s = s .. a.email .. ' ' .. tostring(a.name) .. ' ' end return s .. "
            "tostring(m:to_header().list[1]) end)\n"
            "kumo.on('none', function(m) return tostring(m:from_header()) end)\n");
    assert_string_equal(say(&b, "one", "N <\"a b\"@c.d>"), "a b|c.d|\"a b\"@c.d|N");
    assert_non_null(strstr(say(&b, "one", ""), "no addresses"));
    assert_non_null(strstr(say(&b, "one", "a@b.c, d@e.f"), "is not a simple single address"));
    assert_non_null(strstr(say(&b, "one", "G: a@b.c;"), "is not a simple address"));
    assert_string_equal(say(&b, "flat", "G: a@b.c, D <d@e.f>;, z@z.z"),
                        "a@b.c nil d@e.f D z@z.z nil {\"name\":null,\"address\":\"a@b.c\"}");
    assert_string_equal(say(&b, "none", "a@b.c"), "nil");
    vm_bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_read_as_rfc_5322_says),
        cmocka_unit_test(shortcuts_need_one_simple_address),
    };

    return cmocka_run_group_tests_name("policy/api/header_address", tests, NULL, NULL);
}
