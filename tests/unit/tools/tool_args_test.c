/* Command lines: what is accepted, and what the complaint says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tools/tool_args.h"

struct values {
    bool loud;
    uint64_t count, bytes, pause_ms;
    const char *name;
    struct tool_texts notes;
    struct ip_port at;
};

#define ROW(vname, varg, vfallback, vfield, vkind)                                                 \
    {                                                                                              \
        .name = vname, .arg = varg, .fallback = vfallback, .help = "help of " vname,               \
        .offset = offsetof(struct values, vfield), .kind = vkind                                   \
    }

static const struct tool_option options[] = {
    {.name = "Group", .kind = TOOL_HEADING},
    ROW("loud", NULL, NULL, loud, TOOL_SWITCH),
    ROW("count", "N", "7", count, TOOL_COUNT),
    ROW("bytes", "BYTES", "4k", bytes, TOOL_BYTES),
    ROW("pause", "TIME", "2s", pause_ms, TOOL_MS),
    ROW("name", "TEXT", NULL, name, TOOL_TEXT),
    ROW("note", "TEXT", NULL, notes, TOOL_TEXTS),
    ROW("at", "ADDRESS:PORT", "127.0.0.1:25", at, TOOL_ADDRESS),
};

static const struct tool_cli cli = {.usage = "x [options]",
                                    .about = "About.",
                                    .options = options,
                                    .option_count = ARRAY_COUNT(options)};

#define ARGS_MAX 24

static enum tool_parsed parse(const char *const *words, struct values *v, struct tool_texts *rest,
                              struct buf *why)
{
    char *argv[ARGS_MAX] = {(char *)(uintptr_t) "x"};
    int argc = 1;

    while (words[argc - 1] != NULL) {
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
        argc++;
    }
    *v = (struct values){0};
    *rest = (struct tool_texts){0};
    return tool_args_parse(&cli, argc, argv, v, rest, why);
}

static void defaults_come_from_the_table(void **state)
{
    struct values v;
    struct tool_texts rest;
    struct buf why = {0};

    assert_int_equal(parse((const char *[]){NULL}, &v, &rest, &why), TOOL_PARSED);
    assert_false(v.loud);
    assert_int_equal(v.count, 7);
    assert_int_equal(v.bytes, 4096);
    assert_int_equal(v.pause_ms, 2000);
    assert_null(v.name);
    assert_int_equal(v.at.port, 25);
    buf_free(&why);
}

static void values_are_taken_from_the_next_word_or_after_the_equals_sign(void **state)
{
    struct values v;
    struct tool_texts rest;
    struct buf why = {0};
    const char *words[] = {"--count", "3",      "--bytes=2m", "--loud",   "where",
                           "--name=", "--note", "a",          "--note=b", "--pause",
                           "250ms",   "--",     "--loud",     NULL};

    assert_int_equal(parse(words, &v, &rest, &why), TOOL_PARSED);
    assert_true(v.loud);
    assert_int_equal(v.count, 3);
    assert_int_equal(v.bytes, 2 << 20);
    assert_int_equal(v.pause_ms, 250);
    assert_string_equal(v.name, "");
    assert_int_equal(v.notes.count, 2);
    assert_string_equal(v.notes.at[1], "b");
    assert_int_equal(rest.count, 2);
    assert_string_equal(rest.at[0], "where");
    assert_string_equal(rest.at[1], "--loud");
    buf_free(&why);
}

struct bad_case {
    const char *name;
    const char *words[3];
    const char *complaint; /* part of it */
};

static const struct bad_case bad_cases[] = {
    {.name = "an unknown option", .words = {"--nope"}, .complaint = "--nope is not an option"},
    {.name = "a heading is not an option", .words = {"--Group"}, .complaint = "not an option"},
    {.name = "a missing value", .words = {"--count"}, .complaint = "--count wants a whole number"},
    {.name = "a number with a tail", .words = {"--count", "3x"}, .complaint = "not \"3x\""},
    {.name = "a negative number", .words = {"--count=-1"}, .complaint = "a whole number"},
    {.name = "a size in no known unit", .words = {"--bytes=3q"}, .complaint = "a size such as"},
    {.name = "a size beyond 64 bits",
     .words = {"--bytes=99999999999999g"},
     .complaint = "a size such as"},
    {.name = "a time without a number", .words = {"--pause=ms"}, .complaint = "a time such as"},
    {.name = "an address without port",
     .words = {"--at", "127.0.0.1"},
     .complaint = "ADDRESS:PORT"},
    {.name = "a value for a switch", .words = {"--loud=1"}, .complaint = "takes no value"},
};

static void a_complaint_names_the_option_and_what_it_wants(void **state)
{
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(bad_cases); i++) {
        const struct bad_case *c = &bad_cases[i];
        const char *words[] = {c->words[0], c->words[1], NULL};
        struct values v;
        struct tool_texts rest;
        struct buf why = {0};
        enum tool_parsed parsed = parse(words, &v, &rest, &why);

        buf_char(&why, '\0');
        if (parsed != TOOL_PARSED_BAD || strstr(why.ptr, c->complaint) == NULL) {
            print_error("%s: answer %d, complaint \"%s\"\n", c->name, parsed, why.ptr);
            wrong_count++;
        }
        buf_free(&why);
    }
    assert_int_equal(wrong_count, 0);
}

static void a_repeatable_option_has_a_limit(void **state)
{
    struct values v;
    struct tool_texts rest;
    struct buf why = {0};
    const char *words[TOOL_TEXTS_MAX + 2];

    for (uint32_t i = 0; i <= TOOL_TEXTS_MAX; i++) {
        words[i] = "--note=x";
    }
    words[TOOL_TEXTS_MAX + 1] = NULL;
    assert_int_equal(parse(words, &v, &rest, &why), TOOL_PARSED_BAD);
    buf_free(&why);
}

static void help_shows_every_option_with_its_default(void **state)
{
    struct buf out = {0};

    tool_args_help(&cli, &out);
    buf_char(&out, '\0');
    for (size_t i = 0; i < ARRAY_COUNT(options); i++) {
        assert_non_null(strstr(out.ptr, options[i].name));
    }
    assert_non_null(strstr(out.ptr, "help of bytes (default 4k)"));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_come_from_the_table),
        cmocka_unit_test(values_are_taken_from_the_next_word_or_after_the_equals_sign),
        cmocka_unit_test(a_complaint_names_the_option_and_what_it_wants),
        cmocka_unit_test(a_repeatable_option_has_a_limit),
        cmocka_unit_test(help_shows_every_option_with_its_default),
    };

    return cmocka_run_group_tests_name("tools/tool_args", tests, NULL, NULL);
}
