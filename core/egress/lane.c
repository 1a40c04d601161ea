/* The life of a lane: taking messages, waiting, ending. */
#include "core/egress/lane.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/base/uuid.h"

#define GRACE_MAX_MS 86400000u
#define TURN_MESSAGES 20u /* sent before a wanted place is given up ... */
#define TURN_MS 1000u     /* ... unless they take this long */

static void lane_resumed(struct post *p);
static void lane_timer_fired(struct timer *t);

static bool edge_exists(enum lane_state from, enum lane_state to)
{
    static const bool edge[LANE_STATE_COUNT][LANE_STATE_COUNT] = {
#define LANE_EDGE(f, t, when) [LANE_##f][LANE_##t] = true,
#include "core/egress/lane_edges.def"
#undef LANE_EDGE
    };
    return edge[from][to] || to == LANE_ENDED;
}

/* The only place that writes l->state. */
void lane_enter(struct lane *l, enum lane_state next)
{
    MUST(next < LANE_STATE_COUNT);
    MUST(edge_exists(l->state, next));
    if (l->state == LANE_IDLE) {
        dlist_remove(&l->idle_link);
    }
    l->rq->sending_count -= l->state == LANE_SENDING;
    l->rq->sending_count += next == LANE_SENDING;
    timer_cancel(&l->rq->eg->shard->timers, &l->timer);
    l->state = (uint8_t)next;
    if (next == LANE_IDLE) {
        dlist_push_front(&l->rq->idle, &l->idle_link);
    }
}

void lane_arm(struct lane *l, uint64_t after_ms)
{
    struct shard *sh = l->rq->eg->shard;

    timer_arm(&sh->timers, &l->timer, shard_now_ms(sh) + after_ms);
}

static uint64_t ms_of(uint64_t ns)
{
    return ns / 1000000u;
}

static void lane_set_timeouts(struct lane *l)
{
    const struct egress_path_config *path = readyq_path(l->rq);

    l->class_ms[SMTP_TIMEOUT_IDLE] = ms_of(path->idle_timeout);
    l->class_ms[SMTP_TIMEOUT_BANNER] = ms_of(path->banner_timeout);
    l->class_ms[SMTP_TIMEOUT_EHLO] = ms_of(path->ehlo_timeout);
    l->class_ms[SMTP_TIMEOUT_STARTTLS] = ms_of(path->starttls_timeout);
    l->class_ms[SMTP_TIMEOUT_AUTH] = ms_of(path->auth_timeout);
    l->class_ms[SMTP_TIMEOUT_RSET] = ms_of(path->rset_timeout);
    l->class_ms[SMTP_TIMEOUT_MAIL] = ms_of(path->mail_from_timeout);
    l->class_ms[SMTP_TIMEOUT_RCPT] = ms_of(path->rcpt_to_timeout);
    l->class_ms[SMTP_TIMEOUT_DATA] = ms_of(path->data_timeout);
    l->class_ms[SMTP_TIMEOUT_DOT] = ms_of(path->data_dot_timeout);
}

static struct slice lane_ehlo_name(const struct lane *l)
{
    const struct egress_path_config *path = readyq_path(l->rq);
    const struct egress_source_config *source = &l->rq->source->source;

    if (path->ehlo_domain != NULL) {
        return slice_str(path->ehlo_domain);
    }
    if (source->ehlo_domain != NULL) {
        return slice_str(source->ehlo_domain);
    }
    return l->rq->eg->hostname;
}

static void lane_grace_over(struct timer *t);

void lane_open(struct readyq *rq, struct limit_set *limits)
{
    const struct egress_path_config *path = readyq_path(rq);
    struct ring *ring = &rq->eg->shard->ring;
    struct lane *l = MEM_NEW(struct lane);
    struct uuid id = uuid_v4(ring_random(ring), ring_random(ring));

    l->rq = rq;
    l->limits = limits;
    l->fd = -1;
    l->opened_ms = shard_now_ms(rq->eg->shard);
    l->rate_paid = PATH_RATES_BEGIN;
    l->grace.fn = lane_grace_over;
    l->resume.fn = lane_resumed;
    l->timer.fn = lane_timer_fired;
    memcpy(l->session_id, id.bytes, sizeof(l->session_id));
    l->client_params = (struct smtp_client_params){
        .ehlo_name = lane_ehlo_name(l),
        .lmtp = path->use_lmtp,
        .enable_pipelining = path->enable_pipelining,
        .enable_rset = path->enable_rset,
        .ignore_8bit_checks = path->ignore_8bit_checks,
    };
    lane_set_timeouts(l);
    dlist_push(&rq->lanes, &l->link);
    rq->lane_count++;
    rq->eg->lane_count++;
    shard_post(rq->eg->shard, &l->resume);
}

/* ---- messages ---- */

static void lane_loaded(struct message_load *load, enum spool_err err)
{
    struct lane *l = CONTAINER_OF(load, struct lane, load);

    if (l->state == LANE_ENDED) {
        lane_end(l);
        return;
    }
    if (err != SPOOL_OK) {
        struct buf *text = &l->texts;

        buf_clear(text);
        buf_printf(text, "KumoMTA internal: error in deliver_message: %s", spool_err_text(err));
        if (l->state == LANE_LOADING) {
            lane_enter(l, LANE_NEXT);
        }
        lane_fail_message(l, 400, buf_slice(text));
    }
    if (l->state == LANE_LOADING) {
        lane_enter(l, LANE_NEXT);
    }
    if (l->state == LANE_NEXT) {
        lane_next(l);
    }
}

/* A message is held: on with it as far as it goes. */
static void lane_hold(struct lane *l)
{
    if (l->now.m->content == NULL) {
        lane_enter(l, LANE_LOADING);
        message_load(l->rq->eg->queue->spool, &l->load, l->now.m, lane_loaded);
    } else if (l->conn_open) {
        lane_send(l);
    } else {
        lane_connect(l);
    }
}

/* Somebody else is short of the places this lane holds. */
static bool lane_is_wanted(const struct lane *l)
{
    return l->recalled || limit_set_wanted(l->limits);
}

/* It goes, but not before it was of use: two that are short of the same place would otherwise
 * hand it to and fro and send nothing. */
static bool lane_has_had_its_turn(const struct lane *l)
{
    return l->attempted_count >= TURN_MESSAGES ||
           (l->attempted_count > 0 &&
            shard_now_ms(l->rq->eg->shard) >= l->opened_ms + TURN_MS);
}

bool lane_must_stop(const struct lane *l)
{
    return l->rq->eg->draining || l->cut || (lane_is_wanted(l) && lane_has_had_its_turn(l)) ||
           (l->conn_open &&
            l->delivered_this_connection >= readyq_path(l->rq)->max_deliveries_per_connection);
}

/* The next message that may be sent; what is held back goes, for it takes up the queue's slots. */
static struct message *lane_take(struct lane *l)
{
    struct queue_mgr *queue = l->rq->eg->queue;
    struct message *m;

    while ((m = readyq_pop(l->rq)) != NULL && queue_holds_back(queue, m)) {
        queue_reinsert(queue, m, INSERT_SPOOL_UNHEALTHY);
    }
    return m;
}

void lane_next(struct lane *l)
{
    MUST(l->state == LANE_NEXT);
    if (l->now.m == NULL && !lane_must_stop(l)) {
        l->now.m = lane_take(l);
    }
    if (l->now.m != NULL) {
        lane_hold(l);
    } else if (!l->conn_open || lane_must_stop(l) || lane_is_wanted(l)) {
        lane_finish(l);
    } else {
        lane_enter(l, LANE_IDLE);
        lane_arm(l, l->class_ms[SMTP_TIMEOUT_IDLE]);
    }
}

static void lane_resumed(struct post *p)
{
    struct lane *l = CONTAINER_OF(p, struct lane, resume);

    if (l->state == LANE_IDLE) {
        lane_enter(l, LANE_NEXT);
    }
    if (l->state == LANE_NEXT) {
        lane_next(l);
    }
}

bool lane_wake_one(struct readyq *rq)
{
    struct lane *l;

    if (dlist_empty(&rq->idle)) {
        return false;
    }
    l = CONTAINER_OF(rq->idle.next, struct lane, idle_link);
    lane_enter(l, LANE_NEXT);
    shard_post(rq->eg->shard, &l->resume);
    return true;
}

void lane_recall_one(struct readyq *rq)
{
    if (!dlist_empty(&rq->idle)) {
        struct lane *l = CONTAINER_OF(rq->idle.prev, struct lane, idle_link);

        l->recalled = true;
        shard_post(rq->eg->shard, &l->resume);
        return;
    }
    for (struct dlist *n = rq->lanes.next; n != &rq->lanes; n = n->next) {
        struct lane *l = CONTAINER_OF(n, struct lane, link);

        if (!l->recalled) {
            l->recalled = true;
            return;
        }
    }
}

/* ---- the end ---- */

void lane_forget_recipients(struct lane *l)
{
    cargo_close(&l->now);
    buf_free(&l->stuffed);
}

void lane_forget_message(struct lane *l)
{
    l->now.m = NULL;
    lane_forget_recipients(l);
}

void lane_return_message(struct lane *l)
{
    struct message *m = l->now.m;

    lane_forget_message(l);
    queue_reinsert(l->rq->eg->queue, m, INSERT_PEER_CLOSED_CONNECTION);
}

void lane_finish(struct lane *l)
{
    MUST(l->now.m == NULL && l->next.m == NULL);
    if (l->conn_open && l->state != LANE_CLOSING && !l->cut && smtp_client_idle(&l->client)) {
        lane_enter(l, LANE_QUITTING);
        lane_act(l, smtp_client_quit(&l->client));
    } else if (l->conn_open) {
        lane_disconnect(l);
    } else {
        lane_end(l);
    }
}

static bool lane_busy(const struct lane *l)
{
    return l->conn_open || l->connect.in_flight || l->cancel.in_flight ||
           l->unused_close.in_flight || l->load.in_flight || l->token.in_flight;
}

void lane_end(struct lane *l)
{
    struct readyq *rq = l->rq;
    struct egress *eg = rq->eg;

    if (l->state != LANE_ENDED) {
        lane_enter(l, LANE_ENDED);
        addr_planner_cancel(&l->planner);
    }
    if (lane_busy(l)) {
        return; /* whoever ends last comes back here */
    }
    MUST(l->now.m == NULL && l->next.m == NULL && l->verdict == NULL);
    dlist_remove(&l->link);
    timer_cancel(&eg->shard->timers, &l->grace);
    shard_unpost(eg->shard, &l->resume);
    smtp_client_free(&l->client);
    addr_plan_free(&l->plan);
    buf_free(&l->failures);
    buf_free(&l->texts);
    buf_free(&l->stuffed);
    buf_free(&l->verdicts);
    lane_settle_free(l);
    eg->lane_count--;
    readyq_lane_ended(rq, l->limits);
    mem_give(l);
    lanes_drained_check(eg);
}

static void lane_timer_fired(struct timer *t)
{
    struct lane *l = CONTAINER_OF(t, struct lane, timer);

    switch ((enum lane_state)l->state) {
    case LANE_IDLE:
        lane_enter(l, LANE_NEXT);
        lane_finish(l);
        break;
    case LANE_CONN_RATE:
    case LANE_RATE:
        lane_enter(l, LANE_NEXT);
        lane_next(l);
        break;
    case LANE_CONNECTING:
        lane_connect_timer(l);
        break;
    case LANE_SETUP:
    case LANE_SENDING:
    case LANE_QUITTING:
        lane_send_timer(l);
        break;
    case LANE_NEXT:
    case LANE_LOADING:
    case LANE_PLANNING:
    case LANE_JUDGING:
    case LANE_CLOSING:
    case LANE_ENDED:
    case LANE_STATE_COUNT:
        break;
    }
}

/* What is under way when the drain begins may take as long as the path says. */
static void lane_give_grace(struct lane *l)
{
    struct shard *sh = l->rq->eg->shard;
    uint64_t ms = ms_of(egress_path_shutdown_timeout(readyq_path(l->rq)));

    timer_arm(&sh->timers, &l->grace, shard_now_ms(sh) + (ms < GRACE_MAX_MS ? ms : GRACE_MAX_MS));
}

static void lane_stop(struct lane *l, bool cut)
{
    l->cut = l->cut || cut;
    switch ((enum lane_state)l->state) {
    case LANE_CONN_RATE:
    case LANE_RATE:
        lane_enter(l, LANE_NEXT);
        lane_return_message(l);
        lane_finish(l);
        break;
    case LANE_IDLE:
        lane_enter(l, LANE_NEXT);
        lane_finish(l);
        break;
    case LANE_CONNECTING:
    case LANE_SETUP:
        lane_candidate_failed(l, SLICE("shutting down"));
        break;
    default:
        if (!cut) {
            lane_give_grace(l);
        } else if (l->state == LANE_JUDGING) {
            lane_judge_cut(l);
        } else if (l->conn_open) {
            lane_act(l, smtp_client_lost(&l->client, SLICE("shutting down")));
        }
        break;
    }
}

static void lane_grace_over(struct timer *t)
{
    lane_stop(CONTAINER_OF(t, struct lane, grace), true);
}

void lanes_stop(struct readyq *rq, bool cut)
{
    struct dlist *next;

    for (struct dlist *n = rq->lanes.next; n != &rq->lanes; n = next) {
        next = n->next;
        lane_stop(CONTAINER_OF(n, struct lane, link), cut);
    }
}

static void drained_tell(struct egress *eg)
{
    void (*drained)(void *ctx) = eg->drained;

    eg->drained = NULL;
    drained(eg->drained_ctx);
}

void lanes_drained_check(struct egress *eg)
{
    if (eg->draining && eg->drained != NULL && eg->lane_count == 0 && eg->promotion_count == 0) {
        drained_tell(eg);
    }
}
