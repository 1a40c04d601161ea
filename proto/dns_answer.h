/*
 * dns_answer - a raw DNS answer (RFC 1035 4) to records.
 *
 * What is kept is what answers the question: from its name along the CNAMEs of the answer section
 * to the records of the asked type. Names are in presentation form: lower case, with the final dot
 * ("mx.example.com.", "." for the root), bytes other than printable ASCII as \ddd, a dot inside a
 * label as \.
 *
 * Memory    two buffers, reused by the next parse; dns_answer_free() gives them back.
 * Limits    the input's size; names 255 bytes on the wire; DNS_ANSWER_CHAIN_MAX aliases.
 * Errors    dns_answer_err.def. The answer is then empty.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/ip.h"
#include "core/base/slice.h"

#define DNS_ANSWER_CHAIN_MAX 16u

enum dns_type {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_PTR = 12,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_TLSA = 52,
};

enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
};

enum dns_answer_err {
    DNS_ANSWER_OK = 0,
#define DNS_ANSWER_ERR(name, text) DNS_ANSWER_E_##name,
#include "proto/dns_answer_err.def"
#undef DNS_ANSWER_ERR
    DNS_ANSWER_ERR_COUNT
};

/* One record of the asked type. */
struct dns_record {
    uint16_t preference; /* MX */
    struct ip ip;        /* A, AAAA */
    uint32_t text_at;    /* MX, PTR, NS, CNAME: a name; TXT: its strings joined; */
    uint32_t text_len;   /* other types: the bytes of the record's data */
};

struct dns_answer {
    struct buf records; /* struct dns_record[], in the answer's order */
    struct buf text;
    uint32_t name_len;  /* the question's name is the front of text */
    uint32_t canonical_at, canonical_len; /* where the aliases end; the question's name without */
    uint32_t ttl_s;     /* records: the least on the way to them; none: RFC 2308, 0 without SOA */
    uint16_t type;      /* as asked */
    uint16_t rcode;     /* enum dns_rcode or beyond */
    bool is_secure;     /* AD */
    bool is_truncated;  /* TC: ask again over TCP */
    bool is_alias;      /* at least one CNAME was followed */
};

void dns_answer_free(struct dns_answer *a);

/* `out` is {0} or a former answer. */
NODISCARD enum dns_answer_err dns_answer_parse(struct slice wire, struct dns_answer *out);
const char *dns_answer_err_text(enum dns_answer_err err);
/* "NXDOMAIN", "SERVFAIL", ...; "RCODE" for what has no name. */
const char *dns_rcode_text(uint16_t rcode);

static inline size_t dns_answer_count(const struct dns_answer *a)
{
    return a->records.len / sizeof(struct dns_record);
}
/* Borrowed until the next parse. */
const struct dns_record *dns_answer_record(const struct dns_answer *a, size_t i);
struct slice dns_answer_text(const struct dns_answer *a, const struct dns_record *r);
struct slice dns_answer_name(const struct dns_answer *a);
struct slice dns_answer_canonical(const struct dns_answer *a);

/* Appends the name to ask PTR of: "4.3.2.1.in-addr.arpa.", "...ip6.arpa." */
void dns_reverse_put(struct buf *out, const struct ip *ip);
