#include "core/base/ip.h"

#include <arpa/inet.h>

#include "core/base/digits.h"

#define IP_PREFIX_LEN_MAX(ip) ((ip)->family == IP_V4 ? 32u : 128u)

bool ip_parse(struct slice text, struct ip *out)
{
    char z[IP_TEXT_MAX];

    *out = (struct ip){0};
    if (text.len == 0 || text.len >= sizeof(z) || memchr(text.ptr, '\0', text.len) != NULL) {
        return false;
    }
    memcpy(z, text.ptr, text.len);
    z[text.len] = '\0';
    if (inet_pton(AF_INET, z, out->bytes) == 1) {
        out->family = IP_V4;
        return true;
    }
    if (inet_pton(AF_INET6, z, out->bytes) == 1) {
        out->family = IP_V6;
        return true;
    }
    return false;
}

bool ip_port_parse(struct slice text, struct ip_port *out)
{
    struct slice host = text, port;
    uint64_t number;
    bool bracketed = text.len > 0 && text.ptr[0] == '[';

    *out = (struct ip_port){0};
    if (bracketed) {
        size_t close = slice_find_char(text, ']');

        if (close == text.len) {
            return false;
        }
        host = slice_of(text.ptr + 1, close - 1);
        text = slice_from(text, close + 1);
    } else {
        host = slice_head(text, slice_find_char(text, ':'));
        text = slice_from(text, host.len);
    }
    port = slice_from(text, 1);
    if (text.len == 0 || text.ptr[0] != ':' || port.len > 5 || !slice_to_u64(port, &number) ||
        number > UINT16_MAX || !ip_parse(host, &out->ip) ||
        (out->ip.family == IP_V6) != bracketed) {
        *out = (struct ip_port){0};
        return false;
    }
    out->port = (uint16_t)number;
    return true;
}

/* Clears the bits after the prefix; true when one of them was set. */
static bool clear_host_bits(struct ip *ip, unsigned prefix_len)
{
    bool any = false;

    for (unsigned i = 0; i < IP_PREFIX_LEN_MAX(ip) / 8; i++) {
        unsigned kept = prefix_len > i * 8 ? prefix_len - i * 8 : 0;
        uint8_t mask = kept >= 8 ? 0xff : (uint8_t)(0xff00u >> kept);

        any |= (ip->bytes[i] & ~mask & 0xff) != 0;
        ip->bytes[i] &= mask;
    }
    return any;
}

static bool net_refuse(struct slice text, const char *reason, struct buf *why)
{
    buf_printf(why, "%.*s is not a valid CIDR: %s", SLICE_ARG(slice_head(text, 256)), reason);
    return false;
}

bool ip_net_parse(struct slice text, struct ip_net *out, struct buf *why)
{
    struct slice addr = slice_head(text, slice_find_char(text, '/'));
    uint64_t prefix_len;

    *out = (struct ip_net){0};
    if (!ip_parse(addr, &out->ip)) {
        return net_refuse(text, "invalid IP address syntax", why);
    }
    prefix_len = IP_PREFIX_LEN_MAX(&out->ip);
    if (addr.len < text.len && !slice_to_u64(slice_from(text, addr.len + 1), &prefix_len)) {
        return net_refuse(text, "couldn't parse length in network", why);
    }
    if (prefix_len > IP_PREFIX_LEN_MAX(&out->ip)) {
        return net_refuse(text, "network length is too long", why);
    }
    out->prefix_len = (uint8_t)prefix_len;
    if (clear_host_bits(&out->ip, out->prefix_len)) {
        (void)net_refuse(text, "host part of address was not zero. Did you mean ", why);
        ip_net_put(why, out);
        buf_char(why, '?');
        return false;
    }
    return true;
}

bool ip_eq(const struct ip *a, const struct ip *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool ip_net_has(const struct ip_net *net, const struct ip *ip)
{
    unsigned whole = net->prefix_len / 8u, rest = net->prefix_len % 8u;

    if (net->ip.family != ip->family || memcmp(net->ip.bytes, ip->bytes, whole) != 0) {
        return false;
    }
    return rest == 0 || ((net->ip.bytes[whole] ^ ip->bytes[whole]) & (0xff00u >> rest) & 0xff) == 0;
}

static char *put_v4(char *to, const uint8_t bytes[4])
{
    for (unsigned i = 0; i < 4; i++) {
        if (i != 0) {
            *to++ = '.';
        }
        to = digits_put_u64(to, bytes[i]);
    }
    return to;
}

/* The longest run of two or more zero groups, the first of equals: it becomes "::" (RFC 5952). */
static void longest_zero_run(const uint16_t groups[8], unsigned *at, unsigned *len)
{
    *at = 8;
    *len = 0;
    for (unsigned i = 0; i < 8; i++) {
        unsigned end = i;

        while (end < 8 && groups[end] == 0) {
            end++;
        }
        if (end - i > *len && end - i >= 2) {
            *at = i;
            *len = end - i;
        }
        i = end > i ? end - 1 : i;
    }
}

static char *put_hex_group(char *to, uint16_t group)
{
    static const char hex[] = "0123456789abcdef";
    int shift = group >= 0x1000 ? 12 : group >= 0x100 ? 8 : group >= 0x10 ? 4 : 0;

    for (; shift >= 0; shift -= 4) {
        *to++ = hex[(group >> shift) & 0xf];
    }
    return to;
}

static char *put_v6(char *to, const uint8_t bytes[16])
{
    static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    uint16_t groups[8];
    unsigned run_at, run_len;

    if (memcmp(bytes, v4_mapped, sizeof(v4_mapped)) == 0) {
        memcpy(to, "::ffff:", 7);
        return put_v4(to + 7, bytes + 12);
    }
    for (unsigned i = 0; i < 8; i++) {
        groups[i] = (uint16_t)(bytes[2 * i] << 8 | bytes[2 * i + 1]);
    }
    longest_zero_run(groups, &run_at, &run_len);
    for (unsigned i = 0; i < 8; i++) {
        if (i == run_at) {
            memcpy(to, "::", 2);
            to += 2;
            i += run_len - 1;
            continue;
        }
        if (i != 0 && i != run_at + run_len) {
            *to++ = ':';
        }
        to = put_hex_group(to, groups[i]);
    }
    return to;
}

struct slice ip_text(const struct ip *ip, char room[IP_TEXT_MAX])
{
    if (ip->family == IP_V4) {
        return slice_of(room, (size_t)(put_v4(room, ip->bytes) - room));
    }
    if (ip->family == IP_V6) {
        return slice_of(room, (size_t)(put_v6(room, ip->bytes) - room));
    }
    return (struct slice){0};
}

struct slice ip_port_text(const struct ip_port *addr, char room[IP_PORT_TEXT_MAX])
{
    bool is_v6 = addr->ip.family == IP_V6;
    char *to = room;

    if (is_v6) {
        *to++ = '[';
    }
    to += ip_text(&addr->ip, to).len;
    if (is_v6) {
        *to++ = ']';
    }
    *to++ = ':';
    to = digits_put_u64(to, addr->port);
    return slice_of(room, (size_t)(to - room));
}

void ip_put(struct buf *out, const struct ip *ip)
{
    buf_reserve(out, IP_TEXT_MAX);
    out->len += ip_text(ip, out->ptr + out->len).len;
}

void ip_port_put(struct buf *out, const struct ip_port *addr)
{
    buf_reserve(out, IP_PORT_TEXT_MAX);
    out->len += ip_port_text(addr, out->ptr + out->len).len;
}

void ip_net_put(struct buf *out, const struct ip_net *net)
{
    ip_put(out, &net->ip);
    buf_char(out, '/');
    buf_u64(out, net->prefix_len);
}
