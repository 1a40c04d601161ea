/* Message: id, sender, recipients, queue name, attempts. */
#include "core/message/message.h"
#include "policy/api/api_private.h"
#include "proto/address.h"

static int message_id(lua_State *L)
{
    char text[MESSAGE_ID_TEXT];

    message_id_text(vm_message_view(L, 1)->id, text);
    lua_pushlstring(L, text, sizeof(text));
    return 1;
}

static int message_get_sender(lua_State *L)
{
    vm_address_push(L, message_sender(vm_message_view(L, 1)));
    return 1;
}

/* msg:set_sender(text or address) */
static int message_assign_sender(lua_State *L)
{
    struct buf *kept = vm_scratch(L);

    api_check_address(L, 2, ADDRESS_NULL, kept);
    message_set_sender(vm_message_edit(L, 1), buf_slice(kept));
    return 0;
}

static void push_recipients(lua_State *L, const struct message *m)
{
    struct slice addr;
    int at = 0;

    vm_array_new(L, m->content->recipient_count);
    for (size_t pos = 0; message_next_recipient(m, &pos, &addr);) {
        vm_address_push(L, addr);
        lua_rawseti(L, -2, ++at);
    }
}

/* msg:recipient() -> nil, an address, or an array of addresses */
static int message_recipient(lua_State *L)
{
    const struct message *m = vm_message_view(L, 1);
    struct slice addr;
    size_t pos = 0;

    if (m->content->recipient_count > 1) {
        push_recipients(L, m);
    } else if (message_next_recipient(m, &pos, &addr)) {
        vm_address_push(L, addr);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

static int message_recipient_list(lua_State *L)
{
    push_recipients(L, vm_message_view(L, 1));
    return 1;
}

/* The kept forms, each behind its length, so that a bad one leaves the message alone. */
static void collect_recipients(lua_State *L, int idx, struct buf *out)
{
    size_t count = lua_objlen(L, idx);

    for (size_t i = 1; i <= count; i++) {
        size_t head = out->len;
        uint32_t len = 0;

        buf_append(out, &len, sizeof(len));
        lua_rawgeti(L, idx, (int)i);
        api_check_address(L, lua_gettop(L), ADDRESS_POSTMASTER, out);
        lua_pop(L, 1);
        len = (uint32_t)(out->len - head - sizeof(len));
        memcpy(out->ptr + head, &len, sizeof(len));
    }
}

/* msg:set_recipient(text, address, or an array of either) */
static int message_set_recipient(lua_State *L)
{
    struct buf *kept = vm_scratch(L);
    struct message *m;

    if (!lua_istable(L, 2)) {
        api_check_address(L, 2, ADDRESS_POSTMASTER, kept);
        m = vm_message_edit(L, 1);
        message_clear_recipients(m);
        message_add_recipient(m, buf_slice(kept));
        return 0;
    }
    collect_recipients(L, 2, kept);
    m = vm_message_edit(L, 1);
    message_clear_recipients(m);
    for (size_t at = 0; at < kept->len;) {
        uint32_t len;

        memcpy(&len, kept->ptr + at, sizeof(len));
        at += sizeof(len);
        message_add_recipient(m, slice_of(kept->ptr + at, len));
        at += len;
    }
    return 0;
}

static int message_get_queue_name(lua_State *L)
{
    const struct message *m = vm_message_view(L, 1);
    struct buf *name = vm_scratch(L);
    struct buf *why = vm_scratch2(L);

    if (!message_queue_name(m, name, why)) {
        vm_raise_slice(L, buf_slice(why));
    }
    vm_push_slice(L, buf_slice(name));
    return 1;
}

static int message_num_attempts(lua_State *L)
{
    lua_pushinteger(L, vm_message_view(L, 1)->attempts);
    return 1;
}

static int message_increment_num_attempts(lua_State *L)
{
    struct message *m = vm_message_edit(L, 1);

    if (m->attempts < UINT16_MAX) {
        m->attempts++;
    }
    return 0;
}

/* Saving is the engine's business when the handler returns; what matters is whether it may be put
 * off (deferred_spool). */
static int message_save(lua_State *L)
{
    if ((vm_message_view(L, 1)->flags & MESSAGE_SAVE) == 0) {
        vm_message_edit(L, 1)->flags |= MESSAGE_SAVE;
    }
    return 0;
}

/* What is in memory while a handler looks at it cannot go. */
static int message_shrink(lua_State *L)
{
    (void)vm_message_view(L, 1);
    lua_pushboolean(L, false);
    return 1;
}

const luaL_Reg api_message_envelope[] = {
    {"id", message_id},
    {"sender", message_get_sender},
    {"set_sender", message_assign_sender},
    {"recipient", message_recipient},
    {"recipient_list", message_recipient_list},
    {"set_recipient", message_set_recipient},
    {"queue_name", message_get_queue_name},
    {"num_attempts", message_num_attempts},
    {"increment_num_attempts", message_increment_num_attempts},
    {"set_force_sync", message_save}, /* every record is synced, unless durability says otherwise */
    {"save", message_save},
    {"shrink", message_shrink},
    {"shrink_data", message_shrink},
    {NULL, NULL},
};
