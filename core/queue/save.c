#include "core/queue/save.h"

#include "core/base/diag.h"
#include "core/base/mem.h"
#include "core/queue/delay.h"
#include "core/queue/records.h"

struct message_save {
    struct dlist link; /* in mgr->saves */
    struct timer again;
    struct spool_put put;
    struct spool_put_record record;
    struct buf blob;
    struct queue_mgr *mgr;
    struct message *m;
    bool promotes; /* nothing keeps it from being promoted afterwards */
};

/* ---- what is unsaved ---- */

bool queue_may_defer(const struct queue_mgr *mgr, uint64_t bytes)
{
    return !mgr->draining && !mgr->save_fails && spool_accepting(mgr->spool) == SPOOL_OK &&
           mgr->unsaved_bytes + bytes <= mgr->unsaved_bytes_max;
}

void queue_defer(struct queue_mgr *mgr, struct message *m)
{
    struct message_content *c = m->content;

    MUST(c != NULL && (m->flags & (MESSAGE_SPOOLED | MESSAGE_UNSAVED)) == 0);
    m->flags |= MESSAGE_UNSAVED;
    c->envelope_dirty = true;
    c->data_dirty = true;
    c->unsaved_bytes = m->size;
    mgr->unsaved_bytes += m->size;
    mgr->unsaved_count++;
}

void queue_undefer(struct queue_mgr *mgr, struct message *m)
{
    if ((m->flags & MESSAGE_UNSAVED) == 0) {
        return;
    }
    m->flags &= (uint8_t)~MESSAGE_UNSAVED;
    MUST(mgr->unsaved_count > 0 && mgr->unsaved_bytes >= m->content->unsaved_bytes);
    mgr->unsaved_count--;
    mgr->unsaved_bytes -= m->content->unsaved_bytes;
    m->content->unsaved_bytes = 0;
}

/* ---- writing ---- */

void save_stage(const struct message *m, struct slice queue, struct buf *blob,
                struct spool_put_record *record, struct spool_put *put)
{
    const struct body *body = m->content->body;

    buf_clear(blob);
    message_blob_put(m, blob);
    record->blob = buf_slice(blob);
    record->meta = (struct spool_meta){
        .queue = queue,
        .due_ms = m->due_ms,
        .created_ms = message_id_wall_ns(m->id) / 1000000u,
        .size = m->size,
        .attempts = m->attempts,
    };
    memcpy(record->meta.id, m->id, sizeof(m->id));
    put->body = body != NULL ? buf_slice(&body->bytes) : SLICE("");
    put->body_flags = body != NULL ? body->flags : 0;
    put->records = record;
    put->record_count = 1;
}

static void save_put(struct message_save *s)
{
    save_stage(s->m, schedq_name(s->m->owner), &s->blob, &s->record, &s->put);
    spool_put(s->mgr->spool, &s->put);
}

/* The write is over; the message is the caller's. queue_work_end() is still to be called, last,
 * for it may end the phase. */
static struct message *save_end(struct message_save *s)
{
    struct message *m = s->m;

    timer_cancel(&s->mgr->shard->timers, &s->again);
    dlist_remove(&s->link);
    buf_free(&s->blob);
    mem_give(s);
    return m;
}

static void save_succeeded(struct message_save *s)
{
    struct queue_mgr *mgr = s->mgr;
    struct spool_ref ref = s->record.ref;
    bool promotes = s->promotes && !mgr->draining;
    struct message *m = save_end(s);

    if (mgr->save_fails) {
        mgr->save_fails = false;
        diag_info(mgr->diag, "spool", "messages in memory are written again");
    }
    queue_undefer(mgr, m);
    m->ref = ref;
    m->flags |= MESSAGE_SPOOLED;
    m->content->envelope_dirty = false;
    m->content->data_dirty = false;
    if (promotes) {
        queue_promote_now(mgr, m);
    } else {
        queue_saved(mgr, m);
    }
    queue_work_end(mgr);
}

/* The format has no room for it: the sender hears of it, since a restart could not tell. */
static void save_refused(struct message_save *s)
{
    static const struct record_session nobody = {0};
    const struct record_outcome outcome = {
        .type = LOG_BOUNCE,
        .code = 552,
        .enhanced_class = 5,
        .enhanced_subject = 3,
        .enhanced_detail = 4,
        .content = SLICE("KumoMTA internal: the message is too big for the spool"),
    };
    struct queue_mgr *mgr = s->mgr;
    struct message *m = save_end(s);

    queue_finish(mgr, m, &outcome, 1, &nobody);
    queue_work_end(mgr);
}

static void save_lost(struct message_save *s)
{
    struct queue_mgr *mgr = s->mgr;
    struct message *m = save_end(s);
    char id[MESSAGE_ID_TEXT];

    message_id_text(m->id, id);
    diag_error(mgr->diag, "spool", "message %.*s is lost: it could not be written before the end",
               (int)sizeof(id), id);
    queue_undefer(mgr, m);
    schedq_leave(m);
    message_free(&m);
    queue_work_end(mgr);
}

static void save_failed(struct message_save *s, enum spool_err err)
{
    struct queue_mgr *mgr = s->mgr;

    if (!mgr->save_fails) {
        mgr->save_fails = true;
        diag_error(mgr->diag, "spool",
                   "a message in memory cannot be written: %s; it is tried again",
                   spool_err_text(err));
    }
    if (mgr->cut) {
        save_lost(s);
    } else {
        timer_arm(&mgr->shard->timers, &s->again,
                  shard_now_ms(mgr->shard) + QUEUE_SAVE_RETRY_MS);
    }
}

static void save_done(struct spool_put *put, enum spool_err err)
{
    struct message_save *s = CONTAINER_OF(put, struct message_save, put);

    if (err == SPOOL_OK) {
        save_succeeded(s);
    } else if (err == SPOOL_E_TOO_BIG) {
        save_refused(s);
    } else {
        save_failed(s, err);
    }
}

static void save_again(struct timer *t)
{
    struct message_save *s = CONTAINER_OF(t, struct message_save, again);
    struct queue_mgr *mgr = s->mgr;

    if (queue_is_due(mgr, s->m)) { /* what leaves needs no room on the disk */
        bool promotes = s->promotes;
        struct message *m = save_end(s);

        if (promotes) { /* rate and policy have let it pass */
            queue_promote_now(mgr, m);
        } else {
            queue_promote(mgr, m);
        }
        queue_work_end(mgr);
    } else {
        save_put(s);
    }
}

static void save_begin(struct queue_mgr *mgr, struct message *m, bool promotes)
{
    struct message_save *s = MEM_NEW(struct message_save);

    MUST((m->flags & MESSAGE_UNSAVED) != 0 && m->owner != NULL);
    s->mgr = mgr;
    s->m = m;
    s->promotes = promotes;
    s->again.fn = save_again;
    s->put.done = save_done;
    queue_work_begin(mgr);
    dlist_push(&mgr->saves, &s->link);
    save_put(s);
}

void queue_save(struct queue_mgr *mgr, struct message *m)
{
    save_begin(mgr, m, false);
}

void queue_save_promoting(struct queue_mgr *mgr, struct message *m)
{
    m->flags &= (uint8_t)~MESSAGE_SAVE; /* if it cannot be written it goes as it is */
    save_begin(mgr, m, true);
}

/* ---- the end ---- */

void queue_save_drain(struct queue_mgr *mgr)
{
    for (struct dlist *n = mgr->saves.next; n != &mgr->saves; n = n->next) {
        struct message_save *s = CONTAINER_OF(n, struct message_save, link);

        if (timer_armed(&s->again)) {
            timer_arm(&mgr->shard->timers, &s->again, shard_now_ms(mgr->shard));
        }
    }
}

void queue_save_cut(struct queue_mgr *mgr)
{
    struct dlist *next;

    mgr->cut = true;
    for (struct dlist *n = mgr->saves.next; n != &mgr->saves; n = next) {
        struct message_save *s = CONTAINER_OF(n, struct message_save, link);

        next = n->next;
        if (timer_armed(&s->again)) {
            save_lost(s);
        }
    }
}
