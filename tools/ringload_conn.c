/* One connection of ringload: connect, bytes both ways, the end. */
#include "tools/ringload.h"

#include <errno.h>
#include <unistd.h>

#define RETRY_MS 100u

static struct ring *ring_of(struct load_conn *c)
{
    return &c->worker->loop.ring;
}

static struct timers *timers_of(struct load_conn *c)
{
    return &c->worker->loop.timers;
}

/* ---- the end ---- */

static bool retry_allowed(struct load_conn *c)
{
    uint64_t now_ns = ring_now_ns(ring_of(c));
    uint64_t reconnect_ns = c->worker->plan->options.reconnect_ms * 1000000u;

    if (c->retry_until_ns == 0) {
        c->retry_until_ns = now_ns + reconnect_ns;
    }
    return now_ns < c->retry_until_ns && c->worker->drain_by_ns == 0;
}

static void conn_down(struct load_conn *c)
{
    c->step = LOAD_DOWN;
    c->fd = -1;
    if (c->reopen) {
        c->reopen = false;
        timer_arm(timers_of(c), &c->pause, 0);
    } else if (!c->stop_after && retry_allowed(c)) {
        timer_arm(timers_of(c), &c->pause, ring_now_ms(ring_of(c)) + RETRY_MS);
    } else {
        c->step = LOAD_FINISHED;
        load_conn_finished(c->worker, c);
    }
}

static void close_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    conn_down(CONTAINER_OF(op, struct load_conn, close_op));
}

/* Closes once no op of the connection is with the ring any more. */
static void close_when_quiet(struct load_conn *c)
{
    if (c->step != LOAD_CLOSING || c->connect_op.in_flight || c->recv_op.in_flight ||
        c->send_op.in_flight || c->cancel_op.in_flight || c->close_op.in_flight) {
        return;
    }
    ring_close_fd(ring_of(c), &c->close_op, c->fd);
}

static void cancel_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    close_when_quiet(CONTAINER_OF(op, struct load_conn, cancel_op));
}

static void sequence_lost(struct load_conn *c)
{
    if (c->has_sequence && !c->worker->plan->options.resend) {
        c->has_sequence = false;
        c->worker->totals.unanswered++;
    }
}

void load_conn_close(struct load_conn *c, bool lost)
{
    if (c->step == LOAD_CLOSING || c->step == LOAD_DOWN || c->step == LOAD_FINISHED) {
        return;
    }
    if (c->step == LOAD_CONNECTING) {
        load_conn_established(c->worker);
    }
    if (c->step == LOAD_IDLE) {
        atomic_fetch_sub(&c->worker->plan->idle_up, 1);
    }
    if (lost) {
        c->worker->totals.connections_lost += c->step != LOAD_CONNECTING;
        sequence_lost(c);
    }
    c->step = LOAD_CLOSING;
    timer_cancel(timers_of(c), &c->pause);
    timer_cancel(timers_of(c), &c->write_pace);
    timer_cancel(timers_of(c), &c->read_pace);
    if (dlist_linked(&c->link)) {
        dlist_remove(&c->link);
    }
    ring_cancel_fd(ring_of(c), &c->cancel_op, c->fd);
}

void load_conn_free(struct load_conn *c)
{
    if (c->fd >= 0) {
        close(c->fd);
    }
    buf_free(&c->sending);
    buf_free(&c->next);
}

/* ---- bytes out ---- */

static void send_piece(struct load_conn *c)
{
    struct slice rest = slice_from(buf_slice(&c->sending), c->sending_done);

    if (c->is_slow && c->worker->plan->options.slow_write_ms != 0) {
        rest = slice_head(rest, LOAD_SLOW_WRITE_BYTES);
    }
    if (c->step == LOAD_DOT) { /* the last piece sets it for good */
        c->dot_sent_ns = tool_clock_ns(&c->worker->loop);
    }
    c->sending_done += rest.len;
    ring_send(ring_of(c), &c->send_op, c->fd, rest.ptr, rest.len);
}

void load_conn_flush(struct load_conn *c)
{
    struct buf swap = c->sending;

    if (c->send_op.in_flight || timer_armed(&c->write_pace) || c->next.len == 0 ||
        c->step == LOAD_CLOSING || c->step == LOAD_DOWN || c->step == LOAD_FINISHED) {
        return;
    }
    MUST(c->sending_done == c->sending.len);
    c->sending = c->next;
    c->next = swap;
    buf_clear(&c->next);
    c->sending_done = 0;
    send_piece(c);
}

static void write_pace_fired(struct timer *t)
{
    send_piece(CONTAINER_OF(t, struct load_conn, write_pace));
}

static void send_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct load_conn *c = CONTAINER_OF(op, struct load_conn, send_op);

    if (c->step == LOAD_CLOSING) {
        close_when_quiet(c);
    } else if (res != (int32_t)op->len) {
        load_conn_close(c, true);
    } else if (c->sending_done < c->sending.len) {
        timer_arm(timers_of(c), &c->write_pace,
                  ring_now_ms(ring_of(c)) + c->worker->plan->options.slow_write_ms);
    } else {
        load_conn_flush(c);
    }
}

/* ---- bytes in ---- */

static void conn_feed(struct load_conn *c, struct slice bytes)
{
    c->heard_ns = ring_now_ns(ring_of(c));
    while (bytes.len != 0 && c->step != LOAD_CLOSING) {
        size_t len = slice_find_char(bytes, '\n');
        struct slice piece = slice_head(bytes, len);
        size_t room = LOAD_LINE_MAX - c->line_len;

        /* A longer line keeps its beginning, where the code stands. */
        piece = slice_head(piece, room);
        memcpy(c->line + c->line_len, piece.ptr, piece.len);
        c->line_len += (uint32_t)piece.len;
        if (len < bytes.len) {
            struct slice line = slice_of(c->line, c->line_len);

            if (slice_ends(line, SLICE("\r"))) {
                line.len--;
            }
            c->line_len = 0;
            load_smtp_line(c, line);
        }
        bytes = slice_from(bytes, len + 1);
    }
    load_conn_flush(c);
}

static void recv_arm(struct load_conn *c)
{
    if (c->is_slow && c->worker->plan->options.slow_read_ms != 0) {
        ring_read(ring_of(c), &c->recv_op, c->fd, c->slow_bytes, LOAD_SLOW_READ_BYTES, 0);
    } else {
        ring_recv(ring_of(c), &c->recv_op, c->fd, RING_EGRESS);
    }
}

static void read_pace_fired(struct timer *t)
{
    recv_arm(CONTAINER_OF(t, struct load_conn, read_pace));
}

/* The peer closed, or an error ended the stream. After QUIT that is what we asked for. */
static void conn_ended(struct load_conn *c)
{
    bool asked_for = c->step == LOAD_QUIT;

    if (asked_for) {
        c->stop_after = !c->reopen;
    }
    load_conn_close(c, !asked_for);
}

static void recv_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct load_conn *c = CONTAINER_OF(op, struct load_conn, recv_op);
    bool is_read = op->kind == RING_READ;

    if (res > 0 && c->step != LOAD_CLOSING) {
        conn_feed(c, is_read ? slice_of(c->slow_bytes, (size_t)res)
                             : ring_buffer(ring_of(c), op, res, flags));
    }
    ring_buffer_give(ring_of(c), op, flags);
    if (c->step == LOAD_CLOSING) {
        close_when_quiet(c);
    } else if (res <= 0) {
        conn_ended(c);
    } else if (is_read) {
        timer_arm(timers_of(c), &c->read_pace,
                  ring_now_ms(ring_of(c)) + c->worker->plan->options.slow_read_ms);
    } else if (!op->in_flight) {
        recv_arm(c);
    }
}

/* ---- the beginning ---- */

static void connect_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct load_conn *c = CONTAINER_OF(op, struct load_conn, connect_op);

    if (c->step == LOAD_CLOSING) {
        close_when_quiet(c);
        return;
    }
    if (res < 0) {
        c->worker->totals.connects_failed++;
        load_conn_close(c, false);
        return;
    }
    load_conn_established(c->worker);
    c->worker->totals.connects++;
    c->step = LOAD_BANNER;
    c->heard_ns = ring_now_ns(ring_of(c));
    recv_arm(c);
}

void load_conn_start(struct load_conn *c)
{
    struct ring *ring = ring_of(c);
    const struct ip_port *target = &c->worker->plan->target;

    MUST(c->fd < 0);
    c->fd = ring->backend->sock_open(ring, target->ip.family);
    if (c->fd < 0) {
        c->fd = -1;
        c->worker->totals.connects_failed++;
        load_conn_established(c->worker);
        conn_down(c);
        return;
    }
    c->step = LOAD_CONNECTING;
    c->heard_ns = ring_now_ns(ring);
    c->sent_count = 0;
    c->line_len = 0;
    c->sending_done = 0;
    buf_clear(&c->sending);
    buf_clear(&c->next);
    ring_connect(ring, &c->connect_op, c->fd, target);
}

/* Time to connect again, or to go on after a refusal. */
static void pause_fired(struct timer *t)
{
    struct load_conn *c = CONTAINER_OF(t, struct load_conn, pause);

    if (c->step == LOAD_DOWN) {
        c->worker->connecting_count++;
        load_conn_start(c);
    } else if (c->step == LOAD_READY) {
        load_smtp_begin(c);
        load_conn_flush(c);
    }
}

void load_conn_init(struct load_conn *c, struct load_worker *w, bool is_idle, bool is_slow)
{
    *c = (struct load_conn){.worker = w, .fd = -1, .is_idle = is_idle, .is_slow = is_slow};
    c->connect_op.done = connect_done;
    c->recv_op.done = recv_done;
    c->send_op.done = send_done;
    c->cancel_op.done = cancel_done;
    c->close_op.done = close_done;
    c->pause.fn = pause_fired;
    c->write_pace.fn = write_pace_fired;
    c->read_pace.fn = read_pace_fired;
}
