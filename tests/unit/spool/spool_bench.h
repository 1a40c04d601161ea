/*
 * spool_bench - shards with spools on a fake disk, and everything they said.
 *
 * The disk outlives the shards: close or crash them, then open again, with another number of
 * shards if the test likes.
 */
#pragma once

#include "core/base/buf.h"
#include "spool/spool.h"
#include "tests/support/fake_ring.h"

#define BENCH_SHARDS_MAX 4u

struct bench_found {
    struct spool_ref ref;
    uint8_t id[16];
    char queue[64];
    uint64_t due_ms, created_ms;
    uint32_t size;
    uint16_t attempts;
    uint32_t shard;
};

struct bench_unlogged {
    struct spool_ref ref;
    uint64_t sequence;
    char outcome[64];
    uint32_t shard;
};

struct bench_damage {
    uint8_t id[16];
    char what[64];
};

struct spool_bench;

struct bench_shard {
    struct spool_bench *bench;
    uint32_t index;
};

struct spool_bench {
    struct fake_disk *disk;
    struct spool_params params;
    struct slice paths[4];
    uint64_t seed;

    struct shard shards[BENCH_SHARDS_MAX];
    struct shard *shard_table[BENCH_SHARDS_MAX];
    struct shard_group group;
    struct bench_shard contexts[BENCH_SHARDS_MAX];
    struct spool_store *store;
    struct spool *spools[BENCH_SHARDS_MAX];

    struct bench_found *found;
    uint32_t found_count;
    struct bench_unlogged *unlogged;
    uint32_t unlogged_count;
    struct bench_damage *damage;
    uint32_t damage_count;
    uint32_t recovered_shards;
    uint64_t recovered_records;
    uint32_t health_count;
    char health[160]; /* the last text; empty: all is well */
};

/* A disk and parameters for small segments; nothing is open yet. */
void bench_init(struct spool_bench *b);
/* Opens store and spools for this many shards; recovery has not run. */
void bench_open(struct spool_bench *b, uint32_t shard_count);
/* Runs every shard until nothing is left to do; moves the clock so that lazy timers fire. */
void bench_run(struct spool_bench *b);
/* The same without touching the clock. */
void bench_run_now(struct spool_bench *b);
void bench_advance_ms(struct spool_bench *b, uint64_t ms);
/* bench_open(), bench_run(), and everything must have been recovered. */
void bench_start(struct spool_bench *b, uint32_t shard_count);
/* An orderly stop: drain, close. */
void bench_stop(struct spool_bench *b);
void bench_crash(struct spool_bench *b, uint64_t *seed);
void bench_free(struct spool_bench *b);
/* Forgets what the events said. */
void bench_forget(struct spool_bench *b);

/* One message of one record, and what became of it. */
struct bench_mail {
    struct spool_put put;
    struct spool_put_record record;
    struct spool_void v;
    struct spool_change change;
    struct spool_read read;
    uint8_t id[16];
    bool answered, voided, changed, has_read;
    enum spool_err err, void_err, change_err, read_err;
    char *body;
    char queue[32];
};

/* Fills body bytes that can be told from the name. */
struct bench_mail *bench_mail_new(const char *name, size_t body_len);
void bench_mail_free(struct bench_mail **mp);
void bench_put(struct spool_bench *b, uint32_t shard, struct bench_mail *m);
/* For a mail's change; notes what came of it. */
void bench_change_done(struct spool_change *c, enum spool_err err);
struct bench_mail *bench_accept(struct spool_bench *b, const char *name, size_t body_len);
/* Reads both parts of a ref on a shard, runs, and answers the error. */
enum spool_err bench_read(struct spool_bench *b, uint32_t shard, struct spool_ref ref,
                          struct spool_read *out);
/* The found record with this name as its id; NULL. */
const struct bench_found *bench_find(const struct spool_bench *b, const char *name);
uint32_t bench_writes(const struct spool_bench *b);
