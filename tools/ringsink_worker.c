/* One thread of ringsink. */
#include "tools/ringsink.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 4096
/* After the last message peers get this long to read their 250 and say QUIT. */
#define GRACE_NS UINT64_C(300000000)

void sink_conn_gone(struct sink_worker *w, struct sink_conn *c)
{
    dlist_remove(&c->link);
    w->conn_count--;
    sink_conn_free(c);
}

void sink_message_counted(struct sink_worker *w)
{
    struct sink_plan *plan = w->plan;
    uint64_t count = atomic_fetch_add_explicit(&plan->messages, 1, memory_order_relaxed) + 1;

    if (plan->options.stop_after == 0) {
        return;
    }
    if (plan->options.verify) {
        count = sink_seen_distinct(&plan->seen);
    }
    if (count >= plan->options.stop_after) {
        atomic_store(&plan->stop.wanted, true);
    }
}

static void accept_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct sink_worker *w = CONTAINER_OF(op, struct sink_worker, accept_op);

    if (res >= 0 && w->refusing) {
        w->totals.connections_refused++;
        close(res);
    } else if (res >= 0) {
        sink_conn_open(w, res);
    }
    if (!op->in_flight && w->end_by_ns == 0) {
        ring_accept(&w->loop.ring, op, w->listen_fd);
    }
}

static void listen_start(struct sink_worker *w)
{
    struct ring *ring = &w->loop.ring;

    if (w->listen_fd < 0) {
        w->listen_fd = ring->backend->sock_listen(ring, &w->listen, BACKLOG, true);
        if (w->listen_fd < 0) {
            fprintf(stderr, "ringsink: cannot listen: %s\n", strerror(-w->listen_fd));
            atomic_store(&w->plan->stop.wanted, true);
            return;
        }
    }
    ring_accept(ring, &w->accept_op, w->listen_fd);
}

static void progress_timer_fired(struct timer *t)
{
    struct sink_worker *w = CONTAINER_OF(t, struct sink_worker, progress_timer);
    uint64_t messages = atomic_load(&w->plan->messages);
    uint64_t period_ms = w->plan->options.progress_ms;

    fprintf(stderr, "ringsink: %llu messages, %.0f/s\n", (unsigned long long)messages,
            (double)(messages - w->progress_messages) * 1000 / (double)period_ms);
    w->progress_messages = messages;
    timer_arm(&w->loop.timers, t, ring_now_ms(&w->loop.ring) + period_ms);
}

static void refusal_toggle(struct sink_worker *w)
{
    uint32_t usr1_count = atomic_load_explicit(&w->plan->stop.usr1_count, memory_order_relaxed);

    if (usr1_count == w->usr1_seen) {
        return;
    }
    w->usr1_seen = usr1_count;
    if (w->plan->refuse == SINK_REFUSE_CLOSE) {
        w->refusing = usr1_count % 2 == 0;
    } else if (!w->accept_op.in_flight) {
        listen_start(w);
    }
}

static bool turn_done(struct tool_loop *loop)
{
    struct sink_worker *w = CONTAINER_OF(loop, struct sink_worker, loop);
    uint64_t now_ns = ring_now_ns(&loop->ring);

    tool_journal_flush(&w->received);
    refusal_toggle(w);
    if (w->end_by_ns == 0 && atomic_load_explicit(&w->plan->stop.wanted, memory_order_relaxed)) {
        w->end_by_ns = now_ns + GRACE_NS;
    }
    return w->end_by_ns != 0 && (now_ns >= w->end_by_ns || w->conn_count == 0);
}

/* What the peers had not gone on from when we ended. */
static void conns_end(struct sink_worker *w)
{
    struct dlist *node;

    while ((node = dlist_pop(&w->conns)) != NULL) {
        struct sink_conn *c = CONTAINER_OF(node, struct sink_conn, link);

        close(c->fd);
        sink_conn_free(c);
    }
}

bool sink_worker_run(struct sink_worker *w)
{
    const struct ring_params params = {.sq_entries = 1024,
                                       .cq_entries = 16384,
                                       .ingress_buffers = 2048,
                                       .egress_buffers = 1,
                                       .workers = 1};

    dlist_init(&w->conns);
    w->loop.turn_done = turn_done;
    w->accept_op.done = accept_done;
    w->progress_timer.fn = progress_timer_fired;
    w->refusing = w->plan->refuse == SINK_REFUSE_CLOSE;
    w->random = w->plan->options.seed * 1000003u + w->index;
    if (!tool_loop_open(&w->loop, &w->plan->stop, &params, w->index == 0, &w->why) ||
        !tool_journal_open(&w->received, w->plan->options.received, &w->why)) {
        tool_loop_close(&w->loop);
        return false;
    }
    if (w->index == 0 && w->plan->options.progress_ms != 0) {
        timer_arm(&w->loop.timers, &w->progress_timer,
                  ring_now_ms(&w->loop.ring) + w->plan->options.progress_ms);
    }
    if (w->plan->refuse != SINK_REFUSE_CONNECT) {
        listen_start(w);
    }
    tool_loop_run(&w->loop);
    tool_journal_close(&w->received);
    tool_loop_close(&w->loop);
    conns_end(w);
    if (w->listen_fd >= 0) {
        close(w->listen_fd);
    }
    return true;
}
