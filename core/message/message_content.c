/* The text of a message: `head`, then `body` from `body_from` on. */
#include "core/base/mem.h"
#include "core/message/message.h"
#include "proto/header.h"

/* The part of the body that goes out. */
static struct slice body_rest(const struct message_content *c)
{
    return c->body != NULL ? slice_from(buf_slice(&c->body->bytes), c->body_from)
                           : (struct slice){0};
}

/* The header fields that are still in the body, without the empty line. */
static struct slice body_fields(const struct message_content *c)
{
    if (c->body == NULL || c->body_from != 0) {
        return (struct slice){0};
    }
    struct slice block = slice_head(buf_slice(&c->body->bytes), c->body->header_size);
    size_t end;

    return header_block_end(block, &end) ? slice_head(block, end) : block;
}

size_t message_data_size(const struct message *m)
{
    MUST(m->content != NULL);
    return m->content->head.len + body_rest(m->content).len;
}

static void data_changed(struct message *m)
{
    m->content->data_dirty = true;
    m->size = (uint32_t)message_data_size(m);
}

void message_data_put(const struct message *m, struct buf *out)
{
    MUST(m->content != NULL);
    buf_reserve(out, message_data_size(m));
    buf_put(out, buf_slice(&m->content->head));
    buf_put(out, body_rest(m->content));
}

void message_set_data(struct message *m, struct buf *bytes)
{
    struct message_content *c = m->content;

    MUST(c != NULL);
    body_put(&c->body);
    c->body = body_new(bytes);
    buf_clear(&c->head);
    c->body_from = 0;
    data_changed(m);
}

uint32_t message_flags(const struct message *m)
{
    const struct message_content *c = m->content;
    uint32_t flags, head;

    MUST(c != NULL);
    if (c->body == NULL || body_rest(c).len == 0) {
        if (c->head.len == 0) {
            return 0; /* nothing at all: no line to end either */
        }
        return body_scan_flags(buf_slice(&c->head));
    }
    flags = c->body->flags;
    if (c->head.len != 0) {
        head = body_scan_flags(buf_slice(&c->head));
        flags |= head & ~BODY_NO_FINAL_CRLF;
        if (head & BODY_NO_FINAL_CRLF) { /* its last line runs into the body */
            flags |= BODY_NOT_CANONICAL | BODY_NEEDS_STUFFING;
        }
    }
    return flags;
}

/* ---- headers ---- */

static char *put_bytes(char *to, struct slice s)
{
    if (s.len != 0) {
        memcpy(to, s.ptr, s.len);
    }
    return to + s.len;
}

static void write_header(char *to, struct slice name, struct slice value)
{
    to = put_bytes(to, name);
    to = put_bytes(to, SLICE(": "));
    to = put_bytes(to, value);
    (void)put_bytes(to, SLICE("\r\n"));
}

/* Trace and signature headers come one after the other: leave room for a few. */
static void reserve_head(struct buf *head, size_t room)
{
    buf_reserve(head, head->cap == 0 ? room + 256 : room);
}

void message_prepend_header(struct message *m, struct slice name, struct slice value)
{
    size_t len = name.len + value.len + 4;
    struct buf *head;

    MUST(m->content != NULL);
    head = &m->content->head;
    reserve_head(head, len);
    memmove(head->ptr + len, head->ptr, head->len);
    write_header(head->ptr, name, value);
    head->len += len;
    data_changed(m);
}

bool message_append_header(struct message *m, struct slice name, struct slice value)
{
    struct message_content *c = m->content;
    size_t len = name.len + value.len + 4;
    struct slice fields;
    size_t end;

    MUST(c != NULL);
    if (!header_block_end(body_rest(c), &end)) {
        return false;
    }
    fields = body_fields(c);
    reserve_head(&c->head, fields.len + len);
    buf_put(&c->head, fields);
    c->body_from += (uint32_t)fields.len;
    write_header(c->head.ptr + c->head.len, name, value);
    c->head.len += len;
    data_changed(m);
    return true;
}

/* A line that would continue a header, with none before it, is not one. */
static bool is_header(const struct header *h)
{
    return h->name.len != 0 && h->name.ptr[0] != ' ' && h->name.ptr[0] != '\t';
}

void message_each_header(const struct message *m, message_header_fn *fn, void *arg)
{
    struct slice parts[2];
    struct header h;

    MUST(m->content != NULL);
    parts[0] = buf_slice(&m->content->head);
    parts[1] = body_fields(m->content);
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        for (size_t at = 0; header_next(parts[i], &at, &h);) {
            if (is_header(&h) && !fn(arg, h.name, h.raw_value)) {
                return;
            }
        }
    }
}

/* Appends to *kept what fn does not want removed; answers how many it did. What stands after an
 * empty line (policy may write one into a value) is no header and is kept. */
static size_t keep_fields(struct slice part, struct buf *kept, message_header_fn *fn, void *arg)
{
    struct header h;
    size_t removed_count = 0;
    size_t at = 0;

    while (header_next(part, &at, &h)) {
        if (is_header(&h) && fn(arg, h.name, h.raw_value)) {
            removed_count++;
        } else {
            buf_put(kept, h.field);
        }
    }
    buf_put(kept, slice_from(part, at));
    return removed_count;
}

size_t message_remove_headers(struct message *m, message_header_fn *fn, void *arg)
{
    struct message_content *c = m->content;
    struct slice fields;
    struct buf kept = {0};
    size_t removed_count;

    MUST(c != NULL);
    fields = body_fields(c);
    buf_reserve(&kept, c->head.len + fields.len);
    removed_count = keep_fields(buf_slice(&c->head), &kept, fn, arg);
    removed_count += keep_fields(fields, &kept, fn, arg);
    if (removed_count == 0) {
        buf_free(&kept);
        return 0;
    }
    buf_free(&c->head);
    c->head = kept;
    c->body_from += (uint32_t)fields.len;
    data_changed(m);
    return removed_count;
}
