/* One thread of ringload: which message next, when, and over which connection. */
#include "tools/ringload.h"

#include <stdio.h>

#include "core/base/mem.h"

#define CONNECTING_MAX 128u /* more at once would overrun a listener's backlog */
#define SWEEP_MS 1000u
#define DRAIN_NS UINT64_C(10000000000)       /* for the answers still to come */
#define DRAIN_SIGNAL_NS UINT64_C(1000000000) /* the same after a signal */

static struct load_worker *worker_of(struct tool_loop *loop)
{
    return CONTAINER_OF(loop, struct load_worker, loop);
}

static void start_more(struct load_worker *w)
{
    while (w->start_next < w->conn_count && w->connecting_count < CONNECTING_MAX) {
        w->connecting_count++;
        load_conn_start(&w->conns[w->start_next++]);
    }
}

void load_conn_established(struct load_worker *w)
{
    if (w->connecting_count > 0) {
        w->connecting_count--;
    }
}

void load_conn_finished(struct load_worker *w, struct load_conn *c)
{
    if (!c->is_idle) {
        w->senders_finished++;
    }
}

bool load_sequence_take(struct load_worker *w, uint64_t *out)
{
    if (w->drain_by_ns != 0 || atomic_load(&w->plan->stop.wanted)) {
        return false;
    }
    *out = atomic_fetch_add_explicit(&w->plan->sequence_next, 1, memory_order_relaxed);
    return *out < w->plan->sequence_end;
}

/* ---- --rate ---- */

static uint64_t interval_ns(const struct load_worker *w)
{
    return w->plan->options.threads * UINT64_C(1000000000) / w->plan->options.rate;
}

/* Takes one place under --rate; false while none is due. */
static bool place_take(struct load_worker *w)
{
    uint64_t now_ns = ring_now_ns(&w->loop.ring);

    if (w->due_ns > now_ns) {
        return false;
    }
    /* A pause of the peer is not made up for by a burst of more than a tenth of a second. */
    if (now_ns - w->due_ns > 100000000u) {
        w->due_ns = now_ns - 100000000u;
    }
    w->due_ns += interval_ns(w);
    return true;
}

bool load_turn_take(struct load_worker *w, struct load_conn *c)
{
    if (w->plan->options.rate == 0 || w->drain_by_ns != 0 ||
        (dlist_empty(&w->waiting) && place_take(w))) {
        return true;
    }
    dlist_push(&w->waiting, &c->link);
    if (!timer_armed(&w->rate_timer)) {
        timer_arm(&w->loop.timers, &w->rate_timer, w->due_ns / 1000000u);
    }
    return false;
}

static void rate_timer_fired(struct timer *t)
{
    struct load_worker *w = CONTAINER_OF(t, struct load_worker, rate_timer);

    while (!dlist_empty(&w->waiting) && (w->drain_by_ns != 0 || place_take(w))) {
        struct load_conn *c = CONTAINER_OF(dlist_pop(&w->waiting), struct load_conn, link);

        load_smtp_begin(c);
        load_conn_flush(c);
    }
    if (!dlist_empty(&w->waiting) && !timer_armed(t)) {
        timer_arm(&w->loop.timers, t, w->due_ns / 1000000u);
    }
}

/* ---- once a second, and at the end ---- */

static void sweep_timer_fired(struct timer *t)
{
    struct load_worker *w = CONTAINER_OF(t, struct load_worker, sweep_timer);
    uint64_t now_ns = ring_now_ns(&w->loop.ring);
    uint64_t limit_ns = w->plan->options.timeout_ms * 1000000u;

    for (uint32_t i = 0; i < w->conn_count; i++) {
        struct load_conn *c = &w->conns[i];
        bool waits = c->step >= LOAD_CONNECTING && c->step <= LOAD_QUIT && c->step != LOAD_READY;

        if (waits && now_ns - c->heard_ns > limit_ns) {
            load_conn_close(c, true);
        }
    }
    timer_arm(&w->loop.timers, t, ring_now_ms(&w->loop.ring) + SWEEP_MS);
}

static void progress_timer_fired(struct timer *t)
{
    struct load_worker *w = CONTAINER_OF(t, struct load_worker, progress_timer);
    struct load_plan *plan = w->plan;
    uint64_t accepted = atomic_load(&plan->accepted);
    double seconds = (double)plan->options.progress_ms / 1000;

    fprintf(stderr, "ringload: %llu accepted, %llu refused, %llu idle, %.0f/s\n",
            (unsigned long long)accepted, (unsigned long long)atomic_load(&plan->refused),
            (unsigned long long)atomic_load(&plan->idle_up),
            (double)(accepted - w->progress_accepted) / seconds);
    w->progress_accepted = accepted;
    timer_arm(&w->loop.timers, t, ring_now_ms(&w->loop.ring) + plan->options.progress_ms);
}

static void drain_begin(struct load_worker *w, uint64_t grace_ns)
{
    if (w->drain_by_ns == 0) {
        w->drain_by_ns = ring_now_ns(&w->loop.ring) + grace_ns;
        timer_arm(&w->loop.timers, &w->rate_timer, 0);
    }
}

static bool turn_done(struct tool_loop *loop)
{
    struct load_worker *w = worker_of(loop);
    struct load_plan *plan = w->plan;
    uint64_t now_ns = ring_now_ns(&loop->ring);

    tool_journal_flush(&w->accepted);
    start_more(w);
    if (atomic_load_explicit(&plan->stop.wanted, memory_order_relaxed)) {
        drain_begin(w, DRAIN_SIGNAL_NS);
    } else if (plan->end_ns != 0 && now_ns >= plan->end_ns) {
        drain_begin(w, DRAIN_NS);
    }
    if (w->drain_by_ns != 0 && now_ns >= w->drain_by_ns) {
        return true;
    }
    if (w->senders_finished < w->sender_count) {
        return false;
    }
    return w->drain_by_ns != 0 || plan->options.connections != 0;
}

/* ---- life ---- */

static uint32_t share_of(uint64_t total, uint32_t index, uint64_t threads)
{
    return (uint32_t)(total / threads + (index < total % threads ? 1 : 0));
}

static void timers_set(struct load_worker *w)
{
    uint64_t now_ms = ring_now_ms(&w->loop.ring);

    w->rate_timer.fn = rate_timer_fired;
    w->sweep_timer.fn = sweep_timer_fired;
    w->progress_timer.fn = progress_timer_fired;
    timer_arm(&w->loop.timers, &w->sweep_timer, now_ms + SWEEP_MS);
    if (w->index == 0 && w->plan->options.progress_ms != 0) {
        timer_arm(&w->loop.timers, &w->progress_timer, now_ms + w->plan->options.progress_ms);
    }
}

static void conns_make(struct load_worker *w)
{
    const struct load_options *o = &w->plan->options;
    uint32_t idle_count = share_of(o->idle, w->index, o->threads);

    w->sender_count = share_of(o->connections, w->index, o->threads);
    w->conn_count = w->sender_count + idle_count;
    w->conns = mem_take_zero((w->conn_count + 1) * sizeof(*w->conns));
    for (uint32_t i = 0; i < w->conn_count; i++) {
        bool is_slow = (o->slow_read_ms != 0 || o->slow_write_ms != 0) && i % 100 < o->slow_share;

        load_conn_init(&w->conns[i], w, i >= w->sender_count, is_slow);
    }
}

static void conns_end(struct load_worker *w)
{
    for (uint32_t i = 0; i < w->conn_count; i++) {
        struct load_conn *c = &w->conns[i];

        if (c->has_sequence) {
            w->totals.unanswered++;
        }
    }
}

bool load_worker_run(struct load_worker *w)
{
    const struct ring_params params = {.sq_entries = 1024,
                                       .cq_entries = 16384,
                                       .ingress_buffers = 1,
                                       .egress_buffers = 1024,
                                       .workers = 1};

    dlist_init(&w->waiting);
    w->loop.turn_done = turn_done;
    if (!tool_loop_open(&w->loop, &w->plan->stop, &params, w->index == 0, &w->why) ||
        !tool_journal_open(&w->accepted, w->plan->options.accepted, &w->why)) {
        tool_loop_close(&w->loop);
        return false;
    }
    w->due_ns = ring_now_ns(&w->loop.ring);
    timers_set(w);
    conns_make(w);
    start_more(w);
    tool_loop_run(&w->loop);
    conns_end(w);
    tool_journal_close(&w->accepted);
    tool_loop_close(&w->loop);
    for (uint32_t i = 0; i < w->conn_count; i++) {
        load_conn_free(&w->conns[i]);
    }
    MEM_FREE(&w->conns);
    return true;
}
