/* Messages that wait: due times, promotion, retries, expiry. */
#include "core/queue/delay.h"

#include "core/base/diag.h"
#include "core/base/duration.h"
#include "core/base/mem.h"
#include "core/base/time_text.h"
#include "core/limit/ledger.h"
#include "core/message/schedule.h"
#include "core/queue/event.h"
#include "core/queue/expire.h"
#include "core/queue/records.h"
#include "core/queue/save.h"

uint64_t queue_wall_ms(const struct queue_mgr *mgr)
{
    return ring_wall_ns(&mgr->shard->ring) / 1000000u;
}

static void record_delayed(struct queue_mgr *mgr, struct message *m)
{
    uint64_t now_ms = queue_wall_ms(mgr);
    struct record_outcome outcome = {.type = LOG_DELAYED, .code = 400};
    struct record_session session = {0};
    struct buf *text = &mgr->scratch;

    /* A message is not read back only to say that it still waits. */
    if (insert_context_quiet(m) || m->content == NULL) {
        return;
    }
    buf_clear(text);
    BUF_LIT(text, "Context: ");
    insert_context_put(m, text);
    BUF_LIT(text, ". Next due in ");
    duration_put(text, (m->due_ms > now_ms ? m->due_ms - now_ms : 0) * 1000000u);
    BUF_LIT(text, " at ");
    time_put_rfc3339(text, m->due_ms * 1000000u);
    outcome.content = buf_slice(text);
    queue_record(mgr, m, &outcome, &session);
}

/* ---- state on disk ---- */

struct state_change {
    struct spool_change change;
    struct queue_mgr *mgr;
    struct buf blob, queue;
};

static void state_changed(struct spool_change *c, enum spool_err err)
{
    struct state_change *sc = CONTAINER_OF(c, struct state_change, change);
    struct queue_mgr *mgr = sc->mgr;

    /* Not written means: after a restart it is tried earlier than needed, and as it was before. */
    if (err != SPOOL_OK && err != SPOOL_E_GONE) {
        diag_error(mgr->diag, "queue", "the state of a message in queue %.*s was not saved: %s",
                   SLICE_ARG(buf_slice(&sc->queue)), spool_err_text(err));
    }
    buf_free(&sc->blob);
    buf_free(&sc->queue);
    mem_give(sc);
    queue_work_end(mgr);
}

void queue_save_state(struct queue_mgr *mgr, struct message *m)
{
    struct state_change *sc;

    if ((m->flags & MESSAGE_SPOOLED) == 0) {
        return;
    }
    sc = MEM_NEW(struct state_change);
    sc->mgr = mgr;
    if (m->content != NULL && m->content->envelope_dirty) {
        message_blob_put(m, &sc->blob);
        m->content->envelope_dirty = false;
    }
    buf_put(&sc->queue, schedq_name(m->owner));
    sc->change = (struct spool_change){
        .ref = m->ref,
        .meta = {.queue = buf_slice(&sc->queue),
                 .due_ms = m->due_ms,
                 .created_ms = message_id_wall_ns(m->id) / 1000000u,
                 .size = m->size,
                 .attempts = m->attempts},
        .blob = buf_slice(&sc->blob),
        .done = state_changed,
    };
    memcpy(sc->change.meta.id, m->id, sizeof(m->id));
    queue_work_begin(mgr);
    spool_change(mgr->spool, &sc->change);
}

/* ---- waiting ---- */

static void message_due(struct timer *t);

/* What the spool has, too, leaves memory. */
static void content_rest(struct message *m)
{
    if ((m->flags & MESSAGE_SPOOLED) != 0 && m->content != NULL && !m->content->envelope_dirty &&
        !m->content->data_dirty) {
        message_content_free(&m->content);
    }
}

void queue_wait(struct queue_mgr *mgr, struct message *m)
{
    const struct schedq *q = m->owner;
    uint64_t now_ms = queue_wall_ms(mgr);
    uint64_t until_ms = m->due_ms;
    uint64_t created_ms = message_id_wall_ns(m->id) / 1000000u;
    uint64_t max_age_ms = schedq_config(q)->max_age / 1000000u;
    bool scheduled = m->content != NULL && m->content->schedule != NULL &&
                     m->content->schedule->has_expires;

    if ((m->flags & MESSAGE_UNSAVED) != 0) {
        queue_save(mgr, m);
        return;
    }
    if (!scheduled && created_ms + max_age_ms < until_ms) {
        until_ms = created_ms + max_age_ms;
    }
    mgr->waiting_count++;
    mgr->counters.delayed_count++;
    m->timer.fn = message_due;
    timer_arm(&mgr->shard->timers, &m->timer,
              shard_now_ms(mgr->shard) + (until_ms > now_ms ? until_ms - now_ms : 0));
    content_rest(m);
}

/* ---- held back ---- */

static void held_again(struct timer *t);

bool queue_holds_back(struct queue_mgr *mgr, const struct message *m)
{
    bool behind = spool_behind(mgr->spool);

    if (behind && !mgr->behind) {
        diag_error(mgr->diag, "queue", "deliveries are held back: the disk does not take what "
                                       "became of earlier ones");
    } else if (!behind && mgr->behind) {
        diag_info(mgr->diag, "queue", "deliveries go on: the disk takes writes again");
    }
    mgr->behind = behind;
    return behind && (m->flags & MESSAGE_SPOOLED) != 0;
}

/* Its due time stays what it is. */
static void queue_hold_back(struct queue_mgr *mgr, struct message *m)
{
    mgr->waiting_count++;
    m->timer.fn = held_again;
    timer_arm(&mgr->shard->timers, &m->timer,
              shard_now_ms(mgr->shard) + retry_spread_ms(ring_random(&mgr->shard->ring)));
    content_rest(m);
}

/* It has reached max_age. */
static void queue_end_age(struct queue_mgr *mgr, struct message *m)
{
    if (queue_holds_back(mgr, m)) {
        queue_hold_back(mgr, m);
    } else {
        queue_outlive(mgr, m);
    }
}

/* ---- waiting, and its end ---- */

static void message_due(struct timer *t)
{
    struct message *m = CONTAINER_OF(t, struct message, timer);
    struct schedq *q = m->owner;
    struct queue_mgr *mgr = q->mgr;
    uint64_t now_ms = queue_wall_ms(mgr);
    uint64_t age_ms = message_age_ms(m, ring_wall_ns(&mgr->shard->ring));

    mgr->waiting_count--;
    if (mgr->draining) { /* queue_promote() lets it rest in the spool */
        queue_promote(mgr, m);
        return;
    }
    if (m->due_ms > now_ms && age_ms >= schedq_config(q)->max_age / 1000000u) {
        queue_end_age(mgr, m);
        return;
    }
    if (m->due_ms > now_ms) { /* the wall clock was set back */
        queue_wait(mgr, m);
        return;
    }
    insert_context_clear(m);
    insert_context_add(m, INSERT_DUE_TIME_WAS_REACHED);
    queue_promote(mgr, m);
}

static void held_again(struct timer *t)
{
    struct message *m = CONTAINER_OF(t, struct message, timer);
    struct schedq *q = m->owner;

    q->mgr->waiting_count--;
    if (q->mgr->draining) { /* as in message_due() */
        queue_promote(q->mgr, m);
        return;
    }
    (void)schedq_get(q->mgr, schedq_name(q)); /* a failure that is old enough is asked again */
    queue_place(q->mgr, m);
}

/* The queue has no config: the message waits for a better answer. */
static void queue_hold(struct queue_mgr *mgr, struct message *m)
{
    struct schedq *q = m->owner;

    if ((m->flags & MESSAGE_UNSAVED) != 0 && (q->state != SCHEDQ_ASKING || mgr->draining)) {
        queue_save(mgr, m);
        return;
    }
    if (q->state == SCHEDQ_ASKING) {
        dlist_push(&q->messages, &m->timer.link);
        return;
    }
    mgr->waiting_count++;
    m->timer.fn = held_again;
    timer_arm(&mgr->shard->timers, &m->timer, q->failed_until_ms);
}

bool queue_is_due(const struct queue_mgr *mgr, const struct message *m)
{
    const struct schedq *q = m->owner;

    return !mgr->draining && q->state == SCHEDQ_READY && m->due_ms <= queue_wall_ms(mgr);
}

/* It leaves memory; the spool keeps it, with what a handler changed. What the spool does not have
 * yet is written first, and comes here again. */
static void queue_rest(struct queue_mgr *mgr, struct message *m)
{
    if ((m->flags & MESSAGE_UNSAVED) != 0) {
        queue_save(mgr, m);
        return;
    }
    if (m->content != NULL && m->content->envelope_dirty) {
        queue_save_state(mgr, m);
    }
    schedq_leave(m);
    message_free(&m);
}

void queue_saved(struct queue_mgr *mgr, struct message *m)
{
    const struct schedq *q = m->owner;

    if (mgr->draining) {
        queue_rest(mgr, m);
    } else if (q->state == SCHEDQ_READY) {
        queue_wait(mgr, m);
    } else {
        queue_hold(mgr, m);
    }
}

void queue_drop_waiting(struct queue_mgr *mgr)
{
    struct timer *t;

    while ((t = timers_take(&mgr->shard->timers, message_due)) != NULL ||
           (t = timers_take(&mgr->shard->timers, held_again)) != NULL) {
        struct message *m = CONTAINER_OF(t, struct message, timer);

        schedq_leave(m);
        message_free(&m);
    }
}

void queue_place(struct queue_mgr *mgr, struct message *m)
{
    const struct schedq *q = m->owner;
    const bool moved = (m->flags & MESSAGE_MOVED) != 0;

    if (q->state != SCHEDQ_READY) {
        queue_hold(mgr, m);
        return;
    }
    m->flags &= (uint8_t)~MESSAGE_MOVED;
    if (queue_outlived(mgr, m, moved)) {
        queue_end_age(mgr, m);
    } else if (m->due_ms > queue_wall_ms(mgr)) {
        if (insert_context_is(m, INSERT_RECEIVED) && m->content != NULL &&
            m->content->schedule != NULL) {
            insert_context_add(m, INSERT_SCHEDULED_FOR_LATER);
        }
        record_delayed(mgr, m);
        queue_wait(mgr, m);
    } else {
        queue_promote(mgr, m);
    }
}

/* ---- promotion ---- */

struct rate_wait {
    struct token_ask ask;
    struct queue_mgr *mgr;
    struct message *m;
};

void queue_promote_now(struct queue_mgr *mgr, struct message *m)
{
    const struct schedq *q = m->owner;

    if ((m->flags & MESSAGE_UNSAVED) != 0 && (m->flags & MESSAGE_SAVE) != 0) {
        queue_save_promoting(mgr, m);
        return;
    }
    mgr->counters.promoted_count++;
    if (q->injects && mgr->injector != NULL) {
        mgr->injector->inject(mgr->injector_ctx, m);
    } else {
        mgr->promoter->promote(mgr->promoter_ctx, m);
    }
}

static void promote_asking(struct queue_mgr *mgr, struct message *m)
{
    if (mgr->draining) { /* a rate was asked about meanwhile */
        queue_rest(mgr, m);
    } else if (queue_event_heard(mgr, VM_HOOK_throttle_insert_ready_queue)) {
        queue_event_promote(mgr, m);
    } else {
        queue_promote_now(mgr, m);
    }
}

static void rate_answered(struct queue_mgr *mgr, struct message *m, uint64_t wait_ns)
{
    struct queue_requeue how = {
        .reason = INSERT_MESSAGE_RATE_THROTTLE,
        .has_delay = true,
        .delay_ms = gcra_whole_s(wait_ns) * 1000u,
    };
    struct buf *line = &mgr->scratch;

    if (wait_ns == 0) {
        promote_asking(mgr, m);
        return;
    }
    buf_clear(line);
    buf_printf(line, "451 4.4.4 KumoMTA internal: %.*s throttled message rate, delay=",
               SLICE_ARG(schedq_name(m->owner)));
    duration_put(line, how.delay_ms * 1000000u);
    how.response = buf_slice(line);
    queue_retry(mgr, m, &how);
}

static void rate_answered_later(struct token_ask *ask, uint64_t wait_ns)
{
    struct rate_wait *rw = CONTAINER_OF(ask, struct rate_wait, ask);
    struct queue_mgr *mgr = rw->mgr;
    struct message *m = rw->m;

    mem_give(rw);
    rate_answered(mgr, m, wait_ns);
    queue_work_end(mgr);
}

static void promote_at_rate(struct queue_mgr *mgr, struct message *m)
{
    const struct schedq *q = m->owner;
    const struct throttle_spec *spec = &schedq_config(q)->max_message_rate;
    struct gcra_rate rate = gcra_rate_make(spec->limit, spec->period_s,
                                           spec->has_burst ? spec->max_burst : GCRA_NO_BURST);
    struct rate_wait *rw = MEM_NEW(struct rate_wait);
    uint64_t wait_ns;

    *rw = (struct rate_wait){.ask = {.fn = rate_answered_later}, .mgr = mgr, .m = m};
    buf_clear(&mgr->scratch);
    BUF_LIT(&mgr->scratch, "schedq-");
    buf_put(&mgr->scratch, schedq_name(q));
    BUF_LIT(&mgr->scratch, "-message-rate");
    if (token_take(mgr->ledger, buf_slice(&mgr->scratch), &rate, &rw->ask, &wait_ns)) {
        mem_give(rw);
        rate_answered(mgr, m, wait_ns);
    } else {
        queue_work_begin(mgr); /* a drain that did not wait could lose what is in memory alone */
    }
}

void queue_promote(struct queue_mgr *mgr, struct message *m)
{
    if (mgr->draining) {
        queue_rest(mgr, m);
    } else if (queue_holds_back(mgr, m)) {
        queue_hold_back(mgr, m);
    } else if (schedq_config(m->owner)->has_max_message_rate) {
        promote_at_rate(mgr, m);
    } else {
        promote_asking(mgr, m);
    }
}

/* ---- back from the promoter ---- */

void queue_retry(struct queue_mgr *mgr, struct message *m, const struct queue_requeue *how)
{
    mgr->counters.retried_count++;
    if (how->logged) {
        insert_context_add(m, INSERT_LOGGED_TRANSIENT_FAILURE);
    }
    if (!how->logged || how->reason != INSERT_LOGGED_TRANSIENT_FAILURE) {
        insert_context_add(m, how->reason);
    }
    if (!how->unheard && queue_event_heard(mgr, VM_HOOK_requeue_message)) {
        queue_event_requeue(mgr, m, how);
    } else {
        queue_requeue_now(mgr, m, how);
    }
}

void queue_requeue_now(struct queue_mgr *mgr, struct message *m, const struct queue_requeue *how)
{
    struct retry_schedule rs = schedq_retry(m->owner);
    uint64_t random = ring_random(&mgr->shard->ring);
    uint64_t now_ms = queue_wall_ms(mgr);
    uint64_t delay_ms = how->attempted   ? retry_delay_ms(&rs, m->attempts, random)
                        : how->has_delay ? how->delay_ms
                                         : retry_spread_ms(random);
    uint64_t due_ms = now_ms + delay_ms;

    if (m->content != NULL && m->content->schedule != NULL) {
        due_ms = schedule_adjust_ms(m->content->schedule, mgr->zones, due_ms);
    }
    if (how->attempted) {
        if (queue_attempt_expires(mgr, m, delay_ms, due_ms)) {
            return;
        }
        m->attempts = (uint16_t)(m->attempts < UINT16_MAX ? m->attempts + 1 : UINT16_MAX);
    }
    m->due_ms = due_ms;
    if (how->attempted || (m->content != NULL && m->content->envelope_dirty)) {
        queue_save_state(mgr, m);
    }
    record_delayed(mgr, m);
    queue_wait(mgr, m);
}

void queue_reinsert(struct queue_mgr *mgr, struct message *m, enum insert_reason reason)
{
    insert_context_clear(m);
    insert_context_add(m, reason);
    m->due_ms = 0;
    queue_place(mgr, m);
}

/* ---- in ---- */

enum queue_answer queue_insert(struct queue_mgr *mgr, struct message *m, struct slice queue_name,
                               struct queue_insert *ins, struct slice *why)
{
    struct schedq *q = schedq_get(mgr, queue_name);

    if (q->state == SCHEDQ_FAILED) {
        *why = slice_str(q->why);
        return QUEUE_REFUSED;
    }
    mgr->counters.inserted_count++;
    schedq_join(q, m);
    if (q->state == SCHEDQ_ASKING) {
        ins->m = m;
        dlist_push(&q->inserts, &ins->link);
        return QUEUE_LATER;
    }
    queue_place(mgr, m);
    return QUEUE_TAKEN;
}

void queue_insert_found(struct queue_mgr *mgr, struct message *m, struct slice queue_name)
{
    schedq_join(schedq_get(mgr, queue_name), m);
    insert_context_clear(m);
    insert_context_add(m, INSERT_ENUMERATED);
    if (!mgr->draining && queue_event_heard(mgr, VM_HOOK_spool_message_enumerated)) {
        queue_event_found(mgr, m);
    } else {
        queue_place(mgr, m);
    }
}
