/* The driver's side: questions, rewrites, reports, endings, and who owns what when. */
#include "tests/unit/proto/smtp_server_bench.h"

#define OPEN "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
#define OPENED "250 OK <a@b>\r\n250 OK <c@d>\r\n"
#define SEND "354 Send body; end with CRLF.CRLF\r\n"

static int setup(void **state)
{
    static struct smtp_bench bench;

    bench_open(&bench);
    bench_take(&bench);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    bench_close(*state);
    return 0;
}

static void questions_carry_normalised_names(void **state)
{
    struct smtp_bench *b = *state;

    bench_say(b, "EHLO X.Test\r\nMAIL FROM:<\"a@b\"@C.Example>\r\nRCPT TO:<postMaster>\r\n"
                 "RCPT TO:<x@[1.2.3.4]>\r\nDATA\r\n.\r\n");
    assert_string_equal(bench_text(&b->asked),
                        "CONNECT\nEHLO x.test\nMAIL \"a@b\" at c.example\nRCPT Postmaster at \n"
                        "RCPT x at [1.2.3.4]\nMESSAGE\n");
}

static void a_refused_connection_hears_the_reason_and_is_closed(void **state)
{
    struct smtp_bench *b = *state;

    b->answers[SMTP_ASK_CONNECT] =
        (struct smtp_answer){.code = 554, .text = SLICE("5.7.1 go away")};
    bench_start(b);
    assert_string_equal(bench_take(b), "554 5.7.1 go away\r\n");
    assert_true(b->closed);
    assert_string_equal(bench_text(&b->refused), "554 5.7.1 go away\n");
}

static void a_refused_sender_opens_nothing(void **state)
{
    struct smtp_bench *b = *state;

    b->answers[SMTP_ASK_MAIL] = (struct smtp_answer){.code = 451, .text = SLICE("4.7.1 later")};
    bench_expect(b, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
                 "451 4.7.1 later\r\n503 5.5.0 MAIL FROM must be issued first\r\n");
    assert_false(smtp_server_in_transaction(b->session));
    b->answers[SMTP_ASK_MAIL].code = 0;
    bench_expect(b, "MAIL FROM:<e@f>\r\n", "250 OK <e@f>\r\n");
}

static void a_refused_recipient_is_not_in_the_message(void **state)
{
    struct smtp_bench *b = *state;

    bench_say(b, OPEN);
    b->answers[SMTP_ASK_RCPT] = (struct smtp_answer){.code = 550, .text = SLICE("5.1.1 no")};
    bench_expect(b, "RCPT TO:<x@y>\r\n", "550 5.1.1 no\r\n");
    assert_string_equal(bench_text(&b->refused), "550 5.1.1 no [RCPT TO:<x@y>]\n");
    assert_true(slice_eq(smtp_server_last_recipient(b->session), SLICE("c@d")));
    b->answers[SMTP_ASK_RCPT].code = 0;
    bench_say(b, "RCPT TO:<e@f>\r\nDATA\r\n.\r\n");
    assert_string_equal(bench_text(&b->messages), "a@b>c@d,e@f, flags=0:$");
}

/* kumo.reject(250, ...) */
static void a_2xx_answer_is_sent_but_undoes_the_command(void **state)
{
    struct smtp_bench *b = *state;

    b->answers[SMTP_ASK_MAIL] = (struct smtp_answer){.code = 250, .text = SLICE("fine")};
    bench_expect(b, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
                 "250 fine\r\n503 5.5.0 MAIL FROM must be issued first\r\n");
    assert_string_equal(bench_text(&b->refused),
                        "503 5.5.0 MAIL FROM must be issued first [RCPT TO:<c@d>]\n");
}

static void disconnect_modes(void **state)
{
    static const struct {
        const char *name;
        struct smtp_answer answer;
        const char *want;
        bool closes;
    } rows[] = {
        {"stay", {451, SMTP_AFTER_STAY, SLICE_INIT("bye"), {0}}, "451 bye\r\n", false},
        {"421 closes", {421, SMTP_AFTER_STAY, SLICE_INIT("bye"), {0}}, "421 bye\r\n", true},
        {"close", {451, SMTP_AFTER_CLOSE, SLICE_INIT("bye"), {0}}, "451 bye\r\n", true},
        {"follow with 421",
         {451, SMTP_AFTER_CLOSE_421, SLICE_INIT("bye"), {0}},
         "451 bye\r\n421 mx.test disconnecting due to previous error\r\n",
         true},
        {"421 is not followed",
         {421, SMTP_AFTER_CLOSE_421, SLICE_INIT("bye"), {0}},
         "421 bye\r\n",
         true},
        {"a nonsense code", {12, SMTP_AFTER_STAY, SLICE_INIT("bye"), {0}}, "451 bye\r\n", false},
        {"a forged line",
         {550, SMTP_AFTER_STAY, SLICE_INIT("a\r\n250 b\rc"), {0}},
         "550-a\r\n550 250 b c\r\n",
         false},
        {"no text", {550, SMTP_AFTER_STAY, {0}, {0}}, "550 \r\n", false},
    };
    struct smtp_bench *b = *state;

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        bench_start(b);
        bench_take(b);
        b->answers[SMTP_ASK_MAIL] = rows[i].answer;
        print_message("%s\n", rows[i].name);
        bench_expect(b, "MAIL FROM:<a@b>\r\n", rows[i].want);
        assert_int_equal(b->closed, rows[i].closes);
    }
}

static void policy_may_replace_the_extension_list(void **state)
{
    struct smtp_bench *b = *state;

    b->answers[SMTP_ASK_EHLO].extensions = SLICE("PIPELINING\nX-A b");
    bench_expect(b, "EHLO x\r\n", "250-mx.test Aloha x\r\n250-PIPELINING\r\n250 X-A b\r\n");
    b->answers[SMTP_ASK_EHLO].extensions = (struct slice){"", 0};
    bench_expect(b, "EHLO y\r\n", "250 mx.test Aloha y\r\n");
    assert_true(slice_eq(smtp_server_helo(b->session), SLICE("y")));
}

static void a_refused_greeting_is_not_recorded(void **state)
{
    struct smtp_bench *b = *state;

    bench_say(b, "HELO first\r\n");
    b->answers[SMTP_ASK_EHLO] = (struct smtp_answer){.code = 550, .text = SLICE("no")};
    bench_expect(b, "EHLO second\r\n", "550 no\r\n");
    assert_true(slice_eq(smtp_server_helo(b->session), SLICE("first")));
}

static void no_input_is_used_while_a_question_is_open(void **state)
{
    struct smtp_bench *b = *state;
    static const struct slice in = SLICE_INIT("MAIL FROM:<a@b>\r\nNOOP\r\n");
    struct smtp_answer yes = {0};
    size_t used;

    assert_int_equal(smtp_server_feed(b->session, in, &used, &b->out), SMTP_SERVER_ASK);
    assert_int_equal(used, 17);
    assert_int_equal(smtp_server_feed(b->session, slice_from(in, 17), &used, &b->out),
                     SMTP_SERVER_ASK);
    assert_int_equal(used, 0);
    assert_string_equal(bench_take(b), "");
    assert_int_equal(smtp_server_answer(b->session, &yes, &b->out), SMTP_SERVER_FEED);
    bench_run(b, SMTP_SERVER_FEED, slice_from(in, 17));
    assert_string_equal(bench_take(b), "250 OK <a@b>\r\n250 the goggles do nothing\r\n");
}

static void the_final_reply_is_the_drivers_and_ends_the_transaction(void **state)
{
    struct smtp_bench *b = *state;

    b->answers[SMTP_ASK_MESSAGE] = (struct smtp_answer){.code = 250, .text = SLICE("OK ids=1 2")};
    bench_expect(b, OPEN "DATA\r\nx\r\n.\r\nDATA\r\n",
                 OPENED SEND "250 OK ids=1 2\r\n503 5.5.0 MAIL FROM must be issued first\r\n");
    b->answers[SMTP_ASK_MESSAGE] = (struct smtp_answer){.code = 451, .text = SLICE("4.4.5 slow")};
    b->refused.len = 0;
    bench_expect(b, OPEN "DATA\r\nx\r\n.\r\nMAIL FROM:<>\r\n",
                 OPENED SEND "451 4.4.5 slow\r\n250 OK <>\r\n");
    assert_string_equal(bench_text(&b->refused), "451 4.4.5 slow [DATA]\n");
    assert_int_equal(smtp_server_messages_read(b->session), 2);
}

static void the_driver_may_keep_envelope_and_body(void **state)
{
    struct smtp_bench *b = *state;
    static const struct slice in = SLICE_INIT(OPEN "DATA\r\nbody\r\n.\r\n" OPEN);
    struct smtp_tx mine;
    struct smtp_tx *tx;
    size_t at = 0;
    size_t used;
    enum smtp_server_step step = SMTP_SERVER_FEED;

    while (smtp_server_question(b->session).kind != SMTP_ASK_MESSAGE) {
        step = step == SMTP_SERVER_ASK
                   ? smtp_server_answer(b->session, &(struct smtp_answer){0}, &b->out)
                   : smtp_server_feed(b->session, slice_from(in, at), &used, &b->out);
        at += step == SMTP_SERVER_FEED ? 0 : used;
        used = 0;
    }
    tx = smtp_server_message(b->session);
    mine = *tx;
    tx->sender = tx->recipients = tx->body = (struct buf){0};
    step = smtp_server_answer(b->session, &(struct smtp_answer){0}, &b->out);
    bench_run(b, step, slice_from(in, at));
    assert_true(slice_eq(buf_slice(&mine.body), SLICE("body\r\n")));
    assert_true(slice_eq(buf_slice(&mine.sender), SLICE("a@b")));
    assert_string_equal(bench_take(b), OPENED SEND "250 OK\r\n" OPENED);
    buf_free(&mine.body);
    buf_free(&mine.sender);
    buf_free(&mine.recipients);
}

static void mail_parameters_reach_the_driver(void **state)
{
    struct smtp_bench *b = *state;
    struct smtp_tx *tx;
    size_t used;

    bench_say(b, "MAIL FROM:<a@b> SIZE=77 BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<c@d>\r\nDATA\r\n");
    assert_int_equal(smtp_server_feed(b->session, SLICE(".\r\n"), &used, &b->out), SMTP_SERVER_ASK);
    tx = smtp_server_message(b->session);
    /* A complete message has used up its transaction: a failure now is not the sender's. */
    assert_false(smtp_server_in_transaction(b->session));
    assert_int_equal(smtp_server_sender(b->session).len, 0);
    assert_int_equal(tx->declared_size, 77);
    assert_int_equal(tx->body_type, SMTP_BODY_8BITMIME);
    assert_true(tx->smtputf8);
    assert_false(tx->by_bdat);
}

/* ---- reports ---- */

static void refusals_are_reported_with_their_command(void **state)
{
    static const struct {
        const char *send;
        const char *want;
    } rows[] = {
        {"NOOP\r\nRSET\r\nMAIL FROM:<>\r\n", ""},
        {"FOO bar\r\n", "502 5.5.1 Command unimplemented [FOO bar]\n"},
        {"\x80\r\n", "501 5.5.2 Invalid UTF-8 in command\n"},
        {"AUTH PLAIN AGEAYg==\r\n", "502 5.5.1 Command unimplemented [AUTH PLAIN]\n"},
        {"auth AGEAYg==\r\n", "502 5.5.1 Command unimplemented [auth]\n"},
        {"DATA\r\n", "503 5.5.0 MAIL FROM must be issued first [DATA]\n"},
        {OPEN "DATA\r\na\nb\r\n.\r\n",
         "552 5.6.0 message data must use CRLF for line endings [DATA]\n"},
    };
    struct smtp_bench *b = *state;

    for (size_t piece = 0; piece < 4; piece++) {
        b->piece = piece;
        for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
            bench_start(b);
            b->refused.len = 0;
            bench_say(b, rows[i].send);
            assert_string_equal(bench_text(&b->refused), rows[i].want);
        }
    }
}

static void records_see_sender_and_last_recipient_only_while_they_stand(void **state)
{
    struct smtp_bench *b = *state;
    size_t used;

    bench_say(b, OPEN "RCPT TO:<e@f>\r\n");
    assert_int_equal(smtp_server_feed(b->session, SLICE("RCPT TO:<>\r\n"), &used, &b->out),
                     SMTP_SERVER_REFUSED);
    assert_true(slice_eq(smtp_server_sender(b->session), SLICE("a@b")));
    assert_true(slice_eq(smtp_server_last_recipient(b->session), SLICE("e@f")));
    bench_run(b, SMTP_SERVER_FEED, SLICE("DATA\r\n"));
    assert_int_equal(smtp_server_feed(b->session, SLICE("\n\r\n.\r\n"), &used, &b->out),
                     SMTP_SERVER_REFUSED);
    assert_int_equal(smtp_server_sender(b->session).len, 0);
    assert_int_equal(smtp_server_last_recipient(b->session).len, 0);
}

/* ---- rewriting ---- */

static enum smtp_server_step note_and_pass(struct smtp_bench *b)
{
    struct smtp_server_reply r = smtp_server_reply(b->session);

    buf_printf(&b->asked, "%u %.*s|%.*s\n", r.code, SLICE_ARG(r.text),
               r.command.ptr != NULL ? (int)r.command.len : 3,
               r.command.ptr != NULL ? r.command.ptr : "nil");
    return smtp_server_rewritten(b->session, 0, (struct slice){0}, &b->out);
}

static void every_reply_can_be_seen_before_it_goes_out(void **state)
{
    struct smtp_bench *b = *state;

    b->limits.rewrite_replies = true;
    b->rewrite = note_and_pass;
    bench_start(b);
    b->asked.len = 0;
    for (b->piece = 0; b->piece < 3; b->piece++) {
        b->out.len = 0;
        bench_expect(b, OPEN "FOO\r\nDATA\r\n.\r\n",
                     OPENED "502 5.5.1 Command unimplemented\r\n" SEND "250 OK\r\n");
    }
    b->asked.len = 0;
    bench_say(b, "NOOP\r\nFOO\r\n" OPEN "DATA\r\n.\r\n");
    assert_string_equal(bench_text(&b->asked),
                        "250 the goggles do nothing|nil\n502 5.5.1 Command unimplemented|FOO\n"
                        "MAIL a at b\n250 OK <a@b>|nil\nRCPT c at d\n250 OK <c@d>|nil\n"
                        "354 Send body; end with CRLF.CRLF|nil\nMESSAGE\n250 OK|DATA\n");
}

static enum smtp_server_step prefix_data(struct smtp_bench *b)
{
    struct smtp_server_reply r = smtp_server_reply(b->session);
    struct buf text = {0};
    enum smtp_server_step step;

    if (!slice_eq(r.command, SLICE("DATA"))) {
        return smtp_server_rewritten(b->session, 0, (struct slice){0}, &b->out);
    }
    buf_printf(&text, "hi\n%.*s", SLICE_ARG(r.text));
    step = smtp_server_rewritten(b->session, 250, buf_slice(&text), &b->out);
    buf_free(&text);
    return step;
}

static void a_rewritten_reply_may_have_more_lines(void **state)
{
    struct smtp_bench *b = *state;

    b->limits.rewrite_replies = true;
    b->rewrite = prefix_data;
    bench_expect(b, OPEN "DATA\r\n.\r\n", OPENED SEND "250-hi\r\n250 OK\r\n");
}

static enum smtp_server_step to_421(struct smtp_bench *b)
{
    bool mail = smtp_server_state(b->session) == SMTP_STATE_MAIL;

    return smtp_server_rewritten(b->session, mail ? 421 : 0, mail ? SLICE("so") : (struct slice){0},
                                 &b->out);
}

static void a_reply_rewritten_to_421_is_reported_and_closes(void **state)
{
    struct smtp_bench *b = *state;

    b->limits.rewrite_replies = true;
    b->rewrite = to_421;
    bench_expect(b, "NOOP\r\nMAIL FROM:<a@b>\r\nNOOP\r\n",
                 "250 the goggles do nothing\r\n421 so\r\n");
    assert_true(b->closed);
    assert_string_equal(bench_text(&b->refused), "421 so\n");
}

/* ---- endings ---- */

static void the_driver_can_end_a_session_anywhere(void **state)
{
    static const char *const places[] = {
        "", "NOO", OPEN, OPEN "DATA\r\nhalf a mess", OPEN "BDAT 10\r\nhalf",
    };
    struct smtp_bench *b = *state;
    size_t used;

    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        bench_start(b);
        bench_say(b, places[i]);
        bench_run(b, smtp_server_idle(b->session, &b->out), SLICE(""));
        assert_string_equal(bench_take(b), "421 4.3.2 mx.test idle too long\r\n");
        assert_true(b->closed);

        bench_start(b);
        bench_say(b, places[i]);
        bench_run(b, smtp_server_shutdown(b->session, &b->out), SLICE(""));
        assert_string_equal(bench_take(b), "421 4.3.2 mx.test shutting down\r\n");
        assert_int_equal(smtp_server_idle(b->session, &b->out), SMTP_SERVER_CLOSE);
        assert_int_equal(smtp_server_feed(b->session, SLICE("NOOP\r\n"), &used, &b->out),
                         SMTP_SERVER_CLOSE);
        assert_int_equal(used, 6);
        assert_string_equal(bench_take(b), "");
    }
}

static void a_failure_drops_the_open_question_and_names_itself_in_the_record(void **state)
{
    struct smtp_bench *b = *state;
    size_t used;

    assert_int_equal(smtp_server_feed(b->session, SLICE("MAIL FROM:<a@b>\r\n"), &used, &b->out),
                     SMTP_SERVER_ASK);
    bench_run(b, smtp_server_fail(b->session, SLICE("boom"), &b->out), SLICE(""));
    assert_string_equal(bench_take(b), "421 4.3.0 mx.test technical difficulties\r\n");
    assert_string_equal(bench_text(&b->refused), "421 4.3.0 mx.test technical difficulties "
                                                 "[Error in SmtpServerSession: boom]\n");
    assert_true(b->closed);
}

static void other_last_words_are_the_drivers(void **state)
{
    struct smtp_bench *b = *state;

    bench_run(b, smtp_server_end(b->session, 421, SLICE("4.3.2 full"), &b->out), SLICE(""));
    assert_string_equal(bench_take(b), "421 4.3.2 full\r\n");
    assert_true(b->closed);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(questions_carry_normalised_names),
        CASE(a_refused_connection_hears_the_reason_and_is_closed),
        CASE(a_refused_sender_opens_nothing),
        CASE(a_refused_recipient_is_not_in_the_message),
        CASE(a_2xx_answer_is_sent_but_undoes_the_command),
        CASE(disconnect_modes),
        CASE(policy_may_replace_the_extension_list),
        CASE(a_refused_greeting_is_not_recorded),
        CASE(no_input_is_used_while_a_question_is_open),
        CASE(the_final_reply_is_the_drivers_and_ends_the_transaction),
        CASE(the_driver_may_keep_envelope_and_body),
        CASE(mail_parameters_reach_the_driver),
        CASE(refusals_are_reported_with_their_command),
        CASE(records_see_sender_and_last_recipient_only_while_they_stand),
        CASE(every_reply_can_be_seen_before_it_goes_out),
        CASE(a_rewritten_reply_may_have_more_lines),
        CASE(a_reply_rewritten_to_421_is_reported_and_closes),
        CASE(the_driver_can_end_a_session_anywhere),
        CASE(a_failure_drops_the_open_question_and_names_itself_in_the_record),
        CASE(other_last_words_are_the_drivers),
    };

    return cmocka_run_group_tests_name("proto/smtp_server_steps", tests, NULL, NULL);
}
