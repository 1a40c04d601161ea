/*
 * event_private - one event under way, as event.c asks and event_end.c takes the answer.
 *
 * Owner     in mgr->events.running or .requeued until its end; the message is held by it.
 */
#pragma once

#include "core/queue/event.h"
#include "core/queue/load.h"

enum event_kind { EVENT_FOUND = 0, EVENT_PROMOTE, EVENT_REQUEUE };

/* The text as the spool has it. */
struct event_text {
    struct body *body;
    struct buf head;
    uint32_t body_from, size;
    bool kept; /* there is something to go back to */
    bool dirty;
};

struct queue_event {
    struct dlist link; /* in mgr->events.running or .requeued */
    struct queue_mgr *mgr;
    struct message *m;
    struct message_load load;
    struct vm_call *call;
    struct event_text text;
    uint64_t due_ms;          /* before the handler */
    struct buf name;          /* the queue it named before; empty: none */
    struct queue_requeue how; /* EVENT_REQUEUE */
    struct buf response;      /* of how */
    uint8_t kind;
};

/* What came of it. */
struct event_verdict {
    enum vm_status status;
    uint16_t code;
    struct slice text;
};

void event_complain(struct queue_mgr *mgr, const struct message *m, enum event_kind kind,
                    struct slice text);

/* The message goes on; what the event keeps is freed afterwards. */
void event_found_end(struct queue_event *e, const struct event_verdict *v);
void event_promote_end(struct queue_event *e, const struct event_verdict *v);
void event_requeue_end(struct queue_event *e, const struct event_verdict *v);
/* Its handler failed: it is asked about again later. */
void event_found_hold(struct queue_mgr *mgr, struct message *m);
