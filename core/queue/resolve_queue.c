/* Asking the policy for a queue: its config, then its pool, then each source of the pool. */
#include "core/base/mem.h"
#include "core/queue/schedq.h"

struct queue_asking {
    struct config_ask ask;
    struct schedq *q;
    struct config *config;   /* answered */
    struct queue_pool *pool; /* being filled; source_count members so far */
    uint32_t entry;          /* of the pool's config, being asked */
    uint8_t phase;           /* enum config_kind of the question under way */
};

static const struct slice pool_unspecified = SLICE_INIT("unspecified");

static void asking_free(struct queue_asking *a)
{
    buf_free(&a->ask.why);
    config_put(&a->config);
    if (a->pool != NULL) {
        queue_pool_put(&a->pool);
    }
    mem_give(a);
}

static struct slice asking_pool_name(const struct queue_asking *a)
{
    const char *name = a->config->queue.egress_pool;

    return name != NULL ? slice_str(name) : pool_unspecified;
}

/* The same entries in the same order, whatever became of the sources' own settings. */
static bool pool_entries_same(const struct queue_pool *x, const struct queue_pool *y)
{
    if (x == NULL || x->source_count != y->source_count ||
        strcmp(x->pool->pool.name, y->pool->pool.name) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < x->source_count; i++) {
        if (x->sources[i].weight != y->sources[i].weight ||
            strcmp(x->sources[i].source->source.name, y->sources[i].source->source.name) != 0) {
            return false;
        }
    }
    return true;
}

/* Configs are interned: equal ones are one object. */
static bool pool_same(const struct queue_pool *x, const struct queue_pool *y)
{
    if (!pool_entries_same(x, y)) {
        return false;
    }
    for (uint32_t i = 0; i < x->source_count; i++) {
        if (x->sources[i].source != y->sources[i].source) {
            return false;
        }
    }
    return true;
}

static void asking_adopt(struct queue_asking *a)
{
    struct schedq *q = a->q;
    bool changed = q->config != a->config || !pool_same(q->pool, a->pool);

    if (!pool_entries_same(q->pool, a->pool)) {
        q->wrr_index = 0;
        q->wrr_weight = 0;
    }
    config_put(&q->config);
    q->config = config_get(a->config);
    queue_pool_put(&q->pool);
    q->pool = a->pool;
    a->pool = NULL;
    if (changed) {
        q->mgr->promoter->forget(q->mgr->promoter_ctx, q);
    }
}

static void asking_done(struct queue_asking *a, struct slice why)
{
    struct schedq *q = a->q;

    q->asking = NULL;
    if (why.len == 0) {
        asking_adopt(a);
    }
    schedq_resolved(q, why);
    asking_free(a);
}

static void asking_next(struct queue_asking *a);

/* The pool is complete: from now on found by its name. */
static void pool_complete(struct queue_asking *a)
{
    struct queue_mgr *mgr = a->q->mgr;
    struct queue_pool *pool = a->pool;
    struct hmap_node *same = hmap_find(&mgr->pools, asking_pool_name(a));

    if (same != NULL) { /* another queue was faster */
        queue_pool_put(&a->pool);
        a->pool = CONTAINER_OF(same, struct queue_pool, node);
        a->pool->refs++;
        return;
    }
    pool->expires_ms = shard_now_ms(mgr->shard) + pool->pool->pool.ttl / 1000000u;
    pool->cached = true;
    pool->refs++;
    hmap_insert(&mgr->pools, &pool->node);
}

static bool asking_pool(struct queue_asking *a)
{
    struct hmap_node *node = hmap_find(&a->q->mgr->pools, asking_pool_name(a));

    if (node != NULL) {
        a->pool = CONTAINER_OF(node, struct queue_pool, node);
        a->pool->refs++;
        return true;
    }
    a->phase = CONFIG_POOL;
    return false;
}

/* Takes the answer to the question under way. */
static void asking_take(struct queue_asking *a)
{
    struct config *c = a->ask.config;

    a->ask.config = NULL;
    switch ((enum config_kind)a->phase) {
    case CONFIG_QUEUE:
        a->config = c;
        break;
    case CONFIG_POOL:
        a->pool = mem_take_zero(sizeof(*a->pool) +
                                c->pool.entry_count * sizeof(struct queue_source));
        a->pool->refs = 1;
        a->pool->pool = c;
        a->phase = CONFIG_SOURCE;
        break;
    case CONFIG_SOURCE:
        a->pool->sources[a->pool->source_count++] = (struct queue_source){
            .source = c,
            .weight = a->pool->pool->pool.entries[a->entry].weight,
        };
        a->entry++;
        break;
    case CONFIG_PATH:
    case CONFIG_KIND_COUNT:
        MUST(!"not asked here");
    }
}

static void asking_answered(struct config_ask *ask)
{
    struct queue_asking *a = CONTAINER_OF(ask, struct queue_asking, ask);

    if (ask->config == NULL) {
        asking_done(a, buf_slice(&ask->why));
        return;
    }
    asking_take(a);
    asking_next(a);
}

/* Asks the next question; true when its answer is there already, false when it comes later or
 * there is none left. */
static bool asking_ask(struct queue_asking *a, bool *finished)
{
    struct config_resolver *cr = a->q->mgr->configs;

    *finished = false;
    if (a->config == NULL) {
        const struct queue_name *parts = &a->q->parts;
        struct config_queue_key key = {
            .domain = parts->domain,
            .tenant = parts->tenant,
            .campaign = parts->campaign,
            .routing_domain = parts->routing_domain,
            .has_tenant = parts->has_tenant,
            .has_campaign = parts->has_campaign,
            .has_routing_domain = parts->has_routing_domain,
        };

        a->phase = CONFIG_QUEUE;
        if (a->q->injects) { /* not the policy's business */
            a->ask.config = config_queue_retrying(cr, SLICE("1m"));
            return true;
        }
        return config_ask_queue(cr, &a->ask, &key);
    }
    if (a->pool == NULL) {
        if (asking_pool(a)) {
            *finished = true;
            return false;
        }
        return config_ask_pool(cr, &a->ask, asking_pool_name(a));
    }
    const struct egress_pool_config *pool = &a->pool->pool->pool;

    while (a->entry < pool->entry_count && pool->entries[a->entry].weight == 0) {
        a->entry++;
    }
    if (a->entry == pool->entry_count) {
        pool_complete(a);
        *finished = true;
        return false;
    }
    return config_ask_source(cr, &a->ask, slice_str(pool->entries[a->entry].name));
}

static void asking_next(struct queue_asking *a)
{
    bool finished;

    while (asking_ask(a, &finished)) {
        if (a->ask.config == NULL) {
            asking_done(a, buf_slice(&a->ask.why));
            return;
        }
        asking_take(a);
    }
    if (finished) {
        asking_done(a, SLICE(""));
    }
}

void schedq_ask(struct schedq *q)
{
    struct queue_asking *a = MEM_NEW(struct queue_asking);

    MUST(q->asking == NULL);
    a->q = q;
    a->ask.done = asking_answered;
    q->asking = a;
    if (q->config == NULL) {
        q->state = SCHEDQ_ASKING;
    }
    asking_next(a);
}

void schedq_ask_abandon(struct schedq *q)
{
    if (q->asking != NULL) {
        config_ask_abandon(&q->asking->ask);
        asking_free(q->asking);
        q->asking = NULL;
    }
}

void schedq_resolved(struct schedq *q, struct slice why)
{
    struct queue_mgr *mgr = q->mgr;
    uint64_t now_ms = shard_now_ms(mgr->shard);
    struct dlist *node;

    if (why.len > 0 && q->config != NULL) { /* a failed refresh keeps what there was */
        q->refresh_at_ms = now_ms + schedq_config(q)->refresh_interval / 1000000u;
        return;
    }
    MEM_FREE(&q->why);
    if (why.len > 0) {
        q->state = SCHEDQ_FAILED;
        q->why = mem_copy(why.ptr, why.len);
        q->failed_until_ms = now_ms + QUEUE_FAILURE_TTL_MS;
    } else {
        q->state = SCHEDQ_READY;
        q->refresh_at_ms = schedq_refresh_at(q);
    }
    while ((node = dlist_pop(&q->waits)) != NULL) {
        struct queue_await *w = CONTAINER_OF(node, struct queue_await, link);

        w->known(w);
    }
    while ((node = dlist_pop(&q->inserts)) != NULL) {
        struct queue_insert *ins = CONTAINER_OF(node, struct queue_insert, link);
        struct message *m = ins->m;

        if (why.len > 0) {
            schedq_leave(m);
            ins->done(ins, false, slice_str(q->why));
        } else {
            queue_work_begin(mgr); /* done() may end its own before the message has its place */
            ins->done(ins, true, SLICE(""));
            queue_place(mgr, m);
            queue_work_end(mgr);
        }
    }
    while ((node = dlist_pop(&q->messages)) != NULL) {
        struct message *m = CONTAINER_OF(node, struct message, timer.link);

        queue_place(mgr, m); /* a failed queue makes it wait there */
    }
}
