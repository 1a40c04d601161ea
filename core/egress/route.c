#include "core/egress/route.h"

#include "core/base/mem.h"
#include "core/egress/readyq.h"

#define ROUTE_FAILURE_TTL_MS 60000u

struct route *route_ref(struct route *r)
{
    r->refs++;
    return r;
}

static void route_unlist(struct route *r)
{
    if (r->listed) {
        r->listed = false;
        hmap_remove(&r->eg->routes, &r->node);
    }
}

void route_put(struct route **rp)
{
    struct route *r = *rp;

    *rp = NULL;
    if (r == NULL || --r->refs > 0) {
        return;
    }
    MUST(dlist_empty(&r->waiting));
    route_unlist(r);
    dns_mx_unask(&r->ask);
    dns_mx_unref(r->mx);
    mx_list_free(&r->list);
    buf_free(&r->site_name);
    buf_free(&r->why);
    mem_give(r->key);
    mem_give(r);
}

bool route_stale(const struct route *r, uint64_t now_ms)
{
    return r->state != ROUTE_ASKING && now_ms >= r->expires_ms;
}

static void route_answered(struct dns_mx_wait *w, struct dns_mx *mx)
{
    struct route *r = CONTAINER_OF(w, struct route, ask);
    uint64_t now_ms = shard_now_ms(r->eg->shard);

    if (mx->host_count == 0) {
        r->state = ROUTE_FAILED;
        r->expires_ms = now_ms + ROUTE_FAILURE_TTL_MS;
        buf_put(&r->why, mx->error);
    } else {
        r->state = ROUTE_READY;
        r->mx = dns_mx_ref(mx);
        r->expires_ms = mx->expires_ns / 1000000u;
        buf_put(&r->site_name, mx->site_name);
    }
    r->refs++; /* over the promotions that this lets go */
    promotions_resume(&r->waiting);
    route_put(&r);
}

static struct route *route_new(struct egress *eg, struct slice key)
{
    struct route *r = MEM_NEW(struct route);

    r->eg = eg;
    r->key = mem_copy(key.ptr, key.len);
    r->key_len = (uint32_t)key.len;
    r->listed = true;
    r->refs = 1;
    r->expires_ms = UINT64_MAX;
    r->ask.fn = route_answered;
    dlist_init(&r->waiting);
    hmap_insert(&eg->routes, &r->node);
    return r;
}

static bool list_add(struct mx_list *list, const struct mx_host *host, struct buf *why)
{
    struct ip_port addr = {.ip = host->ip, .port = host->port};
    struct buf text = {0};
    bool ok;

    if (!host->is_table) {
        return mx_list_add(list, slice_str(host->label), why);
    }
    if (host->kind == MX_HOST_UNIX) {
        buf_put(&text, slice_str(host->host));
    } else if (host->port != 0) {
        ip_port_put(&text, &addr);
    } else {
        ip_put(&text, &host->ip);
    }
    ok = mx_list_add_table(list, slice_str(host->label), buf_slice(&text), host->is_secure, why);
    buf_free(&text);
    return ok;
}

/* The hosts are in the queue's config: nothing has to be asked. */
static struct route *route_of_list(struct egress *eg, const struct smtp_protocol *p)
{
    struct mx_list list = {0};
    struct buf why = {0}, site = {0};
    struct hmap_node *node;
    struct route *r;
    bool ok = true;

    for (uint32_t i = 0; ok && i < p->mx_list.count; i++) {
        ok = list_add(&list, &p->mx_list.items[i], &why);
    }
    mx_list_site_put(&site, &list);
    node = hmap_find(&eg->routes, buf_slice(&site));
    if (node != NULL) {
        r = route_ref(CONTAINER_OF(node, struct route, node));
        mx_list_free(&list);
    } else {
        r = route_new(eg, buf_slice(&site));
        r->state = ok ? ROUTE_READY : ROUTE_FAILED;
        r->list = list;
        buf_put(&r->site_name, buf_slice(&site));
        buf_put(&r->why, buf_slice(&why));
    }
    buf_free(&site);
    buf_free(&why);
    return r;
}

static struct route *route_of_domain(struct egress *eg, struct slice domain)
{
    struct hmap_node *node = hmap_find(&eg->routes, domain);
    struct route *r;

    if (node != NULL) {
        r = CONTAINER_OF(node, struct route, node);
        if (!route_stale(r, shard_now_ms(eg->shard))) {
            return route_ref(r);
        }
        route_unlist(r);
    }
    r = route_new(eg, domain);
    dns_mx_ask(eg->resolver, 0, domain, &r->ask);
    return r;
}

struct route *route_get(struct egress *eg, struct schedq *q)
{
    const struct queue_protocol *p = &schedq_config(q)->protocol;

    return p->has_smtp && p->smtp.mx_list.count > 0 ? route_of_list(eg, &p->smtp)
                                : route_of_domain(eg, queue_name_routing(schedq_parts(q)));
}

void route_plan(struct route *r, enum ip_strategy strategy, struct addr_planner *planner)
{
    if (r->mx != NULL) {
        addr_planner_mx(planner, r->eg->resolver, 0, r->mx, strategy);
    } else {
        addr_planner_list(planner, r->eg->resolver, 0, &r->list, strategy);
    }
}
