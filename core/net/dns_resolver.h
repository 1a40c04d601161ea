/*
 * dns_resolver - questions in, record sets out; one answer and one query per question in the
 * whole process.
 *
 * The shard that owns a name (shard_of_name) asks for it and caches the answer. Other shards ask
 * the owner by mail and keep a short copy. Whoever asks the same while a question is under way
 * waits for the same answer.
 *
 * Several views may stand side by side, each with a backend of its own (define_resolver); view 0
 * is the default. The hosts file belongs to view 0.
 *
 * Owner     one shard; the waiters are fields of whoever asks.
 * Memory    caches bounded by count; at most flight_count_max questions under way or queued,
 *           beyond that the answer is LOOKUP_BUSY.
 * Blocking  never. A waiter is called from the loop, never inside a call made here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"
#include "core/net/dns_cache.h"
#include "core/net/dns_hosts.h"
#include "core/net/dns_set.h"
#include "core/shard/shard.h"

struct dns_flight;
struct dns_mx_cache;
struct dns_wait;
struct resolver;

struct dns_params {
    uint32_t mx_concurrency;      /* in the process; each shard gets its share */
    uint32_t query_concurrency;   /* of all other types, per shard */
    uint32_t flight_count_max;    /* per shard */
    uint32_t cache_count_max;     /* per shard */
    uint32_t mx_timeout_ms;       /* waiting for a turn included */
    uint32_t query_timeout_ms;    /* of all other types */
    uint32_t mx_negative_ttl_ms;  /* every MX failure, NXDOMAIN too */
    uint32_t failure_ttl_ms;      /* failures of all other types */
    uint32_t copy_ttl_ms;         /* how long a shard trusts its copy of another's answer */
    struct dns_ttl_bounds ttl;
};
#define DNS_PARAMS_DEFAULT                                                                        \
    {                                                                                             \
        .mx_concurrency = 128, .query_concurrency = 512, .flight_count_max = 65536,               \
        .cache_count_max = 65536, .mx_timeout_ms = 5000, .query_timeout_ms = 20000,               \
        .mx_negative_ttl_ms = 300000, .failure_ttl_ms = 5000, .copy_ttl_ms = 60000,               \
        .ttl = DNS_TTL_BOUNDS_DEFAULT                                                             \
    }

/* `set` is borrowed for the call; dns_set_ref() keeps it. Its status says how it went. */
typedef void dns_wait_fn(struct dns_wait *w, struct dns_set *set);

struct dns_wait {
    struct dlist link; /* linked while waiting */
    dns_wait_fn *fn;
    struct dns_set *ready; /* an answer that was there already, on its way to fn */
};

#define DNS_VIEW_MAX 32u
#define DNS_VIEW_NONE UINT8_MAX

struct dns_view {
    struct slice name; /* owned; empty for the default */
    struct dns_backend *backend;
    bool trust_ad; /* its name server validates, and the way to it is safe */
};

/* A kind of question that shares a limit on how many are under way. */
struct dns_lane {
    struct dlist queue; /* struct dns_flight waiting for a turn */
    uint32_t running, running_max;
};

struct resolver_counters {
    uint64_t mx_hits, mx_misses, mx_ok, mx_failed; /* dns_mx.c */
    uint64_t queries, coalesced, asked_by_mail, answered_by_mail, busy, timeouts;
    uint32_t mx_in_progress;
};

struct resolver {
    struct shard *shard;
    struct dns_params params;
    struct dns_view views[DNS_VIEW_MAX];
    uint32_t view_count;
    struct dns_cache cache;
    struct dns_hosts hosts;
    bool hosts_off;
    struct hmap flights; /* struct dns_flight by question */
    struct dns_lane mx_lane, other_lane;
    struct dlist ready; /* struct dns_wait with an answer */
    struct post post;
    struct buf key;            /* scratch */
    struct dns_answer scratch; /* of the last answer */
    struct dns_mx_cache *mx;
    struct resolver_counters counters;
};

/* Makes the resolver of one shard and registers its mail; before the shard runs. The hosts file is
 * read into r->hosts by dns_hosts_read(). */
void resolver_init(struct resolver *r, struct shard *shard, const struct dns_params *params);
/* Adds a view; the resolver closes the backend in resolver_free(). DNS_VIEW_NONE when there are
 * too many. Every shard adds the same views in the same order. */
NODISCARD uint8_t resolver_view_add(struct resolver *r, struct slice name,
                                    struct dns_backend *backend, bool trust_ad);
/* DNS_VIEW_NONE when there is none of that name; the empty name is the default. */
uint8_t resolver_view_find(const struct resolver *r, struct slice name);
/* Nobody may wait any more; waiters that do are forgotten. */
void resolver_free(struct resolver *r);

/* Asks; the answer comes through w->fn. The name may be in any form; one that is no name answers
 * LOOKUP_BAD_NAME. */
void resolver_ask(struct resolver *r, const struct dns_question *question, struct dns_wait *w);
/* w->fn will not run. Does nothing when not waiting. The question goes on for the cache. */
void resolver_unask(struct resolver *r, struct dns_wait *w);
/* The answer if it is here already, borrowed; NULL otherwise. `name` in kept form. */
struct dns_set *resolver_peek(struct resolver *r, const struct dns_question *question);
