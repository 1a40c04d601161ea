#include "proto/dns_answer.h"

#include <string.h>

#include "core/base/hash.h"

#define NAME_WIRE_MAX 255u
#define NAME_POINTERS_MAX 127u /* as many as labels; a chain of pointers without labels is long */
#define CLASS_IN 1u

static const char *const err_text[DNS_ANSWER_ERR_COUNT] = {
    [DNS_ANSWER_OK] = "",
#define DNS_ANSWER_ERR(name, text) [DNS_ANSWER_E_##name] = text,
#include "proto/dns_answer_err.def"
#undef DNS_ANSWER_ERR
};

const char *dns_answer_err_text(enum dns_answer_err err)
{
    MUST(err < DNS_ANSWER_ERR_COUNT);
    return err_text[err];
}

const char *dns_rcode_text(uint16_t rcode)
{
    static const char *const names[] = {"NOERROR", "FORMERR", "SERVFAIL",
                                        "NXDOMAIN", "NOTIMP", "REFUSED"};

    return rcode < ARRAY_COUNT(names) ? names[rcode] : "RCODE";
}

void dns_answer_free(struct dns_answer *a)
{
    buf_free(&a->records);
    buf_free(&a->text);
    *a = (struct dns_answer){0};
}

const struct dns_record *dns_answer_record(const struct dns_answer *a, size_t i)
{
    MUST(i < dns_answer_count(a));
    return (const struct dns_record *)(const void *)a->records.ptr + i;
}

static struct slice text_at(const struct dns_answer *a, uint32_t at, uint32_t len)
{
    return len != 0 ? slice_of(a->text.ptr + at, len) : SLICE("");
}

struct slice dns_answer_text(const struct dns_answer *a, const struct dns_record *r)
{
    return text_at(a, r->text_at, r->text_len);
}

struct slice dns_answer_name(const struct dns_answer *a)
{
    return text_at(a, 0, a->name_len);
}

struct slice dns_answer_canonical(const struct dns_answer *a)
{
    return text_at(a, a->canonical_at, a->canonical_len);
}

/* ---- the wire ---- */

/* A place in the answer. Every read checks; once one has failed all later ones do. */
struct reader {
    struct slice wire;
    size_t at;
    size_t end;
    bool ok;
};

static bool has(struct reader *r, size_t n)
{
    r->ok = r->ok && r->end - r->at >= n;
    return r->ok;
}

static uint16_t read_u16(struct reader *r)
{
    const uint8_t *p;

    if (!has(r, 2)) {
        return 0;
    }
    p = (const uint8_t *)r->wire.ptr + r->at;
    r->at += 2;
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t read_u32(struct reader *r)
{
    uint32_t high = read_u16(r);

    return high << 16 | read_u16(r);
}

static void put_label(struct buf *out, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] == '.' || p[i] == '\\') {
            buf_char(out, '\\');
            buf_char(out, (char)p[i]);
        } else if (p[i] > ' ' && p[i] < 0x7f) {
            buf_char(out, char_lower((char)p[i]));
        } else {
            buf_char(out, '\\');
            buf_char(out, (char)('0' + p[i] / 100));
            buf_char(out, (char)('0' + p[i] / 10 % 10));
            buf_char(out, (char)('0' + p[i] % 10));
        }
    }
    buf_char(out, '.');
}

/* Appends the name at `at`. Answers the offset behind it, 0 when it is malformed. A pointer must
 * lead to before everything read so far, so each one makes the rest shorter: no loops. */
static size_t put_name(struct slice wire, size_t at, size_t end, struct buf *out)
{
    const uint8_t *p = (const uint8_t *)wire.ptr;
    size_t start = out->len;
    size_t lowest = at, behind = 0, wire_len = 1, pointers = 0;

    for (;;) {
        if (at >= end) {
            return 0;
        }
        if (p[at] == 0) {
            if (out->len == start) {
                buf_char(out, '.');
            }
            return behind != 0 ? behind : at + 1;
        }
        if (p[at] >= 0xc0) {
            size_t target;

            if (end - at < 2) {
                return 0;
            }
            target = (size_t)(p[at] & 0x3f) << 8 | p[at + 1];
            if (target >= lowest || ++pointers > NAME_POINTERS_MAX) {
                return 0;
            }
            behind = behind != 0 ? behind : at + 2;
            lowest = target;
            at = target;
            end = wire.len;
            continue;
        }
        wire_len += p[at] + 1u;
        if (p[at] > 63 || end - at <= p[at] || wire_len > NAME_WIRE_MAX) {
            return 0;
        }
        put_label(out, p + at + 1, p[at]);
        at += p[at] + 1u;
    }
}

/* ---- records ---- */

struct resource {
    uint64_t owner_hash; /* of the presentation form; the answer is one peer's word throughout, so
                          * a forged collision gains nothing over a forged record */
    uint16_t type, class;
    uint32_t ttl_s;
    size_t data_at, data_end; /* in the wire */
};

struct parser {
    struct dns_answer *out;
    struct reader in;
    enum dns_answer_err err;
};

static bool fail(struct parser *p, enum dns_answer_err err)
{
    if (p->err == DNS_ANSWER_OK) {
        p->err = err;
    }
    p->in.ok = false;
    return false;
}

static bool read_name(struct parser *p, uint32_t *at_out, uint32_t *len_out)
{
    size_t behind;

    *at_out = (uint32_t)p->out->text.len;
    behind = put_name(p->in.wire, p->in.at, p->in.end, &p->out->text);
    if (behind == 0) {
        return fail(p, DNS_ANSWER_E_NAME);
    }
    p->in.at = behind;
    *len_out = (uint32_t)(p->out->text.len - *at_out);
    return true;
}

static bool read_resource(struct parser *p, struct resource *r)
{
    struct dns_answer *a = p->out;
    uint32_t owner_at, owner_len;
    uint16_t data_len;

    if (!read_name(p, &owner_at, &owner_len)) {
        return false;
    }
    r->owner_hash = hash64(a->text.ptr + owner_at, owner_len, 0);
    a->text.len = owner_at; /* only names that are asked for are kept */
    r->type = read_u16(&p->in);
    r->class = read_u16(&p->in);
    r->ttl_s = read_u32(&p->in);
    data_len = read_u16(&p->in);
    if (!has(&p->in, data_len)) {
        return fail(p, DNS_ANSWER_E_TRUNCATED);
    }
    if (r->ttl_s > INT32_MAX) {
        r->ttl_s = 0; /* RFC 2181 8 */
    }
    r->data_at = p->in.at;
    r->data_end = p->in.at + data_len;
    p->in.at = r->data_end;
    return true;
}

static void least_ttl(struct dns_answer *a, uint32_t ttl_s)
{
    a->ttl_s = ttl_s < a->ttl_s ? ttl_s : a->ttl_s;
}

/* The one name a record consists of must fill it. */
static bool data_name(struct parser *p, size_t at, size_t end, struct dns_record *record)
{
    record->text_at = (uint32_t)p->out->text.len;
    if (put_name(p->in.wire, at, end, &p->out->text) != end) {
        return fail(p, DNS_ANSWER_E_RDATA);
    }
    record->text_len = (uint32_t)(p->out->text.len - record->text_at);
    return true;
}

static bool data_strings(struct parser *p, const struct resource *r, struct dns_record *record)
{
    const uint8_t *bytes = (const uint8_t *)p->in.wire.ptr;

    record->text_at = (uint32_t)p->out->text.len;
    for (size_t at = r->data_at; at < r->data_end; at += bytes[at] + 1u) {
        if (r->data_end - at <= bytes[at]) {
            return fail(p, DNS_ANSWER_E_RDATA);
        }
        buf_append(&p->out->text, bytes + at + 1, bytes[at]);
    }
    record->text_len = (uint32_t)(p->out->text.len - record->text_at);
    return true;
}

static bool data_ip(struct parser *p, const struct resource *r, struct dns_record *record)
{
    size_t len = r->type == DNS_A ? 4 : 16;

    if (r->data_end - r->data_at != len) {
        return fail(p, DNS_ANSWER_E_RDATA);
    }
    record->ip.family = r->type == DNS_A ? IP_V4 : IP_V6;
    memcpy(record->ip.bytes, p->in.wire.ptr + r->data_at, len);
    return true;
}

static bool data_mx(struct parser *p, const struct resource *r, struct dns_record *record)
{
    const uint8_t *bytes = (const uint8_t *)p->in.wire.ptr + r->data_at;

    if (r->data_end - r->data_at < 3) {
        return fail(p, DNS_ANSWER_E_RDATA);
    }
    record->preference = (uint16_t)(bytes[0] << 8 | bytes[1]);
    return data_name(p, r->data_at + 2, r->data_end, record);
}

static bool read_data(struct parser *p, const struct resource *r, struct dns_record *record)
{
    *record = (struct dns_record){0};
    switch (r->type) {
    case DNS_A:
    case DNS_AAAA:
        return data_ip(p, r, record);
    case DNS_MX:
        return data_mx(p, r, record);
    case DNS_NS:
    case DNS_CNAME:
    case DNS_PTR:
        return data_name(p, r->data_at, r->data_end, record);
    case DNS_TXT:
        return data_strings(p, r, record);
    default:
        record->text_at = (uint32_t)p->out->text.len;
        buf_append(&p->out->text, p->in.wire.ptr + r->data_at, r->data_end - r->data_at);
        record->text_len = (uint32_t)(p->out->text.len - record->text_at);
        return true;
    }
}

/* ---- sections ---- */

/* Takes the records of the asked type that belong to the current name, up to an alias of it. */
static bool scan_answers(struct parser *p, const struct resource *resources, size_t count,
                         bool *alias_out)
{
    struct dns_answer *a = p->out;
    struct slice current = dns_answer_canonical(a);
    uint64_t owner_hash = hash64_slice(current, 0);
    struct dns_record record;

    *alias_out = false;
    for (size_t i = 0; i < count; i++) {
        const struct resource *r = &resources[i];

        if (r->owner_hash != owner_hash || r->class != CLASS_IN ||
            (r->type != a->type && r->type != DNS_CNAME)) {
            continue;
        }
        if (!read_data(p, r, &record)) {
            return false;
        }
        least_ttl(a, r->ttl_s);
        if (r->type != a->type) {
            a->is_alias = true;
            a->canonical_at = record.text_at;
            a->canonical_len = record.text_len;
            *alias_out = true;
            return true;
        }
        buf_append(&a->records, &record, sizeof(record));
    }
    return true;
}

/* Records of an alias may stand before or after it, so each hop looks at all of them; names are
 * decoded once, however many hops there are. */
static bool read_answers(struct parser *p, uint16_t count, struct buf *resources)
{
    const struct resource *all;
    bool has_alias = true;

    for (uint16_t i = 0; i < count; i++) {
        struct resource r;

        if (!read_resource(p, &r)) {
            return false;
        }
        buf_append(resources, &r, sizeof(r));
    }
    all = (const struct resource *)(const void *)resources->ptr;
    /* A name may have other records beside its alias: what was asked for is there then. */
    for (unsigned hops = 0; has_alias && dns_answer_count(p->out) == 0; hops++) {
        if (hops > DNS_ANSWER_CHAIN_MAX) {
            return fail(p, DNS_ANSWER_E_CHAIN);
        }
        if (!scan_answers(p, all, count, &has_alias)) {
            return false;
        }
    }
    return true;
}

/* RFC 2308 5: the lesser of the SOA's own TTL and its last field. */
static bool negative_ttl(struct parser *p, uint16_t count)
{
    struct dns_answer *a = p->out;
    struct resource r;

    for (uint16_t i = 0; i < count; i++) {
        const uint8_t *last;

        if (!read_resource(p, &r)) {
            return false;
        }
        if (r.type != DNS_SOA || r.class != CLASS_IN) {
            continue;
        }
        if (r.data_end - r.data_at < 22) {
            return fail(p, DNS_ANSWER_E_RDATA);
        }
        last = (const uint8_t *)p->in.wire.ptr + r.data_end - 4;
        least_ttl(a, r.ttl_s);
        least_ttl(a, (uint32_t)last[0] << 24 | (uint32_t)last[1] << 16 | (uint32_t)last[2] << 8 |
                         last[3]);
        return true;
    }
    a->ttl_s = 0;
    return true;
}

static bool read_question(struct parser *p, uint16_t count)
{
    struct dns_answer *a = p->out;
    uint32_t at;

    if (count == 0 && a->rcode != DNS_NOERROR) {
        return true; /* a refusal may come bare */
    }
    if (count != 1) {
        return fail(p, DNS_ANSWER_E_QUESTION);
    }
    if (!read_name(p, &at, &a->name_len)) {
        return false;
    }
    a->canonical_len = a->name_len;
    a->type = read_u16(&p->in);
    (void)read_u16(&p->in);
    return p->in.ok || fail(p, DNS_ANSWER_E_TRUNCATED);
}

static bool parse(struct parser *p)
{
    struct dns_answer *a = p->out;
    uint16_t flags, question_count, answer_count, authority_count;
    struct buf resources = {0};
    bool ok;

    (void)read_u16(&p->in); /* the id was checked by whoever matched the answer to its query */
    flags = read_u16(&p->in);
    question_count = read_u16(&p->in);
    answer_count = read_u16(&p->in);
    authority_count = read_u16(&p->in);
    (void)read_u16(&p->in);
    if (!p->in.ok) {
        return fail(p, DNS_ANSWER_E_TRUNCATED);
    }
    a->rcode = flags & 0xf;
    a->is_truncated = (flags & 0x0200) != 0;
    a->is_secure = (flags & 0x0020) != 0;
    a->ttl_s = UINT32_MAX;
    if (!read_question(p, question_count)) {
        return false;
    }
    ok = read_answers(p, answer_count, &resources);
    buf_free(&resources);
    return ok && (dns_answer_count(a) != 0 || negative_ttl(p, authority_count));
}

enum dns_answer_err dns_answer_parse(struct slice wire, struct dns_answer *out)
{
    struct parser p = {.out = out, .in = {.wire = wire, .end = wire.len, .ok = true}};
    struct buf records = out->records, text = out->text;

    buf_clear(&records);
    buf_clear(&text);
    *out = (struct dns_answer){.records = records, .text = text};
    if (!parse(&p)) {
        buf_clear(&out->records);
        buf_clear(&out->text);
        out->name_len = out->canonical_at = out->canonical_len = out->ttl_s = 0;
    }
    return p.err;
}

/* ---- reverse names ---- */

void dns_reverse_put(struct buf *out, const struct ip *ip)
{
    static const char digits[] = "0123456789abcdef";

    if (ip->family == IP_V4) {
        for (unsigned i = 4; i-- > 0;) {
            buf_u64(out, ip->bytes[i]);
            buf_char(out, '.');
        }
        BUF_LIT(out, "in-addr.arpa.");
        return;
    }
    for (unsigned i = 16; i-- > 0;) {
        char nibbles[4] = {digits[ip->bytes[i] & 15], '.', digits[ip->bytes[i] >> 4], '.'};

        buf_append(out, nibbles, sizeof(nibbles));
    }
    BUF_LIT(out, "ip6.arpa.");
}
