#include "spool/row.h"

#include "core/base/check.h"

/* What of an entry's payload its row keeps. */
static struct slice row_extra(const struct entry_head *head, struct slice payload)
{
    struct record_view view;

    switch (head->kind) {
    case ENTRY_RECORD:
        if (record_parse(payload, true, &view)) {
            return slice_head(payload, sizeof(view.head) + view.head.queue_len);
        }
        break;
    case ENTRY_SETTLED_SET:
        return payload;
    default:
        break;
    }
    return slice_of(NULL, 0);
}

bool row_from_entry(const struct entry_head *head, uint64_t offset, struct slice payload,
                    bool sound, struct row *out)
{
    *out = (struct row){
        .head = {.kind = head->kind,
                 .flags = head->flags,
                 .unit = (uint32_t)(offset / FORMAT_UNIT),
                 .len = head->len,
                 .count = head->count,
                 .stamp = head->stamp,
                 .version = head->version},
    };
    if (head->kind == ENTRY_PAD) {
        return false;
    }
    if (!sound) {
        /* Who was settled stands in the head; only what happened is lost. */
        return head->kind == ENTRY_SETTLE && head->stamp != 0;
    }
    out->extra = row_extra(head, payload);
    out->payload = payload;
    out->head.extra = (uint32_t)out->extra.len;
    if (head->kind == ENTRY_RECORD) {
        memcpy(&out->body_id, payload.ptr, sizeof(out->body_id));
    }
    return true;
}

void row_put(struct buf *index, const struct row *row)
{
    static const char zeros[8] = {0};

    buf_append(index, &row->head, sizeof(row->head));
    buf_put(index, row->extra);
    buf_append(index, zeros, format_up(row->extra.len, 8) - row->extra.len);
}

static bool row_sane(const struct row *row)
{
    struct record_view view;

    switch (row->head.kind) {
    case ENTRY_RECORD:
        return record_parse(row->extra, false, &view) && view.head.body_id != 0;
    case ENTRY_SETTLED_SET:
        return row->extra.len == (uint64_t)row->head.count * sizeof(uint64_t);
    default:
        return row->head.kind > ENTRY_PAD && row->head.kind < ENTRY_KIND_END && row->extra.len == 0;
    }
}

bool row_next(struct slice index, size_t *at, struct row *out)
{
    struct slice rest = slice_from(index, *at);

    if (rest.len < sizeof(out->head)) {
        return false;
    }
    *out = (struct row){0};
    memcpy(&out->head, rest.ptr, sizeof(out->head));
    if (row_size(out->head.extra) > rest.len) {
        return false;
    }
    out->extra = slice_of(rest.ptr + sizeof(out->head), out->head.extra);
    if (!row_sane(out)) {
        return false;
    }
    if (out->head.kind == ENTRY_RECORD) {
        memcpy(&out->body_id, out->extra.ptr, sizeof(out->body_id));
    }
    *at += row_size(out->head.extra);
    return true;
}
