#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/base/prng.h"
#include "proto/dot_stuff.h"

#define STUFF DOT_NEEDS_STUFFING
#define HIGH DOT_HAS_8BIT
#define STRAY DOT_NOT_CANONICAL
#define OPEN DOT_NO_FINAL_CRLF

static const struct {
    const char *name;
    const char *text;
    uint32_t flags;
    const char *wire;
} rows[] = {
    {"nothing", "", 0, ""},
    {"plain", "a\r\nb\r\n", 0, "a\r\nb\r\n"},
    {"open end", "a", OPEN, "a\r\n"},
    {"empty lines", "\r\n\r\n", 0, "\r\n\r\n"},
    {"dot first", ".a\r\n", STUFF, "..a\r\n"},
    {"dot on a line", "a\r\n.\r\n", STUFF, "a\r\n..\r\n"},
    {"dot inside", "a.b\r\n", 0, "a.b\r\n"},
    {"dots", "..\r\n...\r\n", STUFF, "...\r\n....\r\n"},
    {"8 bit", "\xc3\xa9\r\n", HIGH, "\xc3\xa9\r\n"},
    {"bare lf", "a\nb\r\n", STRAY, "a\r\nb\r\n"},
    {"bare cr", "a\rb\r\n", STRAY, "a\r\nb\r\n"},
    {"cr cr lf", "a\r\r\n", STRAY, "a\r\n\r\n"},
    {"lf cr", "a\n\r", STRAY | OPEN, "a\r\n\r\n"},
    {"ends in cr", "a\r", STRAY | OPEN, "a\r\n"},
    {"ends in lf", "a\n", STRAY | OPEN, "a\r\n"},
    {"dot after bare lf", "a\n.\n", STRAY | STUFF | OPEN, "a\r\n..\r\n"},
    {"dot after bare cr", "a\r.\r", STRAY | STUFF | OPEN, "a\r\n..\r\n"},
    {"a dot alone", ".", STUFF | OPEN, "..\r\n"},
};

static void expect(const char *name, struct slice head, struct slice body, uint32_t flags,
                   struct slice wire)
{
    struct dot_scan scan = {0};
    struct buf out = {0};

    dot_scan_more(&scan, head);
    dot_scan_more(&scan, body);
    if (dot_scan_flags(&scan) != flags) {
        fail_msg("%s cut at %zu: flags %x", name, head.len, dot_scan_flags(&scan));
    }
    dot_stuff_put(&out, head, body);
    if (!slice_eq(buf_slice(&out), wire)) {
        fail_msg("%s cut at %zu: %.*s", name, head.len, (int)out.len, out.ptr);
    }
    buf_free(&out);
}

/* Each text at many offsets, so that everything of interest crosses a block's border once, and cut
 * into head and body at every place. */
static void texts_are_scanned_and_made_canonical(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t pad = 0; pad < 140; pad++) {
            struct buf text = {0};
            struct buf wire = {0};
            size_t pad_len = pad != 0 ? pad + 1 : 0;

            for (size_t k = 0; k + 2 <= pad_len; k++) {
                buf_char(&text, k + 3 <= pad_len ? 'x' : '\r');
            }
            if (pad_len != 0) {
                buf_char(&text, '\n');
            }
            buf_put(&wire, buf_slice(&text));
            buf_put(&text, slice_str(rows[i].text));
            buf_put(&wire, slice_str(rows[i].wire));
            for (size_t cut = 0; cut <= text.len; cut++) {
                expect(rows[i].name, slice_of(text.ptr, cut), slice_from(buf_slice(&text), cut),
                       text.len == pad_len ? 0 : rows[i].flags, buf_slice(&wire));
            }
            buf_free(&text);
            buf_free(&wire);
        }
    }
}

/* The definition, one byte after the other. */
static uint32_t flags_by_definition(struct slice s)
{
    uint32_t flags = 0;

    for (size_t i = 0; i < s.len; i++) {
        char before = i != 0 ? s.ptr[i - 1] : '\n';
        char after = i + 1 < s.len ? s.ptr[i + 1] : 0;

        flags |= s.ptr[i] == '.' && (before == '\n' || before == '\r') ? STUFF : 0;
        flags |= (s.ptr[i] & 0x80) != 0 ? HIGH : 0;
        flags |= s.ptr[i] == '\r' && after != '\n' ? STRAY : 0;
        flags |= s.ptr[i] == '\n' && (before != '\r' || i == 0) ? STRAY : 0;
    }
    return flags | (s.len != 0 && !slice_ends(s, SLICE("\r\n")) ? OPEN : 0);
}

static void the_scan_agrees_with_its_definition(void **state)
{
    static const char bytes[] = {'a', '.', '\r', '\n', '\r', '\n', 'b', (char)0x80};
    struct prng prng = prng_from_seed(42);

    for (int round = 0; round < 20000; round++) {
        char text[200];
        size_t len = prng_next(&prng) % sizeof(text);
        struct slice s = slice_of(text, len);
        struct buf out = {0};

        memset(text, 'x', sizeof(text));
        for (size_t i = 0; i < len % 9; i++) {
            text[prng_next(&prng) % (len + 1) % sizeof(text)] = bytes[prng_next(&prng) % 8];
        }
        assert_int_equal(dot_scan(s), flags_by_definition(s));
        dot_stuff_put(&out, s, SLICE(""));
        /* What leaves is canonical and ends; what needs no change is not changed. */
        assert_int_equal(flags_by_definition(buf_slice(&out)) & (STRAY | OPEN), 0);
        if (!dot_must_copy(dot_scan(s)) && (dot_scan(s) & OPEN) == 0) {
            assert_true(slice_eq(buf_slice(&out), s));
        }
        buf_free(&out);
    }
}

static void the_terminator_closes_an_open_line(void **state)
{
    assert_true(slice_eq(dot_terminator(0), SLICE(".\r\n")));
    assert_true(slice_eq(dot_terminator(DOT_NO_FINAL_CRLF), SLICE("\r\n.\r\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_scanned_and_made_canonical),
        cmocka_unit_test(the_scan_agrees_with_its_definition),
        cmocka_unit_test(the_terminator_closes_an_open_line),
    };
    return cmocka_run_group_tests_name("proto/dot_stuff", tests, NULL, NULL);
}
