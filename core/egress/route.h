/*
 * route - where a routing domain goes: its site name and the hosts behind it.
 *
 * One per routing domain (or mx_list) and shard, shared by the queues that use it and asked of
 * the resolver again when its answer has expired. Private to core/egress.
 */
#pragma once

#include "core/egress/egress.h"
#include "core/net/addr_plan.h"
#include "core/net/dns_mx.h"
#include "core/net/mx_list.h"

enum route_state { ROUTE_ASKING = 0, ROUTE_READY, ROUTE_FAILED };

struct route {
    struct hmap_node node;
    struct egress *eg;
    char *key;
    uint32_t key_len;
    uint32_t refs;      /* slots of queues and ready queues */
    uint8_t state;      /* enum route_state */
    bool listed;        /* found by its key */
    struct dns_mx_wait ask;
    struct dns_mx *mx;   /* NULL for an mx_list */
    struct mx_list list; /* used without mx */
    struct buf site_name;
    struct buf why;
    uint64_t expires_ms;
    struct dlist waiting; /* struct promotion */
};

/* The route for a queue: found, or made and asked for. A reference for the caller. */
struct route *route_get(struct egress *eg, struct schedq *q);
struct route *route_ref(struct route *r);
void route_put(struct route **rp);
/* Starts the planner on the route's hosts. */
void route_plan(struct route *r, enum ip_strategy strategy, struct addr_planner *planner);
/* Expired or failed long enough ago: unlist it, so that the next route_get() asks anew. */
PURE bool route_stale(const struct route *r, uint64_t now_ms);
