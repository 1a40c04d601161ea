#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/message/body.h"

struct flag_case {
    const char *name;
    const char *text;
    uint32_t want;
};

static const struct flag_case flag_cases[] = {
    {"plain lines have no flags", "a\r\nb\r\n", 0},
    {"nothing at all lacks its last line end", "", BODY_NO_FINAL_CRLF},
    {"a last line without an end", "a\r\nb", BODY_NO_FINAL_CRLF},
    {"a dot at the very start", ".a\r\n", BODY_NEEDS_STUFFING},
    {"a dot at the start of a line", "a\r\n.\r\n", BODY_NEEDS_STUFFING},
    {"a dot inside a line", "a.b\r\n", 0},
    {"a lone LF", "a\nb\r\n", BODY_NOT_CANONICAL},
    {"a lone CR", "a\rb\r\n", BODY_NOT_CANONICAL},
    {"two CRs before one LF", "a\r\r\nb\r\n", BODY_NOT_CANONICAL},
    {"a CR at the very end", "a\r\n\r", BODY_NOT_CANONICAL | BODY_NO_FINAL_CRLF},
    {"an LF at the very start", "\na\r\n", BODY_NOT_CANONICAL},
    {"a dot after a lone LF", "a\n.b\r\n", BODY_NOT_CANONICAL | BODY_NEEDS_STUFFING},
    {"a dot after a lone CR", "a\r.b\r\n", BODY_NOT_CANONICAL | BODY_NEEDS_STUFFING},
    {"an 8-bit byte", "\xc3\xa9\r\n", BODY_HAS_8BIT},
};

/* Each row is also pushed across every position of a 16-byte block. */
static void flags_say_what_the_bytes_need(void **state)
{
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(flag_cases); i++) {
        const struct flag_case *c = &flag_cases[i];

        if (body_scan_flags(slice_str(c->text)) != c->want) {
            print_error("%s: got %x\n", c->name, body_scan_flags(slice_str(c->text)));
            wrong_count++;
        }
        for (size_t shift = 2; shift < 40; shift++) {
            char text[80];

            memset(text, 'x', shift);
            memcpy(text + shift - 2, "\r\n", 2);
            memcpy(text + shift, c->text, strlen(c->text));
            uint32_t got = body_scan_flags(slice_of(text, shift + strlen(c->text)));
            uint32_t want = c->text[0] == '\0' ? 0 : c->want;

            if (got != want) {
                print_error("%s, shifted by %zu: got %x, want %x\n", c->name, shift, got, want);
                wrong_count++;
            }
        }
    }
    assert_int_equal(wrong_count, 0);
}

static struct body *body_of(const char *text)
{
    struct buf b = {0};

    buf_put(&b, slice_str(text));
    return body_new(&b);
}

static void the_header_ends_with_its_empty_line(void **state)
{
    static const struct {
        const char *name, *text;
        uint32_t want;
    } cases[] = {
        {"fields and a body", "A: 1\r\nB: 2\r\n\r\nbody\r\n", 14},
        {"no fields", "\r\nbody\r\n", 2},
        {"lone LFs", "A: 1\n\nbody", 6},
        {"no empty line: all is header", "A: 1\r\nB: 2\r\n", 12},
        {"nothing", "", 0},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct body *b = body_of(cases[i].text);

        if (b->header_size != cases[i].want) {
            fail_msg("%s: got %u", cases[i].name, b->header_size);
        }
        body_put(&b);
    }
}

static void the_last_reference_frees_the_bytes(void **state)
{
    struct body *a = body_of("A: 1\r\n\r\n");
    struct body *b = body_get(a);

    assert_ptr_equal(a, b);
    body_put(&a);
    assert_null(a);
    assert_int_equal(b->bytes.len, 8);
    body_put(&b); /* the leak checker sees to the rest */
    assert_null(b);
    body_put(&b);
}

static void known_flags_are_not_computed_again(void **state)
{
    struct buf bytes = {0};

    buf_put(&bytes, SLICE(".x\r\n"));
    struct body *b = body_new_flags(&bytes, BODY_HAS_8BIT);

    assert_int_equal(b->flags, BODY_HAS_8BIT);
    assert_null(bytes.ptr);
    body_put(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_say_what_the_bytes_need),
        cmocka_unit_test(the_header_ends_with_its_empty_line),
        cmocka_unit_test(the_last_reference_frees_the_bytes),
        cmocka_unit_test(known_flags_are_not_computed_again),
    };
    return cmocka_run_group_tests_name("core/message/body", tests, NULL, NULL);
}
