/*
 * The spool's blob of a message. Version 1:
 *
 *   u8 version, then as varints: sender size, recipient count, recipients size, metadata size,
 *   head size, body_from, schedule size; then these runs in the same order. Recipients and
 *   metadata are stored as they lie in memory (message.h, meta.h), the schedule as schedule.c
 *   says.
 */
#include "core/base/mem.h"
#include "core/message/message.h"
#include "core/message/schedule.h"
#include "core/message/varint.h"

#define BLOB_VERSION 1
#define BLOB_HEAD_MAX (1u + 7u * VARINT_MAX)

void message_blob_put(const struct message *m, struct buf *out)
{
    const struct message_content *c = m->content;
    struct buf schedule = {0};

    MUST(c != NULL);
    if (c->schedule != NULL) {
        schedule_put(c->schedule, &schedule);
    }
    buf_reserve(out, BLOB_HEAD_MAX + c->sender.len + c->recipients.len + c->meta.packed.len +
                         c->head.len + schedule.len);
    buf_char(out, BLOB_VERSION);
    varint_put(out, c->sender.len);
    varint_put(out, c->recipient_count);
    varint_put(out, c->recipients.len);
    varint_put(out, c->meta.packed.len);
    varint_put(out, c->head.len);
    varint_put(out, c->body_from);
    varint_put(out, schedule.len);
    buf_put(out, buf_slice(&c->sender));
    buf_put(out, buf_slice(&c->recipients));
    buf_put(out, buf_slice(&c->meta.packed));
    buf_put(out, buf_slice(&c->head));
    buf_put(out, buf_slice(&schedule));
    buf_free(&schedule);
}

static void take_copy(struct buf *to, struct slice from)
{
    if (from.len != 0) {
        *to = (struct buf){.ptr = mem_copy(from.ptr, from.len), .len = from.len, .cap = from.len};
    }
}

/* Whether `list` is exactly `count` recipients. */
static bool recipients_valid(struct slice list, uint64_t count)
{
    while (list.len >= 2 && count > 0) {
        const unsigned char *p = (const unsigned char *)list.ptr;
        size_t len = (size_t)p[0] | (size_t)p[1] << 8;

        if (list.len - 2 < len) {
            return false;
        }
        list = slice_from(list, 2 + len);
        count--;
    }
    return list.len == 0 && count == 0;
}

struct blob_sizes {
    uint64_t sender, recipient_count, recipients, meta, head, body_from, schedule;
};

static bool cut_sizes(struct slice *blob, struct blob_sizes *z)
{
    return varint_cut_max(blob, MESSAGE_ADDRESS_MAX, &z->sender) &&
           varint_cut_max(blob, UINT32_MAX, &z->recipient_count) &&
           varint_cut(blob, &z->recipients) && varint_cut(blob, &z->meta) &&
           varint_cut(blob, &z->head) && varint_cut_max(blob, SPOOL_BODY_MAX, &z->body_from) &&
           varint_cut(blob, &z->schedule);
}

bool message_blob_load(struct message_content *c, struct slice blob)
{
    struct blob_sizes z;
    struct slice sender, recipients, meta, head, schedule;

    MUST(c->sender.ptr == NULL && c->body == NULL && c->schedule == NULL);
    if (blob.len < 1 || blob.ptr[0] != BLOB_VERSION) {
        return false;
    }
    blob = slice_from(blob, 1);
    if (!cut_sizes(&blob, &z) || !varint_cut_bytes(&blob, z.sender, &sender) ||
        !varint_cut_bytes(&blob, z.recipients, &recipients) ||
        !varint_cut_bytes(&blob, z.meta, &meta) || !varint_cut_bytes(&blob, z.head, &head) ||
        !varint_cut_bytes(&blob, z.schedule, &schedule) || blob.len != 0) {
        return false;
    }
    if (!recipients_valid(recipients, z.recipient_count) || !meta_unpack(&c->meta, meta) ||
        (schedule.len != 0 && !schedule_load(schedule, &c->schedule))) {
        return false;
    }
    take_copy(&c->sender, sender);
    take_copy(&c->recipients, recipients);
    take_copy(&c->head, head);
    c->recipient_count = (uint32_t)z.recipient_count;
    c->body_from = (uint32_t)z.body_from;
    return true;
}

bool message_content_attach(struct message_content *c, struct body *body)
{
    MUST(c->body == NULL);
    if (c->body_from > body->bytes.len) {
        return false;
    }
    c->body = body;
    return true;
}
