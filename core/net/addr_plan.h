/*
 * addr_plan - the addresses one connection session tries, in order.
 *
 * Made once per session: preferences ascending; within one preference the addresses of all hosts
 * are pooled and shuffled, so that equal hosts share the load. An mx_list keeps its order. Each
 * address is then taken once.
 *
 * Owner     the session. A plan is a value: addr_plan_free() gives it back.
 * Memory    at most ADDR_PLAN_MAX addresses; ADDR_PLAN_LOOKUPS lookups at a time.
 * Blocking  never; the planner's callback runs from the loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/ip.h"
#include "core/base/slice.h"
#include "core/net/dns_addr.h"

struct dns_mx;
struct mx_list;

#define ADDR_PLAN_MAX 1024u
#define ADDR_PLAN_LOOKUPS 8u

struct addr_target {
    struct ip ip;
    uint16_t port;
    bool has_port; /* of the mx_list entry or the routing domain */
    bool secure;   /* the name server validated the address, or the config says so */
    uint32_t name_at, name_len;
};

struct addr_plan {
    struct addr_target *targets;
    uint32_t count;
    uint32_t next; /* the first that was not taken */
    struct buf names;
    bool is_null_mx;
    struct buf skipped; /* hosts whose lookup failed: "name: reason" joined by ", " */
    struct buf error;   /* set when a configured name failed, nothing else resolved: why */
};

void addr_plan_free(struct addr_plan *plan);
struct slice addr_plan_name(const struct addr_plan *plan, const struct addr_target *target);
/* The next address to try; NULL when all were taken. */
const struct addr_target *addr_plan_take(struct addr_plan *plan);

static inline uint32_t addr_plan_left(const struct addr_plan *plan)
{
    return plan->count - plan->next;
}

/* Appends "name/ip". */
void addr_target_put(struct buf *out, const struct addr_plan *plan,
                     const struct addr_target *target);

struct addr_planner;
/* The plan belongs to the callee, who moves or frees it; the planner may be used again. */
typedef void addr_planner_fn(struct addr_planner *p, struct addr_plan *plan);

struct addr_host;
struct addr_lookup {
    struct dns_addr_wait wait;
    struct addr_planner *planner;
    uint32_t host; /* which one this lookup is for */
    bool busy;
};

/* A field of the session; fn is set by its owner. Nothing that is passed in is referred to
 * afterwards. */
struct addr_planner {
    addr_planner_fn *fn;
    struct resolver *resolver;
    struct addr_plan plan;
    struct addr_host *hosts;
    uint32_t host_count, host_next;
    uint32_t lookups_busy;
    struct buf found; /* struct found, in addr_planner.c */
    struct addr_lookup lookups[ADDR_PLAN_LOOKUPS];
    struct post post; /* when nothing has to be looked up */
    uint8_t strategy, view;
    bool shuffle;
    bool running;
};

void addr_planner_mx(struct addr_planner *p, struct resolver *r, uint8_t view,
                     const struct dns_mx *mx, enum ip_strategy strategy);
void addr_planner_list(struct addr_planner *p, struct resolver *r, uint8_t view,
                       const struct mx_list *list, enum ip_strategy strategy);
/* p->fn will not run. Does nothing when idle. */
void addr_planner_cancel(struct addr_planner *p);

/* What the plan means for the whole ready queue before anything connects. */
enum addr_verdict {
#define ADDR_VERDICT(name, code, s1, s2, s3, text, bounce, reason) ADDR_##name,
#include "core/net/addr_verdicts.def"
#undef ADDR_VERDICT
    ADDR_VERDICT_COUNT
};

struct addr_judgement {
    enum addr_verdict verdict;
    uint16_t code;
    uint8_t enhanced[3];
    bool bounce;        /* otherwise transient */
    const char *reason; /* of the requeue or bounce */
};

struct ip_net_list {
    const struct ip_net *nets;
    size_t count;
};

/* Checks in this order: null MX, no address, any prohibited address, all addresses skipped.
 * Takes the skipped addresses out of the plan. Appends the response text, if any. */
struct addr_judgement addr_plan_judge(struct addr_plan *plan, struct ip_net_list prohibited,
                                      struct ip_net_list skip, struct buf *text);

/* Appends the list as the reference prints it: {"127.0.0.0/8", "::1"}, in address order and
 * without what a wider entry covers. */
void ip_net_list_put(struct buf *out, struct ip_net_list list);
PURE bool ip_net_list_has(struct ip_net_list list, const struct ip *ip);

/* The source's remote_port, then the address's own, then the path's smtp_port. */
static inline uint16_t addr_target_port(const struct addr_target *target, bool has_remote_port,
                                        uint16_t remote_port, uint16_t smtp_port)
{
    return has_remote_port ? remote_port : target->has_port ? target->port : smtp_port;
}
