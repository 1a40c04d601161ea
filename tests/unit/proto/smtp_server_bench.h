/*
 * smtp_server_bench - a driver for server sessions that a test can read: it feeds, answers each
 * question as the test has set, and writes down what came out.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/smtp_server.h"

#define BENCH_ASK_COUNT (SMTP_ASK_MESSAGE + 1)

struct smtp_bench {
    struct smtp_server_limits limits;
    struct smtp_server *session;
    struct smtp_answer answers[BENCH_ASK_COUNT]; /* by question; {0} accepts */
    struct buf out;                              /* replies since the last bench_take() */
    struct buf asked;                            /* one line for each question */
    struct buf refused;  /* "code text [command]" for each SMTP_SERVER_REFUSED */
    struct buf messages; /* "sender>rcpt,rcpt flags=N:" body "$" for each message */
    char *lent;          /* input that may be overwritten once it is used */
    size_t piece;        /* feed at most so many bytes at a time; 0: all at once */
    bool closed;
    /* What to do at SMTP_SERVER_REWRITE; NULL: the reply passes unchanged. */
    enum smtp_server_step (*rewrite)(struct smtp_bench *b);
};

/* Limits of the spec's defaults; hostname mx.test, banner KumoMTA; the banner is in b->out. */
void bench_open(struct smtp_bench *b);
/* A fresh session with b->limits and b->answers as they are. */
void bench_start(struct smtp_bench *b);
void bench_close(struct smtp_bench *b);

void bench_feed(struct smtp_bench *b, struct slice in);
/* Goes on from a step that a test has taken itself. */
void bench_run(struct smtp_bench *b, enum smtp_server_step step, struct slice in);
/* Feeds and answers what was replied, as a string that lives until the next call. */
const char *bench_say(struct smtp_bench *b, const char *text);
const char *bench_take(struct smtp_bench *b);
const char *bench_text(struct buf *b); /* NUL-terminated view */

/* Fails the test when `got` is not `want`, showing both. */
#define bench_expect(b, text, want) assert_string_equal(bench_say((b), (text)), (want))
