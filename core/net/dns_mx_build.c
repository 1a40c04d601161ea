/* A record set becomes hosts in order and a site name; a failure becomes its text. */
#include <stdlib.h>

#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/net/dns_mx.h"
#include "core/net/dns_name.h"
#include "proto/route_domain.h"
#include "proto/site_name.h"

#define NS_PER_US 1000u
#define NS_PER_MS 1000000u
#define NS_PER_S 1000000000u

struct dns_mx *dns_mx_ref(struct dns_mx *mx)
{
    mx->refs++;
    return mx;
}

void dns_mx_unref(struct dns_mx *mx)
{
    if (mx != NULL) {
        MUST(mx->refs > 0);
        if (--mx->refs == 0) {
            mem_give(mx);
        }
    }
}

void dns_elapsed_put(struct buf *out, uint64_t ns)
{
    const uint64_t unit = ns >= NS_PER_S    ? NS_PER_S
                          : ns >= NS_PER_MS ? NS_PER_MS
                          : ns >= NS_PER_US ? NS_PER_US
                                            : 1;
    uint64_t rest = ns % unit;

    buf_u64(out, ns / unit);
    if (rest != 0) {
        buf_char(out, '.');
    }
    for (uint64_t digit = unit / 10; rest != 0; digit /= 10) {
        buf_char(out, (char)('0' + rest / digit));
        rest %= digit;
    }
    buf_put(out, unit == NS_PER_S    ? SLICE("s")
                 : unit == NS_PER_MS ? SLICE("ms")
                 : unit == NS_PER_US ? SLICE("\xc2\xb5s")
                                     : SLICE("ns"));
}

/* What a result will hold; texts and hosts are still the maker's. */
struct parts {
    struct dns_mx head; /* without hosts */
    struct dns_mx_host *hosts;
    uint32_t host_count;
};

static struct slice text_move(char **at, struct slice text)
{
    const struct slice moved = slice_of(*at, text.len);

    if (text.len > 0) {
        memcpy(*at, text.ptr, text.len);
        *at += text.len;
    }
    return moved;
}

/* Copies everything into one block. */
static struct dns_mx *assemble(const struct parts *p)
{
    size_t text_len = p->head.domain_name.len + p->head.site_name.len + p->head.error.len;
    struct dns_mx_host *hosts;
    struct dns_mx *mx;
    char *at;

    for (uint32_t i = 0; i < p->host_count; i++) {
        text_len += p->hosts[i].name.len;
    }
    mx = mem_take_zero(sizeof(*mx) + p->host_count * sizeof(*p->hosts) + text_len);
    *mx = p->head;
    mx->refs = 1;
    mx->host_count = p->host_count;
    mx->hosts = hosts = (struct dns_mx_host *)(mx + 1);
    at = (char *)(hosts + p->host_count);
    mx->domain_name = text_move(&at, p->head.domain_name);
    mx->site_name = text_move(&at, p->head.site_name);
    mx->error = text_move(&at, p->head.error);
    for (uint32_t i = 0; i < p->host_count; i++) {
        const struct slice name = text_move(&at, p->hosts[i].name);

        hosts[i] = (struct dns_mx_host){
            .name = name,
            .dns_name = slice_head(name, p->hosts[i].dns_name.len),
            .pref = p->hosts[i].pref,
        };
    }
    return mx;
}

static struct dns_mx *failed(struct slice domain, enum dns_status status, struct slice error,
                             uint64_t expires_ns)
{
    const struct parts p = {.head = {
                                .status = (uint8_t)status,
                                .domain_name = domain,
                                .error = error,
                                .expires_ns = expires_ns,
                            }};

    return assemble(&p);
}

static struct dns_mx *lookup_failed(struct slice domain, const struct dns_set *set)
{
    struct buf error = {0};
    struct dns_mx *mx;

    buf_printf(&error, "MX lookup for %.*s failed after ", SLICE_ARG(domain));
    dns_elapsed_put(&error, set->elapsed_ns);
    buf_printf(&error, ": %s", dns_status_text(set->status));
    mx = failed(domain, set->status, buf_slice(&error), set->expires_ns);
    buf_free(&error);
    return mx;
}

static struct dns_mx *literal_build(struct slice domain, const struct route_domain *route)
{
    struct buf site = {0};
    struct parts p = {.head = {
                          .status = LOOKUP_OK,
                          .is_domain_literal = true,
                          .has_port = route->has_port,
                          .port = route->port,
                          .literal = route->ip,
                          .expires_ns = UINT64_MAX,
                          .domain_name = domain,
                      }};
    struct dns_mx_host host = {.pref = 1};
    struct dns_mx *mx;

    route_domain_site_put(&site, route);
    p.head.site_name = buf_slice(&site);
    host.name = host.dns_name = p.head.site_name;
    p.hosts = &host;
    p.host_count = 1;
    mx = assemble(&p);
    buf_free(&site);
    return mx;
}

static int host_cmp(const void *a, const void *b)
{
    const struct dns_mx_host *x = a, *y = b;

    return x->pref != y->pref ? (x->pref < y->pref ? -1 : 1) : slice_cmp(x->dns_name, y->dns_name);
}

static void site_put(struct buf *out, const struct dns_mx_host *hosts, uint32_t count)
{
    struct slice *names = mem_take_zero((count + 1) * sizeof(*names));

    for (uint32_t i = 0; i < count; i++) {
        names[i] = hosts[i].name;
    }
    site_name_put(out, names, count);
    mem_give(names);
}

/* "." alone says that the domain takes no mail; among hosts that do it means nothing (RFC 7505 3)
 * and goes. */
static void dots_drop(struct parts *p)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < p->host_count; i++) {
        if (!slice_eq(p->hosts[i].dns_name, SLICE("."))) {
            p->hosts[kept++] = p->hosts[i];
        }
    }
    p->head.is_null = kept == 0;
    p->host_count = kept > 0 ? kept : 1;
}

/* With a port every name gets it; `texts` holds them and must not move any more. */
static void ports_append(struct parts *p, struct buf *texts)
{
    size_t room = 0;

    for (uint32_t i = 0; i < p->host_count; i++) {
        room += p->hosts[i].dns_name.len + sizeof(":65535");
    }
    buf_reserve(texts, room);
    for (uint32_t i = 0; i < p->host_count; i++) {
        const size_t at = texts->len;

        buf_put(texts, p->hosts[i].dns_name);
        buf_printf(texts, ":%u", p->head.port);
        p->hosts[i].name = slice_of(texts->ptr + at, texts->len - at);
        p->hosts[i].dns_name = slice_head(p->hosts[i].name, p->hosts[i].dns_name.len);
    }
}

static struct dns_mx *hosts_build(struct slice domain, const struct route_domain *route,
                                  const struct dns_set *set)
{
    struct buf texts = {0}, site = {0}, absolute = {0};
    struct parts p = {.head = {
                          .status = LOOKUP_OK,
                          .is_mx = set->status == LOOKUP_OK,
                          .is_secure = set->secure,
                          .has_port = route->has_port,
                          .port = route->port,
                          .expires_ns = set->expires_ns,
                      }};
    struct dns_mx *mx;

    if (!dns_name_put(route->name, &absolute)) {
        return failed(domain, LOOKUP_BAD_NAME, SLICE("invalid domain name"), set->expires_ns);
    }
    p.head.domain_name = buf_slice(&absolute);
    p.host_count = p.head.is_mx ? set->rr_count : 1;
    p.hosts = mem_take_zero(p.host_count * sizeof(*p.hosts));
    for (uint32_t i = 0; i < p.host_count; i++) {
        p.hosts[i].dns_name = p.head.is_mx ? dns_rr_bytes(set, i) : p.head.domain_name;
        p.hosts[i].name = p.hosts[i].dns_name;
        p.hosts[i].pref = p.head.is_mx ? set->rr[i].pref : 1;
    }
    qsort(p.hosts, p.host_count, sizeof(*p.hosts), host_cmp);
    dots_drop(&p);
    if (p.head.has_port) {
        ports_append(&p, &texts);
    }
    site_put(&site, p.hosts, p.host_count);
    p.head.site_name = buf_slice(&site);
    mx = assemble(&p);
    mem_give(p.hosts);
    buf_free(&texts);
    buf_free(&site);
    buf_free(&absolute);
    return mx;
}

struct dns_mx *dns_mx_build(struct slice domain, const struct dns_set *set)
{
    struct route_domain route;
    const char *why;

    if (!route_domain_parse(domain, &route, &why)) {
        struct buf error = {0};
        struct dns_mx *mx;

        buf_printf(&error, "domain_name `%.*s`: %s", SLICE_ARG(domain), why);
        mx = failed(domain, LOOKUP_BAD_NAME, buf_slice(&error), 0);
        buf_free(&error);
        return mx;
    }
    if (route.is_literal) {
        return literal_build(domain, &route);
    }
    if (set->status != LOOKUP_OK && set->status != LOOKUP_NODATA) {
        return lookup_failed(domain, set);
    }
    return hosts_build(domain, &route, set);
}

struct dns_mx *dns_mx_pruned(const struct dns_mx *mx, dns_mx_keep_fn *keep, void *arg,
                             uint64_t expires_ns)
{
    struct parts p = {.head = *mx, .hosts = mem_take_zero((mx->host_count + 1) * sizeof(*p.hosts))};
    struct buf site = {0};
    struct dns_mx *pruned = NULL;

    for (uint32_t i = 0; i < mx->host_count; i++) {
        if (keep(arg, mx->hosts[i].dns_name)) {
            p.hosts[p.host_count++] = mx->hosts[i];
        }
    }
    if (p.host_count > 0) {
        site_put(&site, p.hosts, p.host_count);
        p.head.site_name = buf_slice(&site);
        p.head.expires_ns = expires_ns < mx->expires_ns ? expires_ns : mx->expires_ns;
        pruned = assemble(&p);
    }
    mem_give(p.hosts);
    buf_free(&site);
    return pruned;
}
