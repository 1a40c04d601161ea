/* BDAT - RFC 3030: octets are octets, whatever they look like, and never commands. */
#include "tests/unit/proto/smtp_server_bench.h"

#define OPEN "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
#define OPENED "250 OK <a@b>\r\n250 OK <c@d>\r\n"
#define SEND "354 Send body; end with CRLF.CRLF\r\n"
#define SYNTAX "501 Syntax error in command or arguments\r\n"
#define NEED_MAIL "503 5.5.0 MAIL FROM must be issued first\r\n"
#define NEED_RCPT "503 5.5.0 RCPT TO must be issued first\r\n"
#define MAIL_AGAIN "503 5.5.0 MAIL FROM already issued; you must RSET first\r\n"
#define IN_CHUNKS "503 5.5.0 BDAT already issued; send its LAST chunk or RSET first\r\n"
#define SPOILT "503 5.5.0 an earlier BDAT was refused; you must RSET first\r\n"
#define NOOP "250 the goggles do nothing\r\n"
#define RSET "250 Reset state\r\n"
#define BIG "552 5.3.4 message too big\r\n"
#define BARE "552 5.6.0 message data must use CRLF for line endings\r\n"

struct chunks {
    const char *name;
    const char *send;
    const char *want;
    const char *message; /* NULL: none */
    uint8_t endings;
    bool closes;
    uint32_t line_max; /* 0: as usual */
};

/* The limit is 20 octets a message. */
static const struct chunks rows[] = {
    {.name = "one chunk",
     OPEN "BDAT 7 LAST\r\nhello\r\n",
     OPENED "250 OK\r\n",
     "a@b>c@d, flags=0:hello\r\n$"},
    {.name = "LAST in any case and after blanks",
     OPEN "bdat 3 \t last\r\na\r\n",
     OPENED "250 OK\r\n",
     "a@b>c@d, flags=0:a\r\n$"},
    {.name = "two chunks that part a CR from its LF",
     OPEN "BDAT 6\r\nhello\rBDAT 1 LAST\r\n\n",
     OPENED "250 OK 6 octets received\r\n250 OK\r\n",
     "a@b>c@d, flags=0:hello\r\n$"},
    {.name = "size 0 LAST ends a message",
     OPEN "BDAT 3\r\na\r\nBDAT 0 LAST\r\nNOOP\r\n",
     OPENED "250 OK 3 octets received\r\n250 OK\r\n" NOOP,
     "a@b>c@d, flags=0:a\r\n$"},
    {.name = "size 0 LAST alone is an empty message",
     OPEN "BDAT 0 LAST\r\n",
     OPENED "250 OK\r\n",
     "a@b>c@d, flags=0:$"},
    {.name = "size 0 goes on",
     OPEN "BDAT 0\r\nBDAT 2 LAST\r\n\r\n",
     OPENED "250 OK 0 octets received\r\n250 OK\r\n",
     "a@b>c@d, flags=0:\r\n$"},
    {.name = "dots are neither an end nor stuffing",
     OPEN "BDAT 11 LAST\r\na\r\n.\r\n..b\r\nNOOP\r\n",
     OPENED "250 OK\r\n" NOOP,
     "a@b>c@d, flags=1:a\r\n.\r\n..b\r\n$"},
    {.name = "commands in a chunk are data",
     OPEN "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
     OPENED "250 OK\r\n" NOOP,
     "a@b>c@d, flags=0:QUIT\r\n$"},
    {.name = "lone CR and LF are data, and judged at the end",
     OPEN "BDAT 5 LAST\r\na\rb\ncNOOP\r\n",
     OPENED BARE NOOP},
    {.name = "lone CR and LF, allowed",
     OPEN "BDAT 5 LAST\r\na\rb\nc",
     OPENED "250 OK\r\n",
     "a@b>c@d, flags=12:a\rb\nc$",
     SMTP_ENDINGS_ALLOW},
    {.name = "lone CR and LF, fixed",
     OPEN "BDAT 5 LAST\r\na\rb\nc",
     OPENED "250 OK\r\n",
     "a@b>c@d, flags=40:a\r\nb\r\nc$",
     SMTP_ENDINGS_FIX},
    {.name = "a CR at the very end is a lone one", OPEN "BDAT 2 LAST\r\na\r", OPENED BARE},
    {.name = "no final CRLF is told",
     OPEN "BDAT 1 LAST\r\na",
     OPENED "250 OK\r\n",
     "a@b>c@d, flags=8:a$"},

    {.name = "before MAIL the octets are dropped",
     "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
     NEED_MAIL NOOP},
    {.name = "before RCPT too",
     "MAIL FROM:<a@b>\r\nBDAT 6\r\nQUIT\r\nRCPT TO:<c@d>\r\n",
     "250 OK <a@b>\r\n" NEED_RCPT "250 OK <c@d>\r\n"},
    {.name = "size 0 before MAIL", "BDAT 0 LAST\r\nNOOP\r\n", NEED_MAIL NOOP},
    {.name = "a chunk above the limit is dropped whole",
     OPEN "BDAT 21 LAST\r\n12345678901234567\r\nab"
          "NOOP\r\n",
     OPENED BIG NOOP},
    {.name = "a message of the very limit",
     OPEN "BDAT 10\r\n1234567\r\n.BDAT 10 LAST\r\n12345678\r\n",
     OPENED "250 OK 10 octets received\r\n250 OK\r\n",
     "a@b>c@d, flags=1:1234567\r\n.12345678\r\n$"},
    {.name = "chunks that are too much together; later ones fall with them",
     OPEN "BDAT 18\r\n1234567890123456\r\nBDAT 3\r\n\r\n.BDAT 2 LAST\r\n\r\nRSET\r\nDATA\r\n",
     OPENED "250 OK 18 octets received\r\n" BIG SPOILT RSET NEED_MAIL},
    {.name = "a spoilt message refuses everything but RSET",
     OPEN "BDAT 99 LAST\r\n0123456789012345678901234567890123456789012345678901234567890123456789"
          "01234567890123456789012345678DATA\r\nRCPT TO:<e@f>\r\nMAIL FROM:<>\r\nBDAT 0 LAST\r\n"
          "NOOP\r\nRSET\r\nMAIL FROM:<>\r\n",
     OPENED BIG SPOILT SPOILT MAIL_AGAIN SPOILT NOOP RSET "250 OK <>\r\n"},
    {.name = "a line that is too long",
     OPEN "BDAT 20 LAST\r\n12345678901234567890BDAT 0 LAST\r\n",
     OPENED "500 5.2.3 line too long\r\n" SPOILT,
     .line_max = 19},

    {.name = "DATA after a chunk",
     OPEN "BDAT 2\r\n\r\nDATA\r\nBDAT 0 LAST\r\n",
     OPENED "250 OK 2 octets received\r\n" IN_CHUNKS "250 OK\r\n",
     "a@b>c@d, flags=0:\r\n$"},
    {.name = "RCPT after a chunk",
     OPEN "BDAT 2\r\n\r\nRCPT TO:<e@f>\r\nBDAT 0 LAST\r\n",
     OPENED "250 OK 2 octets received\r\n" IN_CHUNKS "250 OK\r\n",
     "a@b>c@d, flags=0:\r\n$"},
    {.name = "MAIL after a chunk",
     OPEN "BDAT 2\r\n\r\nMAIL FROM:<>\r\n",
     OPENED "250 OK 2 octets received\r\n" MAIL_AGAIN},
    {.name = "BDAT after DATA",
     OPEN "DATA\r\n.\r\nBDAT 2 LAST\r\n\r\n",
     OPENED SEND "250 OK\r\n" NEED_MAIL,
     "a@b>c@d, flags=0:$"},
    {.name = "RSET between chunks forgets the first",
     OPEN "BDAT 3\r\nx\r\nRSET\r\n" OPEN "BDAT 3 LAST\r\ny\r\n",
     OPENED "250 OK 3 octets received\r\n" RSET OPENED "250 OK\r\n",
     "a@b>c@d, flags=0:y\r\n$"},
    {.name = "NOOP between chunks",
     OPEN "BDAT 1\r\nxNOOP\r\nBDAT 2 LAST\r\n\r\n",
     OPENED "250 OK 1 octets received\r\n" NOOP "250 OK\r\n",
     "a@b>c@d, flags=0:x\r\n$"},

    {.name = "a size and garbage: the octets are dropped",
     "BDAT 6 FIRST\r\nQUIT\r\nNOOP\r\n",
     SYNTAX NOOP},
    {.name = "a size and a trailing blank",
     OPEN "BDAT 6 \r\nQUIT\r\nDATA\r\n",
     OPENED SYNTAX SPOILT},
    {.name = "a size and LAST grown together", "BDAT 6LAST\r\nQUIT\r\nNOOP\r\n", SYNTAX NOOP},
    {.name = "LAST and more", "BDAT 6 LAST x\r\nQUIT\r\nNOOP\r\n", SYNTAX NOOP},
    {.name = "no size", "BDAT\r\nBDAT LAST\r\nBDAT -1\r\nNOOP\r\n", SYNTAX SYNTAX SYNTAX NOOP},
    {.name = "no size in a message spoils it",
     OPEN "BDAT 2\r\n\r\nBDAT x\r\nBDAT 0 LAST\r\n",
     OPENED "250 OK 2 octets received\r\n" SYNTAX SPOILT},
    {.name = "a size beyond all numbers",
     "BDAT 18446744073709551616\r\nNOOP\r\n",
     BIG,
     .closes = true},
};

static unsigned row_run(const struct chunks *c, size_t piece)
{
    struct smtp_bench b;
    unsigned wrong = 0;
    const char *got;
    const char *messages;

    bench_open(&b);
    b.limits.invalid_line_endings = c->endings;
    b.limits.max_message_size = 20;
    if (c->line_max != 0) {
        b.limits.line_length_hard_limit = c->line_max;
    }
    b.piece = piece;
    bench_take(&b);
    got = bench_say(&b, c->send);
    messages = bench_text(&b.messages);
    if (strcmp(got, c->want) != 0 || strcmp(messages, c->message ? c->message : "") != 0 ||
        b.closed != c->closes) {
        print_error("%s, pieces of %zu: got\n%s%s\nwant\n%s%s\n", c->name, piece, got, messages,
                    c->want, c->message ? c->message : "");
        wrong = 1;
    }
    bench_close(&b);
    return wrong;
}

static void chunks_are_taken_or_dropped_to_the_octet_however_they_are_cut(void **state)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        for (size_t piece = 0; piece < 8; piece++) {
            wrong += row_run(&rows[i], piece);
        }
    }
    assert_int_equal(wrong, 0);
}

static void a_refused_chunk_is_reported_with_its_line(void **state)
{
    struct smtp_bench b;

    bench_open(&b);
    b.limits.max_message_size = 20;
    b.piece = 3;
    bench_say(&b, "BDAT 4\r\nabcd" OPEN "BDAT 21\r\n012345678901234567890");
    assert_string_equal(bench_text(&b.refused),
                        "503 5.5.0 MAIL FROM must be issued first [BDAT 4]\n"
                        "552 5.3.4 message too big [BDAT 21]\n");

    /* The line came with an earlier slice than the octets. */
    bench_start(&b);
    b.piece = 0;
    b.refused.len = 0;
    bench_say(&b, "BDAT 4\r\n");
    bench_say(&b, "abcd");
    assert_string_equal(bench_text(&b.refused),
                        "503 5.5.0 MAIL FROM must be issued first [BDAT 4]\n");
    bench_close(&b);
}

static void a_dropped_chunk_costs_no_memory(void **state)
{
    struct smtp_bench b;

    bench_open(&b);
    bench_say(&b, "BDAT 1000000\r\n");
    for (unsigned i = 0; i < 100; i++) {
        bench_feed(&b, SLICE("0123456789012345678901234567890123456789"));
    }
    assert_int_equal(smtp_server_state(b.session), SMTP_STATE_CHUNK);
    assert_int_equal(smtp_server_body_size(b.session), 0);
    bench_close(&b);
}

static void what_came_before_a_refused_chunk_is_given_back(void **state)
{
    struct smtp_bench b;

    bench_open(&b);
    bench_say(&b, OPEN "BDAT 6\r\nfirst\n");
    assert_true(smtp_server_body_size(b.session) != 0);
    bench_say(&b, "BDAT 99999999\r\n");
    assert_int_equal(smtp_server_body_size(b.session), 0);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_taken_or_dropped_to_the_octet_however_they_are_cut),
        cmocka_unit_test(a_refused_chunk_is_reported_with_its_line),
        cmocka_unit_test(a_dropped_chunk_costs_no_memory),
        cmocka_unit_test(what_came_before_a_refused_chunk_is_given_back),
    };

    return cmocka_run_group_tests_name("proto/smtp_bdat", tests, NULL, NULL);
}
