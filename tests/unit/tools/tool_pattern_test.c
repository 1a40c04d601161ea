/* Patterns: numbers in addresses. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tools/tool_pattern.h"

struct pattern_case {
    const char *name;
    const char *pattern;
    const char *want; /* NULL: refused */
};

static const struct pattern_case cases[] = {
    {"plain text stays", "a@b.test", "a@b.test"},
    {"an empty pattern is the null sender", "", ""},
    {"d is the user left of the at, the domain right of it", "user%d@dst%d.test",
     "user42@dst3.test"},
    {"each letter has its number", "%s.%r.%u@%d", "9.1.42@3"},
    {"two percent signs are one", "100%%@b.test", "100%@b.test"},
    {"v is the first recipient as VERP", "bounce+%v@src.test", "bounce+x=y.test@src.test"},
    {"without an at d is the domain", "X-Tenant: t%d", "X-Tenant: t3"},
    {"an unknown letter is refused", "%z@b.test", NULL},
    {"a percent sign at the end is refused", "a%", NULL},
    {"too many parts are refused", "%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s", NULL},
};

static void patterns_are_filled_in(void **state)
{
    const struct tool_numbers n = {.sequence = 9,
                                   .recipient = 1,
                                   .user = 42,
                                   .domain = 3,
                                   .first_recipient = SLICE("x@y.test")};
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct tool_pattern p;
        struct buf out = {0}, why = {0};
        bool ok = tool_pattern_parse(slice_str(cases[i].pattern), &p, &why);

        if (ok) {
            tool_pattern_put(&out, &p, &n);
        }
        if (ok != (cases[i].want != NULL) ||
            (ok && !slice_eq(buf_slice(&out), slice_str(cases[i].want)))) {
            print_error("%s: got \"%.*s\"\n", cases[i].name, (int)out.len,
                        out.ptr != NULL ? out.ptr : "");
            wrong_count++;
        }
        if (!ok && why.len == 0) {
            print_error("%s: no complaint\n", cases[i].name);
            wrong_count++;
        }
        buf_free(&out);
        buf_free(&why);
    }
    assert_int_equal(wrong_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(patterns_are_filled_in)};

    return cmocka_run_group_tests_name("tools/tool_pattern", tests, NULL, NULL);
}
