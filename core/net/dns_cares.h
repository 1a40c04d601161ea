/*
 * dns_cares - asks name servers over the network; the only user of c-ares.
 *
 * One channel per shard. Its sockets are watched with polls of the ring and its timeouts by a
 * timer of the shard; c-ares itself opens sockets and reads the clock, which is why the seam of
 * the simulator lies above it (dns_backend.h).
 *
 * Owner     the shard; opened and closed on the thread that sets shards up or on its own.
 * Blocking  dns_cares_open() reads /etc/resolv.conf; nothing later blocks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

struct dns_backend;
struct shard;

struct dns_cares_params {
    struct slice servers; /* "127.0.0.1:5353,[::1],9.9.9.9"; empty: those of resolv_conf */
    const char *resolv_conf; /* NULL: /etc/resolv.conf */
    uint32_t timeout_ms;  /* of one attempt; 0: 5000 */
    uint32_t attempts;    /* per server; 0: 2 */
    bool edns_off;
    bool tcp_only;
    bool rotate;          /* spread questions over the servers instead of preferring the first */
    bool ask_validated;   /* sets AD, so that a validating server says what it validated */
};

/* On failure `why` says what is wrong with the servers. */
NODISCARD bool dns_cares_open(struct shard *shard, const struct dns_cares_params *params,
                              struct dns_backend **out, struct buf *why);
