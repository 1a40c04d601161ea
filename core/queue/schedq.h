/*
 * schedq - one scheduled queue: its name, its config and what of it is still being asked.
 *
 * Private to core/queue.
 */
#pragma once

#include "core/queue/queue.h"

enum schedq_state {
    SCHEDQ_ASKING = 0, /* the policy is being asked; insertions wait */
    SCHEDQ_READY,
    SCHEDQ_FAILED,     /* until failed_until_ms; insertions are refused with `why` */
};

/* Pool and members, shared by the queues that use it. */
struct queue_pool {
    struct hmap_node node;
    uint32_t refs;
    bool cached; /* still found by name */
    struct config *pool;
    uint64_t expires_ms;
    uint32_t source_count;
    struct queue_source sources[];
};

struct queue_asking; /* resolve_queue.c: the questions under way */

struct schedq {
    struct hmap_node node;
    struct queue_mgr *mgr;
    char *name;
    uint32_t name_len;
    struct queue_name parts;
    struct config *config;
    struct queue_pool *pool;
    void *slot; /* the promoter's */
    struct queue_asking *asking;
    struct dlist inserts;  /* struct queue_insert, waiting for the config */
    struct dlist waits;    /* struct queue_await */
    struct dlist messages; /* struct message, the same without anybody to answer */
    char *why;             /* SCHEDQ_FAILED */
    uint64_t failed_until_ms;
    uint64_t refresh_at_ms;
    uint64_t last_insert_ms;
    uint32_t message_count; /* in the queue or promoted from it */
    uint32_t wrr_index, wrr_weight;
    uint8_t state;
    bool stale; /* the epoch changed while it was being asked */
    bool injects; /* it is QUEUE_DEFERRED_SMTP */
};

struct schedq *schedq_find(struct queue_mgr *mgr, struct slice name);
/* Finds or makes it; making begins to ask for its config. */
struct schedq *schedq_get(struct queue_mgr *mgr, struct slice name);
void schedq_free(struct schedq *q);

/* Asks for config and pool; schedq_resolved() follows, at once or later. */
void schedq_ask(struct schedq *q);
void schedq_ask_abandon(struct schedq *q);
/* The questions are answered: `why` is empty on success. Lets go what waited. */
void schedq_resolved(struct schedq *q, struct slice why);
void queue_pool_put(struct queue_pool **pp);

/* The message joins and leaves; message->owner is the queue. */
void schedq_join(struct schedq *q, struct message *m);
void schedq_leave(struct message *m);

/* When its config is asked for again. */
uint64_t schedq_refresh_at(struct schedq *q);

struct retry_schedule schedq_retry(const struct schedq *q);

/* delay.c: frees every message that waits for its time. */
void queue_drop_waiting(struct queue_mgr *mgr);
/* delay.c: places a message by its due time, or promotes it. */
void queue_place(struct queue_mgr *mgr, struct message *m);
void queue_promote(struct queue_mgr *mgr, struct message *m);
/* Whether it can leave at once: nothing drains, its queue has a config, its time has come. */
bool queue_is_due(const struct queue_mgr *mgr, const struct message *m);
/* delay.c: a message that queue_save() was called for is in the spool now; goes on with it. */
void queue_saved(struct queue_mgr *mgr, struct message *m);
