/*
 * resolve - queue, pool, source and path configs: asked of the policy once, compiled, shared.
 *
 * A result is a struct config: immutable, counted, and one object for all queues whose policy
 * answered the same, so that a million queues cost one config. Pools and sources are cached by
 * name for their ttl.
 *
 * Owner     one shard's struct config_resolver; a struct config never leaves its shard.
 * Blocking  never. A handler that does not suspend answers at once; otherwise ask->done runs
 *           from the loop.
 * Errors    ask->config is NULL and ask->why says why, as it goes into records and replies.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/hmap.h"
#include "core/base/list.h"
#include "core/config/egress_path_config.h"
#include "core/config/egress_pool_config.h"
#include "core/config/egress_source_config.h"
#include "core/config/queue_config.h"

struct diag;
struct shard;
struct vm;
struct vm_call;

enum config_kind { CONFIG_QUEUE = 0, CONFIG_POOL, CONFIG_SOURCE, CONFIG_PATH, CONFIG_KIND_COUNT };

struct config {
    struct hmap_node node; /* among the interned ones, by kind and text */
    struct config_resolver *owner;
    uint32_t refs;
    uint8_t kind; /* enum config_kind */
    union {
        struct queue_config queue;
        struct egress_pool_config pool;
        struct egress_source_config source;
        struct egress_path_config path;
    };
    struct buf text; /* kind and the policy's answer as JSON: the interning key */
};

struct config *config_get(struct config *c); /* one more reference; answers c */
void config_put(struct config **cp);         /* NULL is accepted; clears */

struct config_resolver {
    struct shard *shard;
    struct vm *vm;
    struct hmap interned;
    struct hmap named;    /* cached pools and sources, by kind and name */
    struct config *defaults[CONFIG_KIND_COUNT]; /* what counts without a handler */
    struct diag *diag;    /* where failures of handlers are told; may be NULL */
    struct buf said;      /* the last one: a broken handler is not told for each message */
    uint64_t said_ms;
};

void config_resolver_init(struct config_resolver *cr, struct shard *shard, struct vm *vm);
void config_resolver_free(struct config_resolver *cr);

/* A question. A field of whoever asks; untouchable while in_flight. */
struct config_ask {
    void (*done)(struct config_ask *ask);
    struct config *config; /* a reference for the asker; NULL on error */
    struct buf why;
    bool in_flight;
    /* the resolver's own */
    struct config_resolver *cr;
    struct vm_call *call;
    uint8_t kind;
    struct buf name;
};

/* Each answers true when ask->config (or why) is set already; else ask->done runs later. The
 * asker frees ask->why and puts ask->config. */
struct config_queue_key {
    struct slice domain, tenant, campaign, routing_domain;
    bool has_tenant, has_campaign, has_routing_domain;
};
NODISCARD bool config_ask_queue(struct config_resolver *cr, struct config_ask *ask,
                                const struct config_queue_key *key);
NODISCARD bool config_ask_pool(struct config_resolver *cr, struct config_ask *ask,
                               struct slice name);
NODISCARD bool config_ask_source(struct config_resolver *cr, struct config_ask *ask,
                                 struct slice name);
NODISCARD bool config_ask_path(struct config_resolver *cr, struct config_ask *ask,
                               struct slice routing_domain, struct slice source,
                               struct slice site_name);
/* A queue of the engine's own: every option at its default but for retry_interval. A reference
 * for the caller. */
struct config *config_queue_retrying(struct config_resolver *cr, struct slice retry_interval);
/* The asker goes away: done() will not run. */
void config_ask_abandon(struct config_ask *ask);
