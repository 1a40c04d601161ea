/* Paths and parameters of MAIL and RCPT - RFC 5321 4.1.2 with the reference's liberties. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/smtp_param.h"
#include "proto/smtp_path.h"

struct path_case {
    const char *in;
    const char *want; /* NULL: not a path */
    const char *rest;
};

static void check_paths(const struct path_case *cases, size_t count, enum smtp_path_kind kind)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < count; i++) {
        struct buf out = {0};
        struct slice rest = {0};
        bool good;

        BUF_LIT(&out, "#");
        good = smtp_path_cut(slice_str(cases[i].in), kind, &out, &rest);
        if (good != (cases[i].want != NULL) || (!good && out.len != 1) ||
            (good && (!slice_eq(slice_from(buf_slice(&out), 1), slice_str(cases[i].want)) ||
                      !slice_eq(rest, slice_str(cases[i].rest))))) {
            print_error("%s: %d %.*s rest %.*s\n", cases[i].in, good, SLICE_ARG(out),
                        SLICE_ARG(rest));
            wrong++;
        }
        buf_free(&out);
    }
    assert_int_equal(wrong, 0);
}

static void reverse_paths(void **state)
{
    static const struct path_case cases[] = {
        {"<>", "", ""},
        {"<> SIZE=1", "", " SIZE=1"},
        {" \t<a@b>", "a@b", ""},
        {"<a@b>  X", "a@b", "  X"},
        {"a@b X", "a@b", " X"},
        {"<@x:a@b>", "a@b", ""},
        {"<@x,@[1.2.3.4],@y.z:a@b>", "a@b", ""},
        {"<\"a>b\"@c>", "\"a>b\"@c", ""},
        {"<Postmaster>", NULL, NULL},
        {"", NULL, NULL},
        {" ", NULL, NULL},
        {"<", NULL, NULL},
        {"< >", NULL, NULL},
        {"< a@b>", NULL, NULL},
        {"<a@b >", NULL, NULL},
        {"<a@b", NULL, NULL},
        {"a@b>", NULL, NULL},
        {"<a@b>>", NULL, NULL},
        {"<a@b>X", NULL, NULL},
        {"<a@b> ", NULL, NULL},
        {"a@b \t", NULL, NULL},
        {"<>x", NULL, NULL},
        {"<<a@b>>", NULL, NULL},
        {"<@x>", NULL, NULL},
        {"<@x:>", NULL, NULL},
        {"<@x,a@b>", NULL, NULL},
        {"<@x,:a@b>", NULL, NULL},
        {"<@:a@b>", NULL, NULL},
        {"<@x,@y", NULL, NULL},
        {"@x:a@b", NULL, NULL},
    };

    check_paths(cases, ARRAY_COUNT(cases), SMTP_PATH_REVERSE);
}

static void forward_paths(void **state)
{
    static const struct path_case cases[] = {
        {"<Postmaster>", "Postmaster", ""},
        {"<POSTMASTER> X", "Postmaster", " X"},
        {"<postmaster@B>", "postmaster@b", ""},
        {"<@x:U@D>", "U@d", ""},
        {"<>", NULL, NULL},
        {"Postmaster", NULL, NULL},
        {"<Postmaste>", NULL, NULL},
        {"<Postmasters>", NULL, NULL},
    };

    check_paths(cases, ARRAY_COUNT(cases), SMTP_PATH_FORWARD);
}

/* "KEY=value;" or "KEY;" for each, "BAD" or "END". */
static void params_put(struct slice rest, struct buf *out)
{
    struct smtp_param p;
    enum smtp_param_result r;

    while ((r = smtp_param_next(&rest, &p)) == SMTP_PARAM_OK) {
        buf_put(out, p.key);
        if (p.value.ptr != NULL) {
            BUF_LIT(out, "=");
            buf_put(out, p.value);
        }
        BUF_LIT(out, ";");
    }
    buf_put(out, r == SMTP_PARAM_END ? SLICE("END") : SLICE("BAD"));
}

static void parameters(void **state)
{
    static const struct {
        struct slice in;
        const char *want;
    } cases[] = {
        {SLICE_INIT(""), "END"},
        {SLICE_INIT(" A"), "A;END"},
        {SLICE_INIT("\t A-1=x  B=y,;z"), "A-1=x;B=y,;z;END"},
        {SLICE_INIT(" A=\xc3\xa9"), "A=\xc3\xa9;END"},
        {SLICE_INIT("A"), "BAD"},
        {SLICE_INIT(" "), "BAD"},
        {SLICE_INIT(" A "), "A;BAD"},
        {SLICE_INIT(" =x"), "BAD"},
        {SLICE_INIT(" -A"), "BAD"},
        {SLICE_INIT(" A="), "BAD"},
        {SLICE_INIT(" A=x=y"), "A=x;BAD"},
        {SLICE_INIT(" A==y"), "BAD"},
        {SLICE_INIT(" A_B"), "A;BAD"},
        {SLICE_INIT(" A=x\x01"), "A=x;BAD"},
        {SLICE_INIT(" A=x\0"), "A=x;BAD"},
        {SLICE_INIT(" A=\x7f"), "BAD"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buf got = {0};

        params_put(cases[i].in, &got);
        buf_char(&got, '\0');
        assert_string_equal(got.ptr, cases[i].want);
        buf_free(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reverse_paths),
        cmocka_unit_test(forward_paths),
        cmocka_unit_test(parameters),
    };

    return cmocka_run_group_tests_name("proto/smtp_path", tests, NULL, NULL);
}
