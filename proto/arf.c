#include "proto/arf.h"

#include "core/base/base64.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/time_text.h"
#include "proto/header.h"
#include "proto/mail_date.h"
#include "proto/report_field.h"

enum arf_kind { ARF_TEXT, ARF_DATE, ARF_NUMBER, ARF_ADDRESS, ARF_MTA };
enum arf_occurs { ARF_OPTIONAL, ARF_ONCE, ARF_LIST };

static const struct arf_row {
    struct slice name, key;
    enum arf_kind kind;
    enum arf_occurs occurs;
} rows[] = {
#define ARF_FIELD(name, key, kind, occurs)                                                         \
    {SLICE_INIT(name), SLICE_INIT(key), ARF_##kind, ARF_##occurs},
#include "proto/arf_fields.def"
#undef ARF_FIELD
};

/* An older name of Arrival-Date, taken when that is not there. */
#define RECEIVED_DATE SLICE("Received-Date")

struct arf {
    struct report_text text;
    struct report_field fields[ARF_FIELDS_MAX];
    uint32_t count;
};

/* ---- reading ---- */

static const struct arf_row *row_find(struct slice name)
{
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (slice_eq_nocase(name, rows[i].name)) {
            return &rows[i];
        }
    }
    return NULL;
}

/* The nth field of that name, or NULL. */
static const struct report_field *field_find(const struct arf *a, struct slice name, uint32_t nth)
{
    for (uint32_t i = 0; i < a->count; i++) {
        if (slice_eq_nocase(a->fields[i].name, name) && nth-- == 0) {
            return &a->fields[i];
        }
    }
    return NULL;
}

static bool field_valid(const struct arf *a, const struct arf_row *row)
{
    const struct report_field *f = field_find(a, row->name, 0);
    uint64_t number;

    if (row->occurs != ARF_LIST && field_find(a, row->name, 1) != NULL) {
        return false;
    }
    if (f == NULL) {
        return row->occurs != ARF_ONCE;
    }
    return row->kind != ARF_NUMBER ||
           (slice_to_u64(f->value, &number) && number <= UINT32_MAX);
}

static bool arf_read(struct arf *a, const struct mime_entity *part)
{
    size_t at = 0;

    if (!report_text_open(&a->text, part) || !report_next_block(&a->text, &at)) {
        return false;
    }
    for (struct report_field f; report_next_field(&a->text, &at, &f);) {
        if (a->count == ARF_FIELDS_MAX) {
            return false;
        }
        a->fields[a->count++] = f;
    }
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (!field_valid(a, &rows[i])) {
            return false;
        }
    }
    return true;
}

/* ---- writing ---- */

static void put_date(struct slice value, struct buf *out)
{
    uint64_t wall_ns;

    if (mail_date_parse(value, &wall_ns)) {
        buf_char(out, '"');
        time_put_rfc3339(out, wall_ns);
        buf_char(out, '"');
    } else {
        BUF_LIT(out, "null");
    }
}

static void put_mta(struct slice value, struct buf *out)
{
    struct slice type, name;

    report_split(value, &type, &name);
    BUF_LIT(out, "{\"mta_type\":");
    json_write_string(out, type);
    BUF_LIT(out, ",\"name\":");
    json_write_string(out, name);
    buf_char(out, '}');
}

static void put_value(enum arf_kind kind, struct slice value, struct buf *out)
{
    uint64_t number;

    switch (kind) {
    case ARF_TEXT:
        json_write_string(out, value);
        break;
    case ARF_ADDRESS:
        json_write_string(out, report_bare(value));
        break;
    case ARF_DATE:
        put_date(value, out);
        break;
    case ARF_NUMBER:
        buf_u64(out, slice_to_u64(value, &number) ? number : 0);
        break;
    case ARF_MTA:
        put_mta(value, out);
        break;
    }
}

static void put_row(const struct arf *a, const struct arf_row *row, struct buf *out)
{
    const struct report_field *f = field_find(a, row->name, 0);

    buf_char(out, '"');
    buf_put(out, row->key);
    BUF_LIT(out, "\":");
    if (f == NULL && row->kind == ARF_DATE) {
        f = field_find(a, RECEIVED_DATE, 0);
    }
    if (row->occurs == ARF_LIST) {
        buf_char(out, '[');
        for (uint32_t i = 0; (f = field_find(a, row->name, i)) != NULL; i++) {
            buf_put(out, i > 0 ? SLICE(",") : SLICE(""));
            put_value(row->kind, f->value, out);
        }
        buf_char(out, ']');
    } else if (f != NULL) {
        put_value(row->kind, f->value, out);
    } else {
        BUF_LIT(out, "null");
    }
    buf_char(out, ',');
}

static void lower_put(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        buf_char(out, char_lower(s.ptr[i]));
    }
}

static bool is_extension(const struct report_field *f)
{
    return row_find(f->name) == NULL && !slice_eq_nocase(f->name, RECEIVED_DATE);
}

/* {"name":["value",...],...}, names in lower case, in the order of their first. */
static void put_extensions(const struct arf *a, struct buf *out)
{
    struct buf name = {0};
    bool first = true;

    BUF_LIT(out, "\"extensions\":{");
    for (uint32_t i = 0; i < a->count; i++) {
        const struct report_field *f = &a->fields[i];

        if (!is_extension(f) || field_find(a, f->name, 0) != f) {
            continue;
        }
        buf_clear(&name);
        lower_put(&name, f->name);
        buf_put(out, first ? SLICE("") : SLICE(","));
        json_write_string(out, buf_slice(&name));
        BUF_LIT(out, ":[");
        for (uint32_t j = i; j < a->count; j++) {
            if (slice_eq_nocase(a->fields[j].name, f->name)) {
                buf_put(out, j > i ? SLICE(",") : SLICE(""));
                json_write_string(out, a->fields[j].value);
            }
        }
        buf_char(out, ']');
        first = false;
    }
    BUF_LIT(out, "},");
    buf_free(&name);
}

static void put_original(const struct mime_entity *original, struct buf *out)
{
    struct buf text = {0};

    for (size_t i = 0; i < original->body.len; i++) {
        if (original->body.ptr[i] != '\r' || i + 1 == original->body.len ||
            original->body.ptr[i + 1] != '\n') {
            buf_char(&text, original->body.ptr[i]);
        }
    }
    BUF_LIT(out, "\"original_message\":");
    json_write_string(out, buf_slice(&text));
    buf_free(&text);
}

/* ---- what our own trace header in the original says ---- */

#define MARKER SLICE("_@_")
#define MARKER_VALUE SLICE("\\_/")

/* Appends the header's object without the marker; false when it is not such a header. */
static bool put_trace(struct slice raw_value, struct buf *out)
{
    struct buf packed = {0}, text = {0}, why = {0};
    struct json_doc doc = {0};
    const struct json *marker;
    bool ok;

    for (size_t i = 0; i < raw_value.len; i++) {
        if (strchr(" \t\r\n", raw_value.ptr[i]) == NULL) {
            buf_char(&packed, raw_value.ptr[i]);
        }
    }
    ok = packed.len > 0 && base64_decode_as(&text, buf_slice(&packed), 0) &&
         json_parse(buf_slice(&text), 0, &doc, &why);
    marker = ok ? json_get(doc.root, MARKER) : NULL;
    ok = marker != NULL && marker->type == JSON_STRING && slice_eq(marker->string, MARKER_VALUE);
    if (ok) {
        bool first = true;

        buf_char(out, '{');
        for (const struct json *v = doc.root->first; v != NULL; v = v->next) {
            if (!slice_eq(v->key, MARKER)) {
                buf_put(out, first ? SLICE("") : SLICE(","));
                json_write_string(out, v->key);
                buf_char(out, ':');
                json_write(out, v);
                first = false;
            }
        }
        buf_char(out, '}');
    }
    json_doc_free(&doc);
    buf_free(&packed);
    buf_free(&text);
    buf_free(&why);
    return ok;
}

static void put_traces(const struct report_parts *parts, struct buf *out)
{
    struct header h;

    BUF_LIT(out, "\"supplemental_trace\":");
    for (size_t at = 0; parts->has_original && header_next(parts->original.body, &at, &h);) {
        if (slice_starts_nocase(h.name, SLICE("X-")) && put_trace(h.raw_value, out)) {
            return;
        }
    }
    BUF_LIT(out, "null");
}

/* ---- the report ---- */

static bool is_feedback(const struct mime_entity *top)
{
    struct buf type = {0};
    bool ok = mime_param_put(top, SLICE("report-type"), &type) &&
              slice_eq_nocase(buf_slice(&type), SLICE("feedback-report"));

    buf_free(&type);
    return ok;
}

static void arf_write(const struct arf *a, const struct report_parts *parts, struct buf *out)
{
    buf_char(out, '{');
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        put_row(a, &rows[i], out);
    }
    put_extensions(a, out);
    if (parts->has_original) {
        put_original(&parts->original, out);
    } else {
        BUF_LIT(out, "\"original_message\":null");
    }
    buf_char(out, ',');
    put_traces(parts, out);
    buf_char(out, '}');
}

bool arf_put_json(struct slice message, struct buf *out)
{
    static const struct slice types[] = {SLICE_INIT("message/feedback-report")};
    struct mime_entity top;
    struct report_parts parts;
    struct arf *a;
    bool ok;

    if (!report_open(message, types, ARRAY_COUNT(types), &top, &parts) || !is_feedback(&top)) {
        return false;
    }
    a = MEM_NEW(struct arf);
    ok = arf_read(a, &parts.report);
    if (ok) {
        arf_write(a, &parts, out);
    }
    report_text_free(&a->text);
    mem_give(a);
    return ok;
}
