/* Stopping: each phase runs on all shards before the next begins. */
#include "core/base/mem.h"
#include "core/daemon/daemon_private.h"

/* A word from shard 0 to all. */
struct order {
    struct shard_call call;
    uint8_t phase; /* enum engine_phase */
    bool cut, leave;
};

static void order_taken(struct shard *sh, struct shard_call *call)
{
    struct order *o = CONTAINER_OF(call, struct order, call);
    struct engine *e = sh->owner;
    struct order order = *o;

    mem_give(o);
    if (order.leave) {
        shard_stop(sh);
    } else if (order.cut) {
        engine_cut(e);
    } else {
        engine_stop(e, (enum engine_phase)order.phase);
    }
}

static void order_all(struct daemon *d, struct order template)
{
    for (uint32_t i = 0; i < d->shard_count; i++) {
        struct order *o = mem_copy(&template, sizeof(template));

        o->call.fn = order_taken;
        shard_call(&d->engines[0]->shard, i, &o->call);
    }
}

static void phase_begin(struct daemon *d)
{
    static const char *const name[ENGINE_PHASE_COUNT] = {
        [ENGINE_STOP_INGRESS] = "sessions",
        [ENGINE_STOP_EGRESS] = "deliveries",
        [ENGINE_STOP_LOG] = "logs",
        [ENGINE_STOP_SPOOL] = "spool",
    };

    d->phase_done_count = 0;
    if (d->phase == ENGINE_PHASE_COUNT) {
        timer_cancel(&d->engines[0]->shard.timers, &d->drain_timer);
        order_all(d, (struct order){.leave = true});
        return;
    }
    diag_debug(&d->engines[0]->diag, "kumod", "draining: %s", name[d->phase]);
    order_all(d, (struct order){.phase = d->phase});
}

static void phase_reported(struct shard *sh, struct shard_call *call)
{
    struct daemon *d = ((struct engine *)sh->owner)->daemon;

    if (++d->phase_done_count == d->shard_count) {
        d->phase++;
        phase_begin(d);
    }
}

void daemon_phase_done(struct engine *e)
{
    e->report.fn = phase_reported;
    shard_call(&e->shard, 0, &e->report);
}

static void drain_too_long(struct timer *t)
{
    struct daemon *d = CONTAINER_OF(t, struct daemon, drain_timer);

    diag_warn(&d->engines[0]->diag, "kumod",
              "draining takes longer than --drain-timeout: cutting what is left");
    order_all(d, (struct order){.cut = true});
}

void daemon_stop(struct daemon *d, const char *cause)
{
    struct shard *sh = &d->engines[0]->shard;

    if (d->stopping) {
        return;
    }
    d->stopping = true;
    memory_watch_stop(&d->memory_watch);
    diag_info(&d->engines[0]->diag, "kumod", "%s: draining", cause);
    d->drain_timer.fn = drain_too_long;
    timer_arm(&sh->timers, &d->drain_timer, shard_now_ms(sh) + d->options->drain_timeout_ms);
    d->phase = ENGINE_STOP_INGRESS;
    phase_begin(d);
}
