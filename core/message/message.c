#include "core/message/message.h"

#include "core/base/mem.h"
#include "core/message/json_text.h"
#include "core/message/schedule.h"

#define RECIPIENT_HEAD 2u /* u16 length, little-endian */

struct message *message_new(void)
{
    struct message *m = MEM_NEW(struct message);

    m->flags = MESSAGE_NEW;
    return m;
}

void message_free(struct message **mp)
{
    struct message *m = *mp;

    *mp = NULL;
    if (m != NULL) {
        MUST(!timer_armed(&m->timer));
        message_content_free(&m->content);
        mem_give(m);
    }
}

struct message_content *message_content_new(void)
{
    return MEM_NEW(struct message_content);
}

void message_content_free(struct message_content **cp)
{
    struct message_content *c = *cp;

    *cp = NULL;
    if (c != NULL) {
        buf_free(&c->sender);
        buf_free(&c->recipients);
        meta_free(&c->meta);
        body_put(&c->body);
        buf_free(&c->head);
        schedule_free(&c->schedule);
        mem_give(c);
    }
}

size_t message_content_size(const struct message_content *c)
{
    if (c == NULL) {
        return 0;
    }
    return sizeof(*c) + c->sender.cap + c->recipients.cap + c->meta.packed.cap + c->head.cap +
           (c->body != NULL ? sizeof(*c->body) + c->body->bytes.cap : 0) +
           (c->schedule != NULL ? sizeof(*c->schedule) : 0);
}

/* ---- envelope ---- */

/* Room for exactly `size` more bytes where there is none yet: envelopes rarely grow later. */
static void reserve_exact(struct buf *b, size_t size)
{
    if (b->cap == 0 && size != 0) {
        b->ptr = mem_take(size);
        b->cap = size;
    }
}

struct slice message_sender(const struct message *m)
{
    MUST(m->content != NULL);
    return buf_slice(&m->content->sender);
}

void message_set_sender(struct message *m, struct slice addr)
{
    struct message_content *c = m->content;

    MUST(c != NULL && addr.len <= MESSAGE_ADDRESS_MAX);
    buf_clear(&c->sender);
    reserve_exact(&c->sender, addr.len);
    buf_put(&c->sender, addr);
    c->envelope_dirty = true;
}

void message_add_recipient(struct message *m, struct slice addr)
{
    struct message_content *c = m->content;
    char head[RECIPIENT_HEAD] = {(char)addr.len, (char)(addr.len >> 8)};

    MUST(c != NULL && addr.len <= MESSAGE_ADDRESS_MAX);
    reserve_exact(&c->recipients, RECIPIENT_HEAD + addr.len);
    buf_append(&c->recipients, head, RECIPIENT_HEAD);
    buf_put(&c->recipients, addr);
    c->recipient_count++;
    c->envelope_dirty = true;
}

void message_clear_recipients(struct message *m)
{
    MUST(m->content != NULL);
    buf_clear(&m->content->recipients);
    m->content->recipient_count = 0;
    m->content->envelope_dirty = true;
}

bool message_next_recipient(const struct message *m, size_t *at, struct slice *out)
{
    const struct buf *list = &m->content->recipients;
    const unsigned char *head;

    if (*at == list->len) {
        return false;
    }
    head = (const unsigned char *)list->ptr + *at;
    *out = slice_of(head + RECIPIENT_HEAD, (size_t)head[0] | (size_t)head[1] << 8);
    *at += RECIPIENT_HEAD + out->len;
    MUST_HOT(*at <= list->len);
    return true;
}

void message_domain_put(const struct message *m, struct buf *out)
{
    struct slice addr;
    size_t at = 0;
    const char *sign;

    MUST(m->content != NULL);
    if (!message_next_recipient(m, &at, &addr) || addr.len == 0) {
        return;
    }
    sign = memrchr(addr.ptr, '@', addr.len);
    if (sign == NULL) {
        return;
    }
    addr = slice_from(addr, (size_t)(sign - addr.ptr) + 1);
    buf_reserve(out, addr.len);
    for (size_t i = 0; i < addr.len; i++) {
        out->ptr[out->len + i] = char_lower(addr.ptr[i]);
    }
    out->len += addr.len;
}

/* ---- queue name ---- */

enum { PART_QUEUE, PART_CAMPAIGN, PART_TENANT, PART_ROUTING, PART_COUNT };

static const struct slice part_names[PART_COUNT] = {
    [PART_QUEUE] = SLICE_INIT("queue"),
    [PART_CAMPAIGN] = SLICE_INIT("campaign"),
    [PART_TENANT] = SLICE_INIT("tenant"),
    [PART_ROUTING] = SLICE_INIT("routing_domain"),
};

/* One pass over the metadata; what is absent or null stays {0}. */
static void find_parts(const struct meta *meta, struct slice parts[PART_COUNT])
{
    struct meta_entry e;

    memset(parts, 0, sizeof(parts[0]) * PART_COUNT);
    for (size_t at = 0; meta_next(meta, &at, &e);) {
        for (size_t i = 0; i < PART_COUNT; i++) {
            if (slice_eq(e.name, part_names[i]) && !slice_eq(e.value, SLICE("null"))) {
                parts[i] = e.value;
            }
        }
    }
}

/* Strings are decoded in place of their JSON text. */
static bool decode_parts(struct slice parts[PART_COUNT], struct buf scratch[PART_COUNT],
                         struct buf *why)
{
    for (size_t i = 0; i < PART_COUNT; i++) {
        if (parts[i].len != 0 && !json_text_get(parts[i], &scratch[i], &parts[i])) {
            buf_printf(why, "expected '%s' to be a string value", part_names[i].ptr);
            return false;
        }
    }
    return true;
}

static bool compose_name(const struct message *m, const struct slice parts[PART_COUNT],
                         struct buf *out, struct buf *why)
{
    if (parts[PART_QUEUE].ptr != NULL) {
        buf_put(out, parts[PART_QUEUE]);
        return true;
    }
    if (m->content->recipient_count == 0) {
        BUF_LIT(why, "message has no recipient to take the queue's domain from");
        return false;
    }
    if (parts[PART_CAMPAIGN].ptr != NULL) {
        buf_put(out, parts[PART_CAMPAIGN]);
        buf_char(out, ':');
    }
    if (parts[PART_CAMPAIGN].ptr != NULL || parts[PART_TENANT].ptr != NULL) {
        buf_put(out, parts[PART_TENANT]);
        buf_char(out, '@');
    }
    message_domain_put(m, out);
    if (parts[PART_ROUTING].ptr != NULL) {
        buf_char(out, '!');
        buf_put(out, parts[PART_ROUTING]);
    }
    return true;
}

bool message_queue_name(const struct message *m, struct buf *out, struct buf *why)
{
    struct slice parts[PART_COUNT];
    struct buf scratch[PART_COUNT] = {{0}};
    bool ok;

    MUST(m->content != NULL);
    find_parts(&m->content->meta, parts);
    ok = decode_parts(parts, scratch, why) && compose_name(m, parts, out, why);
    for (size_t i = 0; i < PART_COUNT; i++) {
        buf_free(&scratch[i]);
    }
    return ok;
}
