/*
 * fake_ring - a ring whose operations complete only when the test says so.
 *
 * Everything submitted waits in the order of submission. The test picks one (by kind, by op, by a
 * seed) and either states its result or lets the fake disk do the work and answer. Handlers run
 * in the next turn, as on the real ring. Work for off-loop threads runs when it is finished.
 *
 * Sockets exist as far as ops on their descriptors: what is sent is kept for the test to look at,
 * what is received the test brings.
 *
 * Owner     the test. struct shard runs on it unchanged: fake_ring_open(&sh.ring, ...), then
 *           shard_init() and shard_turn(&sh, 0).
 */
#pragma once

#include "core/base/buf.h"
#include "core/shard/ring.h"
#include "core/shard/shard.h"
#include "tests/support/fake_disk.h"

/* `disk` gives files and clock; it is the test's and may serve several rings. */
void fake_ring_open(struct ring *ring, struct fake_disk *disk, uint64_t seed);

/* ---- what waits ---- */

uint32_t fake_ring_pending(const struct ring *ring);
uint32_t fake_ring_count(const struct ring *ring, enum ring_kind kind);
/* The index-th waiting op of a kind, in order of submission; fails the test's process if there is
 * no such op. */
struct ring_op *fake_ring_op(const struct ring *ring, enum ring_kind kind, uint32_t index);

/* ---- completing ---- */

/* The oldest of the kind, with this result; nothing is done to the disk. */
void fake_ring_complete(struct ring *ring, enum ring_kind kind, int32_t res);
void fake_ring_complete_op(struct ring *ring, struct ring_op *op, int32_t res, uint32_t flags);
/* Does what was asked for (files, work, close, cancel, send) and completes with its result.
 * ACCEPT, RECV and POLL have nothing to do by themselves and are left waiting. */
void fake_ring_finish(struct ring *ring, enum ring_kind kind);
bool fake_ring_finish_op(struct ring *ring, struct ring_op *op);
/* One op that can be finished, by the seed; false when there is none. */
bool fake_ring_finish_any(struct ring *ring, uint64_t *seed);

/* How often another shard woke this one. */
uint32_t fake_ring_wakes(const struct ring *ring);

/* ---- turning ---- */

/* One turn of the shard, without sleeping. */
void fake_ring_turn(struct shard *sh);
/* Turns and finishes everything, in order, until nothing is left to do now. Timers do not fire
 * unless the clock is moved. */
void fake_ring_run(struct shard *sh);

/* ---- sockets ---- */

/* Bytes for the RECV that waits on `fd`, cut at RING_BUFFER_SIZE; the op stays armed. */
void fake_ring_receive(struct ring *ring, int fd, struct slice bytes);
/* The same, in one buffer, with the receive ended by it. */
void fake_ring_receive_last(struct ring *ring, int fd, struct slice bytes);
/* All bytes sent on `fd` so far and not taken yet. */
struct buf *fake_ring_sent(struct ring *ring, int fd);
/* Receive buffers that have not been given back. */
uint32_t fake_ring_buffers_out(const struct ring *ring);
void fake_ring_set_names(struct ring *ring, struct ip_port local, struct ip_port peer);

/* ---- ending ---- */

/* The process dies: writes that wait are torn by the seed, and no op is in flight any more. The
 * objects that own the ops may then be freed. Crash the disk after the last ring of it. */
void fake_ring_crash(struct ring *ring, uint64_t *seed);
