#include "core/egress/readyq.h"

#include <math.h>

#include "core/base/mem.h"
#include "core/egress/lane.h"
#include "core/limit/memory.h"

#define READYQ_REAP_MS 600000u
#define HELD_BYTES_MAX (UINT64_C(512) << 20) /* over all shards */
#define READYQ_FAILURE_TTL_MS 60000u
#define PACE_MAX_MS 1000u
#define PROMPT_MS 5u /* a transaction with a near peer takes no longer, however busy the shard is */
#define EXHAUSTED_CONNECTIONS 2u /* of a ready queue while there is no memory */

uint32_t readyq_connection_goal(uint32_t limit, uint32_t queued)
{
    double q = (double)queued;
    double share = 1.0 - exp(-0.023 * q);
    double goal = ceil((double)limit * (share < q ? share : q));

    return goal > q ? queued : (uint32_t)goal;
}

const struct egress_path_config *readyq_path(const struct readyq *rq)
{
    MUST(rq->path != NULL);
    return &rq->path->path;
}

/* ---- life ---- */

static void readyq_maintain(struct post *p);
static void patience_over(struct timer *t);
static void connection_granted(struct lease_waiter *w, bool granted);

static void connection_recalled(struct lease *ls)
{
    lane_recall_one(CONTAINER_OF(ls, struct readyq, connections));
}

static void readyq_open_leases(struct readyq *rq)
{
    struct buf *name = &rq->eg->scratch;

    buf_clear(name);
    BUF_LIT(name, "kumomta.max_ready.");
    buf_put(name, readyq_name(rq));
    lease_open(&rq->slots, rq->eg->ledger, buf_slice(name), (uint32_t)readyq_path(rq)->max_ready,
               false);
    buf_clear(name);
    BUF_LIT(name, "kumomta.connection_limit.");
    buf_put(name, readyq_name(rq));
    lease_open(&rq->connections, rq->eg->ledger, buf_slice(name),
               (uint32_t)readyq_path(rq)->connection_limit.limit, true);
    rq->connections.recall_fn = connection_recalled;
    rq->leases_open = true;
}

static void readyq_unlist(struct readyq *rq)
{
    if (rq->listed) {
        rq->listed = false;
        hmap_remove(&rq->eg->readyqs, &rq->node);
    }
}

static void connection_abandon(struct readyq *rq);

static void readyq_free(struct readyq *rq)
{
    MUST(rq->ready_count == 0 && rq->lane_count == 0 && dlist_empty(&rq->promotions));
    readyq_unlist(rq);
    shard_unpost(rq->eg->shard, &rq->maintain);
    timer_cancel(&rq->eg->shard->timers, &rq->patience);
    config_ask_abandon(&rq->ask);
    if (rq->leases_open) {
        connection_abandon(rq);
        limit_set_put(&rq->limits);
        lease_close(&rq->slots);
        lease_close(&rq->connections);
    }
    config_put(&rq->source);
    config_put(&rq->path);
    route_put(&rq->route);
    buf_free(&rq->why);
    buf_free(&rq->ask.why);
    mem_give(rq->pool_name);
    mem_give(rq->routing_domain);
    mem_give(rq->name);
    mem_give(rq);
}

void readyq_put(struct readyq **rqp)
{
    struct readyq *rq = *rqp;

    *rqp = NULL;
    if (rq != NULL && --rq->refs == 0 && !rq->listed && rq->lane_count == 0) {
        readyq_free(rq);
    }
}

/* Lanes and an acquisition under way keep the set they began with. */
static void readyq_refresh_limits(struct readyq *rq)
{
    struct limit_set *old = rq->limits;

    rq->limits = limit_set_make(rq, &readyq_path(rq)->additional_connection_limits);
    limit_set_put(&old);
}

/* The policy has answered (again). */
static void readyq_resolved(struct readyq *rq)
{
    struct egress *eg = rq->eg;
    uint64_t now_ms = shard_now_ms(eg->shard);

    if (rq->ask.config != NULL) {
        config_put(&rq->path);
        rq->path = rq->ask.config;
        rq->ask.config = NULL;
        rq->state = READYQ_LIVE;
        rq->refresh_at_ms = readyq_path(rq)->refresh_strategy == REFRESH_TTL
                                ? now_ms + readyq_path(rq)->refresh_interval / 1000000u
                            : rq->stale ? 0
                                        : UINT64_MAX;
        rq->stale = false;
        if (!rq->leases_open) {
            readyq_open_leases(rq);
        }
        lease_set_limit(&rq->slots, (uint32_t)readyq_path(rq)->max_ready);
        lease_set_limit(&rq->connections, (uint32_t)readyq_path(rq)->connection_limit.limit);
        readyq_refresh_limits(rq);
    } else if (rq->path == NULL) {
        rq->state = READYQ_FAILED;
        buf_clear(&rq->why);
        buf_put(&rq->why, buf_slice(&rq->ask.why));
        rq->refresh_at_ms = now_ms + READYQ_FAILURE_TTL_MS;
    } else {
        rq->refresh_at_ms = now_ms + readyq_path(rq)->refresh_interval / 1000000u;
    }
    promotions_resume(&rq->promotions);
}

static void readyq_asked(struct config_ask *ask)
{
    readyq_resolved(CONTAINER_OF(ask, struct readyq, ask));
}

static void readyq_ask(struct readyq *rq)
{
    if (config_ask_path(rq->eg->configs, &rq->ask, slice_str(rq->routing_domain),
                        slice_str(rq->source->source.name), buf_slice(&rq->route->site_name))) {
        readyq_resolved(rq);
    }
}

static void name_put(struct buf *out, const struct route *route, const struct config *source)
{
    buf_put(out, slice_str(source->source.name));
    BUF_LIT(out, "->");
    buf_put(out, buf_slice(&route->site_name));
    BUF_LIT(out, "@smtp_client");
}

static struct readyq *readyq_new(struct egress *eg, struct schedq *q, struct route *route,
                                 struct config *source, struct slice name)
{
    struct readyq *rq = MEM_NEW(struct readyq);
    struct slice routing = queue_name_routing(schedq_parts(q));
    struct slice pool = schedq_pool_name(q);

    rq->eg = eg;
    rq->name = mem_copy(name.ptr, name.len);
    rq->name_len = (uint32_t)name.len;
    rq->listed = true;
    rq->source = config_get(source);
    rq->route = route_ref(route);
    rq->pool_name = mem_copy(pool.ptr, pool.len);
    rq->routing_domain = mem_copy(routing.ptr, routing.len);
    rq->ask.done = readyq_asked;
    rq->maintain.fn = readyq_maintain;
    rq->patience.fn = patience_over;
    rq->connection_wait.fn = connection_granted;
    rq->last_insert_ms = shard_now_ms(eg->shard);
    dlist_init(&rq->promotions);
    dlist_init(&rq->ready);
    dlist_init(&rq->lanes);
    dlist_init(&rq->idle);
    hmap_insert(&eg->readyqs, &rq->node);
    return rq;
}

struct readyq *readyq_get(struct egress *eg, struct schedq *q, struct route *route,
                          struct config *source)
{
    struct hmap_node *node;
    struct readyq *rq;

    buf_clear(&eg->scratch);
    name_put(&eg->scratch, route, source);
    node = hmap_find(&eg->readyqs, buf_slice(&eg->scratch));
    if (node != NULL) {
        rq = CONTAINER_OF(node, struct readyq, node);
        rq->refs++;
        if (rq->state == READYQ_FAILED && shard_now_ms(eg->shard) >= rq->refresh_at_ms) {
            rq->state = READYQ_ASKING;
            readyq_ask(rq);
        }
        return rq;
    }
    rq = readyq_new(eg, q, route, source, buf_slice(&eg->scratch));
    rq->refs++;
    readyq_ask(rq);
    return rq;
}

/* ---- messages ---- */

/* Drops what can be read back from the spool. */
static bool content_drop(struct message *m)
{
    struct message_content *c = m->content;

    if (c == NULL || (m->flags & MESSAGE_SPOOLED) == 0 || c->envelope_dirty || c->data_dirty) {
        return false;
    }
    message_content_free(&m->content);
    return true;
}

/* Whether messages that wait here are to leave memory now. Envelope and metadata lie in the spool
 * beside the data, so ShrinkData drops them, too. */
static bool readyq_shrinks(const struct readyq *rq)
{
    const struct egress_path_config *path = readyq_path(rq);

    switch (memory_gate_state(rq->eg->memory)) {
    case MEMORY_OK:
        return false;
    case MEMORY_LOW:
        return path->low_memory_reduction_policy != SHRINK_NOTHING;
    case MEMORY_NONE:
        return path->no_memory_reduction_policy != SHRINK_NOTHING;
    }
    return false;
}

static void readyq_shrink(struct readyq *rq)
{
    struct egress *eg = rq->eg;

    if (!readyq_shrinks(rq)) {
        return;
    }
    for (struct dlist *n = rq->ready.next; n != &rq->ready && eg->held_bytes > 0; n = n->next) {
        struct message *m = CONTAINER_OF(n, struct message, timer.link);

        if (content_drop(m)) {
            MUST(eg->held_bytes >= m->size);
            eg->held_bytes -= m->size;
        }
    }
}

void readyq_note_pace(struct readyq *rq, uint64_t took_ms)
{
    uint32_t ms = (uint32_t)(took_ms < PACE_MAX_MS ? took_ms : PACE_MAX_MS);

    rq->pace_x8 = rq->pace_known ? rq->pace_x8 - rq->pace_x8 / 8 + ms : 8 * ms;
    rq->pace_known = true;
}

bool readyq_is_prompt(const struct readyq *rq)
{
    return rq->pace_known && rq->pace_x8 <= 8 * PROMPT_MS;
}

/* Whether the busy lanes, each taking another message with the end of the one it has or after it,
 * will have taken all that waits before the patience is over. */
static bool readyq_leaves_to_busy(const struct readyq *rq)
{
    uint64_t pace_x8 = rq->pace_x8 > 8 ? rq->pace_x8 : 8;

    return readyq_is_prompt(rq) &&
           rq->ready_count * pace_x8 <= (uint64_t)rq->sending_count * 8 * PROMPT_MS;
}

static void readyq_wait_for_busy(struct readyq *rq)
{
    struct shard *sh = rq->eg->shard;

    if (!timer_armed(&rq->patience)) {
        timer_arm(&sh->timers, &rq->patience, shard_now_ms(sh) + PROMPT_MS);
    }
}

/* The busy lanes were not as quick as usual. */
static void patience_over(struct timer *t)
{
    struct readyq *rq = CONTAINER_OF(t, struct readyq, patience);
    uint32_t left = rq->ready_count;

    while (left > 0 && lane_wake_one(rq)) {
        left--;
    }
    if (left > 0) {
        readyq_want_lanes(rq);
    }
}

void readyq_insert(struct readyq *rq, struct message *m)
{
    if (readyq_shrinks(rq)) {
        (void)content_drop(m);
    }
    egress_hold(rq->eg, m);
    insert_context_clear(m); /* what happens from here on is another story */
    dlist_push(&rq->ready, &m->timer.link);
    rq->ready_count++;
    rq->last_insert_ms = shard_now_ms(rq->eg->shard);
    if (readyq_leaves_to_busy(rq)) {
        readyq_wait_for_busy(rq);
    } else if (!lane_wake_one(rq)) {
        readyq_want_lanes(rq);
    }
}

struct message *readyq_peek(const struct readyq *rq)
{
    return dlist_empty(&rq->ready) ? NULL
                                   : CONTAINER_OF(rq->ready.next, struct message, timer.link);
}

struct message *readyq_reserve(struct readyq *rq)
{
    struct dlist *node = dlist_pop(&rq->ready);

    if (node == NULL) {
        return NULL;
    }
    rq->ready_count--;
    rq->reserved_count++;
    return CONTAINER_OF(node, struct message, timer.link);
}

void readyq_claim(struct readyq *rq, struct message *m)
{
    MUST(rq->reserved_count > 0);
    rq->reserved_count--;
    lease_give(&rq->slots);
    egress_unhold(rq->eg, m);
}

void readyq_put_back(struct readyq *rq, struct message *m)
{
    MUST(rq->reserved_count > 0);
    rq->reserved_count--;
    dlist_push_front(&rq->ready, &m->timer.link);
    rq->ready_count++;
    readyq_want_lanes(rq); /* or, when draining, it leaves with the others */
}

struct message *readyq_pop(struct readyq *rq)
{
    struct message *m = readyq_reserve(rq);

    if (m != NULL) {
        readyq_claim(rq, m);
    }
    return m;
}

void readyq_retry_all(struct readyq *rq, const struct queue_requeue *how)
{
    struct message *m;

    for (uint32_t left = rq->ready_count; left > 0 && (m = readyq_pop(rq)) != NULL; left--) {
        queue_retry(rq->eg->queue, m, how);
    }
}

/* ---- connections ---- */

void readyq_want_lanes(struct readyq *rq)
{
    shard_post(rq->eg->shard, &rq->maintain);
}

static struct lease *acquired_lease(struct readyq *rq, uint32_t nth)
{
    return nth == 0 ? &rq->connections : &rq->acquiring->uses[nth - 1].limit->lease;
}

/* Takes the places of one connection, one after the other, always in the same order, so that two
 * paths never wait for each other. */
static void connection_acquire(struct readyq *rq)
{
    struct limit_set *set = rq->acquiring;

    while (rq->acquired <= set->count) {
        if (lease_take(acquired_lease(rq, rq->acquired), &rq->connection_wait) != LEASE_TAKEN) {
            if (rq->acquired > 0) {
                shared_limit_nudge(set->uses[rq->acquired - 1].limit);
            }
            return; /* connection_granted() goes on */
        }
        rq->acquired++;
    }
    rq->acquiring = NULL;
    lane_open(rq, set);
}

static void connection_abandon(struct readyq *rq)
{
    if (rq->acquiring == NULL) {
        return;
    }
    if (rq->acquired <= rq->acquiring->count) {
        lease_unwait(acquired_lease(rq, rq->acquired), &rq->connection_wait);
    }
    while (rq->acquired > 0) {
        lease_give(acquired_lease(rq, --rq->acquired));
    }
    limit_set_put(&rq->acquiring);
}

static void connection_granted(struct lease_waiter *w, bool granted)
{
    struct readyq *rq = CONTAINER_OF(w, struct readyq, connection_wait);

    MUST(granted); /* connections are waited for */
    rq->acquired++;
    if (rq->ready_count == 0 || rq->eg->draining) {
        connection_abandon(rq);
        return;
    }
    connection_acquire(rq);
    if (rq->acquiring == NULL) {
        readyq_want_lanes(rq);
    }
}

static void readyq_drop_all(struct readyq *rq)
{
    struct message *m;

    while ((m = readyq_pop(rq)) != NULL) {
        queue_reinsert(rq->eg->queue, m, INSERT_READY_QUEUE_WAS_REAPED);
    }
}

static void readyq_maintain(struct post *p)
{
    struct readyq *rq = CONTAINER_OF(p, struct readyq, maintain);
    uint32_t goal;

    if (rq->eg->draining) {
        connection_abandon(rq);
        readyq_drop_all(rq);
        return;
    }
    goal = readyq_connection_goal(rq->connections.limit, rq->ready_count);
    if (goal > EXHAUSTED_CONNECTIONS && memory_gate_state(rq->eg->memory) == MEMORY_NONE) {
        goal = EXHAUSTED_CONNECTIONS;
    }
    while (rq->lane_count < goal && rq->acquiring == NULL) {
        rq->acquiring = limit_set_ref(rq->limits);
        rq->acquired = 0;
        connection_acquire(rq);
    }
}

void readyq_lane_ended(struct readyq *rq, struct limit_set *limits)
{
    MUST(rq->lane_count > 0);
    rq->lane_count--;
    for (uint32_t i = 0; i < limits->count; i++) {
        lease_give(&limits->uses[i].limit->lease);
    }
    limit_set_put(&limits);
    lease_give(&rq->connections);
    if (rq->ready_count > 0) {
        readyq_want_lanes(rq);
    }
    if (rq->lane_count == 0 && rq->refs == 0 && !rq->listed) {
        readyq_free(rq);
    }
}

/* ---- the 10 s pass ---- */

static void readyq_tend(struct readyq *rq, uint64_t now_ms)
{
    if (rq->ready_count == 0) {
        connection_abandon(rq);
    }
    if (rq->ready_count == 0 && rq->lane_count == 0 && dlist_empty(&rq->promotions) &&
        !rq->ask.in_flight && now_ms >= rq->last_insert_ms + READYQ_REAP_MS &&
        dlist_empty(&rq->slots.waiters)) {
        readyq_unlist(rq);
        if (rq->refs == 0) {
            readyq_free(rq);
        }
        return;
    }
    if (rq->state == READYQ_LIVE && !rq->ask.in_flight && now_ms >= rq->refresh_at_ms) {
        readyq_ask(rq);
    }
}

static void egress_tend(struct timer *t)
{
    struct egress *eg = CONTAINER_OF(t, struct egress, maintain);
    uint64_t now_ms = shard_now_ms(eg->shard);
    struct hmap_node *next;

    for (struct hmap_node *n = hmap_first(&eg->readyqs); n != NULL; n = next) {
        next = hmap_next(&eg->readyqs, n);
        readyq_tend(CONTAINER_OF(n, struct readyq, node), now_ms);
    }
    timer_arm(&eg->shard->timers, t, now_ms + QUEUE_MAINTAIN_MS);
}

/* ---- the shard's egress ---- */

static struct slice readyq_key(const struct hmap_node *node)
{
    return readyq_name(CONTAINER_OF(node, struct readyq, node));
}

static struct slice route_key(const struct hmap_node *node)
{
    const struct route *r = CONTAINER_OF(node, struct route, node);

    return slice_of(r->key, r->key_len);
}

void egress_init(struct egress *eg, struct shard *shard)
{
    *eg = (struct egress){.shard = shard, .held_bytes_max = HELD_BYTES_MAX / shard->group->count};
    hmap_init(&eg->routes, route_key, ring_random(&shard->ring));
    hmap_init(&eg->readyqs, readyq_key, ring_random(&shard->ring));
    hmap_init(&eg->limits, shared_limit_key, ring_random(&shard->ring));
    eg->maintain.fn = egress_tend;
}

void egress_hold(struct egress *eg, struct message *m)
{
    if (m->content == NULL ||
        (eg->held_bytes + m->size > eg->held_bytes_max && content_drop(m))) {
        return;
    }
    eg->held_bytes += m->size;
}

void egress_unhold(struct egress *eg, struct message *m)
{
    if (m->content != NULL) {
        MUST(eg->held_bytes >= m->size);
        eg->held_bytes -= m->size;
    }
}

void egress_start(struct egress *eg)
{
    timer_arm(&eg->shard->timers, &eg->maintain, shard_now_ms(eg->shard) + QUEUE_MAINTAIN_MS);
}

void egress_epoch(struct egress *eg)
{
    if (eg->draining) {
        return;
    }
    for (struct hmap_node *n = hmap_first(&eg->readyqs); n != NULL;
         n = hmap_next(&eg->readyqs, n)) {
        struct readyq *rq = CONTAINER_OF(n, struct readyq, node);

        rq->stale = rq->ask.in_flight;
        if (rq->path != NULL && readyq_path(rq)->refresh_strategy == REFRESH_EPOCH) {
            rq->refresh_at_ms = 0;
        }
    }
    timer_arm(&eg->shard->timers, &eg->maintain, shard_now_ms(eg->shard));
}

void egress_memory_changed(struct egress *eg)
{
    bool exhausted = memory_gate_state(eg->memory) == MEMORY_NONE;

    for (struct hmap_node *n = hmap_first(&eg->readyqs); n != NULL;
         n = hmap_next(&eg->readyqs, n)) {
        struct readyq *rq = CONTAINER_OF(n, struct readyq, node);

        if (rq->ready_count == 0) {
            continue;
        }
        if (exhausted) {
            readyq_shrink(rq);
        } else {
            readyq_want_lanes(rq);
        }
    }
}

void egress_drain(struct egress *eg, void (*drained)(void *ctx), void *ctx)
{
    eg->draining = true;
    eg->drained = drained;
    eg->drained_ctx = ctx;
    timer_cancel(&eg->shard->timers, &eg->maintain);
    for (struct hmap_node *n = hmap_first(&eg->readyqs); n != NULL;
         n = hmap_next(&eg->readyqs, n)) {
        struct readyq *rq = CONTAINER_OF(n, struct readyq, node);

        readyq_want_lanes(rq); /* empties the queue */
        lanes_stop(rq, false);
        promotions_resume(&rq->promotions);
    }
    for (struct hmap_node *n = hmap_first(&eg->routes); n != NULL;
         n = hmap_next(&eg->routes, n)) {
        promotions_resume(&CONTAINER_OF(n, struct route, node)->waiting);
    }
    lanes_drained_check(eg);
}

void egress_cut(struct egress *eg)
{
    for (struct hmap_node *n = hmap_first(&eg->readyqs); n != NULL;
         n = hmap_next(&eg->readyqs, n)) {
        lanes_stop(CONTAINER_OF(n, struct readyq, node), true);
    }
}

void egress_free(struct egress *eg)
{
    struct hmap_node *next;

    for (struct hmap_node *n = hmap_first(&eg->readyqs); n != NULL; n = next) {
        struct readyq *rq = CONTAINER_OF(n, struct readyq, node);

        next = hmap_next(&eg->readyqs, n);
        readyq_unlist(rq);
        if (rq->refs == 0 && rq->lane_count == 0) {
            readyq_free(rq);
        }
    }
    hmap_free(&eg->readyqs);
    hmap_free(&eg->limits);
    hmap_free(&eg->routes);
    buf_free(&eg->scratch);
}
