/*
 * expire - what is older than its queue allows: the Expiration record, and the end.
 *
 * The end of a message's own schedule counts instead of its age; content that is not in memory is
 * read first, to see whether there is one.
 *
 * Private to core/queue.
 */
#pragma once

#include "core/queue/schedq.h"

/* Found in the spool, or moved from another queue: it may be older than this queue allows. */
bool queue_outlived(const struct queue_mgr *mgr, const struct message *m, bool moved);
/* Its age has reached max_age: expires it, or lets it go on where its schedule says so. */
void queue_outlive(struct queue_mgr *mgr, struct message *m);
/* After an attempt: whether the next one would be too late. True: that was its end. */
NODISCARD bool queue_attempt_expires(struct queue_mgr *mgr, struct message *m, uint64_t delay_ms,
                                     uint64_t due_ms);
