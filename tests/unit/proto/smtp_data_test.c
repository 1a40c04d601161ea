/* Where a message ends, what it is, and what is seen in it: against a decoder that takes one byte
 * at a time and was written from RFC 5321 4.5.2 alone, and with every way of cutting the input. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/smtp_data.h"

#define SIZE_LIMIT 4000u

struct outcome {
    bool ended;
    size_t used;
    struct buf body;
    uint32_t flags;
};

static void outcome_free(struct outcome *o)
{
    buf_free(&o->body);
}

/* ---- the naive decoder ---- */

/* Length of the line at `at` without its CRLF; false when it does not end. */
static bool line_end(struct slice in, size_t at, size_t *len)
{
    for (size_t i = at; i + 1 < in.len; i++) {
        if (in.ptr[i] == '\r' && in.ptr[i + 1] == '\n') {
            *len = i - at;
            return true;
        }
    }
    return false;
}

static uint32_t naive_flags(struct slice body, size_t line_max)
{
    uint32_t flags = 0;
    size_t at = 0;
    size_t len;
    bool bare = false;

    for (size_t i = 0; i < body.len; i++) {
        char c = body.ptr[i];
        bool cr_before = i > 0 && body.ptr[i - 1] == '\r';
        bool lf_after = i + 1 < body.len && body.ptr[i + 1] == '\n';

        bare = bare || (c == '\n' && !cr_before) || (c == '\r' && !lf_after);
        flags |= c == 0 ? SMTP_DATA_NUL : 0;
        flags |= (uint8_t)c >= 0x80 ? SMTP_DATA_8BIT : 0;
        if (c == '.' && (i == 0 || body.ptr[i - 1] == '\n' || body.ptr[i - 1] == '\r')) {
            flags |= SMTP_DATA_DOT_LINE;
        }
    }
    flags |= bare ? SMTP_DATA_BARE : 0;
    while (line_end(body, at, &len)) {
        flags |= len > line_max ? SMTP_DATA_LONG_LINE : 0;
        at += len + 2;
    }
    flags |= body.len != at ? SMTP_DATA_NO_FINAL_CRLF : 0;
    flags |= body.len - at > line_max ? SMTP_DATA_LONG_LINE : 0;
    return flags;
}

/* `in` begins right after the 354. */
static struct outcome naive(struct slice in, size_t line_max)
{
    struct outcome o = {0};
    size_t at = 0;
    size_t len;

    while (line_end(in, at, &len)) {
        if (len == 1 && in.ptr[at] == '.') {
            o.ended = true;
            o.used = at + 3;
            o.flags = naive_flags(buf_slice(&o.body), line_max);
            if (o.body.len > SIZE_LIMIT) {
                o.flags = SMTP_DATA_TOO_BIG;
                buf_clear(&o.body);
            }
            return o;
        }
        bool stuffed = len >= 2 && in.ptr[at] == '.' && in.ptr[at + 1] == '.';

        buf_append(&o.body, in.ptr + at + stuffed, len + 2 - stuffed);
        at += len + 2;
    }
    o.used = in.len;
    buf_clear(&o.body);
    return o;
}

/* ---- ours ---- */

static bool take_piece(struct smtp_data *d, struct slice piece, size_t *used)
{
    struct buf copy = {0}; /* of its exact size: reading beyond it is caught */
    bool ended;

    buf_put(&copy, piece);
    ended = smtp_data_take(d, buf_slice(&copy), used);
    buf_free(&copy);
    return ended;
}

/* Cut at `first`, then every `step` bytes. */
static struct outcome ours(struct slice in, size_t line_max, size_t first, size_t step)
{
    struct smtp_data d = {0};
    struct outcome o = {0};
    size_t piece = first;

    smtp_data_begin(&d, SIZE_LIMIT, line_max);
    while (o.used < in.len && !o.ended) {
        size_t used;

        o.ended = take_piece(&d, slice_head(slice_from(in, o.used), piece), &used);
        o.used += used;
        piece = step;
    }
    if (o.ended) {
        smtp_data_finish(&d);
        o.body = d.body;
        o.flags = d.flags;
    } else {
        smtp_data_free(&d);
    }
    return o;
}

static bool outcomes_equal(const struct outcome *a, const struct outcome *b)
{
    uint32_t told = a->flags & SMTP_DATA_TOO_BIG ? SMTP_DATA_TOO_BIG : UINT32_MAX;

    return a->ended == b->ended && a->used == b->used && (a->flags & told) == (b->flags & told) &&
           slice_eq(buf_slice(&a->body), buf_slice(&b->body));
}

static void check_cut(struct slice in, size_t line_max, size_t first, size_t step)
{
    struct outcome want = naive(in, line_max);
    struct outcome got = ours(in, line_max, first, step);

    if (!outcomes_equal(&want, &got)) {
        print_error(
            "line limit %zu, cut at %zu, then every %zu: ended %d/%d used %zu/%zu flags %x/%x "
            "len %zu/%zu\n",
            line_max, first, step, got.ended, want.ended, got.used, want.used, got.flags,
            want.flags, got.body.len, want.body.len);
        fail();
    }
    outcome_free(&want);
    outcome_free(&got);
}

/* Whole, at each boundary once, and in pieces of each small size. */
static void check_all_cuts(struct slice in, size_t line_max)
{
    for (size_t first = 1; first <= in.len; first++) {
        check_cut(in, line_max, first, in.len);
    }
    for (size_t step = 1; step <= 5; step++) {
        check_cut(in, line_max, step, step);
    }
}

/* ---- tests ---- */

/* Around a dot, every sequence of up to three of the bytes that relays disagree about. */
static void only_crlf_dot_crlf_ends_a_message(void **state)
{
    static const struct slice marks[] = {
        SLICE_INIT(""),       SLICE_INIT("\r\n"),     SLICE_INIT("\n"),
        SLICE_INIT("\r"),     SLICE_INIT("\0"),       SLICE_INIT("\r\r"),
        SLICE_INIT("\n\n"),   SLICE_INIT("\n\r"),     SLICE_INIT("\r\0"),
        SLICE_INIT("\0\n"),   SLICE_INIT(" "),        SLICE_INIT("\r\0\n"),
        SLICE_INIT("\r\n\0"), SLICE_INIT("\r\r\n"),   SLICE_INIT("\n\r\n"),
        SLICE_INIT("\x85"),   SLICE_INIT("\r\n\r\n"), SLICE_INIT("\xe2\x80\xa8"),
    };
    static const struct slice dots[] = {SLICE_INIT("."), SLICE_INIT(".."), SLICE_INIT("...")};
    static const struct slice starts[] = {SLICE_INIT(""), SLICE_INIT("a"), SLICE_INIT("\r\n")};
    size_t ends_seen = 0;

    for (size_t s = 0; s < ARRAY_COUNT(starts); s++) {
        for (size_t i = 0; i < ARRAY_COUNT(marks); i++) {
            for (size_t j = 0; j < ARRAY_COUNT(marks) * ARRAY_COUNT(dots); j++) {
                struct slice after = marks[j / ARRAY_COUNT(dots)];
                struct buf in = {0};
                struct outcome o;

                buf_put(&in, starts[s]);
                buf_put(&in, marks[i]);
                buf_put(&in, dots[j % ARRAY_COUNT(dots)]);
                buf_put(&in, after);
                o = naive(buf_slice(&in), 70);
                ends_seen += o.ended;
                outcome_free(&o);
                BUF_LIT(&in, "MAIL FROM:<evil>\r\n.\r\nQUIT\r\n");
                check_all_cuts(buf_slice(&in), 70);
                buf_free(&in);
            }
        }
    }
    /* Both kinds are among them. */
    assert_in_range(ends_seen, 1, 100);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Below, at and above the 64 bytes of a block, and where whole blocks can be passed over. */
static const size_t line_limits[] = {20, 63, 64, 70, 130, 300};

/* Text of some lengths, salted with the bytes that matter, across many 64-byte blocks. */
static void random_text_is_judged_as_the_naive_decoder_does(void **state)
{
    static const char salt[] = "\r\n..\r\n\0\x80\r.\n";
    uint32_t seed = 7;

    for (unsigned round = 0; round < 400; round++) {
        struct buf in = {0};
        size_t len = next_random(&seed) % 600;
        size_t line_max = line_limits[round % ARRAY_COUNT(line_limits)];
        unsigned rarity = 1 + next_random(&seed) % 40;

        while (in.len < len) {
            uint32_t r = next_random(&seed);

            if (r % rarity == 0) {
                buf_char(&in, salt[r / 64 % (sizeof(salt) - 1)]);
            } else if (r % 30 == 1) {
                BUF_LIT(&in, "\r\n");
            } else {
                buf_char(&in, 'a');
            }
        }
        BUF_LIT(&in, "\r\n.\r\nNOOP\r\n");
        check_all_cuts(buf_slice(&in), line_max);
        buf_free(&in);
    }
}

static void lines_around_the_limit_at_every_offset(void **state)
{
    for (size_t i = 0; i < ARRAY_COUNT(line_limits) * 3; i++) {
        size_t line_max = line_limits[i / 3];

        for (size_t before = 0; before < 140; before += 7) {
            struct buf in = {0};

            for (size_t n = 0; n < before; n++) {
                buf_char(&in, "\r\n"[n % 2]);
            }
            for (size_t n = before % 2 + line_max - 1 + i % 3; n != 0; n--) {
                buf_char(&in, 'a');
            }
            BUF_LIT(&in, "\r\n");
            for (size_t n = 0; n < 50; n++) {
                BUF_LIT(&in, "short\r\n");
            }
            BUF_LIT(&in, ".\r\n");
            check_cut(buf_slice(&in), line_max, in.len, in.len);
            for (size_t step = 1; step < in.len; step += step / 2 + 1) {
                check_cut(buf_slice(&in), line_max, step, step);
            }
            buf_free(&in);
        }
    }
}

static void a_message_too_big_is_read_to_its_end_and_costs_nothing(void **state)
{
    for (size_t len = SIZE_LIMIT - 1; len <= SIZE_LIMIT + 1; len++) {
        struct buf in = {0};
        struct outcome want;

        while (in.len + 42 <= len) {
            BUF_LIT(&in, "0123456789012345678901234567890123456789\r\n");
        }
        while (in.len + 2 < len) {
            buf_char(&in, 'x');
        }
        BUF_LIT(&in, "\r\n.\r\nNOOP\r\n");
        want = naive(buf_slice(&in), 998);
        assert_int_equal((want.flags & SMTP_DATA_TOO_BIG) != 0, len > SIZE_LIMIT);
        for (size_t step = 1; step < 5000; step = step * 3 + 1) {
            check_cut(buf_slice(&in), 998, step, step);
        }
        outcome_free(&want);
        buf_free(&in);
    }
}

static void raw_octets_are_judged_alike_however_they_are_cut(void **state)
{
    static const struct slice in =
        SLICE_INIT("a\r\n.\r\n..b\rc\nd\0\x80\r\n0123456789012345678901234567890123456789\r");
    struct smtp_data d = {0};
    uint32_t want = naive_flags(in, 30);

    for (size_t cut = 0; cut <= in.len; cut++) {
        smtp_data_begin(&d, SIZE_LIMIT, 30);
        smtp_data_take_raw(&d, slice_head(in, cut));
        smtp_data_take_raw(&d, slice_from(in, cut));
        smtp_data_finish(&d);
        assert_true(slice_eq(buf_slice(&d.body), in));
        assert_int_equal(d.flags, want);
    }
    smtp_data_free(&d);
}

static void fixing_makes_every_lone_end_a_crlf(void **state)
{
    static const struct {
        struct slice in;
        struct slice want;
        uint32_t flags;
    } rows[] = {
        {SLICE_INIT("\n"), SLICE_INIT("\r\n"), SMTP_DATA_FIXED},
        {SLICE_INIT("\r"), SLICE_INIT("\r\n"), SMTP_DATA_FIXED},
        {SLICE_INIT("\r\r\r\n"), SLICE_INIT("\r\n\r\n\r\n"), SMTP_DATA_FIXED},
        {SLICE_INIT("\n\r"), SLICE_INIT("\r\n\r\n"), SMTP_DATA_FIXED},
        {SLICE_INIT("a\n.b\0"), SLICE_INIT("a\r\n.b\0"),
         SMTP_DATA_FIXED | SMTP_DATA_DOT_LINE | SMTP_DATA_NUL | SMTP_DATA_NO_FINAL_CRLF},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct smtp_data d = {0};

        smtp_data_begin(&d, SIZE_LIMIT, 30);
        smtp_data_take_raw(&d, rows[i].in);
        smtp_data_finish(&d);
        assert_true((d.flags & SMTP_DATA_BARE) != 0);
        smtp_data_fix(&d);
        assert_true(slice_eq(buf_slice(&d.body), rows[i].want));
        assert_int_equal(d.flags, rows[i].flags);
        smtp_data_free(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_crlf_dot_crlf_ends_a_message),
        cmocka_unit_test(random_text_is_judged_as_the_naive_decoder_does),
        cmocka_unit_test(lines_around_the_limit_at_every_offset),
        cmocka_unit_test(a_message_too_big_is_read_to_its_end_and_costs_nothing),
        cmocka_unit_test(raw_octets_are_judged_alike_however_they_are_cut),
        cmocka_unit_test(fixing_makes_every_lone_end_a_crlf),
    };

    return cmocka_run_group_tests_name("proto/smtp_data", tests, NULL, NULL);
}
