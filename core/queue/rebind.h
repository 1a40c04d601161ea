/*
 * rebind - a message changes its queue: what a policy made of it after it was stored.
 *
 * The message is held by whoever asks (injector, later the operator's actions) and still belongs
 * to its old queue. Its envelope, metadata and head are written with the new queue's name; when
 * its body was replaced, the message is stored anew before it goes on. A crash in between runs
 * the policy again, or delivers twice in the few milliseconds that the old record outlives the
 * new one; it loses nothing.
 *
 * Owner     the struct is a field of the asker's, untouched from queue_rebind() to done().
 */
#pragma once

#include "core/queue/queue.h"
#include "core/queue/records.h"

struct queue_rebind {
    /* ok: the queue has the message. Otherwise it is still in its old queue, held by the asker;
     * what its content marks as dirty is not on disk. Runs from inside queue_rebind() or later. */
    void (*done)(struct queue_rebind *r, bool ok, struct slice why);
    const struct record_outcome *outcome; /* recorded under the new queue's name on success */
    const struct record_session *session;
    bool body_replaced;
    /* the rebind's own */
    struct queue_mgr *mgr;
    struct message *m;
    struct schedq *from;
    struct queue_insert insert;
    struct spool_put put;
    struct spool_put_record record;
    struct buf blob, name;
    bool writing, asking;
};

/* The new queue is the one that the metadata name now. m's content is loaded. */
void queue_rebind(struct queue_mgr *mgr, struct message *m, struct queue_rebind *r);
/* The asker cannot wait any more: false when a write is under way and done() comes with its end;
 * true when the message is back in its old queue and done() does not come. */
NODISCARD bool queue_rebind_abandon(struct queue_rebind *r);
