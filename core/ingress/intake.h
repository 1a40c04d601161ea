/*
 * intake - one transaction after its last byte: policy, batches, spool, records, queues.
 *
 * Private to core/ingress. The phases of spec 10 chapter 9.2 in their order; each either goes on
 * at once or waits for a handler, the spool or a queue.
 *
 * Memory    all that it makes lies in its arena, but messages, reports and calls.
 * Owner     its session; when that loses its peer the intake goes on alone and then ends.
 */
#pragma once

#include "core/base/arena.h"
#include "core/ingress/session.h"
#include "core/queue/records.h"

struct intake_item {
    struct queue_await await;   /* while its queue's config is being asked for */
    struct queue_insert insert; /* likewise, where it was forgotten in between */
    struct intake *intake;
    struct message *m;          /* NULL once its queue has it or it was dropped */
    struct slice queue_name;
    uint8_t id[16];
    struct dsn *dsn;            /* intake_report.c: a delivery status report, to be recorded */
    struct buf feedback;        /* the same of a feedback report, as JSON */
    bool relay;                 /* goes into a queue */
    bool black_hole;            /* queue "null": recorded, not kept */
    bool kept;                  /* relayed and no black hole: a queue is to have it */
    bool failed;                /* its queue refused it */
};

/* One body and the items that refer to it: one put. */
struct intake_put {
    struct spool_put put;
    struct intake *intake;
    bool durable;
};

struct intake {
    struct arena arena;         /* the intake itself is the first thing in it */
    struct session *session;
    struct ingress *ingress;
    struct message *base;       /* all recipients; until it is split */
    struct intake_item *items;
    uint32_t item_count, item_max;
    uint32_t item_next;         /* the one whose handler runs, then: whose relaying is judged */
    struct spool_put_record *records; /* of all stored items, in item order */
    uint32_t record_count;
    struct intake_put *puts;
    uint32_t put_count;
    uint32_t waiting;           /* puts or inserts not answered yet */
    bool deferred;              /* kept in memory alone for now: deferred_spool */
    enum spool_err spool_error;
    struct spool_void withdraw;
    struct spool_ref *refs;     /* of withdraw */
    struct vm_call *call;
    struct slice sender;        /* as MAIL FROM said: what the batches go out from */
    struct slice date;          /* of the Received headers */
    uint64_t deadline_ns;
    struct timer patience;      /* deadline_ns, while queues are waited for */
    uint32_t late_count;        /* of the failed: nobody answered in time */
    uint32_t relayed_count, black_hole_count, report_count, failed_count;
};

void intake_free(struct intake **ip);
/* intake_judge.c: names and judges every message; then intake_resolve(). */
void intake_judge(struct intake *it);
/* intake_resolve.c: waits for the configs of all queues; then intake_write(). */
void intake_resolve(struct intake *it);
/* intake_store.c: everything is judged; store, record, queue, answer. */
void intake_write(struct intake *it);
/* Calls fn at the deadline, unless patience is cancelled before. */
void intake_wait(struct intake *it, timer_fn *fn);
/* intake_report.c: whether the message is a report that its recipient's domain wants recorded, and
 * what that means for its relaying. */
void intake_classify(struct intake *it, struct intake_item *item, struct slice first_domain);
/* The OOB records of a delivery status report. */
void intake_record_report(struct intake *it, const struct intake_item *item);
void intake_report_free(struct intake_item *item);
/* Ends the transaction with this reply; nothing of it is kept. */
void intake_refuse(struct intake *it, uint16_t code, struct slice text);
/* Ends it with the answer given. */
void intake_answer(struct intake *it, const struct smtp_answer *answer);
/* Ends it and the session: something failed that is nobody's reply. */
void intake_fail(struct intake *it, struct slice detail);
PURE bool intake_too_late(const struct intake *it);
