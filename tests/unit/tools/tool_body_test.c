/* Messages that prove themselves. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tools/tool_body.h"

static int source_open(void **state)
{
    static struct tool_source src;

    tool_source_open(&src, 0x77, 1700000000);
    *state = &src;
    return 0;
}

static int source_close(void **state)
{
    tool_source_close(*state);
    return 0;
}

static void make(struct buf *out, const struct tool_source *src, uint64_t sequence,
                 uint64_t size_bytes, enum tool_body_kind kind, bool dot_stuffed)
{
    struct tool_message m = {.sequence = sequence,
                             .size_bytes = size_bytes,
                             .kind = kind,
                             .from = SLICE("a@src.test"),
                             .to = SLICE("b@dst.test"),
                             .extra = SLICE("X-Tenant: t1\r\n"),
                             .dot_stuffed = dot_stuffed};

    buf_clear(out);
    tool_message_put(out, src, &m);
}

/* Sizes around the header's length, a line's length and the block's length. */
static const uint64_t sizes[] = {0, 1, 420, 500, 501, 502, 503, 4096, 9000, 140000, 300001};

static void every_kind_and_size_is_recognised_as_intact(void **state)
{
    struct buf m = {0};
    struct tool_mark mark;

    for (uint32_t kind = 0; kind < TOOL_BODY_COUNT; kind++) {
        for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
            make(&m, *state, 5 + i, sizes[i], (enum tool_body_kind)kind, false);
            assert_int_equal(tool_message_check(buf_slice(&m), &mark), TOOL_INTACT);
            assert_int_equal(mark.run, 0x77);
            assert_int_equal(mark.sequence, 5 + i);
        }
    }
    buf_free(&m);
}

static void unstuffing_gives_back_what_stuffing_took(void **state)
{
    struct buf plain = {0}, wire = {0};

    for (uint32_t kind = 0; kind < TOOL_BODY_COUNT; kind++) {
        for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
            make(&plain, *state, i, sizes[i], (enum tool_body_kind)kind, false);
            make(&wire, *state, i, sizes[i], (enum tool_body_kind)kind, true);
            wire.len = tool_unstuff(wire.ptr, wire.len);
            assert_true(slice_eq(buf_slice(&plain), buf_slice(&wire)));
        }
    }
    buf_free(&plain);
    buf_free(&wire);
}

/* What DATA and RFC 5321 4.5.3.1.6 ask of a message on the wire. */
static bool wire_is_clean(struct slice wire)
{
    size_t line = 0;

    for (size_t i = 0; i < wire.len; i++) {
        bool end = wire.ptr[i] == '\n';

        if (end && (i == 0 || wire.ptr[i - 1] != '\r')) {
            return false; /* bare LF */
        }
        if (wire.ptr[i] == '\r' && (i + 1 == wire.len || wire.ptr[i + 1] != '\n')) {
            return false; /* bare CR */
        }
        if (end && i - line + 1 > 1000 + 1) {
            return false; /* longer than 998 octets and one dot */
        }
        if (end && i - line == 2 && wire.ptr[line] == '.') {
            return false; /* would end the message */
        }
        line = end ? i + 1 : line;
    }
    return slice_ends(wire, SLICE("\r\n"));
}

static void nothing_on_the_wire_ends_a_message_early_or_breaks_a_line_rule(void **state)
{
    struct buf wire = {0};

    for (uint32_t kind = 0; kind < TOOL_BODY_COUNT; kind++) {
        for (uint64_t sequence = 0; sequence < 50; sequence++) {
            make(&wire, *state, sequence, 3000 + sequence, (enum tool_body_kind)kind, true);
            assert_true(wire_is_clean(buf_slice(&wire)));
        }
    }
    buf_free(&wire);
}

static void the_aimed_at_size_is_met_within_a_line_end(void **state)
{
    struct buf m = {0};

    make(&m, *state, 1, 4096, TOOL_BODY_TEXT, false);
    assert_in_range(m.len, 4095, 4098);
    make(&m, *state, 1, 300001, TOOL_BODY_LONG_LINES, false);
    assert_in_range(m.len, 300000, 300003);
    buf_free(&m);
}

static void trace_headers_on_top_do_not_matter(void **state)
{
    struct buf m = {0};
    struct tool_mark mark;

    make(&m, *state, 3, 4096, TOOL_BODY_DOTS, false);
    buf_insert(&m, 0, SLICE("Received: from x\r\n\tby y; now\r\nX-Ref: z\r\n"));
    assert_int_equal(tool_message_check(buf_slice(&m), &mark), TOOL_INTACT);
    buf_free(&m);
}

static void one_changed_missing_or_added_byte_is_corrupt(void **state)
{
    struct buf m = {0};
    struct tool_mark mark;

    make(&m, *state, 3, 4096, TOOL_BODY_TEXT, false);
    m.ptr[m.len - 10] ^= 1;
    assert_int_equal(tool_message_check(buf_slice(&m), &mark), TOOL_CORRUPT);
    m.ptr[m.len - 10] ^= 1;
    m.len -= 2;
    assert_int_equal(tool_message_check(buf_slice(&m), &mark), TOOL_CORRUPT);
    m.len += 2;
    assert_int_equal(tool_message_check(buf_slice(&m), &mark), TOOL_INTACT);
    BUF_LIT(&m, "\r\n");
    assert_int_equal(tool_message_check(buf_slice(&m), &mark), TOOL_CORRUPT);
    buf_free(&m);
}

static void a_message_of_somebody_else_is_foreign(void **state)
{
    static const struct slice foreign[] = {
        SLICE_INIT(""),
        SLICE_INIT("Subject: x\r\n\r\nX-Ringload: 77:1:0123456789abcdef\r\n"),
        SLICE_INIT("X-Ringload: \r\n\r\n"),
        SLICE_INIT("X-Ringload: 0000000000000077:x:0123456789abcdef\r\n\r\n"),
        SLICE_INIT("X-Ringload: 0000000000000077:1\r\n\r\n"),
        SLICE_INIT("X-Ringload: 0000000000000077:1:0123456789ABCDEF\r\n\r\n"),
    };
    struct tool_mark mark;

    for (size_t i = 0; i < ARRAY_COUNT(foreign); i++) {
        assert_int_equal(tool_message_check(foreign[i], &mark), TOOL_FOREIGN);
    }
}

static void the_same_numbers_make_the_same_message(void **state)
{
    struct tool_source again;
    struct buf a = {0}, b = {0};

    tool_source_open(&again, 0x77, 1700000000);
    make(&a, *state, 11, 5000, TOOL_BODY_BINARYISH, true);
    make(&b, &again, 11, 5000, TOOL_BODY_BINARYISH, true);
    assert_true(slice_eq(buf_slice(&a), buf_slice(&b)));
    make(&b, &again, 12, 5000, TOOL_BODY_BINARYISH, true);
    assert_false(slice_eq(buf_slice(&a), buf_slice(&b)));
    tool_source_close(&again);
    buf_free(&a);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_and_size_is_recognised_as_intact),
        cmocka_unit_test(unstuffing_gives_back_what_stuffing_took),
        cmocka_unit_test(nothing_on_the_wire_ends_a_message_early_or_breaks_a_line_rule),
        cmocka_unit_test(the_aimed_at_size_is_met_within_a_line_end),
        cmocka_unit_test(trace_headers_on_top_do_not_matter),
        cmocka_unit_test(one_changed_missing_or_added_byte_is_corrupt),
        cmocka_unit_test(a_message_of_somebody_else_is_foreign),
        cmocka_unit_test(the_same_numbers_make_the_same_message),
    };

    return cmocka_run_group_tests_name("tools/tool_body", tests, source_open, source_close);
}
