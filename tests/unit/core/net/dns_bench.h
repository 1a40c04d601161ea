/*
 * dns_bench - shards with a clock turned by hand, and name servers that answer when told to.
 *
 * Nothing is answered unless the test says so, and nothing reaches another shard before a turn.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/buf.h"
#include "core/net/dns_resolver.h"

#define BENCH_SHARDS_MAX 4u

/* A question that a backend was asked. */
struct bench_query {
    struct dlist link;
    struct dns_query *query;
    uint16_t type;
    struct buf name;
};

struct bench_server {
    struct dns_backend backend;
    struct dlist open; /* struct bench_query, in the order asked */
    unsigned asked_count, cancelled_count;
};

struct dns_bench {
    struct shard_group group;
    struct shard *shard_list[BENCH_SHARDS_MAX];
    struct shard shards[BENCH_SHARDS_MAX];
    struct resolver resolvers[BENCH_SHARDS_MAX];
    struct bench_server servers[BENCH_SHARDS_MAX];
    struct bench_server other; /* for a second view on shard 0 */
    uint64_t now_ns, random;
};

struct dns_bench *bench_open(uint32_t shard_count, const struct dns_params *params);
void bench_close(struct dns_bench *b);
/* Moves the clock, then turns all shards until mail has settled. */
void bench_turn(struct dns_bench *b, uint64_t ms);
void bench_server_init(struct bench_server *s);
/* All queries asked of all shards' default servers so far. */
unsigned bench_asked(const struct dns_bench *b);
/* A name of which shard `owner` is the owner: "<stem>N.example." into `out`. */
struct slice bench_name_of(struct dns_bench *b, struct buf *out, const char *stem,
                           uint32_t owner);

/* Answers the oldest open question for name and type, on whichever shard; fails the test when
 * there is none. */
void bench_answer(struct dns_bench *b, const char *name, uint16_t type, const struct buf *message);
void bench_fail(struct dns_bench *b, const char *name, uint16_t type, enum dns_status status);
void bench_server_answer(struct bench_server *s, const char *name, uint16_t type,
                         enum dns_status status, const struct buf *message);

/* A raw answer. */
#define WIRE_AD 0x0020u
void wire_begin(struct buf *m, const char *name, uint16_t type, unsigned flags_and_rcode);
void wire_mx(struct buf *m, const char *owner, uint32_t ttl_s, uint16_t pref, const char *host);
void wire_a(struct buf *m, const char *owner, uint32_t ttl_s, const char *ip); /* or AAAA */
void wire_text(struct buf *m, const char *owner, uint32_t ttl_s, const char *text);
void wire_name(struct buf *m, uint16_t type, const char *owner, uint32_t ttl_s,
               const char *target);

/* A waiter that remembers. */
struct bench_wait {
    struct dns_wait wait;
    struct dns_set *set;
    unsigned count;
};
void bench_ask(struct dns_bench *b, uint32_t shard, const char *name, uint16_t type,
               struct bench_wait *w);
void bench_wait_clear(struct bench_wait *w);
