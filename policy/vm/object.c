/* Messages and connection metadata as handlers hold them: a handle of slot and generation. The
 * handler edits a copy; when it returns the copy becomes the message, else it is dropped. */
#include "core/base/mem.h"
#include "core/message/schedule.h"
#include "policy/vm/vm_private.h"

#define KEEP_BYTES_MAX 65536u /* buffers of a slot larger than this are given back */

struct object_handle {
    uint32_t slot;
    uint32_t generation;
    struct message *owned; /* VM_CLASS_OWN_MESSAGE */
    size_t owned_bytes;
};

static void copy_buf(struct buf *to, const struct buf *from)
{
    buf_clear(to);
    buf_put(to, buf_slice(from));
}

static void trim_buf(struct buf *b)
{
    if (b->cap > KEEP_BYTES_MAX) {
        buf_free(b);
    } else {
        buf_clear(b);
    }
}

/* The slot's buffers are used again and again, so staging allocates nothing in the long run. */
static void stage_message(struct vm_message_slot *slot)
{
    const struct message_content *from = slot->lent->content;
    struct message_content *to = &slot->content;

    copy_buf(&to->sender, &from->sender);
    copy_buf(&to->recipients, &from->recipients);
    copy_buf(&to->meta.packed, &from->meta.packed);
    copy_buf(&to->head, &from->head);
    to->recipient_count = from->recipient_count;
    to->body = from->body != NULL ? body_get(from->body) : NULL;
    to->body_from = from->body_from;
    to->unsaved_bytes = from->unsaved_bytes;
    to->schedule = from->schedule; /* shared until replaced */
    to->envelope_dirty = from->envelope_dirty;
    to->data_dirty = from->data_dirty;
    slot->shadow = *slot->lent;
    slot->shadow.content = to;
    slot->staged = true;
}

static void settle_message(struct vm_message_slot *slot, bool commit)
{
    struct message *m = slot->lent;
    struct message_content old;

    slot->generation++;
    slot->lent = NULL;
    if (!slot->staged) {
        return;
    }
    slot->staged = false;
    if (commit) {
        old = *m->content;
        *m->content = slot->content;
        slot->content = old;
        m->due_ms = slot->shadow.due_ms;
        m->attempts = slot->shadow.attempts;
        m->size = slot->shadow.size;
        m->flags = slot->shadow.flags;
    }
    if (slot->content.schedule != m->content->schedule) {
        schedule_free(&slot->content.schedule);
    }
    slot->content.schedule = NULL;
    body_put(&slot->content.body);
    trim_buf(&slot->content.sender);
    trim_buf(&slot->content.recipients);
    trim_buf(&slot->content.meta.packed);
    trim_buf(&slot->content.head);
}

static void settle_meta(struct vm_meta_slot *slot, bool commit)
{
    slot->generation++;
    if (slot->staged && commit) {
        struct meta old = *slot->lent;

        *slot->lent = slot->meta;
        slot->meta = old;
    }
    slot->lent = NULL;
    if (slot->staged) {
        slot->staged = false;
        trim_buf(&slot->meta.packed);
    }
}

void objects_settle(struct vm_state *st, bool commit)
{
    for (uint32_t i = 0; i < st->message_count; i++) {
        settle_message(&st->messages[i], commit);
    }
    for (uint32_t i = 0; i < st->meta_count; i++) {
        settle_meta(&st->metas[i], commit);
    }
    st->message_count = 0;
    st->meta_count = 0;
}

void objects_free(struct vm_state *st)
{
    for (uint32_t i = 0; i < VM_OBJECTS_MAX; i++) {
        struct message_content *c = &st->messages[i].content;

        buf_free(&c->sender);
        buf_free(&c->recipients);
        buf_free(&c->head);
        meta_free(&c->meta);
        meta_free(&st->metas[i].meta);
    }
}

/* The same message may be pushed again for the next handler of a chain: the same slot. */
void object_push_message(struct vm_state *st, lua_State *L, struct message *m)
{
    uint32_t i = 0;

    while (i < st->message_count && st->messages[i].lent != m) {
        i++;
    }
    if (i == st->message_count) {
        MUST(i < VM_OBJECTS_MAX);
        st->messages[i].lent = m;
        st->message_count++;
    }
    struct object_handle *h = vm_class_new(L, VM_CLASS_MESSAGE, sizeof(*h));

    h->slot = i;
    h->generation = st->messages[i].generation;
}

void object_push_meta(struct vm_state *st, lua_State *L, struct meta *m)
{
    uint32_t i = 0;

    while (i < st->meta_count && st->metas[i].lent != m) {
        i++;
    }
    if (i == st->meta_count) {
        MUST(i < VM_OBJECTS_MAX);
        st->metas[i].lent = m;
        st->meta_count++;
    }
    struct object_handle *h = vm_class_new(L, VM_CLASS_CONN_META, sizeof(*h));

    h->slot = i;
    h->generation = st->metas[i].generation;
}

/* NULL: the object owns its message, which is then in *owned. */
static struct vm_message_slot *message_slot(lua_State *L, int idx, struct message **owned)
{
    const struct object_handle *h = vm_class_test(L, idx, VM_CLASS_MESSAGE);
    struct vm_state *st = vm_state_of(L);

    *owned = NULL;
    if (h == NULL) {
        h = vm_class_check(L, idx, VM_CLASS_OWN_MESSAGE, "Message");
        *owned = h->owned;
        if (h->owned == NULL) {
            vm_raise(L, "message was handed over by inject_message");
        }
        return NULL;
    }
    if (h->slot >= st->message_count || st->messages[h->slot].generation != h->generation) {
        vm_raise(L, "message used after its event handler returned");
    }
    if (st->messages[h->slot].lent->content == NULL) {
        vm_raise(L, "message content is not loaded");
    }
    return &st->messages[h->slot];
}

const struct message *vm_message_view(lua_State *L, int idx)
{
    struct message *owned;
    const struct vm_message_slot *slot = message_slot(L, idx, &owned);

    return owned != NULL ? owned : slot->staged ? &slot->shadow : slot->lent;
}

struct message *vm_message_edit(lua_State *L, int idx)
{
    struct message *owned;
    struct vm_message_slot *slot = message_slot(L, idx, &owned);

    if (owned != NULL) {
        return owned;
    }
    if (!slot->staged) {
        stage_message(slot);
    }
    return &slot->shadow;
}

void vm_message_set_schedule(lua_State *L, int idx, struct schedule *s)
{
    struct message *owned;
    struct vm_message_slot *slot = message_slot(L, idx, &owned);
    struct message_content *c = vm_message_edit(L, idx)->content;

    if (owned != NULL || c->schedule != slot->lent->content->schedule) {
        schedule_free(&c->schedule);
    }
    c->schedule = s;
    c->envelope_dirty = true;
}

void vm_message_push_owned(lua_State *L, struct message *m)
{
    struct vm_state *st = vm_state_of(L);
    struct object_handle *h = vm_class_new(L, VM_CLASS_OWN_MESSAGE, sizeof(*h));

    h->owned = m;
    h->owned_bytes = sizeof(*m) + message_content_size(m->content);
    if (m->content->body != NULL) {
        h->owned_bytes += m->content->body->bytes.len;
    }
    st->owned_bytes += h->owned_bytes;
    if (st->owned_bytes > st->bytes_max / 4) {
        (void)lua_gc(L, LUA_GCCOLLECT, 0); /* the collector does not see what messages weigh */
    }
    if (st->owned_bytes > st->bytes_max) {
        vm_raise(L, "not enough memory");
    }
}

struct message *vm_message_release(lua_State *L, int idx)
{
    struct object_handle *h = vm_class_test(L, idx, VM_CLASS_OWN_MESSAGE);
    struct message *m = h != NULL ? h->owned : NULL;

    if (m != NULL) {
        h->owned = NULL;
        vm_state_of(L)->owned_bytes -= h->owned_bytes;
    }
    return m;
}

static int message_gc(lua_State *L)
{
    struct message *m = vm_message_release(L, 1);

    message_free(&m);
    return 0;
}

static struct vm_meta_slot *meta_slot(lua_State *L, int idx)
{
    const struct object_handle *h = vm_class_check(L, idx, VM_CLASS_CONN_META, "conn_meta");
    struct vm_state *st = vm_state_of(L);

    if (h->slot >= st->meta_count || st->metas[h->slot].generation != h->generation) {
        vm_raise(L, "conn_meta used after its event handler returned");
    }
    return &st->metas[h->slot];
}

const struct meta *vm_conn_meta_view(lua_State *L, int idx)
{
    const struct vm_meta_slot *slot = meta_slot(L, idx);

    return slot->staged ? &slot->meta : slot->lent;
}

struct meta *vm_conn_meta_edit(lua_State *L, int idx)
{
    struct vm_meta_slot *slot = meta_slot(L, idx);

    if (!slot->staged) {
        copy_buf(&slot->meta.packed, &slot->lent->packed);
        slot->staged = true;
    }
    return &slot->meta;
}

void vm_address_push(lua_State *L, struct slice kept)
{
    void *bytes = vm_class_new(L, VM_CLASS_ADDRESS, kept.len);

    if (kept.len != 0) {
        memcpy(bytes, kept.ptr, kept.len);
    }
}

void vm_time_delta_push(lua_State *L, int64_t ns)
{
    *(int64_t *)vm_class_new(L, VM_CLASS_TIME_DELTA, sizeof(ns)) = ns;
}

void object_open(lua_State *L)
{
    static const luaL_Reg own_meta[] = {{"__gc", message_gc}, {NULL, NULL}};

    vm_class_open(L, VM_CLASS_MESSAGE, "Message", NULL, NULL);
    vm_class_open(L, VM_CLASS_OWN_MESSAGE, "Message", NULL, own_meta);
    vm_class_share(L, VM_CLASS_OWN_MESSAGE, VM_CLASS_MESSAGE);
    vm_class_open(L, VM_CLASS_CONN_META, "conn_meta", NULL, NULL);
    vm_class_open(L, VM_CLASS_ADDRESS, "EnvelopeAddress", NULL, NULL);
    vm_class_open(L, VM_CLASS_TIME_DELTA, "TimeDelta", NULL, NULL);
}
