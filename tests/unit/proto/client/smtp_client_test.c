#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/proto/client/client_bench.h"

static struct slice recipients[] = {SLICE_INIT("a@x"), SLICE_INIT("b@x"), SLICE_INIT("c@x")};

static struct smtp_transaction transaction(uint32_t recipient_count)
{
    return (struct smtp_transaction){
        .sender = SLICE("s@y"), .recipients = recipients, .recipient_count = recipient_count};
}

static int setup(void **state)
{
    static struct client_bench bench;

    client_bench_open(&bench);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    client_bench_close(*state);
    return 0;
}

static void expect_wire(struct client_bench *b, const char *want)
{
    buf_char(&b->wire, 0);
    assert_string_equal(b->wire.ptr, want);
    buf_clear(&b->wire);
}

static void expect_outcomes(const struct client_bench *b, const char *want)
{
    struct buf out = {0};

    client_bench_outcomes(b, &out);
    buf_char(&out, 0);
    assert_string_equal(out.ptr, want);
    buf_free(&out);
}

static void expect_content(const struct client_bench *b, uint32_t recipient, const char *want)
{
    struct smtp_outcome outcome;

    assert_true(smtp_client_outcome(&b->client, recipient, &outcome));
    if (!slice_eq(outcome.content, slice_str(want))) {
        fail_msg("content is %.*s", (int)outcome.content.len, outcome.content.ptr);
    }
}

static void expect_error(const struct client_bench *b, const char *want)
{
    struct slice error = smtp_client_error(&b->client);

    if (!slice_eq(error, slice_str(want))) {
        fail_msg("error is %.*s", (int)error.len, error.ptr);
    }
}

#define SCRIPT(...) ((const char *const[]){__VA_ARGS__, NULL})
#define GOOD SCRIPT("250 s\r\n", "250 a\r\n", "354 go\r\n", "250 queued\r\n")
#define HEAR(b, text) client_bench_hear((b), (text), strlen(text))

/* ---- set-up ---- */

static void banner_and_ehlo_make_the_connection_ready(void **state)
{
    struct client_bench *b = *state;

    assert_int_equal(smtp_client_timeout(&b->client), SMTP_TIMEOUT_BANNER);
    assert_int_equal(HEAR(b, "220-hello\r\n220 there\r\n"), SMTP_CLIENT_SEND);
    expect_wire(b, "EHLO me.example\r\n");
    assert_int_equal(smtp_client_timeout(&b->client), SMTP_TIMEOUT_EHLO);
    assert_int_equal(HEAR(b, "250-me\r\n250-pipelining\r\n250-8BitMime x\r\n250-SIZE 100\r\n"
                             "250-SMTPUTF8\r\n250 STARTTLS\r\n"),
                     SMTP_CLIENT_READY);
    assert_int_equal(smtp_client_capabilities(&b->client),
                     SMTP_CAN_PIPELINING | SMTP_CAN_8BITMIME | SMTP_CAN_SMTPUTF8 |
                         SMTP_CAN_STARTTLS);
    assert_int_equal(smtp_client_timeout(&b->client), SMTP_TIMEOUT_IDLE);
}

static void the_greeting_line_of_ehlo_is_no_capability(void **state)
{
    struct client_bench *b = *state;

    (void)HEAR(b, "220 x\r\n");
    assert_int_equal(HEAR(b, "250-PIPELINING\r\n250 HELP\r\n"), SMTP_CLIENT_READY);
    assert_int_equal(smtp_client_capabilities(&b->client), 0);
}

static void lmtp_says_lhlo(void **state)
{
    struct client_bench *b = *state;

    b->params.lmtp = true;
    (void)HEAR(b, "220 x\r\n");
    expect_wire(b, "LHLO me.example\r\n");
}

static void refusals_before_the_first_message_are_no_verdict_on_mail(void **state)
{
    static const struct {
        const char *name, *banner, *ehlo, *error;
    } rows[] = {
        {"banner 554", "554 5.7.1 no\r\n", NULL, "554 5.7.1 no"},
        {"banner 421", "421 busy\r\n", NULL, "421 busy"},
        {"banner 250", "250 hm\r\n", NULL, "250 hm"},
        {"ehlo 502", "220 x\r\n", "502-what\r\n502 is that\r\n", "502 what is that"},
        {"ehlo 251", "220 x\r\n", "251 hm\r\n", "251 hm"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client_bench b;

        client_bench_open(&b);
        (void)HEAR(&b, rows[i].banner);
        if (rows[i].ehlo != NULL) {
            (void)HEAR(&b, rows[i].ehlo);
        }
        if (b.last != SMTP_CLIENT_REJECTED) {
            fail_msg("%s: step %d", rows[i].name, (int)b.last);
        }
        expect_error(&b, rows[i].error);
        client_bench_close(&b);
    }
    (void)state;
}

static void an_ehlo_name_with_a_line_break_is_not_sent(void **state)
{
    struct client_bench *b = *state;

    b->params.ehlo_name = SLICE("me\r\nMAIL FROM:<x@y>");
    assert_int_equal(HEAR(b, "220 x\r\n"), SMTP_CLIENT_FAILED);
    assert_int_equal(b->wire.len, 0);
}

static void starttls_forgets_what_was_said_in_clear(void **state)
{
    struct client_bench *b = *state;

    client_bench_greet(b, "PIPELINING\nSTARTTLS");
    assert_int_equal(client_bench_act(b, smtp_client_starttls(&b->client)), SMTP_CLIENT_SEND);
    expect_wire(b, "STARTTLS\r\n");
    assert_int_equal(smtp_client_timeout(&b->client), SMTP_TIMEOUT_STARTTLS);
    /* What came in the same packet was not protected: it must not answer the next EHLO. */
    assert_int_equal(HEAR(b, "220 go\r\n250-evil\r\n250 PIPELINING\r\n"), SMTP_CLIENT_TLS);
    buf_clear(&b->pending);
    assert_int_equal(client_bench_act(b, smtp_client_ehlo(&b->client)), SMTP_CLIENT_SEND);
    expect_wire(b, "EHLO me.example\r\n");
    assert_int_equal(smtp_client_pending(&b->client), SMTP_CLIENT_CMD_EHLO);
    assert_int_equal(HEAR(b, "250-me\r\n250 8BITMIME\r\n"), SMTP_CLIENT_READY);
    assert_int_equal(smtp_client_capabilities(&b->client), SMTP_CAN_8BITMIME);
}

static void words_kept_from_before_the_handshake_are_dropped_too(void **state)
{
    struct client_bench *b = *state;
    size_t used;

    client_bench_greet(b, "STARTTLS");
    assert_int_equal(smtp_client_starttls(&b->client), SMTP_CLIENT_SEND);
    assert_int_equal(smtp_client_feed(&b->client, SLICE("220 go\r\n250 evil\r\n"), &used),
                     SMTP_CLIENT_WAIT);
    assert_int_equal(smtp_client_sent(&b->client), SMTP_CLIENT_TLS);
    assert_int_equal(smtp_client_ehlo(&b->client), SMTP_CLIENT_SEND);
    assert_int_equal(smtp_client_sent(&b->client), SMTP_CLIENT_WAIT);
    assert_int_equal(smtp_client_pending(&b->client), SMTP_CLIENT_CMD_EHLO);
}

static void a_refused_starttls_rejects_the_candidate(void **state)
{
    struct client_bench *b = *state;

    client_bench_greet(b, "STARTTLS");
    (void)client_bench_act(b, smtp_client_starttls(&b->client));
    assert_int_equal(HEAR(b, "454 4.7.0 not now\r\n"), SMTP_CLIENT_REJECTED);
    expect_error(b, "454 4.7.0 not now");
}

static void auth_plain_sends_the_credentials_and_keeps_them_out_of_texts(void **state)
{
    struct client_bench *b = *state;
    struct buf pending = {0};

    client_bench_greet(b, "");
    (void)client_bench_act(b, smtp_client_auth_plain(&b->client, SLICE("user"), SLICE("secret")));
    expect_wire(b, "AUTH PLAIN AHVzZXIAc2VjcmV0\r\n");
    smtp_client_pending_put(&b->client, &pending);
    assert_true(slice_eq(buf_slice(&pending), SLICE("AUTH PLAIN")));
    buf_free(&pending);
    assert_int_equal(HEAR(b, "235 2.7.0 welcome\r\n"), SMTP_CLIENT_READY);
    (void)client_bench_act(b, smtp_client_auth_plain(&b->client, SLICE("user"), SLICE("")));
    expect_wire(b, "AUTH PLAIN AHVzZXIA\r\n");
    assert_int_equal(HEAR(b, "535 5.7.8 no\r\n"), SMTP_CLIENT_REJECTED);
}

/* ---- what goes over the wire ---- */

static void a_pipelined_transaction_is_one_write(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(2);

    client_bench_greet(b, "PIPELINING");
    assert_int_equal(smtp_client_begin(&b->client, &tx), SMTP_CLIENT_SEND);
    assert_true(slice_eq(smtp_client_out(&b->client),
                         SLICE("MAIL FROM:<s@y>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n")));
}

static void without_pipelining_each_command_waits_for_its_reply(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(1);

    b->params.enable_pipelining = false;
    client_bench_greet(b, "PIPELINING"); /* advertised, but not wanted */
    (void)client_bench_begin(b, &tx, SCRIPT(NULL));
    expect_wire(b, "MAIL FROM:<s@y>\r\n");
    assert_int_equal(smtp_client_pending(&b->client), SMTP_CLIENT_CMD_MAIL);
    (void)HEAR(b, "250 ok\r\n");
    expect_wire(b, "RCPT TO:<a@x>\r\n");
    (void)HEAR(b, "550 no\r\n");
    expect_wire(b, "DATA\r\n"); /* all commands are sent, even when nobody is left */
    assert_int_equal(HEAR(b, "503 no\r\n"), SMTP_CLIENT_DONE);
    expect_outcomes(b, "550 RCPT TO:<a@x> Bounce");
}

static void rset_comes_before_the_second_message_only(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(1);

    client_bench_greet(b, "PIPELINING");
    (void)client_bench_begin(b, &tx, GOOD);
    expect_wire(b, "MAIL FROM:<s@y>\r\nRCPT TO:<a@x>\r\nDATA\r\n[body]");
    (void)client_bench_begin(
        b, &tx, SCRIPT("250 r\r\n", "250 s\r\n", "250 a\r\n", "354 go\r\n", "250 queued\r\n"));
    expect_wire(b, "RSET\r\nMAIL FROM:<s@y>\r\nRCPT TO:<a@x>\r\nDATA\r\n[body]");
    expect_outcomes(b, "250 . Delivery");
}

static void without_enable_rset_it_comes_after_a_failure_only(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(1);

    b->params.enable_rset = false;
    client_bench_greet(b, "PIPELINING");
    (void)client_bench_begin(b, &tx, GOOD);
    (void)client_bench_begin(b, &tx, SCRIPT("250 s\r\n", "550 a\r\n", "503 no\r\n"));
    buf_clear(&b->wire);
    (void)client_bench_begin(
        b, &tx, SCRIPT("250 r\r\n", "250 s\r\n", "250 a\r\n", "354 go\r\n", "250 queued\r\n"));
    expect_wire(b, "RSET\r\nMAIL FROM:<s@y>\r\nRCPT TO:<a@x>\r\nDATA\r\n[body]");
    (void)client_bench_begin(b, &tx, GOOD);
    expect_wire(b, "MAIL FROM:<s@y>\r\nRCPT TO:<a@x>\r\nDATA\r\n[body]");
}

static void mail_carries_what_the_message_needs_and_the_peer_knows(void **state)
{
    static const struct {
        const char *name, *capabilities, *sender;
        bool has_8bit, ignore;
        const char *mail;     /* NULL: refused */
        const char *refusal;
    } rows[] = {
        {"null sender", "", "", false, false, "MAIL FROM:<>\r\n", NULL},
        {"8bit", "8BITMIME", "s@y", true, false, "MAIL FROM:<s@y> BODY=8BITMIME\r\n", NULL},
        {"7bit", "8BITMIME", "s@y", false, false, "MAIL FROM:<s@y>\r\n", NULL},
        {"8bit to a 7bit peer", "", "s@y", true, false, NULL,
         "KumoMTA internal: DATA is 8bit, destination does not support 8BITMIME. Conversion via "
         "msg:check_fix_conformance during reception is required"},
        {"8bit, checks off", "", "s@y", true, true, "MAIL FROM:<s@y>\r\n", NULL},
        {"utf-8 sender", "SMTPUTF8", "\xc3\xa9@y", false, false,
         "MAIL FROM:<\xc3\xa9@y> SMTPUTF8\r\n", NULL},
        {"utf-8 sender, both", "8BITMIME\nSMTPUTF8", "\xc3\xa9@y", true, false,
         "MAIL FROM:<\xc3\xa9@y> BODY=8BITMIME SMTPUTF8\r\n", NULL},
        {"utf-8 sender to an ascii peer", "", "\xc3\xa9@y", false, false, NULL,
         "KumoMTA internal: envelope is 8bit, destination does not support SMTPUTF8."},
        {"utf-8 sender, checks off", "", "\xc3\xa9@y", false, true, "MAIL FROM:<\xc3\xa9@y>\r\n",
         NULL},
        {"line break in the sender", "", "s@y>\r\nDATA\r\n", false, true, NULL,
         "KumoMTA internal: sender has a control character"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct smtp_transaction tx = transaction(1);
        struct client_bench b;

        client_bench_open(&b);
        b.params.ignore_8bit_checks = rows[i].ignore;
        client_bench_greet(&b, rows[i].capabilities);
        tx.sender = slice_str(rows[i].sender);
        tx.has_8bit = rows[i].has_8bit;
        (void)client_bench_begin(&b, &tx, SCRIPT(NULL));
        if (rows[i].mail != NULL) {
            expect_wire(&b, rows[i].mail);
        } else {
            assert_int_equal(b.last, SMTP_CLIENT_DONE);
            assert_int_equal(b.wire.len, 0);
            expect_content(&b, 0, rows[i].refusal);
            assert_true(smtp_client_idle(&b.client));
        }
        client_bench_close(&b);
    }
    (void)state;
}

static void a_recipient_with_a_line_break_is_left_out(void **state)
{
    struct client_bench *b = *state;
    struct slice list[] = {SLICE("a\r\nDATA@x"), SLICE("b@x"), SLICE("c\x01@x")};
    struct smtp_transaction tx = {.sender = SLICE("s@y"), .recipients = list,
                                  .recipient_count = 3};

    client_bench_greet(b, "PIPELINING");
    assert_int_equal(client_bench_begin(b, &tx, GOOD), SMTP_CLIENT_DONE);
    expect_wire(b, "MAIL FROM:<s@y>\r\nRCPT TO:<b@x>\r\nDATA\r\n[body]");
    expect_outcomes(b, "553 Bounce | 250 . Delivery | 553 Bounce");
    tx.recipients = &list[2];
    tx.recipient_count = 1;
    assert_int_equal(client_bench_begin(b, &tx, GOOD), SMTP_CLIENT_DONE);
    assert_int_equal(b->wire.len, 0);
    expect_outcomes(b, "553 Bounce");
}

static void exactly_control_characters_are_unsendable(void **state)
{
    struct client_bench *b = *state;

    b->params.ignore_8bit_checks = true;
    b->params.enable_rset = false;
    client_bench_greet(b, "PIPELINING");
    for (unsigned value = 0; value < 256; value++) {
        for (size_t at = 0; at < 20; at++) {
            char text[20];
            struct slice list = slice_of(text, sizeof(text));
            struct smtp_transaction tx = {.recipients = &list, .recipient_count = 1};
            bool is_control = value < 0x20 || value == 0x7f;

            memset(text, 'x', sizeof(text));
            text[at] = (char)value;
            (void)client_bench_begin(b, &tx, GOOD);
            assert_int_equal(b->wire.len == 0, is_control);
            expect_outcomes(b, is_control ? "553 Bounce" : "250 . Delivery");
            buf_clear(&b->wire);
            b->step_count = 0;
        }
    }
}

static void nobody_accepted_but_354_gets_a_lone_dot(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(2);

    client_bench_greet(b, "PIPELINING");
    assert_int_equal(client_bench_begin(b, &tx, SCRIPT("250 s\r\n", "550 a\r\n", "451 b\r\n",
                                                       "354 go\r\n", "250 empty\r\n")),
                     SMTP_CLIENT_DONE);
    expect_wire(b, "MAIL FROM:<s@y>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n.\r\n");
    expect_outcomes(b, "550 RCPT TO:<a@x> Bounce | 451 RCPT TO:<b@x> TransientFailure");
    assert_int_equal(b->body_count, 0);
}

static void a_refused_sender_with_354_gets_a_lone_dot_and_no_delivery(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(1);

    client_bench_greet(b, "PIPELINING");
    assert_int_equal(client_bench_begin(b, &tx, SCRIPT("550 s\r\n", "250 a\r\n", "354 go\r\n",
                                                       "250 thanks\r\n")),
                     SMTP_CLIENT_DONE);
    expect_outcomes(b, "550 MAIL FROM:<s@y> Bounce");
    assert_int_equal(b->body_count, 0);
}

/* ---- order ---- */

static void a_final_reply_before_the_message_is_written_waits(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(1);
    struct slice early = SLICE("354 go\r\n250 thanks in advance\r\n");
    size_t used;

    client_bench_greet(b, "PIPELINING");
    (void)client_bench_begin(b, &tx, SCRIPT("250 s\r\n", "250 a\r\n"));
    assert_int_equal(smtp_client_feed(&b->client, early, &used), SMTP_CLIENT_SEND_BODY);
    early = slice_from(early, used);
    assert_int_equal(smtp_client_feed(&b->client, early, &used), SMTP_CLIENT_WAIT);
    expect_outcomes(b, "-");
    assert_int_equal(smtp_client_sent(&b->client), SMTP_CLIENT_DONE);
    expect_outcomes(b, "250 . Delivery");
}

static void replies_to_a_group_are_heard_while_it_is_written(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(1);
    struct slice in = SLICE("250 s\r\n250 a\r\n354 go\r\n");
    size_t used;

    client_bench_greet(b, "PIPELINING");
    assert_int_equal(smtp_client_begin(&b->client, &tx), SMTP_CLIENT_SEND);
    assert_int_equal(smtp_client_feed(&b->client, in, &used), SMTP_CLIENT_WAIT);
    assert_int_equal(smtp_client_pending(&b->client), SMTP_CLIENT_CMD_DATA);
    assert_int_equal(smtp_client_sent(&b->client), SMTP_CLIENT_SEND_BODY);
}

static void a_peer_that_talks_while_we_write_is_given_up(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(1);
    enum smtp_client_step step;
    size_t used;
    unsigned said = 0;

    client_bench_greet(b, "");
    step = smtp_client_begin(&b->client, &tx);
    assert_int_equal(step, SMTP_CLIENT_SEND);
    do {
        step = smtp_client_feed(&b->client, SLICE("250 yes\r\n"), &used);
    } while (step == SMTP_CLIENT_WAIT && ++said < 100000);
    assert_int_equal(step, SMTP_CLIENT_FAILED);
    expect_outcomes(b, "400 MAIL FROM:<s@y> TransientFailure");
}

static void what_is_said_while_idle_is_reported(void **state)
{
    static const struct {
        const char *name, *said;
        enum smtp_client_step step;
        const char *error;
    } rows[] = {
        {"421", "421 4.4.2 idle too long\r\n", SMTP_CLIENT_CLOSED, "421 4.4.2 idle too long"},
        {"250", "250 hm\r\n", SMTP_CLIENT_UNSOLICITED, "250 hm"},
        {"noise", "hm\r\n", SMTP_CLIENT_FAILED, "Malformed Response: hm"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client_bench b;

        client_bench_open(&b);
        client_bench_greet(&b, "");
        if (HEAR(&b, rows[i].said) != rows[i].step) {
            fail_msg("%s: step %d", rows[i].name, (int)b.last);
        }
        expect_error(&b, rows[i].error);
        client_bench_close(&b);
    }
    (void)state;
}

static void a_message_is_untouched_when_the_peer_has_begun_to_speak(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(1);

    client_bench_greet(b, "");
    (void)HEAR(b, "421 by");
    assert_int_equal(smtp_client_begin(&b->client, &tx), SMTP_CLIENT_UNSOLICITED);
    assert_false(smtp_client_outcome(&b->client, 0, &(struct smtp_outcome){0}));
}

static void a_421_after_the_final_reply_harms_no_message(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(1);

    client_bench_greet(b, "PIPELINING");
    assert_int_equal(client_bench_begin(b, &tx, SCRIPT("250 s\r\n", "250 a\r\n", "354 go\r\n",
                                                       "250 queued\r\n421 bye\r\n")),
                     SMTP_CLIENT_CLOSED);
    expect_outcomes(b, "250 . Delivery");
}

/* ---- LMTP ---- */

static void lmtp_has_one_final_reply_for_each_accepted_recipient(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(3);

    b->params.lmtp = true;
    client_bench_greet(b, "PIPELINING");
    assert_int_equal(
        client_bench_begin(b, &tx, SCRIPT("250 s\r\n", "250 a\r\n", "550 5.1.1 b\r\n",
                                          "250 c\r\n", "354 go\r\n",
                                          "250 2.0.0 a stored\r\n452 4.2.2 c full\r\n")),
        SMTP_CLIENT_DONE);
    expect_outcomes(b, "250 . Delivery | 550 RCPT TO:<b@x> Bounce | 452 . TransientFailure");
    expect_content(b, 0, "a stored");
    expect_content(b, 2, "c full");
}

static void lmtp_final_replies_begin_with_the_first_accepted(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(3);

    b->params.lmtp = true;
    client_bench_greet(b, "");
    assert_int_equal(
        client_bench_begin(b, &tx, SCRIPT("250 s\r\n", "550 5.1.1 a\r\n", "250 b\r\n",
                                          "250 c\r\n", "354 go\r\n",
                                          "452 4.2.2 b full\r\n250 2.0.0 c stored\r\n")),
        SMTP_CLIENT_DONE);
    expect_outcomes(b, "550 RCPT TO:<a@x> Bounce | 452 . TransientFailure | 250 . Delivery");
}

static void the_same_words_for_several_recipients_are_one_reply(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(3);
    struct smtp_outcome first, second, third;

    b->params.lmtp = true;
    client_bench_greet(b, "PIPELINING");
    (void)client_bench_begin(b, &tx,
                             SCRIPT("250 s\r\n", "250 a\r\n", "250 b\r\n", "250 c\r\n",
                                    "354 go\r\n", "250 ok\r\n250 ok\r\n250 other\r\n"));
    assert_true(smtp_client_outcome(&b->client, 0, &first));
    assert_true(smtp_client_outcome(&b->client, 1, &second));
    assert_true(smtp_client_outcome(&b->client, 2, &third));
    assert_int_equal(first.reply_index, second.reply_index);
    assert_int_not_equal(first.reply_index, third.reply_index);
}

static void lmtp_keeps_what_was_settled_before_the_connection_broke(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(3);

    b->params.lmtp = true;
    client_bench_greet(b, "PIPELINING");
    (void)client_bench_begin(b, &tx, SCRIPT("250 s\r\n", "250 a\r\n", "250 b\r\n", "250 c\r\n",
                                            "354 go\r\n", "250 ok\r\n"));
    assert_int_equal(smtp_client_lost(&b->client, SLICE("Connection reset")), SMTP_CLIENT_FAILED);
    expect_outcomes(b, "250 . Delivery | 400 . TransientFailure | 400 . TransientFailure");
    expect_content(b, 1, "KumoMTA internal: failed to send message: Connection reset");
}

static void lmtp_with_354_and_nobody_accepted_is_given_up(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(1);

    b->params.lmtp = true;
    client_bench_greet(b, "PIPELINING");
    assert_int_equal(
        client_bench_begin(b, &tx, SCRIPT("250 s\r\n", "550 a\r\n", "354 go\r\n")),
        SMTP_CLIENT_FAILED);
    expect_outcomes(b, "550 RCPT TO:<a@x> Bounce");
}

/* ---- ends ---- */

static void a_lost_connection_fails_what_is_not_decided(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(2);

    client_bench_greet(b, "PIPELINING");
    (void)client_bench_begin(b, &tx, SCRIPT("250 s\r\n", "550 a\r\n"));
    assert_int_equal(smtp_client_lost(&b->client, SLICE("")), SMTP_CLIENT_FAILED);
    expect_outcomes(b, "550 RCPT TO:<a@x> Bounce | 400 RCPT TO:<b@x> TransientFailure");
    expect_content(b, 1, "KumoMTA internal: failed to send message: Not connected");
    assert_int_equal(smtp_client_lost(&b->client, SLICE("")), SMTP_CLIENT_BYE);
}

static void losing_an_idle_connection_harms_nobody(void **state)
{
    struct client_bench *b = *state;

    client_bench_greet(b, "");
    assert_int_equal(smtp_client_lost(&b->client, SLICE("")), SMTP_CLIENT_CLOSED);
}

static void quit_ends_however_it_is_answered(void **state)
{
    for (int how = 0; how < 4; how++) {
        struct client_bench b;

        client_bench_open(&b);
        client_bench_greet(&b, "");
        (void)client_bench_act(&b, smtp_client_quit(&b.client));
        expect_wire(&b, "QUIT\r\n");
        switch (how) {
        case 0:
            assert_int_equal(HEAR(&b, "221 bye\r\n"), SMTP_CLIENT_BYE);
            break;
        case 1:
            assert_int_equal(HEAR(&b, "500 what\r\n"), SMTP_CLIENT_BYE);
            break;
        case 2:
            assert_int_equal(smtp_client_lost(&b.client, SLICE("")), SMTP_CLIENT_BYE);
            break;
        default:
            assert_int_equal(smtp_client_timed_out(&b.client, SLICE("q p"), SLICE("5s")),
                             SMTP_CLIENT_BYE);
        }
        client_bench_close(&b);
    }
    (void)state;
}

static void a_late_reply_names_the_pending_command(void **state)
{
    static const char *const script[] = {"250 s\r\n", "250 a\r\n", "250 b\r\n", "354 go\r\n", NULL};
    static const struct {
        size_t heard;
        enum smtp_timeout class;
        const char *content;
    } rows[] = {
        {0, SMTP_TIMEOUT_MAIL, "MAIL FROM:<s@y>"},
        {1, SMTP_TIMEOUT_RCPT, "RCPT TO:<a@x>"},
        {2, SMTP_TIMEOUT_RCPT, "RCPT TO:<b@x>"},
        {3, SMTP_TIMEOUT_DATA, "DATA"},
        {4, SMTP_TIMEOUT_DOT, "."},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct smtp_transaction tx = transaction(2);
        const char *part[5] = {NULL};
        struct client_bench b;
        struct buf want = {0};
        struct smtp_outcome outcome;

        client_bench_open(&b);
        client_bench_greet(&b, "PIPELINING");
        memcpy(part, script, rows[i].heard * sizeof(part[0]));
        (void)client_bench_begin(&b, &tx, part);
        assert_int_equal(smtp_client_timeout(&b.client), rows[i].class);
        assert_int_equal(smtp_client_timed_out(&b.client, SLICE("src->site 10.0.0.1"),
                                               SLICE("300s")),
                         SMTP_CLIENT_FAILED);
        buf_printf(&want,
                   "KumoMTA internal: failed to send message to src->site 10.0.0.1: Timed Out "
                   "waiting 300s for response to %s",
                   rows[i].content);
        buf_char(&want, 0);
        expect_content(&b, 1, want.ptr);
        assert_true(smtp_client_outcome(&b.client, 1, &outcome));
        assert_int_equal(outcome.code, 421);
        assert_int_equal(outcome.enhanced.class, 4);
        assert_int_equal(outcome.enhanced.subject, 4);
        assert_int_equal(outcome.enhanced.detail, 2);
        buf_free(&want);
        client_bench_close(&b);
    }
    (void)state;
}

static void a_late_write_names_what_it_was_to_write(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(1);

    client_bench_greet(b, "PIPELINING");
    assert_int_equal(smtp_client_begin(&b->client, &tx), SMTP_CLIENT_SEND);
    assert_int_equal(smtp_client_timed_out(&b->client, SLICE("q p"), SLICE("60s")),
                     SMTP_CLIENT_FAILED);
    expect_content(b, 0,
                   "KumoMTA internal: failed to send message to q p: Timed Out waiting 60s to "
                   "write MAIL FROM:<s@y>, RCPT TO:<a@x>, DATA");
}

static void a_late_payload_is_a_transport_failure(void **state)
{
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(1);
    size_t used;

    client_bench_greet(b, "PIPELINING");
    (void)client_bench_begin(b, &tx, SCRIPT("250 s\r\n", "250 a\r\n"));
    assert_int_equal(smtp_client_feed(&b->client, SLICE("354 go\r\n"), &used),
                     SMTP_CLIENT_SEND_BODY);
    assert_int_equal(smtp_client_timeout(&b->client), SMTP_TIMEOUT_DATA);
    assert_int_equal(smtp_client_timed_out(&b->client, SLICE("q p"), SLICE("60s")),
                     SMTP_CLIENT_FAILED);
    expect_outcomes(b, "400 . TransientFailure");
    expect_content(b, 0,
                   "KumoMTA internal: failed to send message: Timed Out sending message payload "
                   "data");
}

static void writes_and_later_lines_get_a_minute(void **state)
{
    static const uint64_t class_ms[SMTP_TIMEOUT_COUNT] = {
        [SMTP_TIMEOUT_RSET] = 5000,    [SMTP_TIMEOUT_MAIL] = 300000,
        [SMTP_TIMEOUT_RCPT] = 300000,  [SMTP_TIMEOUT_DATA] = 40000,
        [SMTP_TIMEOUT_BANNER] = 70000, [SMTP_TIMEOUT_DOT] = 500000};
    struct client_bench *b = *state;
    struct smtp_transaction tx = transaction(2);
    size_t used;

    assert_int_equal(smtp_client_timeout_ms(&b->client, class_ms), 70000);
    client_bench_greet(b, "PIPELINING");
    assert_int_equal(smtp_client_begin(&b->client, &tx), SMTP_CLIENT_SEND);
    assert_int_equal(smtp_client_timeout_ms(&b->client, class_ms),
                     5000 + 60000 + 2 * 60000 + 40000);
    assert_int_equal(smtp_client_sent(&b->client), SMTP_CLIENT_WAIT);
    assert_int_equal(smtp_client_timeout_ms(&b->client, class_ms), 300000);
    assert_int_equal(smtp_client_feed(&b->client, SLICE("250-a\r\n"), &used), SMTP_CLIENT_WAIT);
    assert_int_equal(smtp_client_timeout_ms(&b->client, class_ms), 60000);
    assert_int_equal(smtp_client_total_ms(&b->client, class_ms), 300000);
    assert_int_equal(b->client.reply_count, 2); /* banner and EHLO; this one is not over */
}

/* ---- bounds ---- */

static void a_talkative_peer_cannot_fill_our_memory(void **state)
{
    enum { COUNT = 200 };
    struct client_bench *b = *state;
    struct slice list[COUNT];
    struct smtp_transaction tx = {.sender = SLICE("s@y"), .recipients = list,
                                  .recipient_count = COUNT};
    struct buf reply = {0};

    for (size_t i = 0; i < COUNT; i++) {
        list[i] = SLICE("a@x");
    }
    client_bench_greet(b, "PIPELINING");
    (void)client_bench_begin(b, &tx, SCRIPT("250 s\r\n"));
    BUF_LIT(&reply, "550 ");
    while (reply.len < 4000) {
        BUF_LIT(&reply, "\xc3\xa9");
    }
    BUF_LIT(&reply, "\r\n");
    for (size_t i = 0; i < COUNT; i++) {
        (void)client_bench_hear(b, reply.ptr, reply.len);
    }
    assert_int_equal(HEAR(b, "503 no\r\n"), SMTP_CLIENT_DONE);
    assert_true(b->client.texts.len < SMTP_CLIENT_TEXTS_MAX + COUNT * SMTP_CLIENT_TEXT_CUT + 4096);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct smtp_outcome outcome;

        assert_true(smtp_client_outcome(&b->client, i, &outcome));
        assert_int_equal(outcome.code, 550);
        assert_int_equal(outcome.content.len % 2, 0); /* no character cut in two */
        assert_true(outcome.content.len >= SMTP_CLIENT_TEXT_CUT - 1);
    }
    buf_free(&reply);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(banner_and_ehlo_make_the_connection_ready),
        T(the_greeting_line_of_ehlo_is_no_capability),
        T(lmtp_says_lhlo),
        T(refusals_before_the_first_message_are_no_verdict_on_mail),
        T(an_ehlo_name_with_a_line_break_is_not_sent),
        T(starttls_forgets_what_was_said_in_clear),
        T(words_kept_from_before_the_handshake_are_dropped_too),
        T(a_refused_starttls_rejects_the_candidate),
        T(auth_plain_sends_the_credentials_and_keeps_them_out_of_texts),
        T(a_pipelined_transaction_is_one_write),
        T(without_pipelining_each_command_waits_for_its_reply),
        T(rset_comes_before_the_second_message_only),
        T(without_enable_rset_it_comes_after_a_failure_only),
        T(mail_carries_what_the_message_needs_and_the_peer_knows),
        T(a_recipient_with_a_line_break_is_left_out),
        T(exactly_control_characters_are_unsendable),
        T(nobody_accepted_but_354_gets_a_lone_dot),
        T(a_refused_sender_with_354_gets_a_lone_dot_and_no_delivery),
        T(a_final_reply_before_the_message_is_written_waits),
        T(replies_to_a_group_are_heard_while_it_is_written),
        T(a_peer_that_talks_while_we_write_is_given_up),
        T(what_is_said_while_idle_is_reported),
        T(a_message_is_untouched_when_the_peer_has_begun_to_speak),
        T(a_421_after_the_final_reply_harms_no_message),
        T(lmtp_has_one_final_reply_for_each_accepted_recipient),
        T(lmtp_final_replies_begin_with_the_first_accepted),
        T(the_same_words_for_several_recipients_are_one_reply),
        T(lmtp_keeps_what_was_settled_before_the_connection_broke),
        T(lmtp_with_354_and_nobody_accepted_is_given_up),
        T(a_lost_connection_fails_what_is_not_decided),
        T(losing_an_idle_connection_harms_nobody),
        T(quit_ends_however_it_is_answered),
        T(a_late_reply_names_the_pending_command),
        T(a_late_write_names_what_it_was_to_write),
        T(a_late_payload_is_a_transport_failure),
        T(writes_and_later_lines_get_a_minute),
        T(a_talkative_peer_cannot_fill_our_memory),
    };
    return cmocka_run_group_tests_name("proto/smtp_client", tests, NULL, NULL);
}
