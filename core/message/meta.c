#include "core/message/meta.h"

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/message/json_text.h"

#define ENTRY_HEAD 6u /* u16 name length, u32 value length; little-endian */

void meta_free(struct meta *m)
{
    buf_free(&m->packed);
}

void meta_copy(struct meta *to, const struct meta *from)
{
    buf_clear(&to->packed);
    buf_put(&to->packed, buf_slice(&from->packed));
}

static void put_le(char *to, uint32_t value, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = (char)(value >> (8 * i));
    }
}

static uint32_t get_le(const char *from, size_t count)
{
    uint32_t value = 0;

    for (size_t i = 0; i < count; i++) {
        value |= (uint32_t)(unsigned char)from[i] << (8 * i);
    }
    return value;
}

/* The packed run is ours: meta_unpack() has checked what came from outside. */
bool meta_next(const struct meta *m, size_t *at, struct meta_entry *out)
{
    const char *head;

    if (*at == m->packed.len) {
        return false;
    }
    head = m->packed.ptr + *at;
    out->name = slice_of(head + ENTRY_HEAD, get_le(head, 2));
    out->value = slice_of(out->name.ptr + out->name.len, get_le(head + 2, 4));
    *at += ENTRY_HEAD + out->name.len + out->value.len;
    MUST_HOT(*at <= m->packed.len);
    return true;
}

struct slice meta_get(const struct meta *m, struct slice name)
{
    struct meta_entry e;

    for (size_t at = 0; meta_next(m, &at, &e);) {
        if (slice_eq(e.name, name)) {
            return e.value;
        }
    }
    return (struct slice){0};
}

/* Where the entry of that name begins; the end when there is none. */
static size_t meta_find(const struct meta *m, struct slice name, struct meta_entry *out)
{
    size_t start = 0;

    for (size_t at = 0; meta_next(m, &at, out); start = at) {
        if (slice_eq(out->name, name)) {
            return start;
        }
    }
    return m->packed.len;
}

/* Appends an entry whose value is still to be appended. */
static size_t entry_begin(struct meta *m, struct slice name, size_t value_room)
{
    size_t start = m->packed.len;

    buf_reserve(&m->packed, ENTRY_HEAD + name.len + value_room);
    put_le(m->packed.ptr + start, (uint32_t)name.len, 2);
    m->packed.len += ENTRY_HEAD;
    buf_put(&m->packed, name);
    return start;
}

static void entry_end(struct meta *m, size_t start, size_t name_len)
{
    size_t value_len = m->packed.len - start - ENTRY_HEAD - name_len;

    MUST(value_len <= UINT32_MAX);
    put_le(m->packed.ptr + start + 2, (uint32_t)value_len, 4);
}

/* Another length: the entries behind it move. */
static void entry_replace(struct meta *m, size_t start, struct slice name, struct slice old,
                          struct slice value)
{
    size_t value_at = start + ENTRY_HEAD + name.len;
    size_t tail = m->packed.len - value_at - old.len;

    MUST(value.len <= UINT32_MAX);
    if (value.len > old.len) {
        buf_reserve(&m->packed, value.len - old.len);
    }
    memmove(m->packed.ptr + value_at + value.len, m->packed.ptr + value_at + old.len, tail);
    memcpy(m->packed.ptr + value_at, value.ptr, value.len);
    put_le(m->packed.ptr + start + 2, (uint32_t)value.len, 4);
    m->packed.len = value_at + value.len + tail;
}

bool meta_set(struct meta *m, struct slice name, struct slice json_text)
{
    struct meta_entry e;
    size_t start;

    MUST(json_text.len != 0);
    if (name.len > META_NAME_MAX) {
        return false;
    }
    start = meta_find(m, name, &e);
    if (start < m->packed.len) {
        entry_replace(m, start, name, e.value, json_text);
        return true;
    }
    start = entry_begin(m, name, json_text.len);
    buf_put(&m->packed, json_text);
    entry_end(m, start, name.len);
    return true;
}

bool meta_set_string(struct meta *m, struct slice name, struct slice text)
{
    struct meta_entry e;
    size_t start;

    if (name.len > META_NAME_MAX) {
        return false;
    }
    start = meta_find(m, name, &e);
    if (start < m->packed.len) {
        struct buf value = {0};

        json_write_string(&value, text);
        entry_replace(m, start, name, e.value, buf_slice(&value));
        buf_free(&value);
        return true;
    }
    start = entry_begin(m, name, text.len + 2);
    json_write_string(&m->packed, text);
    entry_end(m, start, name.len);
    return true;
}

bool meta_get_string(const struct meta *m, struct slice name, struct buf *scratch,
                     struct slice *out, bool *is_other)
{
    struct slice value = meta_get(m, name);

    *is_other = false;
    if (value.len == 0 || slice_eq(value, SLICE("null"))) {
        return false;
    }
    *is_other = !json_text_get(value, scratch, out);
    return !*is_other;
}

void meta_write_json(struct buf *out, const struct meta *m)
{
    struct meta_entry e;

    buf_reserve(out, m->packed.len + 2);
    buf_char(out, '{');
    for (size_t at = 0; meta_next(m, &at, &e);) {
        if (out->ptr[out->len - 1] != '{') {
            buf_char(out, ',');
        }
        json_write_string(out, e.name);
        buf_char(out, ':');
        buf_put(out, e.value);
    }
    buf_char(out, '}');
}

static bool meta_valid(struct slice from)
{
    while (from.len != 0) {
        if (from.len < ENTRY_HEAD) {
            return false;
        }
        size_t name_len = get_le(from.ptr, 2), value_len = get_le(from.ptr + 2, 4);

        if (value_len == 0 || from.len - ENTRY_HEAD < name_len + value_len) {
            return false;
        }
        from = slice_from(from, ENTRY_HEAD + name_len + value_len);
    }
    return true;
}

bool meta_unpack(struct meta *m, struct slice from)
{
    if (!meta_valid(from)) {
        return false;
    }
    buf_clear(&m->packed);
    if (m->packed.cap == 0 && from.len != 0) { /* exact: most messages are never edited again */
        m->packed.ptr = mem_take(from.len);
        m->packed.cap = from.len;
    }
    buf_put(&m->packed, from);
    return true;
}
