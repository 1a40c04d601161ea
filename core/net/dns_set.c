/* Building and copying of record sets; reading them off the wire is dns_set_read.c. */
#include "core/net/dns_set.h"

#include "core/base/check.h"
#include "core/base/mem.h"

static struct dns_set *set_new(uint16_t type, enum dns_status status, uint32_t rr_count,
                               size_t bytes_len)
{
    const size_t size =
        sizeof(struct dns_set) + (size_t)rr_count * sizeof(struct dns_rr) + bytes_len;
    struct dns_set *set = mem_take_zero(size);

    MUST(size < UINT32_MAX);
    set->refs = 1;
    set->size = (uint32_t)size;
    set->rr_count = rr_count;
    set->type = type;
    set->status = (uint8_t)status;
    return set;
}

struct dns_set *dns_set_empty(uint16_t type, enum dns_status status)
{
    MUST(status != LOOKUP_OK);
    return set_new(type, status, 0, 0);
}

struct dns_set *dns_set_copy(const struct dns_set *set)
{
    struct dns_set *copy = mem_copy(set, set->size);

    copy->refs = 1;
    return copy;
}

void dns_set_unref(struct dns_set *set)
{
    if (set != NULL) {
        MUST(set->refs > 0);
        if (--set->refs == 0) {
            mem_give(set);
        }
    }
}

struct ip dns_rr_ip(const struct dns_set *set, uint32_t i)
{
    const struct slice bytes = dns_rr_bytes(set, i);
    struct ip ip = {.family = set->type == DNS_A ? IP_V4 : IP_V6};

    MUST(bytes.len == (ip.family == IP_V4 ? 4u : 16u));
    memcpy(ip.bytes, bytes.ptr, bytes.len);
    return ip;
}

bool dns_set_add(struct dns_set_builder *b, uint16_t pref, struct slice bytes)
{
    const struct dns_rr rr = {
        .at = (uint32_t)b->bytes.len, .len = (uint32_t)bytes.len, .pref = pref};

    if (b->records.len / sizeof(rr) >= DNS_SET_RR_MAX ||
        bytes.len > DNS_SET_BYTES_MAX - b->bytes.len) {
        return false;
    }
    buf_append(&b->records, &rr, sizeof(rr));
    buf_put(&b->bytes, bytes);
    return true;
}

struct dns_set *dns_set_build(struct dns_set_builder *b, uint16_t type)
{
    const uint32_t count = (uint32_t)(b->records.len / sizeof(struct dns_rr));
    struct dns_set *set = set_new(type, count > 0 ? LOOKUP_OK : LOOKUP_NODATA, count, b->bytes.len);

    if (count > 0) {
        memcpy(set->rr, b->records.ptr, b->records.len);
        if (b->bytes.len > 0) {
            memcpy(&set->rr[count], b->bytes.ptr, b->bytes.len);
        }
    }
    dns_set_builder_free(b);
    return set;
}

void dns_set_builder_free(struct dns_set_builder *b)
{
    buf_free(&b->records);
    buf_free(&b->bytes);
}
