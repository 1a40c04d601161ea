#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/base/prng.h"
#include "core/base/utf8.h"
#include "proto/header.h"

static const struct {
    const char *name;
    const char *raw;
    const char *text;
} decoded[] = {
    {"plain", "hello", "hello"},
    {"folded", "one\r\n\ttwo", "one two"},
    {"q", "=?utf-8?q?caf=C3=A9?=", "caf\xc3\xa9"},
    {"underscore is a space", "=?UTF-8?Q?a_b=5Fc?=", "a b_c"},
    {"b", "=?utf-8?B?Y2Fmw6k=?=", "caf\xc3\xa9"},
    {"b without padding", "=?utf-8?B?Y2Fmw6k?=", "caf\xc3\xa9"},
    {"latin 1", "=?iso-8859-1?q?caf=E9?=", "caf\xc3\xa9"},
    {"windows", "=?windows-1252?q?=80=85?=", "\xe2\x82\xac\xe2\x80\xa6"},
    {"us-ascii", "=?us-ascii?q?abc?=", "abc"},
    {"by iconv", "=?koi8-r?q?=D0=D2?=", "\xd0\xbf\xd1\x80"},
    {"shift jis", "=?shift_jis?b?g2WDWINn?=", "\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88"},
    {"with a language", "=?iso-8859-1*en-us?q?J=F8rn?=", "J\xc3\xb8rn"},
    {"blanks between words go", "=?utf-8?q?a?=\r\n =?utf-8?q?b?=", "ab"},
    {"blanks around words stay", "x =?utf-8?q?a?= y", "x a y"},
    {"words of two sets", "=?iso-8859-1?q?=E9?= =?utf-8?q?=C3=A9?=", "\xc3\xa9\xc3\xa9"},
    {"a character cut in two", "=?utf-8?q?caf=C3?= =?utf-8?q?=A9?=", "caf\xc3\xa9"},
    {"no blank before it", "x=?utf-8?q?a?=y", "xay"},
    {"unknown set", "a =?US-OSCII?Q?Keith_Moore?= b", "a =?US-OSCII?Q?Keith_Moore?= b"},
    {"unknown set, then a word", "=?US-OSCII?Q?K?= =?utf-8?q?a?=", "=?US-OSCII?Q?K?= a"},
    {"unknown encoding", "=?utf-8?x?a?=", "=?utf-8?x?a?="},
    {"broken base64", "=?utf-8?b?!!!?= x", "=?utf-8?b?!!!?= x"},
    {"a word, then broken base64", "=?utf-8?q?a?= =?utf-8?b?!!!?=", "a =?utf-8?b?!!!?="},
    {"invalid in its set", "=?utf-8?q?=FF?=", "=?utf-8?q?=FF?="},
    {"no end", "=?utf-8?q?abc", "=?utf-8?q?abc"},
    {"blank inside", "=?utf-8?q?a b?=", "=?utf-8?q?a b?="},
    {"half a hex digit", "=?utf-8?q?a=4?=", "a=4"},
    {"no charset", "=??q?a?=", "=??q?a?="},
    {"iconv options are no charset", "=?utf-8//IGNORE?q?a?=", "=?utf-8//IGNORE?q?a?="},
    {"utf-8 as it is", "caf\xc3\xa9", "caf\xc3\xa9"},
    {"empty", "", ""},
};

static void encoded_words_are_decoded(void **state)
{
    struct buf out = {0};

    for (size_t i = 0; i < sizeof(decoded) / sizeof(decoded[0]); i++) {
        buf_clear(&out);
        assert_true(header_decode_put(&out, slice_str(decoded[i].raw)));
        if (!slice_eq(buf_slice(&out), slice_str(decoded[i].text))) {
            fail_msg("%s: %.*s", decoded[i].name, (int)out.len, out.ptr);
        }
    }
    buf_free(&out);
}

static void raw_8bit_text_of_another_set_is_reported(void **state)
{
    struct buf out = {0};

    assert_false(header_decode_put(&out, SLICE("caf\xe9")));
    assert_true(slice_eq(buf_slice(&out), SLICE("caf\xe9")));
    buf_free(&out);
}

/* `count` times `c`. */
static void put_many(struct buf *out, char c, size_t count)
{
    while (count-- > 0) {
        buf_char(out, c);
    }
}

static void ascii_is_folded_at_75_columns(void **state)
{
    struct buf text = {0}, out = {0}, want = {0};

    put_many(&text, 'a', 40);
    buf_char(&text, ' ');
    put_many(&text, 'b', 33); /* 40 + 33 < 75: together */
    buf_char(&text, ' ');
    put_many(&text, 'c', 80); /* longer than a line, shorter than what must be broken */
    BUF_LIT(&text, "  d ");
    put_many(&want, 'a', 40);
    buf_char(&want, ' ');
    put_many(&want, 'b', 33);
    BUF_LIT(&want, "\r\n\t");
    put_many(&want, 'c', 80);
    BUF_LIT(&want, "\r\n\td");
    header_encode_put(&out, buf_slice(&text));
    assert_true(slice_eq(buf_slice(&out), buf_slice(&want)));
    buf_clear(&text);
    buf_clear(&out);
    buf_clear(&want);
    put_many(&text, 'x', 1801);
    put_many(&want, 'x', 900);
    BUF_LIT(&want, "\r\n\t");
    put_many(&want, 'x', 900);
    BUF_LIT(&want, "\r\n\tx");
    header_encode_put(&out, buf_slice(&text));
    assert_true(slice_eq(buf_slice(&out), buf_slice(&want)));
    buf_free(&text);
    buf_free(&out);
    buf_free(&want);
}

static void a_line_break_in_a_value_cannot_make_a_header(void **state)
{
    struct buf out = {0};

    header_encode_put(&out, SLICE("a\r\nEvil: b\n\nbody"));
    assert_true(slice_eq(buf_slice(&out), SLICE("a Evil: b body")));
    buf_clear(&out);
    header_encode_put(&out, SLICE("\xc3\xa9\r\nEvil: b"));
    assert_true(slice_eq(buf_slice(&out), SLICE("=?UTF-8?q?=C3=A9=0D=0AEvil:_b?=")));
    buf_free(&out);
}

/* Words of at most 72 columns, no character cut in two, and what was encoded decodes to itself. */
static void utf8_becomes_words_and_comes_back(void **state)
{
    static const char *const pieces[] = {"a", "_", "=", "?", " ", "\xc3\xa9", "\xe2\x82\xac",
                                         "\xf0\x9f\x91\xbe"};
    struct prng prng = prng_from_seed(7);

    for (int round = 0; round < 500; round++) {
        struct buf text = {0}, out = {0}, back = {0};
        struct slice left;

        BUF_LIT(&text, "\xc3\xa9");
        for (size_t n = prng_next(&prng) % 120; n > 0; n--) {
            buf_put(&text, slice_str(pieces[prng_next(&prng) % 8]));
        }
        header_encode_put(&out, buf_slice(&text));
        assert_int_equal(utf8_ascii_len(buf_slice(&out)), out.len);
        for (left = buf_slice(&out);;) {
            size_t cr = slice_find_char(left, '\r');
            struct buf word = {0};

            assert_in_range(cr, 13, 72);
            assert_true(header_decode_put(&word, slice_head(left, cr)));
            assert_false(slice_starts(buf_slice(&word), SLICE("=?UTF-8?q?=")));
            buf_free(&word);
            if (cr == left.len) {
                break;
            }
            left = slice_from(left, cr + 3);
        }
        assert_true(header_decode_put(&back, buf_slice(&out)));
        assert_true(slice_eq(buf_slice(&back), buf_slice(&text)));
        buf_free(&text);
        buf_free(&out);
        buf_free(&back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoded_words_are_decoded),
        cmocka_unit_test(raw_8bit_text_of_another_set_is_reported),
        cmocka_unit_test(ascii_is_folded_at_75_columns),
        cmocka_unit_test(a_line_break_in_a_value_cannot_make_a_header),
        cmocka_unit_test(utf8_becomes_words_and_comes_back),
    };
    return cmocka_run_group_tests_name("proto/header_word", tests, NULL, NULL);
}
