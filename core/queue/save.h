/*
 * save - writes what is in memory alone (deferred_spool) once it has to wait or memory is left.
 *
 * A write that fails is tried again, and said, until it succeeds, the message is due (then it is
 * promoted as it is) or the drain is cut. What is being written belongs to the write; the drain
 * waits for it.
 *
 * Private to core/queue.
 */
#pragma once

#include "core/queue/schedq.h"

#define QUEUE_SAVE_RETRY_MS 1000u

/* The message's content is loaded and not in the spool. queue_saved() goes on with it. */
void queue_save(struct queue_mgr *mgr, struct message *m);
/* The same for one that the policy wants saved on its way out: queue_promote_now() goes on. */
void queue_save_promoting(struct queue_mgr *mgr, struct message *m);
/* Fills a put with a message that is not in the spool, for this queue; `blob` keeps the bytes and
 * `put->done` is the caller's. */
void save_stage(const struct message *m, struct slice queue, struct buf *blob,
                struct spool_put_record *record, struct spool_put *put);
/* The message is written or will never be: it no longer counts as unsaved. */
void queue_undefer(struct queue_mgr *mgr, struct message *m);
/* The drain has begun: writes that wait are tried at once. */
void queue_save_drain(struct queue_mgr *mgr);
/* The drain took too long: writes that failed are given up, each said by its id. */
void queue_save_cut(struct queue_mgr *mgr);
