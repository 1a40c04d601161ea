/* kumo.make_message and kumo.inject_message. */
#include "core/base/mem.h"
#include "core/message/message.h"
#include "core/shard/shard.h"
#include "policy/api/api_private.h"
#include "proto/address.h"

/* Recipients are checked before the message exists, so that an error leaves nothing behind. */
static void recipients_arg(lua_State *L, int idx, struct buf *out)
{
    size_t count = lua_istable(L, idx) ? lua_objlen(L, idx) : 1;

    if (count == 0) {
        vm_raise(L, "a message needs a recipient");
    }
    for (size_t i = 1; i <= count; i++) {
        size_t head = out->len;
        uint32_t len = 0;

        if (lua_istable(L, idx)) {
            lua_rawgeti(L, idx, (int)i);
        } else {
            lua_pushvalue(L, idx);
        }
        buf_append(out, &len, sizeof(len));
        api_check_address(L, lua_gettop(L), ADDRESS_POSTMASTER, out);
        len = (uint32_t)(out->len - head - sizeof(len));
        memcpy(out->ptr + head, &len, sizeof(len));
        lua_pop(L, 1);
    }
}

static struct message *message_build(struct api_services *s, lua_State *L, struct slice sender,
                                     struct slice recipients, struct slice text)
{
    struct message *m = message_new();
    struct buf bytes = {0};

    m->content = message_content_new();
    if (s != NULL && s->ids != NULL) {
        message_id_next(s->ids, ring_wall_ns(&vm_shard(vm_of(L))->ring), m->id);
    }
    message_set_sender(m, sender);
    while (recipients.len > 0) {
        uint32_t len;

        memcpy(&len, recipients.ptr, sizeof(len));
        message_add_recipient(m, slice_of(recipients.ptr + sizeof(len), len));
        recipients = slice_from(recipients, sizeof(len) + len);
    }
    buf_put(&bytes, text);
    message_set_data(m, &bytes);
    return m;
}

/* kumo.make_message(sender, recipient or array, text) */
static int kumo_make_message(lua_State *L)
{
    struct buf *sender = vm_scratch(L);
    struct buf *recipients = vm_scratch2(L);
    struct slice text = vm_check_string(L, 3);

    if (text.len == 0) {
        vm_raise(L, "message data must not be empty");
    }
    api_check_address(L, 1, ADDRESS_NULL, sender);
    recipients_arg(L, 2, recipients);
    vm_message_push_owned(L, message_build(api_services_find(L), L, buf_slice(sender),
                                           buf_slice(recipients), text));
    return 1;
}

struct injection {
    struct vm_wait wait;
    struct api_inject op;
};

static void injection_free(struct vm_wait *w)
{
    struct injection *in = CONTAINER_OF(w, struct injection, wait);

    buf_free(&in->op.why);
    mem_give(in);
}

static void injection_done(struct api_inject *op)
{
    vm_wait_complete(&CONTAINER_OF(op, struct injection, op)->wait);
}

/* kumo.inject_message(msg, deferred_spool?) */
static int inject_start(lua_State *L)
{
    struct api_services *s = api_services_of(L, "kumo.inject_message");
    struct message *m;
    struct injection *in;

    if (s->inject == NULL) {
        vm_raise(L, "kumo.inject_message is not available here");
    }
    (void)vm_message_view(L, 1);
    vm_wait_check(L, "kumo.inject_message");
    m = vm_message_release(L, 1);
    if (m == NULL) {
        vm_raise(L, "only messages from kumo.make_message can be injected");
    }
    in = MEM_NEW(struct injection);
    in->wait.free = injection_free;
    in->op.done = injection_done;
    s->inject(s->ctx, m, lua_toboolean(L, 2), &in->op);
    return vm_wait_start(L, &in->wait);
}

static int inject_finish(lua_State *L)
{
    struct injection *in = CONTAINER_OF(vm_wait_finished(L), struct injection, wait);

    if (!in->op.ok) {
        vm_raise_slice(L, buf_slice(&in->op.why));
    }
    return 0;
}

void api_make_message_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"make_message", kumo_make_message}, {NULL, NULL}};

    lua_pushvalue(L, 1);
    luaL_register(L, NULL, functions);
    vm_wait_register(L, "inject_message", inject_start, inject_finish);
    lua_pop(L, 1);
}
