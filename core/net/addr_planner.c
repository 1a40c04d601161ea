/* Looking up the hosts of a plan, a few at a time, and putting their addresses in order. */
#include <stdlib.h>

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/net/addr_plan.h"
#include "core/net/dns_mx.h"
#include "core/net/mx_list.h"

#define SKIPPED_TEXT_MAX 4096u /* diagnostics of one plan */

/* A host to look up, or an address that is known. */
struct addr_host {
    uint32_t name_at, name_len; /* in plan.names */
    uint32_t group;             /* hosts of one group are shuffled together */
    struct ip ip;               /* IP_NONE: look the name up */
    uint16_t port;
    bool has_port;
    bool secure;
    bool configured; /* its failure is the operator's to know */
};

struct found {
    struct ip ip;
    uint32_t host;
    bool secure;
};

static struct slice host_name(const struct addr_planner *p, const struct addr_host *h)
{
    return slice_of(p->plan.names.ptr + h->name_at, h->name_len);
}

static void found_add(struct addr_planner *p, uint32_t host, const struct ip *ip, bool secure)
{
    const struct found f = {.ip = *ip, .host = host, .secure = secure};

    if (p->found.len / sizeof(f) < ADDR_PLAN_MAX) {
        buf_append(&p->found, &f, sizeof(f));
    }
}

static int found_cmp(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    return x->host != y->host ? (x->host < y->host ? -1 : 1) : 0;
}

/* Answers arrive in any order; insertion keeps the order inside a host, and lists are short. */
static void found_sort(struct found *f, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        const struct found one = f[i];
        uint32_t at = i;

        while (at > 0 && found_cmp(&f[at - 1], &one) > 0) {
            f[at] = f[at - 1];
            at--;
        }
        f[at] = one;
    }
}

static void shuffle(struct addr_planner *p, struct addr_target *targets, uint32_t count)
{
    for (uint32_t i = count; i > 1; i--) {
        const uint32_t j = (uint32_t)(ring_random(&p->resolver->shard->ring) % i);
        const struct addr_target swapped = targets[i - 1];

        targets[i - 1] = targets[j];
        targets[j] = swapped;
    }
}

static void targets_make(struct addr_planner *p)
{
    struct addr_plan *plan = &p->plan;
    struct found *found = (struct found *)(void *)p->found.ptr;
    uint32_t group_begin = 0;

    plan->count = (uint32_t)(p->found.len / sizeof(*found));
    plan->targets = mem_take_zero((plan->count + 1) * sizeof(*plan->targets));
    found_sort(found, plan->count);
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct addr_host *h = &p->hosts[found[i].host];

        plan->targets[i] = (struct addr_target){
            .ip = found[i].ip,
            .port = h->port,
            .has_port = h->has_port,
            .secure = found[i].secure,
            .name_at = h->name_at,
            .name_len = h->name_len,
        };
        if (p->shuffle &&
            (i + 1 == plan->count || p->hosts[found[i + 1].host].group != h->group)) {
            shuffle(p, plan->targets + group_begin, i + 1 - group_begin);
            group_begin = i + 1;
        }
    }
}

static void planner_reset(struct addr_planner *p)
{
    MEM_FREE(&p->hosts);
    buf_free(&p->found);
    p->host_count = p->host_next = 0;
    p->running = false;
}

static void finish(struct addr_planner *p)
{
    struct addr_plan plan;

    targets_make(p);
    if (p->plan.count > 0) {
        buf_free(&p->plan.error);
    }
    plan = p->plan;
    p->plan = (struct addr_plan){0};
    planner_reset(p);
    p->fn(p, &plan);
}

static void host_failed(struct addr_planner *p, const struct addr_host *h, enum dns_status status)
{
    struct buf *skipped = &p->plan.skipped;

    if (skipped->len < SKIPPED_TEXT_MAX) {
        buf_printf(skipped, "%s%.*s: %s", skipped->len > 0 ? ", " : "",
                   SLICE_ARG(host_name(p, h)), dns_status_text(status));
    }
    if (h->configured && p->plan.error.len == 0) {
        buf_printf(&p->plan.error, "failed to resolve mx_list entry %.*s: %s",
                   SLICE_ARG(host_name(p, h)), dns_status_text(status));
    }
}

static void lookups_run(struct addr_planner *p);

static void host_answered(struct dns_addr_wait *w, const struct dns_addrs *addrs)
{
    struct addr_lookup *l = CONTAINER_OF(w, struct addr_lookup, wait);
    struct addr_planner *p = l->planner;
    const struct addr_host *h = &p->hosts[l->host];

    l->busy = false;
    p->lookups_busy--;
    if (addrs->status != LOOKUP_OK) {
        host_failed(p, h, addrs->status);
    }
    for (uint32_t i = 0; i < addrs->count; i++) {
        found_add(p, l->host, &addrs->ips[i], addrs->secure);
    }
    lookups_run(p);
    if (p->lookups_busy == 0) {
        finish(p);
    }
}

static struct addr_lookup *lookup_free(struct addr_planner *p)
{
    for (uint32_t i = 0; i < ADDR_PLAN_LOOKUPS; i++) {
        if (!p->lookups[i].busy) {
            return &p->lookups[i];
        }
    }
    return NULL;
}

/* Starts lookups while there are hosts and free places. Answers never come inline. */
static void lookups_run(struct addr_planner *p)
{
    struct addr_lookup *l;

    while (p->host_next < p->host_count && (l = lookup_free(p)) != NULL) {
        const struct addr_host *h = &p->hosts[p->host_next];

        l->host = p->host_next++;
        if (h->ip.family != IP_NONE) {
            found_add(p, l->host, &h->ip, h->secure);
            continue;
        }
        l->busy = true;
        l->planner = p;
        l->wait = (struct dns_addr_wait){.fn = host_answered};
        p->lookups_busy++;
        dns_addr_ask(p->resolver, p->view, host_name(p, h), p->strategy, &l->wait);
    }
}

static void finish_posted(struct post *post)
{
    finish(CONTAINER_OF(post, struct addr_planner, post));
}

static void planner_begin(struct addr_planner *p, struct resolver *r, uint8_t view,
                          enum ip_strategy strategy, uint32_t host_count)
{
    MUST(p->fn != NULL && !p->running);
    p->resolver = r;
    p->view = view;
    p->strategy = (uint8_t)strategy;
    p->running = true;
    p->post.fn = finish_posted;
    p->plan = (struct addr_plan){0};
    p->found = (struct buf){0};
    p->host_next = p->host_count = p->lookups_busy = 0;
    p->hosts = mem_take_zero((host_count + 1) * sizeof(*p->hosts));
}

static struct addr_host *host_add(struct addr_planner *p, struct slice name)
{
    struct addr_host *h = &p->hosts[p->host_count++];

    h->name_at = (uint32_t)p->plan.names.len;
    h->name_len = (uint32_t)name.len;
    buf_put(&p->plan.names, name);
    return h;
}

static struct addr_host *literal_add(struct addr_planner *p, const struct ip *ip)
{
    struct buf text = {0};
    struct addr_host *h;

    ip_put(&text, ip);
    h = host_add(p, buf_slice(&text));
    h->ip = *ip;
    buf_free(&text);
    return h;
}

static void planner_go(struct addr_planner *p)
{
    lookups_run(p);
    if (p->lookups_busy == 0) {
        shard_post(p->resolver->shard, &p->post);
    }
}

void addr_planner_mx(struct addr_planner *p, struct resolver *r, uint8_t view,
                     const struct dns_mx *mx, enum ip_strategy strategy)
{
    planner_begin(p, r, view, strategy, mx->host_count);
    p->shuffle = true;
    p->plan.is_null_mx = mx->is_null;
    for (uint32_t i = 0; i < mx->host_count && !mx->is_null; i++) {
        struct addr_host *h = mx->is_domain_literal ? literal_add(p, &mx->literal)
                                                    : host_add(p, mx->hosts[i].dns_name);

        h->group = mx->hosts[i].pref;
        h->has_port = mx->has_port;
        h->port = mx->port;
    }
    planner_go(p);
}

void addr_planner_list(struct addr_planner *p, struct resolver *r, uint8_t view,
                       const struct mx_list *list, enum ip_strategy strategy)
{
    planner_begin(p, r, view, strategy, list->count);
    p->shuffle = false;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct mx_list_entry *e = &list->entries[i];
        struct addr_host *h = host_add(p, mx_list_name(list, i));

        h->ip = e->ip;
        h->port = e->port;
        h->has_port = e->has_port;
        h->secure = e->is_secure;
        h->configured = true;
    }
    planner_go(p);
}

void addr_planner_cancel(struct addr_planner *p)
{
    if (!p->running) {
        return;
    }
    shard_unpost(p->resolver->shard, &p->post);
    for (uint32_t i = 0; i < ADDR_PLAN_LOOKUPS; i++) {
        if (p->lookups[i].busy) {
            dns_addr_unask(&p->lookups[i].wait);
            p->lookups[i].busy = false;
        }
    }
    addr_plan_free(&p->plan);
    planner_reset(p);
}
