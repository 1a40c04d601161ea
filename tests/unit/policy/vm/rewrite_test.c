/* The rewriter by itself: what it leaves alone, and what it makes of the rest. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/vm/rewrite.h"

static const struct {
    const char *name, *source;
} untouched[] = {
    {"plain code", "local a = 1 + 2 -- a comment\nreturn a"},
    {"operators inside strings", "return '7 // 2', \"a & b\", [[x >> y]], [=[ ]] // ]=]"},
    {"operators inside comments", "-- a // b\n--[[ c & d\n ]] --[==[ ]] | ]==]\nreturn 1"},
    {"not-equal is not xor", "return 1 ~= 2"},
    {"a string with an escaped end", "return 'it\\'s // fine'"},
    {"a string over two lines", "return 'one \\\ntwo // three'"},
    {"\\z skips lines", "return 'a\\z\n   // b'"},
    {"comparisons with names like attributes", "return a < const, b > close"},
    {"an unfinished string is LuaJIT's to refuse", "return 'abc // 2"},
    {"an unfinished comment too", "return 1 --[[ // "},
    {"nothing", ""},
};

static void text_without_new_tokens_is_left_alone(void **state)
{
    for (size_t i = 0; i < ARRAY_COUNT(untouched); i++) {
        struct buf out = {0}, why = {0};
        int line = 0;

        if (rewrite_source(slice_str(untouched[i].source), &out, &why, &line) != REWRITE_SAME) {
            fail_msg("%s: %.*s%.*s", untouched[i].name, SLICE_ARG(buf_slice(&out)),
                     SLICE_ARG(buf_slice(&why)));
        }
        assert_int_equal(out.len, 0);
    }
}

static const struct {
    const char *name, *source, *want;
} rewritten[] = {
    {"one operator", "return a // b", "return ((\"\").__op_idiv(a , b))"},
    {"no blanks", "return a//b", "return ((\"\").__op_idiv(a,b))"},
    {"left to right", "x = a // b // c", "x = ((\"\").__op_idiv(((\"\").__op_idiv(a , b)) , c))"},
    {"tighter inside", "x = a & b // c", "x = ((\"\").__op_band(a , ((\"\").__op_idiv(b , c))))"},
    {"looser outside", "x = a // b & c", "x = ((\"\").__op_band(((\"\").__op_idiv(a , b)) , c))"},
    {"unary", "x = ~a", "x = ((\"\").__op_bnot(a))"},
    {"whole calls are operands", "x = f(a)[1].b:c{d} // 2",
     "x = ((\"\").__op_idiv(f(a)[1].b:c{d} , 2))"},
    {"comments and lines stay", "x = a -- one\n // -- two // three\n b\ny = 1",
     "x = ((\"\").__op_idiv(a -- one\n , -- two // three\n b))\ny = 1"},
    {"const goes", "local a <const>, b = 1, 2", "local a , b = 1, 2"},
};

static void new_operators_become_calls(void **state)
{
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(rewritten); i++) {
        struct buf out = {0}, why = {0};
        int line = 0;
        enum rewrite got = rewrite_source(slice_str(rewritten[i].source), &out, &why, &line);

        if (got != REWRITE_DONE || !slice_eq(buf_slice(&out), slice_str(rewritten[i].want))) {
            print_error("%s: got '%.*s' %.*s\n", rewritten[i].name, SLICE_ARG(buf_slice(&out)),
                        SLICE_ARG(buf_slice(&why)));
            wrong_count++;
        }
        buf_free(&out);
        buf_free(&why);
    }
    assert_int_equal(wrong_count, 0);
}

static const struct {
    const char *name, *source, *want;
    int line;
} refused[] = {
    {"assignment to const", "local a <const> = 1\nfunction f()\n  a = 2\nend",
     "attempt to assign to const variable 'a' near '='", 3},
    {"unknown attribute", "local a <constant> = 1 // 1", "unknown attribute near '>'", 1},
    {"two to close", "local a <close>, b <close> = 1",
     "multiple to-be-closed variables in local list near '='", 1},
    {"an operand is missing", "return 1 //\n\n)", "unexpected symbol near ')'", 3},
    {"an end is missing", "if a // b then", "'end' expected near <eof>", 1},
    {"to be closed in a repeat block", "repeat local a <close> = b until true",
     "a to-be-closed variable directly in a repeat block is not supported near 'until'", 1},
};

static void what_cannot_be_rewritten_is_refused_with_its_line(void **state)
{
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        struct buf out = {0}, why = {0};
        int line = 0;
        enum rewrite got = rewrite_source(slice_str(refused[i].source), &out, &why, &line);

        if (got != REWRITE_BAD || line != refused[i].line ||
            !slice_eq(buf_slice(&why), slice_str(refused[i].want))) {
            print_error("%s: got line %d '%.*s'\n", refused[i].name, line,
                        SLICE_ARG(buf_slice(&why)));
            wrong_count++;
        }
        buf_free(&out);
        buf_free(&why);
    }
    assert_int_equal(wrong_count, 0);
}

static void deep_nesting_is_refused_not_followed(void **state)
{
    struct buf source = {0}, out = {0}, why = {0};
    int line = 0;

    BUF_LIT(&source, "return 1 // ");
    for (int i = 0; i < 100000; i++) {
        BUF_LIT(&source, "(");
    }
    assert_int_equal(rewrite_source(buf_slice(&source), &out, &why, &line), REWRITE_BAD);
    assert_true(slice_starts(buf_slice(&why), SLICE("chunk has too many syntax levels")));
    buf_free(&source);
    buf_free(&out);
    buf_free(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_without_new_tokens_is_left_alone),
        cmocka_unit_test(new_operators_become_calls),
        cmocka_unit_test(what_cannot_be_rewritten_is_refused_with_its_line),
        cmocka_unit_test(deep_nesting_is_refused_not_followed),
    };

    return cmocka_run_group_tests_name("policy/vm/rewrite", tests, NULL, NULL);
}
