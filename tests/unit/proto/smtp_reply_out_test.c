#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/smtp_reply_out.h"

static void no_text_can_forge_a_line(void **state)
{
    static const struct {
        uint16_t code;
        struct slice text;
        const char *want;
    } rows[] = {
        {250, SLICE_INIT("ok"), "250 ok\r\n"},
        {250, SLICE_INIT(""), "250 \r\n"},
        {250, SLICE_INIT("a\nb\nc"), "250-a\r\n250-b\r\n250 c\r\n"},
        {250, SLICE_INIT("a\n"), "250-a\r\n250 \r\n"},
        {250, SLICE_INIT("a\r\nb\r"), "250-a\r\n250 b\r\n"},
        {250, SLICE_INIT("a\r250 b\0c\td\x7f\x1b"), "250 a 250 b c\td  \r\n"},
        {250, SLICE_INIT("1234567\r0 \xc3\xa9 \x7f"), "250 1234567 0 \xc3\xa9  \r\n"},
        {250, SLICE_INIT("12345678\x1f"), "250 12345678 \r\n"},
        {250,
         SLICE_INIT("\x7f"
                    "12345678"),
         "250  12345678\r\n"},
        {250, SLICE_INIT("\xff\xff\xff\0\xff\xff\xff\xff"),
         "250 \xff\xff\xff \xff\xff\xff\xff\r\n"},
        {550, SLICE_INIT("\xc3\xa9"), "550 \xc3\xa9\r\n"},
        {199, SLICE_INIT("x"), "451 x\r\n"},
        {600, SLICE_INIT("x"), "451 x\r\n"},
        {65535, SLICE_INIT("x"), "451 x\r\n"},
        {0, SLICE_INIT("x"), "451 x\r\n"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct buf got = {0};

        smtp_reply_put(&got, rows[i].code, rows[i].text);
        buf_char(&got, '\0');
        assert_string_equal(got.ptr, rows[i].want);
        buf_free(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_text_can_forge_a_line),
    };

    return cmocka_run_group_tests_name("proto/smtp_reply_out", tests, NULL, NULL);
}
