/* Messages that are too old: by the age their queue allows, or by the end of their schedule. */
#include "core/queue/expire.h"

#include "core/base/duration.h"
#include "core/base/mem.h"
#include "core/base/time_text.h"
#include "core/message/schedule.h"
#include "core/queue/delay.h"
#include "core/queue/load.h"
#include "core/queue/records.h"

uint64_t message_age_ms(const struct message *m, uint64_t wall_ns)
{
    uint64_t created_ns = message_id_wall_ns(m->id);

    return wall_ns > created_ns ? (wall_ns - created_ns) / 1000000u : 0;
}

static void put_moment(struct buf *out, uint64_t moment_ms)
{
    time_put_rfc3339(out, moment_ms * 1000000u);
}

static void expire(struct queue_mgr *mgr, struct message *m, struct slice content,
                   struct slice site)
{
    struct record_outcome outcome = {.type = LOG_EXPIRATION,
                                     .code = 551,
                                     .enhanced_class = 5,
                                     .enhanced_subject = 4,
                                     .enhanced_detail = 7,
                                     .content = content};
    struct record_session session = {.site = site};
    struct schedq *q = m->owner;

    if (q->pool != NULL) {
        session.egress_pool = schedq_pool_name(q);
    }
    mgr->counters.expired_count++;
    queue_finish(mgr, m, &outcome, 1, &session);
}

static void expire_by_age(struct queue_mgr *mgr, struct message *m, uint64_t age_ms, bool attempted)
{
    struct schedq *q = m->owner;
    struct buf *text = &mgr->scratch;

    buf_clear(text);
    BUF_LIT(text, "Next delivery time ");
    if (attempted) {
        BUF_LIT(text, "would be ");
    }
    duration_put(text, age_ms * 1000000u);
    if (attempted) {
        BUF_LIT(text, " after creation, which exceeds max_age=");
    } else {
        BUF_LIT(text, " > ");
    }
    duration_put(text, schedq_config(q)->max_age);
    expire(mgr, m, buf_slice(text), attempted ? SLICE("") : SLICE("localhost"));
}

static void expire_by_schedule(struct queue_mgr *mgr, struct message *m, uint64_t due_ms)
{
    const struct schedule *s = m->content->schedule;
    struct buf *text = &mgr->scratch;

    buf_clear(text);
    BUF_LIT(text, "Next delivery time would be at ");
    put_moment(text, due_ms);
    BUF_LIT(text, " which exceeds the expiry time ");
    put_moment(text, (uint64_t)s->expires.s * 1000u);
    BUF_LIT(text, " configured via set_scheduling");
    expire(mgr, m, buf_slice(text), SLICE(""));
}

/* ---- while it waited, or before it came here ---- */

struct outlived {
    struct message_load load;
    struct queue_mgr *mgr;
};

/* The end of its own schedule counts instead of its age. */
static void outlived_judge(struct queue_mgr *mgr, struct message *m)
{
    const struct schedule *s = m->content != NULL ? m->content->schedule : NULL;
    const bool found = insert_context_is(m, INSERT_ENUMERATED);
    uint64_t now_ms = queue_wall_ms(mgr);
    uint64_t due_ms = m->due_ms > now_ms ? m->due_ms : now_ms;

    if (s == NULL || !s->has_expires) {
        expire_by_age(mgr, m, message_age_ms(m, ring_wall_ns(&mgr->shard->ring)), found);
    } else if (schedule_expired(s, due_ms)) {
        expire_by_schedule(mgr, m, due_ms);
    } else if (m->due_ms > now_ms) {
        queue_wait(mgr, m);
    } else {
        queue_promote(mgr, m);
    }
}

static void outlived_loaded(struct message_load *load, enum spool_err err)
{
    struct outlived *o = CONTAINER_OF(load, struct outlived, load);
    struct queue_mgr *mgr = o->mgr;
    struct message *m = load->m;

    (void)err; /* what cannot be read has no schedule: its age counts */
    mem_give(o);
    if (mgr->draining) {
        queue_promote(mgr, m); /* lets it rest in the spool */
    } else {
        outlived_judge(mgr, m);
    }
    queue_work_end(mgr);
}

void queue_outlive(struct queue_mgr *mgr, struct message *m)
{
    struct outlived *o;

    if (m->content != NULL || (m->flags & MESSAGE_SPOOLED) == 0) {
        outlived_judge(mgr, m);
        return;
    }
    o = MEM_NEW(struct outlived);
    o->mgr = mgr;
    queue_work_begin(mgr);
    message_load(mgr->spool, &o->load, m, outlived_loaded);
}

bool queue_outlived(const struct queue_mgr *mgr, const struct message *m, bool moved)
{
    return (moved || insert_context_is(m, INSERT_ENUMERATED)) && !mgr->draining &&
           message_age_ms(m, ring_wall_ns(&mgr->shard->ring)) >=
               schedq_config(m->owner)->max_age / 1000000u;
}

/* ---- after an attempt ---- */

bool queue_attempt_expires(struct queue_mgr *mgr, struct message *m, uint64_t delay_ms,
                           uint64_t due_ms)
{
    const struct schedule *s = m->content != NULL ? m->content->schedule : NULL;
    struct retry_schedule rs = schedq_retry(m->owner);
    uint64_t age_ms = message_age_ms(m, ring_wall_ns(&mgr->shard->ring));

    if (s != NULL && s->has_expires) {
        if (!schedule_expired(s, due_ms)) {
            return false;
        }
        expire_by_schedule(mgr, m, due_ms);
        return true;
    }
    if (!retry_expires(&rs, age_ms, delay_ms)) {
        return false;
    }
    expire_by_age(mgr, m, age_ms + delay_ms, true);
    return true;
}
