#include "proto/dsn.h"

#include "core/base/mem.h"
#include "proto/address.h"
#include "proto/mail_date.h"

enum dsn_kind {
    DSN_KIND_TEXT,
    DSN_KIND_TYPED,
    DSN_KIND_ADDRESS,
    DSN_KIND_ACTION,
    DSN_KIND_STATUS,
    DSN_KIND_DATE,
};

static const struct dsn_row {
    struct slice name;
    enum dsn_block block;
    enum dsn_kind kind;
    bool required;
} rows[DSN_FIELD_COUNT] = {
#define DSN_FIELD(block, id, name, kind, required)                                                 \
    [DSN_##id] = {SLICE_INIT(name), DSN_##block, DSN_KIND_##kind, required},
#include "proto/dsn_fields.def"
#undef DSN_FIELD
};

/* ---- values ---- */

static bool cut_number(struct slice *s, uint64_t most, uint64_t *out)
{
    size_t len = 0;

    while (len < s->len && s->ptr[len] >= '0' && s->ptr[len] <= '9') {
        len++;
    }
    if (len == 0 || len > 3 || !slice_to_u64(slice_head(*s, len), out) || *out > most) {
        return false;
    }
    *s = slice_from(*s, len);
    return true;
}

static bool cut_dot(struct slice *s)
{
    bool ok = s->len > 0 && s->ptr[0] == '.';

    *s = slice_from(*s, 1);
    return ok;
}

/* "5.1.1", a comment after it. */
static bool parse_status(struct slice s, struct dsn_recipient *r)
{
    uint64_t class, subject, detail;

    if (!cut_number(&s, 9, &class) || !cut_dot(&s) || !cut_number(&s, 999, &subject) ||
        !cut_dot(&s) || !cut_number(&s, 999, &detail) ||
        (s.len > 0 && s.ptr[0] != ' ' && s.ptr[0] != '(')) {
        return false;
    }
    r->class = (uint8_t)class;
    r->subject = (uint16_t)subject;
    r->detail = (uint16_t)detail;
    return true;
}

static bool parse_action(struct slice s, struct dsn_recipient *r)
{
    static const struct slice actions[] = {SLICE_INIT("failed"), SLICE_INIT("delayed"),
                                           SLICE_INIT("delivered"), SLICE_INIT("relayed"),
                                           SLICE_INIT("expanded")};

    for (size_t i = 0; i < ARRAY_COUNT(actions); i++) {
        if (slice_eq(s, actions[i])) {
            r->failed = i == 0;
            return true;
        }
    }
    return false;
}

static bool parse_address(struct slice value, struct dsn_value *out)
{
    struct buf kept = {0};
    bool ok = true;

    report_split(value, &out->type, &out->text);
    out->text = report_bare(out->text);
    if (slice_eq_nocase(out->type, SLICE("rfc822"))) {
        ok = address_parse(out->text, 0, &kept);
        buf_free(&kept);
    }
    return ok;
}

/* r is NULL in the message's block. */
static bool parse_value(enum dsn_field_id id, struct slice value, struct dsn_value *out,
                        struct dsn_recipient *r)
{
    uint64_t wall_ns;

    out->type = SLICE("");
    out->text = value;
    switch (rows[id].kind) {
    case DSN_KIND_TEXT:
        return true;
    case DSN_KIND_TYPED:
        report_split(value, &out->type, &out->text);
        return true;
    case DSN_KIND_ADDRESS:
        return parse_address(value, out);
    case DSN_KIND_ACTION:
        return parse_action(value, r);
    case DSN_KIND_STATUS:
        return parse_status(value, r);
    case DSN_KIND_DATE:
        if (!mail_date_parse(value, &wall_ns)) {
            return false;
        }
        if (id == DSN_LAST_ATTEMPT_DATE) {
            r->has_attempt = true;
            r->attempt_ns = wall_ns;
        }
        return true;
    }
    return false;
}

/* ---- blocks ---- */

static bool parse_block(struct dsn *d, size_t *at, enum dsn_block block, struct dsn_value *fields,
                        struct dsn_recipient *r)
{
    struct report_field f;

    while (report_next_field(&d->text, at, &f)) {
        for (unsigned id = 0; id < DSN_FIELD_COUNT; id++) {
            if (rows[id].block != block || !slice_eq_nocase(f.name, rows[id].name)) {
                continue;
            }
            if (fields[id].text.ptr != NULL ||
                !parse_value((enum dsn_field_id)id, f.value, &fields[id], r)) {
                return false;
            }
        }
    }
    for (unsigned id = 0; id < DSN_FIELD_COUNT; id++) {
        if (rows[id].block == block && rows[id].required && fields[id].text.ptr == NULL) {
            return false;
        }
    }
    return true;
}

static struct dsn_recipient *recipient_add(struct dsn *d)
{
    uint32_t count = d->recipient_count;

    if ((count & (count - 1)) == 0) { /* 0 and powers of two: the room is used up */
        d->recipients =
            mem_grow(d->recipients, (count == 0 ? 1 : count * 2) * sizeof(*d->recipients));
    }
    d->recipients[count] = (struct dsn_recipient){0};
    return &d->recipients[d->recipient_count++];
}

static bool parse_blocks(struct dsn *d)
{
    size_t at = 0;

    if (!report_next_block(&d->text, &at) ||
        !parse_block(d, &at, DSN_MESSAGE, d->fields, NULL)) {
        return false;
    }
    while (report_next_block(&d->text, &at)) {
        struct dsn_recipient *r;

        if (d->recipient_count == DSN_RECIPIENTS_MAX) {
            return false;
        }
        r = recipient_add(d);
        if (!parse_block(d, &at, DSN_RECIPIENT, r->fields, r)) {
            return false;
        }
    }
    return true;
}

bool dsn_parse(struct slice message, struct dsn *out)
{
    static const struct slice types[] = {SLICE_INIT("message/delivery-status"),
                                         SLICE_INIT("message/global-delivery-status")};
    struct mime_entity top;
    struct report_parts parts;

    *out = (struct dsn){0};
    if (!report_open(message, types, ARRAY_COUNT(types), &top, &parts)) {
        return false;
    }
    if (!report_text_open(&out->text, &parts.report) || !parse_blocks(out)) {
        dsn_free(out);
        return false;
    }
    return true;
}

void dsn_free(struct dsn *d)
{
    report_text_free(&d->text);
    MEM_FREE(&d->recipients);
    d->recipient_count = 0;
}

/* ---- what the report says ---- */

struct slice dsn_recipient_address(const struct dsn_recipient *r)
{
    return r->fields[DSN_ORIGINAL_RECIPIENT].text.ptr != NULL
               ? r->fields[DSN_ORIGINAL_RECIPIENT].text
               : r->fields[DSN_FINAL_RECIPIENT].text;
}

uint16_t dsn_response(const struct dsn_recipient *r, struct slice *content)
{
    const struct dsn_value *said = &r->fields[DSN_DIAGNOSTIC_CODE];
    struct slice text = said->text.ptr != NULL ? said->text : SLICE("");
    size_t end = slice_find_char(text, ' ');
    uint64_t code;

    *content = text;
    if (!slice_eq_nocase(said->type, SLICE("smtp")) ||
        !slice_to_u64(slice_head(text, end), &code) || code > UINT16_MAX) {
        return 550;
    }
    *content = slice_trim(slice_from(text, end));
    return (uint16_t)code;
}
