/*
 * uring_bench - one io_uring ring with very few receive buffers, and ops that write down what
 * came of them.
 */
#pragma once

#include "core/base/buf.h"
#include "core/shard/ring.h"

#define URING_BENCH_BUFFERS 2u
#define PROBE_HELD_MAX 8u

struct uring_bench {
    struct ring ring;
    uint32_t done_count; /* completions of all probes, multishot ones included */
};

/* An op and its story. */
struct probe {
    struct ring_op op;
    struct uring_bench *bench;
    struct buf got;       /* RING_RECV: the bytes */
    bool holds;           /* RING_RECV: keeps its buffers */
    uint32_t held[PROBE_HELD_MAX];
    uint32_t held_count;
    int32_t res;          /* of the last completion */
    uint32_t done_count;
    uint32_t order;       /* bench->done_count when it completed first */
};

/* -1 (and nothing made) where the host has no io_uring: the test is then skipped. */
int uring_bench_open(struct uring_bench *b, uint32_t sq_entries, uint32_t cq_entries);
void uring_bench_close(struct uring_bench *b);

struct probe probe_new(struct uring_bench *b);
void probe_free(struct probe *p);
void probe_give_one(struct probe *p); /* the oldest buffer that it holds */

/* Turns until *count reached `goal`; false when that takes longer than a test may. */
bool uring_bench_until(struct uring_bench *b, const uint32_t *count, uint32_t goal);
bool uring_bench_until_bytes(struct uring_bench *b, const struct probe *p, size_t len);
/* Turns until the kernel has seen everything submitted so far. */
void uring_bench_round_trip(struct uring_bench *b);

/* A connected pair; the first is for the ring. */
void uring_bench_pair(int fds[2]);
void uring_bench_put(int fd, const void *bytes, size_t len);
uint32_t uring_bench_open_files(void);
