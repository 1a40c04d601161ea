/* HeaderAddressList and HeaderAddress: what msg:from_header() and its kin answer.
 *
 * The environment of a list is an array: a mailbox is {name, email, user, domain}, a group
 * {group=name, mailbox...}. That of an address is one mailbox. */
#include "core/message/message.h"
#include "policy/api/api_private.h"
#include "policy/api/header_address_parse.h"
#include "proto/address.h"
#include "proto/header.h"

struct collector {
    lua_State *L;
    int list;  /* index of the list's table */
    int open;  /* index of the table that takes mailboxes now */
};

static void set_text(lua_State *L, const char *field, struct slice text)
{
    vm_push_slice(L, text);
    lua_setfield(L, -2, field);
}

/* The table on top goes behind what the table at idx has. */
static void append_to(lua_State *L, int idx)
{
    lua_rawseti(L, idx, (int)lua_objlen(L, idx) + 1);
}

static void push_user(lua_State *L, struct slice local)
{
    luaL_Buffer b;

    if (local.len < 2 || local.ptr[0] != '"') {
        vm_push_slice(L, local);
        return;
    }
    luaL_buffinit(L, &b);
    for (size_t i = 1; i + 1 < local.len; i++) {
        i += local.ptr[i] == '\\' && i + 2 < local.len;
        luaL_addchar(&b, local.ptr[i]);
    }
    luaL_pushresult(&b);
}

static void collect(void *arg, const struct header_address *a)
{
    struct collector *c = arg;
    lua_State *L = c->L;

    switch (a->kind) {
    case HEADER_GROUP_BEGIN:
        lua_newtable(L);
        set_text(L, "group", a->name);
        lua_pushvalue(L, -1);
        append_to(L, c->list);
        c->open = lua_gettop(L);
        return;
    case HEADER_GROUP_END:
        lua_settop(L, c->list);
        c->open = c->list;
        return;
    case HEADER_MAILBOX:
        break;
    }
    lua_newtable(L);
    if (a->has_name) {
        set_text(L, "name", a->name);
    }
    push_user(L, a->local);
    lua_setfield(L, -2, "user");
    set_text(L, "domain", a->domain);
    vm_push_slice(L, a->local);
    lua_pushliteral(L, "@");
    vm_push_slice(L, a->domain);
    lua_concat(L, 3);
    lua_setfield(L, -2, "email");
    append_to(L, c->open);
}

static int push_list(lua_State *L, struct slice raw_value)
{
    struct buf *text = vm_scratch(L);
    struct collector c = {.L = L};
    struct slice value;

    header_unfold_put(text, raw_value);
    vm_push_slice(L, buf_slice(text)); /* keeps the value while the buffers are used again */
    value = vm_check_string(L, lua_gettop(L));
    (void)vm_class_new(L, API_CLASS_HEADER_ADDRESSES, 1);
    lua_newtable(L);
    c.list = c.open = lua_gettop(L);
    if (!header_address_parse(value, vm_scratch(L), vm_scratch2(L), collect, &c)) {
        vm_raise(L, "'%.*s' is not a valid address list", SLICE_ARG(slice_head(value, 256)));
    }
    lua_settop(L, c.list);
    (void)lua_setfenv(L, -2);
    return 1;
}

static int address_header(lua_State *L, struct slice name)
{
    struct slice raw_value;

    if (!api_header_first(api_check_loaded(L), name, &raw_value)) {
        lua_pushnil(L);
        return 1;
    }
    return push_list(L, raw_value);
}

static int message_get_address_header(lua_State *L)
{
    return address_header(L, vm_check_string(L, 2));
}

static int message_from_header(lua_State *L)
{
    return address_header(L, SLICE("From"));
}

static int message_to_header(lua_State *L)
{
    return address_header(L, SLICE("To"));
}

/* ---- the objects ---- */

/* Pushes a HeaderAddress over the mailbox on top, in its place. */
static void wrap_mailbox(lua_State *L)
{
    (void)vm_class_new(L, API_CLASS_HEADER_ADDRESS, 1);
    lua_insert(L, -2);
    (void)lua_setfenv(L, -2);
}

/* list.list: flat, groups expanded. The environment is at index 3. */
static int push_flat(lua_State *L)
{
    int count = 0;

    vm_array_new(L, (uint32_t)lua_objlen(L, 3));
    for (size_t i = 1; i <= lua_objlen(L, 3); i++) {
        lua_rawgeti(L, 3, (int)i); /* 5 */
        lua_getfield(L, -1, "group");
        bool is_group = !lua_isnil(L, -1);

        lua_pop(L, 1);
        if (!is_group) {
            wrap_mailbox(L);
            lua_rawseti(L, 4, ++count);
            continue;
        }
        for (size_t k = 1; k <= lua_objlen(L, 5); k++) {
            lua_rawgeti(L, 5, (int)k);
            wrap_mailbox(L);
            lua_rawseti(L, 4, ++count);
        }
        lua_pop(L, 1);
    }
    return 1;
}

static bool is_part(struct slice key)
{
    return slice_eq(key, SLICE("user")) || slice_eq(key, SLICE("domain")) ||
           slice_eq(key, SLICE("email")) || slice_eq(key, SLICE("name"));
}

static int list_index(lua_State *L)
{
    struct slice key = lua_type(L, 2) == LUA_TSTRING ? vm_check_string(L, 2) : (struct slice){0};

    (void)vm_class_check(L, 1, API_CLASS_HEADER_ADDRESSES, "HeaderAddressList");
    lua_settop(L, 2);
    lua_getfenv(L, 1);
    if (slice_eq(key, SLICE("list"))) {
        return push_flat(L);
    }
    if (!is_part(key)) {
        lua_pushnil(L);
        return 1;
    }
    if (lua_objlen(L, 3) == 0) {
        vm_raise(L, "no addresses");
    }
    if (lua_objlen(L, 3) > 1) {
        vm_raise(L, "is not a simple single address");
    }
    lua_rawgeti(L, 3, 1);
    lua_getfield(L, -1, "group");
    if (!lua_isnil(L, -1)) {
        vm_raise(L, "is not a simple address");
    }
    lua_pop(L, 1);
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    return 1;
}

static int address_index(lua_State *L)
{
    (void)vm_class_check(L, 1, API_CLASS_HEADER_ADDRESS, "HeaderAddress");
    lua_getfenv(L, 1);
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    return 1;
}

/* {"name":null,"address":"a@b.c"} of the mailbox at idx, appended. */
static void put_mailbox(lua_State *L, int idx, struct buf *out)
{
    BUF_LIT(out, "{\"name\":");
    lua_getfield(L, idx, "name");
    if (lua_isnil(L, -1)) {
        BUF_LIT(out, "null");
    } else {
        json_write_string(out, vm_check_string(L, lua_gettop(L)));
    }
    BUF_LIT(out, ",\"address\":");
    lua_getfield(L, idx, "email");
    json_write_string(out, vm_check_string(L, lua_gettop(L)));
    buf_char(out, '}');
    lua_pop(L, 2);
}

static void put_group(lua_State *L, int idx, struct buf *out)
{
    BUF_LIT(out, "{\"Group\":{\"name\":");
    lua_getfield(L, idx, "group");
    json_write_string(out, vm_check_string(L, lua_gettop(L)));
    lua_pop(L, 1);
    BUF_LIT(out, ",\"entries\":[");
    for (size_t k = 1; k <= lua_objlen(L, idx); k++) {
        if (k > 1) {
            buf_char(out, ',');
        }
        lua_rawgeti(L, idx, (int)k);
        put_mailbox(L, lua_gettop(L), out);
        lua_pop(L, 1);
    }
    BUF_LIT(out, "]}}");
}

static int list_tostring(lua_State *L)
{
    struct buf *out = vm_scratch(L);

    (void)vm_class_check(L, 1, API_CLASS_HEADER_ADDRESSES, "HeaderAddressList");
    lua_settop(L, 1);
    lua_getfenv(L, 1);
    buf_char(out, '[');
    for (size_t i = 1; i <= lua_objlen(L, 2); i++) {
        if (i > 1) {
            buf_char(out, ',');
        }
        lua_rawgeti(L, 2, (int)i);
        lua_getfield(L, 3, "group");
        bool is_group = !lua_isnil(L, -1);

        lua_pop(L, 1);
        if (is_group) {
            put_group(L, 3, out);
        } else {
            BUF_LIT(out, "{\"Address\":");
            put_mailbox(L, 3, out);
            buf_char(out, '}');
        }
        lua_pop(L, 1);
    }
    buf_char(out, ']');
    vm_push_slice(L, buf_slice(out));
    return 1;
}

static int address_tostring(lua_State *L)
{
    struct buf *out = vm_scratch(L);

    (void)vm_class_check(L, 1, API_CLASS_HEADER_ADDRESS, "HeaderAddress");
    lua_getfenv(L, 1);
    put_mailbox(L, lua_gettop(L), out);
    vm_push_slice(L, buf_slice(out));
    return 1;
}

void api_header_address_open(lua_State *L)
{
    static const luaL_Reg list_meta[] = {
        {"__index", list_index}, {"__tostring", list_tostring}, {NULL, NULL}};
    static const luaL_Reg address_meta[] = {
        {"__index", address_index}, {"__tostring", address_tostring}, {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"get_address_header", message_get_address_header},
        {"from_header", message_from_header},
        {"to_header", message_to_header},
        {NULL, NULL},
    };

    vm_class_open(L, API_CLASS_HEADER_ADDRESSES, "HeaderAddressList", NULL, list_meta);
    vm_class_open(L, API_CLASS_HEADER_ADDRESS, "HeaderAddress", NULL, address_meta);
    vm_class_open(L, VM_CLASS_MESSAGE, "Message", methods, NULL);
}
