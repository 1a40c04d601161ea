/*
 * delay - placing a message by its due time, and what happens when that comes.
 *
 * Private to core/queue.
 */
#pragma once

#include "core/queue/schedq.h"

/* After throttle_insert_ready_queue, while nothing drains. */
void queue_promote_now(struct queue_mgr *mgr, struct message *m);
/* After requeue_message: delay, expiry, the wait. */
void queue_requeue_now(struct queue_mgr *mgr, struct message *m, const struct queue_requeue *how);
/* The message waits until it is due, or until its age ends it. */
void queue_wait(struct queue_mgr *mgr, struct message *m);
uint64_t queue_wall_ms(const struct queue_mgr *mgr);
