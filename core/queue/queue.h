/*
 * queue - the scheduled queues of one shard: what waits, until when, and where it goes next.
 *
 * Messages stay on the shard whose log holds them (docs/decisions/0001): every shard has its own
 * part of a queue, limits that span shards are counted by core/limit. A queue exists while it
 * holds messages and for its reap interval after; its config is asked of the policy once and
 * refreshed. Promotion goes through an interface that egress implements; whatever comes back
 * comes through queue_retry() or queue_finish().
 *
 * Owner     one shard. Messages given to queue_insert() belong to the queue until promoted,
 *           then to the promoter until it gives them back or finishes them.
 * Memory    a waiting message is struct message and its spool slot; its content is dropped.
 *           Messages in memory alone (deferred_spool) are bounded by QUEUE_UNSAVED_BYTES_MAX.
 * Blocking  never; handlers and the spool answer later.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/hmap.h"
#include "core/base/list.h"
#include "core/config/resolve.h"
#include "core/message/insert_context.h"
#include "core/message/message.h"
#include "core/queue/queue_name.h"
#include "core/queue/retry.h"
#include "core/shard/shard.h"
#include "spool/spool.h"

struct diag;
struct ledger;
struct log;
struct queue_mgr;
struct queue_pool;
struct schedq;
struct vm;

/* Implemented by egress. */
struct queue_promoter {
    /* Takes the message over. */
    void (*promote)(void *ctx, struct message *m);
    /* The queue's config or pool changed, or it goes away: forget what was derived from it. */
    void (*forget)(void *ctx, struct schedq *q);
};

/* Implemented by ingress: what leaves QUEUE_DEFERRED_SMTP goes to the policy instead. */
struct queue_injector {
    /* Takes the message over; queue_rebind(), queue_fail() or queue_finish() give it back. */
    void (*inject)(void *ctx, struct message *m);
};

struct queue_counters {
    uint64_t inserted_count, promoted_count, delayed_count, finished_count, expired_count;
    uint64_t retried_count;
};

/* Messages that the policy is asked about (event.h): those under way, and those whose turn has
 * not come. */
struct queue_events {
    struct dlist running, requeued; /* struct queue_event */
    struct dlist promoted, found;   /* struct message, by timer.link */
    struct dlist moved;             /* struct message: to be placed in its new queue */
    struct post next;
    uint32_t running_count;
    bool cut; /* no handler is waited for any more */
};

struct queue_mgr {
    struct shard *shard;
    struct diag *diag; /* may be NULL */
    struct vm *vm;
    struct config_resolver *configs;
    struct spool *spool;
    struct log *log;
    struct ledger *ledger;
    const struct zone_finder *zones;
    const struct queue_promoter *promoter;
    void *promoter_ctx;
    const struct queue_injector *injector; /* may be NULL: nothing is injected late */
    void *injector_ctx;
    struct hmap queues;
    struct hmap pools;       /* struct queue_pool by name */
    struct timer maintain;   /* refresh and reap, every QUEUE_MAINTAIN_MS */
    struct buf scratch;
    struct buf outcome;      /* scratch of queue_finish() */
    struct queue_events events;
    uint64_t waiting_count;  /* messages in all queues that are not promoted */
    uint64_t pending_work;   /* changes, reads, questions, events: a drain waits for them */
    struct dlist saves;      /* save.c: messages being written that were in memory alone */
    uint64_t unsaved_bytes, unsaved_bytes_max;
    uint32_t unsaved_count;
    bool save_fails;         /* the last such write did, and the operator was told */
    bool behind;             /* the spool was, when last asked, and the operator was told */
    struct queue_counters counters;
    void (*settled)(void *ctx); /* of queue_mgr_settled(), while it waits */
    void *settled_ctx;
    bool draining;           /* nothing is promoted any more */
    bool cut;                /* writes that fail are not tried again */
};

#define QUEUE_MAINTAIN_MS 10000u
#define QUEUE_UNSAVED_BYTES_MAX (UINT64_C(256) << 20) /* over all shards */
#define QUEUE_FAILURE_TTL_MS 60000u /* a config error is remembered this long */

void queue_mgr_init(struct queue_mgr *mgr, struct shard *shard);
void queue_mgr_start(struct queue_mgr *mgr);
/* The config epoch has changed: queues whose refresh_strategy is Epoch ask for their config anew,
 * from the loop. */
void queue_mgr_epoch(struct queue_mgr *mgr);
/* Stops promoting; waiting messages stay in the spool, those in memory alone are written. */
void queue_mgr_drain(struct queue_mgr *mgr);
/* Stopping takes too long: handlers under way are abandoned; what could not be written is given
 * up, each by its id. */
void queue_mgr_cut(struct queue_mgr *mgr);
/* Work on messages that a drain has to wait for, the queues' own or others'. Its end is said last:
 * it may end the phase. */
void queue_work_begin(struct queue_mgr *mgr);
void queue_work_end(struct queue_mgr *mgr);
/* done() when no record or change of the queues is under way any more, perhaps at once. */
void queue_mgr_settled(struct queue_mgr *mgr, void (*done)(void *ctx), void *ctx);
void queue_mgr_free(struct queue_mgr *mgr);

/* ---- in ---- */

/* One insertion whose result matters to the caller: reception answers its peer by it. */
struct queue_insert {
    void (*done)(struct queue_insert *ins, bool ok, struct slice why);
    struct dlist link;
    struct message *m;
};

/* A message with content loaded, its record durable or queue_defer() called. Answers true when it
 * was taken at once, or refused at once with why; otherwise ins->done runs later. On failure the
 * message stays the caller's. */
enum queue_answer { QUEUE_TAKEN = 0, QUEUE_REFUSED, QUEUE_LATER };
NODISCARD enum queue_answer queue_insert(struct queue_mgr *mgr, struct message *m,
                                         struct slice queue_name, struct queue_insert *ins,
                                         struct slice *why);
/* deferred_spool: whether that many bytes more may be kept in memory alone. If not, and for every
 * other message, the record is written first. */
PURE bool queue_may_defer(const struct queue_mgr *mgr, uint64_t bytes);
/* The message is in memory alone, content loaded; it is written before it has to wait, and before
 * the drain ends. */
void queue_defer(struct queue_mgr *mgr, struct message *m);
/* The insertion that is to answer later is taken back: it does not answer, and the message is the
 * caller's. False: nothing is under way. */
NODISCARD bool queue_insert_abandon(struct queue_insert *ins);

/* Waits until a queue's config is known, or known to be missing. A field of whoever asks. */
struct queue_await {
    void (*known)(struct queue_await *w);
    struct dlist link;
};
/* True: it is known already; otherwise w->known runs later. */
NODISCARD bool queue_await(struct queue_mgr *mgr, struct slice queue_name, struct queue_await *w);
void queue_await_abandon(struct queue_await *w);
/* A message found in the spool: no content, due and attempts set. */
void queue_insert_found(struct queue_mgr *mgr, struct message *m, struct slice queue_name);

/* ---- back from the promoter ---- */

struct queue_requeue {
    enum insert_reason reason;
    bool attempted;      /* counts as an attempt: back-off, expiry by the schedule */
    bool logged;         /* a TransientFailure record tells the story already */
    bool has_delay;      /* otherwise, when not attempted, up to a minute at random */
    bool unheard;        /* requeue_message is not asked */
    uint64_t delay_ms;
    struct slice response; /* for requeue_message: one line; queue_fail() makes it when empty */
};
/* requeue_message may change the message, and the queue that it goes to. */
void queue_retry(struct queue_mgr *mgr, struct message *m, const struct queue_requeue *how);
/* Straight back for another choice of path, without a delay. */
void queue_reinsert(struct queue_mgr *mgr, struct message *m, enum insert_reason reason);

/* ---- for the promoter ---- */

/* The spool could not note what becomes of this message now: it is not to be sent, but given back
 * by queue_reinsert(), and comes again. */
NODISCARD bool queue_holds_back(struct queue_mgr *mgr, const struct message *m);

/* Writes attempts, due time and, where they changed, envelope and metadata to the spool. The
 * message may be freed right after, unless it is in memory alone: then nothing happens here, and
 * it is written whole when it has to wait. */
void queue_save_state(struct queue_mgr *mgr, struct message *m);

struct schedq *message_queue(const struct message *m);
struct slice schedq_name(const struct schedq *q);
const struct queue_config *schedq_config(const struct schedq *q);
const struct queue_name *schedq_parts(const struct schedq *q);

struct queue_source {
    struct config *source; /* CONFIG_SOURCE */
    uint32_t weight;       /* never 0 */
};
/* The queue's pool, resolved with its members; entries of weight 0 are left out. */
struct slice schedq_pool_name(const struct schedq *q);
uint32_t schedq_source_count(const struct schedq *q);
const struct queue_source *schedq_sources(const struct schedq *q);
/* Weighted round robin over the entries for which skip[i] is 0 (skip may be NULL); UINT32_MAX
 * when none is left. */
uint32_t schedq_choose(struct schedq *q, const uint8_t *skip);
/* A pointer the promoter keeps with the queue. */
void **schedq_slot(struct schedq *q);

PURE uint64_t message_age_ms(const struct message *m, uint64_t wall_ns);
