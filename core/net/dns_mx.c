/* Asking for a domain's hosts, and the shard's cache of what came out. */
#include "core/net/dns_mx.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/net/dns_resolver_private.h"
#include "proto/route_domain.h"

struct dns_mx_cache {
    struct hmap entries;
    struct dlist used; /* least recently used first */
    struct buf key;    /* scratch */
    size_t count_max;
};

struct mx_entry {
    struct hmap_node node;
    struct dlist used_link;
    struct dns_mx *mx;
    uint32_t key_len;
    char key[]; /* the view, then the domain in lower case */
};

static struct slice mx_entry_key(const struct hmap_node *node)
{
    const struct mx_entry *e = CONTAINER_OF(node, const struct mx_entry, node);

    return slice_of(e->key, e->key_len);
}

struct dns_mx_cache *dns_mx_cache_open(uint64_t seed, size_t count_max)
{
    struct dns_mx_cache *c = MEM_NEW(struct dns_mx_cache);

    MUST(count_max > 0);
    c->count_max = count_max;
    hmap_init(&c->entries, mx_entry_key, seed);
    dlist_init(&c->used);
    return c;
}

static void entry_drop(struct dns_mx_cache *c, struct mx_entry *e)
{
    hmap_remove(&c->entries, &e->node);
    dlist_remove(&e->used_link);
    dns_mx_unref(e->mx);
    mem_give(e);
}

void dns_mx_cache_close(struct dns_mx_cache **cp)
{
    struct dns_mx_cache *c = *cp;

    if (c == NULL) {
        return;
    }
    while (!dlist_empty(&c->used)) {
        entry_drop(c, CONTAINER_OF(c->used.next, struct mx_entry, used_link));
    }
    hmap_free(&c->entries);
    buf_free(&c->key);
    MEM_FREE(cp);
}

static struct mx_entry *entry_find(struct dns_mx_cache *c, uint8_t view, struct slice domain)
{
    struct hmap_node *node;

    buf_clear(&c->key);
    buf_char(&c->key, (char)view);
    for (size_t i = 0; i < domain.len; i++) {
        buf_char(&c->key, char_lower(domain.ptr[i]));
    }
    node = hmap_find(&c->entries, buf_slice(&c->key));
    return node != NULL ? CONTAINER_OF(node, struct mx_entry, node) : NULL;
}

struct dns_mx *dns_mx_peek(struct resolver *r, uint8_t view, struct slice domain)
{
    struct mx_entry *e = entry_find(r->mx, view, domain);

    if (e == NULL) {
        return NULL;
    }
    if (dns_mx_expired(e->mx, ring_now_ns(&r->shard->ring))) {
        entry_drop(r->mx, e);
        return NULL;
    }
    dlist_remove(&e->used_link);
    dlist_push(&r->mx->used, &e->used_link);
    return e->mx;
}

static void cache_put(struct resolver *r, uint8_t view, struct slice domain, struct dns_mx *mx)
{
    struct dns_mx_cache *c = r->mx;
    struct mx_entry *e = entry_find(c, view, domain);

    if (e != NULL) {
        entry_drop(c, e);
    }
    if (dns_mx_expired(mx, ring_now_ns(&r->shard->ring))) {
        return;
    }
    if (c->entries.count >= c->count_max) {
        entry_drop(c, CONTAINER_OF(c->used.next, struct mx_entry, used_link));
    }
    e = mem_take_zero(sizeof(*e) + c->key.len);
    e->mx = dns_mx_ref(mx);
    e->key_len = (uint32_t)c->key.len;
    memcpy(e->key, c->key.ptr, c->key.len);
    hmap_insert(&c->entries, &e->node);
    dlist_push(&c->used, &e->used_link);
}

/* Somebody who waited for the same answer may have made the result already. */
static struct dns_mx *result_get(struct dns_mx_wait *w, const struct dns_set *set)
{
    const struct slice domain = buf_slice(&w->domain);
    struct resolver *r = w->resolver;
    struct dns_mx *mx = w->ready != NULL ? w->ready : dns_mx_peek(r, w->view, domain);

    if (mx != NULL) {
        return w->ready != NULL ? mx : dns_mx_ref(mx);
    }
    mx = dns_mx_build(domain, set);
    if (mx->status == LOOKUP_OK) {
        r->counters.mx_ok++;
    } else {
        r->counters.mx_failed++;
    }
    cache_put(r, w->view, domain, mx);
    return mx;
}

static void mx_answered(struct dns_wait *dw, struct dns_set *set)
{
    struct dns_mx_wait *w = CONTAINER_OF(dw, struct dns_mx_wait, wait);
    struct dns_mx *mx = result_get(w, set);

    w->ready = NULL;
    buf_free(&w->domain);
    w->resolver->counters.mx_in_progress--;
    w->fn(w, mx);
    dns_mx_unref(mx);
}

void dns_mx_ask(struct resolver *r, uint8_t view, struct slice domain, struct dns_mx_wait *w)
{
    struct dns_mx *mx = dns_mx_peek(r, view, domain);
    struct route_domain route;
    const char *why;

    MUST(w->fn != NULL && w->ready == NULL);
    w->wait.fn = mx_answered;
    w->resolver = r;
    w->view = view;
    w->domain = (struct buf){0};
    buf_put(&w->domain, domain);
    r->counters.mx_in_progress++;
    if (mx != NULL) {
        r->counters.mx_hits++;
        w->ready = dns_mx_ref(mx);
    }
    if (mx != NULL || !route_domain_parse(domain, &route, &why) || route.is_literal) {
        resolver_answer_later(r, &w->wait, dns_set_empty(DNS_MX, LOOKUP_BAD_NAME));
        return;
    }
    r->counters.mx_misses++;
    resolver_ask(r, &(struct dns_question){.name = route.name, .type = DNS_MX, .view = view},
                 &w->wait);
}

void dns_mx_unask(struct dns_mx_wait *w)
{
    if (dlist_linked(&w->wait.link)) {
        resolver_unask(w->resolver, &w->wait);
        w->resolver->counters.mx_in_progress--;
        dns_mx_unref(w->ready);
        w->ready = NULL;
        buf_free(&w->domain);
    }
}
