#include "core/queue/schedq.h"

#include "core/base/mem.h"
#include "core/queue/event.h"
#include "core/queue/save.h"

static struct slice schedq_key(const struct hmap_node *node)
{
    return schedq_name(CONTAINER_OF(node, struct schedq, node));
}

static struct slice pool_key(const struct hmap_node *node)
{
    const struct queue_pool *p = CONTAINER_OF(node, struct queue_pool, node);

    return slice_str(p->pool->pool.name);
}

struct slice schedq_name(const struct schedq *q)
{
    return slice_of(q->name, q->name_len);
}

const struct queue_config *schedq_config(const struct schedq *q)
{
    MUST(q->config != NULL);
    return &q->config->queue;
}

const struct queue_name *schedq_parts(const struct schedq *q)
{
    return &q->parts;
}

struct slice schedq_pool_name(const struct schedq *q)
{
    return slice_str(q->pool->pool->pool.name);
}

uint32_t schedq_source_count(const struct schedq *q)
{
    return q->pool->source_count;
}

const struct queue_source *schedq_sources(const struct schedq *q)
{
    return q->pool->sources;
}

void **schedq_slot(struct schedq *q)
{
    return &q->slot;
}

struct schedq *message_queue(const struct message *m)
{
    return m->owner;
}

struct schedq *schedq_find(struct queue_mgr *mgr, struct slice name)
{
    struct hmap_node *node = hmap_find(&mgr->queues, name);

    return node != NULL ? CONTAINER_OF(node, struct schedq, node) : NULL;
}

struct schedq *schedq_get(struct queue_mgr *mgr, struct slice name)
{
    struct schedq *q = schedq_find(mgr, name);

    if (q != NULL) {
        if (q->state == SCHEDQ_FAILED && shard_now_ms(mgr->shard) >= q->failed_until_ms) {
            schedq_ask(q);
        }
        return q;
    }
    q = MEM_NEW(struct schedq);
    q->mgr = mgr;
    q->name = mem_copy(name.ptr, name.len);
    q->name_len = (uint32_t)name.len;
    q->last_insert_ms = shard_now_ms(mgr->shard);
    queue_name_parse(schedq_name(q), &q->parts);
    q->injects = slice_eq(name, QUEUE_DEFERRED_SMTP);
    dlist_init(&q->waits);
    dlist_init(&q->inserts);
    dlist_init(&q->messages);
    hmap_insert(&mgr->queues, &q->node);
    schedq_ask(q);
    return q;
}

void schedq_free(struct schedq *q)
{
    MUST(q->message_count == 0 && dlist_empty(&q->inserts) && dlist_empty(&q->messages) &&
         dlist_empty(&q->waits));
    schedq_ask_abandon(q);
    q->mgr->promoter->forget(q->mgr->promoter_ctx, q);
    hmap_remove(&q->mgr->queues, &q->node);
    config_put(&q->config);
    queue_pool_put(&q->pool);
    mem_give(q->why);
    mem_give(q->name);
    mem_give(q);
}

void queue_pool_put(struct queue_pool **pp)
{
    struct queue_pool *p = *pp;

    *pp = NULL;
    if (p == NULL || --p->refs > 0) {
        return;
    }
    MUST(!p->cached);
    config_put(&p->pool);
    for (uint32_t i = 0; i < p->source_count; i++) {
        config_put(&p->sources[i].source);
    }
    mem_give(p);
}

void schedq_join(struct schedq *q, struct message *m)
{
    MUST(m->owner == NULL);
    m->owner = q;
    q->message_count++;
    q->last_insert_ms = shard_now_ms(q->mgr->shard);
}

bool queue_await(struct queue_mgr *mgr, struct slice queue_name, struct queue_await *w)
{
    struct schedq *q = schedq_get(mgr, queue_name);

    if (q->state == SCHEDQ_ASKING) {
        dlist_push(&q->waits, &w->link);
        return false;
    }
    return true;
}

void queue_await_abandon(struct queue_await *w)
{
    if (dlist_linked(&w->link)) {
        dlist_remove(&w->link);
    }
}

bool queue_insert_abandon(struct queue_insert *ins)
{
    if (!dlist_linked(&ins->link)) {
        return false;
    }
    dlist_remove(&ins->link);
    schedq_leave(ins->m);
    return true;
}

void schedq_leave(struct message *m)
{
    struct schedq *q = m->owner;

    MUST(q != NULL && q->message_count > 0);
    q->message_count--;
    m->owner = NULL;
}

struct retry_schedule schedq_retry(const struct schedq *q)
{
    const struct queue_config *cfg = schedq_config(q);

    return (struct retry_schedule){
        .retry_interval_s = cfg->retry_interval / 1000000000u,
        .max_retry_interval_s =
            cfg->has_max_retry_interval ? cfg->max_retry_interval / 1000000000u : 0,
        .max_age_ms = cfg->max_age / 1000000u,
    };
}

uint64_t schedq_refresh_at(struct schedq *q)
{
    const struct queue_config *cfg = schedq_config(q);
    bool stale = q->stale;

    q->stale = false;
    if (cfg->refresh_strategy == REFRESH_EPOCH) {
        return stale ? 0 : UINT64_MAX;
    }
    return shard_now_ms(q->mgr->shard) + cfg->refresh_interval / 1000000u;
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
    while (b != 0) {
        uint32_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* Spec: the first round, before the index wraps, is unweighted and begins with the second. */
uint32_t schedq_choose(struct schedq *q, const uint8_t *skip)
{
    const struct queue_source *sources = schedq_sources(q);
    uint32_t count = 0, max = 0, step = 0, only = UINT32_MAX;

    for (uint32_t i = 0; i < schedq_source_count(q); i++) {
        if (skip == NULL || !skip[i]) {
            count++;
            only = i;
            max = sources[i].weight > max ? sources[i].weight : max;
            step = gcd(sources[i].weight, step);
        }
    }
    if (count <= 1) {
        return only;
    }
    for (;;) { /* ends: one entry has weight max >= wrr_weight */
        uint32_t at;

        q->wrr_index = (q->wrr_index + 1) % count;
        if (q->wrr_index == 0) {
            q->wrr_weight = q->wrr_weight > step ? q->wrr_weight - step : 0;
            if (q->wrr_weight == 0) {
                q->wrr_weight = max;
            }
        }
        at = 0;
        for (uint32_t nth = 0; at < schedq_source_count(q); at++) {
            if ((skip == NULL || !skip[at]) && nth++ == q->wrr_index) {
                break;
            }
        }
        if (sources[at].weight >= q->wrr_weight) {
            return at;
        }
    }
}

/* ---- the manager ---- */

static void queue_pools_expire(struct queue_mgr *mgr, uint64_t now_ms)
{
    struct hmap_node *next;

    for (struct hmap_node *n = hmap_first(&mgr->pools); n != NULL; n = next) {
        struct queue_pool *p = CONTAINER_OF(n, struct queue_pool, node);

        next = hmap_next(&mgr->pools, n);
        if (now_ms >= p->expires_ms) {
            hmap_remove(&mgr->pools, n);
            p->cached = false;
            queue_pool_put(&p);
        }
    }
}

static void queue_maintain(struct timer *t)
{
    struct queue_mgr *mgr = CONTAINER_OF(t, struct queue_mgr, maintain);
    uint64_t now_ms = shard_now_ms(mgr->shard);
    struct hmap_node *next;

    queue_pools_expire(mgr, now_ms);
    for (struct hmap_node *n = hmap_first(&mgr->queues); n != NULL; n = next) {
        struct schedq *q = CONTAINER_OF(n, struct schedq, node);
        uint64_t reap_ms = q->config != NULL ? schedq_config(q)->reap_interval / 1000000u
                                             : QUEUE_FAILURE_TTL_MS;

        next = hmap_next(&mgr->queues, n);
        if (q->message_count == 0 && q->asking == NULL && dlist_empty(&q->inserts) &&
            now_ms >= q->last_insert_ms + reap_ms) {
            schedq_free(q);
        } else if (q->state == SCHEDQ_READY && q->asking == NULL && now_ms >= q->refresh_at_ms) {
            schedq_ask(q);
        }
    }
    timer_arm(&mgr->shard->timers, t, now_ms + QUEUE_MAINTAIN_MS);
}

void queue_mgr_init(struct queue_mgr *mgr, struct shard *shard)
{
    *mgr = (struct queue_mgr){.shard = shard,
                              .unsaved_bytes_max = QUEUE_UNSAVED_BYTES_MAX / shard->group->count};
    dlist_init(&mgr->saves);
    hmap_init(&mgr->queues, schedq_key, ring_random(&shard->ring));
    hmap_init(&mgr->pools, pool_key, ring_random(&shard->ring));
    mgr->maintain.fn = queue_maintain;
    queue_events_init(mgr);
}

void queue_mgr_start(struct queue_mgr *mgr)
{
    timer_arm(&mgr->shard->timers, &mgr->maintain,
              shard_now_ms(mgr->shard) + QUEUE_MAINTAIN_MS);
}

void queue_mgr_epoch(struct queue_mgr *mgr)
{
    if (mgr->draining) {
        return;
    }
    for (struct hmap_node *n = hmap_first(&mgr->queues); n != NULL;
         n = hmap_next(&mgr->queues, n)) {
        struct schedq *q = CONTAINER_OF(n, struct schedq, node);

        q->stale = q->asking != NULL;
        if (q->config != NULL && schedq_config(q)->refresh_strategy == REFRESH_EPOCH) {
            q->refresh_at_ms = 0;
        }
    }
    timer_arm(&mgr->shard->timers, &mgr->maintain, shard_now_ms(mgr->shard));
}

/* Those that wait for the queue's config in memory alone. */
static void schedq_save_messages(struct schedq *q)
{
    struct dlist *next;

    for (struct dlist *n = q->messages.next; n != &q->messages; n = next) {
        struct message *m = CONTAINER_OF(n, struct message, timer.link);

        next = n->next;
        if ((m->flags & MESSAGE_UNSAVED) != 0) {
            dlist_remove(n);
            queue_save(q->mgr, m);
        }
    }
}

void queue_mgr_drain(struct queue_mgr *mgr)
{
    mgr->draining = true;
    timer_cancel(&mgr->shard->timers, &mgr->maintain);
    queue_events_drain(mgr);
    for (struct hmap_node *n = hmap_first(&mgr->queues); n != NULL;
         n = hmap_next(&mgr->queues, n)) {
        schedq_save_messages(CONTAINER_OF(n, struct schedq, node));
    }
    queue_save_drain(mgr);
}

void queue_mgr_cut(struct queue_mgr *mgr)
{
    queue_mgr_drain(mgr); /* what no handler was asked about is not promoted */
    queue_events_cut(mgr);
    queue_save_cut(mgr);
}

void queue_work_begin(struct queue_mgr *mgr)
{
    mgr->pending_work++;
}

void queue_work_end(struct queue_mgr *mgr)
{
    MUST(mgr->pending_work > 0);
    if (--mgr->pending_work == 0 && mgr->settled != NULL) {
        void (*settled)(void *ctx) = mgr->settled;

        mgr->settled = NULL;
        settled(mgr->settled_ctx);
    }
}

void queue_mgr_settled(struct queue_mgr *mgr, void (*done)(void *ctx), void *ctx)
{
    if (mgr->pending_work == 0) {
        done(ctx);
        return;
    }
    mgr->settled = done;
    mgr->settled_ctx = ctx;
}

static void schedq_drop_messages(struct schedq *q)
{
    struct dlist *node;

    while ((node = dlist_pop(&q->messages)) != NULL) {
        struct message *m = CONTAINER_OF(node, struct message, timer.link);

        schedq_leave(m);
        message_free(&m);
    }
}

void queue_mgr_free(struct queue_mgr *mgr)
{
    struct hmap_node *next;

    MUST(dlist_empty(&mgr->saves)); /* they were waited for */
    queue_drop_waiting(mgr);
    queue_events_free(mgr);
    for (struct hmap_node *n = hmap_first(&mgr->queues); n != NULL; n = next) {
        struct schedq *q = CONTAINER_OF(n, struct schedq, node);

        next = hmap_next(&mgr->queues, n);
        schedq_drop_messages(q);
        schedq_free(q);
    }
    queue_pools_expire(mgr, UINT64_MAX);
    hmap_free(&mgr->queues);
    hmap_free(&mgr->pools);
    buf_free(&mgr->scratch);
    buf_free(&mgr->outcome);
}
