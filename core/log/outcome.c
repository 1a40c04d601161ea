/*
 * Version 1:
 *
 *   u8 version, u8 type, varint of presence bits (OUTCOME_*, then the strings of
 *   outcome_fields.def from bit 8), varint event time in ns, then what is present: strings in
 *   their order; code; enhanced code; attempts; session id; recipients (count, then runs).
 *
 * A string begins with a varint: size * 4 + 0 and bytes, word * 4 + 1, or for an address 2
 * (family 4 or 6, then its bytes) and 3 (the same with a port).
 */
#include "core/log/outcome.h"

#include "core/base/ip.h"
#include "core/message/varint.h"

#define OUTCOME_VERSION 1
#define RECIPIENTS_MAX 65536u

enum {
#define OUTCOME_FIELD(field, kind) FIELD_##field,
#include "core/log/outcome_fields.def"
#undef OUTCOME_FIELD
    FIELD_COUNT
};

/* Presence bits. */
#define OUTCOME_HAS_CODE (UINT64_C(1) << 0)
#define OUTCOME_HAS_ENHANCED (UINT64_C(1) << 1)
#define OUTCOME_HAS_ATTEMPTS (UINT64_C(1) << 2)
#define OUTCOME_HAS_SESSION (UINT64_C(1) << 3)
#define OUTCOME_HAS_RECIPIENTS (UINT64_C(1) << 4)
#define OUTCOME_PEER_IS_SECURE (UINT64_C(1) << 5)
/* The site begins with the source and "->", or ends in "@smtp_client": not written again. */
#define OUTCOME_SITE_HAS_SOURCE (UINT64_C(1) << 6)
#define OUTCOME_SITE_HAS_SMTP (UINT64_C(1) << 7)
#define HAS_FIELD(field) (UINT64_C(1) << (8 + (field)))
#define OUTCOME_BITS_END HAS_FIELD(FIELD_COUNT)

static const struct slice site_arrow = SLICE_INIT("->");
static const struct slice site_smtp = SLICE_INIT("@smtp_client");

enum { FORM_BYTES, FORM_WORD, FORM_IP, FORM_IP_PORT };

static const struct slice words[] = {
#define OUTCOME_WORD(text) SLICE_INIT(text),
#include "core/log/outcome_words.def"
#undef OUTCOME_WORD
};

enum field_kind { KIND_BYTES, KIND_WORD, KIND_ADDRESS };

static const uint8_t field_kinds[FIELD_COUNT] = {
#define OUTCOME_FIELD(field, kind) [FIELD_##field] = KIND_##kind,
#include "core/log/outcome_fields.def"
#undef OUTCOME_FIELD
};

static const uint16_t field_offsets[FIELD_COUNT] = {
#define OUTCOME_FIELD(field, kind) [FIELD_##field] = offsetof(struct log_record, field),
#include "core/log/outcome_fields.def"
#undef OUTCOME_FIELD
};

static inline const struct slice *field_of(const struct log_record *r, unsigned field)
{
    return (const struct slice *)(const void *)((const char *)r + field_offsets[field]);
}

/* ---- writing ---- */

static uint64_t presence(const struct log_record *r)
{
    uint64_t has = 0;

    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        has |= field_of(r, i)->ptr != NULL ? HAS_FIELD(i) : 0;
    }
    has |= r->code != 0 ? OUTCOME_HAS_CODE : 0;
    has |= r->enhanced.class != 0 ? OUTCOME_HAS_ENHANCED : 0;
    has |= r->num_attempts != 0 ? OUTCOME_HAS_ATTEMPTS : 0;
    has |= r->session_id != NULL ? OUTCOME_HAS_SESSION : 0;
    has |= r->recipients != NULL ? OUTCOME_HAS_RECIPIENTS : 0;
    has |= r->peer_is_secure ? OUTCOME_PEER_IS_SECURE : 0;
    return has;
}

static void put_ip(struct buf *out, const struct ip *ip)
{
    buf_char(out, (char)ip->family);
    buf_append(out, ip->bytes, ip->family == IP_V4 ? 4 : 16);
}

static void put_address(struct buf *out, const struct ip_port *addr, bool has_port)
{
    varint_put(out, has_port ? FORM_IP_PORT : FORM_IP);
    put_ip(out, &addr->ip);
    if (has_port) {
        buf_char(out, (char)addr->port);
        buf_char(out, (char)(addr->port >> 8));
    }
}

/* An address as bytes, when its text is the one that the bytes would give again. */
static bool put_as_address(struct buf *out, struct slice s)
{
    struct ip_port addr = {0};
    bool has_port = ip_port_parse(s, &addr), same;
    size_t before = out->len;

    if (!has_port && !ip_parse(s, &addr.ip)) {
        return false;
    }
    if (has_port) {
        ip_port_put(out, &addr);
    } else {
        ip_put(out, &addr.ip);
    }
    same = slice_eq(slice_from(buf_slice(out), before), s);
    out->len = before;
    if (same) {
        put_address(out, &addr, has_port);
    }
    return same;
}

/* The address came with its text: nothing has to be read. */
static bool put_known_address(struct buf *out, unsigned field, const struct log_record *r)
{
    if (field == FIELD_peer_addr && r->peer_ip.family != IP_NONE) {
        put_address(out, &(struct ip_port){.ip = r->peer_ip}, false);
        return true;
    }
    if (field == FIELD_source_address && r->source_ip.ip.family != IP_NONE) {
        put_address(out, &r->source_ip, true);
        return true;
    }
    return false;
}

static bool put_as_word(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (slice_eq(words[i], s)) {
            varint_put(out, i << 2 | FORM_WORD);
            return true;
        }
    }
    return false;
}

static void put_string(struct buf *out, unsigned field, struct slice s)
{
    if ((field_kinds[field] == KIND_WORD && put_as_word(out, s)) ||
        (field_kinds[field] == KIND_ADDRESS && put_as_address(out, s))) {
        return;
    }
    varint_put(out, (uint64_t)s.len << 2 | FORM_BYTES);
    buf_put(out, s);
}

/* What of the site has to be written. */
static struct slice site_middle(const struct log_record *r, uint64_t *has)
{
    struct slice site = r->site, source = r->egress_source;

    if (source.len != 0 && slice_starts(site, source) &&
        slice_starts(slice_from(site, source.len), site_arrow)) {
        *has |= OUTCOME_SITE_HAS_SOURCE;
        site = slice_from(site, source.len + site_arrow.len);
    }
    if (slice_ends(site, site_smtp)) {
        *has |= OUTCOME_SITE_HAS_SMTP;
        site = slice_head(site, site.len - site_smtp.len);
    }
    return site;
}

void outcome_put(struct buf *out, const struct log_record *r)
{
    uint64_t has = presence(r);
    struct slice site = site_middle(r, &has);

    buf_char(out, OUTCOME_VERSION);
    buf_char(out, (char)r->type);
    varint_put(out, has);
    varint_put(out, r->event_ns);
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        if ((has & HAS_FIELD(i)) && !put_known_address(out, i, r)) {
            put_string(out, i, i == FIELD_site ? site : *field_of(r, i));
        }
    }
    if (has & OUTCOME_HAS_CODE) {
        varint_put(out, r->code);
    }
    if (has & OUTCOME_HAS_ENHANCED) {
        buf_char(out, (char)r->enhanced.class);
        varint_put(out, r->enhanced.subject);
        varint_put(out, r->enhanced.detail);
    }
    if (has & OUTCOME_HAS_ATTEMPTS) {
        varint_put(out, r->num_attempts);
    }
    if (has & OUTCOME_HAS_SESSION) {
        buf_append(out, r->session_id, 16);
    }
    if (has & OUTCOME_HAS_RECIPIENTS) {
        varint_put(out, r->recipient_count);
        for (uint32_t i = 0; i < r->recipient_count; i++) {
            varint_put_run(out, r->recipients[i]);
        }
    }
}

/* ---- reading ---- */

static bool cut_ip(struct slice *in, struct ip *ip)
{
    struct slice bytes;

    if (!varint_cut_bytes(in, 1, &bytes)) {
        return false;
    }
    *ip = (struct ip){.family = (uint8_t)bytes.ptr[0]};
    if ((ip->family != IP_V4 && ip->family != IP_V6) ||
        !varint_cut_bytes(in, ip->family == IP_V4 ? 4 : 16, &bytes)) {
        return false;
    }
    memcpy(ip->bytes, bytes.ptr, bytes.len);
    return true;
}

static bool cut_address(struct slice *in, bool has_port, struct buf *text, struct slice *out)
{
    struct ip_port addr = {0};
    struct slice port;

    if (!cut_ip(in, &addr.ip)) {
        return false;
    }
    if (!has_port) {
        ip_put(text, &addr.ip);
    } else {
        if (!varint_cut_bytes(in, 2, &port)) {
            return false;
        }
        addr.port = (uint16_t)((uint8_t)port.ptr[0] | (uint8_t)port.ptr[1] << 8);
        ip_port_put(text, &addr);
    }
    *out = buf_slice(text);
    return true;
}

/* `text` is NULL for fields that are no addresses. */
static bool cut_string(struct slice *in, struct buf *text, struct slice *out)
{
    uint64_t head;

    if (!varint_cut(in, &head)) {
        return false;
    }
    switch (head & 3) {
    case FORM_BYTES:
        return varint_cut_bytes(in, head >> 2, out);
    case FORM_WORD:
        if (head >> 2 >= ARRAY_COUNT(words)) {
            return false;
        }
        *out = words[head >> 2];
        return true;
    default:
        return head >> 2 == 0 && text != NULL &&
               cut_address(in, (head & 3) == FORM_IP_PORT, text, out);
    }
}

static bool cut_numbers(struct slice *in, uint64_t has, struct outcome *o)
{
    struct log_record *r = &o->record;
    uint64_t code = 0, class = 0, subject = 0, detail = 0, attempts = 0;
    struct slice session;

    if (((has & OUTCOME_HAS_CODE) && !varint_cut_max(in, UINT16_MAX, &code)) ||
        ((has & OUTCOME_HAS_ENHANCED) &&
         (!varint_cut_max(in, 9, &class) || !varint_cut_max(in, UINT16_MAX, &subject) ||
          !varint_cut_max(in, UINT16_MAX, &detail))) ||
        ((has & OUTCOME_HAS_ATTEMPTS) && !varint_cut_max(in, UINT16_MAX, &attempts))) {
        return false;
    }
    r->code = (uint16_t)code;
    r->enhanced = (struct log_enhanced){(uint8_t)class, (uint16_t)subject, (uint16_t)detail};
    r->num_attempts = (uint16_t)attempts;
    if (has & OUTCOME_HAS_SESSION) {
        if (!varint_cut_bytes(in, sizeof(o->session_id), &session)) {
            return false;
        }
        memcpy(o->session_id, session.ptr, sizeof(o->session_id));
        r->session_id = o->session_id;
    }
    return true;
}

static bool cut_recipients(struct slice *in, struct outcome *o)
{
    uint64_t count;

    if (!varint_cut_max(in, RECIPIENTS_MAX, &count)) {
        return false;
    }
    buf_reserve(&o->recipients, sizeof(struct slice));
    for (uint64_t i = 0; i < count; i++) {
        struct slice addr;

        if (!varint_cut_run(in, &addr)) {
            return false;
        }
        buf_append(&o->recipients, &addr, sizeof(addr));
    }
    o->record.recipients = (const struct slice *)(const void *)o->recipients.ptr;
    o->record.recipient_count = (uint32_t)count;
    return true;
}

static void join_site(struct outcome *o, uint64_t has)
{
    if ((has & (OUTCOME_SITE_HAS_SOURCE | OUTCOME_SITE_HAS_SMTP)) == 0) {
        return;
    }
    if (has & OUTCOME_SITE_HAS_SOURCE) {
        buf_put(&o->site, o->record.egress_source);
        buf_put(&o->site, site_arrow);
    }
    buf_put(&o->site, o->record.site);
    buf_put(&o->site, (has & OUTCOME_SITE_HAS_SMTP) ? site_smtp : (struct slice){0});
    o->record.site = buf_slice(&o->site);
}

bool outcome_load(struct slice from, struct outcome *out)
{
    struct log_record *r = &out->record;
    uint64_t has;

    *out = (struct outcome){0};
    if (from.len < 2 || from.ptr[0] != OUTCOME_VERSION || (uint8_t)from.ptr[1] >= LOG_TYPE_COUNT) {
        return false;
    }
    r->type = (enum log_type)from.ptr[1];
    from = slice_from(from, 2);
    if (!varint_cut_max(&from, OUTCOME_BITS_END - 1, &has) || !varint_cut(&from, &r->event_ns)) {
        return false;
    }
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        struct buf *text = i == FIELD_peer_addr        ? &out->peer_addr
                           : i == FIELD_source_address ? &out->source_address
                                                       : NULL;

        if ((has & HAS_FIELD(i)) && !cut_string(&from, text, (struct slice *)field_of(r, i))) {
            return false;
        }
    }
    join_site(out, has);
    r->peer_is_secure = (has & OUTCOME_PEER_IS_SECURE) != 0;
    return cut_numbers(&from, has, out) &&
           (!(has & OUTCOME_HAS_RECIPIENTS) || cut_recipients(&from, out)) && from.len == 0;
}

void outcome_free(struct outcome *o)
{
    buf_free(&o->recipients);
    buf_free(&o->site);
    buf_free(&o->peer_addr);
    buf_free(&o->source_address);
}
