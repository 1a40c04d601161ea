/* Questions: hosts file, cache, a flight under way, or a new one. */
#include "core/net/dns_resolver.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/net/dns_mx.h"
#include "core/net/dns_name.h"
#include "core/net/dns_resolver_private.h"

static void ready_tell(struct post *p)
{
    struct resolver *r = CONTAINER_OF(p, struct resolver, post);
    struct dlist batch;
    struct dlist *node;

    /* Those that were ready before now; what a callback asks in turn is for the next turn. */
    dlist_init(&batch);
    dlist_splice(&batch, &r->ready);
    while ((node = dlist_pop(&batch)) != NULL) {
        struct dns_wait *w = CONTAINER_OF(node, struct dns_wait, link);
        struct dns_set *set = w->ready;

        w->ready = NULL;
        w->fn(w, set);
        dns_set_unref(set);
    }
}

void resolver_answer_later(struct resolver *r, struct dns_wait *w, struct dns_set *set)
{
    MUST(w->fn != NULL);
    w->ready = set;
    dlist_push(&r->ready, &w->link);
    shard_post(r->shard, &r->post);
}

static struct slice flight_key(const struct hmap_node *node)
{
    const struct dns_flight *f = CONTAINER_OF(node, const struct dns_flight, node);

    return slice_of(f->key, f->key_len);
}

void resolver_init(struct resolver *r, struct shard *shard, const struct dns_params *params)
{
    const uint32_t shards = shard->group->count;

    *r = (struct resolver){.shard = shard, .params = *params, .post.fn = ready_tell};
    dns_cache_init(&r->cache, ring_random(&shard->ring), params->cache_count_max);
    dns_hosts_init(&r->hosts, ring_random(&shard->ring));
    hmap_init(&r->flights, flight_key, ring_random(&shard->ring));
    dlist_init(&r->mx_lane.queue);
    dlist_init(&r->other_lane.queue);
    dlist_init(&r->ready);
    r->mx_lane.running_max = (params->mx_concurrency + shards - 1) / shards;
    r->other_lane.running_max = params->query_concurrency;
    MUST(r->mx_lane.running_max > 0 && r->other_lane.running_max > 0);
    r->mx = dns_mx_cache_open(ring_random(&shard->ring), params->cache_count_max);
    dns_mail_init(r);
}

uint8_t resolver_view_add(struct resolver *r, struct slice name, struct dns_backend *backend,
                          bool trust_ad)
{
    if (r->view_count == DNS_VIEW_MAX) {
        return DNS_VIEW_NONE;
    }
    r->views[r->view_count] = (struct dns_view){
        .name = slice_of(mem_copy(name.ptr, name.len), name.len),
        .backend = backend,
        .trust_ad = trust_ad,
    };
    return (uint8_t)r->view_count++;
}

uint8_t resolver_view_find(const struct resolver *r, struct slice name)
{
    for (uint32_t i = 0; i < r->view_count; i++) {
        if (slice_eq(r->views[i].name, name)) {
            return (uint8_t)i;
        }
    }
    return DNS_VIEW_NONE;
}

static void waits_forget(struct dlist *waits)
{
    struct dlist *node;

    while ((node = dlist_pop(waits)) != NULL) {
        struct dns_wait *w = CONTAINER_OF(node, struct dns_wait, link);

        dns_set_unref(w->ready);
        w->ready = NULL;
    }
}

void resolver_free(struct resolver *r)
{
    struct hmap_node *next;

    waits_forget(&r->ready);
    shard_unpost(r->shard, &r->post);
    for (struct hmap_node *n = hmap_first(&r->flights); n != NULL; n = next) {
        struct dns_flight *f = CONTAINER_OF(n, struct dns_flight, node);

        next = hmap_next(&r->flights, n);
        waits_forget(&f->waits);
        dns_flight_drop(f);
    }
    for (uint32_t i = 0; i < r->view_count; i++) {
        r->views[i].backend->close(r->views[i].backend);
        mem_give((char *)(uintptr_t)r->views[i].name.ptr);
    }
    hmap_free(&r->flights);
    dns_mx_cache_close(&r->mx);
    dns_cache_free(&r->cache);
    dns_hosts_free(&r->hosts);
    buf_free(&r->key);
    dns_answer_free(&r->scratch);
}

static struct dns_set *hosts_find(const struct resolver *r, const struct dns_question *q)
{
    if (r->hosts_off || q->view != 0 || (q->type != DNS_A && q->type != DNS_AAAA)) {
        return NULL;
    }
    return dns_hosts_find(&r->hosts, q->name, q->type);
}

void resolver_ask(struct resolver *r, const struct dns_question *question, struct dns_wait *w)
{
    struct dns_question q = {.type = question->type, .view = question->view};
    struct dns_flight *f;
    struct dns_set *set;

    MUST(q.view < r->view_count && w->fn != NULL);
    buf_clear(&r->key);
    dns_question_key_put(&r->key, &q);
    if (!dns_name_put(question->name, &r->key)) {
        resolver_answer_later(r, w, dns_set_empty(q.type, LOOKUP_BAD_NAME));
        return;
    }
    q.name = slice_from(buf_slice(&r->key), DNS_KEY_NAME_AT);
    if ((set = hosts_find(r, &q)) != NULL) {
        resolver_answer_later(r, w, set);
        return;
    }
    if ((set = dns_cache_get(&r->cache, buf_slice(&r->key), ring_now_ns(&r->shard->ring))) !=
        NULL) {
        resolver_answer_later(r, w, dns_set_ref(set));
        return;
    }
    if ((f = dns_flight_get(r, buf_slice(&r->key))) == NULL) {
        resolver_answer_later(r, w, dns_set_empty(q.type, LOOKUP_BUSY));
        return;
    }
    dlist_push(&f->waits, &w->link);
}

void resolver_unask(struct resolver *r, struct dns_wait *w)
{
    if (dlist_linked(&w->link)) {
        dlist_remove(&w->link);
        dns_set_unref(w->ready);
        w->ready = NULL;
    }
}

struct dns_set *resolver_peek(struct resolver *r, const struct dns_question *question)
{
    buf_clear(&r->key);
    dns_question_key_put(&r->key, question);
    return dns_cache_get(&r->cache, buf_slice(&r->key), ring_now_ns(&r->shard->ring));
}
