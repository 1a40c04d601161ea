/* Finding a candidate host and connecting to it. */
#include "core/base/duration.h"
#include "core/base/mem.h"
#include "core/egress/lane.h"

#include <errno.h>
#include <string.h>

static bool lane_is_stopping(const struct lane *l)
{
    return l->rq->eg->draining || l->cut;
}

/* ---- the whole queue's fate, before any connection ---- */

static enum insert_reason verdict_reason(enum addr_verdict verdict)
{
    switch (verdict) {
    case ADDR_NULL_MX:
        return INSERT_FAILED_DUE_TO_NULL_MX;
    case ADDR_NO_ADDRESS:
        return INSERT_MX_RESOLVED_TO_ZERO_HOSTS;
    case ADDR_PROHIBITED:
        return INSERT_MX_WAS_PROHIBITED;
    default:
        return INSERT_MX_WAS_SKIPPED;
    }
}

static void lane_fail_queue(struct lane *l, const struct addr_judgement *j, struct slice text)
{
    struct readyq *rq = l->rq;
    struct record_outcome outcome = {
        .type = j->bounce ? LOG_BOUNCE : LOG_TRANSIENT_FAILURE,
        .code = j->code,
        .enhanced_class = j->enhanced[0],
        .enhanced_subject = j->enhanced[1],
        .enhanced_detail = j->enhanced[2],
        .content = text,
    };
    struct queue_requeue how = {.reason = verdict_reason(j->verdict),
                                .attempted = true,
                                .logged = true};
    struct record_session session;
    struct message *m = l->now.m;

    lane_session_facts(l, &session);
    session.delivery_protocol = (struct slice){0};
    lane_forget_message(l);
    for (uint32_t left = rq->ready_count + 1; left > 0 && m != NULL; left--) {
        if (j->bounce) {
            rq->eg->counters.bounced_count++;
            queue_finish(rq->eg->queue, m, &outcome, 1, &session);
        } else {
            rq->eg->counters.transient_count++;
            queue_fail(rq->eg->queue, m, &outcome, &session, &how);
        }
        m = left > 1 ? readyq_pop(rq) : NULL;
    }
    lane_finish(l);
}

/* ---- the plan ---- */

static void lane_planned(struct addr_planner *p, struct addr_plan *plan)
{
    struct lane *l = CONTAINER_OF(p, struct lane, planner);
    const struct egress_path_config *path = readyq_path(l->rq);
    struct addr_judgement judgement;
    struct buf text = {0};

    MUST(l->state == LANE_PLANNING);
    lane_enter(l, LANE_NEXT);
    addr_plan_free(&l->plan);
    l->plan = *plan;
    *plan = (struct addr_plan){0};
    l->planned = true;
    if (l->plan.error.len > 0) {
        BUF_LIT(&text, "KumoMTA internal: failed to connect to any candidate hosts: ");
        buf_put(&text, buf_slice(&l->plan.error));
        lane_fail_message(l, 400, buf_slice(&text));
        lane_finish(l);
        buf_free(&text);
        return;
    }
    judgement = addr_plan_judge(
        &l->plan,
        (struct ip_net_list){path->prohibited_hosts.items, path->prohibited_hosts.count},
        (struct ip_net_list){path->skip_hosts.items, path->skip_hosts.count}, &text);
    if (judgement.verdict != ADDR_GO) {
        lane_fail_queue(l, &judgement, buf_slice(&text));
    } else {
        lane_connect(l);
    }
    buf_free(&text);
}

static void lane_make_plan(struct lane *l)
{
    lane_enter(l, LANE_PLANNING);
    l->planner.fn = lane_planned;
    route_plan(l->rq->route, (enum ip_strategy)readyq_path(l->rq)->ip_lookup_strategy,
               &l->planner);
}

/* ---- giving up on the site ---- */

/* Hosts have not answered for too long: everything that waits here is put off at once. */
static void lane_bulk_delay(struct readyq *rq, const struct record_session *session)
{
    static const struct slice text = SLICE_INIT(
        "bulk delay of ready queue: too many successive connection failures where there was no "
        "answer from any hosts listed in MX");
    struct record_outcome outcome = {.type = LOG_TRANSIENT_FAILURE,
                                     .code = 451,
                                     .enhanced_class = 4,
                                     .enhanced_subject = 4,
                                     .enhanced_detail = 1,
                                     .content = text};
    struct queue_requeue how = {.reason = INSERT_TOO_MANY_CONNECTION_FAILURES,
                                .attempted = true,
                                .logged = true};
    struct message *m;

    for (uint32_t left = rq->ready_count; left > 0 && (m = readyq_pop(rq)) != NULL; left--) {
        queue_fail(rq->eg->queue, m, &outcome, session, &how);
    }
}

static void lane_exhausted(struct lane *l)
{
    struct readyq *rq = l->rq;
    struct record_session session;
    struct buf text = {0};

    if (lane_is_stopping(l) || (l->failure_count == 0 && l->attempted_count > 0)) {
        /* Used up by earlier messages, or no time left: this one is not charged for it. */
        lane_return_message(l);
        lane_finish(l);
        return;
    }
    BUF_LIT(&text, "KumoMTA internal: failed to connect to any candidate hosts: ");
    if (l->unplumbed_count > 0 && l->unplumbed_count == l->failure_count) {
        BUF_LIT(&text, "All failures are related to having an unplumbed source address. "
                       "Are the network interfaces provisioned correctly? ");
    }
    buf_put(&text, buf_slice(&l->failures));
    rq->eg->counters.connect_failure_count++;
    lane_fail_message(l, 400, buf_slice(&text));
    buf_free(&text);
    if (rq->consecutive_failures++ >
        readyq_path(rq)->consecutive_connection_failures_before_delay) {
        lane_session_facts(l, &session);
        lane_bulk_delay(rq, &session);
    }
    lane_finish(l);
}

static void note_failure(struct lane *l, struct slice why)
{
    if (l->failures.len > 0) {
        BUF_LIT(&l->failures, ", ");
    }
    buf_put(&l->failures, why);
    l->failure_count++;
}

void lane_candidate_failed(struct lane *l, struct slice why)
{
    note_failure(l, why);
    if (l->connect.in_flight) { /* its completion goes on */
        if (!l->cancel.in_flight) {
            ring_cancel_op(&l->rq->eg->shard->ring, &l->cancel, &l->connect);
        }
    } else if (!l->unused_close.in_flight) { /* else the socket is closing, and that goes on */
        MUST(l->conn_open);
        lane_disconnect(l);
    }
}

/* ---- the connection's events ---- */

static void lane_conn_sent(struct conn *c)
{
    struct lane *l = CONTAINER_OF(c, struct lane, conn);

    if (l->client.writing) {
        lane_act(l, smtp_client_sent(&l->client));
    }
}

/* A block of the payload is through: each has the time of a write (RFC 5321, 4.5.3.2.5), or a
 * large message would never get over a slow line. */
static void lane_conn_moved(struct conn *c)
{
    struct lane *l = CONTAINER_OF(c, struct lane, conn);

    if (l->state == LANE_SENDING && l->client.writing) {
        timer_cancel(&l->rq->eg->shard->timers, &l->timer);
        lane_await(l);
    }
}

static void lane_conn_last(struct conn *c)
{
    struct lane *l = CONTAINER_OF(c, struct lane, conn);

    if (l->state == LANE_SENDING) {
        lane_follow(l);
    }
}

static void lane_conn_ended(struct conn *c, enum conn_end end)
{
    struct lane *l = CONTAINER_OF(c, struct lane, conn);

    lane_act(l, smtp_client_lost(&l->client, slice_str(conn_end_text(end))));
}

static void lane_conn_closed(struct conn *c)
{
    struct lane *l = CONTAINER_OF(c, struct lane, conn);

    l->conn_open = false;
    if (l->state == LANE_ENDED) {
        lane_end(l);
        return;
    }
    MUST(l->state == LANE_CLOSING);
    if (l->load.in_flight) { /* it goes on when the message is there */
        lane_enter(l, LANE_LOADING);
        return;
    }
    lane_enter(l, LANE_NEXT);
    if (l->now.m != NULL) {
        lane_connect(l);
    } else if (addr_plan_left(&l->plan) == 0 || lane_is_stopping(l)) {
        lane_finish(l); /* the next message gets a fresh session */
    } else {
        lane_next(l);
    }
}

void lane_disconnect(struct lane *l)
{
    if (l->state == LANE_CLOSING || l->state == LANE_ENDED) {
        return;
    }
    if (l->state != LANE_SETUP) {
        switch (readyq_path(l->rq)->reconnect_strategy) {
        case RECONNECT_TERMINATE_SESSION:
            l->plan.next = l->plan.count;
            break;
        case RECONNECT_SAME_HOST:
            l->plan.next -= l->plan.next > 0 ? 1 : 0;
            break;
        case RECONNECT_NEXT_HOST:
            break;
        }
    }
    lane_enter(l, LANE_CLOSING);
    conn_close(&l->conn, true);
}

/* ---- connecting ---- */

static const struct conn_events lane_events = {
    .received = lane_received,
    .sent = lane_conn_sent,
    .moved = lane_conn_moved,
    .last = lane_conn_last,
    .ended = lane_conn_ended,
    .closed = lane_conn_closed,
};

static void addr_text(char *out, size_t size, const struct ip_port *addr)
{
    struct buf text = {0};

    ip_port_put(&text, addr);
    MUST(text.len < size);
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    buf_free(&text);
}

static void lane_set_address(struct lane *l)
{
    const struct egress_source_config *source = &l->rq->source->source;
    struct buf ip = {0};

    l->address = (struct ip_port){
        .ip = l->target->ip,
        .port = addr_target_port(l->target, source->has_remote_port, source->remote_port,
                                 readyq_path(l->rq)->smtp_port),
    };
    addr_text(l->peer_addr, sizeof(l->peer_addr), &l->address);
    ip_put(&ip, &l->address.ip);
    memcpy(l->peer_ip, ip.ptr, ip.len);
    l->peer_ip[ip.len] = '\0';
    buf_free(&ip);
}

static void lane_connected(struct lane *l)
{
    struct shard *sh = l->rq->eg->shard;
    struct ip_port local;

    if (sh->ring.backend->sock_names(&sh->ring, l->fd, &local, NULL) == 0) {
        addr_text(l->source_addr, sizeof(l->source_addr), &local);
        l->source_ip = local;
    }
    lane_enter(l, LANE_SETUP);
    l->rq->eg->counters.connection_count++;
    l->delivered_this_connection = 0;
    l->conn_open = true;
    smtp_client_free(&l->client);
    smtp_client_init(&l->client, &l->client_params);
    conn_open(&l->conn, sh, l->fd, RING_EGRESS, &lane_events);
    l->fd = -1;
    lane_await(l);
}

static void lane_socket_closed(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct lane *l = CONTAINER_OF(op, struct lane, unused_close);

    if (l->state == LANE_ENDED) {
        lane_end(l);
        return;
    }
    if (l->state != LANE_NEXT) {
        lane_enter(l, LANE_NEXT);
    }
    lane_connect(l);
}

static void lane_drop_socket(struct lane *l)
{
    l->unused_close.done = lane_socket_closed;
    ring_close_fd(&l->rq->eg->shard->ring, &l->unused_close, l->fd);
    l->fd = -1;
}

static void lane_cancelled(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct lane *l = CONTAINER_OF(op, struct lane, cancel);

    if (l->state == LANE_ENDED) {
        lane_end(l);
    }
}

static void lane_connect_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct lane *l = CONTAINER_OF(op, struct lane, connect);

    if (l->state == LANE_CONNECTING && res == 0 && !l->cancel.in_flight) {
        lane_connected(l);
        return;
    }
    if (l->state == LANE_CONNECTING && res < 0 && res != -ECANCELED) {
        buf_clear(&l->texts);
        buf_printf(&l->texts, "connect to %s and read initial banner: %s", l->peer_addr,
                   strerror(-res));
        note_failure(l, buf_slice(&l->texts));
    }
    lane_drop_socket(l);
}

void lane_connect_timer(struct lane *l)
{
    buf_clear(&l->texts);
    buf_printf(&l->texts, "connect to %s and read initial banner: timed out after ", l->peer_addr);
    duration_put(&l->texts, readyq_path(l->rq)->connect_timeout);
    lane_candidate_failed(l, buf_slice(&l->texts));
}

/* A socket bound to the source's address, in l->fd; on failure the reason is in l->texts. */
static bool lane_open_socket(struct lane *l)
{
    struct shard *sh = l->rq->eg->shard;
    const struct egress_source_config *source = &l->rq->source->source;
    struct ip_port from = {.ip = source->source_address};
    int res;

    buf_clear(&l->texts);
    res = sh->ring.backend->sock_open(&sh->ring, l->address.ip.family);
    if (res < 0) {
        buf_printf(&l->texts, "connect to %s: %s", l->peer_addr, strerror(-res));
        return false;
    }
    l->fd = res;
    if (from.ip.family == IP_NONE) {
        return true;
    }
    res = from.ip.family == l->address.ip.family
              ? sh->ring.backend->sock_bind(&sh->ring, l->fd, &from)
              : -EAFNOSUPPORT;
    if (res == 0) {
        return true;
    }
    l->unplumbed_count += res == -EADDRNOTAVAIL ? 1 : 0;
    BUF_LIT(&l->texts, "bind ");
    ip_put(&l->texts, &from.ip);
    buf_printf(&l->texts, " for %s failed: %s while attempting to connect to %s", source->name,
               strerror(-res), l->peer_addr);
    return false;
}

static void lane_try_next(struct lane *l)
{
    struct shard *sh = l->rq->eg->shard;

    MUST(l->state == LANE_NEXT && l->now.m != NULL);
    while (!lane_is_stopping(l) && (l->target = addr_plan_take(&l->plan)) != NULL) {
        lane_set_address(l);
        if (lane_open_socket(l)) {
            lane_enter(l, LANE_CONNECTING);
            lane_arm(l, readyq_path(l->rq)->connect_timeout / 1000000u);
            l->connect.done = lane_connect_done;
            l->cancel.done = lane_cancelled;
            ring_connect(&sh->ring, &l->connect, l->fd, &l->address);
            return;
        }
        note_failure(l, buf_slice(&l->texts));
        if (l->fd >= 0) {
            lane_drop_socket(l); /* goes on when it is closed */
            return;
        }
    }
    lane_exhausted(l);
}

/* ---- the way in ---- */

/* max_connection_rate said to wait: here while that is short, in the scheduled queue otherwise. */
static void lane_rate_answered(struct lane *l, uint64_t wait_ns)
{
    if (wait_ns == 0) {
        l->conn_rate_paid = true;
        lane_connect(l);
        return;
    }
    lane_throttled(l, wait_ns, LANE_CONN_RATE, INSERT_CONNECTION_RATE_THROTTLE);
}

static void lane_rate_answered_later(struct token_ask *ask, uint64_t wait_ns)
{
    struct lane *l = CONTAINER_OF(ask, struct lane, token);

    if (l->state == LANE_ENDED) {
        lane_end(l);
    } else if (l->state == LANE_CONN_RATE) {
        lane_enter(l, LANE_NEXT);
        lane_rate_answered(l, wait_ns);
    }
}

static void lane_pay_rate(struct lane *l)
{
    uint64_t wait_ns;

    buf_clear(&l->texts);
    buf_put(&l->texts, readyq_name(l->rq));
    BUF_LIT(&l->texts, "-connection-rate");
    l->token.fn = lane_rate_answered_later;
    if (lane_take_token(l, &readyq_path(l->rq)->max_connection_rate, &wait_ns)) {
        lane_rate_answered(l, wait_ns);
    } else {
        lane_enter(l, LANE_CONN_RATE);
    }
}

void lane_connect(struct lane *l)
{
    struct buf why = {0};

    MUST(l->state == LANE_NEXT && l->now.m != NULL && !l->conn_open);
    if (egress_path_unsupported(readyq_path(l->rq), &why) ||
        egress_source_unsupported(&l->rq->source->source, &why)) {
        note_failure(l, buf_slice(&why));
        l->plan.next = l->plan.count;
        lane_exhausted(l);
    } else if (!l->planned) {
        lane_make_plan(l);
    } else if (readyq_path(l->rq)->has_max_connection_rate && !l->conn_rate_paid &&
               addr_plan_left(&l->plan) > 0 && !lane_is_stopping(l)) {
        lane_pay_rate(l);
    } else {
        l->conn_rate_paid = false;
        lane_try_next(l);
    }
    buf_free(&why);
}
