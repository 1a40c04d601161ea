/* The envelope of the next message behind the end of the one before: when, and what becomes of both
 * however the connection goes on. */
#include "tests/unit/core/egress/lane_bench.h"

#include <string.h>

#define TX(word) "MAIL FROM:<sender@a.example>\r\nRCPT TO:<" word "@b.example>\r\nDATA\r\n"
#define NEXT(word) "RSET\r\n" TX(word)
#define BODY "Subject: x\r\n\r\nbody\r\n.\r\n"
#define TAKEN "250 s\r\n250 r\r\n354 go\r\n"
#define NEXT_TAKEN "250 rset\r\n" TAKEN
#define READYQ "unspecified->mx_list:10.0.0.1:25,10.0.0.2:25@smtp_client"
#define SITE " [" READYQ "]\n"

static struct lane_bench b;

static void expect_records(const char *want)
{
    const char *got = queue_bench_records(&b.q);

    if (strcmp(got, want) != 0) {
        fail_msg("records:\n%s", got);
    }
}

/* Two messages, u and v; the first is written as far as the dot, with what follows it. */
static void begin(const char *path, const char *more)
{
    lane_bench_open(&b, path, more);
    lane_bench_insert(&b, "u@b.example");
    lane_bench_insert(&b, "v@b.example");
    lane_bench_greet(&b, "PIPELINING");
    lane_bench_expect(&b, TX("u"));
    lane_bench_say(&b, TAKEN);
}

static void begin_and_follow(const char *path, const char *more)
{
    begin(path, more);
    lane_bench_expect(&b, BODY NEXT("v"));
}

/* The connection is gone; v is the first message of the next one, and is none the worse. */
static void expect_v_elsewhere(void)
{
    lane_bench_greet(&b, "PIPELINING");
    lane_bench_expect(&b, TX("v"));
    lane_bench_say(&b, TAKEN);
    lane_bench_expect(&b, BODY);
    lane_bench_say(&b, "250 elsewhere\r\n");
    expect_records("Delivery 250 0.0.0 elsewhere" SITE);
}

/* ---- what it saves ---- */

static void a_backlog_costs_one_send_and_one_reply_group_a_message(void **state)
{
    (void)state;
    lane_bench_open(&b, "", "");
    lane_bench_insert(&b, "u@b.example");
    lane_bench_insert(&b, "v@b.example");
    lane_bench_insert(&b, "w@b.example");
    lane_bench_greet(&b, "PIPELINING");
    lane_bench_expect(&b, TX("u"));
    lane_bench_say(&b, TAKEN);
    lane_bench_expect(&b, BODY NEXT("v"));
    lane_bench_say(&b, "250 first\r\n" NEXT_TAKEN);
    expect_records("Delivery 250 0.0.0 first" SITE);
    lane_bench_expect(&b, BODY NEXT("w"));
    lane_bench_say(&b, "250 second\r\n" NEXT_TAKEN);
    lane_bench_expect(&b, BODY);
    lane_bench_say(&b, "250 third\r\n");
    expect_records("Delivery 250 0.0.0 second" SITE "Delivery 250 0.0.0 third" SITE);
    assert_int_equal(lane_bench_lane(&b)->state, LANE_IDLE);
    assert_int_equal(lane_bench_lane(&b)->delivered_this_connection, 3);
    lane_bench_close(&b);
}

static void replies_may_come_byte_by_byte(void **state)
{
    static const char replies[] = "250-first\r\n250 ok\r\n" NEXT_TAKEN "250 second\r\n";

    (void)state;
    begin_and_follow("", "");
    for (const char *at = replies; *at != '\0'; at++) {
        lane_bench_say(&b, (const char[]){*at, '\0'});
    }
    expect_records("Delivery 250 0.0.0 first\nok" SITE "Delivery 250 0.0.0 second" SITE);
    lane_bench_close(&b);
}

/* ---- the first one's fate ---- */

static void the_next_goes_on_whatever_is_said_about_the_first(void **state)
{
    static const struct {
        const char *name, *reply, *record;
    } rows[] = {
        {"taken", "250 2.0.0 ok\r\n", "Delivery 250 2.0.0 ok" SITE},
        {"put off", "451 4.3.0 later\r\n", "TransientFailure 451 4.3.0 later" SITE},
        {"refused", "554 5.7.1 spam\r\n", "Bounce 554 5.7.1 spam" SITE},
        {"out of order", "503 what?\r\n", "TransientFailure 503 0.0.0 what?" SITE},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        begin_and_follow("", "");
        lane_bench_say(&b, rows[i].reply);
        expect_records(rows[i].record);
        lane_bench_say(&b, NEXT_TAKEN);
        lane_bench_expect(&b, BODY);
        lane_bench_say(&b, "250 second\r\n");
        expect_records("Delivery 250 0.0.0 second" SITE);
        lane_bench_close(&b);
    }
}

static void the_next_is_not_charged_when_the_connection_ends_with_the_first(void **state)
{
    static const struct {
        const char *name, *reply; /* NULL: none */
        uint64_t wait_ms;
        const char *record;
    } rows[] = {
        {"421", "421 4.3.2 bye\r\n", 0, "TransientFailure 421 4.3.2 bye"},
        {"421 and the rest", "421 4.3.2 bye\r\n503 rset\r\n503 s\r\n503 r\r\n503 d\r\n", 0,
         "TransientFailure 421 4.3.2 bye"},
        {"not a reply", "hello\r\n", 0, "TransientFailure 400 0.0.0 KumoMTA internal: failed to "},
        {"hung up", NULL, 0, "TransientFailure 400 0.0.0 KumoMTA internal: failed to "},
        {"silence", NULL, 301000, "TransientFailure 421 4.4.2 KumoMTA internal: failed to "},
    };
    static const char *const strategies[] = {"reconnect_strategy='ConnectNextHost'",
                                             "reconnect_strategy='ReconnectSameHost'",
                                             "reconnect_strategy='TerminateSession'"};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows) * ARRAY_COUNT(strategies); i++) {
        size_t at = i / ARRAY_COUNT(strategies);
        const char *records;

        begin_and_follow(strategies[i % ARRAY_COUNT(strategies)], "");
        if (rows[at].reply != NULL) {
            lane_bench_say(&b, rows[at].reply);
        } else if (rows[at].wait_ms > 0) {
            queue_bench_advance_ms(&b.q, rows[at].wait_ms);
        } else {
            lane_bench_hang_up(&b);
        }
        records = queue_bench_records(&b.q);
        if (strstr(records, rows[at].record) != records ||
            strchr(records, '\n') != records + strlen(records) - 1) {
            fail_msg("%s, %s: %s", rows[at].name, strategies[i % ARRAY_COUNT(strategies)],
                     records);
        }
        b.sends = 0;
        expect_v_elsewhere();
        lane_bench_close(&b);
    }
}

static void what_was_put_back_comes_before_what_waits(void **state)
{
    (void)state;
    begin_and_follow("", "");
    lane_bench_insert(&b, "w@b.example");
    lane_bench_hang_up(&b);
    lane_bench_greet(&b, "PIPELINING");
    lane_bench_expect(&b, TX("v"));
    lane_bench_say(&b, TAKEN);
    lane_bench_expect(&b, BODY NEXT("w"));
    lane_bench_close(&b);
}

static void the_first_tries_the_next_host_before_the_next_message_does(void **state)
{
    (void)state;
    begin_and_follow("try_next_host_on_transport_error=true", "");
    lane_bench_say(&b, "421 4.3.2 bye\r\n");
    expect_records("TransientFailure 421 4.3.2 bye" SITE);
    b.sends = 0;
    lane_bench_greet(&b, "PIPELINING");
    lane_bench_expect(&b, TX("u"));
    lane_bench_say(&b, TAKEN);
    lane_bench_expect(&b, BODY NEXT("v"));
    lane_bench_close(&b);
}

/* ---- its own fate ---- */

static void the_next_one_is_charged_for_what_happens_after_its_turn_came(void **state)
{
    (void)state;
    begin_and_follow("", "");
    lane_bench_say(&b, "250 first\r\n");
    lane_bench_hang_up(&b);
    expect_records("Delivery 250 0.0.0 first" SITE
                   "TransientFailure 400 0.0.0 KumoMTA internal: failed to send message: "
                   "the peer hung up" SITE);
    lane_bench_close(&b);
}

static void the_next_one_may_be_refused_before_its_content(void **state)
{
    (void)state;
    begin_and_follow("", "");
    lane_bench_insert(&b, "w@b.example");
    lane_bench_say(&b, "250 first\r\n250 rset\r\n250 s\r\n550 5.1.1 who?\r\n503 no\r\n");
    expect_records("Delivery 250 0.0.0 first" SITE "Bounce 550 5.1.1 who?" SITE);
    lane_bench_expect(&b, NEXT("w"));
    lane_bench_close(&b);
}

static void content_is_awaited_in_spite_of_it(void **state)
{
    (void)state;
    begin_and_follow("", "");
    lane_bench_insert(&b, "w@b.example");
    lane_bench_say(&b, "250 first\r\n250 rset\r\n250 s\r\n550 5.1.1 who?\r\n354 go\r\n");
    lane_bench_expect(&b, ".\r\n");
    lane_bench_say(&b, "554 nothing\r\n");
    expect_records("Delivery 250 0.0.0 first" SITE "Bounce 550 5.1.1 who?" SITE);
    lane_bench_expect(&b, NEXT("w"));
    lane_bench_close(&b);
}

/* ---- when ---- */

static void nothing_follows_unless_all_allows_it(void **state)
{
    static const struct {
        const char *name, *path, *capabilities;
        const char *then; /* written when the first is taken */
        bool unloaded;
    } rows[] = {
        {.name = "not advertised", .capabilities = "8BITMIME", .then = "RSET\r\n"},
        {.name = "pipelining not wanted", .path = "enable_pipelining=false", .then = "RSET\r\n"},
        {.name = "RSET only after failures", .path = "enable_rset=false", .then = TX("v")},
        {.name = "LMTP", .path = "use_lmtp=true", .then = NEXT("v")},
        {.name = "the last delivery", .path = "max_deliveries_per_connection=1",
         .then = "QUIT\r\n"},
        {.name = "a rate says to wait", .path = "max_message_rate='1/30s'", .then = ""},
        {.name = "a shared rate says to wait",
         .path = "additional_message_rate_throttles={x='1/30s'}", .then = ""},
        {.name = "not in memory", .then = NEXT("v"), .unloaded = true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        print_message("%s\n", rows[i].name);
        lane_bench_open(&b, rows[i].path != NULL ? rows[i].path : "", "");
        lane_bench_insert(&b, "u@b.example");
        lane_bench_settle(&b);
        b.eg.held_bytes_max = rows[i].unloaded ? 0 : b.eg.held_bytes_max;
        lane_bench_insert(&b, "v@b.example");
        lane_bench_say(&b, "220 hi\r\n250-hi\r\n250 ");
        lane_bench_say(&b, rows[i].capabilities != NULL ? rows[i].capabilities : "PIPELINING");
        lane_bench_say(&b, "\r\n");
        lane_bench_say(&b, TAKEN);
        lane_bench_expect_end(&b, BODY);
        lane_bench_say(&b, "250 first\r\n");
        lane_bench_expect(&b, rows[i].then);
        lane_bench_close(&b);
    }
}

/* As if there were a second lane, first without and then with a next message of its own. */
static void every_lane_has_a_next_message_before_any_has_to_wait(void **state)
{
    for (uint32_t reserved_count = 0; reserved_count < 2; reserved_count++) {
        struct readyq *rq;

        lane_bench_open(&b, "", "");
        lane_bench_insert(&b, "u@b.example");
        lane_bench_insert(&b, "v@b.example");
        lane_bench_greet(&b, "PIPELINING");
        lane_bench_expect(&b, TX("u"));
        rq = lane_bench_readyq(&b);
        rq->lane_count++;
        rq->reserved_count += reserved_count;
        lane_bench_say(&b, TAKEN);
        rq->lane_count--;
        rq->reserved_count -= reserved_count;
        lane_bench_expect(&b, reserved_count > 0 ? BODY NEXT("v") : BODY);
        assert_int_equal(rq->reserved_count, reserved_count);
        lane_bench_close(&b);
    }
    (void)state;
}

static void a_rate_that_allows_it_is_paid_once(void **state)
{
    (void)state;
    begin_and_follow("max_message_rate='3/h'", "");
    lane_bench_insert(&b, "w@b.example");
    lane_bench_insert(&b, "x@b.example");
    lane_bench_say(&b, "250 first\r\n" NEXT_TAKEN);
    lane_bench_expect(&b, BODY NEXT("w"));
    lane_bench_say(&b, "250 second\r\n" NEXT_TAKEN);
    lane_bench_expect(&b, BODY); /* the fourth has no token */
    lane_bench_close(&b);
}

static void the_rest_of_a_message_comes_before_the_next(void **state)
{
    (void)state;
    lane_bench_open(&b, "max_recipients_per_batch=2", "");
    lane_bench_insert(&b, "u1@b.example u2@b.example u3@b.example");
    lane_bench_insert(&b, "v@b.example");
    lane_bench_greet(&b, "PIPELINING");
    lane_bench_say(&b, "250 s\r\n250 r\r\n250 r\r\n354 go\r\n");
    lane_bench_expect_end(&b, BODY);
    lane_bench_say(&b, "250 first\r\n");
    lane_bench_expect(&b, NEXT("u3"));
    lane_bench_say(&b, NEXT_TAKEN);
    lane_bench_expect(&b, BODY NEXT("v"));
    lane_bench_close(&b);
}

static void all_of_a_batch_follow(void **state)
{
    (void)state;
    lane_bench_open(&b, "max_recipients_per_batch=2", "");
    lane_bench_insert(&b, "u@b.example");
    lane_bench_insert(&b, "v1@b.example v2@b.example v3@b.example");
    lane_bench_insert(&b, "w@b.example");
    lane_bench_greet(&b, "PIPELINING");
    lane_bench_say(&b, TAKEN);
    lane_bench_expect_end(&b, BODY "RSET\r\nMAIL FROM:<sender@a.example>\r\n"
                                   "RCPT TO:<v1@b.example>\r\nRCPT TO:<v2@b.example>\r\nDATA\r\n");
    lane_bench_say(&b, "250 first\r\n250 rset\r\n250 s\r\n250 r\r\n250 r\r\n354 go\r\n");
    lane_bench_expect(&b, BODY);
    lane_bench_say(&b, "250 second\r\n");
    lane_bench_expect(&b, NEXT("v3"));
    lane_bench_close(&b);
}

/* ---- what it holds meanwhile ---- */

static void a_slot_and_memory_are_held_until_its_turn(void **state)
{
    (void)state;
    begin_and_follow("", "");
    assert_int_equal(lane_bench_readyq(&b)->ready_count, 0);
    assert_int_equal(lane_bench_readyq(&b)->slots.used, 1);
    assert_int_equal(b.eg.held_bytes, 100);
    assert_int_equal(lane_bench_lane(&b)->delivered_this_connection, 1);
    lane_bench_say(&b, "250 first\r\n");
    assert_int_equal(lane_bench_readyq(&b)->slots.used, 0);
    assert_int_equal(b.eg.held_bytes, 0);
    assert_int_equal(lane_bench_lane(&b)->delivered_this_connection, 2);
    lane_bench_close(&b);
}

static void its_clock_begins_with_its_turn(void **state)
{
    (void)state;
    begin_and_follow("rset_timeout='5s', data_dot_timeout='100s'", "");
    queue_bench_advance_ms(&b.q, 90000);
    lane_bench_say(&b, "250 first\r\n");
    expect_records("Delivery 250 0.0.0 first" SITE);
    queue_bench_advance_ms(&b.q, 4500);
    expect_records("");
    queue_bench_advance_ms(&b.q, 1000);
    expect_records("TransientFailure 421 4.4.2 KumoMTA internal: failed to send message to "
                   READYQ " 10.0.0.1:25: Timed Out waiting 5s for "
                   "response to RSET" SITE);
    lane_bench_close(&b);
}

/* ---- the policy's word ---- */

#define REWRITE                                                                                    \
    "kumo.on('smtp_client_rewrite_delivery_status', function() kumo.sleep(10) return 451 end)\n"

static void replies_wait_for_the_policy(void **state)
{
    (void)state;
    begin_and_follow("", REWRITE);
    lane_bench_say(&b, "554 spam\r\n" NEXT_TAKEN);
    assert_int_equal(lane_bench_lane(&b)->state, LANE_JUDGING);
    lane_bench_expect(&b, "");
    queue_bench_advance_ms(&b.q, 10100);
    b.sends++; /* by the clock */
    expect_records("TransientFailure 451 0.0.0 spam (kumomta: status was rewritten from 554 -> 451)"
                   SITE);
    lane_bench_expect_end(&b, BODY);
    lane_bench_say(&b, "250 second\r\n");
    expect_records("Delivery 250 0.0.0 second" SITE);
    lane_bench_close(&b);
}

static void a_connection_lost_meanwhile_costs_the_next_nothing(void **state)
{
    (void)state;
    begin_and_follow("", REWRITE);
    lane_bench_say(&b, "554 spam\r\n250 rset\r\n");
    lane_bench_hang_up(&b);
    assert_int_equal(lane_bench_lane(&b)->state, LANE_JUDGING);
    queue_bench_advance_ms(&b.q, 10100);
    expect_records("TransientFailure 451 0.0.0 spam (kumomta: status was rewritten from 554 -> 451)"
                   SITE);
    b.sends = 0;
    expect_v_elsewhere();
    lane_bench_close(&b);
}

/* ---- stopping ---- */

static void a_drain_lets_both_finish(void **state)
{
    (void)state;
    begin_and_follow("", "");
    lane_bench_insert(&b, "w@b.example");
    lane_bench_drain(&b);
    lane_bench_say(&b, "250 first\r\n" NEXT_TAKEN);
    lane_bench_expect(&b, BODY);
    lane_bench_say(&b, "250 second\r\n");
    lane_bench_expect(&b, "QUIT\r\n");
    expect_records("Delivery 250 0.0.0 first" SITE "Delivery 250 0.0.0 second" SITE);
    lane_bench_say(&b, "221 bye\r\n");
    assert_true(b.drained);
    lane_bench_close(&b);
}

static void nothing_follows_during_a_drain(void **state)
{
    (void)state;
    lane_bench_open(&b, "", "");
    lane_bench_insert(&b, "u@b.example");
    lane_bench_insert(&b, "v@b.example");
    lane_bench_greet(&b, "PIPELINING");
    lane_bench_expect(&b, TX("u"));
    lane_bench_drain(&b);
    lane_bench_say(&b, TAKEN);
    lane_bench_expect(&b, BODY);
    lane_bench_close(&b);
}

/* The first one's outcome is unknown; the next one was not begun. */
static void a_cut_sends_the_next_back_untouched(void **state)
{
    (void)state;
    begin_and_follow("", "");
    lane_bench_drain(&b);
    lane_bench_settle(&b);
    egress_cut(&b.eg);
    lane_bench_settle(&b);
    assert_true(b.drained);
    expect_records("TransientFailure 400 0.0.0 KumoMTA internal: failed to send message: "
                   "shutting down" SITE);
    lane_bench_close(&b);
}

static void a_cut_while_the_policy_judges_ends_the_connection(void **state)
{
    (void)state;
    begin_and_follow("", REWRITE);
    lane_bench_say(&b, "554 spam\r\n" NEXT_TAKEN);
    lane_bench_drain(&b);
    egress_cut(&b.eg);
    lane_bench_settle(&b);
    assert_true(b.drained);
    expect_records("Bounce 554 0.0.0 spam" SITE);
    lane_bench_close(&b);
}

int main(void)
{
#define T(fn) cmocka_unit_test(fn)
    const struct CMUnitTest tests[] = {
        T(a_backlog_costs_one_send_and_one_reply_group_a_message),
        T(replies_may_come_byte_by_byte),
        T(the_next_goes_on_whatever_is_said_about_the_first),
        T(the_next_is_not_charged_when_the_connection_ends_with_the_first),
        T(what_was_put_back_comes_before_what_waits),
        T(the_first_tries_the_next_host_before_the_next_message_does),
        T(the_next_one_is_charged_for_what_happens_after_its_turn_came),
        T(the_next_one_may_be_refused_before_its_content),
        T(content_is_awaited_in_spite_of_it),
        T(nothing_follows_unless_all_allows_it),
        T(every_lane_has_a_next_message_before_any_has_to_wait),
        T(a_rate_that_allows_it_is_paid_once),
        T(the_rest_of_a_message_comes_before_the_next),
        T(all_of_a_batch_follow),
        T(a_slot_and_memory_are_held_until_its_turn),
        T(its_clock_begins_with_its_turn),
        T(replies_wait_for_the_policy),
        T(a_connection_lost_meanwhile_costs_the_next_nothing),
        T(a_drain_lets_both_finish),
        T(nothing_follows_during_a_drain),
        T(a_cut_sends_the_next_back_untouched),
        T(a_cut_while_the_policy_judges_ends_the_connection),
    };
    return cmocka_run_group_tests_name("core/egress/lane_follow", tests, NULL, NULL);
}
