/*
 * ingress - mail coming in by SMTP: listeners, sessions, relay decision, reception.
 *
 * Every shard listens on every endpoint (SO_REUSEPORT) and keeps its sessions to itself. A message
 * gets its 250 when the spool says that it is durable and its queue has taken it.
 *
 * Owner     struct ingress_endpoint: made by the main thread, shared by all shards, read-only but
 *           for its atomic count. struct ingress: one shard.
 * Memory    a session while it is connected; bodies coming in are bounded by staging_bytes_max,
 *           beyond which large messages are taken in one after the other.
 * Blocking  never.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"
#include "core/config/listener_config.h"
#include "core/message/message.h"
#include "core/net/listener.h"
#include "core/queue/queue.h"
#include "proto/smtp_server.h"

struct diag;
struct log;
struct memory_gate;
struct session;
struct vm;

/* One start_esmtp_listener call. */
struct ingress_endpoint {
    struct listener_config config;
    struct ip_port addr;      /* as bound */
    _Atomic uint32_t session_count; /* over all shards */
};

/* Sessions over all endpoints and shards: logs, spool and deliveries need descriptors, too. Shared
 * by all shards like an endpoint. */
struct ingress_room {
    uint32_t session_max; /* 0: no bound */
    _Atomic uint32_t session_count;
    _Atomic bool told;    /* that it is full; until it is half empty */
};

struct ingress_counters {
    uint64_t session_count, denied_count;
    uint64_t transaction_count;  /* messages read to their end */
    uint64_t message_count;      /* accepted */
    uint64_t refusal_count;      /* replies that are recorded as Rejection */
};

struct ingress_listener {
    struct listener listener;
    struct ingress *ingress;
    struct ingress_endpoint *endpoint;
    struct smtp_server_limits limits; /* of sessions without options of their own */
    struct ingress_listener *next;
};

/* Mail of listeners with deferred_queue on its way from the internal queue through the policy. */
struct deferrals {
    struct dlist waiting;    /* struct message, by timer.link */
    struct dlist running;    /* struct deferral: its handler or its new queue is being asked */
    uint32_t running_count;
    uint64_t held_bytes;     /* of waiting messages with their content in memory */
    struct post work;
};

struct ingress {
    struct shard *shard;
    struct vm *vm;
    struct spool *spool;
    struct log *log;
    struct diag *diag;         /* where failures of the policy are told; may be NULL */
    struct queue_mgr *queue;
    struct ingress_room *room;
    const struct memory_gate *memory; /* NULL: there is always enough */
    struct message_ids ids;
    struct slice hostname;     /* of listeners that name none */
    struct ingress_listener *listeners;
    struct dlist sessions;
    struct dlist starved;      /* sessions that wait for staging room or for the log's disk */
    struct timer starved_timer;
    uint64_t staging_bytes;    /* of bodies coming in */
    uint64_t staging_bytes_max;
    struct session *favoured;  /* goes on although there is no room; NULL: nobody */
    uint64_t favour_until_ms, favour_size; /* by then it has more than that */
    uint32_t session_count;
    uint32_t intake_count;     /* messages being judged or stored */
    uint32_t open_listener_count;
    struct deferrals deferrals;
    struct slice unhealthy;    /* why nothing is accepted; empty: it is */
    struct ingress_counters counters;
    bool draining;
    bool defers_said;          /* that dynamic parameters turned deferred_spool on */
    void (*drained)(void *ctx);
    void *drained_ctx;
    struct buf scratch, json; /* for one step each */
    struct buf reply;         /* the final reply of a transaction */
};

void ingress_init(struct ingress *in, struct shard *shard);
/* Three quarters of the descriptors the process may have. */
void ingress_room_init(struct ingress_room *room, uint64_t descriptor_max);
/* Binds on the main thread. A port of 0 is bound once and then the same on every shard. Answers
 * a negative errno. */
NODISCARD int ingress_listen(struct ingress *in, struct ingress_endpoint *endpoint);
/* Undoes the last ingress_listen() if it was for this endpoint. */
void ingress_unlisten(struct ingress *in, const struct ingress_endpoint *endpoint);
/* Starts to accept; on the shard. */
void ingress_start(struct ingress *in);
/* Stops listening, ends sessions that wait for their peer with 421, lets messages under way get
 * their reply. drained() when the last session is gone. */
void ingress_drain(struct ingress *in, void (*drained)(void *ctx), void *ctx);
/* The drain took too long: cuts the sessions that are left. */
void ingress_cut(struct ingress *in);
/* deferred.c: after the drain, with queues that drain: what waits for its policy goes to rest. */
void deferrals_drain(struct ingress *in);
void ingress_free(struct ingress *in);
extern const struct queue_injector ingress_injector; /* its ctx: struct ingress */
/* Calls drained() when nothing is left. */
void ingress_drained_check(struct ingress *in);
