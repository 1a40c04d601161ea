#include "core/daemon/engine.h"

#include <errno.h>

#include "core/base/mem.h"
#include "core/daemon/daemon_private.h"
#include "core/daemon/relog.h"
#include "core/net/dns_config.h"
#include "policy/api/services.h"

#define LOOK_MS 500u
#define LOOK_TIDIES 4u
#define LOOK_IDLE_TURNS 100u /* fewer between two looks: the burst is over */
#define PATIENT_EVENTS 3u      /* a turn on the average: many peers are at work ... */
#define PATIENT_EVENTS_STAY 2u /* ... and still are */

static const struct ring_params ring_sizes = {
    .sq_entries = 4096,
    .cq_entries = 65536,
    .ingress_buffers = 512,
    .egress_buffers = 256,
    .workers = 1,
};

/* ---- diagnostics ---- */

static uint64_t diag_clock(void *ctx)
{
    struct engine *e = ctx;

    return e->shard.ring.backend != NULL ? ring_wall_ns(&e->shard.ring) : 0;
}

static void diag_write(void *ctx, struct slice line)
{
    const struct daemon_host *host = ((struct engine *)ctx)->daemon->host;

    host->say(host->ctx, line);
}

/* ---- open ---- */

bool engine_open(struct engine *e, struct daemon *d, uint32_t index, struct buf *why)
{
    e->daemon = d;
    diag_init(&e->diag, e, diag_clock, diag_write);
    if (d->host->ring_open(d->host->ctx, &e->shard.ring, &ring_sizes, why) < 0) {
        return false;
    }
    if (d->options->ring_wrap != NULL) {
        d->options->ring_wrap(d->options->ring_wrap_ctx, &e->shard.ring);
    }
    shard_init(&e->shard, &d->group, index);
    shard_call_init(&e->shard);
    e->shard.owner = e;
    ingress_init(&e->ingress, &e->shard);
    e->ingress.room = &d->room;
    zones_init(&e->zones, &e->shard.ring);
    return true;
}

/* ---- the spool's events ---- */

static void spool_found_event(void *ctx, const struct spool_found *found)
{
    struct engine *e = ctx;
    struct message *m = message_new();

    memcpy(m->id, found->meta.id, sizeof(m->id));
    m->ref = found->ref;
    m->due_ms = found->meta.due_ms;
    m->size = found->meta.size;
    m->attempts = found->meta.attempts;
    m->flags = MESSAGE_SPOOLED;
    e->recovered_count++;
    queue_insert_found(&e->queue, m, found->meta.queue);
}

static void spool_unlogged_event(void *ctx, const struct spool_unlogged *unlogged)
{
    struct engine *e = ctx;

    relog(&e->relogger, unlogged);
}

static void spool_recovered_event(void *ctx, uint64_t record_count)
{
    struct engine *e = ctx;

    diag_info(&e->diag, "spool", "shard %u: spool recovered %llu messages", e->shard.index,
              (unsigned long long)record_count);
}

static void spool_damaged_event(void *ctx, const uint8_t id[16], struct slice what)
{
    static const uint8_t unknown[16] = {0};
    struct engine *e = ctx;
    char text[MESSAGE_ID_TEXT];

    if (memcmp(id, unknown, sizeof(unknown)) == 0) {
        diag_error(&e->diag, "spool", "damaged: %.*s", SLICE_ARG(what));
        return;
    }
    message_id_text(id, text);
    diag_error(&e->diag, "spool", "message %.*s is damaged: %.*s", (int)sizeof(text), text,
               SLICE_ARG(what));
}

static void spool_health_event(void *ctx, struct slice why)
{
    struct engine *e = ctx;

    e->ingress.unhealthy = why.len > 0 ? SLICE("unhealthy") : SLICE("");
    if (why.len > 0) {
        diag_error(&e->diag, "spool", "not accepting mail: %.*s", SLICE_ARG(why));
    } else {
        diag_info(&e->diag, "spool", "accepting mail again");
    }
}

/* ---- build ---- */

static void log_durable(void *ctx, uint64_t sequence)
{
    struct engine *e = ctx;

    if (e->spool != NULL) {
        spool_mark_logged(e->spool, sequence);
    }
}

static bool engine_build_resolver(struct engine *e, struct buf *why)
{
    const struct daemon_host *host = e->daemon->host;
    struct setup *s = &e->daemon->setup;
    struct dns_cares_params params = dns_config_cares(&s->resolver);
    struct dns_params dns = s->dns;
    struct dns_backend *backend;

    dns.ttl = s->resolver.ttl;
    resolver_init(&e->resolver, &e->shard, &dns);
    if (s->resolver.use_hosts_file) {
        dns_hosts_read(&e->resolver.hosts, &e->shard.ring, "/etc/hosts");
    }
    return host->dns_open(host->ctx, &e->shard, &params, &backend, why) &&
           resolver_view_add(&e->resolver, SLICE(""), backend, s->resolver.validate) !=
               DNS_VIEW_NONE;
}

static void engine_build_log(struct engine *e)
{
    const struct log_options options = {
        .diag = &e->diag,
        .node_id = buf_slice(&e->daemon->node_id),
        .ctx = e,
        .durable = log_durable,
    };

    e->log = log_new(&e->shard, &options);
    for (struct setup_log *l = e->daemon->setup.logs; l != NULL; l = l->next) {
        log_add_logger(e->log, &l->params);
    }
}

static void engine_wire(struct engine *e)
{
    struct daemon *d = e->daemon;

    e->relogger.diag = &e->diag;
    e->relogger.log = e->log;
    queue_mgr_init(&e->queue, &e->shard);
    e->queue.diag = &e->diag;
    e->queue.vm = e->vm;
    e->queue.configs = &e->configs;
    e->queue.spool = e->spool;
    e->queue.log = e->log;
    e->queue.ledger = &e->ledger;
    e->queue.zones = &e->zones.finder;
    e->queue.promoter = &egress_promoter;
    e->queue.promoter_ctx = &e->egress;
    e->queue.injector = &ingress_injector;
    e->queue.injector_ctx = &e->ingress;

    egress_init(&e->egress, &e->shard);
    e->egress.queue = &e->queue;
    e->egress.configs = &e->configs;
    e->egress.ledger = &e->ledger;
    e->egress.resolver = &e->resolver;
    e->egress.memory = &d->memory_gate;
    e->egress.hostname = buf_slice(&d->hostname);

    e->ingress.vm = e->vm;
    e->ingress.log = e->log;
    e->ingress.diag = &e->diag;
    e->ingress.queue = &e->queue;
    e->ingress.memory = &d->memory_gate;
    e->ingress.hostname = buf_slice(&d->hostname);
    message_ids_init(&e->ingress.ids, e->shard.index, spool_store_boot_count(d->store), d->node);
}

bool engine_build(struct engine *e, struct buf *why)
{
    const struct daemon *d = e->daemon;

    if (e->vm == NULL && !vm_open(&e->shard, d->policy, &d->host->vm_limits, &e->vm, why)) {
        return false;
    }
    config_resolver_init(&e->configs, &e->shard, e->vm);
    e->configs.diag = &e->diag;
    ledger_init(&e->ledger, &e->shard);
    if (!engine_build_resolver(e, why)) {
        resolver_free(&e->resolver);
        return false;
    }
    engine_build_log(e);
    engine_wire(e);
    return true;
}

/* ---- start ---- */

/* A burst leaves buffers of megabytes free, and nothing gives them back while the shard is idle. */
static void look_tidy(struct engine *e, uint64_t turns)
{
    e->idle_looks = turns < LOOK_IDLE_TURNS ? e->idle_looks + 1 : 0;
    if (e->idle_looks > 0 && e->idle_looks <= LOOK_TIDIES) {
        mem_purge(); /* what one time frees, the next gives back */
    }
}

bool engine_patience(bool was, uint64_t turns, uint64_t events)
{
    return turns >= LOOK_IDLE_TURNS &&
           events >= turns * (was ? PATIENT_EVENTS_STAY : PATIENT_EVENTS);
}

static void look_patience(struct engine *e, uint64_t turns, uint64_t events)
{
    const struct daemon_host *host = e->daemon->host;
    bool patient = engine_patience(e->patient, turns, events);

    if (patient != e->patient && host->patience != NULL) {
        host->patience(host->ctx, patient);
    }
    e->patient = patient;
}

static void look_fired(struct timer *t)
{
    struct engine *e = CONTAINER_OF(t, struct engine, look);
    const struct shard *sh = &e->shard;
    uint64_t turns = sh->turn_count - e->look_turn;

    look_tidy(e, turns);
    look_patience(e, turns, sh->event_count - e->look_event);
    e->look_turn = sh->turn_count;
    e->look_event = sh->event_count;
    timer_arm(&e->shard.timers, t, shard_now_ms(sh) + LOOK_MS);
}

bool engine_start(struct engine *e, struct buf *why)
{
    const struct spool_events events = {
        .ctx = e,
        .found = spool_found_event,
        .unlogged = spool_unlogged_event,
        .recovered = spool_recovered_event,
        .damaged = spool_damaged_event,
        .health = spool_health_event,
    };
    enum spool_err err = spool_open(e->daemon->store, &e->shard, &events, &e->spool);

    if (err != SPOOL_OK) {
        buf_printf(why, "spool: %s", spool_err_text(err));
        return false;
    }
    e->queue.spool = e->spool;
    e->ingress.spool = e->spool;
    e->relogger.spool = e->spool;
    queue_mgr_start(&e->queue);
    egress_start(&e->egress);
    ingress_start(&e->ingress);
    e->look.fn = look_fired;
    timer_arm(&e->shard.timers, &e->look, shard_now_ms(&e->shard) + LOOK_MS);
    e->started = true;
    return true;
}

/* ---- stop ---- */

static void phase_done(void *ctx)
{
    struct engine *e = ctx;

    e->phase_done(e);
}

static void egress_drained(void *ctx)
{
    struct engine *e = ctx;

    queue_mgr_settled(&e->queue, phase_done, e);
}

void engine_stop(struct engine *e, enum engine_phase phase)
{
    switch (phase) {
    case ENGINE_STOP_INGRESS:
        ingress_drain(&e->ingress, phase_done, e);
        break;
    case ENGINE_STOP_EGRESS:
        queue_mgr_drain(&e->queue);
        deferrals_drain(&e->ingress);
        egress_drain(&e->egress, egress_drained, e);
        break;
    case ENGINE_STOP_LOG:
        relogger_stop(&e->relogger);
        log_drain(e->log, phase_done, e);
        break;
    case ENGINE_STOP_SPOOL:
        spool_drain(e->spool, phase_done, e);
        break;
    case ENGINE_PHASE_COUNT:
        MUST(!"no such phase");
    }
}

void engine_cut(struct engine *e)
{
    queue_mgr_cut(&e->queue);
    ingress_cut(&e->ingress);
    egress_cut(&e->egress);
}

void engine_close(struct engine *e)
{
    if (e->started) {
        ledger_end(&e->ledger);
        ingress_free(&e->ingress);
        queue_mgr_free(&e->queue); /* its queues hold on to routes and ready queues */
        egress_free(&e->egress);
        relogger_free(&e->relogger);
        log_free(&e->log);
        spool_close(&e->spool);
        ledger_free(&e->ledger);
        resolver_free(&e->resolver);
        config_resolver_free(&e->configs);
    } else {
        ingress_free(&e->ingress); /* its listeners may be bound already */
    }
    if (e->vm != NULL) {
        vm_close(&e->vm);
    }
}

void engine_free(struct engine *e)
{
    if (e->shard.ring.backend != NULL) {
        ring_close(&e->shard.ring);
        mail_free(&e->shard);
    }
    zones_free(&e->zones);
    diag_free(&e->diag);
    mem_give(e);
}
