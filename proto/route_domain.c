#include "proto/route_domain.h"

static bool parse_port(struct slice text, uint16_t *out)
{
    uint64_t value;

    if (text.len > 5 || !slice_to_u64(text, &value) || value > UINT16_MAX) {
        return false;
    }
    *out = (uint16_t)value;
    return true;
}

/* Exactly one colon and a number after it make a port; anything else belongs to the name. */
static void parse_name(struct slice text, struct route_domain *out)
{
    size_t colon = slice_find_char(text, ':');
    struct slice tail = slice_from(text, colon + 1);

    out->name = text;
    if (colon < text.len && slice_find_char(tail, ':') == tail.len &&
        parse_port(tail, &out->port)) {
        out->name = slice_head(text, colon);
        out->has_port = true;
    }
}

static bool parse_address(struct slice inside, struct route_domain *out)
{
    struct slice tag = SLICE("IPv6:");
    struct ip_port with_port;

    if (slice_starts_nocase(inside, tag)) {
        return ip_parse(slice_from(inside, tag.len), &out->ip) && out->ip.family == IP_V6;
    }
    if (ip_parse(inside, &out->ip)) {
        return true;
    }
    if (!ip_port_parse(inside, &with_port) || with_port.ip.family != IP_V4) {
        return false;
    }
    out->ip = with_port.ip;
    out->port = with_port.port;
    out->has_port = true;
    return true;
}

bool route_domain_parse(struct slice text, struct route_domain *out, const char **why_out)
{
    size_t close = slice_find_char(text, ']');
    struct slice rest;

    *out = (struct route_domain){0};
    if (text.len == 0) {
        *why_out = "empty domain name";
        return false;
    }
    if (text.ptr[0] != '[') {
        parse_name(text, out);
        return true;
    }
    if (close == text.len) {
        *why_out = "domain literal lacks its closing bracket";
        return false;
    }
    out->is_literal = true;
    if (!parse_address(slice_of(text.ptr + 1, close - 1), out)) {
        *why_out = "domain literal is not an IP address";
        return false;
    }
    rest = slice_from(text, close + 1);
    if (rest.len == 0) {
        return true;
    }
    if (out->has_port || rest.ptr[0] != ':' || !parse_port(slice_from(rest, 1), &out->port)) {
        *why_out = "domain literal is followed by what is not its port";
        return false;
    }
    out->has_port = true;
    return true;
}

void route_domain_site_put(struct buf *out, const struct route_domain *literal)
{
    struct ip_port with_port = {literal->ip, literal->port};

    MUST(literal->is_literal);
    if (literal->has_port) {
        ip_port_put(out, &with_port);
    } else {
        ip_put(out, &literal->ip);
    }
}
