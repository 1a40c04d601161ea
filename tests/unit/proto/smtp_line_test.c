#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/smtp_line.h"

#define LINE_LIMIT 5u

/* "line|" for each line, "!|" for each that is too long, what is left in brackets. */
static void cut_all(struct slice in, size_t first, size_t step, struct buf *out)
{
    struct smtp_line l = {0};
    size_t at = 0;
    size_t piece = first;

    while (at < in.len) {
        struct slice part = slice_head(slice_from(in, at), piece);

        at += part.len;
        piece = step;
        while (part.len != 0) {
            struct slice line = {0};
            size_t used = 0;
            enum smtp_line_result r = smtp_line_cut(&l, part, LINE_LIMIT, &line, &used);

            part = slice_from(part, used);
            if (r == SMTP_LINE_MORE) {
                assert_int_equal(part.len, 0);
            } else if (r == SMTP_LINE_OK) {
                smtp_line_keep(&l, &line);
                buf_put(out, line);
                BUF_LIT(out, "|");
            } else {
                BUF_LIT(out, "!|");
            }
        }
    }
    assert_true(l.held.len <= LINE_LIMIT + 1);
    smtp_line_free(&l);
}

static void lines_end_in_crlf_alone_however_they_are_cut(void **state)
{
    static const struct {
        const char *name;
        struct slice in;
        const char *want;
    } rows[] = {
        {"two lines", SLICE_INIT("ab\r\ncd\r\n"), "ab|cd|"},
        {"an unfinished one", SLICE_INIT("ab\r\ncd\r"), "ab|"},
        {"empty lines", SLICE_INIT("\r\n\r\n"), "||"},
        {"lone LF and CR", SLICE_INIT("a\nb\rc\r\n"), "a\nb\rc|"},
        {"CR CR LF", SLICE_INIT("a\r\r\n"), "a\r|"},
        {"LF first", SLICE_INIT("\n\r\n"), "\n|"},
        {"the limit", SLICE_INIT("12345\r\n"), "12345|"},
        {"one more", SLICE_INIT("123456\r\nab\r\n"), "!|ab|"},
        {"a CR as the one more", SLICE_INIT("12345\r\r\nab\r\n"), "!|ab|"},
        {"a CR at the limit", SLICE_INIT("1234\r\r\n"), "1234\r|"},
        {"much more, with lone ends in it", SLICE_INIT("123456\n\r7890\r\r\r\n\r\n"), "!||"},
    };
    unsigned wrong = 0;

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        for (size_t first = 1; first <= rows[i].in.len; first++) {
            for (size_t step = 1; step <= rows[i].in.len; step++) {
                struct buf got = {0};

                cut_all(rows[i].in, first, step, &got);
                if (!slice_eq(buf_slice(&got), slice_str(rows[i].want))) {
                    print_error("%s, cut at %zu and every %zu: %.*s\n", rows[i].name, first, step,
                                SLICE_ARG(got));
                    wrong++;
                }
                buf_free(&got);
            }
        }
    }
    assert_int_equal(wrong, 0);
}

static void a_line_that_lies_in_the_slice_is_not_copied(void **state)
{
    static const struct slice in = SLICE_INIT("NOOP\r\nrest");
    struct smtp_line l = {0};
    struct slice line;
    size_t used;

    assert_int_equal(smtp_line_cut(&l, in, 100, &line, &used), SMTP_LINE_OK);
    assert_ptr_equal(line.ptr, in.ptr);
    assert_int_equal(used, 6);
    assert_null(l.held.ptr);
    smtp_line_keep(&l, &line);
    assert_ptr_not_equal(line.ptr, in.ptr);
    assert_true(slice_eq(line, SLICE("NOOP")));
    smtp_line_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_in_crlf_alone_however_they_are_cut),
        cmocka_unit_test(a_line_that_lies_in_the_slice_is_not_copied),
    };

    return cmocka_run_group_tests_name("proto/smtp_line", tests, NULL, NULL);
}
