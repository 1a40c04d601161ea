/*
 * log_bench - one shard with a log on a disk that the test holds in its hands.
 *
 * Files live in memory; clocks stand still until the test moves them; operations complete in
 * order when the bench runs, and fail as the test says.
 */
#pragma once

#include <stdbool.h>

#include "core/base/diag.h"
#include "core/log/log.h"
#include "core/shard/shard.h"

#define BENCH_FILES_MAX 64u
#define BENCH_OPS_MAX 32u

struct bench_file {
    char path[200];
    struct buf bytes;
    size_t synced_size;
    unsigned mode;
    bool is_dir, exists, is_open;
};

struct log_bench {
    struct shard shard; /* first: the backend finds the bench by it */
    struct shard *shards[1];
    struct shard_group group;
    struct ring_backend backend;
    struct bench_file files[BENCH_FILES_MAX];
    uint32_t file_count;
    struct ring_op *ops[BENCH_OPS_MAX];
    uint32_t op_count;
    uint64_t now_ns, wall_ns;
    bool hold;               /* nothing completes */
    int fail_open, fail_write, fail_sync; /* errno; 0: no failure */
    unsigned fail_sync_count;             /* how often; 0: until fail_sync is cleared */
    size_t write_max;        /* a write takes no more than this; 0: all */

    struct diag diag;
    struct buf said;
    struct log *log;
    struct log_params params;
    uint64_t durable;
    bool drained;
};

/* A bench whose log has no logger yet; params.log_dir is "/l", which does not exist. */
int log_bench_setup(void **state);
int log_bench_teardown(void **state); /* drains when that was not done */

/* Runs until nothing moves any more. */
void log_bench_run(struct log_bench *b);
void log_bench_advance(struct log_bench *b, uint64_t ms);
void log_bench_drain(struct log_bench *b);

/* A record of that type whose sender is `text`. */
void log_bench_submit(struct log_bench *b, enum log_type type, const char *text, uint64_t sequence);

/* Files of the directory, in order of their names. */
uint32_t log_bench_file_count(const struct log_bench *b);
struct bench_file *log_bench_file(struct log_bench *b, uint32_t index);
/* What a reader gets from the file; *complete: its frame has an end. Appended. */
void log_bench_read(const struct bench_file *f, struct buf *out, bool *complete);
/* The senders of all records of a file, "a b c". The same buffer each time. */
const char *log_bench_senders(struct log_bench *b, uint32_t index);
