/*
 * lane_bench - a ready queue with one connection at a time, to a peer that says what the test says.
 *
 * Owner     the test.
 */
#pragma once

#include "core/egress/lane.h"
#include "core/net/dns_resolver.h"
#include "tests/unit/core/queue/queue_bench.h"

struct lane_bench {
    struct queue_bench q;
    struct egress eg;
    struct resolver resolver; /* which nobody needs to ask: the hosts have addresses */
    struct message_load load;
    struct buf heard; /* what the peer was sent since the test looked last, in one piece */
    uint32_t sends;   /* in how many */
    bool drained;
};

/* `path` holds options of make_egress_path, `more` is any Lua; connection_limit is 1. Two hosts. */
void lane_bench_open(struct lane_bench *b, const char *path, const char *more);
void lane_bench_close(struct lane_bench *b);

/* The shutdown begins. */
void lane_bench_drain(struct lane_bench *b);

/* Messages into the queue, each in the spool and in memory. Every "<word>@b.example" of `to` is a
 * recipient; the body is "<first word>\r\n". */
void lane_bench_insert(struct lane_bench *b, const char *to);
/* All happens that needs no word from the peer and no time. */
void lane_bench_settle(struct lane_bench *b);
/* The peer of the connection that is open, or opens now: these bytes arrive, and all that follows
 * from them happens. */
void lane_bench_say(struct lane_bench *b, const char *bytes);
/* Banner and EHLO. */
void lane_bench_greet(struct lane_bench *b, const char *capabilities);
void lane_bench_hang_up(struct lane_bench *b);
/* What the peer got since it was asked last; fails unless it came in one send (or none). */
void lane_bench_expect(struct lane_bench *b, const char *bytes);
/* The same for its end, in however many sends. */
void lane_bench_expect_end(struct lane_bench *b, const char *bytes);
/* The lane, of which there is one. */
struct lane *lane_bench_lane(struct lane_bench *b);
struct readyq *lane_bench_readyq(struct lane_bench *b);
