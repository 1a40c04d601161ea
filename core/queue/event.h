/*
 * event - what the policy has to say about a message of a queue: when it was found in the spool
 * (spool_message_enumerated), before it is promoted (throttle_insert_ready_queue), and when it
 * comes back (requeue_message).
 *
 * A handler sees the whole message: content that is not in memory is read first. At most
 * QUEUE_EVENTS_MAX are under way at a time; what has to wait for its turn waits without content
 * where the spool has it, so that a million messages due at once need no more memory than before.
 * What a handler changed of envelope, metadata, schedule and header is written to the spool.
 *
 * Private to core/queue.
 */
#pragma once

#include "core/queue/schedq.h"
#include "policy/vm/vm.h"

#define QUEUE_EVENTS_MAX 128u

/* Whether there is a handler to ask. */
bool queue_event_heard(const struct queue_mgr *mgr, enum vm_hook hook);

/* Each takes the message over; it goes on by queue_place(), queue_promote_now() and
 * queue_requeue_now(), inline when its content is loaded and the handler does not suspend. */
void queue_event_found(struct queue_mgr *mgr, struct message *m);
void queue_event_promote(struct queue_mgr *mgr, struct message *m);
void queue_event_requeue(struct queue_mgr *mgr, struct message *m,
                         const struct queue_requeue *how);

void queue_events_init(struct queue_mgr *mgr);
/* Lets go of messages that wait to be asked about; those being requeued still are. */
void queue_events_drain(struct queue_mgr *mgr);
/* Handlers under way are abandoned, and no more are asked. */
void queue_events_cut(struct queue_mgr *mgr);
void queue_events_free(struct queue_mgr *mgr);
