/* What the answers of the three events mean. */
#include "core/base/time_text.h"
#include "core/message/schedule.h"
#include "core/queue/delay.h"
#include "core/queue/event_private.h"
#include "core/queue/records.h"

/* ---- another queue ---- */

/* The queue that the message names now, when that is another one than before. An error leaves it
 * where it is. */
static bool event_moves(struct queue_event *e, struct buf *name)
{
    struct buf why = {0};
    bool ok = e->m->content != NULL && e->name.len > 0;

    if (ok && !message_queue_name(e->m, name, &why)) {
        event_complain(e->mgr, e->m, (enum event_kind)e->kind, buf_slice(&why));
        ok = false;
    }
    buf_free(&why);
    return ok && !slice_eq(buf_slice(name), buf_slice(&e->name));
}

/* Answers false when that was its end. */
static bool message_move(struct queue_mgr *mgr, struct message *m, struct slice name)
{
    if (slice_eq(name, SLICE("null"))) {
        queue_discard(mgr, m);
        return false;
    }
    schedq_leave(m);
    schedq_join(schedq_get(mgr, name), m);
    return true;
}

/* ---- spool_message_enumerated ---- */

static void found_nameless(struct queue_mgr *mgr, struct message *m, struct slice why)
{
    struct record_outcome outcome = {.type = LOG_EXPIRATION,
                                     .code = 551,
                                     .enhanced_class = 5,
                                     .enhanced_subject = 1,
                                     .enhanced_detail = 3};
    struct record_session session = {.site = SLICE_INIT("localhost")};
    struct buf text = {0};

    BUF_LIT(&text, "Failed to compute queue name: ");
    buf_put(&text, why);
    outcome.content = buf_slice(&text);
    queue_finish(mgr, m, &outcome, 1, &session);
    buf_free(&text);
}

/* Into the queue it names; false when it is gone. */
static bool found_settle(struct queue_event *e)
{
    struct queue_mgr *mgr = e->mgr;
    struct message *m = e->m;
    struct buf name = {0}, why = {0};
    bool moved = false, stays = true;

    if (!message_queue_name(m, &name, &why)) {
        found_nameless(mgr, m, buf_slice(&why));
        stays = false;
    } else if (!slice_eq(buf_slice(&name), schedq_name(m->owner))) {
        stays = moved = message_move(mgr, m, buf_slice(&name));
    }
    if (stays && (moved || m->content->envelope_dirty || m->due_ms != e->due_ms)) {
        queue_save_state(mgr, m);
    }
    buf_free(&name);
    buf_free(&why);
    return stays;
}

void event_found_end(struct queue_event *e, const struct event_verdict *v)
{
    struct queue_mgr *mgr = e->mgr;
    struct message *m = e->m;

    if (v->status == VM_REJECTED || v->status == VM_ERROR) {
        event_complain(mgr, m, EVENT_FOUND, v->text);
        event_found_hold(mgr, m);
    } else if (m->content == NULL || found_settle(e)) {
        queue_place(mgr, m);
    }
}

/* ---- throttle_insert_ready_queue ---- */

/* As any other failure to put it into a ready queue. */
static void promote_failed(struct queue_mgr *mgr, struct message *m, struct slice why)
{
    struct queue_requeue how = {.reason = INSERT_FAILED_TO_INSERT_INTO_READY_QUEUE,
                                .attempted = true};
    struct buf line = {0};

    event_complain(mgr, m, EVENT_PROMOTE, why);
    buf_printf(&line, "451 4.4.4 KumoMTA internal: %.*s error while inserting into ready queue: ",
               SLICE_ARG(schedq_name(m->owner)));
    buf_put(&line, why);
    how.response = buf_slice(&line);
    queue_retry(mgr, m, &how);
    buf_free(&line);
}

static void promote_throttled(struct queue_mgr *mgr, struct message *m)
{
    struct queue_requeue how = {.reason = INSERT_THROTTLED_BY_THROTTLE_INSERT_READY_QUEUE};
    struct buf line = {0};

    buf_printf(&line,
               "451 4.4.4 KumoMTA internal: %.*s throttle_insert_ready_queue event throttled "
               "message rate, due=",
               SLICE_ARG(schedq_name(m->owner)));
    time_put_rfc3339(&line, m->due_ms * 1000000u);
    how.response = buf_slice(&line);
    queue_retry(mgr, m, &how);
    buf_free(&line);
}

void event_promote_end(struct queue_event *e, const struct event_verdict *v)
{
    struct queue_mgr *mgr = e->mgr;
    struct message *m = e->m;

    if (mgr->draining) {
        queue_promote(mgr, m); /* lets it rest in the spool */
    } else if (v->status == VM_REJECTED || v->status == VM_ERROR) {
        promote_failed(mgr, m, v->text);
    } else if (m->due_ms > ring_wall_ns(&mgr->shard->ring) / 1000000u) {
        promote_throttled(mgr, m);
    } else {
        if (m->content != NULL && m->content->envelope_dirty) {
            queue_save_state(mgr, m);
        }
        queue_promote_now(mgr, m);
    }
}

/* ---- requeue_message ---- */

static void requeue_bounce(struct queue_mgr *mgr, struct message *m,
                           const struct event_verdict *v)
{
    struct record_outcome outcome = {.type = LOG_BOUNCE, .code = v->code, .content = v->text};
    struct record_session session = {.site = SLICE_INIT("")};

    queue_finish(mgr, m, &outcome, 1, &session);
}

/* Due now, but for its schedule; the attempt counts, the back-off does not. */
static void requeue_move(struct queue_mgr *mgr, struct message *m, struct slice name)
{
    uint64_t now_ms = ring_wall_ns(&mgr->shard->ring) / 1000000u;
    uint64_t due_ms = schedule_adjust_ms(m->content->schedule, mgr->zones, now_ms);

    if (!message_move(mgr, m, name)) {
        return;
    }
    m->attempts = (uint16_t)(m->attempts < UINT16_MAX ? m->attempts + 1 : UINT16_MAX);
    m->due_ms = due_ms > now_ms ? due_ms : 0;
    m->flags |= MESSAGE_MOVED;
    queue_save_state(mgr, m);
    queue_work_begin(mgr);
    dlist_push(&mgr->events.moved, &m->timer.link);
    shard_post(mgr->shard, &mgr->events.next);
}

void event_requeue_end(struct queue_event *e, const struct event_verdict *v)
{
    struct queue_mgr *mgr = e->mgr;
    struct message *m = e->m;
    struct buf name = {0};

    if (v->status == VM_REJECTED) {
        requeue_bounce(mgr, m, v);
        return;
    }
    if (v->status == VM_ERROR) {
        event_complain(mgr, m, EVENT_REQUEUE, v->text);
    }
    if (v->status != VM_ERROR && event_moves(e, &name)) {
        requeue_move(mgr, m, buf_slice(&name));
    } else {
        queue_requeue_now(mgr, m, &e->how);
    }
    buf_free(&name);
}
