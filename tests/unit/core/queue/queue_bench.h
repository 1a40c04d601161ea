/*
 * queue_bench - the scheduled queues of one shard, with a policy, a promoter that keeps what it
 * gets, a log whose records the test can read, and a spool on the fake disk.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/diag.h"
#include "core/limit/ledger.h"
#include "core/log/log.h"
#include "core/queue/records.h"
#include "core/queue/schedq.h"
#include "policy/vm/vm.h"
#include "tests/support/shard_bench.h"

#define PROMOTED_MAX 256u

struct queue_bench {
    struct shard_bench shards;
    struct policy *policy;
    struct vm *vm;
    struct config_resolver configs;
    struct ledger ledger;
    struct spool_store *store;
    struct spool *spool;
    struct log *log;
    struct log_sink sink;
    struct queue_mgr mgr;
    struct message_ids ids;
    struct message *promoted[PROMOTED_MAX]; /* oldest first; the promoter's */
    uint32_t promoted_count;
    uint32_t forgotten_count;
    struct buf records; /* "TYPE CODE CLASS.SUBJECT.DETAIL CONTENT [SITE]\n", the newest last */
    struct buf text;    /* scratch of the accessors */
    struct diag diag;
    struct buf said;    /* lines of diag, without their time */
};

/* `policy` is Lua. */
void queue_bench_open(struct queue_bench *b, const char *policy);
void queue_bench_close(struct queue_bench *b); /* frees what the promoter still has */
void queue_bench_advance_ms(struct queue_bench *b, uint64_t ms);

/* A message for a recipient, its id made now. */
struct message *queue_bench_message(struct queue_bench *b, const char *recipient);
/* Makes one, inserts it into that queue and expects it to be taken at once. */
struct message *queue_bench_insert(struct queue_bench *b, const char *queue);
/* Writes the message to the spool and drops its content, as after a restart. */
void queue_bench_rest(struct queue_bench *b, struct message *m);
/* The oldest promoted message goes to the test; NULL when there is none. */
struct message *queue_bench_take(struct queue_bench *b);
uint64_t queue_bench_wall_ms(const struct queue_bench *b);
/* The records so far, which are then forgotten. */
const char *queue_bench_records(struct queue_bench *b);
