/*
 * readyq - one ready queue of this shard: messages for one source and site, and the connections
 * (lanes) that deliver them.
 *
 * Private to core/egress. Name: SOURCE->SITE@PROTO.
 */
#pragma once

#include "core/egress/path_rates.h"
#include "core/egress/route.h"
#include "core/egress/shared_limit.h"
#include "core/limit/ledger.h"

enum readyq_state { READYQ_ASKING = 0, READYQ_LIVE, READYQ_FAILED };

struct readyq {
    struct hmap_node node;
    struct egress *eg;
    char *name;
    uint32_t name_len;
    uint32_t refs;  /* slots of queues, lanes */
    uint8_t state;  /* enum readyq_state */
    bool listed;
    struct config_ask ask;
    struct config *source; /* for life */
    struct config *path;
    struct route *route;   /* for life */
    char *pool_name;
    char *routing_domain;  /* of the first creator, for the path event */
    struct buf why;
    struct dlist promotions; /* struct promotion, waiting for the config */
    struct dlist ready;      /* struct message, by timer.link */
    uint32_t ready_count;
    uint32_t reserved_count; /* taken from the list, but each may come back */
    struct lease slots;      /* max_ready */
    struct lease connections;
    struct lease_waiter connection_wait;
    struct limit_set *limits;    /* shared ones of the path */
    struct limit_set *acquiring; /* a connection's places are being taken, one after the other */
    uint32_t acquired;           /* of them: our own first, then the shared */
    struct dlist lanes;      /* struct lane, by link */
    struct dlist idle;       /* struct lane, by idle_link */
    uint32_t lane_count;
    uint32_t sending_count;  /* of them: in the middle of a transaction */
    uint32_t pace_x8;        /* eight times what a transaction takes, ms, on the average */
    bool pace_known;
    struct timer patience;   /* until then busy lanes may take what idle ones could */
    struct post maintain;
    uint32_t consecutive_failures;
    uint64_t refresh_at_ms;
    uint64_t last_insert_ms;
    bool leases_open;
    bool stale; /* the epoch changed while the path was being asked for */
};

/* A message on its way into a ready queue. */
struct promotion {
    struct dlist link; /* in route.waiting or readyq.promotions */
    struct lease_waiter slot_wait;
    struct egress *eg;
    struct message *m;
    struct readyq *rq; /* whose slot is being waited for */
    uint32_t choice;
    uint8_t *skip;     /* by source index; NULL while none is dropped */
    struct token_ask token;
    uint32_t rate_asked, rate_paid; /* index into the path's selection rates */
    bool was_full;
    bool was_throttled;
};

/* What a queue keeps: its route and the ready queues found so far, by source index. */
struct queue_slot {
    struct route *route;
    uint32_t count;
    struct readyq *ready[];
};

void promotion_step(struct promotion *p);
/* Lets go those that wait in a list. */
void promotions_resume(struct dlist *waiting);

/* Found or made; a reference for the caller. */
struct readyq *readyq_get(struct egress *eg, struct schedq *q, struct route *route,
                          struct config *source);
void readyq_put(struct readyq **rp);
/* The slot is taken; the message belongs to the ready queue. */
void readyq_insert(struct readyq *rq, struct message *m);
/* The next message, its slot given back; NULL when there is none. */
struct message *readyq_pop(struct readyq *rq);
/* Which one that is. */
struct message *readyq_peek(const struct readyq *rq);
/* The next message without giving up its slot or its share of memory, in two steps: nobody else
 * takes it any more, then it is gone for good; or it is the next again. */
struct message *readyq_reserve(struct readyq *rq);
void readyq_claim(struct readyq *rq, struct message *m);
void readyq_put_back(struct readyq *rq, struct message *m);
void readyq_want_lanes(struct readyq *rq); /* posts */
/* A transaction has its outcome, so many milliseconds after it began. */
void readyq_note_pace(struct readyq *rq, uint64_t took_ms);
/* The peers answer at once: a message that waits for a busy lane waits no longer than for the
 * first reply on an idle one, and saves its own round trip. */
PURE bool readyq_is_prompt(const struct readyq *rq);
/* Everything queued goes back to its scheduled queue. */
void readyq_retry_all(struct readyq *rq, const struct queue_requeue *how);
/* The lane's places are free again; the set is given up. */
void readyq_lane_ended(struct readyq *rq, struct limit_set *limits);
const struct egress_path_config *readyq_path(const struct readyq *rq);

static inline struct slice readyq_name(const struct readyq *rq)
{
    return slice_of(rq->name, rq->name_len);
}

/* How many connections q waiting messages deserve under a limit. */
PURE uint32_t readyq_connection_goal(uint32_t limit, uint32_t queued);
