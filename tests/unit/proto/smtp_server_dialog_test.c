/* What a peer says and what it hears, byte for byte; every row also in pieces of every small size.
 * Codes and texts are those of the reference. */
#include "tests/unit/proto/smtp_server_bench.h"

#define EHLO_REPLY                                                                                 \
    "250-mx.test Aloha client.example\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n"            \
    "250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250 SIZE 20971520\r\n"
#define SYNTAX "501 Syntax error in command or arguments\r\n"
#define NOT_A_COMMAND "501 Syntax error in command or arguments: expected a command word\r\n"
#define UNIMPLEMENTED "502 5.5.1 Command unimplemented\r\n"
#define BAD_SENDER "501 5.1.7 Bad sender's mailbox address syntax\r\n"
#define BAD_RCPT "501 5.1.3 Invalid recipient address syntax\r\n"
#define NEED_MAIL "503 5.5.0 MAIL FROM must be issued first\r\n"
#define NEED_RCPT "503 5.5.0 RCPT TO must be issued first\r\n"
#define MAIL_AGAIN "503 5.5.0 MAIL FROM already issued; you must RSET first\r\n"
#define NOOP "250 the goggles do nothing\r\n"
#define SEND "354 Send body; end with CRLF.CRLF\r\n"
#define LONG "500 5.2.3 line too long\r\n"
#define BIG "552 5.3.4 message too big\r\n"
#define BARE "552 5.6.0 message data must use CRLF for line endings\r\n"

#define OPEN "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
#define OPENED "250 OK <a@b>\r\n250 OK <c@d>\r\n"

#define A10 "aaaaaaaaaa"
#define A100 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10
#define A900 A100 A100 A100 A100 A100 A100 A100 A100 A100
#define A990 A900 A10 A10 A10 A10 A10 A10 A10 A10 A10

struct dialog {
    const char *name;
    const char *send;
    const char *want;
    const char *message; /* as smtp_bench.messages; NULL: none */
    uint64_t max_message_size;
    uint8_t endings;
    bool closes;
};

static const struct dialog dialogs[] = {
    /* greetings */
    {.name = "EHLO lists the extensions", "EHLO Client.EXAMPLE\r\n", EHLO_REPLY},
    {.name = "HELO", "HELO x.test\r\n", "250 Hello x.test!\r\n"},
    {.name = "EHLO with an address literal", "HELO [127.0.0.1]\r\n", "250 Hello [127.0.0.1]!\r\n"},
    {.name = "EHLO with an IPv6 literal", "HELO [ipv6:::1]\r\n", "250 Hello [IPv6:::1]!\r\n"},
    {.name = "EHLO with an underscore", "HELO my_host\r\n", "250 Hello my_host!\r\n"},
    {.name = "EHLO with a U-label",
     "HELO b\xc3\xbc"
     "cher.example\r\n",
     "250 Hello xn--bcher-kva.example!\r\n"},
    {.name = "no greeting is needed", OPEN, OPENED},
    {.name = "EHLO keeps the transaction",
     OPEN "HELO x\r\nDATA\r\n.\r\n",
     OPENED "250 Hello x!\r\n" SEND "250 OK\r\n",
     "a@b>c@d, flags=0:$"},

    /* syntax classes of 4.1 */
    {.name = "an unknown word", "FOO\r\n", UNIMPLEMENTED},
    {.name = "an unknown word and arguments", "ETRN x\r\n", UNIMPLEMENTED},
    {.name = "TURN", "TURN\r\n", UNIMPLEMENTED},
    {.name = "a word longer than any verb", "ABCDEFGHIJ\r\n", UNIMPLEMENTED},
    {.name = "a prefix of a verb", "NOO\r\n", UNIMPLEMENTED},
    {.name = "a digit begins a word", "1\r\n", UNIMPLEMENTED},
    {.name = "an empty line", "\r\n", NOT_A_COMMAND},
    {.name = "a blank first", " NOOP\r\n", NOT_A_COMMAND},
    {.name = "MAILFROM:", "MAILFROM:<x>\r\n", NOT_A_COMMAND},
    {.name = "punctuation first", "<a@b>\r\n", NOT_A_COMMAND},
    {.name = "DATA x", "DATA x\r\n", SYNTAX},
    {.name = "DATA now, though out of order too", "DATA now\r\n", SYNTAX},
    {.name = "RSET x", "RSET x\r\n", SYNTAX},
    {.name = "QUIT x", "QUIT x\r\n", SYNTAX},
    {.name = "STARTTLS x", "STARTTLS x\r\n", SYNTAX},
    {.name = "bare MAIL", "MAIL\r\n", SYNTAX},
    {.name = "bare RCPT", "RCPT\r\n", SYNTAX},
    {.name = "bare EHLO", "EHLO\r\n", SYNTAX},
    {.name = "bare HELO", "HELO\r\n", SYNTAX},
    {.name = "bare AUTH", "AUTH\r\n", SYNTAX},
    {.name = "bare XCLIENT", "XCLIENT\r\n", SYNTAX},
    {.name = "EHLO with a bad domain", "EHLO -x\r\n", SYNTAX},
    {.name = "EHLO with a trailing dot", "EHLO x.test.\r\n", SYNTAX},
    {.name = "EHLO with two words", "EHLO x y\r\n", SYNTAX},
    {.name = "EHLO and a trailing blank", "EHLO x \r\n", SYNTAX},
    {.name = "NOOP with two words", "NOOP a b\r\n", SYNTAX},
    {.name = "NOOP with a word", "NOOP a\r\n", NOOP},
    {.name = "NOOP with a quoted string", "NOOP \"a b\"\r\n", NOOP},
    {.name = "NOOP and a trailing blank", "NOOP \r\n", SYNTAX},
    {.name = "QUIT and a trailing blank", "QUIT \r\n", SYNTAX},
    {.name = "verbs in any case", "nOOp\r\n", NOOP},
    {.name = "runs of blanks between words", "NOOP \t  a\r\n", NOOP},
    {.name = "VRFY with a word", "VRFY joe\r\n", UNIMPLEMENTED},
    {.name = "VRFY with an address", "VRFY joe@x.test\r\n", SYNTAX},
    {.name = "EXPN", "EXPN\r\n", UNIMPLEMENTED},
    {.name = "HELP with two words", "HELP a b\r\n", SYNTAX},
    {.name = "STARTTLS", "STARTTLS\r\n", UNIMPLEMENTED},
    {.name = "AUTH", "AUTH PLAIN AGEAYg==\r\n", UNIMPLEMENTED},
    {.name = "XCLIENT", "XCLIENT ADDR=1.2.3.4\r\n", UNIMPLEMENTED},
    {.name = "LHLO", "LHLO x\r\n", UNIMPLEMENTED},
    {.name = "a lone LF does not end a command", "NOOP\nQUIT\r\nNOOP\r\n", NOT_A_COMMAND NOOP},
    {.name = "a lone CR does not end a command", "NOOP\rQUIT\r\nNOOP\r\n", NOT_A_COMMAND NOOP},
    {.name = "CR CR LF leaves a CR behind", "NOOP\r\r\nNOOP\r\n", NOT_A_COMMAND NOOP},

    /* lengths and UTF-8 */
    {.name = "998 bytes are a line", "NOOP " A990 "aaa\r\n", NOOP},
    {.name = "999 bytes are not, and the next line is served",
     "NOOP " A990 "aaaa\r\nNOOP\r\n",
     LONG NOOP},
    {.name = "much more is one refusal",
     A990 A990 A990 A990 "\r\r\n\nQUIT\r\nNOOP\r\n",
     LONG NOT_A_COMMAND NOOP},
    {.name = "invalid UTF-8",
     "\x80\x81\x82\x83\r\nNOOP\r\n",
     "501 5.5.2 Invalid UTF-8 in command\r\n" NOOP},
    {.name = "a surrogate is invalid",
     "NOOP \xed\xa0\x80\r\n",
     "501 5.5.2 Invalid UTF-8 in command\r\n"},
    {.name = "a truncated sequence is invalid",
     "NOOP \xc3\r\n",
     "501 5.5.2 Invalid UTF-8 in command\r\n"},
    {.name = "valid UTF-8 is a word", "NOOP \xc3\xa9\r\n", NOOP},

    /* order */
    {.name = "RCPT first", "RCPT TO:<a@x.test>\r\n", NEED_MAIL},
    {.name = "DATA first", "DATA\r\n", NEED_MAIL},
    {.name = "MAIL twice", "MAIL FROM:<a@b>\r\nMAIL FROM:<c@d>\r\n", "250 OK <a@b>\r\n" MAIL_AGAIN},
    {.name = "MAIL after RCPT", OPEN "MAIL FROM:<c@d>\r\n", OPENED MAIL_AGAIN},
    {.name = "DATA without RCPT", "MAIL FROM:<a@b>\r\nDATA\r\n", "250 OK <a@b>\r\n" NEED_RCPT},
    {.name = "RSET drops the transaction",
     OPEN "RSET\r\nDATA\r\nMAIL FROM:<>\r\n",
     OPENED "250 Reset state\r\n" NEED_MAIL "250 OK <>\r\n"},
    {.name = "RSET without one", "RSET\r\n", "250 Reset state\r\n"},
    {.name = "a refused second MAIL leaves the first",
     "MAIL FROM:<a@b>\r\nMAIL FROM:<x@y>\r\n"
     "RCPT TO:<c@d>\r\nDATA\r\n.\r\n",
     "250 OK <a@b>\r\n" MAIL_AGAIN "250 OK <c@d>\r\n" SEND "250 OK\r\n",
     "a@b>c@d, flags=0:$"},
    {.name = "syntax is judged before order",
     OPEN "MAIL FROM:<x\r\nMAIL FROM:<x@y> =\r\n",
     OPENED BAD_SENDER SYNTAX},
    {.name = "QUIT ends it, and what follows is not heard",
     "QUIT\r\nNOOP\r\n",
     "221 So long, and thanks for all the fish!\r\n",
     .closes = true},

    /* MAIL */
    {.name = "the null sender", "MAIL FROM:<>\r\n", "250 OK <>\r\n"},
    {.name = "domains are lower-cased, local parts are not",
     "MAIL FROM: <U@EXAMPLE.com> BODY=8BITMIME\r\n",
     "250 OK <U@example.com>\r\n"},
    {.name = "no brackets", "mail from:a@b\r\n", "250 OK <a@b>\r\n"},
    {.name = "not an address", "MAIL FROM:<not an address>\r\n", BAD_SENDER},
    {.name = "nothing", "MAIL FROM:\r\n", BAD_SENDER},
    {.name = "Postmaster sends nothing", "MAIL FROM:<Postmaster>\r\n", BAD_SENDER},
    {.name = "a trailing blank", "MAIL FROM:<a@b> \r\n", BAD_SENDER},
    {.name = "MAIL TO:", "MAIL TO:<a@b>\r\n", SYNTAX},
    {.name = "a blank before the colon", "MAIL FROM :<a@b>\r\n", SYNTAX},
    {.name = "a bad parameter", "MAIL FROM:<a@b> =x\r\n", SYNTAX},
    {.name = "a parameter without its value", "MAIL FROM:<a@b> RET=\r\n", SYNTAX},
    {.name = "a parameter and a trailing blank", "MAIL FROM:<a@b> RET=FULL \r\n", SYNTAX},
    {.name = "parameters nobody knows",
     "MAIL FROM:<a@b> RET=FULL ENVID=x\tREQUIRETLS X-Y=1\r\n",
     "250 OK <a@b>\r\n"},
    {.name = "SIZE within the limit", "MAIL FROM:<a@b> SIZE=20971520\r\n", "250 OK <a@b>\r\n"},
    {.name = "SIZE above the limit",
     "MAIL FROM:<a@b> SIZE=20971521\r\nMAIL FROM:<>\r\n",
     BIG "250 OK <>\r\n"},
    {.name = "SIZE above all numbers", "MAIL FROM:<a@b> SIZE=99999999999999999999999\r\n", BIG},
    {.name = "SIZE that is no number", "MAIL FROM:<a@b> SIZE=1k\r\n", SYNTAX},
    {.name = "SIZE without a value", "MAIL FROM:<a@b> SIZE\r\n", SYNTAX},
    {.name = "SMTPUTF8", "MAIL FROM:<a@b> SMTPUTF8\r\n", "250 OK <a@b>\r\n"},
    {.name = "SMTPUTF8 with a value", "MAIL FROM:<a@b> SMTPUTF8=1\r\n", SYNTAX},
    {.name = "BODY=7BIT", "MAIL FROM:<a@b> body=7bit\r\n", "250 OK <a@b>\r\n"},
    {.name = "BODY of another kind", "MAIL FROM:<a@b> BODY=X\r\n", SYNTAX},
    {.name = "BINARYMIME is not offered",
     "MAIL FROM:<a@b> BODY=BINARYMIME\r\n",
     "504 5.5.4 BODY=BINARYMIME not supported\r\n"},

    /* RCPT */
    {.name = "Postmaster receives",
     "MAIL FROM:<>\r\nRCPT TO:<pOSTMASTER>\r\n",
     "250 OK <>\r\n250 OK <Postmaster>\r\n"},
    {.name = "but not without brackets", "RCPT TO:Postmaster\r\n", BAD_RCPT},
    {.name = "nobody is no recipient", "RCPT TO:<>\r\n", BAD_RCPT},
    {.name = "a port is no domain", "RCPT TO:<a@x.test:25>\r\n", BAD_RCPT},
    {.name = "a trailing blank after the recipient", "RCPT TO:<a@b> \r\n", BAD_RCPT},
    {.name = "a source route is dropped",
     "MAIL FROM:<>\r\nRCPT TO:<@x,@y.z:U@D>\r\n",
     "250 OK <>\r\n250 OK <U@d>\r\n"},
    {.name = "RCPT parameters mean nothing",
     "MAIL FROM:<>\r\nRCPT TO:<a@b> NOTIFY=NEVER SIZE=x\r\n",
     "250 OK <>\r\n250 OK <a@b>\r\n"},
    {.name = "but must be well formed",
     "MAIL FROM:<>\r\nRCPT TO:<a@b> NOTIFY==\r\n",
     "250 OK <>\r\n" SYNTAX},

    /* DATA */
    {.name = "a pipelined group and what follows it",
     OPEN "RCPT TO:<e@f>\r\nDATA\r\nSubject: x\r\n\r\nhello\r\n.\r\nMAIL FROM:<>\r\nQUIT\r\n",
     OPENED "250 OK <e@f>\r\n" SEND "250 OK\r\n250 OK <>\r\n"
            "221 So long, and thanks for all the fish!\r\n",
     "a@b>c@d,e@f, flags=0:Subject: x\r\n\r\nhello\r\n$",
     .closes = true},
    {.name = "an empty message ends at once",
     OPEN "DATA\r\n.\r\n",
     OPENED SEND "250 OK\r\n",
     "a@b>c@d, flags=0:$"},
    {.name = "stuffed dots lose one",
     OPEN "DATA\r\n..a\r\n...\r\nb.\r\n..\r\n.\r\n",
     OPENED SEND "250 OK\r\n",
     "a@b>c@d, flags=1:.a\r\n..\r\nb.\r\n.\r\n$"},
    {.name = "LF . LF does not end a message",
     OPEN "DATA\r\nx\n.\nQUIT\r\n.\r\nNOOP\r\n",
     OPENED SEND BARE NOOP},
    {.name = "lone CR and LF, denied; the transaction is over",
     OPEN "DATA\r\na\rb\r\n.\r\nDATA\r\n",
     OPENED SEND BARE NEED_MAIL},
    {.name = "lone CR and LF, allowed",
     OPEN "DATA\r\na\nb\rc\r\n.\r\n",
     OPENED SEND "250 OK\r\n",
     "a@b>c@d, flags=4:a\nb\rc\r\n$",
     .endings = SMTP_ENDINGS_ALLOW},
    {.name = "lone CR and LF, fixed",
     OPEN "DATA\r\na\nb\r\r\r\n\n.\r\n.\r\n",
     OPENED SEND "250 OK\r\n",
     "a@b>c@d, flags=33:a\r\nb\r\n\r\n\r\n\r\n.\r\n$",
     .endings = SMTP_ENDINGS_FIX},
    {.name = "CR CR CR LF is three ends of line, fixed",
     OPEN "DATA\r\n\r\r\r\n.\r\n",
     OPENED SEND "250 OK\r\n",
     "a@b>c@d, flags=32:\r\n\r\n\r\n$",
     .endings = SMTP_ENDINGS_FIX},
    {.name = "a dot after a lone LF wants stuffing",
     OPEN "DATA\r\na\n.b\r\n.\r\n",
     OPENED SEND "250 OK\r\n",
     "a@b>c@d, flags=5:a\n.b\r\n$",
     .endings = SMTP_ENDINGS_ALLOW},
    {.name = "8-bit is seen",
     OPEN "DATA\r\n\xc3\xa9\r\n.\r\n",
     OPENED SEND "250 OK\r\n",
     "a@b>c@d, flags=2:\xc3\xa9\r\n$"},
    {.name = "a line of 998 bytes",
     OPEN "DATA\r\n" A990 "aaaaaaaa\r\n.\r\n",
     OPENED SEND "250 OK\r\n",
     "a@b>c@d, flags=0:" A990 "aaaaaaaa\r\n$"},
    {.name = "a line of 999 bytes; the transaction is kept",
     OPEN "DATA\r\n" A990 "aaaaaaaaa\r\n.\r\n"
          "MAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\n",
     OPENED SEND LONG MAIL_AGAIN "250 Reset state\r\n250 OK <>\r\n"},
    {.name = "a stuffed line of 998 bytes",
     OPEN "DATA\r\n.." A990 "aaaaaaa\r\n.\r\n",
     OPENED SEND "250 OK\r\n",
     "a@b>c@d, flags=1:." A990 "aaaaaaa\r\n$"},
    {.name = "LFs do not make short lines",
     OPEN "DATA\r\n" A990 "\naaaaaaaa\r\n.\r\n",
     OPENED SEND LONG,
     .endings = SMTP_ENDINGS_FIX},
    {.name = "a message of the very limit",
     OPEN "DATA\r\n12345678\r\n.\r\n",
     OPENED SEND "250 OK\r\n",
     "a@b>c@d, flags=0:12345678\r\n$",
     .max_message_size = 10},
    {.name = "dots that go do not count",
     OPEN "DATA\r\n..345678\r\n..\r\n.\r\n",
     OPENED SEND "250 OK\r\n",
     "a@b>c@d, flags=1:.345678\r\n.\r\n$",
     .max_message_size = 12},
    {.name = "one byte more; the transaction is kept and may try again",
     OPEN "DATA\r\n123456789\r\n.\r\nDATA\r\n1\r\n.\r\n",
     OPENED SEND BIG SEND "250 OK\r\n",
     "a@b>c@d, flags=0:1\r\n$",
     .max_message_size = 10},
};

static unsigned dialog_run(const struct dialog *d, size_t piece)
{
    struct smtp_bench b;
    unsigned wrong = 0;
    const char *got;
    const char *messages;

    bench_open(&b);
    b.limits.invalid_line_endings = d->endings;
    if (d->max_message_size != 0) {
        b.limits.max_message_size = d->max_message_size;
    }
    b.piece = piece;
    bench_take(&b);
    got = bench_say(&b, d->send);
    messages = bench_text(&b.messages);
    if (strcmp(got, d->want) != 0 || strcmp(messages, d->message ? d->message : "") != 0 ||
        b.closed != d->closes) {
        print_error("%s, pieces of %zu: got\n%s%s\nwant\n%s%s\n", d->name, piece, got, messages,
                    d->want, d->message ? d->message : "");
        wrong = 1;
    }
    bench_close(&b);
    return wrong;
}

static void each_dialog_is_answered_to_the_byte_however_it_is_cut(void **state)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < ARRAY_COUNT(dialogs); i++) {
        for (size_t piece = 0; piece < 8; piece++) {
            wrong += dialog_run(&dialogs[i], piece);
        }
    }
    assert_int_equal(wrong, 0);
}

static void the_banner_comes_first(void **state)
{
    struct smtp_bench b;

    bench_open(&b);
    assert_string_equal(bench_take(&b), "220 mx.test KumoMTA\r\n");
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_banner_comes_first),
        cmocka_unit_test(each_dialog_is_answered_to_the_byte_however_it_is_cut),
    };

    return cmocka_run_group_tests_name("proto/smtp_server_dialog", tests, NULL, NULL);
}
