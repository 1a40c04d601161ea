/* The logs of one shard: life, answers, timers. */
#include "spool/spool.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/cleaner.h"
#include "spool/commit.h"
#include "spool/health.h"
#include "spool/put.h"
#include "spool/read.h"
#include "spool/recover.h"
#include "spool/segment_pool.h"

void spool_kick(struct spool *sp)
{
    if (!sp->closing) {
        shard_post(sp->shard, &sp->pump);
    }
}

void spool_wake_later(struct spool *sp)
{
    if (!timer_armed(&sp->lazy)) {
        timer_arm(&sp->shard->timers, &sp->lazy, shard_now_ms(sp->shard) + LOG_LAZY_MS);
    }
}

void spool_lazy(struct spool *sp)
{
    spool_wake_later(sp);
    spool_kick(sp);
}

/* ---- answers that were owed ---- */

static void puts_answer(struct spool *sp)
{
    struct spool_put *put = sp->answers.puts.head;

    sp->answers.puts = (struct put_queue){0};
    while (put != NULL) {
        struct spool_put *next = put->next;

        put->done(put, (enum spool_err)put->phase);
        put = next;
    }
}

static void answers_give(struct spool *sp)
{
    struct spool_change *change = sp->answers.changes;
    struct spool_void *v = sp->answers.voids;
    struct spool_read *r = sp->answers.reads;

    sp->answers.changes = NULL;
    sp->answers.voids = NULL;
    sp->answers.reads = NULL;
    puts_answer(sp);
    while (change != NULL) {
        struct spool_change *next = change->next;

        change->done(change, (enum spool_err)change->phase);
        change = next;
    }
    while (v != NULL) {
        struct spool_void *next = v->next;

        v->done(v, (enum spool_err)v->phase);
        v = next;
    }
    while (r != NULL) {
        struct spool_read *next = r->next;

        r->done(r, (enum spool_err)r->phase);
        r = next;
    }
}

void spool_memory_op(struct spool *sp, struct ring_op *op, int32_t res)
{
    MUST(!op->in_flight);
    if (sp->memory_count == sp->memory_cap) {
        sp->memory_cap = sp->memory_cap != 0 ? sp->memory_cap * 2 : 64;
        sp->memory_ops = mem_grow(sp->memory_ops, sp->memory_cap * sizeof(*sp->memory_ops));
    }
    op->in_flight = true;
    op->kind = RING_WRITE;
    sp->memory_ops[sp->memory_count++] = (struct memory_op){op, res};
    spool_kick(sp);
}

static void memory_ops_run(struct spool *sp)
{
    uint32_t count = sp->memory_count;

    for (uint32_t i = 0; i < count; i++) {
        struct memory_op m = sp->memory_ops[i];

        m.op->in_flight = false;
        m.op->done(m.op, m.res, 0);
    }
    if (count == 0) {
        return;
    }
    memmove(sp->memory_ops, sp->memory_ops + count,
            (sp->memory_count - count) * sizeof(*sp->memory_ops));
    sp->memory_count -= count;
}

/* ---- draining ---- */

/* What a failing disk does not take stays unwritten: it was acknowledged to nobody. */
static bool log_hopeless(const struct spool_log *log)
{
    bool no_segment = log->open == NULL && !dlist_empty(&log->ready_list);

    return log->in_flight == 0 && (log->stalled || (log->make_blocked && no_segment));
}

static bool log_written(const struct spool_log *log)
{
    bool nothing = log->in_flight == 0 && log->stage == NULL && dlist_empty(&log->ready_list) &&
                   log->owed_count == 0;

    return nothing || log_hopeless(log);
}

static bool log_drained(struct spool_log *log)
{
    if (log->stage != NULL) {
        log->flush_due = true;
        commit_pump(log);
    }
    if (!recover_abandon(log) || !log_written(log) || cleaner_busy(log)) {
        return false;
    }
    if (log->open != NULL && log->open->cursor > FORMAT_HEADER_SIZE) {
        segment_pool_seal(log);
    }
    if (log_hopeless(log)) {
        segment_seal_give_up(log);
    }
    return log->state_counts[SEGMENT_SEALING] == 0 && segment_pool_idle(log);
}

static void drain_tick(struct spool *sp)
{
    bool over = dlist_empty(&sp->reads) && dlist_empty(&sp->reads_waiting) &&
                sp->waiting.head == NULL && !health_busy(sp) && sp->memory_count == 0 &&
                sp->larges_open == 0;
    void (*done)(void *) = sp->drained;

    if (done == NULL) {
        return;
    }
    for (uint32_t i = 0; i < sp->log_count; i++) {
        over &= log_drained(&sp->logs[i]);
    }
    if (over) {
        sp->drained = NULL;
        done(sp->drained_ctx);
    }
}

void spool_drain(struct spool *sp, void (*done)(void *ctx), void *ctx)
{
    MUST(sp->drained == NULL);
    sp->draining = true;
    sp->drained = done;
    sp->drained_ctx = ctx;
    spool_kick(sp);
}

/* ---- the pump: everything that is to be done outside the calls that cause it ---- */

static void spool_pump(struct post *p)
{
    struct spool *sp = CONTAINER_OF(p, struct spool, pump);

    memory_ops_run(sp);
    spool_health(sp);
    put_resume(sp);
    for (uint32_t i = 0; i < sp->log_count; i++) {
        struct spool_log *log = &sp->logs[i];

        recover_tick(log);
        log_stage_owed(log);
        commit_pump(log);
        cleaner_tick(log);
    }
    read_resume(sp);
    answers_give(sp);
    drain_tick(sp);
}

static void lazy_fired(struct timer *t)
{
    struct spool *sp = CONTAINER_OF(t, struct spool, lazy);

    for (uint32_t i = 0; i < sp->log_count; i++) {
        sp->logs[i].flush_due = sp->logs[i].stage != NULL;
    }
    spool_kick(sp);
}

static void poll_fired(struct timer *t)
{
    struct spool *sp = CONTAINER_OF(t, struct spool, poll);

    if (!sp->draining) {
        health_poll(sp);
    }
    for (uint32_t i = 0; i < sp->log_count; i++) {
        sp->logs[i].dead_hint = true;
        sp->logs[i].clean_hint = true;
    }
    timer_arm(&sp->shard->timers, t, shard_now_ms(sp->shard) + LOG_POLL_MS);
    spool_kick(sp);
}

static void retry_fired(struct timer *t)
{
    struct spool *sp = CONTAINER_OF(t, struct spool, retry);

    for (uint32_t i = 0; i < sp->log_count; i++) {
        segment_pool_retry(&sp->logs[i]);
    }
    spool_kick(sp);
}

void spool_retry_later(struct spool *sp)
{
    if (!timer_armed(&sp->retry)) {
        timer_arm(&sp->shard->timers, &sp->retry, shard_now_ms(sp->shard) + LOG_RETRY_MS);
    }
}

/* ---- life ---- */

static void logs_open(struct spool *sp)
{
    const struct spool_store *store = sp->store;

    for (uint32_t i = 0; i < store->log_count; i++) {
        if (store->logs[i].number % store->params.shard_count == sp->shard->index) {
            sp->log_count++;
        }
        if (store->logs[i].number >= sp->log_number_end) {
            sp->log_number_end = store->logs[i].number + 1;
        }
    }
    MUST(sp->log_count > 0);
    sp->logs = mem_take_zero(sp->log_count * sizeof(*sp->logs));
    sp->log_by_number = mem_take_zero(sp->log_number_end * sizeof(*sp->log_by_number));
    for (uint32_t i = 0, at = 0; i < store->log_count; i++) {
        if (store->logs[i].number % store->params.shard_count == sp->shard->index) {
            log_open(sp, &sp->logs[at], &store->logs[i]);
            sp->log_by_number[store->logs[i].number] = (uint16_t)++at;
        }
    }
}

enum spool_err spool_open(struct spool_store *store, struct shard *shard,
                          const struct spool_events *events, struct spool **out)
{
    struct spool *sp = MEM_NEW(struct spool);

    sp->shard = shard;
    sp->store = store;
    sp->events = *events;
    sp->stamp = (uint64_t)store->boot << STORE_BOOT_SHIFT;
    sp->first_stamp = sp->stamp;
    sp->seq = sp->stamp;
    sp->pump.fn = spool_pump;
    sp->lazy.fn = lazy_fired;
    sp->poll.fn = poll_fired;
    sp->retry.fn = retry_fired;
    dlist_init(&sp->reads);
    dlist_init(&sp->reads_waiting);
    logs_open(sp);
    health_open(sp);
    timer_arm(&shard->timers, &sp->poll, shard_now_ms(shard) + LOG_POLL_MS);
    sp->recovering_count = sp->log_count;
    for (uint32_t i = 0; i < sp->log_count; i++) {
        recover_start(&sp->logs[i]);
    }
    spool_kick(sp);
    *out = sp;
    return SPOOL_OK;
}

static void marks_write(struct spool *sp)
{
    for (uint32_t i = 0; i < sp->log_count; i++) {
        struct spool_log *log = &sp->logs[i];

        if (sp->store->params.durability != SPOOL_MEMORY) {
            /* Losing it costs log records written twice, not mail. */
            sp->counters.io_error_count +=
                store_mark_write(&sp->shard->ring, log->dir, log->mark) != 0;
        }
    }
}

void spool_close(struct spool **spp)
{
    struct spool *sp = *spp;

    if (sp == NULL) {
        return;
    }
    marks_write(sp);
    sp->closing = true;
    shard_unpost(sp->shard, &sp->pump);
    timer_cancel(&sp->shard->timers, &sp->lazy);
    timer_cancel(&sp->shard->timers, &sp->poll);
    timer_cancel(&sp->shard->timers, &sp->retry);
    read_close(sp);
    put_close(sp);
    for (uint32_t i = 0; i < sp->log_count; i++) {
        commit_close_all(&sp->logs[i]);
    }
    answers_give(sp);
    for (uint32_t i = 0; i < sp->log_count; i++) {
        log_close(&sp->logs[i]);
    }
    health_close(sp);
    for (uint32_t i = 0; i < sp->spare_count; i++) {
        mem_give(sp->spare[i]);
    }
    mem_give(sp->memory_ops);
    mem_give(sp->zeros);
    mem_give(sp->log_by_number);
    mem_give(sp->logs);
    MEM_FREE(spp);
}

/* ---- inspection ---- */

void spool_counters(const struct spool *sp, struct spool_counters *out)
{
    *out = sp->counters;
    for (uint32_t i = 0; i < sp->log_count; i++) {
        const struct spool_log *log = &sp->logs[i];

        out->live_record_count += log->slots.count;
        out->segment_count += log->segments_in_use;
        out->free_segment_count += log->state_counts[SEGMENT_FREE];
    }
}
