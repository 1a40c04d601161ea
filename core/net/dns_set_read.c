/* From a parsed answer to a record set: status, lifetime, records. */
#include "core/base/check.h"
#include "core/net/dns_set.h"

#define NS_PER_S 1000000000u
#define NEGATIVE_TTL_S 60u          /* of an answer that does not say */
#define SCRATCH_KEPT_MAX (64u << 10) /* one huge answer must not stay in memory */

static enum dns_status status_of(const struct dns_answer *a, uint16_t type)
{
    switch (a->rcode) {
    case DNS_NOERROR:
        return a->type == type ? LOOKUP_OK : LOOKUP_MALFORMED;
    case DNS_NXDOMAIN:
        return LOOKUP_NXDOMAIN;
    case DNS_SERVFAIL:
        return LOOKUP_SERVFAIL;
    case DNS_REFUSED:
        return LOOKUP_REFUSED;
    case DNS_FORMERR:
        return LOOKUP_FORMERR;
    case DNS_NOTIMP:
        return LOOKUP_NOTIMP;
    default:
        return LOOKUP_RCODE;
    }
}

static uint32_t clamp(uint32_t v, uint32_t lo, uint32_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static struct dns_set *records_take(const struct dns_answer *a, uint16_t type)
{
    struct dns_set_builder b = {0};

    for (size_t i = 0; i < dns_answer_count(a); i++) {
        const struct dns_record *r = dns_answer_record(a, i);
        const struct slice bytes =
            type == DNS_A      ? slice_of(r->ip.bytes, 4)
            : type == DNS_AAAA ? slice_of(r->ip.bytes, 16)
                               : dns_answer_text(a, r);

        if (!dns_set_add(&b, r->preference, bytes)) {
            dns_set_builder_free(&b);
            return dns_set_empty(type, LOOKUP_MALFORMED);
        }
    }
    return dns_set_build(&b, type);
}

struct dns_set *dns_set_read(struct slice message, uint16_t type,
                             const struct dns_ttl_bounds *bounds, uint64_t now_ns,
                             struct dns_answer *scratch)
{
    enum dns_status status = LOOKUP_MALFORMED;
    struct dns_set *set;
    uint32_t ttl_s = 0;

    if (dns_answer_parse(message, scratch) == DNS_ANSWER_OK) {
        status = status_of(scratch, type);
    }
    set = status == LOOKUP_OK ? records_take(scratch, type) : dns_set_empty(type, status);
    if (set->status == LOOKUP_OK) {
        ttl_s = clamp(scratch->ttl_s, bounds->positive_min_s, bounds->positive_max_s);
    } else if (set->status == LOOKUP_NODATA || set->status == LOOKUP_NXDOMAIN) {
        ttl_s = clamp(scratch->ttl_s != 0 ? scratch->ttl_s : NEGATIVE_TTL_S,
                      bounds->negative_min_s, bounds->negative_max_s);
    }
    set->expires_ns = ttl_s != 0 ? now_ns + (uint64_t)ttl_s * NS_PER_S : 0;
    set->secure = scratch->is_secure;
    if (scratch->text.cap + scratch->records.cap > SCRATCH_KEPT_MAX) {
        dns_answer_free(scratch);
    }
    return set;
}
