#include "core/queue/records.h"

#include "core/base/mem.h"
#include "core/log/log.h"
#include "core/log/outcome.h"
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
        .queue = q != NULL ? schedq_name(q) : SLICE(""),
        .site = s->site,
        .code = o->code,
        .enhanced = {o->enhanced_class, o->enhanced_subject, o->enhanced_detail},
        .content = o->content,
        .command = o->command,
        .peer_name = s->peer_name,
        .peer_addr = s->peer_addr,
        .egress_pool = s->egress_pool,
        .egress_source = s->egress_source,
        .source_address = s->source_address,
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

/* Calls fn with the outcome as a log record. */
static void with_record(struct queue_mgr *mgr, const struct message *m,
                        const struct record_outcome *o, const struct record_session *s,
                        void (*fn)(struct queue_mgr *mgr, struct log_record *r, void *arg),
                        void *arg)
{
    struct slice few[RECIPIENTS_ON_STACK];
    struct slice *list = NULL;
    struct log_record r;

    record_fill(mgr, m, o, s, &r);
    if (o->recipients.ptr != NULL) {
        list = recipients_list(o, few);
        r.recipients = list;
        r.recipient_count = o->recipient_count;
    }
    fn(mgr, &r, arg);
    if (list != NULL && list != few) {
        mem_give(list);
    }
}

static void submit(struct queue_mgr *mgr, struct log_record *r, void *arg)
{
    const uint64_t *sequence = arg;

    r->settle_sequence = sequence != NULL ? *sequence : 0;
    log_submit(mgr->log, r);
}

static void put_outcome(struct queue_mgr *mgr, struct log_record *r, void *arg)
{
    outcome_put(arg, r);
}

void queue_record(struct queue_mgr *mgr, const struct message *m,
                  const struct record_outcome *outcome, const struct record_session *session)
{
    with_record(mgr, m, outcome, session, submit, NULL);
}

void queue_finish(struct queue_mgr *mgr, struct message *m, const struct record_outcome *outcomes,
                  uint32_t outcome_count, const struct record_session *session)
{
    uint64_t sequence = 0;

    if ((m->flags & MESSAGE_SPOOLED) != 0) {
        struct buf *text = &mgr->outcome;

        buf_clear(text);
        for (uint32_t i = 0; i < outcome_count; i++) {
            with_record(mgr, m, &outcomes[i], session, put_outcome, text);
        }
        sequence = spool_settle(mgr->spool, m->ref, buf_slice(text));
    }
    for (uint32_t i = 0; i < outcome_count; i++) {
        with_record(mgr, m, &outcomes[i], session, submit, &sequence);
    }
    mgr->counters.finished_count++;
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
    if (m->owner != NULL) {
        schedq_leave(m);
    }
    message_free(&m);
}
