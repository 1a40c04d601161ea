/* From a promoted message to a slot in a ready queue: route, source, path, slot. */
#include "core/base/mem.h"
#include "core/egress/lane.h"
#include "core/queue/records.h"

static void promotion_free(struct promotion *p)
{
    p->eg->promotion_count--;
    mem_give(p->skip);
    mem_give(p);
}

/* The message goes back with a TransientFailure record and counts an attempt. */
static void promotion_fail(struct promotion *p, struct slice content)
{
    struct egress *eg = p->eg;
    struct message *m = p->m;
    struct record_outcome outcome = {.type = LOG_TRANSIENT_FAILURE,
                                     .code = 451,
                                     .enhanced_class = 4,
                                     .enhanced_subject = 4,
                                     .enhanced_detail = 4,
                                     .content = content};
    struct record_session session = {.egress_pool = schedq_pool_name(message_queue(m))};
    struct queue_requeue how = {.reason = INSERT_FAILED_TO_INSERT_INTO_READY_QUEUE,
                                .attempted = true,
                                .logged = true};
    static const struct slice internal = SLICE_INIT("KumoMTA internal: ");
    struct buf line = {0};

    buf_printf(&line, "451 4.4.4 KumoMTA internal: %.*s error while inserting into ready queue: ",
               SLICE_ARG(schedq_name(message_queue(m))));
    buf_put(&line, slice_eq(slice_head(content, internal.len), internal)
                       ? slice_from(content, internal.len)
                       : content);
    how.response = buf_slice(&line);
    promotion_free(p);
    queue_fail(eg->queue, m, &outcome, &session, &how);
    buf_free(&line);
}

static void promotion_unresolved(struct promotion *p, struct slice name, const struct buf *why)
{
    struct buf *text = &p->eg->scratch;

    buf_clear(text);
    BUF_LIT(text, "failed to resolve queue ");
    buf_put(text, name);
    BUF_LIT(text, ": ");
    buf_put(text, buf_slice(why));
    promotion_fail(p, buf_slice(text));
}

static void promotion_without_source(struct promotion *p)
{
    struct schedq *q = message_queue(p->m);
    struct buf *text = &p->eg->scratch;

    if (p->was_full) {
        struct queue_requeue how = {
            .reason = INSERT_READY_QUEUE_WAS_FULL,
            .unheard = true,
        };
        struct egress *eg = p->eg;
        struct message *m = p->m;

        eg->counters.ready_full_count++;
        promotion_free(p);
        queue_retry(eg->queue, m, &how);
        return;
    }
    buf_clear(text);
    BUF_LIT(text, "KumoMTA internal: no sources ");
    if (!p->was_throttled) {
        BUF_LIT(text, "available ");
    }
    BUF_LIT(text, "for ");
    buf_put(text, schedq_name(q));
    BUF_LIT(text, " pool=`");
    buf_put(text, schedq_pool_name(q));
    BUF_LIT(text, "`");
    if (p->was_throttled) {
        BUF_LIT(text, " are eligible for selection at this time");
    }
    promotion_fail(p, buf_slice(text));
}

/* ---- what a queue keeps ---- */

static void queue_slot_free(struct queue_slot *slot)
{
    route_put(&slot->route);
    for (uint32_t i = 0; i < slot->count; i++) {
        readyq_put(&slot->ready[i]);
    }
    mem_give(slot);
}

static struct queue_slot *queue_slot_get(struct egress *eg, struct schedq *q)
{
    void **at = schedq_slot(q);
    struct queue_slot *slot = *at;

    if (slot != NULL && slot->route->state == ROUTE_READY &&
        !route_stale(slot->route, shard_now_ms(eg->shard))) {
        return slot;
    }
    if (slot != NULL && slot->route->state == ROUTE_ASKING) {
        return slot;
    }
    if (slot != NULL) {
        queue_slot_free(slot);
    }
    slot = mem_take_zero(sizeof(*slot) + schedq_source_count(q) * sizeof(struct readyq *));
    slot->count = schedq_source_count(q);
    slot->route = route_get(eg, q);
    *at = slot;
    return slot;
}

static void egress_forget(void *ctx, struct schedq *q)
{
    void **at = schedq_slot(q);

    if (*at != NULL) {
        queue_slot_free(*at);
        *at = NULL;
    }
}

/* ---- the steps ---- */

/* The slot goes back: the rates of this source are exceeded. */
static void promotion_drop_choice(struct promotion *p, struct readyq *rq)
{
    lease_give(&rq->slots);
    p->was_throttled = true;
    p->rate_paid = PATH_RATES_BEGIN;
    p->skip[p->choice] = 1;
}

/* The source is chosen and a slot of its ready queue taken; what is left are the rates. False:
 * it was chosen too often, another is to be tried. */
static bool promotion_pay(struct promotion *p, struct readyq *rq)
{
    const struct egress_path_config *path = readyq_path(rq);
    const struct path_rates rates = {
        .own = path->has_source_selection_rate ? &path->source_selection_rate : NULL,
        .shared = &path->additional_source_selection_rates,
    };
    struct buf *name = &p->eg->scratch;
    struct message *m = p->m;
    uint64_t wait_ns;

    while ((p->rate_asked = path_rates_next(&rates, p->rate_paid)) != PATH_RATES_END) {
        struct gcra_rate rate = throttle_rate(path_rates_spec(&rates, p->rate_asked));

        buf_clear(name);
        path_rates_name(&rates, p->rate_asked, name, SLICE("kumomta.source_selection_rate."),
                        readyq_name(rq));
        if (p->rate_asked == rates.shared->count) {
            buf_char(name, '.');
            buf_put(name, slice_str(rq->source->source.name));
        }
        if (!token_take(p->eg->ledger, buf_slice(name), &rate, &p->token, &wait_ns)) {
            rq->refs++;
            p->rq = rq;
            return true;
        }
        if (wait_ns > 0) {
            promotion_drop_choice(p, rq);
            return false;
        }
        p->rate_paid = p->rate_asked;
    }
    promotion_free(p);
    readyq_insert(rq, m);
    return true;
}

static void rate_answered(struct token_ask *ask, uint64_t wait_ns)
{
    struct promotion *p = CONTAINER_OF(ask, struct promotion, token);
    struct readyq *rq = p->rq;
    bool over = false;

    p->rq = NULL;
    if (wait_ns == 0) {
        p->rate_paid = p->rate_asked;
        over = promotion_pay(p, rq);
    } else {
        promotion_drop_choice(p, rq);
    }
    if (!over) {
        promotion_step(p);
    }
    readyq_put(&rq);
}

static void slot_answered(struct lease_waiter *w, bool granted)
{
    struct promotion *p = CONTAINER_OF(w, struct promotion, slot_wait);
    struct readyq *rq = p->rq;

    p->rq = NULL;
    if (!granted) {
        p->was_full = true;
        p->skip[p->choice] = 1;
    }
    if (!granted || !promotion_pay(p, rq)) {
        promotion_step(p);
    }
    readyq_put(&rq);
}

static struct readyq *promotion_readyq(struct promotion *p, struct queue_slot *slot,
                                       uint32_t choice)
{
    struct schedq *q = message_queue(p->m);

    if (slot->ready[choice] != NULL && !slot->ready[choice]->listed) {
        readyq_put(&slot->ready[choice]);
    }
    if (slot->ready[choice] == NULL) {
        slot->ready[choice] =
            readyq_get(p->eg, q, slot->route, schedq_sources(q)[choice].source);
    }
    return slot->ready[choice];
}

/* Takes a slot of the chosen ready queue; false when it is full and another is to be tried. */
static bool promotion_take_slot(struct promotion *p, struct readyq *rq)
{
    if (p->skip == NULL) {
        p->skip = mem_take_zero(schedq_source_count(message_queue(p->m)));
    }
    switch (lease_take(&rq->slots, &p->slot_wait)) {
    case LEASE_TAKEN:
        return promotion_pay(p, rq);
    case LEASE_PENDING:
        rq->refs++;
        p->rq = rq;
        return true;
    case LEASE_FULL:
        break;
    }
    p->was_full = true;
    p->skip[p->choice] = 1;
    return false;
}

/* Nothing is promoted any more: the message rests in the spool. */
static void promotion_give_up(struct promotion *p)
{
    struct egress *eg = p->eg;
    struct message *m = p->m;

    promotion_free(p);
    queue_reinsert(eg->queue, m, INSERT_READY_QUEUE_WAS_REAPED);
    lanes_drained_check(eg);
}

void promotion_step(struct promotion *p)
{
    if (p->eg->draining) {
        promotion_give_up(p);
        return;
    }
    /* Mail that asks for another way out must not leave by SMTP instead. */
    if (schedq_config(message_queue(p->m))->protocol.kind != QUEUE_PROTOCOL_SMTP) {
        promotion_fail(p, SLICE("KumoMTA internal: the protocol of this queue is not supported "
                                "yet"));
        return;
    }
    for (;;) {
        struct schedq *q = message_queue(p->m);
        struct queue_slot *slot = queue_slot_get(p->eg, q);
        struct readyq *rq;

        if (slot->route->state == ROUTE_ASKING) {
            egress_hold(p->eg, p->m);
            dlist_push(&slot->route->waiting, &p->link);
            return;
        }
        if (slot->route->state == ROUTE_FAILED) {
            promotion_unresolved(p, schedq_name(q), &slot->route->why);
            return;
        }
        p->choice = schedq_choose(q, p->skip);
        if (p->choice == UINT32_MAX) {
            promotion_without_source(p);
            return;
        }
        rq = promotion_readyq(p, slot, p->choice);
        if (rq->state == READYQ_ASKING) {
            egress_hold(p->eg, p->m);
            dlist_push(&rq->promotions, &p->link);
            return;
        }
        if (rq->state == READYQ_FAILED) {
            promotion_unresolved(p, readyq_name(rq), &rq->why);
            return;
        }
        if (promotion_take_slot(p, rq)) {
            return;
        }
    }
}

void promotions_resume(struct dlist *waiting)
{
    struct dlist batch, *node;

    dlist_init(&batch);
    dlist_splice(&batch, waiting);
    while ((node = dlist_pop(&batch)) != NULL) {
        struct promotion *p = CONTAINER_OF(node, struct promotion, link);

        egress_unhold(p->eg, p->m);
        promotion_step(p);
    }
}

static void egress_promote(void *ctx, struct message *m)
{
    struct promotion *p = MEM_NEW(struct promotion);

    p->eg = ctx;
    p->m = m;
    p->eg->promotion_count++;
    p->rate_paid = PATH_RATES_BEGIN;
    p->slot_wait.fn = slot_answered;
    p->token.fn = rate_answered;
    promotion_step(p);
}

const struct queue_promoter egress_promoter = {
    .promote = egress_promote,
    .forget = egress_forget,
};
