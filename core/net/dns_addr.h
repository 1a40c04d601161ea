/*
 * dns_addr - the addresses of a host, by the families a strategy wants.
 *
 * Addresses come in the order of the answers, A before AAAA. A name that does not exist, or has
 * no address, is an empty answer; only a lookup that failed is an error, and only when the other
 * family brought nothing either.
 *
 * Owner     one shard; the waiter is a field of whoever asks.
 * Blocking  never; the waiter is called from the loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/ip.h"
#include "core/net/dns_resolver.h"

enum ip_strategy {
#define IP_STRATEGY(name) IP_STRATEGY_##name,
#include "core/net/ip_strategies.def"
#undef IP_STRATEGY
    IP_STRATEGY_COUNT
};
NODISCARD bool ip_strategy_parse(struct slice text, enum ip_strategy *out);
const char *ip_strategy_text(enum ip_strategy strategy);

struct dns_addrs {
    enum dns_status status; /* LOOKUP_OK, also when there are none; or why the lookup failed */
    const struct ip *ips;
    uint32_t count;
    bool secure;
    uint64_t expires_ns;
};

struct dns_addr_wait;
/* `addrs` is borrowed for the call. */
typedef void dns_addr_wait_fn(struct dns_addr_wait *w, const struct dns_addrs *addrs);

struct dns_addr_wait {
    struct dns_wait v4, v6;
    dns_addr_wait_fn *fn;
    struct resolver *resolver;
    struct dns_set *v4_set, *v6_set;
    struct buf name; /* for the family that is asked second */
    uint8_t strategy, view;
};

/* `name` may be an address, which is then the answer. Zeroed memory with fn set is a fine
 * waiter. */
void dns_addr_ask(struct resolver *r, uint8_t view, struct slice name,
                  enum ip_strategy strategy, struct dns_addr_wait *w);
/* w->fn will not run. Does nothing when not waiting. */
void dns_addr_unask(struct dns_addr_wait *w);

/* The names of an address; the records of the answer are the names. */
void dns_ptr_ask(struct resolver *r, uint8_t view, const struct ip *ip, struct dns_wait *w);
