/* conn_meta: what a session knows about its peer, and what handlers remember there. */
#include "core/message/meta.h"
#include "policy/api/api_private.h"

#define META_NAME_MAX 65535u

static int conn_meta_get(lua_State *L)
{
    struct slice text = meta_get(vm_conn_meta_view(L, 1), vm_check_string(L, 2));

    if (text.len == 0) {
        lua_pushnil(L);
    } else {
        vm_json_text_push(L, text);
    }
    return 1;
}

static int conn_meta_set(lua_State *L)
{
    struct slice name = vm_check_string(L, 2);
    struct slice text;

    if (name.len > META_NAME_MAX) {
        vm_raise(L, "metadata name is too long");
    }
    text = vm_json_text(L, 3);
    meta_set(vm_conn_meta_edit(L, 1), name, text);
    return 0;
}

/* Pushes the address of the "IP:PORT" on top of the stack. */
static void push_host(lua_State *L)
{
    struct slice text = lua_type(L, -1) == LUA_TSTRING ? vm_check_string(L, -1) : SLICE("");
    size_t len = text.len;

    while (len > 0 && text.ptr[len - 1] != ':') {
        len--;
    }
    text = slice_head(text, len > 0 ? len - 1 : text.len);
    if (text.len > 2 && text.ptr[0] == '[') {
        text = slice_of(text.ptr + 1, text.len - 2);
    }
    vm_push_slice(L, text);
}

/* {peer_address=, identities={{identity=,context=}...}, groups={}}: a copy */
static int conn_meta_auth_info(lua_State *L)
{
    static const struct {
        const char *meta, *context;
    } sources[] = {{"authn_id", "SmtpAuthPlainAuthentication"},
                   {"authz_id", "SmtpAuthPlainAuthorization"}};
    const struct meta *meta = vm_conn_meta_view(L, 1);
    struct slice peer = meta_get(meta, SLICE("received_from"));
    int at = 0;

    lua_newtable(L);
    if (peer.len != 0) {
        vm_json_text_push(L, peer);
        push_host(L);
        lua_setfield(L, -3, "peer_address");
        lua_pop(L, 1);
    }
    vm_array_new(L, 2);
    for (size_t i = 0; i < ARRAY_COUNT(sources); i++) {
        struct slice id = meta_get(meta, slice_str(sources[i].meta));

        if (id.len == 0 || id.ptr[0] != '"') {
            continue;
        }
        lua_newtable(L);
        vm_json_text_push(L, id);
        lua_setfield(L, -2, "identity");
        lua_pushstring(L, sources[i].context);
        lua_setfield(L, -2, "context");
        lua_rawseti(L, -2, ++at);
    }
    lua_setfield(L, -2, "identities");
    vm_array_new(L, 0);
    lua_setfield(L, -2, "groups");
    return 1;
}

void api_conn_meta_open(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"get_meta", conn_meta_get},
        {"set_meta", conn_meta_set},
        {"auth_info", conn_meta_auth_info},
        {NULL, NULL},
    };

    vm_class_open(L, VM_CLASS_CONN_META, "conn_meta", methods, NULL);
}
