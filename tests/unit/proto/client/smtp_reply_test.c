#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/base/mem.h"
#include "proto/smtp_reply.h"

static const struct {
    const char *name;
    const char *in;
    enum smtp_reply_cut cut;
    uint16_t code;
    const char *enhanced;
    const char *content;
    size_t rest; /* bytes left over */
} rows[] = {
    {"one line", "250 ok\r\n", SMTP_REPLY_OK, 250, "", "ok", 0},
    {"no text", "250 \r\n", SMTP_REPLY_OK, 250, "", "", 0},
    {"not even a space", "250\r\n", SMTP_REPLY_OK, 250, "", "", 0},
    {"two lines", "250-a\r\n250 b\r\n", SMTP_REPLY_OK, 250, "", "a\nb", 0},
    {"the next reply stays", "250 a\r\n354 b\r\n", SMTP_REPLY_OK, 250, "", "a", 7},
    {"enhanced", "550 5.1.1 nope\r\n", SMTP_REPLY_OK, 550, "5.1.1", "nope", 0},
    {"enhanced on each line", "550-5.1.1 a\r\n550-5.1.1 b\r\n550 5.1.1 c\r\n", SMTP_REPLY_OK, 550,
     "5.1.1", "a\nb\nc", 0},
    {"another enhanced code stays", "550-5.1.1 a\r\n550 5.1.2 b\r\n", SMTP_REPLY_OK, 550, "5.1.1",
     "a\n5.1.2 b", 0},
    {"none on the first line", "550-a\r\n550 5.1.1 b\r\n", SMTP_REPLY_OK, 550, "", "a\n5.1.1 b", 0},
    {"three digits", "421 4.999.123 x\r\n", SMTP_REPLY_OK, 421, "4.999.123", "x", 0},
    {"class three is none", "350 3.0.0 x\r\n", SMTP_REPLY_OK, 350, "", "3.0.0 x", 0},
    {"no space after it", "250 2.0.0\r\n", SMTP_REPLY_OK, 250, "", "2.0.0", 0},
    {"four parts", "250 2.0.0.1 x\r\n", SMTP_REPLY_OK, 250, "", "2.0.0.1 x", 0},
    {"too large a part", "250 2.70000.1 x\r\n", SMTP_REPLY_OK, 250, "", "2.70000.1 x", 0},
    {"an address of the host", "250 2.1.5.7 x\r\n", SMTP_REPLY_OK, 250, "", "2.1.5.7 x", 0},
    {"bare lf is text", "250 a\nb\r\n", SMTP_REPLY_OK, 250, "", "a\nb", 0},
    {"utf-8", "250 \xc3\xa9\r\n", SMTP_REPLY_OK, 250, "", "\xc3\xa9", 0},
    {"empty", "", SMTP_REPLY_MORE, 0, "", "", 0},
    {"no end", "250 ok\r", SMTP_REPLY_MORE, 0, "", "", 0},
    {"lf alone is no end", "250 ok\n", SMTP_REPLY_MORE, 0, "", "", 0},
    {"last line missing", "250-ok\r\n", SMTP_REPLY_MORE, 0, "", "", 0},
    {"code changes", "250-ok\r\n251 ok\r\n", SMTP_REPLY_MALFORMED, 0, "", "", 0},
    {"two digits", "25 ok\r\n", SMTP_REPLY_MALFORMED, 0, "", "", 0},
    {"letters", "2x0 ok\r\n", SMTP_REPLY_MALFORMED, 0, "", "", 0},
    {"wrong separator", "250_ok\r\n", SMTP_REPLY_MALFORMED, 0, "", "", 0},
    {"first digit 1", "150 ok\r\n", SMTP_REPLY_MALFORMED, 0, "", "", 0},
    {"first digit 6", "650 ok\r\n", SMTP_REPLY_MALFORMED, 0, "", "", 0},
    {"empty line", "\r\n", SMTP_REPLY_MALFORMED, 0, "", "", 0},
    {"bad utf-8", "250 \xc3(\r\n", SMTP_REPLY_NOT_UTF8, 0, "", "", 0},
    {"bad utf-8 in a later line", "250-a\r\n250 \xff\r\n", SMTP_REPLY_NOT_UTF8, 0, "", "", 0},
};

static void check(size_t i, const struct smtp_reply *reply, enum smtp_reply_cut cut, size_t used)
{
    struct buf text = {0};
    struct smtp_enhanced enhanced;

    if (cut != rows[i].cut) {
        fail_msg("%s: answer %d", rows[i].name, (int)cut);
    }
    if (cut != SMTP_REPLY_OK) {
        return;
    }
    assert_int_equal(reply->code, rows[i].code);
    assert_int_equal(used, strlen(rows[i].in) - rows[i].rest);
    enhanced = smtp_reply_enhanced(reply);
    if (enhanced.class != 0) {
        buf_printf(&text, "%u.%u.%u", enhanced.class, enhanced.subject, enhanced.detail);
    }
    buf_char(&text, 0);
    assert_string_equal(text.ptr, rows[i].enhanced);
    buf_clear(&text);
    smtp_reply_content_put(&text, reply);
    buf_char(&text, 0);
    assert_string_equal(text.ptr, rows[i].content);
    buf_free(&text);
}

static void replies_are_cut_and_joined(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct smtp_reply_scan scan = {0};
        struct smtp_reply reply = {0};
        size_t used = 0;
        enum smtp_reply_cut cut =
            smtp_reply_cut(slice_str(rows[i].in), &scan, &reply, &used);

        check(i, &reply, cut, used);
    }
}

static void bytes_that_trickle_in_make_the_same_reply(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct smtp_reply_scan scan = {0};
        struct smtp_reply reply = {0};
        enum smtp_reply_cut cut = SMTP_REPLY_MORE;
        size_t used = 0;

        for (size_t len = 0; len <= strlen(rows[i].in) && cut == SMTP_REPLY_MORE; len++) {
            /* A copy each time: nothing may remember where the bytes were. */
            char *copy = mem_copy(rows[i].in, len);

            cut = smtp_reply_cut(slice_of(copy, len), &scan, &reply, &used);
            if (cut != SMTP_REPLY_MORE) {
                check(i, &reply, cut, used);
            }
            mem_give(copy);
        }
        assert_int_equal(cut, rows[i].cut);
    }
}

/* A line of `len` bytes, its CRLF not counted. */
static enum smtp_reply_cut cut_line(size_t len, bool is_ended)
{
    struct buf in = {0};
    struct smtp_reply_scan scan = {0};
    struct smtp_reply reply = {0};
    size_t used;
    enum smtp_reply_cut cut;

    BUF_LIT(&in, "250 ");
    while (in.len < len) {
        buf_char(&in, 'x');
    }
    if (is_ended) {
        BUF_LIT(&in, "\r\n");
    }
    cut = smtp_reply_cut(buf_slice(&in), &scan, &reply, &used);
    buf_free(&in);
    return cut;
}

static void a_line_may_have_4096_bytes_and_no_more(void **state)
{
    assert_int_equal(cut_line(4096, true), SMTP_REPLY_OK);
    assert_int_equal(cut_line(4097, true), SMTP_REPLY_TOO_LONG);
    assert_int_equal(cut_line(4096, false), SMTP_REPLY_MORE);
    assert_int_equal(cut_line(4097, false), SMTP_REPLY_TOO_LONG);
}

static void a_reply_without_end_is_too_long(void **state)
{
    struct buf in = {0};
    struct smtp_reply_scan scan = {0};
    struct smtp_reply reply = {0};
    enum smtp_reply_cut cut = SMTP_REPLY_MORE;
    size_t used;

    while (cut == SMTP_REPLY_MORE && in.len < 2 * SMTP_REPLY_SIZE_MAX) {
        BUF_LIT(&in, "250-and more\r\n");
        cut = smtp_reply_cut(buf_slice(&in), &scan, &reply, &used);
    }
    assert_int_equal(cut, SMTP_REPLY_TOO_LONG);
    assert_true(in.len <= SMTP_REPLY_SIZE_MAX + 14);
    buf_free(&in);
}

static void a_whole_reply_may_be_too_long(void **state)
{
    struct buf in = {0};
    struct smtp_reply_scan scan = {0};
    struct smtp_reply reply = {0};
    size_t used;

    while (in.len < SMTP_REPLY_SIZE_MAX) {
        BUF_LIT(&in, "250-and more\r\n");
    }
    BUF_LIT(&in, "250 end\r\n");
    assert_int_equal(smtp_reply_cut(buf_slice(&in), &scan, &reply, &used), SMTP_REPLY_TOO_LONG);
    buf_free(&in);
}

static void one_line_has_no_line_breaks(void **state)
{
    static const struct {
        const char *in, *out;
    } lines[] = {
        {"hello\r\nthere\r\n", "hello there "},
        {"hello\r", "hello "},
        {"hello\nthere\r\n", "hello there "},
        {"hello\r\r\r\nthere\n", "hello   there "},
        {"", ""},
    };
    struct buf out = {0};

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        buf_clear(&out);
        smtp_single_line_put(&out, slice_str(lines[i].in));
        buf_char(&out, 0);
        assert_string_equal(out.ptr, lines[i].out);
    }
    buf_clear(&out);
    smtp_reply_single_line_put(&out, 550, (struct smtp_enhanced){5, 1, 10}, SLICE("a\nb"));
    buf_char(&out, 0);
    assert_string_equal(out.ptr, "550 5.1.10 a b");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_cut_and_joined),
        cmocka_unit_test(bytes_that_trickle_in_make_the_same_reply),
        cmocka_unit_test(a_line_may_have_4096_bytes_and_no_more),
        cmocka_unit_test(a_reply_without_end_is_too_long),
        cmocka_unit_test(a_whole_reply_may_be_too_long),
        cmocka_unit_test(one_line_has_no_line_breaks),
    };
    return cmocka_run_group_tests_name("proto/smtp_reply", tests, NULL, NULL);
}
