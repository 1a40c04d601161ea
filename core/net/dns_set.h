/*
 * dns_set - the records of one name and type, or why there are none. One flat block.
 *
 * Owner     one shard counts the references. A copy may travel to another shard, which then
 *           counts its own.
 * Memory    one allocation; DNS_SET_RR_MAX records, DNS_SET_BYTES_MAX bytes of them.
 * Units     expires_ns is the ring's monotonic clock, which all shards share.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/ip.h"
#include "core/base/slice.h"
#include "core/net/dns_backend.h"
#include "proto/dns_answer.h"

#define DNS_SET_RR_MAX 1024u
#define DNS_SET_BYTES_MAX 131072u

struct dns_rr {
    uint32_t at, len; /* of the bytes that follow the records */
    uint16_t pref;    /* DNS_MX */
};

struct dns_set {
    uint32_t refs;
    uint32_t size; /* of the whole block */
    uint32_t rr_count;
    uint16_t type;
    uint8_t status; /* enum dns_status; LOOKUP_OK exactly when rr_count > 0 */
    bool secure;    /* the name server validated the answer, and we were told to trust it */
    uint64_t expires_ns;
    uint64_t elapsed_ns; /* between question and answer */
    struct dns_rr rr[];
};

/* A set without records. */
struct dns_set *dns_set_empty(uint16_t type, enum dns_status status);
struct dns_set *dns_set_copy(const struct dns_set *set); /* with one reference */
void dns_set_unref(struct dns_set *set); /* NULL is accepted */

static inline struct dns_set *dns_set_ref(struct dns_set *set)
{
    set->refs++;
    return set;
}

/* A and AAAA: the address in network order. MX and PTR: the kept form of the name. TXT: all
 * strings of the record run together. TLSA: the record's data as on the wire. */
static inline struct slice dns_rr_bytes(const struct dns_set *set, uint32_t i)
{
    return slice_of((const char *)&set->rr[set->rr_count] + set->rr[i].at, set->rr[i].len);
}

struct ip dns_rr_ip(const struct dns_set *set, uint32_t i);

/* Collects records, then becomes a set. {0} to begin with. */
struct dns_set_builder {
    struct buf records; /* struct dns_rr */
    struct buf bytes;
};

/* False when a bound is reached; the answer is then to be refused as a whole. */
NODISCARD bool dns_set_add(struct dns_set_builder *b, uint16_t pref, struct slice bytes);
/* LOOKUP_NODATA when nothing was added. Leaves the builder empty. */
struct dns_set *dns_set_build(struct dns_set_builder *b, uint16_t type);
void dns_set_builder_free(struct dns_set_builder *b);

/* What the clock and the knobs say about how long a set may be kept. */
struct dns_ttl_bounds {
    uint32_t positive_min_s, positive_max_s;
    uint32_t negative_min_s, negative_max_s;
};
#define DNS_TTL_BOUNDS_DEFAULT {1, 86400, 1, 86400}

/* Reads a raw answer to a question for `type`. Never NULL; a message that makes no sense is
 * LOOKUP_MALFORMED, a response code other than NOERROR and NXDOMAIN a status of its own.
 * expires_ns is set when the answer says how long it lives, 0 when the lookup failed. `scratch`
 * is {0} or a former one. */
struct dns_set *dns_set_read(struct slice message, uint16_t type,
                             const struct dns_ttl_bounds *bounds, uint64_t now_ns,
                             struct dns_answer *scratch);
