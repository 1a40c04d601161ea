/* The last part: spool, Reception records, queues, the final reply. */
#include "core/base/diag.h"
#include "core/ingress/intake.h"
#include "core/log/log.h"

static void intake_insert(struct intake *it);

/* ---- records ---- */

static void record_reception(struct intake *it, struct intake_item *item)
{
    struct session *s = it->session;
    char peer[IP_TEXT_MAX];
    struct log_record r = {
        .type = LOG_RECEPTION,
        .event_ns = ring_wall_ns(&it->ingress->shard->ring),
        .message = item->m,
        .size = item->m->size,
        .queue = item->queue_name,
        .code = 250,
        .peer_name = smtp_server_helo(s->smtp),
        .peer_addr = ip_text(&s->peer.ip, peer),
        .session_id = s->id,
    };

    if (item->feedback.len > 0) {
        r.type = LOG_FEEDBACK;
        r.feedback_report = buf_slice(&item->feedback);
    }
    log_submit(it->ingress->log, &r);
    intake_record_report(it, item);
    it->ingress->counters.message_count++;
}

/* Reception was recorded and then it could not go on: the story is told to its end. */
static void record_unwound(struct intake *it, struct intake_item *item, struct slice why)
{
    struct record_outcome outcome = {.type = LOG_BOUNCE, .code = 500};
    struct record_session session = {.queue = item->queue_name};
    struct buf text = {0};

    BUF_LIT(&text, "KumoMTA internal: QueueManager::insert failed during reception: ");
    buf_put(&text, why);
    outcome.content = buf_slice(&text);
    queue_finish(it->ingress->queue, item->m, &outcome, 1, &session);
    item->m = NULL;
    buf_free(&text);
}

/* ---- the final reply ---- */

static void ids_put(const struct intake *it, struct buf *out)
{
    for (uint32_t i = 0; i < it->item_count; i++) {
        char id[MESSAGE_ID_TEXT];

        message_id_text(it->items[i].id, id);
        if (i > 0) {
            buf_char(out, ' ');
        }
        buf_append(out, id, sizeof(id));
    }
}

static void intake_reply(struct intake *it)
{
    struct buf *text = &it->ingress->scratch;
    uint16_t code = 250;

    buf_reuse(text);
    if (it->relayed_count == 0 && it->black_hole_count == 0 && it->report_count == 0) {
        code = 550;
        BUF_LIT(text, "5.7.1 relaying not permitted");
    } else if (it->late_count > 0 && it->late_count == it->relayed_count &&
               it->black_hole_count == 0) {
        code = 451;
        BUF_LIT(text, "4.4.5 data_processing_timeout exceeded (insert)");
    } else if (it->failed_count > 0 && it->failed_count == it->relayed_count &&
               it->black_hole_count == 0) {
        code = 421;
        buf_printf(text, "4.3.0 %.*s technical difficulties",
                   SLICE_ARG(session_hostname(it->session)));
    } else {
        buf_put(text, it->failed_count > 0 ? SLICE("PARTIAL ids=") : SLICE("OK ids="));
        ids_put(it, text);
    }
    intake_refuse(it, code, buf_slice(text));
}

/* ---- queues ---- */

static void item_inserted(struct intake *it, struct intake_item *item, bool ok, struct slice why)
{
    if (!ok) {
        item->failed = true;
        it->failed_count++;
        record_unwound(it, item, why);
    }
    item->m = NULL; /* the queue has it, or nobody */
}

static void item_inserted_later(struct queue_insert *ins, bool ok, struct slice why)
{
    struct intake_item *item = CONTAINER_OF(ins, struct intake_item, insert);
    struct intake *it = item->intake;

    item_inserted(it, item, ok, why);
    if (--it->waiting == 0) {
        intake_reply(it);
    }
}

static void insert_late(struct timer *t)
{
    struct intake *it = CONTAINER_OF(t, struct intake, patience);

    for (uint32_t i = 0; i < it->item_count; i++) {
        struct intake_item *item = &it->items[i];

        if (queue_insert_abandon(&item->insert)) {
            it->late_count++;
            it->waiting--;
            item_inserted(it, item, false, SLICE("data_processing_timeout exceeded"));
        }
    }
    MUST(it->waiting == 0);
    intake_reply(it);
}

static void intake_insert(struct intake *it)
{
    it->waiting = 1; /* this loop, so that no answer ends the intake under it */
    for (uint32_t i = 0; i < it->item_count; i++) {
        struct intake_item *item = &it->items[i];
        struct slice why = {0};

        record_reception(it, item);
        if (!item->kept) {
            continue;
        }
        if (it->deferred) {
            queue_defer(it->ingress->queue, item->m);
        }
        item->insert.done = item_inserted_later;
        switch (queue_insert(it->ingress->queue, item->m, item->queue_name,
                             &item->insert, &why)) {
        case QUEUE_TAKEN:
            item_inserted(it, item, true, why);
            break;
        case QUEUE_REFUSED:
            item_inserted(it, item, false, why);
            break;
        case QUEUE_LATER:
            it->waiting++;
            break;
        }
    }
    if (--it->waiting == 0) {
        intake_reply(it);
    } else {
        intake_wait(it, insert_late);
    }
}

/* ---- the spool ---- */

static void spool_refusal(struct intake *it)
{
    switch (it->spool_error) {
    case SPOOL_E_FULL:
        intake_refuse(it, 452, SLICE("4.3.1 the disk is too full. Try later"));
        break;
    case SPOOL_E_TOO_BIG:
        intake_refuse(it, 552, SLICE("5.3.4 message too big"));
        break;
    default:
        intake_refuse(it, 451, SLICE("4.3.0 the spool is not accepting writes. Try later"));
        break;
    }
}

/* It may come back after a crash: the peer must not be told anything. */
static void intake_cut(struct intake *it)
{
    struct session *s = it->session;

    s->intake = NULL;
    intake_free(&it);
    session_cut(s);
}

static void intake_withdrawn(struct spool_void *v, enum spool_err err)
{
    struct intake *it = CONTAINER_OF(v, struct intake, withdraw);

    if (err != SPOOL_OK || it->spool_error == SPOOL_E_UNSURE) {
        intake_cut(it);
    } else if (it->spool_error != SPOOL_OK) {
        spool_refusal(it);
    } else {
        intake_refuse(it, 451, SLICE("4.4.5 data_processing_timeout exceeded (spool)"));
    }
}

/* Parts are durable and must not be: they are voided before the peer hears of it. */
static void intake_withdraw(struct intake *it)
{
    uint32_t count = 0;

    it->refs = arena_take(&it->arena, it->record_count * sizeof(*it->refs));
    for (uint32_t p = 0; p < it->put_count; p++) {
        const struct spool_put *put = &it->puts[p].put;

        for (uint32_t i = 0; it->puts[p].durable && i < put->record_count; i++) {
            it->refs[count++] = put->records[i].ref;
        }
    }
    if (count == 0 && it->spool_error == SPOOL_E_UNSURE) {
        intake_cut(it);
        return;
    }
    if (count == 0) {
        spool_refusal(it);
        return;
    }
    it->withdraw = (struct spool_void){
        .refs = it->refs, .ref_count = count, .done = intake_withdrawn};
    spool_withdraw(it->ingress->spool, &it->withdraw);
}

static void intake_stored(struct intake *it)
{
    uint32_t record = 0;

    if (it->spool_error != SPOOL_OK || intake_too_late(it)) {
        intake_withdraw(it);
        return;
    }
    for (uint32_t i = 0; i < it->item_count; i++) {
        struct message *m = it->items[i].m;

        if (it->items[i].kept) {
            m->ref = it->records[record++].ref;
            m->flags |= MESSAGE_SPOOLED;
            m->content->envelope_dirty = false;
            m->content->data_dirty = false;
        }
    }
    intake_insert(it);
}

static void intake_put_done(struct spool_put *put, enum spool_err err)
{
    struct intake_put *p = CONTAINER_OF(put, struct intake_put, put);
    struct intake *it = p->intake;

    p->durable = err == SPOOL_OK;
    if (err != SPOOL_OK && it->spool_error != SPOOL_E_UNSURE) {
        it->spool_error = err;
    }
    if (--it->waiting == 0) {
        intake_stored(it);
    }
}

static void item_stage(struct intake *it, struct intake_item *item, struct spool_put_record *r)
{
    struct buf *blob = &it->ingress->scratch;

    it->record_count++;
    buf_reuse(blob);
    message_blob_put(item->m, blob);
    r->blob = arena_copy(&it->arena, buf_slice(blob));
    memcpy(r->meta.id, item->m->id, sizeof(r->meta.id));
    r->meta.queue = item->queue_name;
    r->meta.due_ms = item->m->due_ms;
    r->meta.created_ms = message_id_wall_ns(item->m->id) / 1000000u;
    r->meta.size = item->m->size;
    r->meta.attempts = 0;
}

/* One put for each run of items that share a body: nearly always one. */
static void intake_stage(struct intake *it)
{
    const struct body *body = NULL;

    it->records = arena_take_zero(&it->arena, it->relayed_count * sizeof(*it->records));
    it->puts = arena_take_zero(&it->arena, it->relayed_count * sizeof(*it->puts));
    for (uint32_t i = 0; i < it->item_count; i++) {
        struct intake_item *item = &it->items[i];
        struct intake_put *p;

        if (!item->kept) {
            continue;
        }
        if (item->m->content->body != body) {
            body = item->m->content->body;
            p = &it->puts[it->put_count++];
            p->intake = it;
            p->put.body = buf_slice(&body->bytes);
            p->put.body_flags = body->flags;
            p->put.records = &it->records[it->record_count];
            p->put.done = intake_put_done;
        }
        p = &it->puts[it->put_count - 1];
        p->put.record_count++;
        item_stage(it, item, &it->records[it->record_count]);
    }
}

/* The banner knows the listeners' own options only. */
static void say_deferring(const struct intake *it)
{
    if (it->session->dynamic != NULL && !it->ingress->defers_said) {
        it->ingress->defers_said = true;
        diag_info(it->ingress->diag, "smtp_server",
                  "deferred_spool by dynamic parameters: mail is answered before it is written");
    }
}

/* deferred_spool, unless the policy wants a message saved or too many are in memory already. */
static bool intake_defers(const struct intake *it)
{
    uint64_t bytes = 0;

    if (!it->session->config->deferred_spool) {
        return false;
    }
    for (uint32_t i = 0; i < it->item_count; i++) {
        const struct message *m = it->items[i].m;

        if (it->items[i].kept && (m->flags & MESSAGE_SAVE) != 0) {
            return false;
        }
        bytes += it->items[i].kept ? m->size : 0;
    }
    say_deferring(it);
    return queue_may_defer(it->ingress->queue, bytes);
}

void intake_write(struct intake *it)
{
    it->deferred = intake_defers(it);
    if (it->relayed_count == 0 || it->deferred) {
        intake_insert(it);
        return;
    }
    intake_stage(it);
    it->waiting = it->put_count;
    for (uint32_t p = 0, count = it->put_count; p < count; p++) {
        spool_put(it->ingress->spool, &it->puts[p].put);
    }
}
