/* The next message's envelope in the same write as the end of the one before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/base/check.h"
#include "tests/unit/proto/client/client_bench.h"

#define SCRIPT(...) ((const char *const[]){__VA_ARGS__, NULL})
#define HEAR(b, text) client_bench_hear((b), (text), strlen(text))

static const struct slice recipients[] = {SLICE_INIT("a@x"), SLICE_INIT("b@x")};
static const struct slice next_recipients[] = {SLICE_INIT("c@x"), SLICE_INIT("d@x")};
static const struct smtp_transaction first = {
    .sender = SLICE_INIT("s@y"), .recipients = recipients, .recipient_count = 2};
static const struct smtp_transaction second = {
    .sender = SLICE_INIT("t@y"), .recipients = next_recipients, .recipient_count = 2};

#define FIRST "MAIL FROM:<s@y>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n[body]"
#define SECOND "RSET\r\nMAIL FROM:<t@y>\r\nRCPT TO:<c@x>\r\nRCPT TO:<d@x>\r\nDATA\r\n"

static void set_up(struct client_bench *b)
{
    client_bench_open(b);
    client_bench_greet(b, "PIPELINING");
}

static void expect_wire(struct client_bench *b, const char *want)
{
    if (!slice_eq(buf_slice(&b->wire), slice_str(want))) {
        fail_msg("sent %.*s", (int)b->wire.len, b->wire.ptr);
    }
    buf_clear(&b->wire);
}

static bool outcomes_are(const struct client_bench *b, const char *want)
{
    struct buf outcomes = {0};
    bool same;

    client_bench_outcomes(b, &outcomes);
    same = slice_eq(buf_slice(&outcomes), slice_str(want));
    if (!same) {
        print_error("outcomes %.*s\n", (int)outcomes.len, outcomes.ptr);
    }
    buf_free(&outcomes);
    return same;
}

/* ---- every reply ---- */

enum at { DOT, RSET, MAIL, RCPT, LAST_RCPT, DATA, NEXT_DOT, AT_COUNT };

#define OK2 "250 . Delivery | 250 . Delivery"
#define DONE SMTP_CLIENT_DONE
#define NEVER SMTP_CLIENT_WAIT /* the second message is not begun */

/* One reply differs from the usual, beginning with the one to the first message's dot. Recipients
 * of the first: a@x, b@x; of the second: c@x, d@x. */
static const struct row {
    const char *name;
    enum at at;
    const char *reply;
    enum smtp_client_step end;
    const char *outcomes;
    enum smtp_client_step next_end;
    const char *next_outcomes;
} rows[] = {
    {"both taken", DOT, "250 ok\r\n", DONE, OK2, DONE, OK2},
    {"the first 251", DOT, "251 ok\r\n", DONE, "251 . Delivery | 251 . Delivery", DONE, OK2},
    {"the first 354", DOT, "354 hm\r\n", DONE, "354 . TransientFailure | 354 . TransientFailure",
     DONE, OK2},
    {"the first put off", DOT, "451-4.3.0 not\r\n451 4.3.0 now\r\n", DONE,
     "451 . TransientFailure | 451 . TransientFailure", DONE, OK2},
    {"the first refused", DOT, "554 5.7.1 no\r\n", DONE, "554 . Bounce | 554 . Bounce", DONE, OK2},
    {"421 to the first", DOT, "421 4.3.2 bye\r\n", SMTP_CLIENT_CLOSED,
     "421 . TransientFailure | 421 . TransientFailure", NEVER, NULL},
    {"no reply to the first", DOT, "hello\r\n", SMTP_CLIENT_FAILED,
     "400 . TransientFailure | 400 . TransientFailure", NEVER, NULL},

    {"421 to RSET", RSET, "421 4.3.2 bye\r\n", DONE, OK2, SMTP_CLIENT_CLOSED,
     "421 RSET TransientFailure | 421 RSET TransientFailure"},
    {"RSET refused", RSET, "550 no\r\n", DONE, OK2, SMTP_CLIENT_FAILED,
     "400 RSET TransientFailure | 400 RSET TransientFailure"},
    {"MAIL put off", MAIL, "450 no\r\n", DONE, OK2, DONE,
     "450 MAIL FROM:<t@y> TransientFailure | 450 MAIL FROM:<t@y> TransientFailure"},
    {"MAIL not a reply", MAIL, "what?\r\n", DONE, OK2, SMTP_CLIENT_FAILED,
     "400 MAIL FROM:<t@y> TransientFailure | 400 MAIL FROM:<t@y> TransientFailure"},
    {"a recipient refused", RCPT, "550 5.1.1 no\r\n", DONE, OK2, DONE,
     "550 RCPT TO:<c@x> Bounce | 250 . Delivery"},
    {"one too many", LAST_RCPT, "452 many\r\n", DONE, OK2, DONE,
     "250 . Delivery | 452 RCPT TO:<d@x> TransientFailure"},
    {"DATA refused", DATA, "554 no\r\n", DONE, OK2, DONE, "554 DATA Bounce | 554 DATA Bounce"},
    {"DATA 250", DATA, "250 ok\r\n", DONE, OK2, SMTP_CLIENT_FAILED,
     "400 DATA TransientFailure | 400 DATA TransientFailure"},
    {"the second refused", NEXT_DOT, "550 5.7.1 spam\r\n", DONE, OK2, DONE,
     "550 . Bounce | 550 . Bounce"},
    {"421 to the second", NEXT_DOT, "421 bye\r\n", DONE, OK2, SMTP_CLIENT_CLOSED,
     "421 . TransientFailure | 421 . TransientFailure"},
};

static const char *const usual[] = {"250 s\r\n",  "250 a\r\n", "250 b\r\n", "354 go\r\n",
                                    "250 ok\r\n", /* DOT */
                                    "250 r\r\n",  "250 s\r\n", "250 c\r\n", "250 d\r\n",
                                    "354 go\r\n", "250 ok\r\n", NULL};

static void check_row(const struct row *row, size_t piece)
{
    const char *script[ARRAY_COUNT(usual)];
    struct client_bench b;
    enum smtp_client_step end, next_end = NEVER;
    bool right;

    set_up(&b);
    memcpy(script, usual, sizeof(usual));
    script[4 + row->at] = row->reply;
    b.piece = piece;
    b.follow = &second;
    end = client_bench_begin(&b, &first, script);
    right = end == row->end && outcomes_are(&b, row->outcomes);
    if (end == DONE) {
        expect_wire(&b, FIRST SECOND);
        next_end = client_bench_go_on(&b);
        right = right && next_end == row->next_end && outcomes_are(&b, row->next_outcomes);
        assert_true(smtp_client_idle(&b.client) == (next_end == DONE));
    }
    if (!right || next_end != row->next_end) {
        fail_msg("%s (pieces of %zu): steps %d and %d", row->name, piece, (int)end, (int)next_end);
    }
    client_bench_close(&b);
}

static void each_reply_is_the_answer_to_its_own_message(void **state)
{
    static const size_t pieces[] = {BENCH_WHOLE, 1, 2, 3, 5, 7, 11};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        for (size_t k = 0; k < ARRAY_COUNT(pieces); k++) {
            check_row(&rows[i], pieces[k]);
        }
    }
}

static void a_second_that_nobody_takes_ends_with_a_lone_dot(void **state)
{
    struct client_bench b;

    (void)state;
    set_up(&b);
    b.follow = &second;
    (void)client_bench_begin(&b, &first,
                             SCRIPT("250 s\r\n", "250 a\r\n", "250 b\r\n", "354 go\r\n",
                                    "250 ok\r\n", "250 r\r\n", "250 s\r\n", "550 c\r\n",
                                    "550 d\r\n", "354 go\r\n", "554 what?\r\n"));
    expect_wire(&b, FIRST SECOND);
    assert_int_equal(client_bench_go_on(&b), SMTP_CLIENT_DONE);
    expect_wire(&b, ".\r\n");
    assert_true(outcomes_are(&b, "550 RCPT TO:<c@x> Bounce | 550 RCPT TO:<d@x> Bounce"));
    client_bench_close(&b);
}

/* ---- what is sent ---- */

static void each_of_many_messages_is_one_write(void **state)
{
    struct client_bench b;

    (void)state;
    set_up(&b);
    b.follow = &second;
    (void)client_bench_begin(&b, &first, usual);
    expect_wire(&b, FIRST SECOND);
    for (unsigned i = 0; i < 3; i++) {
        b.script = &usual[10];
        b.follow = &second;
        assert_int_equal(client_bench_go_on(&b), SMTP_CLIENT_DONE);
        expect_wire(&b, "[body]" SECOND);
        assert_true(outcomes_are(&b, OK2));
        (void)HEAR(&b, "250 r\r\n250 s\r\n250 c\r\n250 d\r\n354 go\r\n");
    }
    client_bench_close(&b);
}

static void the_next_carries_its_own_parameters(void **state)
{
    static const struct slice to[] = {SLICE_INIT("\xc3\xa9@x")};
    static const struct smtp_transaction utf8 = {
        .sender = SLICE_INIT(""), .recipients = to, .recipient_count = 1, .has_8bit = true};
    struct client_bench b;

    (void)state;
    client_bench_open(&b);
    client_bench_greet(&b, "PIPELINING\n8BITMIME\nSMTPUTF8");
    b.follow = &utf8;
    (void)client_bench_begin(&b, &first, SCRIPT("250 s\r\n", "250 a\r\n", "250 b\r\n",
                                                "354 go\r\n", "250 ok\r\n", "250 r\r\n",
                                                "450 s\r\n", "450 a\r\n", "450 d\r\n"));
    expect_wire(&b, FIRST "RSET\r\nMAIL FROM:<> BODY=8BITMIME SMTPUTF8\r\n"
                          "RCPT TO:<\xc3\xa9@x>\r\nDATA\r\n");
    assert_int_equal(client_bench_go_on(&b), SMTP_CLIENT_DONE);
    assert_true(outcomes_are(&b, "450 MAIL FROM:<> BODY=8BITMIME SMTPUTF8 TransientFailure"));
    client_bench_close(&b);
}

static void nothing_follows_where_the_reply_decides_what_comes_next(void **state)
{
    static const struct {
        const char *name, *capabilities;
        bool lmtp, no_rset, no_pipelining;
        const char *last_rcpt;
        bool may;
    } cases[] = {
        {.name = "all is well", .capabilities = "PIPELINING", .may = true},
        {.name = "PIPELINING not advertised", .capabilities = "8BITMIME"},
        {.name = "PIPELINING not wanted", .capabilities = "PIPELINING", .no_pipelining = true},
        {.name = "RSET only after a failure", .capabilities = "PIPELINING", .no_rset = true},
        {.name = "LMTP", .capabilities = "PIPELINING", .lmtp = true},
        {.name = "a recipient refused", .capabilities = "PIPELINING", .last_rcpt = "550 no\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const char *rcpt = cases[i].last_rcpt != NULL ? cases[i].last_rcpt : "250 b\r\n";
        struct client_bench b;
        size_t used;

        client_bench_open(&b);
        b.params.lmtp = cases[i].lmtp;
        b.params.enable_rset = !cases[i].no_rset;
        b.params.enable_pipelining = !cases[i].no_pipelining;
        client_bench_greet(&b, cases[i].capabilities);
        (void)client_bench_begin(&b, &first, SCRIPT("250 s\r\n", "250 a\r\n", rcpt));
        assert_false(smtp_client_may_follow(&b.client));
        assert_int_equal(smtp_client_feed(&b.client, SLICE("354 go\r\n"), &used),
                         SMTP_CLIENT_SEND_BODY);
        if (smtp_client_may_follow(&b.client) != cases[i].may) {
            fail_msg("%s", cases[i].name);
        }
        (void)!smtp_client_sent(&b.client);
        assert_false(smtp_client_may_follow(&b.client));
        client_bench_close(&b);
    }
}

static void only_one_envelope_follows(void **state)
{
    struct client_bench b;
    size_t used;

    (void)state;
    set_up(&b);
    (void)client_bench_begin(&b, &first, SCRIPT("250 s\r\n", "250 a\r\n", "250 b\r\n"));
    assert_int_equal(smtp_client_feed(&b.client, SLICE("354 go\r\n"), &used),
                     SMTP_CLIENT_SEND_BODY);
    assert_true(smtp_client_follow(&b.client, &second));
    assert_false(smtp_client_may_follow(&b.client));
    client_bench_close(&b);
}

static void what_we_would_refuse_ourselves_does_not_follow(void **state)
{
    static const struct slice evil[] = {SLICE_INIT("e@x"), SLICE_INIT("f\r\n@x")};
    static const struct slice utf8[] = {SLICE_INIT("\xc3\xa9@x")};
    static const struct {
        const char *name;
        struct smtp_transaction tx;
        const char *outcomes; /* when its turn comes */
    } cases[] = {
        {"8-bit content", {SLICE_INIT("t@y"), next_recipients, 2, true}, "554 Bounce | 554 Bounce"},
        {"8-bit address", {SLICE_INIT("t@y"), utf8, 1, false}, "554 Bounce"},
        {"control character in the sender", {SLICE_INIT("t\n@y"), next_recipients, 2, false},
         "553 Bounce | 553 Bounce"},
        {"control character in a recipient", {SLICE_INIT("t@y"), evil, 2, false},
         "550 RCPT TO:<e@x> Bounce | 553 Bounce"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct client_bench b;

        set_up(&b);
        b.follow = &cases[i].tx;
        if (client_bench_begin(&b, &first, usual) != SMTP_CLIENT_DONE ||
            !smtp_client_idle(&b.client)) {
            fail_msg("%s", cases[i].name);
        }
        expect_wire(&b, FIRST);
        (void)client_bench_begin(&b, &cases[i].tx,
                                 SCRIPT("250 r\r\n", "250 s\r\n", "550 e\r\n", "503 d\r\n"));
        if (!outcomes_are(&b, cases[i].outcomes)) {
            fail_msg("%s", cases[i].name);
        }
        client_bench_close(&b);
    }
}

/* ---- ends ---- */

/* Both messages are on their way and the peer has said nothing yet. */
static void send_both(struct client_bench *b)
{
    set_up(b);
    b->follow = &second;
    (void)client_bench_begin(b, &first,
                             SCRIPT("250 s\r\n", "250 a\r\n", "250 b\r\n", "354 go\r\n"));
    expect_wire(b, FIRST SECOND);
}

static void a_connection_lost_at_the_dot_says_nothing_about_the_next(void **state)
{
    struct client_bench b;

    (void)state;
    send_both(&b);
    assert_int_equal(smtp_client_lost(&b.client, SLICE("reset")), SMTP_CLIENT_FAILED);
    assert_true(outcomes_are(&b, "400 . TransientFailure | 400 . TransientFailure"));
    client_bench_close(&b);

    send_both(&b);
    assert_int_equal(smtp_client_timed_out(&b.client, SLICE("q p"), SLICE("5s")),
                     SMTP_CLIENT_FAILED);
    assert_true(outcomes_are(&b, "421 . TransientFailure | 421 . TransientFailure"));
    client_bench_close(&b);
}

static void a_connection_lost_between_the_two_harms_neither(void **state)
{
    struct client_bench b;

    (void)state;
    send_both(&b);
    assert_int_equal(HEAR(&b, "250 ok\r\n550 r\r\n"), SMTP_CLIENT_DONE);
    assert_false(smtp_client_idle(&b.client));
    assert_int_equal(smtp_client_pending(&b.client), SMTP_CLIENT_CMD_NONE);
    assert_int_equal(smtp_client_lost(&b.client, SLICE("reset")), SMTP_CLIENT_CLOSED);
    assert_true(outcomes_are(&b, OK2));
    client_bench_close(&b);
}

static void a_connection_lost_after_it_is_an_outcome_of_the_next(void **state)
{
    struct client_bench b;

    (void)state;
    send_both(&b);
    (void)HEAR(&b, "250 ok\r\n250 r\r\n");
    assert_int_equal(client_bench_go_on(&b), SMTP_CLIENT_DONE); /* still the last step */
    assert_int_equal(smtp_client_lost(&b.client, SLICE("reset")), SMTP_CLIENT_FAILED);
    assert_true(outcomes_are(
        &b, "400 MAIL FROM:<t@y> TransientFailure | 400 MAIL FROM:<t@y> TransientFailure"));
    client_bench_close(&b);
}

/* ---- clocks ---- */

static void each_reply_has_its_own_time(void **state)
{
    static const uint64_t class_ms[SMTP_TIMEOUT_COUNT] = {[SMTP_TIMEOUT_RSET] = 5000,
                                                          [SMTP_TIMEOUT_MAIL] = 200000,
                                                          [SMTP_TIMEOUT_DATA] = 300000,
                                                          [SMTP_TIMEOUT_DOT] = 500000};
    struct client_bench b;
    uint32_t heard;
    size_t used;

    (void)state;
    set_up(&b);
    (void)client_bench_begin(&b, &first, SCRIPT("250 s\r\n", "250 a\r\n", "250 b\r\n"));
    assert_int_equal(smtp_client_feed(&b.client, SLICE("354 go\r\n"), &used),
                     SMTP_CLIENT_SEND_BODY);
    assert_true(smtp_client_follow(&b.client, &second));
    assert_int_equal(smtp_client_timeout_ms(&b.client, class_ms), 60000);
    assert_int_equal(smtp_client_sent(&b.client), SMTP_CLIENT_WAIT);
    assert_int_equal(smtp_client_timeout(&b.client), SMTP_TIMEOUT_DOT);
    assert_int_equal(smtp_client_timeout_ms(&b.client, class_ms), 500000);
    heard = b.client.reply_count;
    assert_int_equal(smtp_client_feed(&b.client, SLICE("250 ok\r\n"), &used), SMTP_CLIENT_DONE);
    assert_int_equal(b.client.reply_count, heard + 1);
    assert_int_equal(smtp_client_go_on(&b.client), SMTP_CLIENT_WAIT);
    assert_int_equal(smtp_client_timeout_ms(&b.client, class_ms), 5000);
    assert_int_equal(smtp_client_feed(&b.client, SLICE("250 r\r\n"), &used), SMTP_CLIENT_WAIT);
    assert_int_equal(smtp_client_timeout_ms(&b.client, class_ms), 200000);
    client_bench_close(&b);
}

/* ---- bounds ---- */

/* Long, but not longer than a reply may be. */
static void say_a_lot(struct buf *out, const char *code, size_t size)
{
    size_t end = out->len + size;

    buf_put(out, slice_str(code));
    while (out->len < end - 2) {
        buf_char(out, 'x');
    }
    BUF_LIT(out, "\r\n");
}

static void all_replies_may_come_before_the_write_is_known_to_be_through(void **state)
{
    enum { COUNT = 200 };
    struct slice many[COUNT];
    struct smtp_transaction tx = {
        .sender = SLICE("t@y"), .recipients = many, .recipient_count = COUNT};
    struct buf replies = {0};
    struct client_bench b;
    size_t used;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        many[i] = SLICE("c@x");
    }
    set_up(&b);
    (void)client_bench_begin(&b, &first, SCRIPT("250 s\r\n", "250 a\r\n", "250 b\r\n"));
    assert_int_equal(smtp_client_feed(&b.client, SLICE("354 go\r\n"), &used),
                     SMTP_CLIENT_SEND_BODY);
    assert_true(smtp_client_follow(&b.client, &tx));
    for (size_t i = 0; i < 3 + COUNT; i++) {
        say_a_lot(&replies, "250 ", 300);
    }
    BUF_LIT(&replies, "354 go\r\n");
    assert_int_equal(smtp_client_feed(&b.client, buf_slice(&replies), &used), SMTP_CLIENT_WAIT);
    assert_int_equal(used, replies.len);
    assert_int_equal(smtp_client_sent(&b.client), SMTP_CLIENT_DONE);
    assert_true(outcomes_are(&b, OK2));
    assert_int_equal(smtp_client_go_on(&b.client), SMTP_CLIENT_SEND_BODY);
    buf_free(&replies);
    client_bench_close(&b);
}

static void a_flood_between_the_two_ends_the_connection(void **state)
{
    struct buf flood = {0};
    struct client_bench b;

    (void)state;
    send_both(&b);
    assert_int_equal(HEAR(&b, "250 ok\r\n"), SMTP_CLIENT_DONE);
    for (size_t i = 0; i < 40; i++) {
        say_a_lot(&flood, "250 ", 1000);
    }
    assert_int_equal(client_bench_hear(&b, flood.ptr, flood.len), SMTP_CLIENT_FAILED);
    assert_true(outcomes_are(&b, OK2));
    buf_free(&flood);
    client_bench_close(&b);
}

int main(void)
{
#define T(fn) cmocka_unit_test(fn)
    const struct CMUnitTest tests[] = {
        T(each_reply_is_the_answer_to_its_own_message),
        T(a_second_that_nobody_takes_ends_with_a_lone_dot),
        T(each_of_many_messages_is_one_write),
        T(the_next_carries_its_own_parameters),
        T(nothing_follows_where_the_reply_decides_what_comes_next),
        T(only_one_envelope_follows),
        T(what_we_would_refuse_ourselves_does_not_follow),
        T(a_connection_lost_at_the_dot_says_nothing_about_the_next),
        T(a_connection_lost_between_the_two_harms_neither),
        T(a_connection_lost_after_it_is_an_outcome_of_the_next),
        T(each_reply_has_its_own_time),
        T(all_replies_may_come_before_the_write_is_known_to_be_through),
        T(a_flood_between_the_two_ends_the_connection),
    };
    return cmocka_run_group_tests_name("proto/smtp_client_follow", tests, NULL, NULL);
}
