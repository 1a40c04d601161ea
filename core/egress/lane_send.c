/* One message over an open connection: the client session drives, the lane writes and waits. */
#include "core/base/duration.h"
#include "core/base/mem.h"
#include "core/egress/lane.h"
#include "proto/dot_stuff.h"

/* ---- rates ---- */

bool lane_take_token(struct lane *l, const struct throttle_spec *spec, uint64_t *wait_ns)
{
    struct gcra_rate rate = gcra_rate_make(spec->limit, spec->period_s,
                                           spec->has_burst ? spec->max_burst : GCRA_NO_BURST);

    return token_take(l->rq->eg->ledger, buf_slice(&l->texts), &rate, &l->token, wait_ns);
}

void lane_throttled(struct lane *l, uint64_t wait_ns, enum lane_state state,
                    enum insert_reason reason)
{
    uint64_t wait_ms = wait_ns / 1000000u + 1;
    struct queue_requeue how = {
        .reason = reason,
        .has_delay = true,
        .delay_ms = wait_ms,
        .response = SLICE_INIT("451 4.4.1 KumoMTA internal: ready queue throttled"),
    };
    struct message *m = l->now.m;

    if (wait_ms < l->class_ms[SMTP_TIMEOUT_IDLE]) {
        lane_enter(l, state);
        lane_arm(l, wait_ms);
        return;
    }
    lane_forget_message(l);
    queue_retry(l->rq->eg->queue, m, &how);
    readyq_retry_all(l->rq, &how);
    lane_next(l);
}

static void message_rate_answered(struct lane *l, uint64_t wait_ns)
{
    if (wait_ns == 0) {
        l->rate_paid = l->rate_asked;
        lane_send(l); /* where the next one is asked */
    } else {
        lane_throttled(l, wait_ns, LANE_RATE, INSERT_MESSAGE_RATE_THROTTLE);
    }
}

static void message_rate_answered_later(struct token_ask *ask, uint64_t wait_ns)
{
    struct lane *l = CONTAINER_OF(ask, struct lane, token);

    if (l->state == LANE_ENDED) {
        lane_end(l);
    } else if (l->state == LANE_RATE) {
        lane_enter(l, LANE_NEXT);
        message_rate_answered(l, wait_ns);
    }
}

static struct path_rates lane_message_rates(const struct lane *l)
{
    const struct egress_path_config *path = readyq_path(l->rq);

    return (struct path_rates){
        .own = path->has_max_message_rate ? &path->max_message_rate : NULL,
        .shared = &path->additional_message_rate_throttles,
    };
}

/* The rate to be paid next, its bucket's name in l->texts; false when all are paid. */
static bool lane_next_rate(struct lane *l, const struct path_rates *rates)
{
    l->rate_asked = path_rates_next(rates, l->rate_paid);
    if (l->rate_asked == PATH_RATES_END) {
        return false;
    }
    buf_clear(&l->texts);
    path_rates_name(rates, l->rate_asked, &l->texts, SLICE("kumomta.max_message_rate."),
                    readyq_name(l->rq));
    return true;
}

/* Takes one token after the other; true when all are in hand. */
static bool lane_pay_message_rates(struct lane *l)
{
    const struct path_rates rates = lane_message_rates(l);
    uint64_t wait_ns;

    while (lane_next_rate(l, &rates)) {
        l->token.fn = message_rate_answered_later;
        if (!lane_take_token(l, path_rates_spec(&rates, l->rate_asked), &wait_ns)) {
            lane_enter(l, LANE_RATE);
            return false;
        }
        if (wait_ns > 0) {
            lane_throttled(l, wait_ns, LANE_RATE, INSERT_MESSAGE_RATE_THROTTLE);
            return false;
        }
        l->rate_paid = l->rate_asked;
    }
    return true;
}

bool lane_pay_message_rates_now(struct lane *l)
{
    const struct path_rates rates = lane_message_rates(l);
    uint64_t wait_ns;

    while (lane_next_rate(l, &rates)) {
        if (!token_at_hand(l->rq->eg->ledger, buf_slice(&l->texts)) ||
            !lane_take_token(l, path_rates_spec(&rates, l->rate_asked), &wait_ns) ||
            wait_ns > 0) {
            return false;
        }
        l->rate_paid = l->rate_asked;
    }
    return true;
}

/* ---- the transaction ---- */

void lane_transact(struct lane *l)
{
    l->broken = l->timed_out = l->next_host = false;
    l->began_ms = shard_now_ms(l->rq->eg->shard);
    lane_enter(l, LANE_SENDING);
}

void lane_send(struct lane *l)
{
    struct smtp_transaction tx;

    MUST(l->state == LANE_NEXT && l->now.m != NULL && l->conn_open);
    if (!smtp_client_idle(&l->client)) { /* the peer hung up between messages */
        lane_disconnect(l);
        return;
    }
    if (l->now.recipients == NULL) { /* a further batch of the same message costs nothing more */
        if (!lane_pay_message_rates(l)) {
            return;
        }
        l->rate_paid = PATH_RATES_BEGIN;
        cargo_open(&l->now);
        l->attempted_count++;
        l->delivered_this_connection++;
    }
    cargo_pick(&l->now, readyq_path(l->rq)->max_recipients_per_batch);
    tx = cargo_transaction(&l->now);
    lane_transact(l);
    lane_act(l, smtp_client_begin(&l->client, &tx));
}

/* The message in its wire form. What needs no change goes out from where it lies. */
static void lane_write_body(struct lane *l)
{
    const struct message_content *c = l->now.m->content;
    const uint32_t flags = l->now.flags;
    struct slice head = buf_slice(&c->head);
    struct slice body = slice_from(buf_slice(&c->body->bytes), c->body_from);
    struct slice pieces[3] = {head, body, dot_terminator(flags)};

    if (dot_must_copy(flags)) {
        buf_clear(&l->stuffed);
        dot_stuff_put(&l->stuffed, head, body);
        pieces[0] = buf_slice(&l->stuffed);
        pieces[1] = SLICE("");
        pieces[2] = SLICE(".\r\n");
    }
    conn_flush_pieces(&l->conn, pieces, 3);
}

/* ---- the client's steps ---- */

static void lane_ready(struct lane *l)
{
    l->rq->consecutive_failures = 0;
    buf_clear(&l->failures);
    l->failure_count = 0;
    lane_enter(l, LANE_NEXT);
    lane_next(l);
}

void lane_judged(struct lane *l)
{
    bool more;

    if (l->broken) {
        (void)lane_settle_batch(l, l->next_host ? LANE_NEXT_HOST : LANE_GIVE_BACK);
        lane_drop_next(l);
        lane_disconnect(l);
        return;
    }
    readyq_note_pace(l->rq, shard_now_ms(l->rq->eg->shard) - l->began_ms);
    more = lane_settle_batch(l, LANE_SAME_HOST);
    lane_enter(l, LANE_NEXT);
    if (l->cut) {
        lane_drop_next(l);
    }
    if (l->next.m != NULL) {
        MUST(!more); /* the dot's reply, which alone was open, is everybody's */
        lane_go_on(l);
    } else if (more) {
        lane_send(l);
    } else {
        lane_next(l);
    }
}

/* try_next_host_on_transport_error: not for a connection that broke within a message, which the
 * peer may have taken. */
static bool lane_may_try_next_host(const struct lane *l, enum smtp_client_step step)
{
    const struct egress_path_config *path = readyq_path(l->rq);
    struct smtp_outcome o;

    if (!path->try_next_host_on_transport_error || l->rq->eg->draining || l->cut ||
        path->reconnect_strategy == RECONNECT_TERMINATE_SESSION ||
        (path->reconnect_strategy == RECONNECT_NEXT_HOST && addr_plan_left(&l->plan) == 0)) {
        return false;
    }
    return step == SMTP_CLIENT_CLOSED || l->timed_out ||
           (smtp_client_outcome(&l->client, 0, &o) && o.command == SMTP_CLIENT_CMD_RSET);
}

/* The connection is of no use any more; a message under way has its outcomes. */
static void lane_lost(struct lane *l, enum smtp_client_step step)
{
    struct buf why = {0};

    switch ((enum lane_state)l->state) {
    case LANE_SETUP:
        buf_put(&why, smtp_client_error(&l->client));
        lane_candidate_failed(l, buf_slice(&why));
        break;
    case LANE_SENDING:
        l->broken = true;
        l->next_host = lane_may_try_next_host(l, step);
        lane_judge(l);
        break;
    case LANE_JUDGING: /* its replies are all there; no more than that comes of it */
        l->broken = true;
        break;
    case LANE_RATE:
    case LANE_NEXT:
    case LANE_IDLE:
    case LANE_QUITTING:
    case LANE_LOADING:
        lane_lost_between(l);
        break;
    default:
        break;
    }
    buf_free(&why);
}

/* Writes what the client staged. */
static void lane_write(struct lane *l)
{
    buf_put(conn_out(&l->conn), smtp_client_out(&l->client));
    conn_flush(&l->conn);
}

void lane_await(struct lane *l)
{
    const struct smtp_client *c = &l->client;
    uint64_t now_ms = shard_now_ms(l->rq->eg->shard);
    uint64_t line_ms = smtp_client_timeout_ms(c, l->class_ms);
    bool is_new = !timer_armed(&l->timer) || l->await_reply != c->reply_count ||
                  l->await_write != c->writing;

    if (is_new) {
        l->await_until_ms = now_ms + smtp_client_total_ms(c, l->class_ms);
    } else if (l->await_line == c->scan.line_at) {
        return;
    }
    l->await_reply = c->reply_count;
    l->await_line = c->scan.line_at;
    l->await_write = c->writing;
    if (l->await_until_ms < now_ms + line_ms) {
        line_ms = l->await_until_ms > now_ms ? l->await_until_ms - now_ms : 0;
    }
    lane_arm(l, line_ms);
}

void lane_act(struct lane *l, enum smtp_client_step step)
{
    switch (step) {
    case SMTP_CLIENT_WAIT:
        break;
    case SMTP_CLIENT_SEND:
        lane_write(l);
        break;
    case SMTP_CLIENT_SEND_BODY:
        lane_write_body(l);
        break;
    case SMTP_CLIENT_READY:
        if (l->state == LANE_SETUP) {
            lane_ready(l);
        }
        return;
    case SMTP_CLIENT_DONE:
        lane_judge(l);
        return;
    case SMTP_CLIENT_TLS:
        MUST(!"TLS was not asked for");
        return;
    case SMTP_CLIENT_BYE:
    case SMTP_CLIENT_UNSOLICITED:
    case SMTP_CLIENT_REJECTED:
    case SMTP_CLIENT_FAILED:
    case SMTP_CLIENT_CLOSED:
        lane_lost(l, step);
        return;
    }
    if (l->state == LANE_SETUP || l->state == LANE_SENDING || l->state == LANE_QUITTING) {
        lane_await(l);
    }
}

void lane_received(struct conn *c, struct slice bytes)
{
    struct lane *l = CONTAINER_OF(c, struct lane, conn);
    enum smtp_client_step step;
    size_t used;

    do {
        step = smtp_client_feed(&l->client, bytes, &used);
        bytes = slice_from(bytes, used);
        if (step == SMTP_CLIENT_READY && bytes.len > 0) {
            continue; /* what follows says whether it really is ready */
        }
        lane_act(l, step);
    } while (bytes.len > 0 && l->state != LANE_CLOSING && l->state != LANE_ENDED &&
             step < SMTP_CLIENT_UNSOLICITED);
}

void lane_send_timer(struct lane *l)
{
    struct buf where = {0}, duration = {0};
    uint64_t ms = smtp_client_timeout_ms(&l->client, l->class_ms);

    buf_put(&where, readyq_name(l->rq));
    buf_printf(&where, " %s", l->peer_addr);
    duration_put(&duration, ms * 1000000u);
    l->timed_out = true;
    lane_act(l, smtp_client_timed_out(&l->client, buf_slice(&where), buf_slice(&duration)));
    buf_free(&where);
    buf_free(&duration);
}
