/*
 * client_bench - a scripted peer for smtp_client: it answers each command with the next reply of
 * its script and feeds replies in pieces of a chosen size.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/smtp_client.h"

#define BENCH_WHOLE 0u /* piece size: everything at once */

struct client_bench {
    struct smtp_client_params params;
    struct smtp_client client;
    size_t piece;               /* bytes of each feed */
    const char *const *script;  /* replies in the order of commands; ends with NULL */
    const struct smtp_transaction *follow; /* goes behind the next dot; NULL: nothing */
    struct buf wire;            /* what the client sent; "[body]" where the message went */
    struct buf pending;         /* replies on their way to the client */
    enum smtp_client_step last; /* the last step that was not WAIT */
    unsigned body_count;
    unsigned step_count;
};

/* Defaults: EHLO name "me.example", pipelining and RSET allowed, whole pieces. */
void client_bench_open(struct client_bench *b);
void client_bench_close(struct client_bench *b);

/* Banner and EHLO, with these capabilities ("PIPELINING\n8BITMIME"); ends idle. */
void client_bench_greet(struct client_bench *b, const char *capabilities);
/* Plays on until the script is used up or the connection is over. Answers the last step. */
enum smtp_client_step client_bench_begin(struct client_bench *b, const struct smtp_transaction *tx,
                                         const char *const *script);
/* Turns to the message that followed. */
enum smtp_client_step client_bench_go_on(struct client_bench *b);
/* The peer says this now. */
enum smtp_client_step client_bench_hear(struct client_bench *b, const char *bytes, size_t len);
/* Handles a step and all that follow from it. */
enum smtp_client_step client_bench_act(struct client_bench *b, enum smtp_client_step step);

/* "250 . Delivery | 550 RCPT TO:<b@y> Bounce" for each recipient, "-" for one without outcome. */
void client_bench_outcomes(const struct client_bench *b, struct buf *out);
