/* What became of a message: records, settles, retries. */
#include "core/base/mem.h"
#include "core/egress/lane.h"
#include "proto/smtp_disposition.h"

void lane_session_facts(const struct lane *l, struct record_session *out)
{
    const struct readyq *rq = l->rq;
    const char *provider = rq->path != NULL ? readyq_path(rq)->provider_name : NULL;

    *out = (struct record_session){
        .site = readyq_name(rq),
        .egress_pool = slice_str(rq->pool_name),
        .egress_source = slice_str(rq->source->source.name),
        .delivery_protocol = SLICE_INIT("ESMTP"),
        .provider = slice_str(provider),
        .session_id = l->session_id,
    };
    if (l->conn_open) {
        out->source_address = slice_str(l->source_addr);
        out->source_ip = l->source_ip;
        out->peer_name = addr_plan_name(&l->plan, l->target);
        out->peer_addr = slice_str(l->peer_ip);
        out->peer_ip = l->address.ip;
    }
}

void lane_fail_message(struct lane *l, uint16_t code, struct slice content)
{
    struct egress *eg = l->rq->eg;
    struct record_outcome outcome = {
        .type = LOG_TRANSIENT_FAILURE, .code = code, .content = content};
    struct queue_requeue how = {.reason = INSERT_LOGGED_TRANSIENT_FAILURE,
                                .attempted = true,
                                .logged = true};
    struct record_session session;
    struct message *m = l->now.m;

    lane_session_facts(l, &session);
    lane_forget_message(l);
    eg->counters.transient_count++;
    queue_fail(eg->queue, m, &outcome, &session, &how);
}

/* ---- a batch ---- */

#define GROUP_KEEPS_MAX 1024u /* bytes of texts */

static enum smtp_disposition judge(const struct lane *l, uint32_t nth,
                                   const struct smtp_outcome *o)
{
    const struct smtp_judged judged = {
        .code = lane_verdict_code(l, o),
        .enhanced = o->enhanced,
        .command = o->command,
        .rewritten = lane_verdict_code(l, o) != o->code,
        .first_or_only = nth == 0,
    };
    enum smtp_disposition d = smtp_disposition(&judged);

    if (d == SMTP_MAYBE_TOO_MANY) {
        return l->tried_again ? SMTP_TRANSIENT : SMTP_TOO_MANY;
    }
    return d;
}

static enum log_type record_type(enum smtp_disposition d)
{
    return d == SMTP_DELIVERED ? LOG_DELIVERY : d == SMTP_BOUNCE ? LOG_BOUNCE
                                                                 : LOG_TRANSIENT_FAILURE;
}

/* One group of recipients with the same reply and fate: one record. The list in l->groups; the
 * first one, which usually is the only one, keeps its room for the next batch. */
struct outcome_group {
    struct record_outcome outcome;
    uint32_t reply_index;
    enum smtp_disposition disposition;
    struct buf command, recipients, content; /* content: of a rewritten reply */
};

static void group_add(struct outcome_group *g, struct slice addr)
{
    uint16_t len = (uint16_t)addr.len;

    buf_append(&g->recipients, &len, sizeof(len));
    buf_put(&g->recipients, addr);
    g->outcome.recipient_count++;
}

static struct outcome_group *groups_of(const struct lane *l, size_t *count)
{
    *count = l->groups.len / sizeof(struct outcome_group);
    return (struct outcome_group *)(void *)l->groups.ptr;
}

/* A group without recipients, at the end of the list. */
static struct outcome_group *group_begin(struct lane *l, const struct smtp_outcome *o,
                                         enum smtp_disposition d)
{
    const uint16_t code = lane_verdict_code(l, o);
    struct outcome_group fresh = {.reply_index = o->reply_index, .disposition = d};

    if (l->groups.len == 0 && l->groups.cap > 0) { /* cleared, and its room is at hand */
        const struct outcome_group *kept = (const struct outcome_group *)(void *)l->groups.ptr;

        fresh.command = kept->command;
        fresh.recipients = kept->recipients;
        fresh.content = kept->content;
    }
    fresh.outcome = (struct record_outcome){
        .type = record_type(d),
        .code = code,
        .enhanced_class = o->enhanced.class,
        .enhanced_subject = o->enhanced.subject,
        .enhanced_detail = o->enhanced.detail,
        .content = o->content,
    };
    if (code != o->code) {
        buf_put(&fresh.content, o->content);
        buf_printf(&fresh.content, " (kumomta: status was rewritten from %u -> %u)", o->code, code);
    }
    buf_append(&l->groups, &fresh, sizeof(fresh));
    return (struct outcome_group *)(void *)(l->groups.ptr + l->groups.len - sizeof(fresh));
}

static struct outcome_group *group_find(struct lane *l, const struct smtp_outcome *o,
                                        enum smtp_disposition d)
{
    size_t count;
    struct outcome_group *all = groups_of(l, &count);

    for (size_t i = count; i-- > 0;) {
        if (all[i].reply_index == o->reply_index && all[i].disposition == d) {
            return &all[i];
        }
    }
    return group_begin(l, o, d);
}

static void group_free(struct outcome_group *g)
{
    buf_free(&g->command);
    buf_free(&g->recipients);
    buf_free(&g->content);
}

/* The batch is recorded. One of the usual size leaves its room to the next. */
static void groups_end(struct lane *l)
{
    size_t count;
    struct outcome_group *all = groups_of(l, &count);

    if (count == 0) {
        return;
    }
    if (count == 1 && all[0].command.cap + all[0].recipients.cap + all[0].content.cap <=
                          GROUP_KEEPS_MAX) {
        buf_clear(&all[0].command);
        buf_clear(&all[0].recipients);
        buf_clear(&all[0].content);
        buf_clear(&l->groups);
        buf_clear(&l->outcomes);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        group_free(&all[i]);
    }
    buf_free(&l->groups);
    buf_free(&l->outcomes);
}

void lane_settle_free(struct lane *l)
{
    if (l->groups.cap > 0) { /* between batches: the one that is kept */
        group_free((struct outcome_group *)(void *)l->groups.ptr);
    }
    buf_free(&l->groups);
    buf_free(&l->outcomes);
}

static void count_recipients(struct egress *eg, enum smtp_disposition d)
{
    switch (d) {
    case SMTP_DELIVERED:
        eg->counters.delivered_count++;
        break;
    case SMTP_BOUNCE:
        eg->counters.bounced_count++;
        break;
    default:
        eg->counters.transient_count++;
        break;
    }
}

/* Sorts the batch's recipients into groups; answers how many are to be tried again at once. */
static uint32_t lane_group(struct lane *l, bool may_go_on)
{
    uint32_t again = 0;

    for (uint32_t i = 0; i < l->now.batch_count; i++) {
        uint32_t at = l->now.batch[i];
        struct smtp_outcome o;
        enum smtp_disposition d;
        struct outcome_group *g;

        if (!smtp_client_outcome(&l->client, i, &o)) {
            o = (struct smtp_outcome){.code = 400,
                                      .content = SLICE_INIT("KumoMTA internal: no reply was read")};
        }
        d = judge(l, i, &o);
        if (d == SMTP_TOO_MANY && may_go_on) {
            again++;
            continue;
        }
        if (d == SMTP_TOO_MANY) {
            d = SMTP_TRANSIENT;
        }
        g = group_find(l, &o, d);
        if (g->command.len == 0) {
            smtp_client_command_put(&l->client, &o, &g->command);
        }
        group_add(g, l->now.recipients[at]);
        count_recipients(l->rq->eg, d);
        l->now.recipient_state[at] =
            d == SMTP_TRANSIENT ? RECIPIENT_TRANSIENT : RECIPIENT_SETTLED;
    }
    return again;
}

static bool lane_has(const struct lane *l, enum lane_recipient state)
{
    return l->now.recipient_count > 0 &&
           memchr(l->now.recipient_state, state, l->now.recipient_count) != NULL;
}

/* Only those that were put off stay on the message. */
static void lane_reduce_recipients(struct lane *l)
{
    struct message *m = l->now.m;
    struct buf kept = {0};

    for (uint32_t i = 0; i < l->now.recipient_count; i++) {
        if (l->now.recipient_state[i] != RECIPIENT_SETTLED) {
            uint16_t len = (uint16_t)l->now.recipients[i].len;

            buf_append(&kept, &len, sizeof(len));
            buf_put(&kept, l->now.recipients[i]);
        }
    }
    message_clear_recipients(m);
    for (size_t at = 0; at < kept.len;) {
        uint16_t len;

        memcpy(&len, kept.ptr + at, sizeof(len));
        message_add_recipient(m, slice_of(kept.ptr + at + sizeof(len), len));
        at += sizeof(len) + len;
    }
    buf_free(&kept);
}

/* The lane's lists follow the message, whose recipients have moved. */
static void lane_follow_recipients(struct lane *l)
{
    struct slice addr;
    uint32_t from = 0, to = 0;

    for (size_t at = 0; message_next_recipient(l->now.m, &at, &addr); to++, from++) {
        while (l->now.recipient_state[from] == RECIPIENT_SETTLED) {
            from++;
        }
        l->now.recipients[to] = addr;
        l->now.recipient_state[to] = l->now.recipient_state[from];
    }
    l->now.recipient_count = to;
    l->now.batch_count = 0;
}

/* The message stays held, without those that have their outcome; the spool hears of it at once,
 * for nobody is to get it twice because of a crash while the others are tried. */
static void lane_keep_rest(struct lane *l)
{
    if (!lane_has(l, RECIPIENT_SETTLED)) {
        return;
    }
    lane_reduce_recipients(l);
    lane_follow_recipients(l);
    queue_save_state(l->rq->eg->queue, l->now.m);
}

static void outcomes_complete(struct lane *l)
{
    size_t count;
    struct outcome_group *all = groups_of(l, &count);

    for (size_t i = 0; i < count; i++) {
        if (all[i].command.len > 0) { /* otherwise unknown */
            all[i].outcome.command = buf_slice(&all[i].command);
        }
        all[i].outcome.recipients = buf_slice(&all[i].recipients);
        if (all[i].content.len > 0) {
            all[i].outcome.content = buf_slice(&all[i].content);
        }
        buf_append(&l->outcomes, &all[i].outcome, sizeof(all[i].outcome));
    }
}

/* Some recipients are to be tried later: what is final is recorded now, the rest goes back. */
static void lane_retry_rest(struct lane *l, const struct record_outcome *outcomes, uint32_t count,
                            const struct record_session *session)
{
    struct queue_mgr *queue = l->rq->eg->queue;
    struct queue_requeue how = {
        .reason = INSERT_LOGGED_TRANSIENT_FAILURE, .attempted = true, .logged = true};
    struct message *m = l->now.m;
    struct buf line = {0};

    for (uint32_t i = 0; i < count; i++) {
        queue_record(queue, m, &outcomes[i], session);
        if (outcomes[i].type == LOG_TRANSIENT_FAILURE) {
            buf_clear(&line);
            record_line_put(&line, &outcomes[i]);
        }
    }
    how.response = buf_slice(&line);
    if (lane_has(l, RECIPIENT_SETTLED)) {
        lane_reduce_recipients(l);
    }
    lane_forget_message(l);
    queue_retry(queue, m, &how);
    buf_free(&line);
}

static void lane_settle_groups(struct lane *l, enum lane_after after, bool more)
{
    struct queue_mgr *queue = l->rq->eg->queue;
    struct record_session session;
    const struct record_outcome *list;
    uint32_t count;

    outcomes_complete(l);
    list = (const struct record_outcome *)(const void *)l->outcomes.ptr;
    count = (uint32_t)(l->outcomes.len / sizeof(*list));
    lane_session_facts(l, &session);
    if (more) {
        for (uint32_t i = 0; i < count; i++) {
            queue_record(queue, l->now.m, &list[i], &session);
        }
        lane_keep_rest(l);
        if (after == LANE_NEXT_HOST) {
            lane_forget_recipients(l);
        }
    } else if (lane_has(l, RECIPIENT_TRANSIENT) || lane_has(l, RECIPIENT_WAITS)) {
        lane_retry_rest(l, list, count, &session);
    } else {
        struct message *m = l->now.m;

        lane_forget_message(l);
        queue_finish(queue, m, list, count, &session);
    }
}

bool lane_settle_batch(struct lane *l, enum lane_after after)
{
    uint32_t again = lane_group(l, after == LANE_SAME_HOST);
    bool more = after != LANE_GIVE_BACK &&
                (lane_has(l, RECIPIENT_WAITS) ||
                 (after == LANE_NEXT_HOST && lane_has(l, RECIPIENT_TRANSIENT)));

    l->tried_again = again > 0;
    lane_settle_groups(l, after, more);
    groups_end(l);
    return more;
}

void lane_lost_between(struct lane *l)
{
    if (l->now.m != NULL && l->state != LANE_LOADING) { /* it was not sent: nobody is charged */
        lane_return_message(l);
    }
    lane_disconnect(l);
}
