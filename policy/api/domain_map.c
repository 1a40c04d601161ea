/* kumo.domain_map: values by domain name, with wildcards.
 *
 * Labels are walked from the right; where a label is unknown the "*" child of that point decides.
 * A node is a table: [1] the frozen value, [2] its children by label. */
#include "policy/api/api_private.h"

enum { NODE_VALUE = 1, NODE_CHILDREN = 2 };

/* Cuts the last label off; false when there is none left. */
static bool last_label(struct slice *name, struct slice *label)
{
    size_t at = name->len;

    if (name->ptr == NULL) {
        return false;
    }
    while (at > 0 && name->ptr[at - 1] != '.') {
        at--;
    }
    *label = slice_from(*name, at);
    *name = at > 0 ? slice_head(*name, at - 1) : (struct slice){0};
    return true;
}

/* Replaces the node on top by its child of that label, nil when there is none. */
static void child(lua_State *L, struct slice label)
{
    lua_rawgeti(L, -1, NODE_CHILDREN);
    lua_replace(L, -2);
    if (lua_istable(L, -1)) {
        vm_push_slice(L, label);
        lua_rawget(L, -2);
        lua_replace(L, -2);
    }
}

/* The same, made if need be. */
static void child_make(lua_State *L, struct slice label)
{
    lua_rawgeti(L, -1, NODE_CHILDREN);
    if (!lua_istable(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, NODE_CHILDREN);
    }
    lua_replace(L, -2);
    vm_push_slice(L, label);
    lua_rawget(L, -2);
    if (!lua_istable(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        vm_push_slice(L, label);
        lua_pushvalue(L, -2);
        lua_rawset(L, -4);
    }
    lua_replace(L, -2);
}

/* Pushes the value for a name. */
static void lookup(lua_State *L, struct slice name)
{
    struct slice label;

    while (last_label(&name, &label)) {
        lua_pushvalue(L, -1);
        child(L, label);
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            child(L, SLICE("*"));
            break;
        }
        lua_replace(L, -2);
    }
    if (lua_istable(L, -1)) {
        lua_rawgeti(L, -1, NODE_VALUE);
        lua_replace(L, -2);
    }
    api_share(L, lua_gettop(L));
}

static int map_index(lua_State *L)
{
    (void)vm_class_check(L, 1, API_CLASS_DOMAIN_MAP, "DomainMap");
    if (lua_type(L, 2) != LUA_TSTRING) {
        lua_pushnil(L);
        return 1;
    }
    lua_getfenv(L, 1);
    lookup(L, vm_check_string(L, 2));
    return 1;
}

/* map[name] = value, the map at index 1 */
static void assign(lua_State *L, struct slice name, int value_idx)
{
    struct slice label;

    lua_getfenv(L, 1);
    while (last_label(&name, &label)) {
        child_make(L, label);
    }
    api_freeze(L, value_idx);
    lua_rawseti(L, -2, NODE_VALUE);
    lua_pop(L, 1);
}

static int map_newindex(lua_State *L)
{
    (void)vm_class_check(L, 1, API_CLASS_DOMAIN_MAP, "DomainMap");
    assign(L, vm_check_string(L, 2), 3);
    return 0;
}

/* kumo.domain_map.new(table?) */
static int map_new(lua_State *L)
{
    lua_settop(L, 1);
    (void)vm_class_new(L, API_CLASS_DOMAIN_MAP, 1);
    lua_newtable(L);
    (void)lua_setfenv(L, -2);
    lua_insert(L, 1); /* 1: the map, 2: the table */
    if (lua_istable(L, 2)) {
        lua_pushnil(L);
        while (lua_next(L, 2) != 0) {
            if (lua_type(L, -2) != LUA_TSTRING) {
                vm_raise(L, "a domain map takes names, not a %s", luaL_typename(L, -2));
            }
            assign(L, vm_check_string(L, lua_gettop(L) - 1), lua_gettop(L));
            lua_pop(L, 1);
        }
    } else if (!lua_isnil(L, 2)) {
        vm_raise_type(L, 1, "table");
    }
    lua_settop(L, 1);
    return 1;
}

void api_domain_map_open(lua_State *L)
{
    static const luaL_Reg meta[] = {
        {"__index", map_index}, {"__newindex", map_newindex}, {NULL, NULL}};

    vm_class_open(L, API_CLASS_DOMAIN_MAP, "DomainMap", NULL, meta);
    api_module(L, "domain_map");
    lua_pushcfunction(L, map_new);
    lua_setfield(L, -2, "new");
    lua_pop(L, 1);
}
