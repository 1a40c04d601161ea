/* Message: metadata. */
#include "core/message/message.h"
#include "policy/api/api_private.h"

#define META_NAME_MAX 65535u

/* msg:get_meta(key) -> a fresh copy, nil when unset */
static int message_get_meta(lua_State *L)
{
    const struct message *m = vm_message_view(L, 1);
    struct slice text = meta_get(&m->content->meta, vm_check_string(L, 2));

    if (text.len == 0) {
        lua_pushnil(L);
    } else {
        vm_json_text_push(L, text);
    }
    return 1;
}

/* msg:set_meta(key, value) */
static int message_set_meta(lua_State *L)
{
    struct slice name = vm_check_string(L, 2);
    struct slice text;
    struct message *m;

    if (name.len > META_NAME_MAX) {
        vm_raise(L, "metadata name is too long");
    }
    text = vm_json_text(L, 3);
    m = vm_message_edit(L, 1);
    meta_set(&m->content->meta, name, text);
    m->content->envelope_dirty = true;
    return 0;
}

const luaL_Reg api_message_meta[] = {
    {"get_meta", message_get_meta},
    {"set_meta", message_set_meta},
    {NULL, NULL},
};
