/*
 * egress - from a promoted message to its outcome: path, ready queue, connection, reply.
 *
 * Each shard has its own ready queues and connections for the messages it is home to; what they
 * share with the other shards (connection limits, ready-queue slots, rates) they lease from the
 * limit's owner (core/limit/ledger.h), so a limit holds over all shards.
 *
 * Owner     one shard. Implements struct queue_promoter.
 * Memory    a ready queue and its connections while they are in use; messages only until their
 *           outcome is known.
 * Blocking  never.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/hmap.h"
#include "core/base/slice.h"
#include "core/queue/queue.h"

struct memory_gate;
struct resolver;

struct egress_counters {
    uint64_t delivered_count, bounced_count, transient_count; /* recipients */
    uint64_t connection_count, connect_failure_count;
    uint64_t ready_full_count;
};

struct egress {
    struct shard *shard;
    struct queue_mgr *queue;
    struct config_resolver *configs;
    struct ledger *ledger;
    struct resolver *resolver;
    struct hmap routes;   /* struct route, by routing domain or mx_list */
    struct hmap readyqs;  /* struct readyq, by name */
    struct hmap limits;   /* struct shared_limit, by name */
    struct timer maintain;
    struct slice hostname;
    struct egress_counters counters;
    uint64_t held_bytes;     /* of messages that wait here with their content in memory */
    const struct memory_gate *memory; /* NULL: there is always enough */
    uint64_t held_bytes_max; /* beyond it content is dropped and read back when its turn comes */
    uint32_t lane_count;
    uint32_t promotion_count;
    bool draining;
    void (*drained)(void *ctx); /* after egress_drain(), when the last connection is gone */
    void *drained_ctx;
    struct buf scratch;
};

void egress_init(struct egress *eg, struct shard *shard);
void egress_start(struct egress *eg);
/* The config epoch has changed: paths whose refresh_strategy is Epoch are asked for anew, from the
 * loop. */
void egress_epoch(struct egress *eg);
/* Memory is exhausted: what waits and can be read back leaves it. Or it is so no more: there may be
 * as many connections as before. */
void egress_memory_changed(struct egress *eg);
/* Finishes transactions under way, opens nothing new, closes what is idle. */
void egress_drain(struct egress *eg, void (*drained)(void *ctx), void *ctx);
/* The drain took too long: cuts what is left. */
void egress_cut(struct egress *eg);
void egress_free(struct egress *eg);

/* A message begins and ends to wait in a list of egress. */
void egress_hold(struct egress *eg, struct message *m);
void egress_unhold(struct egress *eg, struct message *m);

extern const struct queue_promoter egress_promoter;
