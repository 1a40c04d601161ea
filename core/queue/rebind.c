#include "core/queue/rebind.h"

#include "core/base/mem.h"
#include "core/queue/delay.h"
#include "core/queue/schedq.h"
#include "core/queue/save.h"

static void rebind_end(struct queue_rebind *r, bool ok, struct slice why)
{
    struct buf name = r->name;

    buf_free(&r->blob);
    r->name = (struct buf){0}; /* `why` may point anywhere but here; done() may free r */
    r->done(r, ok, why);
    buf_free(&name);
}

static void rebind_record(struct queue_rebind *r)
{
    struct record_session session = *r->session;

    session.queue = buf_slice(&r->name);
    queue_record(r->mgr, r->m, r->outcome, &session);
}

/* The new queue has it by name; what changed is on its way to the disk. A handler may have edited
 * the head alone, which is part of the blob as envelope and metadata are. */
static void rebind_adopted(struct queue_rebind *r)
{
    struct message *m = r->m;

    rebind_record(r);
    insert_context_clear(m);
    insert_context_add(m, INSERT_RECEIVED);
    m->due_ms = m->content->schedule != NULL ? m->due_ms : 0;
    if ((m->flags & MESSAGE_SPOOLED) != 0) {
        m->content->envelope_dirty = true;
        queue_save_state(r->mgr, m);
        m->content->data_dirty = false;
    }
}

/* schedq_resolved() places the message after a success and has taken it out after a failure. */
static void rebind_asked(struct queue_insert *ins, bool ok, struct slice why)
{
    struct queue_rebind *r = CONTAINER_OF(ins, struct queue_rebind, insert);

    r->asking = false;
    r->from->message_count--; /* it was kept for us */
    if (ok) {
        rebind_adopted(r);
    } else {
        schedq_join(r->from, r->m);
    }
    rebind_end(r, ok, why);
}

static void rebind_ask(struct queue_rebind *r)
{
    struct queue_mgr *mgr = r->mgr;
    struct message *m = r->m;
    struct schedq *q = schedq_get(mgr, buf_slice(&r->name));

    if (q->state == SCHEDQ_FAILED) {
        rebind_end(r, false, slice_str(q->why));
        return;
    }
    schedq_leave(m);
    schedq_join(q, m);
    mgr->counters.inserted_count++;
    if (q->state == SCHEDQ_ASKING) {
        r->from->message_count++; /* so that it is still there if the answer is no */
        r->asking = true;
        r->insert.done = rebind_asked;
        r->insert.m = m;
        dlist_push(&q->inserts, &r->insert.link);
        return;
    }
    queue_work_begin(mgr); /* as in schedq_resolved() */
    rebind_adopted(r);
    rebind_end(r, true, SLICE(""));
    queue_place(mgr, m);
    queue_work_end(mgr);
}

static void rebind_to_null(struct queue_rebind *r)
{
    rebind_record(r);
    queue_discard(r->mgr, r->m);
    rebind_end(r, true, SLICE(""));
}

static void rebind_written(struct spool_put *put, enum spool_err err)
{
    struct queue_rebind *r = CONTAINER_OF(put, struct queue_rebind, put);
    struct message *m = r->m;

    r->writing = false;
    if (err != SPOOL_OK) {
        rebind_end(r, false, slice_str(spool_err_text(err)));
        return;
    }
    if ((m->flags & MESSAGE_SPOOLED) != 0) {
        (void)spool_settle(r->mgr->spool, m->ref, SLICE(""));
    }
    queue_undefer(r->mgr, m);
    m->ref = r->record.ref;
    m->flags |= MESSAGE_SPOOLED;
    m->content->envelope_dirty = false;
    m->content->data_dirty = false;
    if (r->mgr->cut) { /* no time is left to ask the policy for its queue */
        rebind_end(r, false, SLICE("shutting down"));
        return;
    }
    rebind_ask(r);
}

/* A change of the record's state cannot carry a body, and what the policy wants saved has no
 * record yet. */
static bool rebind_writes(const struct queue_rebind *r)
{
    return (r->m->flags & MESSAGE_SPOOLED) != 0 ? r->body_replaced
                                                : (r->m->flags & MESSAGE_SAVE) != 0;
}

void queue_rebind(struct queue_mgr *mgr, struct message *m, struct queue_rebind *r)
{
    struct buf why = {0};

    r->mgr = mgr;
    r->m = m;
    r->from = m->owner;
    if (!message_queue_name(m, &r->name, &why)) {
        rebind_end(r, false, buf_slice(&why));
    } else if (slice_eq(buf_slice(&r->name), schedq_name(r->from))) {
        rebind_end(r, false, SLICE("the message is in that queue already"));
    } else if (slice_eq(buf_slice(&r->name), QUEUE_NULL)) {
        rebind_to_null(r);
    } else if (rebind_writes(r)) {
        r->writing = true;
        r->put.done = rebind_written;
        save_stage(m, buf_slice(&r->name), &r->blob, &r->record, &r->put);
        spool_put(mgr->spool, &r->put);
    } else {
        rebind_ask(r);
    }
    buf_free(&why);
}

bool queue_rebind_abandon(struct queue_rebind *r)
{
    if (r->writing) {
        return false;
    }
    MUST(r->asking);
    dlist_remove(&r->insert.link);
    schedq_leave(r->m);
    schedq_join(r->from, r->m);
    r->from->message_count--;
    buf_free(&r->blob);
    buf_free(&r->name);
    return true;
}
