/*
 * dns_config - what a policy says about a resolver (configure_resolver, define_resolver).
 *
 *     {name_servers = {"10.0.0.1", "10.0.0.1:5353", {socket_addr = "[::1]:53"}},
 *      domain = "...", search = {...}, options = {timeout = "5s", attempts = 2, ...}}
 *
 * Every name this project asks for is absolute, so domain, search and ndots are accepted and
 * change nothing; the same holds for options that only tune the reference's resolver. They are
 * rows of dns_options.def, which says which is which.
 *
 * Memory    dns_config_free() gives the server list back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/net/dns_cares.h"
#include "core/net/dns_set.h"

struct json;

struct dns_config {
    struct buf servers; /* what dns_cares_params.servers points to */
    struct dns_cares_params cares;
    struct dns_ttl_bounds ttl;
    bool use_hosts_file;
    bool validate; /* trust what the name server says it validated */
};

#define DNS_CONFIG_DEFAULT {.ttl = DNS_TTL_BOUNDS_DEFAULT, .use_hosts_file = true}

/* On failure `why` names the key. A key nobody knows is a failure. */
NODISCARD bool dns_config_read(const struct json *spec, struct dns_config *out, struct buf *why);
void dns_config_free(struct dns_config *config);
/* What dns_cares_open() takes; borrowed from the config. */
struct dns_cares_params dns_config_cares(const struct dns_config *config);
