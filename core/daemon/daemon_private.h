/*
 * daemon_private - the process, as the files of core/daemon share it.
 */
#pragma once

#include "core/daemon/daemon.h"
#include "core/daemon/engine.h"
#include "core/daemon/host.h"
#include "core/daemon/setup.h"
#include "core/limit/memory.h"

struct daemon {
    const struct daemon_options *options;
    const struct daemon_host *host;
    uint32_t shard_count;
    struct shard_group group;
    struct shard *shards[SHARD_COUNT_MAX];
    struct engine *engines[SHARD_COUNT_MAX];
    struct setup setup;
    struct policy *policy;
    struct api_services *services; /* by shard */
    struct spool_store *store;
    struct buf node_id;     /* dashed UUID */
    struct buf hostname;
    uint8_t node[6];        /* of message ids */
    struct ingress_room room;
    struct memory_host memory_host;
    struct memory_wishes memory_wishes;
    struct memory_gate memory_gate;
    /* ---- shard 0's, while running ---- */
    struct memory_watch memory_watch;
    struct ring_op signal_poll;
    struct timer drain_timer;
    int signal_fd;
    uint32_t started_count, phase_done_count, recovered_count;
    uint64_t recovered_messages;
    uint8_t phase;          /* enum engine_phase, while stopping */
    bool stopping;
    bool failed;
    pthread_barrier_t built;
};

static inline struct ring *daemon_ring(struct daemon *d)
{
    return &d->engines[0]->shard.ring;
}

/* daemon.c, in this order; false ends it there, and `why` says what is wrong. The whole daemon is
 * there after them, and nothing of it runs.
 *     open     rings, policy, pre_init and init (shard 0 turns while they are suspended)
 *     build    spool, logs, queues, listeners */
NODISCARD bool daemon_open(struct daemon *d, const struct daemon_options *options,
                           struct buf *why);
NODISCARD bool daemon_build(struct daemon *d, struct buf *why);
/* One shard begins, on its own thread; what is wrong goes to its diagnostics. */
NODISCARD bool daemon_start_shard(struct engine *e);
/* On shard 0, after all have begun. */
void daemon_started(struct daemon *d);
/* After every shard was left, or however far it came. */
void daemon_close(struct daemon *d);
/* signals.c: SIGTERM and SIGINT arrive as reads on shard 0. */
NODISCARD bool daemon_signals_open(struct daemon *d, struct buf *why);
void daemon_signals_start(struct daemon *d);
/* stop.c: the phases, each on all shards. */
void daemon_stop(struct daemon *d, const char *cause);
void daemon_phase_done(struct engine *e);
/* setup_memory.c: what host and environment say, before the policy does ... */
NODISCARD bool daemon_memory_open(struct daemon *d, struct buf *why);
/* ... and samples from now on. */
void daemon_memory_start(struct daemon *d);
/* identity.c */
NODISCARD bool daemon_identify(struct daemon *d, struct buf *why);
/* Becomes --user, keeping only the right to bind ports below 1024 ... */
NODISCARD bool daemon_drop_privileges(struct daemon *d, struct buf *why);
/* ... which goes, too, once everything is bound. */
void daemon_drop_capabilities(void);

/* engine.c: whether a shard that had so many events in so many turns is to let others go on when it
 * wakes up. With many peers at work a turn that comes a little later finds more to do and costs
 * less; with one or two it is they who wait (docs/decisions/0008). */
PURE bool engine_patience(bool was, uint64_t turns, uint64_t events);
