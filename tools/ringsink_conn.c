/* One connection of ringsink: bytes both ways, waiting, the end. */
#include "tools/ringsink.h"

#include <sys/socket.h>
#include <unistd.h>

#include "core/base/mem.h"

#define HELD_INPUT_EXTRA (UINT64_C(1) << 20) /* beyond one message */

static struct ring *ring_of(struct sink_conn *c)
{
    return &c->worker->loop.ring;
}

void sink_told_log(struct sink_conn *c, const char *event)
{
    struct tool_journal *j = &c->worker->received;
    const uint64_t *rcpts = (const uint64_t *)(const void *)c->told.ptr;

    if (!tool_journal_on(j)) {
        return;
    }
    for (size_t i = 0; i < c->told.len / sizeof(*rcpts); i++) {
        buf_printf(&j->pending, "%llu %s %llu %llu\n",
                   (unsigned long long)(ring_wall_ns(ring_of(c)) / 1000000u), event,
                   (unsigned long long)c->told_sequence, (unsigned long long)rcpts[i]);
    }
}

/* ---- the end ---- */

void sink_conn_free(struct sink_conn *c)
{
    buf_free(&c->rcpts);
    buf_free(&c->told);
    buf_free(&c->in);
    buf_free(&c->body);
    buf_free(&c->sending);
    buf_free(&c->next);
    mem_give(c);
}

static void close_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct sink_conn *c = CONTAINER_OF(op, struct sink_conn, close_op);

    sink_conn_gone(c->worker, c);
}

static void close_when_quiet(struct sink_conn *c)
{
    if (!c->recv_op.in_flight && !c->send_op.in_flight && !c->cancel_op.in_flight &&
        !c->close_op.in_flight) {
        ring_close_fd(ring_of(c), &c->close_op, c->fd);
    }
}

static void cancel_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    close_when_quiet(CONTAINER_OF(op, struct sink_conn, cancel_op));
}

void sink_conn_close(struct sink_conn *c)
{
    if (c->step == SINK_CLOSING) {
        return;
    }
    c->step = SINK_CLOSING;
    if (c->told.len != 0) {
        c->worker->totals.lost++;
        sink_told_log(c, "lost");
    }
    timer_cancel(&c->worker->loop.timers, &c->hold);
    ring_cancel_fd(ring_of(c), &c->cancel_op, c->fd);
}

void sink_conn_reset(struct sink_conn *c)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    sink_conn_close(c);
}

/* ---- bytes out ---- */

static void conn_flush(struct sink_conn *c)
{
    struct buf swap = c->sending;

    if (c->send_op.in_flight || c->step == SINK_CLOSING) {
        return;
    }
    if (c->next.len == 0) {
        if (c->close_after_send) {
            sink_conn_close(c);
        }
        return;
    }
    c->sending = c->next;
    c->next = swap;
    buf_clear(&c->next);
    ring_send(ring_of(c), &c->send_op, c->fd, c->sending.ptr, c->sending.len);
}

static void send_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct sink_conn *c = CONTAINER_OF(op, struct sink_conn, send_op);

    if (c->step == SINK_CLOSING) {
        close_when_quiet(c);
        return;
    }
    if (res != (int32_t)op->len) {
        sink_conn_close(c);
        return;
    }
    if (c->told.len != 0 && !c->told_sent && c->next.len == 0) {
        c->told_sent = true;
        sink_told_log(c, "sent");
    }
    conn_flush(c);
}

/* ---- bytes in ---- */

/* One command line or a run of message bytes; 0 when more input is needed. */
static size_t feed_once(struct sink_conn *c, struct slice in)
{
    size_t len;
    struct slice line;

    if (c->step != SINK_COMMAND) {
        return sink_body_feed(c, in);
    }
    len = slice_find_char(in, '\n');
    if (len == in.len) {
        if (in.len > SINK_LINE_MAX) {
            sink_conn_close(c);
        }
        return 0;
    }
    line = slice_head(in, len);
    if (slice_ends(line, SLICE("\r"))) {
        line.len--;
    }
    sink_smtp_line(c, line);
    return len + 1;
}

/* As far as it goes without waiting; answers how much was used. */
static size_t feed(struct sink_conn *c, struct slice in)
{
    size_t used = 0;

    while (used < in.len && !c->held && !c->close_after_send && c->step != SINK_CLOSING) {
        size_t step = feed_once(c, slice_from(in, used));

        if (step == 0) {
            break;
        }
        used += step;
    }
    return used;
}

static void conn_feed(struct sink_conn *c, struct slice bytes)
{
    size_t used;

    if (c->in.len == 0) {
        used = feed(c, bytes);
        if (used < bytes.len) {
            buf_put(&c->in, slice_from(bytes, used));
        }
    } else {
        buf_put(&c->in, bytes);
        used = feed(c, buf_slice(&c->in));
        buf_consume(&c->in, used);
    }
    if (c->in.len > c->worker->plan->options.size_max + HELD_INPUT_EXTRA) {
        sink_conn_close(c);
    }
    conn_flush(c);
}

void sink_conn_resume(struct sink_conn *c)
{
    size_t used;

    c->held = false;
    sink_smtp_answer(c, (enum sink_stage)c->held_stage);
    used = feed(c, buf_slice(&c->in));
    buf_consume(&c->in, used);
    conn_flush(c);
}

static void hold_fired(struct timer *t)
{
    sink_conn_resume(CONTAINER_OF(t, struct sink_conn, hold));
}

static void recv_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct sink_conn *c = CONTAINER_OF(op, struct sink_conn, recv_op);

    if (res > 0 && c->step != SINK_CLOSING) {
        conn_feed(c, ring_buffer(ring_of(c), op, res, flags));
    }
    ring_buffer_give(ring_of(c), op, flags);
    if (c->step == SINK_CLOSING) {
        close_when_quiet(c);
    } else if (res <= 0) {
        sink_conn_close(c);
    } else if (!op->in_flight) {
        ring_recv(ring_of(c), op, c->fd, RING_INGRESS);
    }
}

void sink_conn_open(struct sink_worker *w, int fd)
{
    struct sink_conn *c = MEM_NEW(struct sink_conn);

    c->worker = w;
    c->fd = fd;
    c->recv_op.done = recv_done;
    c->send_op.done = send_done;
    c->cancel_op.done = cancel_done;
    c->close_op.done = close_done;
    c->hold.fn = hold_fired;
    dlist_push(&w->conns, &c->link);
    w->conn_count++;
    w->totals.connections++;
    if (w->conn_count > w->totals.connections_peak) {
        w->totals.connections_peak = w->conn_count;
    }
    sink_smtp_stage(c, SINK_STAGE_CONNECT);
    if (c->step != SINK_CLOSING) {
        ring_recv(ring_of(c), &c->recv_op, fd, RING_INGRESS);
    }
    conn_flush(c);
}
