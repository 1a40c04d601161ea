#include "proto/trace.h"

#include <string.h>

#include "core/base/base64.h"
#include "core/base/json.h"

#define PIECE 75u

void trace_received_put(struct buf *out, const struct trace_received *t)
{
    bool has_tls = t->tls_version.len != 0;

    buf_reserve(out, 160 + t->ehlo.len + t->peer_ip.len + t->hostname.len + t->local_ip.len +
                         t->tls_version.len + t->tls_cipher.len + t->id.len + t->recipient.len +
                         t->date.len);
    BUF_LIT(out, "Received: from ");
    buf_put(out, t->ehlo.len != 0 ? t->ehlo : SLICE("unspecified"));
    BUF_LIT(out, " (");
    buf_put(out, t->peer_ip);
    BUF_LIT(out, ")\r\n  by ");
    buf_put(out, t->hostname);
    BUF_LIT(out, " (KumoMTA ");
    buf_put(out, t->local_ip);
    BUF_LIT(out, ") \r\n  with ESMTP");
    if (has_tls) {
        buf_put(out, t->is_authenticated ? SLICE("SA (") : SLICE("S ("));
        buf_put(out, t->tls_version);
        BUF_LIT(out, ":");
        buf_put(out, t->tls_cipher);
        BUF_LIT(out, ") ");
    }
    BUF_LIT(out, " id ");
    buf_put(out, t->id);
    BUF_LIT(out, " for <");
    buf_put(out, t->recipient);
    BUF_LIT(out, ">;\r\n  ");
    buf_put(out, t->date);
    BUF_LIT(out, "\r\n");
}

static void recipients_put(struct buf *out, const struct trace_supplemental *t)
{
    if (t->recipient_count == 1) {
        json_write_string(out, t->recipients[0]);
        return;
    }
    buf_char(out, '[');
    for (size_t i = 0; i < t->recipient_count; i++) {
        if (i != 0) {
            buf_char(out, ',');
        }
        json_write_string(out, t->recipients[i]);
    }
    buf_char(out, ']');
}

#define KEY_MARKER SLICE("_@_")
#define KEY_RECIPIENT SLICE("recipient")

static int key_order(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n != 0 ? memcmp(a.ptr, b.ptr, n) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Writes the metas from *next on that sort before `key`; one that is the key gives way to it. */
static void metas_put(struct buf *out, const struct trace_supplemental *t, size_t *next,
                      const struct slice *key)
{
    for (; *next < t->meta_count; (*next)++) {
        const struct trace_meta *meta = &t->metas[*next];
        int order = key != NULL ? key_order(meta->name, *key) : -1;

        if (order > 0) {
            break;
        }
        if (order < 0 && !slice_eq(meta->name, KEY_MARKER)) {
            json_write_string(out, meta->name);
            buf_char(out, ':');
            buf_put(out, meta->json);
            buf_char(out, ',');
        }
    }
}

static void json_put(struct buf *out, const struct trace_supplemental *t)
{
    size_t next = 0;

    buf_char(out, '{');
    metas_put(out, t, &next, &KEY_MARKER);
    BUF_LIT(out, "\"_@_\":\"\\\\_/\",");
    metas_put(out, t, &next, &KEY_RECIPIENT);
    BUF_LIT(out, "\"recipient\":");
    recipients_put(out, t);
    buf_char(out, ',');
    metas_put(out, t, &next, NULL);
    out->ptr[out->len - 1] = '}'; /* the last comma */
}

/* Spreads the text from `at` on into pieces, back to front, in place. */
static void fold_pieces(struct buf *out, size_t at)
{
    size_t len = out->len - at;
    size_t breaks = len != 0 ? (len - 1) / PIECE : 0;
    size_t end = out->len;

    buf_reserve(out, breaks * 3);
    for (size_t i = breaks; i > 0; i--) {
        size_t from = at + i * PIECE;

        memmove(out->ptr + from + i * 3, out->ptr + from, end - from);
        memcpy(out->ptr + from + (i - 1) * 3, "\r\n\t", 3);
        end = from;
    }
    out->len += breaks * 3;
}

void trace_supplemental_put(struct buf *out, const struct trace_supplemental *t,
                            struct buf *scratch)
{
    size_t at;

    buf_clear(scratch);
    json_put(scratch, t);
    buf_put(out, t->header_name);
    BUF_LIT(out, ": ");
    at = out->len;
    base64_encode_as(out, buf_slice(scratch), 0);
    fold_pieces(out, at);
    BUF_LIT(out, "\r\n");
}
