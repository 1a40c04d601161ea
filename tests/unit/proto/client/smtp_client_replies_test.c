/* Every class of reply, to every command of a transaction, pipelined and in lock-step, however its
 * bytes arrive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/proto/client/client_bench.h"

enum at { RSET, MAIL, RCPT, DATA, DOT, AT_COUNT };

#define OK2 "250 . Delivery | 250 . Delivery"

/* One reply differs from the usual. Recipients: a@x, b@x; RCPT rows change the first one's. */
static const struct row {
    const char *name;
    enum at at;
    const char *reply;
    enum smtp_client_step end;
    const char *outcomes;
} rows[] = {
    {"rset 250", RSET, "250 ok\r\n", SMTP_CLIENT_DONE, OK2},
    {"rset 252 is a success too", RSET, "252 ok\r\n", SMTP_CLIENT_DONE, OK2},
    {"rset 354 fails the connection", RSET, "354 go\r\n", SMTP_CLIENT_FAILED,
     "354 RSET TransientFailure | 354 RSET TransientFailure"},
    {"rset 421 closes", RSET, "421 4.3.2 bye\r\n", SMTP_CLIENT_CLOSED,
     "421 RSET TransientFailure | 421 RSET TransientFailure"},
    {"rset 450 fails the connection", RSET, "450 no\r\n", SMTP_CLIENT_FAILED,
     "450 RSET TransientFailure | 450 RSET TransientFailure"},
    {"rset 550 bounces nobody", RSET, "550 5.5.1 no\r\n", SMTP_CLIENT_FAILED,
     "400 RSET TransientFailure | 400 RSET TransientFailure"},
    {"rset 503 bounces nobody", RSET, "503 no\r\n", SMTP_CLIENT_FAILED,
     "400 RSET TransientFailure | 400 RSET TransientFailure"},

    {"mail 250", MAIL, "250 2.1.0 ok\r\n", SMTP_CLIENT_DONE, OK2},
    {"mail 251 is a success too", MAIL, "251 ok\r\n", SMTP_CLIENT_DONE, OK2},
    {"mail 354 is by code", MAIL, "354 go\r\n", SMTP_CLIENT_DONE,
     "354 MAIL FROM:<s@y> TransientFailure | 354 MAIL FROM:<s@y> TransientFailure"},
    {"mail 421 closes", MAIL, "421 bye\r\n", SMTP_CLIENT_CLOSED,
     "421 MAIL FROM:<s@y> TransientFailure | 421 MAIL FROM:<s@y> TransientFailure"},
    {"mail 450 is everybody's", MAIL, "450 4.7.1 later\r\n", SMTP_CLIENT_DONE,
     "450 MAIL FROM:<s@y> TransientFailure | 450 MAIL FROM:<s@y> TransientFailure"},
    {"mail 503 is transient", MAIL, "503 5.5.1 order\r\n", SMTP_CLIENT_DONE,
     "503 MAIL FROM:<s@y> TransientFailure | 503 MAIL FROM:<s@y> TransientFailure"},
    {"mail 550 is everybody's", MAIL, "550 5.7.1 no\r\n", SMTP_CLIENT_DONE,
     "550 MAIL FROM:<s@y> Bounce | 550 MAIL FROM:<s@y> Bounce"},
    {"mail 552 bounces", MAIL, "552 big\r\n", SMTP_CLIENT_DONE,
     "552 MAIL FROM:<s@y> Bounce | 552 MAIL FROM:<s@y> Bounce"},

    {"rcpt 250", RCPT, "250 2.1.5 ok\r\n", SMTP_CLIENT_DONE, OK2},
    {"rcpt 251 is accepted", RCPT, "251 forwarded\r\n", SMTP_CLIENT_DONE, OK2},
    {"rcpt 252 is accepted", RCPT, "252 perhaps\r\n", SMTP_CLIENT_DONE, OK2},
    {"rcpt 354 is by code", RCPT, "354 go\r\n", SMTP_CLIENT_DONE,
     "354 RCPT TO:<a@x> TransientFailure | 250 . Delivery"},
    {"rcpt 421 closes for all", RCPT, "421 bye\r\n", SMTP_CLIENT_CLOSED,
     "421 RCPT TO:<a@x> TransientFailure | 421 RCPT TO:<a@x> TransientFailure"},
    {"rcpt 450 is its own", RCPT, "450 4.2.1 full\r\n", SMTP_CLIENT_DONE,
     "450 RCPT TO:<a@x> TransientFailure | 250 . Delivery"},
    {"rcpt 503 is transient", RCPT, "503 order\r\n", SMTP_CLIENT_DONE,
     "503 RCPT TO:<a@x> TransientFailure | 250 . Delivery"},
    {"rcpt 550 is its own", RCPT, "550 5.1.1 nope\r\n", SMTP_CLIENT_DONE,
     "550 RCPT TO:<a@x> Bounce | 250 . Delivery"},
    {"rcpt 552 without enhanced code is transient", RCPT, "552 many\r\n", SMTP_CLIENT_DONE,
     "552 RCPT TO:<a@x> TransientFailure | 250 . Delivery"},
    {"rcpt 552 with enhanced code bounces", RCPT, "552 5.2.2 full\r\n", SMTP_CLIENT_DONE,
     "552 RCPT TO:<a@x> Bounce | 250 . Delivery"},
    {"rcpt 550 with 4.5.3 is transient", RCPT, "550 4.5.3 many\r\n", SMTP_CLIENT_DONE,
     "550 RCPT TO:<a@x> TransientFailure | 250 . Delivery"},
    {"multi-line rcpt", RCPT, "550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.1 user\r\n",
     SMTP_CLIENT_DONE, "550 RCPT TO:<a@x> Bounce | 250 . Delivery"},

    {"data 250 is neither yes nor no", DATA, "250 sure\r\n", SMTP_CLIENT_FAILED,
     "400 DATA TransientFailure | 400 DATA TransientFailure"},
    {"data 354", DATA, "354 go\r\n", SMTP_CLIENT_DONE, OK2},
    {"multi-line data", DATA, "354-go\r\n354 on\r\n", SMTP_CLIENT_DONE, OK2},
    {"data 355 is by code", DATA, "355 hm\r\n", SMTP_CLIENT_DONE,
     "355 DATA TransientFailure | 355 DATA TransientFailure"},
    {"data 421 closes", DATA, "421 bye\r\n", SMTP_CLIENT_CLOSED,
     "421 DATA TransientFailure | 421 DATA TransientFailure"},
    {"data 451", DATA, "451 later\r\n", SMTP_CLIENT_DONE,
     "451 DATA TransientFailure | 451 DATA TransientFailure"},
    {"data 503 is transient", DATA, "503 order\r\n", SMTP_CLIENT_DONE,
     "503 DATA TransientFailure | 503 DATA TransientFailure"},
    {"data 554", DATA, "554 5.5.1 no\r\n", SMTP_CLIENT_DONE, "554 DATA Bounce | 554 DATA Bounce"},

    {"dot 250", DOT, "250 2.0.0 queued\r\n", SMTP_CLIENT_DONE, OK2},
    {"dot 251 is a success too", DOT, "251 ok\r\n", SMTP_CLIENT_DONE,
     "251 . Delivery | 251 . Delivery"},
    {"dot 354 is no delivery", DOT, "354 go\r\n", SMTP_CLIENT_DONE,
     "354 . TransientFailure | 354 . TransientFailure"},
    {"dot 421 closes", DOT, "421 bye\r\n", SMTP_CLIENT_CLOSED,
     "421 . TransientFailure | 421 . TransientFailure"},
    {"dot 452 is no matter of recipients", DOT, "452 disk\r\n", SMTP_CLIENT_DONE,
     "452 . TransientFailure | 452 . TransientFailure"},
    {"dot 503 is transient", DOT, "503 order\r\n", SMTP_CLIENT_DONE,
     "503 . TransientFailure | 503 . TransientFailure"},
    {"dot 550", DOT, "550 5.7.1 spam\r\n", SMTP_CLIENT_DONE, "550 . Bounce | 550 . Bounce"},
    {"dot 552 bounces", DOT, "552 big\r\n", SMTP_CLIENT_DONE, "552 . Bounce | 552 . Bounce"},

    {"not a reply", MAIL, "hello\r\n", SMTP_CLIENT_FAILED,
     "400 MAIL FROM:<s@y> TransientFailure | 400 MAIL FROM:<s@y> TransientFailure"},
    {"no reply starts with 1", DOT, "150 hm\r\n", SMTP_CLIENT_FAILED,
     "400 . TransientFailure | 400 . TransientFailure"},
    {"code changes", RCPT, "250-ok\r\n550 no\r\n", SMTP_CLIENT_FAILED,
     "400 RCPT TO:<a@x> TransientFailure | 400 RCPT TO:<a@x> TransientFailure"},
    {"bad utf-8", DOT, "250 \xff\r\n", SMTP_CLIENT_FAILED,
     "400 . TransientFailure | 400 . TransientFailure"},
};

static const char *const usual[] = {"250 reset\r\n", "250 sender\r\n", "250 a\r\n",
                                    "250 b\r\n",     "354 go\r\n",     "250 queued\r\n",
                                    NULL};

/* Where the row's reply stands in the usual script. */
static size_t script_index(enum at at)
{
    static const size_t index[AT_COUNT] = {0, 1, 2, 4, 5};

    return index[at];
}

static void check_row(const struct row *row, bool pipelined, size_t piece)
{
    struct slice recipients[] = {SLICE("a@x"), SLICE("b@x")};
    struct smtp_transaction tx = {
        .sender = SLICE("s@y"), .recipients = recipients, .recipient_count = 2};
    const char *script[8];
    struct client_bench b;
    struct buf outcomes = {0};
    enum smtp_client_step end;

    client_bench_open(&b);
    client_bench_greet(&b, pipelined ? "PIPELINING" : "");
    /* The second message of the connection has all commands, RSET included. */
    assert_int_equal(client_bench_begin(&b, &tx, &usual[1]), SMTP_CLIENT_DONE);
    buf_clear(&b.wire);
    b.piece = piece;
    memcpy(script, usual, sizeof(usual));
    script[script_index(row->at)] = row->reply;
    end = client_bench_begin(&b, &tx, script);
    client_bench_outcomes(&b, &outcomes);
    buf_char(&outcomes, 0);
    if (end != row->end || strcmp(outcomes.ptr, row->outcomes) != 0) {
        fail_msg("%s (%s, pieces of %zu): step %d, outcomes %s", row->name,
                 pipelined ? "pipelined" : "lock-step", piece, (int)end, outcomes.ptr);
    }
    assert_true(smtp_client_idle(&b.client) == (end == SMTP_CLIENT_DONE));
    assert_int_equal(smtp_client_error(&b.client).len != 0, end != SMTP_CLIENT_DONE);
    buf_free(&outcomes);
    client_bench_close(&b);
}

static void each_reply_to_each_command_has_its_outcome(void **state)
{
    static const size_t pieces[] = {BENCH_WHOLE, 1, 2, 3, 5, 7, 11};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
            check_row(&rows[i], true, pieces[k]);
            check_row(&rows[i], false, pieces[k]);
        }
    }
}

/* The whole answer to a pipelined group, cut in two at every place. */
static void a_group_of_replies_may_be_cut_anywhere(void **state)
{
    static const char replies[] =
        "250-2.1.0 a\r\n250 2.1.0 b\r\n550 5.1.1 no\r\n251 ok\r\n354 go\r\n";
    struct slice recipients[] = {SLICE("a@x"), SLICE("b@x")};
    struct smtp_transaction tx = {
        .sender = SLICE("s@y"), .recipients = recipients, .recipient_count = 2};
    static const char *const none[] = {NULL};

    for (size_t cut = 0; cut < sizeof(replies); cut++) {
        struct client_bench b;
        struct buf outcomes = {0};

        client_bench_open(&b);
        client_bench_greet(&b, "PIPELINING");
        (void)client_bench_begin(&b, &tx, none);
        (void)client_bench_hear(&b, replies, cut);
        assert_int_equal(client_bench_hear(&b, replies + cut, sizeof(replies) - 1 - cut),
                         SMTP_CLIENT_SEND_BODY);
        assert_int_equal(client_bench_hear(&b, "250 done\r\n", 10), SMTP_CLIENT_DONE);
        client_bench_outcomes(&b, &outcomes);
        buf_char(&outcomes, 0);
        assert_string_equal(outcomes.ptr, "550 RCPT TO:<a@x> Bounce | 250 . Delivery");
        buf_free(&outcomes);
        client_bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reply_to_each_command_has_its_outcome),
        cmocka_unit_test(a_group_of_replies_may_be_cut_anywhere),
    };
    return cmocka_run_group_tests_name("proto/smtp_client_replies", tests, NULL, NULL);
}
