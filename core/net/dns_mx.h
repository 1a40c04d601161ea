/*
 * dns_mx - where mail for a domain goes: its hosts by preference, and the site they form.
 *
 * Owner     one shard counts the references; a result is read-only once made.
 * Memory    one block per result; the shard's cache is bounded by count, least recently used
 *           first.
 * Blocking  never; the waiter is called from the loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/ip.h"
#include "core/base/slice.h"
#include "core/net/dns_resolver.h"

struct dns_mx_host {
    struct slice name; /* "mx.example.com.", with ":port" when the routing domain has one */
    struct slice dns_name; /* the same without port */
    uint16_t pref;
};

struct dns_mx {
    uint32_t refs;
    uint8_t status; /* enum dns_status; LOOKUP_OK exactly when there are hosts */
    bool is_domain_literal;
    bool is_mx;     /* false: there are no MX records, the host is the domain itself */
    bool is_secure;
    bool is_null;   /* the domain says that it takes no mail (RFC 7505) */
    bool has_port;
    uint16_t port;
    struct ip literal;
    uint64_t expires_ns; /* UINT64_MAX for a literal */
    struct slice domain_name; /* "example.com."; a literal as written */
    struct slice site_name;
    struct slice error; /* "MX lookup for D failed after 1.2ms: NXDOMAIN", or why D is no domain */
    const struct dns_mx_host *hosts; /* preferences ascending, names sorted inside one */
    uint32_t host_count;
};

struct dns_mx *dns_mx_ref(struct dns_mx *mx);
void dns_mx_unref(struct dns_mx *mx); /* NULL is accepted */

static inline bool dns_mx_expired(const struct dns_mx *mx, uint64_t now_ns)
{
    return mx->expires_ns <= now_ns;
}

struct dns_mx_wait;
/* Borrowed for the call; dns_mx_ref() keeps it. */
typedef void dns_mx_wait_fn(struct dns_mx_wait *w, struct dns_mx *mx);

struct dns_mx_wait {
    struct dns_wait wait;
    dns_mx_wait_fn *fn;
    struct resolver *resolver;
    struct dns_mx *ready;
    struct buf domain; /* as asked; given back before fn runs */
    uint8_t view;
};

/* `domain` is a routing domain: a name or a literal, either with a port. Zeroed memory with fn
 * set is a fine waiter. */
void dns_mx_ask(struct resolver *r, uint8_t view, struct slice domain, struct dns_mx_wait *w);
/* w->fn will not run. Does nothing when not waiting. */
void dns_mx_unask(struct dns_mx_wait *w);
/* The result if this shard has it, borrowed until the next call here; NULL otherwise. For the
 * way every message takes. */
struct dns_mx *dns_mx_peek(struct resolver *r, uint8_t view, struct slice domain);

/* The same result with only those hosts for which keep() says so, its site named anew, at most
 * until expires_ns; NULL when none is left. For MTA-STS. */
typedef bool dns_mx_keep_fn(void *arg, struct slice dns_name);
NODISCARD struct dns_mx *dns_mx_pruned(const struct dns_mx *mx, dns_mx_keep_fn *keep, void *arg,
                                       uint64_t expires_ns);

/* From an answer to MX, or from a failure. Public for tests and for other sources of answers. */
struct dns_mx *dns_mx_build(struct slice domain, const struct dns_set *set);

/* Appends a duration as the reference prints it in errors: "1.5s", "12.000345ms", "7us". */
void dns_elapsed_put(struct buf *out, uint64_t ns);

struct dns_mx_cache;
struct dns_mx_cache *dns_mx_cache_open(uint64_t seed, size_t count_max);
void dns_mx_cache_close(struct dns_mx_cache **cp);
