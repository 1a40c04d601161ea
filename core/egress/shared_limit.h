/*
 * shared_limit - connection limits that several paths share by name.
 *
 * A path's limits form a limit_set; a lane keeps the set its places were taken from until it
 * ends, whatever the path says meanwhile. Private to core/egress.
 *
 * Owner     one shard's egress; sets are counted by ready queues and lanes.
 */
#pragma once

#include "core/config/egress_path_config.h"
#include "core/egress/egress.h"
#include "core/limit/ledger.h"

struct readyq;

struct shared_limit {
    struct hmap_node node;
    struct egress *eg;
    struct lease lease;
    struct dlist uses; /* struct limit_use */
    char *name;        /* without our prefix */
};

struct limit_use {
    struct dlist link;
    struct limit_set *set;
    struct shared_limit *limit;
};

struct limit_set {
    uint32_t refs;
    uint32_t count;
    struct readyq *rq;
    struct limit_use uses[]; /* the smallest limit first */
};

/* A reference for the caller. */
struct limit_set *limit_set_make(struct readyq *rq, const struct named_limits *limits);
struct limit_set *limit_set_ref(struct limit_set *set);
void limit_set_put(struct limit_set **setp); /* NULL is accepted */
/* Somebody waits for a place of the set: whoever idles on one should go. */
PURE bool limit_set_wanted(const struct limit_set *set);
/* An idle connection that holds a place of this limit ends. */
void shared_limit_nudge(struct shared_limit *limit);

struct slice shared_limit_key(const struct hmap_node *node);
