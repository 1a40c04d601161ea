#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/diag.h"

struct bench {
    struct diag diag;
    struct buf said;
};

static uint64_t fixed_clock(void *ctx)
{
    return UINT64_C(1770000003120000000);
}

static void keep(void *ctx, struct slice line)
{
    buf_put(&((struct bench *)ctx)->said, line);
}

static int bench_setup(void **state)
{
    static struct bench b;

    b = (struct bench){0};
    diag_init(&b.diag, &b, fixed_clock, keep);
    *state = &b;
    return 0;
}

static int bench_teardown(void **state)
{
    struct bench *b = *state;

    diag_free(&b->diag);
    buf_free(&b->said);
    return 0;
}

static void expect_said(struct bench *b, const char *want)
{
    buf_char(&b->said, '\0');
    assert_string_equal(b->said.ptr, want);
    buf_clear(&b->said);
}

static void a_line_has_time_level_area_and_text(void **state)
{
    struct bench *b = *state;

    diag_warn(&b->diag, "spool", "%s: %d left", "/a", 3);
    diag_error(&b->diag, "log", "x");
    expect_said(b, "2026-02-02T02:40:03.120Z  WARN spool: /a: 3 left\n"
                   "2026-02-02T02:40:03.120Z ERROR log: x\n");
}

/* What a peer said may stand in a line, but never look like one. */
static void control_characters_cannot_forge_a_line(void **state)
{
    struct bench *b = *state;

    diag_error(&b->diag, "smtp", "%s", "a\r\n2026 ERROR b\x1b[2J\x7f\xc3\xa9");
    expect_said(b, "2026-02-02T02:40:03.120Z ERROR smtp: "
                   "a\\x0d\\x0a2026 ERROR b\\x1b[2J\\x7f\xc3\xa9\n");
}

struct filter_case {
    const char *filter, *area;
    enum diag_level want; /* the highest level that passes */
};

static const struct filter_case filter_cases[] = {
    {"", "smtp", DIAG_ERROR},
    {"warn", "smtp", DIAG_WARN},
    {"kumod=debug", "smtp", DIAG_DEBUG},
    {"ringpost=debug", "smtp", DIAG_DEBUG},
    {"kumod=debug", "lua", DIAG_ERROR},
    {"kumod=info,lua=debug", "lua", DIAG_DEBUG},
    {"kumod=info,spool=trace", "spool", DIAG_TRACE},
    {"kumod=info,spool=off", "spool", DIAG_OFF},
    {"spool=trace,kumod=info", "spool", DIAG_TRACE},
    {"debug,kumod=warn", "smtp", DIAG_WARN},
    {"debug,kumod=warn", "lua", DIAG_DEBUG},
    {"smtp=debug", "smtp::server", DIAG_DEBUG},
    {"smtp=debug", "smtpx", DIAG_ERROR},
    {"smtp=debug,smtp::server=warn", "smtp::server", DIAG_WARN},
    {"info,info,error", "smtp", DIAG_ERROR},
    {" INFO , spool = Warn ,", "spool", DIAG_WARN},
    {"spool", "spool", DIAG_TRACE},
    {"kumod[span{a=b,c=d}]=trace,info", "smtp", DIAG_INFO},
    {"[span]=trace", "smtp", DIAG_ERROR},
};

static void the_closest_directive_decides(void **state)
{
    struct bench *b = *state;
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(filter_cases); i++) {
        const struct filter_case *c = &filter_cases[i];
        struct buf why = {0};
        unsigned got = DIAG_OFF;

        assert_true(diag_set_filter(&b->diag, slice_str(c->filter), &why));
        for (unsigned l = DIAG_ERROR; l < DIAG_LEVEL_COUNT; l++) {
            got = diag_on(&b->diag, (enum diag_level)l, c->area) ? l : got;
        }
        if (got != c->want) {
            print_error("'%s' for %s: got %u\n", c->filter, c->area, got);
            wrong_count++;
        }
    }
    assert_int_equal(wrong_count, 0);
}

static void a_bad_filter_names_its_directive_and_changes_nothing(void **state)
{
    static const struct {
        const char *filter, *why;
    } cases[] = {
        {"kumod=loud", "invalid filter directive 'kumod=loud'"},
        {"info,=debug", "invalid filter directive '=debug'"},
        {"a b=info", "invalid filter directive 'a b=info'"},
        {"kumod[span=info", "invalid filter directive 'kumod[span=info'"},
    };
    struct bench *b = *state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buf why = {0};

        assert_false(diag_set_filter(&b->diag, slice_str(cases[i].filter), &why));
        buf_char(&why, '\0');
        assert_string_equal(why.ptr, cases[i].why);
        buf_free(&why);
    }
    assert_true(diag_on(&b->diag, DIAG_INFO, "smtp"));
    assert_false(diag_on(&b->diag, DIAG_DEBUG, "smtp"));
}

static void what_is_filtered_out_is_still_counted(void **state)
{
    struct bench *b = *state;
    unsigned evaluated = 0;

    diag_say(&b->diag, DIAG_DEBUG, "smtp", "x");
    diag_debug(&b->diag, "smtp", "%u", ++evaluated);
    expect_said(b, "");
    assert_int_equal(b->diag.count[DIAG_DEBUG], 1);
    assert_int_equal(evaluated, 0);
    diag_error(NULL, "smtp", "nobody listens");
    assert_false(diag_on(NULL, DIAG_ERROR, "smtp"));
}

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(a_line_has_time_level_area_and_text),
        ON_BENCH(control_characters_cannot_forge_a_line),
        ON_BENCH(the_closest_directive_decides),
        ON_BENCH(a_bad_filter_names_its_directive_and_changes_nothing),
        ON_BENCH(what_is_filtered_out_is_still_counted),
    };
    return cmocka_run_group_tests_name("core/base/diag", tests, NULL, NULL);
}
