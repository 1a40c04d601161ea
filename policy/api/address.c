/* EnvelopeAddress: user, domain, email; empty in all parts for the null sender. */
#include "policy/api/api_private.h"
#include "proto/address.h"

static struct slice address_arg(lua_State *L, int idx)
{
    const char *bytes = vm_class_check(L, idx, VM_CLASS_ADDRESS, "EnvelopeAddress");

    return slice_of(bytes, lua_objlen(L, idx));
}

static int address_index(lua_State *L)
{
    struct address a = address_split(address_arg(L, 1));
    struct slice key = lua_type(L, 2) == LUA_TSTRING ? vm_check_string(L, 2) : (struct slice){0};
    struct buf *user;

    if (slice_eq(key, SLICE("email"))) {
        vm_push_slice(L, a.text);
    } else if (slice_eq(key, SLICE("domain"))) {
        vm_push_slice(L, a.domain);
    } else if (slice_eq(key, SLICE("user"))) {
        user = vm_scratch(L);
        address_user_put(&a, user);
        vm_push_slice(L, buf_slice(user));
    } else {
        lua_pushnil(L);
    }
    return 1;
}

/* Where a value has to be JSON, an address is its text: split_transaction answers lists of them. */
static void address_plain(lua_State *L, int idx)
{
    vm_push_slice(L, address_arg(L, idx));
}

static int address_tostring(lua_State *L)
{
    vm_push_slice(L, address_arg(L, 1));
    return 1;
}

static int address_eq(lua_State *L)
{
    lua_pushboolean(L, vm_class_test(L, 1, VM_CLASS_ADDRESS) != NULL &&
                           vm_class_test(L, 2, VM_CLASS_ADDRESS) != NULL &&
                           slice_eq(address_arg(L, 1), address_arg(L, 2)));
    return 1;
}

void api_check_address(lua_State *L, int idx, unsigned flags, struct buf *out)
{
    struct slice text;

    if (vm_class_test(L, idx, VM_CLASS_ADDRESS) != NULL) {
        text = address_arg(L, idx);
        if (text.len == 0 && (flags & ADDRESS_NULL) == 0) {
            vm_raise(L, "the null sender is not a recipient");
        }
        buf_put(out, text);
        return;
    }
    text = vm_check_string(L, idx);
    if (!address_parse(text, flags, out)) {
        vm_raise(L, "%.*s is not a valid email address", SLICE_ARG(slice_head(text, 512)));
    }
}

void api_address_open(lua_State *L)
{
    static const luaL_Reg meta[] = {
        {"__index", address_index},
        {"__tostring", address_tostring},
        {"__eq", address_eq},
        {NULL, NULL},
    };

    vm_class_open(L, VM_CLASS_ADDRESS, "EnvelopeAddress", NULL, meta);
    vm_class_plain(L, VM_CLASS_ADDRESS, address_plain);
}
