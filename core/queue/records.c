#include "core/queue/records.h"

#include "core/base/mem.h"
#include "core/log/log.h"
#include "core/log/outcome.h"
#include "core/queue/load.h"
#include "core/queue/save.h"
#include "core/queue/schedq.h"

#define RECIPIENTS_ON_STACK 8u

static void record_fill(struct queue_mgr *mgr, const struct message *m,
                        const struct record_outcome *o, const struct record_session *s,
                        struct log_record *out)
{
    const struct schedq *q = m->owner;

    *out = (struct log_record){
        .type = o->type,
        .event_ns = ring_wall_ns(&mgr->shard->ring),
        .message = m,
        .size = m->size,
        .num_attempts = m->attempts,
        .queue = s->queue.ptr != NULL ? s->queue : q != NULL ? schedq_name(q) : SLICE(""),
        .site = s->site,
        .code = o->code,
        .enhanced = {o->enhanced_class, o->enhanced_subject, o->enhanced_detail},
        .content = o->content,
        .command = o->command,
        .peer_name = s->peer_name,
        .peer_addr = s->peer_addr,
        .peer_ip = s->peer_ip,
        .egress_pool = s->egress_pool,
        .egress_source = s->egress_source,
        .source_address = s->source_address,
        .source_ip = s->source_ip,
        .delivery_protocol = s->delivery_protocol,
        .provider_name = s->provider,
        .session_id = s->session_id,
    };
}

/* The packed list as an array: on the stack for the usual few. */
static struct slice *recipients_list(const struct record_outcome *o, struct slice *few)
{
    struct slice *list = o->recipient_count <= RECIPIENTS_ON_STACK
                             ? few
                             : mem_take((size_t)o->recipient_count * sizeof(*list));
    size_t at = 0;

    for (uint32_t i = 0; i < o->recipient_count; i++) {
        uint16_t len;

        memcpy(&len, o->recipients.ptr + at, sizeof(len));
        list[i] = slice_of(o->recipients.ptr + at + sizeof(len), len);
        at += sizeof(len) + len;
    }
    MUST(at == o->recipients.len);
    return list;
}

/* An outcome as a log record. It stays where it was filled: the record may point into it. */
struct filled_record {
    struct log_record record;
    struct slice *list;
    struct slice few[RECIPIENTS_ON_STACK];
};

static void filled_begin(struct filled_record *f, struct queue_mgr *mgr, const struct message *m,
                         const struct record_outcome *o, const struct record_session *s)
{
    record_fill(mgr, m, o, s, &f->record);
    f->list = NULL;
    if (o->recipients.ptr != NULL) {
        f->list = recipients_list(o, f->few);
        f->record.recipients = f->list;
        f->record.recipient_count = o->recipient_count;
    }
}

static void filled_end(struct filled_record *f)
{
    if (f->list != f->few) {
        mem_give(f->list);
    }
}

/* With its length in front, for a settle may carry several. What the spool has no room for is
 * left out: a crash at the wrong moment then costs these log records. */
static void put_outcome(struct buf *text, const struct log_record *r)
{
    size_t start = text->len;
    uint32_t len = 0;

    buf_append(text, &len, sizeof(len));
    outcome_put(text, r);
    len = (uint32_t)(text->len - start - sizeof(len));
    memcpy(text->ptr + start, &len, sizeof(len));
    if (text->len > SPOOL_OUTCOME_MAX) {
        text->len = start;
    }
}

void queue_record(struct queue_mgr *mgr, const struct message *m,
                  const struct record_outcome *outcome, const struct record_session *session)
{
    struct filled_record f;

    filled_begin(&f, mgr, m, outcome, session);
    log_submit(mgr->log, &f.record);
    filled_end(&f);
}

void record_line_put(struct buf *out, const struct record_outcome *o)
{
    buf_printf(out, "%u ", o->code);
    if (o->enhanced_class != 0) {
        buf_printf(out, "%u.%u.%u ", o->enhanced_class, o->enhanced_subject, o->enhanced_detail);
    }
    for (size_t i = 0; i < o->content.len; i++) {
        char c = o->content.ptr[i];

        if (c != '\r') {
            buf_char(out, c == '\n' ? ' ' : c);
        }
    }
}

/* ---- records of messages whose content has to be read first ---- */

struct later_record {
    struct message_load load;
    struct queue_mgr *mgr;
    struct record_outcome outcome;
    struct record_session session;
    struct queue_requeue how;
    bool finishes;
    uint8_t session_id[16];
    struct buf texts; /* what the slices above point to */
};

static void keep(struct buf *texts, struct slice *s)
{
    struct slice kept = {texts->ptr + texts->len, s->len};

    if (s->ptr != NULL) {
        buf_put(texts, *s);
        *s = kept;
    }
}

static void later_keep(struct later_record *later)
{
    struct record_outcome *o = &later->outcome;
    struct record_session *s = &later->session;
    struct slice *all[] = {&o->content,       &o->command,        &o->recipients,
                           &s->queue,         &s->site,           &s->egress_pool,
                           &s->egress_source, &s->source_address, &s->peer_name,
                           &s->peer_addr,     &s->delivery_protocol, &s->provider,
                           &later->how.response};
    size_t total = 1;

    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        total += all[i]->len;
    }
    buf_reserve(&later->texts, total); /* so that it never moves */
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        keep(&later->texts, all[i]);
    }
    if (s->session_id != NULL) {
        memcpy(later->session_id, s->session_id, sizeof(later->session_id));
        s->session_id = later->session_id;
    }
}

static void later_loaded(struct message_load *load, enum spool_err err)
{
    struct later_record *later = CONTAINER_OF(load, struct later_record, load);
    struct queue_mgr *mgr = later->mgr;
    struct message *m = load->m;

    if (err != SPOOL_OK) { /* the envelope is lost, the story is not */
        m->content = message_content_new();
        message_set_sender(m, slice_str(spool_err_text(err)));
        m->content->envelope_dirty = false;
        later->how.unheard = true; /* a handler must not take this for the message */
    }
    if (later->finishes) {
        queue_finish(mgr, m, &later->outcome, 1, &later->session);
    } else {
        queue_fail(mgr, m, &later->outcome, &later->session, &later->how);
    }
    buf_free(&later->texts);
    mem_give(later);
    queue_work_end(mgr);
}

static void record_later(struct queue_mgr *mgr, struct message *m,
                         const struct record_outcome *outcome,
                         const struct record_session *session, const struct queue_requeue *how)
{
    struct later_record *later = MEM_NEW(struct later_record);

    later->mgr = mgr;
    later->outcome = *outcome;
    later->session = *session;
    later->finishes = how == NULL;
    if (how != NULL) {
        later->how = *how;
    }
    later_keep(later);
    queue_work_begin(mgr);
    message_load(mgr->spool, &later->load, m, later_loaded);
}

void queue_fail(struct queue_mgr *mgr, struct message *m, const struct record_outcome *outcome,
                const struct record_session *session, const struct queue_requeue *how)
{
    struct queue_requeue own = *how;
    struct buf line = {0};

    if (m->content == NULL) {
        record_later(mgr, m, outcome, session, how);
        return;
    }
    queue_record(mgr, m, outcome, session);
    if (own.response.len == 0) {
        record_line_put(&line, outcome);
        own.response = buf_slice(&line);
    }
    queue_retry(mgr, m, &own);
    buf_free(&line);
}

/* The spool keeps the records until the log has them. Answers what spool_settle() does. */
static uint64_t settle_with(struct queue_mgr *mgr, const struct message *m,
                            const struct filled_record *all, uint32_t count)
{
    struct buf *text = &mgr->outcome;
    struct settled_message settled = {.size = m->size};

    memcpy(settled.id, m->id, sizeof(settled.id));
    buf_clear(text);
    buf_append(text, &settled, sizeof(settled));
    for (uint32_t i = 0; i < count; i++) {
        put_outcome(text, &all[i].record);
    }
    return spool_settle(mgr->spool, m->ref, buf_slice(text));
}

void queue_finish(struct queue_mgr *mgr, struct message *m, const struct record_outcome *outcomes,
                  uint32_t outcome_count, const struct record_session *session)
{
    struct filled_record one, *all = &one;
    uint64_t sequence = 0;

    if (m->content == NULL) {
        MUST(outcome_count == 1 && outcomes[0].recipients.ptr == NULL);
        record_later(mgr, m, &outcomes[0], session, NULL);
        return;
    }
    if (outcome_count > 1) {
        all = mem_take(outcome_count * sizeof(*all));
    }
    for (uint32_t i = 0; i < outcome_count; i++) {
        filled_begin(&all[i], mgr, m, &outcomes[i], session);
    }
    if ((m->flags & MESSAGE_SPOOLED) != 0) {
        sequence = settle_with(mgr, m, all, outcome_count);
    }
    for (uint32_t i = 0; i < outcome_count; i++) {
        all[i].record.settle_sequence = sequence;
        log_submit(mgr->log, &all[i].record);
        filled_end(&all[i]);
    }
    if (all != &one) {
        mem_give(all);
    }
    mgr->counters.finished_count++;
    queue_undefer(mgr, m);
    if (m->owner != NULL) {
        schedq_leave(m);
    }
    message_free(&m);
}

void queue_discard(struct queue_mgr *mgr, struct message *m)
{
    if ((m->flags & MESSAGE_SPOOLED) != 0) {
        (void)spool_settle(mgr->spool, m->ref, SLICE(""));
    }
    queue_undefer(mgr, m);
    if (m->owner != NULL) {
        schedq_leave(m);
    }
    message_free(&m);
}
