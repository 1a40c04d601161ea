/*
 * route_domain - what kind of place a routing domain names: a DNS name or an address literal,
 * either with a port of its own.
 *
 *     name, name:port, [a.b.c.d]  [a.b.c.d]:port  [a.b.c.d:port]  [IPv6:x::y]  [IPv6:x::y]:port
 *     [x::y]  [x::y]:port                                   (the tag IPv6: in any case)
 *
 * Memory    borrows the input.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/ip.h"
#include "core/base/slice.h"

struct route_domain {
    bool is_literal;
    bool has_port;
    uint16_t port;
    struct slice name; /* of a DNS name, as written, port cut off */
    struct ip ip;      /* of a literal */
};

/* False: a literal that is none; *why_out says so. Whether a name is a valid one is left to whoever
 * resolves it. */
NODISCARD bool route_domain_parse(struct slice text, struct route_domain *out,
                                  const char **why_out);

/* The site name of a literal: "10.0.0.1", "10.0.0.1:2525", "2001:db8::1", "[2001:db8::1]:25". */
void route_domain_site_put(struct buf *out, const struct route_domain *literal);
