/* Classes: one metatable each, found by identity and never by name. */
#include "policy/vm/vm_private.h"

static void class_create(lua_State *L, struct vm_state *st, uint32_t class, const char *name)
{
    lua_newtable(L); /* metatable */
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, false); /* what getmetatable() answers; helpers probe for it */
    lua_setfield(L, -2, "__metatable");
    lua_newtable(L); /* methods */
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__index");
    st->class_methods_ref[class] = luaL_ref(L, LUA_REGISTRYINDEX);
    st->class_table[class] = lua_topointer(L, -1);
    st->class_ref[class] = luaL_ref(L, LUA_REGISTRYINDEX);
}

void vm_class_open(lua_State *L, uint32_t class, const char *name, const luaL_Reg *methods,
                   const luaL_Reg *meta)
{
    struct vm_state *st = vm_state_of(L);

    MUST(class > VM_CLASS_NONE && class < VM_CLASS_MAX);
    if (st->class_table[class] == NULL) {
        class_create(L, st, class, name);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, st->class_ref[class]);
    for (const luaL_Reg *r = meta; r != NULL && r->name != NULL; r++) {
        lua_pushcfunction(L, r->func);
        lua_setfield(L, -2, r->name);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, st->class_methods_ref[class]);
    for (const luaL_Reg *r = methods; r != NULL && r->name != NULL; r++) {
        lua_pushcfunction(L, r->func);
        lua_setfield(L, -2, r->name);
    }
    lua_pop(L, 2);
}

void vm_class_share(lua_State *L, uint32_t class, uint32_t from)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm_state_of(L)->class_ref[class]);
    vm_class_methods(L, from);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

void vm_class_methods(lua_State *L, uint32_t class)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm_state_of(L)->class_methods_ref[class]);
}

void vm_class_plain(lua_State *L, uint32_t class, void (*plain)(lua_State *L, int idx))
{
    vm_state_of(L)->class_plain[class] = plain;
}

void *vm_class_new(lua_State *L, uint32_t class, size_t size)
{
    struct vm_state *st = vm_state_of(L);
    void *object = lua_newuserdata(L, size);

    MUST_HOT(st->class_table[class] != NULL);
    memset(object, 0, size);
    lua_rawgeti(L, LUA_REGISTRYINDEX, st->class_ref[class]);
    lua_setmetatable(L, -2);
    return object;
}

void *vm_class_test(lua_State *L, int idx, uint32_t class)
{
    const void *table;

    if (lua_type(L, idx) != LUA_TUSERDATA || !lua_getmetatable(L, idx)) {
        return NULL;
    }
    table = lua_topointer(L, -1);
    lua_pop(L, 1);
    return table == vm_state_of(L)->class_table[class] ? lua_touserdata(L, idx) : NULL;
}

void *vm_class_check(lua_State *L, int idx, uint32_t class, const char *name)
{
    void *object = vm_class_test(L, idx, class);

    if (object == NULL) {
        vm_raise_type(L, idx, name);
    }
    return object;
}
