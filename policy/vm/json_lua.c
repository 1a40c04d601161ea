/* Lua values as JSON trees, and back. */
#include <math.h>

#include "core/base/utf8.h"
#include "policy/vm/vm_private.h"

#define NODES_MAX (1u << 20) /* a value that shares subtables can be larger than its memory */

struct reader {
    lua_State *L;
    struct vm_state *st;
    struct json_doc *doc;
    struct buf *why;
    uint32_t node_count;
    uint32_t depth;
    const void *path[JSON_DEPTH_MAX]; /* the tables that we are inside of */
};

static bool read_value(struct reader *r, int idx, struct json **out);

static bool reject_value(struct reader *r, const char *text)
{
    buf_put(r->why, slice_str(text));
    return false;
}

static bool enter_table(struct reader *r, int idx)
{
    const void *table = lua_topointer(r->L, idx);

    for (uint32_t i = 0; i < r->depth; i++) {
        if (r->path[i] == table) {
            return reject_value(r, "recursive table detected");
        }
    }
    if (r->depth == JSON_DEPTH_MAX - 1 || !lua_checkstack(r->L, 8)) {
        return reject_value(r, "table is nested too deeply");
    }
    r->path[r->depth++] = table;
    return true;
}

static bool is_marked_array(struct reader *r, int idx)
{
    bool marked;

    if (!lua_getmetatable(r->L, idx)) {
        return false;
    }
    marked = lua_topointer(r->L, -1) == r->st->array_table;
    lua_pop(r->L, 1);
    return marked;
}

static bool read_array(struct reader *r, int idx, size_t count, struct json *array)
{
    for (size_t i = 1; i <= count; i++) {
        struct json *item;

        lua_rawgeti(r->L, idx, (int)i);
        if (!read_value(r, lua_gettop(r->L), &item)) {
            return false;
        }
        lua_pop(r->L, 1);
        json_array_add(array, item);
    }
    return true;
}

/* The key at idx as text; numbers are spelled out without touching the value on the stack, which
 * lua_next() still needs. */
static bool read_key(struct reader *r, int idx, char *scratch, size_t scratch_size,
                     struct slice *out)
{
    size_t len;
    int64_t integer;

    switch (lua_type(r->L, idx)) {
    case LUA_TSTRING: {
        const char *s = lua_tolstring(r->L, idx, &len);

        *out = slice_of(s, len);
        return true;
    }
    case LUA_TNUMBER:
        if (vm_integer_get(r->L, idx, &integer)) {
            len = (size_t)snprintf(scratch, scratch_size, "%lld", (long long)integer);
        } else {
            len = (size_t)snprintf(scratch, scratch_size, "%.17g", lua_tonumber(r->L, idx));
        }
        *out = slice_of(scratch, len);
        return true;
    default:
        buf_printf(r->why, "invalid type: %s, expected a string key", luaL_typename(r->L, idx));
        return false;
    }
}

static bool read_object(struct reader *r, int idx, struct json *object)
{
    char scratch[40];

    lua_pushnil(r->L);
    while (lua_next(r->L, idx) != 0) {
        int top = lua_gettop(r->L);
        struct json *item;
        struct slice key;

        if (!read_key(r, top - 1, scratch, sizeof(scratch), &key) ||
            !read_value(r, top, &item)) {
            return false;
        }
        json_object_set(r->doc, object, key, item);
        lua_pop(r->L, 1);
    }
    return true;
}

static bool read_table(struct reader *r, int idx, struct json **out)
{
    size_t count = lua_objlen(r->L, idx);
    bool is_array = count > 0 || is_marked_array(r, idx);

    if (count > NODES_MAX) {
        return reject_value(r, "value is too large");
    }
    if (!enter_table(r, idx)) {
        return false;
    }
    *out = json_new(r->doc, is_array ? JSON_ARRAY : JSON_OBJECT);
    if (is_array ? !read_array(r, idx, count, *out) : !read_object(r, idx, *out)) {
        return false;
    }
    r->depth--;
    return true;
}

static bool read_object_of_class(struct reader *r, int idx, struct json **out)
{
    int64_t integer;

    if (vm_class_test(r->L, idx, VM_CLASS_INTEGER) != NULL) {
        integer_json(r->L, idx, r->doc, out);
        return true;
    }
    if (vm_integer_get(r->L, idx, &integer)) {
        *out = json_new_int(r->doc, integer);
        return true;
    }
    for (uint32_t class = 1; class < VM_CLASS_MAX; class++) {
        if (r->st->class_plain[class] != NULL && vm_class_test(r->L, idx, class) != NULL) {
            r->st->class_plain[class](r->L, idx);
            bool ok = read_value(r, lua_gettop(r->L), out);

            lua_pop(r->L, ok ? 1 : 0);
            return ok;
        }
    }
    return reject_value(r, "invalid type: userdata, expected a value that JSON can hold");
}

static bool read_number(struct reader *r, int idx, struct json **out)
{
    int64_t integer;
    double d = lua_tonumber(r->L, idx);

    if (vm_integer_get(r->L, idx, &integer)) {
        *out = json_new_int(r->doc, integer);
    } else if (isfinite(d)) {
        *out = json_new_double(r->doc, d);
    } else {
        *out = json_new(r->doc, JSON_NULL);
    }
    return true;
}

static bool read_value(struct reader *r, int idx, struct json **out)
{
    size_t len;
    const char *s;

    if (++r->node_count > NODES_MAX) {
        return reject_value(r, "value is too large");
    }
    switch (lua_type(r->L, idx)) {
    case LUA_TNONE:
    case LUA_TNIL:
        *out = json_new(r->doc, JSON_NULL);
        return true;
    case LUA_TBOOLEAN:
        *out = json_new_bool(r->doc, lua_toboolean(r->L, idx));
        return true;
    case LUA_TNUMBER:
        return read_number(r, idx, out);
    case LUA_TSTRING:
        s = lua_tolstring(r->L, idx, &len);
        *out = json_new_string(r->doc, slice_of(s, len));
        return true;
    case LUA_TTABLE:
        return read_table(r, idx, out);
    case LUA_TUSERDATA:
        return read_object_of_class(r, idx, out);
    case LUA_TLIGHTUSERDATA:
        return reject_value(r, "invalid type: light userdata, expected a value that JSON can hold");
    default:
        buf_printf(r->why, "invalid type: %s, expected a value that JSON can hold",
                   luaL_typename(r->L, idx));
        return false;
    }
}

bool vm_json_read(lua_State *L, int idx, struct json_doc *doc, struct json **out, struct buf *why)
{
    struct reader r = {.L = L, .st = vm_state_of(L), .doc = doc, .why = why};
    int top = lua_gettop(L);
    bool ok;

    if (idx < 0 && idx > LUA_REGISTRYINDEX) {
        idx = top + idx + 1;
    }
    ok = read_value(&r, idx, out);
    lua_settop(L, top);
    return ok;
}

struct slice vm_json_text(lua_State *L, int idx)
{
    struct buf *why = vm_scratch2(L);
    struct json_doc *doc;
    struct json *tree;
    struct buf *out;
    size_t len;
    const char *s;

    if (lua_type(L, idx) == LUA_TSTRING) { /* by far the most common */
        out = vm_scratch(L);
        s = lua_tolstring(L, idx, &len);
        json_write_string(out, slice_of(s, len));
        return buf_slice(out);
    }
    doc = vm_scratch_doc(L);
    if (!vm_json_read(L, idx, doc, &tree, why)) {
        vm_raise(L, "serialize error: %.*s", SLICE_ARG(buf_slice(why)));
    }
    out = vm_scratch(L); /* only now: objects spell themselves out in it */
    json_write(out, tree);
    return buf_slice(out);
}

/* ---- JSON to Lua ---- */

void vm_array_new(lua_State *L, uint32_t room)
{
    lua_createtable(L, room < INT_MAX ? (int)room : 0, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm_state_of(L)->array_ref);
    lua_setmetatable(L, -2);
}

/* Depth is bounded by JSON_DEPTH_MAX: trees come from json_parse() or vm_json_read(). */
static void push_container(lua_State *L, const struct json *v)
{
    int at = 0;

    if (!lua_checkstack(L, 8)) {
        lua_pushnil(L);
        return;
    }
    if (v->type == JSON_ARRAY) {
        vm_array_new(L, v->count);
    } else {
        lua_createtable(L, 0, v->count < INT_MAX ? (int)v->count : 0);
    }
    for (const struct json *item = v->first; item != NULL; item = item->next) {
        if (v->type == JSON_ARRAY) {
            vm_json_push(L, item);
            lua_rawseti(L, -2, ++at);
        } else if (item->type != JSON_NULL) {
            vm_push_slice(L, item->key);
            vm_json_push(L, item);
            lua_rawset(L, -3);
        }
    }
}

void vm_json_push(lua_State *L, const struct json *v)
{
    switch ((enum json_type)v->type) {
    case JSON_NULL:
        lua_pushnil(L);
        break;
    case JSON_BOOL:
        lua_pushboolean(L, v->boolean);
        break;
    case JSON_INT:
        vm_integer_push(L, v->integer);
        break;
    case JSON_UINT:
        vm_integer_push_unsigned(L, v->uinteger);
        break;
    case JSON_DOUBLE:
        lua_pushnumber(L, v->number);
        break;
    case JSON_STRING:
        vm_push_slice(L, v->string);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        push_container(L, v);
        break;
    }
}

/* A string without escapes is by far the most common: no tree for it. */
static bool push_plain_string(lua_State *L, struct slice text)
{
    struct slice inner;

    if (text.len < 2 || text.ptr[0] != '"') {
        return false;
    }
    inner = slice_of(text.ptr + 1, text.len - 2);
    if (slice_find_char(inner, '\\') != inner.len || slice_find_char(inner, '"') != inner.len) {
        return false;
    }
    vm_push_slice(L, inner);
    return true;
}

void vm_json_text_push(lua_State *L, struct slice text)
{
    struct json_doc *doc;
    struct buf *why;

    if (push_plain_string(L, text)) {
        return;
    }
    doc = vm_scratch_doc(L);
    why = vm_scratch2(L);
    if (!json_parse(text, 0, doc, why)) {
        vm_raise(L, "%.*s", SLICE_ARG(buf_slice(why)));
    }
    vm_json_push(L, doc->root);
}

void json_open(lua_State *L)
{
    struct vm_state *st = vm_state_of(L);

    lua_newtable(L);
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    st->array_table = lua_topointer(L, -1);
    st->array_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}
