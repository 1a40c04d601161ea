/*
 * What memoized functions answer: scalars as they are, tables frozen and shown through objects
 * that can be read and iterated like tables, and written to for their holder alone.
 *
 * A frozen value is a plain table of strings, numbers, booleans, frozen tables and objects that
 * never change; nobody writes to it once it is made.
 */
#include "core/shard/shard.h"
#include "memoize_lua.h"
#include "policy/api/api_private.h"
#include "policy/api/memoize_params.h"

#define FREEZE_DEPTH_MAX 100

/* In the environment of an object. */
enum { SLOT_DATA = 1, SLOT_IS_OWN = 2 };

void api_share(lua_State *L, int idx)
{
    if (!lua_istable(L, idx)) {
        lua_pushvalue(L, idx);
        return;
    }
    lua_pushvalue(L, idx);
    (void)vm_class_new(L, API_CLASS_MEMO, 1);
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, -3);
    lua_rawseti(L, -2, SLOT_DATA);
    (void)lua_setfenv(L, -2);
    lua_replace(L, -2);
}

/* Pushes the table behind the object at index 1. */
static void push_data(lua_State *L)
{
    (void)vm_class_check(L, 1, API_CLASS_MEMO, "memoized table");
    lua_getfenv(L, 1);
    lua_rawgeti(L, -1, SLOT_DATA);
    lua_replace(L, -2);
}

static bool is_key(lua_State *L, int idx)
{
    int64_t unused;

    return lua_type(L, idx) == LUA_TSTRING ||
           (lua_type(L, idx) == LUA_TNUMBER && vm_integer_get(L, idx, &unused));
}

/* Replaces the value on top by its frozen form. */
static void freeze_top(lua_State *L, int depth);

static void freeze_table(lua_State *L, int depth)
{
    int from = lua_gettop(L);

    if (depth == FREEZE_DEPTH_MAX) {
        vm_raise(L, "table is nested too deeply, or contains itself, and cannot be memoized");
    }
    luaL_checkstack(L, 8, "memoized table");
    if (lua_objlen(L, from) > 0) {
        vm_array_new(L, (uint32_t)lua_objlen(L, from));
    } else {
        lua_newtable(L);
    }
    if (lua_objlen(L, from) == 0 && luaL_getmetafield(L, from, "__metatable")) {
        lua_pop(L, 2); /* an empty array stays one */
        vm_array_new(L, 0);
    }
    lua_pushnil(L);
    while (lua_next(L, from) != 0) {
        if (!is_key(L, -2)) {
            vm_raise(L, "a %s cannot be used as a key in a memoizable table",
                     luaL_typename(L, -2));
        }
        freeze_top(L, depth + 1);
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, from + 1);
    }
    lua_replace(L, from);
}

static void freeze_object(lua_State *L, int depth)
{
    if (vm_class_test(L, -1, API_CLASS_MEMO) != NULL) {
        lua_getfenv(L, -1);
        lua_rawgeti(L, -1, SLOT_DATA); /* frozen already, or a copy that was made of such */
        lua_replace(L, -3);
        lua_pop(L, 1);
        freeze_table(L, depth);
        return;
    }
    if (vm_class_test(L, -1, VM_CLASS_INTEGER) == NULL &&
        vm_class_test(L, -1, API_CLASS_DOMAIN_MAP) == NULL &&
        vm_class_test(L, -1, VM_CLASS_CONFIG) == NULL) {
        vm_raise(L, "this kind of userdata cannot be memoized");
    }
}

static void freeze_top(lua_State *L, int depth)
{
    switch (lua_type(L, -1)) {
    case LUA_TNIL:
    case LUA_TBOOLEAN:
    case LUA_TNUMBER:
    case LUA_TSTRING:
        break;
    case LUA_TTABLE:
        freeze_table(L, depth);
        break;
    case LUA_TUSERDATA:
        freeze_object(L, depth);
        break;
    default:
        vm_raise(L, "a %s cannot be memoized", luaL_typename(L, -1));
    }
}

void api_freeze(lua_State *L, int idx)
{
    lua_pushvalue(L, idx);
    freeze_top(L, 0);
}

/* ---- the object ---- */

static int memo_index(lua_State *L)
{
    push_data(L);
    if (!is_key(L, 2)) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    api_share(L, lua_gettop(L));
    return 1;
}

/* Pushes a copy of the top level of the table on top. */
static void copy_level(lua_State *L, bool shared_values)
{
    int from = lua_gettop(L);

    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, from) != 0) {
        lua_pushvalue(L, -2);
        if (shared_values) {
            api_share(L, lua_gettop(L) - 1);
        } else {
            lua_pushvalue(L, -2);
        }
        lua_rawset(L, from + 1);
        lua_pop(L, 1);
    }
}

/* The first assignment gives the holder a top level of its own. */
static int memo_newindex(lua_State *L)
{
    lua_settop(L, 3);
    push_data(L); /* 4 */
    if (!is_key(L, 2)) {
        vm_raise(L, "a %s cannot be used as a key in a memoizable table", luaL_typename(L, 2));
    }
    lua_getfenv(L, 1); /* 5 */
    lua_rawgeti(L, 5, SLOT_IS_OWN);
    if (!lua_toboolean(L, -1)) {
        lua_pushvalue(L, 4);
        copy_level(L, false);
        lua_replace(L, 4);
        lua_pushvalue(L, 4);
        lua_rawseti(L, 5, SLOT_DATA);
        lua_pushboolean(L, true);
        lua_rawseti(L, 5, SLOT_IS_OWN);
    }
    lua_pushvalue(L, 2);
    api_freeze(L, 3);
    lua_rawset(L, 4);
    return 0;
}

/* Counts every entry, not only the sequence. */
static int memo_len(lua_State *L)
{
    double count = 0;

    push_data(L);
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        count++;
        lua_pop(L, 1);
    }
    lua_pushnumber(L, count);
    return 1;
}

static int memo_pairs(lua_State *L)
{
    push_data(L);
    copy_level(L, true);
    lua_getglobal(L, "next");
    lua_insert(L, -2);
    lua_pushnil(L);
    return 3;
}

static void memo_plain(lua_State *L, int idx)
{
    lua_getfenv(L, idx);
    lua_rawgeti(L, -1, SLOT_DATA);
    lua_replace(L, -2);
}

/* ---- for memoize.lua ---- */

static int native_freeze(lua_State *L)
{
    api_freeze(L, 1);
    return 1;
}

static int native_share(lua_State *L)
{
    api_share(L, 1);
    return 1;
}

static int native_now(lua_State *L)
{
    struct vm *vm = vm_of(L);

    lua_pushnumber(L, vm != NULL ? (double)ring_now_ns(&vm_shard(vm)->ring) / 1e9 : 0);
    return 1;
}

/* key(with_epoch, ...): one string for any list of arguments; different lists differ. */
static int native_key(lua_State *L)
{
    int count = lua_gettop(L);
    luaL_Buffer b;

    if (count == 2 && lua_type(L, 2) == LUA_TSTRING && !lua_toboolean(L, 1)) {
        lua_pushliteral(L, "s");
        lua_pushvalue(L, 2);
        lua_concat(L, 2);
        return 1;
    }
    luaL_buffinit(L, &b);
    luaL_addchar(&b, 'j');
    for (int i = 2; i <= count; i++) {
        struct slice text = vm_json_text(L, i);

        luaL_addlstring(&b, text.ptr, text.len);
        luaL_addchar(&b, ',');
    }
    if (lua_toboolean(L, 1)) {
        lua_pushfstring(L, "@%f", (double)vm_epoch(L));
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    return 1;
}

static void check_name(lua_State *L, struct slice name)
{
    static const struct slice taken[] = {
#define MEMO_NAME(text) SLICE_INIT(text),
#include "policy/api/memo_names.def"
#undef MEMO_NAME
    };

    for (size_t i = 0; i < ARRAY_COUNT(taken); i++) {
        if (slice_eq(name, taken[i])) {
            vm_raise(L,
                     "cannot use name `%.*s` for a memoize cache, as it collides with a built-in "
                     "cache. Consider using a prefix such as `user.%.*s`",
                     SLICE_ARG(name), SLICE_ARG(name));
        }
    }
}

/* params(fn, table) -> name, ttl in seconds, capacity, with epoch, the table as text */
static int native_params(lua_State *L)
{
    struct json_doc *doc = vm_scratch_doc(L);
    struct buf *why = vm_scratch2(L);
    struct memoize_params p;
    struct json *tree;

    if (!lua_isfunction(L, 1)) {
        vm_raise_type(L, 1, "function");
    }
    if (!vm_json_read(L, 2, doc, &tree, why) || !memoize_params_read(tree, &p, why)) {
        vm_raise(L, "deserialize error: %.*s, while processing JSON", SLICE_ARG(buf_slice(why)));
    }
    check_name(L, p.name);
    vm_push_slice(L, p.name);
    lua_pushnumber(L, (double)p.ttl_ns / 1e9);
    lua_pushnumber(L, (double)p.capacity);
    lua_pushboolean(L, p.invalidate_with_epoch && !p.allow_stale_reads);
    lua_pushfstring(L, "%f %f %d", (double)p.ttl_ns, (double)p.capacity,
                    (int)p.invalidate_with_epoch | (int)p.allow_stale_reads << 1);
    return 5;
}

void api_memo_open(lua_State *L)
{
    static const luaL_Reg meta[] = {
        {"__index", memo_index}, {"__newindex", memo_newindex}, {"__len", memo_len},
        {"__pairs", memo_pairs}, {NULL, NULL},
    };
    static const luaL_Reg natives[] = {
        {"freeze", native_freeze}, {"share", native_share},   {"now", native_now},
        {"key", native_key},       {"params", native_params}, {NULL, NULL},
    };

    vm_class_open(L, API_CLASS_MEMO, "memoized table", NULL, meta);
    vm_class_plain(L, API_CLASS_MEMO, memo_plain);
    if (luaL_loadbuffer(L, (const char *)memoize_source, sizeof(memoize_source), "=memoize") != 0) {
        (void)lua_error(L);
    }
    lua_newtable(L);
    luaL_register(L, NULL, natives);
    lua_call(L, 1, 1);
    lua_setfield(L, 1, "memoize");
}
