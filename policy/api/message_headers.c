/* Message: reading headers, adding and removing them. */
#include "core/message/message.h"
#include "policy/api/api_private.h"
#include "proto/header.h"

const struct message *api_check_loaded(lua_State *L)
{
    const struct message *m = vm_message_view(L, 1);

    if (m->content->body == NULL) {
        vm_raise(L, "message data is not loaded");
    }
    return m;
}

static struct message *headers_edit(lua_State *L)
{
    (void)api_check_loaded(L);
    return vm_message_edit(L, 1);
}

static void push_value(lua_State *L, struct slice raw_value)
{
    struct buf *text = vm_scratch(L);

    (void)header_decode_put(text, raw_value);
    vm_push_slice(L, buf_slice(text));
}

struct find_header {
    struct slice name, value;
    bool found;
};

static bool find_header(void *arg, struct slice name, struct slice raw_value)
{
    struct find_header *f = arg;

    f->found = slice_eq_nocase(name, f->name);
    f->value = raw_value;
    return !f->found;
}

bool api_header_first(const struct message *m, struct slice name, struct slice *raw_value_out)
{
    struct find_header f = {.name = name};

    message_each_header(m, find_header, &f);
    *raw_value_out = f.value;
    return f.found;
}

/* msg:get_first_named_header_value(name) -> text or nil */
static int message_get_first_named(lua_State *L)
{
    struct slice name = vm_check_string(L, 2), raw_value;

    if (api_header_first(api_check_loaded(L), name, &raw_value)) {
        push_value(L, raw_value);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

struct search {
    lua_State *L;
    struct slice name;
    int count;
};

static bool collect_named(void *arg, struct slice name, struct slice raw_value)
{
    struct search *s = arg;

    if (slice_eq_nocase(name, s->name)) {
        push_value(s->L, raw_value);
        lua_rawseti(s->L, -2, ++s->count);
    }
    return true;
}

static int message_get_all_named(lua_State *L)
{
    struct search s = {.L = L, .name = vm_check_string(L, 2)};
    const struct message *m = api_check_loaded(L);

    vm_array_new(L, 0);
    message_each_header(m, collect_named, &s);
    return 1;
}

static bool collect_all(void *arg, struct slice name, struct slice raw_value)
{
    struct search *s = arg;

    vm_array_new(s->L, 2);
    vm_push_slice(s->L, name);
    lua_rawseti(s->L, -2, 1);
    push_value(s->L, raw_value);
    lua_rawseti(s->L, -2, 2);
    lua_rawseti(s->L, -2, ++s->count);
    return true;
}

/* msg:get_all_headers() -> {{name, value}, ...} */
static int message_get_all(lua_State *L)
{
    struct search s = {.L = L};
    const struct message *m = api_check_loaded(L);

    vm_array_new(L, 0);
    message_each_header(m, collect_all, &s);
    return 1;
}

/* The value argument, encoded into scratch memory if the fourth argument says so. */
static struct slice value_arg(lua_State *L)
{
    struct slice value = vm_check_string(L, 3);
    struct buf *text;

    if (!lua_toboolean(L, 4)) {
        return value;
    }
    text = vm_scratch(L);
    header_encode_put(text, value);
    return buf_slice(text);
}

/* msg:prepend_header(name, value, encode?) */
static int message_prepend(lua_State *L)
{
    struct slice name = vm_check_string(L, 2);
    struct slice value = value_arg(L);

    message_prepend_header(headers_edit(L), name, value);
    return 0;
}

/* msg:append_header(name, value, encode?) */
static int message_append(lua_State *L)
{
    struct slice name = vm_check_string(L, 2);
    struct slice value = value_arg(L);

    if (!message_append_header(headers_edit(L), name, value)) {
        vm_raise(L, "append_header could not find the end of the header block");
    }
    return 0;
}

static bool is_named(void *arg, struct slice name, struct slice raw_value)
{
    return slice_eq_nocase(name, *(struct slice *)arg);
}

static int message_remove_all_named(lua_State *L)
{
    struct slice name = vm_check_string(L, 2);

    (void)message_remove_headers(headers_edit(L), is_named, &name);
    return 0;
}

bool api_name_listed(lua_State *L, int idx, struct slice name)
{
    size_t count = lua_objlen(L, idx);
    bool hit = false;

    for (size_t i = 1; i <= count && !hit; i++) {
        size_t len;
        const char *s;

        lua_rawgeti(L, idx, (int)i);
        s = lua_tolstring(L, -1, &len);
        hit = s != NULL && slice_eq_nocase(slice_of(s, len), name);
        lua_pop(L, 1);
    }
    return hit;
}

void api_check_names(lua_State *L, int idx)
{
    if (!lua_istable(L, idx)) {
        vm_raise_type(L, idx, "array of header names");
    }
    for (size_t i = 1; i <= lua_objlen(L, idx); i++) {
        lua_rawgeti(L, idx, (int)i);
        if (lua_type(L, -1) != LUA_TSTRING) {
            vm_raise_type(L, idx, "array of header names");
        }
        lua_pop(L, 1);
    }
}

static bool is_x_header(void *arg, struct slice name, struct slice raw_value)
{
    return slice_starts_nocase(name, SLICE("X-"));
}

static bool is_listed(void *arg, struct slice name, struct slice raw_value)
{
    return api_name_listed(arg, 2, name);
}

/* msg:remove_x_headers(names?) */
static int message_remove_x(lua_State *L)
{
    bool by_name = !lua_isnoneornil(L, 2);

    if (by_name) {
        api_check_names(L, 2);
    }
    (void)message_remove_headers(headers_edit(L), by_name ? is_listed : is_x_header, L);
    return 0;
}

const luaL_Reg api_message_headers[] = {
    {"get_first_named_header_value", message_get_first_named},
    {"get_all_named_header_values", message_get_all_named},
    {"get_all_headers", message_get_all},
    {"prepend_header", message_prepend},
    {"append_header", message_append},
    {"remove_all_named_headers", message_remove_all_named},
    {"remove_x_headers", message_remove_x},
    {NULL, NULL},
};
