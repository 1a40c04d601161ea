#include "core/log/record.h"

#include "core/base/hex.h"
#include "core/base/json.h"
#include "core/base/uuid.h"
#include "core/log/record_private.h"
#include "core/message/json_text.h"

#define NS_PER_S UINT64_C(1000000000)
#define LINE_ROOM 1536u /* more than nearly every line */

const struct log_type_info *log_type_info(enum log_type type)
{
    static const struct log_type_info info[LOG_TYPE_COUNT] = {
#define LOG_TYPE(name, text, final, classified, has_message)                                       \
    [LOG_##name] = {SLICE_INIT(text), final, classified, has_message},
#include "core/log/log_types.def"
#undef LOG_TYPE
    };

    MUST(type < LOG_TYPE_COUNT);
    return &info[type];
}

bool log_type_parse(struct slice text, enum log_type *out)
{
    for (unsigned i = 0; i < LOG_TYPE_COUNT; i++) {
        if (slice_eq(text, log_type_info((enum log_type)i)->text)) {
            *out = (enum log_type)i;
            return true;
        }
    }
    return false;
}

/* ---- unknowns are the message's ---- */

const uint8_t *log_record_id(const struct log_record *r)
{
    return r->id != NULL ? r->id : r->message != NULL ? r->message->id : NULL;
}

uint64_t log_record_created_ns(const struct log_record *r)
{
    const uint8_t *id = log_record_id(r);

    return id != NULL ? message_id_wall_ns(id) : r->event_ns;
}

const struct meta *log_record_meta(const struct log_record *r)
{
    return r->meta != NULL ? r->meta : r->message != NULL ? &r->message->content->meta : NULL;
}

struct slice log_record_sender(const struct log_record *r)
{
    return r->sender.ptr != NULL || r->message == NULL ? r->sender : message_sender(r->message);
}

uint32_t log_record_recipient_count(const struct log_record *r)
{
    return r->recipients != NULL  ? r->recipient_count
           : r->message != NULL ? r->message->content->recipient_count
                                : 0;
}

bool log_record_next_recipient(const struct log_record *r, size_t *at, struct slice *out)
{
    if (r->recipients != NULL) {
        if (*at == r->recipient_count) {
            return false;
        }
        *out = r->recipients[(*at)++];
        return true;
    }
    return r->message != NULL && message_next_recipient(r->message, at, out);
}

/* ---- the line ---- */

/* A key with its comma and colon, then the value. */
#define PUT_STRING(out, key, s) (BUF_LIT(out, ",\"" key "\":"), json_write_string(out, s))
#define PUT_NUMBER(out, key, v) (BUF_LIT(out, ",\"" key "\":"), buf_u64(out, v))

static void put_nullable(struct buf *out, struct slice s)
{
    if (s.ptr != NULL) {
        json_write_string(out, s);
    } else {
        BUF_LIT(out, "null");
    }
}
#define PUT_NULLABLE(out, key, s) (BUF_LIT(out, ",\"" key "\":"), put_nullable(out, s))
#define PUT_IF_KNOWN(out, key, s)                                                                  \
    do {                                                                                           \
        if ((s).ptr != NULL) {                                                                     \
            PUT_STRING(out, key, s);                                                               \
        }                                                                                          \
    } while (0)

static void put_id(struct buf *out, const uint8_t *id)
{
    BUF_LIT(out, ",\"id\":\"");
    if (id != NULL) {
        buf_reserve(out, MESSAGE_ID_TEXT);
        message_id_text(id, out->ptr + out->len);
        out->len += MESSAGE_ID_TEXT;
    }
    buf_char(out, '"');
}

static void put_recipients(struct buf *out, const struct log_record *r)
{
    struct slice addr;
    bool single = log_record_recipient_count(r) == 1;
    size_t at = 0;

    buf_put(out, single ? SLICE(",\"recipient\":") : SLICE(",\"recipient\":["));
    for (bool first = true; log_record_next_recipient(r, &at, &addr); first = false) {
        if (!first) {
            buf_char(out, ',');
        }
        json_write_string(out, addr);
    }
    if (!single) {
        buf_char(out, ']');
    }
}

/* CR LF, a lone LF and a lone CR become one space each. */
static void put_content(struct buf *out, struct slice s, struct buf *scratch)
{
    if (slice_find_char(s, '\n') == s.len && slice_find_char(s, '\r') == s.len) {
        json_write_string(out, s);
        return;
    }
    buf_clear(scratch);
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\r' && i + 1 < s.len && s.ptr[i + 1] == '\n') {
            continue;
        }
        buf_char(scratch, s.ptr[i] == '\r' || s.ptr[i] == '\n' ? ' ' : s.ptr[i]);
    }
    json_write_string(out, buf_slice(scratch));
}

static void put_response(struct buf *out, const struct log_record *r, struct buf *scratch)
{
    BUF_LIT(out, ",\"response\":{\"code\":");
    buf_u64(out, r->code);
    if (r->enhanced.class != 0) {
        BUF_LIT(out, ",\"enhanced_code\":{\"class\":");
        buf_u64(out, r->enhanced.class);
        PUT_NUMBER(out, "subject", r->enhanced.subject);
        PUT_NUMBER(out, "detail", r->enhanced.detail);
        BUF_LIT(out, "},\"content\":");
    } else {
        BUF_LIT(out, ",\"enhanced_code\":null,\"content\":");
    }
    put_content(out, r->content, scratch);
    PUT_NULLABLE(out, "command", r->command);
    buf_char(out, '}');
}

static void put_peer(struct buf *out, const struct log_record *r)
{
    if (r->peer_addr.ptr == NULL) {
        BUF_LIT(out, ",\"peer_address\":null");
        return;
    }
    BUF_LIT(out, ",\"peer_address\":{\"name\":");
    json_write_string(out, r->peer_name);
    PUT_STRING(out, "addr", r->peer_addr);
    buf_put(out, r->peer_is_secure ? SLICE(",\"is_secure\":true}") : SLICE("}"));
}

static void put_source(struct buf *out, const struct log_record *r)
{
    if (r->source_address.ptr == NULL) {
        BUF_LIT(out, ",\"source_address\":null");
        return;
    }
    BUF_LIT(out, ",\"source_address\":{\"address\":");
    json_write_string(out, r->source_address);
    PUT_IF_KNOWN(out, "server", r->source_server);
    PUT_IF_KNOWN(out, "protocol", r->source_protocol);
    buf_char(out, '}');
}

/* Records come by the thousand in the same second: its text is made once. */
static void put_time(struct buf *out, struct record_second *cache, uint64_t wall_ns)
{
    int64_t s = (int64_t)(wall_ns / NS_PER_S);

    if (!cache->is_set || cache->s != s) {
        civil_text(s, cache->text);
        cache->s = s;
        cache->is_set = true;
    }
    buf_reserve(out, CIVIL_TEXT + CIVIL_FRACTION_MAX);
    memcpy(out->ptr + out->len, cache->text, CIVIL_TEXT);
    out->len += CIVIL_TEXT;
    out->len += civil_fraction((uint32_t)(wall_ns % NS_PER_S), out->ptr + out->len);
}

static void put_times(struct record_writer *w, struct buf *out, const struct log_record *r)
{
    uint64_t created_ns = log_record_created_ns(r);

    PUT_NUMBER(out, "timestamp", r->event_ns / NS_PER_S);
    BUF_LIT(out, ",\"event_time\":\"");
    put_time(out, &w->event, r->event_ns);
    BUF_LIT(out, "Z\",\"created\":");
    buf_u64(out, created_ns / NS_PER_S);
    BUF_LIT(out, ",\"created_time\":\"");
    put_time(out, &w->created, created_ns);
    BUF_LIT(out, "Z\",\"num_attempts\":");
    buf_u64(out, r->num_attempts);
}

/* Unknown: what the metadata says, JSON text and all, when that is a string. */
static void put_reception_protocol(struct buf *out, const struct log_record *r)
{
    const struct meta *meta = log_record_meta(r);
    struct slice json = {0};

    BUF_LIT(out, ",\"reception_protocol\":");
    if (r->reception_protocol.ptr == NULL && r->type != LOG_REJECTION && meta != NULL) {
        json = meta_get(meta, SLICE("reception_protocol"));
    }
    if (json_text_is_string(json)) {
        buf_put(out, json);
    } else {
        put_nullable(out, r->reception_protocol);
    }
}

static void put_tail(struct record_writer *w, struct buf *out, const struct log_record *r)
{
    PUT_NULLABLE(out, "delivery_protocol", r->delivery_protocol);
    put_reception_protocol(out, r);
    BUF_LIT(out, ",\"nodeid\":\"");
    buf_put(out, w->node_id);
    buf_char(out, '"');
    PUT_IF_KNOWN(out, "tls_cipher", r->tls_cipher);
    PUT_IF_KNOWN(out, "tls_protocol_version", r->tls_protocol_version);
    if (r->tls_peer_subject_name.ptr != NULL) {
        BUF_LIT(out, ",\"tls_peer_subject_name\":");
        buf_put(out, r->tls_peer_subject_name);
    }
    PUT_IF_KNOWN(out, "provider_name", r->provider_name);
    if (r->session_id != NULL) {
        struct uuid id;

        memcpy(id.bytes, r->session_id, sizeof(id.bytes));
        BUF_LIT(out, ",\"session_id\":\"");
        uuid_put(out, &id);
        buf_char(out, '"');
    }
    BUF_LIT(out, "}\n");
}

void record_write_json(struct record_writer *w, const struct log_record *r,
                       const struct log_capture *c, struct buf *out)
{
    const bool sized = r->size != 0 || r->message == NULL || r->type == LOG_OOB;
    uint64_t size = sized ? r->size : r->message->size;
    struct slice class = r->bounce_classification;

    MUST(r->message == NULL || r->message->content != NULL);
    buf_reserve(out, LINE_ROOM);
    BUF_LIT(out, "{\"type\":\"");
    buf_put(out, log_type_info(r->type)->text);
    buf_char(out, '"');
    put_id(out, log_record_id(r));
    PUT_STRING(out, "sender", log_record_sender(r));
    put_recipients(out, r);
    PUT_STRING(out, "queue", r->queue);
    PUT_STRING(out, "site", r->site);
    PUT_NUMBER(out, "size", size);
    put_response(out, r, &w->scratch);
    put_peer(out, r);
    put_times(w, out, r);
    PUT_STRING(out, "bounce_classification", class.ptr != NULL ? class : SLICE("Uncategorized"));
    PUT_NULLABLE(out, "egress_pool", r->egress_pool);
    PUT_NULLABLE(out, "egress_source", r->egress_source);
    put_source(out, r);
    BUF_LIT(out, ",\"feedback_report\":");
    buf_put(out, r->feedback_report.ptr != NULL ? r->feedback_report : SLICE("null"));
    BUF_LIT(out, ",\"meta\":");
    record_put_meta(log_record_meta(r), c, out);
    BUF_LIT(out, ",\"headers\":");
    record_put_headers(r->type == LOG_REJECTION ? NULL : r->message, c, &w->scratch, out);
    put_tail(w, out, r);
}

void record_writer_free(struct record_writer *w)
{
    buf_free(&w->scratch);
}
