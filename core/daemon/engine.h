/*
 * engine - everything one shard runs, composed: the only place that knows all layers.
 *
 * Owner     built on the main thread (engine_build), started and used by its own thread.
 */
#pragma once

#include "core/base/diag.h"
#include "core/config/resolve.h"
#include "core/daemon/relog.h"
#include "core/daemon/zones.h"
#include "core/egress/egress.h"
#include "core/ingress/ingress.h"
#include "core/limit/ledger.h"
#include "core/log/log.h"
#include "core/net/dns_resolver.h"
#include "core/queue/queue.h"
#include "core/shard/shard.h"
#include "core/shard/shard_call.h"
#include "policy/vm/vm.h"
#include "spool/spool.h"

struct daemon;

struct engine {
    struct shard shard;
    struct daemon *daemon;
    struct diag diag;
    struct zones zones;
    struct vm *vm;
    struct config_resolver configs;
    struct ledger ledger;
    struct resolver resolver;
    struct log *log;
    struct spool *spool;
    struct queue_mgr queue;
    struct egress egress;
    struct ingress ingress;
    struct relogger relogger;
    uint64_t recovered_count;
    struct shard_call report;      /* sent to shard 0 */
    struct timer finish_retry;
    struct timer look;             /* at what the shard is doing, every LOOK_MS */
    uint64_t look_turn, look_event; /* counts at the last look */
    bool patient;                  /* daemon_host.patience */
    uint32_t idle_looks;           /* in a row */
    void (*phase_done)(struct engine *e);
    bool started;
};

/* Before the policy's init: ring, shard, diagnostics, vm. `why` says what is wrong. */
NODISCARD bool engine_open(struct engine *e, struct daemon *d, uint32_t index, struct buf *why);
/* After init: spool, log, queues, everything that init has configured. */
NODISCARD bool engine_build(struct engine *e, struct buf *why);
/* On the engine's own thread: accepts mail from now on. */
NODISCARD bool engine_start(struct engine *e, struct buf *why);
void engine_close(struct engine *e);
/* After every engine is closed and the store, too, which uses the first one's ring. */
void engine_free(struct engine *e);

/* The phases of stopping, in their order; each tells through e->phase_done. */
enum engine_phase {
    ENGINE_STOP_INGRESS = 0, /* no new mail; messages coming in get their reply */
    ENGINE_STOP_EGRESS,      /* deliveries under way end; nothing new begins */
    ENGINE_STOP_LOG,         /* records are on disk */
    ENGINE_STOP_SPOOL,       /* settles are on disk */
    ENGINE_PHASE_COUNT,
};
void engine_stop(struct engine *e, enum engine_phase phase);
/* Ends what the phase under way still waits for. */
void engine_cut(struct engine *e);
