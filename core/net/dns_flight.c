/* A question under way: a turn in its lane, one query, one answer for all who wait. */
#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/net/dns_resolver_private.h"

#define NS_PER_MS 1000000u
#define UNASKED_TTL_NS 1000000000u /* nobody was asked: try again soon */

static struct dns_lane *flight_lane(struct dns_flight *f)
{
    return f->type == DNS_MX ? &f->resolver->mx_lane : &f->resolver->other_lane;
}

static struct dns_backend *flight_backend(const struct dns_flight *f)
{
    return f->resolver->views[f->view].backend;
}

static bool flight_is_ours(const struct dns_flight *f)
{
    const struct shard *sh = f->resolver->shard;

    return shard_of_name(sh->group, dns_flight_name(f)) == sh->index;
}

/* How long an answer is kept where the answer itself did not say. */
static uint64_t ttl_ns(const struct dns_flight *f, const struct dns_set *set, uint64_t now_ns)
{
    const struct dns_params *p = &f->resolver->params;
    const enum dns_status status = set->status;

    if (status == LOOKUP_BUSY || status == LOOKUP_CANCELLED) {
        return UNASKED_TTL_NS;
    }
    if (f->type == DNS_MX && status != LOOKUP_OK && status != LOOKUP_NODATA) {
        return (uint64_t)p->mx_negative_ttl_ms * NS_PER_MS;
    }
    if (set->expires_ns > now_ns) {
        return set->expires_ns - now_ns;
    }
    return (uint64_t)p->failure_ttl_ms * NS_PER_MS;
}

static void flight_settle(struct dns_flight *f, struct dns_set *set)
{
    const uint64_t now_ns = ring_now_ns(&f->resolver->shard->ring);

    set->elapsed_ns = now_ns - f->began_ns;
    set->expires_ns = now_ns + ttl_ns(f, set, now_ns);
    set->secure = set->secure && f->resolver->views[f->view].trust_ad;
    dns_flight_land(f, set);
}

static void query_done(struct dns_query *q, enum dns_status status, struct slice message)
{
    struct dns_flight *f = CONTAINER_OF(q, struct dns_flight, query);
    struct resolver *r = f->resolver;

    flight_settle(f, status == LOOKUP_OK
                         ? dns_set_read(message, f->type, &r->params.ttl,
                                        ring_now_ns(&r->shard->ring), &r->scratch)
                         : dns_set_empty(f->type, status));
}

static void flight_start(struct dns_flight *f)
{
    struct dns_backend *backend = flight_backend(f);

    f->running = true;
    flight_lane(f)->running++;
    f->resolver->counters.queries++;
    backend->query(backend, dns_flight_name(f), f->type, &f->query);
}

static void lane_run(struct dns_lane *lane)
{
    struct dlist *node;

    while (lane->running < lane->running_max && (node = dlist_pop(&lane->queue)) != NULL) {
        flight_start(CONTAINER_OF(node, struct dns_flight, lane_link));
    }
}

/* Time is up. One that never had its turn was not asked at all, which says nothing about the
 * name. */
static void flight_expired(struct timer *t)
{
    struct dns_flight *f = CONTAINER_OF(t, struct dns_flight, timer);

    f->resolver->counters.timeouts++;
    flight_settle(f, dns_set_empty(f->type, f->running ? LOOKUP_TIMEOUT : LOOKUP_BUSY));
}

struct dns_flight *dns_flight_find(const struct resolver *r, struct slice key)
{
    struct hmap_node *node = hmap_find(&r->flights, key);

    return node != NULL ? CONTAINER_OF(node, struct dns_flight, node) : NULL;
}

static struct dns_flight *flight_new(struct resolver *r, struct slice key)
{
    struct dns_flight *f = mem_take_zero(sizeof(*f) + key.len);

    MUST(key.len > DNS_KEY_NAME_AT);
    f->resolver = r;
    f->key_len = (uint32_t)key.len;
    memcpy(f->key, key.ptr, key.len);
    f->view = (uint8_t)key.ptr[0];
    memcpy(&f->type, key.ptr + 1, sizeof(f->type));
    f->query.done = query_done;
    f->timer.fn = flight_expired;
    f->began_ns = ring_now_ns(&r->shard->ring);
    dlist_init(&f->waits);
    hmap_insert(&r->flights, &f->node);
    return f;
}

struct dns_flight *dns_flight_get(struct resolver *r, struct slice key)
{
    struct dns_flight *f = dns_flight_find(r, key);

    if (f != NULL) {
        r->counters.coalesced++;
        return f;
    }
    if (r->flights.count >= r->params.flight_count_max) {
        r->counters.busy++;
        return NULL;
    }
    f = flight_new(r, key);
    if (!flight_is_ours(f)) {
        r->counters.asked_by_mail++;
        dns_mail_ask(r, shard_of_name(r->shard->group, dns_flight_name(f)), key);
        return f;
    }
    timer_arm(&r->shard->timers, &f->timer,
              shard_now_ms(r->shard) + (f->type == DNS_MX ? r->params.mx_timeout_ms
                                                             : r->params.query_timeout_ms));
    dlist_push(&flight_lane(f)->queue, &f->lane_link);
    lane_run(flight_lane(f));
    return f;
}

/* Takes the flight out of everything but its waiters' hands. */
static void flight_detach(struct dns_flight *f)
{
    struct resolver *r = f->resolver;
    struct dns_backend *backend = flight_backend(f);

    hmap_remove(&r->flights, &f->node);
    timer_cancel(&r->shard->timers, &f->timer);
    if (dlist_linked(&f->lane_link)) {
        dlist_remove(&f->lane_link);
    }
    if (f->running) {
        backend->cancel(backend, &f->query);
        f->running = false;
        flight_lane(f)->running--;
    }
}

void dns_flight_land(struct dns_flight *f, struct dns_set *set)
{
    struct resolver *r = f->resolver;
    struct dns_lane *lane = flight_lane(f);
    struct dlist *node;
    struct slist *ask;

    flight_detach(f);
    dns_cache_put(&r->cache, slice_of(f->key, f->key_len), set, ring_now_ns(&r->shard->ring));
    while ((ask = slist_pop(&f->asks)) != NULL) {
        dns_mail_answer(r, CONTAINER_OF(ask, struct dns_ask, item.link), set);
    }
    while ((node = dlist_pop(&f->waits)) != NULL) {
        struct dns_wait *w = CONTAINER_OF(node, struct dns_wait, link);

        w->fn(w, set);
    }
    dns_set_unref(set);
    mem_give(f);
    lane_run(lane);
}

void dns_flight_drop(struct dns_flight *f)
{
    struct slist *ask;

    flight_detach(f);
    while ((ask = slist_pop(&f->asks)) != NULL) {
        mem_give(CONTAINER_OF(ask, struct dns_ask, item.link));
    }
    mem_give(f);
}
