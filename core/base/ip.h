/*
 * ip - IP addresses, socket addresses and CIDR prefixes as values.
 *
 * Text forms are the reference's: "10.0.0.1", "::1"; with port "10.0.0.1:25", "[::1]:25".
 * Parsers are strict: the whole slice must be the address.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/slice.h"

enum ip_family { IP_NONE = 0, IP_V4 = 4, IP_V6 = 6 };

struct ip {
    uint8_t family;    /* enum ip_family */
    uint8_t bytes[16]; /* network order; IPv4 in the first four, the rest zero */
};

struct ip_port {
    struct ip ip;
    uint16_t port; /* host order */
};

struct ip_net {
    struct ip ip;
    uint8_t prefix_len; /* bits */
};

#define IP_TEXT_MAX 46u      /* "255.255.255.255" to a full IPv6, with NUL */
#define IP_PORT_TEXT_MAX 56u /* "[...]:65535" with NUL */

NODISCARD bool ip_parse(struct slice text, struct ip *out);
NODISCARD bool ip_port_parse(struct slice text, struct ip_port *out); /* port mandatory */
/* "10.0.0.0/8", or a bare address meaning all its bits. On failure *why gets a text such as
 * "10.0.0.1/24 is not a valid CIDR: host part of address was not zero. Did you mean 10.0.0.0/24?"
 */
NODISCARD bool ip_net_parse(struct slice text, struct ip_net *out, struct buf *why);

PURE bool ip_eq(const struct ip *a, const struct ip *b);
PURE bool ip_net_has(const struct ip_net *net, const struct ip *ip); /* same family only */

/* The text form in the caller's room, without a NUL; {0} for IP_NONE. */
struct slice ip_text(const struct ip *ip, char room[IP_TEXT_MAX]);
struct slice ip_port_text(const struct ip_port *addr, char room[IP_PORT_TEXT_MAX]);
/* Append the text form. */
void ip_put(struct buf *out, const struct ip *ip);
void ip_port_put(struct buf *out, const struct ip_port *addr);
void ip_net_put(struct buf *out, const struct ip_net *net); /* always with its length */
