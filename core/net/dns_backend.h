/*
 * dns_backend - the resolver's seam: a query goes in, the name server's raw answer comes out.
 *
 * What stands behind it knows servers, retries, EDNS and TCP; what stands before it knows
 * records, caches and mail. dns_cares.c asks the network, dns_zone.c answers from a table,
 * tests and the simulator bring their own.
 *
 * Owner     one shard. A query is a field of whoever asks and stays until done() or cancel.
 * Blocking  never; done() runs from the loop, not inside query().
 * Input     the answer's bytes are the peer's: nothing in them is checked but that the id and
 *           the question match.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/slice.h"

enum dns_status {
#define DNS_STATUS(name, text, transient) LOOKUP_##name,
#include "core/net/dns_status.def"
#undef DNS_STATUS
    LOOKUP_STATUS_COUNT
};

const char *dns_status_text(enum dns_status status);
/* True: another attempt may end differently. */
bool dns_status_transient(enum dns_status status);

struct dns_query;

/* With LOOKUP_OK `message` is a whole DNS message, whatever its response code; borrowed for the
 * call. Otherwise nobody answered, or the servers' refusal came without one. */
typedef void dns_query_fn(struct dns_query *q, enum dns_status status, struct slice message);

struct dns_query {
    dns_query_fn *done;
    void *pending; /* the backend's while the query is under way, NULL otherwise */
};

struct dns_backend {
    const char *name;
    /* `name` is ASCII text without zero bytes, with or without the root dot; copied. */
    void (*query)(struct dns_backend *b, struct slice name, uint16_t type, struct dns_query *q);
    /* done() will not run. A query that is not under way is accepted. */
    void (*cancel)(struct dns_backend *b, struct dns_query *q);
    /* No query may be under way. Frees itself when its last operation has left the ring; not
     * to be called from done(). */
    void (*close)(struct dns_backend *b);
};
