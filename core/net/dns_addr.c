/* One or two address questions become one list. */
#include "core/net/dns_addr.h"

#include "core/base/check.h"
#include "core/net/dns_resolver_private.h"

static const char *const strategy_names[IP_STRATEGY_COUNT] = {
#define IP_STRATEGY(name) [IP_STRATEGY_##name] = #name,
#include "core/net/ip_strategies.def"
#undef IP_STRATEGY
};

bool ip_strategy_parse(struct slice text, enum ip_strategy *out)
{
    for (unsigned i = 0; i < IP_STRATEGY_COUNT; i++) {
        if (slice_eq(text, slice_str(strategy_names[i]))) {
            *out = (enum ip_strategy)i;
            return true;
        }
    }
    return false;
}

const char *ip_strategy_text(enum ip_strategy strategy)
{
    MUST(strategy < IP_STRATEGY_COUNT);
    return strategy_names[strategy];
}

static void ips_put(struct buf *out, const struct dns_set *set)
{
    for (uint32_t i = 0; set != NULL && i < set->rr_count; i++) {
        const struct ip ip = dns_rr_ip(set, i);

        buf_append(out, &ip, sizeof(ip));
    }
}

static bool set_failed(const struct dns_set *set)
{
    return set != NULL && (dns_status_transient(set->status) || set->status == LOOKUP_BAD_NAME);
}

static void finish(struct dns_addr_wait *w)
{
    const struct dns_set *v4 = w->v4_set, *v6 = w->v6_set;
    struct buf ips = {0};
    struct dns_addrs addrs = {.status = LOOKUP_OK, .expires_ns = UINT64_MAX, .secure = true};

    ips_put(&ips, v4);
    ips_put(&ips, v6);
    addrs.ips = (const struct ip *)(const void *)ips.ptr;
    addrs.count = (uint32_t)(ips.len / sizeof(struct ip));
    if (addrs.count == 0 && (set_failed(v4) || set_failed(v6))) {
        addrs.status = set_failed(v4) ? v4->status : v6->status;
    }
    for (unsigned i = 0; i < 2; i++) {
        const struct dns_set *set = i == 0 ? v4 : v6;

        if (set != NULL) {
            addrs.secure = addrs.secure && set->secure;
            addrs.expires_ns =
                set->expires_ns < addrs.expires_ns ? set->expires_ns : addrs.expires_ns;
        }
    }
    w->v4_set = w->v6_set = NULL;
    buf_free(&w->name);
    w->fn(w, &addrs);
    buf_free(&ips);
    dns_set_unref((struct dns_set *)(uintptr_t)v4);
    dns_set_unref((struct dns_set *)(uintptr_t)v6);
}

static void family_ask(struct dns_addr_wait *w, uint16_t type)
{
    const struct dns_question q = {
        .name = buf_slice(&w->name), .type = type, .view = w->view};

    resolver_ask(w->resolver, &q, type == DNS_A ? &w->v4 : &w->v6);
}

/* After each answer: the other family, more waiting, or the end. */
static void step(struct dns_addr_wait *w)
{
    const bool v4_empty = w->v4_set == NULL || w->v4_set->rr_count == 0;
    const bool v6_empty = w->v6_set == NULL || w->v6_set->rr_count == 0;

    if (dlist_linked(&w->v4.link) || dlist_linked(&w->v6.link)) {
        return;
    }
    if (w->strategy == IP_STRATEGY_Ipv4ThenIpv6 && w->v6_set == NULL && v4_empty) {
        family_ask(w, DNS_AAAA);
    } else if (w->strategy == IP_STRATEGY_Ipv6ThenIpv4 && w->v4_set == NULL && v6_empty) {
        family_ask(w, DNS_A);
    } else {
        finish(w);
    }
}

static void v4_answered(struct dns_wait *dw, struct dns_set *set)
{
    struct dns_addr_wait *w = CONTAINER_OF(dw, struct dns_addr_wait, v4);

    w->v4_set = dns_set_ref(set);
    step(w);
}

static void v6_answered(struct dns_wait *dw, struct dns_set *set)
{
    struct dns_addr_wait *w = CONTAINER_OF(dw, struct dns_addr_wait, v6);

    w->v6_set = dns_set_ref(set);
    step(w);
}

static void literal_answer(struct dns_addr_wait *w, const struct ip *ip)
{
    const uint16_t type = ip->family == IP_V4 ? DNS_A : DNS_AAAA;
    struct dns_set_builder b = {0};
    struct dns_set *set;

    MUST(dns_set_add(&b, 0, slice_of(ip->bytes, ip->family == IP_V4 ? 4 : 16)));
    set = dns_set_build(&b, type);
    set->expires_ns = UINT64_MAX;
    w->strategy = ip->family == IP_V4 ? IP_STRATEGY_Ipv4Only : IP_STRATEGY_Ipv6Only;
    resolver_answer_later(w->resolver, ip->family == IP_V4 ? &w->v4 : &w->v6, set);
}

void dns_addr_ask(struct resolver *r, uint8_t view, struct slice name,
                  enum ip_strategy strategy, struct dns_addr_wait *w)
{
    struct ip ip;

    MUST(w->fn != NULL && w->v4_set == NULL && w->v6_set == NULL);
    w->v4.fn = v4_answered;
    w->v6.fn = v6_answered;
    w->resolver = r;
    w->strategy = (uint8_t)strategy;
    w->view = view;
    w->name = (struct buf){0};
    if (ip_parse(name, &ip)) {
        literal_answer(w, &ip);
        return;
    }
    buf_put(&w->name, name);
    if (strategy != IP_STRATEGY_Ipv6Only && strategy != IP_STRATEGY_Ipv6ThenIpv4) {
        family_ask(w, DNS_A);
    }
    if (strategy != IP_STRATEGY_Ipv4Only && strategy != IP_STRATEGY_Ipv4ThenIpv6) {
        family_ask(w, DNS_AAAA);
    }
}

void dns_addr_unask(struct dns_addr_wait *w)
{
    if (dlist_linked(&w->v4.link) || dlist_linked(&w->v6.link)) {
        resolver_unask(w->resolver, &w->v4);
        resolver_unask(w->resolver, &w->v6);
        dns_set_unref(w->v4_set);
        dns_set_unref(w->v6_set);
        w->v4_set = w->v6_set = NULL;
        buf_free(&w->name);
    }
}

void dns_ptr_ask(struct resolver *r, uint8_t view, const struct ip *ip, struct dns_wait *w)
{
    struct buf name = {0};

    dns_reverse_put(&name, ip);
    resolver_ask(r, &(struct dns_question){.name = buf_slice(&name), .type = DNS_PTR, .view = view},
                 w);
    buf_free(&name);
}
