/* JSON in policies, modules, and the log. */
#include <stdlib.h>
#include <unistd.h>

#include "policy/vm/vm_lua.h"
#include "tests/unit/policy/vm/vm_bench.h"

#define HEAD "local kumo = require 'kumo'\n"

static const struct {
    const char *name, *body, *want;
} rows[] = {
    {"an empty table is an object", "return kumo.json_encode({})", "{}"},
    {"a parsed empty array stays one", "return kumo.json_encode(kumo.json_parse '[]')", "[]"},
    {"the hash part of an array is dropped", "return kumo.json_encode{1, 2, x = 3}", "[1,2]"},
    {"integral numbers have no exponent", "return kumo.json_encode{1700000000000, 10 / 2}",
     "[1700000000000,5]"},
    {"comments are allowed", "return kumo.json_parse('// a\\n{\"a\": 1 /* b */} # c').a", "1"},
    {"null is nil", "return tostring(kumo.json_parse('{\"a\":null}').a)", "nil"},
    {"nulls leave holes", "return tostring(kumo.json_parse('[1,null,3]')[3])", "3"},
    {"big integers are exact", "return tostring(kumo.json_parse('[9007199254740993]')[1])",
     "9007199254740993"},
    {"and go back exactly",
     "return kumo.json_encode(kumo.json_parse('[9007199254740993,18446744073709551615]'))",
     "[9007199254740993,18446744073709551615]"},
    {"pretty sorts keys", "return kumo.serde.json_encode_pretty{b = 1, a = {2}}",
     "{\n  \"a\": [\n    2\n  ],\n  \"b\": 1\n}"},
    {"functions raise", "return (pcall(kumo.json_encode_pretty, {print}))", "false"},
    {"cycles raise", "local t = {} t[1] = t return (pcall(kumo.json_encode, t))", "false"},
    {"escapes", "return kumo.json_parse([[\"a\\u00e4\\n\"]])", "a\u00e4\n"},
    {"modules are there by name", "return tostring(require 'kumo.serde' == kumo.serde)", "true"},
    {"the version compares as a date", "return tostring(kumo.version > '2024.01.01')", "true"},
    {"parallelism is a count", "return tostring(kumo.available_parallelism() >= 1)", "true"},
};

static void json_behaves_as_policies_expect(void **state)
{
    unsigned wrong_count = 0;
    struct vm_bench b;
    struct buf source = {0};

    vm_bench_init(&b);
    buf_put(&source, SLICE(HEAD));
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        buf_printf(&source, "kumo.on('e%zu', function() %s end) ", i, rows[i].body);
    }
    buf_char(&source, '\0');
    vm_bench_load(&b, source.ptr);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char event[16];

        (void)snprintf(event, sizeof(event), "e%zu", i);
        if (strcmp(vm_bench_say(&b, event), rows[i].want) != 0) {
            print_error("%s: got %s\n", rows[i].name, b.why.ptr);
            wrong_count++;
        }
    }
    buf_free(&source);
    vm_bench_close(&b);
    assert_int_equal(wrong_count, 0);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

/* A module is read once, when the policy loads: states made later run the same text. */
static void modules_are_read_once_and_go_through_the_rewriter(void **state)
{
    char dir[] = "/tmp/ringpost_vm_XXXXXX", path[64], source[512];
    struct vm_bench b;

    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/mod.lua", dir);
    write_file(
        path,
        "#!/usr/bin/lua\nlocal M = {n = 7 // 2}\nfunction M.bad() error('in mod') end\nreturn M\n");
    vm_bench_init(&b);
    (void)snprintf(source, sizeof(source),
                   HEAD "package.path = '%s/?.lua;' .. package.path\n"
                        "local m = require 'mod'\n"
                        "kumo.on('n', function() return m.n end)\n"
                        "kumo.on('bad', function() m.bad() end)\n"
                        "kumo.on('none', function() require 'no.such' end)\n"
                        "kumo.on('file', function() return dofile('%s').n end)\n",
                   dir, path);
    vm_bench_load(&b, source);
    assert_string_equal(vm_bench_say(&b, "n"), "3");
    write_file(path, "return {n = 'changed'}");
    assert_non_null(strstr(vm_bench_say(&b, "bad"), "/mod.lua:3: in mod")); /* costs the state */
    assert_string_equal(vm_bench_say(&b, "n"), "3");
    assert_string_equal(vm_bench_say(&b, "file"), "3");
    assert_non_null(strstr(vm_bench_say(&b, "none"), "/no/such.lua'"));
    vm_bench_close(&b);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void keep_line(struct vm *vm, enum vm_log_level level, struct slice line)
{
    struct vm_bench *b = vm_services(vm);

    buf_clear(&b->why);
    buf_printf(&b->why, "%d %.*s", (int)level, SLICE_ARG(line));
    buf_char(&b->why, '\0');
}

static void log_lines_name_their_place(void **state)
{
    static const struct vm_library library = {.log = keep_line};
    struct vm_bench b;
    struct vm_call *c;

    vm_bench_init(&b);
    b.library = &library;
    vm_bench_load(&b, HEAD "kumo.on('a', function()\n  kumo.log_warn('n', 5, nil, 'a\\255b') end)");
    vm_set_services(b.vm, &b);
    c = vm_bench_named(&b, "a");
    assert_int_equal(vm_call_run(c, vm_bench_done, &b)->status, VM_NONE);
    vm_call_end(&c);
    assert_string_equal(b.why.ptr, "1 /etc/policy/init.lua:3: n 5 nil a\\xFFb");
    vm_bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_behaves_as_policies_expect),
        cmocka_unit_test(modules_are_read_once_and_go_through_the_rewriter),
        cmocka_unit_test(log_lines_name_their_place),
    };

    return cmocka_run_group_tests_name("policy/vm/json", tests, NULL, NULL);
}
