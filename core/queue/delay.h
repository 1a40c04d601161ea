/*
 * delay - placing a message by its due time, and what happens when that comes.
 *
 * Private to core/queue.
 */
#pragma once

#include "core/queue/schedq.h"

/* Persists attempts, due time and, where they changed, envelope and metadata. The message may be
 * freed right after. */
void queue_save_state(struct queue_mgr *mgr, struct message *m);
