#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/utf8.h"

static void every_character_is_written_and_valid(void **state)
{
    struct buf out = {0};

    (void)state;
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        size_t len;

        if (code == 0xd800) {
            code = 0xe000;
        }
        buf_clear(&out);
        utf8_put(&out, code);
        assert_true(utf8_step(buf_slice(&out), &len));
        assert_int_equal(len, out.len);
        assert_int_equal(len, code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
    }
    buf_free(&out);
}

/* Only the shortest forms of the scalar values: 128 + 1920 + 61440 + 1048576 in all. */
static void there_are_exactly_as_many_sequences_as_characters(void **state)
{
    uint32_t count[5] = {0};

    (void)state;
    for (uint32_t head = 0; head < 0x10000; head++) {
        uint8_t bytes[4] = {(uint8_t)(head >> 8), (uint8_t)head, 0x80, 0x80};
        size_t len;

        if (utf8_step(slice_of(bytes, 4), &len)) {
            count[len]++;
        }
    }
    assert_int_equal(count[1] / 256, 128);
    assert_int_equal(count[2], 1920);
    assert_int_equal(count[3], 61440 / 64);
    assert_int_equal(count[4], 1048576 / 4096);
}

struct valid_case {
    const char *name;
    struct slice bytes;
    size_t valid_len;
};

static const struct valid_case valid_cases[] = {
    {"nothing", SLICE_INIT(""), 0},
    {"a lone continuation", SLICE_INIT("ab\x80"), 2},
    {"a surrogate", SLICE_INIT("abc\xed\xa0\x80"), 3},
    {"above U+10FFFF", SLICE_INIT("\xf4\x90\x80\x80"), 0},
    {"overlong slash", SLICE_INIT("\xe0\x80\xaf"), 0},
    {"cut after three of four", SLICE_INIT("0123456789\xf0\x9f\x98"), 10},
    {"f8 never starts one", SLICE_INIT("\xf8\x88\x80\x80\x80"), 0},
    {"mixed and whole", SLICE_INIT("\xc3\xa9 0123456789 \xe2\x82\xac\xf0\x9f\x98\x80 end"), 25},
    {"bad in the ninth byte", SLICE_INIT("01234567\xff"), 8},
};

static void the_valid_front_ends_where_the_first_fault_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(valid_cases); i++) {
        print_message("%s\n", valid_cases[i].name);
        assert_int_equal(utf8_valid_len(valid_cases[i].bytes), valid_cases[i].valid_len);
    }
}

static void faults_become_one_mark_each(void **state)
{
    struct buf out = {0};

    (void)state;
    utf8_put_lossy(&out, SLICE("a\xf0\x9f\x98"
                               "b\xff\xfe"
                               "c\xe2\x82"));
    assert_true(slice_eq(buf_slice(&out), SLICE("a\xef\xbf\xbd"
                                                "b\xef\xbf\xbd\xef\xbf\xbd"
                                                "c\xef\xbf\xbd")));
    assert_true(utf8_valid(buf_slice(&out)));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_is_written_and_valid),
        cmocka_unit_test(there_are_exactly_as_many_sequences_as_characters),
        cmocka_unit_test(the_valid_front_ends_where_the_first_fault_is),
        cmocka_unit_test(faults_become_one_mark_each),
    };
    return cmocka_run_group_tests_name("core/base/utf8", tests, NULL, NULL);
}
