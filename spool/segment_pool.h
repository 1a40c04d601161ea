/*
 * segment_pool - sees to it that a log always has a segment to write to.
 *
 * Ahead of need one segment is READY: allocated, its blocks written once, its header durable. A
 * few more are FREE: the reserve, which new mail may not touch, so that settles, changes and the
 * cleaner still get through on a full disk.
 */
#pragma once

#include "spool/log.h"

/* Makes the ready segment the open one; NULL when there is none yet. */
struct segment *segment_pool_next(struct spool_log *log);
/* The open segment takes no more; its index is written once its commits have completed. */
void segment_pool_seal(struct spool_log *log);
/* A commit to it failed: never written again. */
void segment_pool_failed(struct segment *seg);
/* A commit to it completed, one way or the other. */
void segment_pool_written(struct segment *seg);
/* Nothing in it counts any more: free it or drop it. */
void segment_pool_recycle(struct segment *seg);
/* Starts making, filling and opening what will be needed. */
void segment_pool_tick(struct spool_log *log);
/* No file can be made, and what is left is for settles, changes and the cleaner. */
PURE bool segment_pool_short(const struct spool_log *log);
/* The retry timer: what was refused is tried again. */
void segment_pool_retry(struct spool_log *log);
/* Nothing of the pool's own is in flight. */
PURE bool segment_pool_idle(const struct spool_log *log);

/* What a worker was given; for segment_free(). */
void segment_pool_forget_work(struct segment *seg);

/* seal.c: the index. */
void segment_seal_start(struct segment *seg); /* in SEALING, with no write in flight */
/* Writes indexes whose time has come. */
void segment_seal_tick(struct spool_log *log);
/* Those that wait for commits which no disk takes go without. */
void segment_seal_give_up(struct spool_log *log);
