/*
 * shard_bench - a group of shards on fake rings, all turned by hand on one thread.
 *
 * Owner     the test.
 */
#pragma once

#include "core/shard/shard.h"
#include "tests/support/fake_ring.h"

#define SHARD_BENCH_MAX 8u

struct shard_bench {
    struct fake_disk *disk;
    struct shard_group group;
    struct shard *list[SHARD_BENCH_MAX];
};

void shard_bench_open(struct shard_bench *b, uint32_t count, uint64_t seed);
void shard_bench_close(struct shard_bench *b);
/* One turn of every shard, in order. */
void shard_bench_turn(struct shard_bench *b);
/* Turns until all mail has been received and no post waits. */
void shard_bench_settle(struct shard_bench *b);
void shard_bench_advance_ms(struct shard_bench *b, uint64_t ms);
/* A name that belongs to shard `owner`; `out` keeps its bytes. */
struct slice shard_bench_name(const struct shard_bench *b, const char *stem, uint32_t owner,
                              struct buf *out);
