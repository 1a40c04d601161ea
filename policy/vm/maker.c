/* kumo.make_*(table): config objects. The object keeps a copy of the table, checked at once, so
 * that a bad option is an error where it is written. */
#include "policy/vm/vm_private.h"

struct made {
    const char *name; /* of the constructor; static storage */
    const struct vm_maker *maker; /* NULL: none of a library's */
};

/* Known without a library too: the tests of lower layers make configs. */
static const struct vm_maker core_makers[] = {
    {.name = "make_queue_config"},  {.name = "make_egress_path"}, {.name = "make_egress_source"},
    {.name = "make_egress_pool"},   {.name = "make_listener_domain"},
};

const char *maker_name(lua_State *L, int idx)
{
    const struct made *made = vm_class_test(L, idx, VM_CLASS_CONFIG);

    return made != NULL ? made->name : NULL;
}

static const struct vm_maker *maker_find(const struct vm_library *library, const char *name)
{
    for (uint32_t i = 0; library != NULL && i < library->maker_count; i++) {
        if (strcmp(library->makers[i].name, name) == 0) {
            return &library->makers[i];
        }
    }
    return NULL;
}

static NORETURN void raise_deserialize(lua_State *L, struct slice detail)
{
    vm_raise(L, "deserialize error: %.*s, while processing JSON", SLICE_ARG(detail));
}

/* Upvalue 1: the name; upvalue 2: struct vm_maker as light userdata, or nil. */
static int make(lua_State *L)
{
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    const struct vm_maker *maker = lua_touserdata(L, lua_upvalueindex(2));
    struct json_doc *doc = vm_scratch_doc(L);
    struct buf *why = vm_scratch2(L);
    struct json *tree;
    struct made *made;

    if (lua_isnoneornil(L, 1)) {
        raise_deserialize(L, SLICE("invalid type: null, expected a table"));
    }
    if (!vm_json_read(L, 1, doc, &tree, why)) {
        raise_deserialize(L, buf_slice(why));
    }
    /* An empty table is an empty object; [] with the marker is not an option list either. */
    if (tree->type == JSON_ARRAY && tree->count == 0) {
        tree = json_new(doc, JSON_OBJECT);
    }
    if (tree->type != JSON_OBJECT) {
        raise_deserialize(L, SLICE("invalid type: expected a table with named options"));
    }
    if (maker != NULL && maker->check != NULL && !maker->check(tree, why)) {
        vm_raise_slice(L, buf_slice(why));
    }
    made = vm_class_new(L, VM_CLASS_CONFIG, sizeof(*made));
    made->maker = maker;
    made->name = name; /* the closure keeps the string alive, and the kumo table the closure */
    vm_json_push(L, tree);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_rawseti(L, -2, 0);
    lua_setfenv(L, -2);
    return 1;
}

static void config_plain(lua_State *L, int idx);

/* Pushes the default of an option that was not given: rarely asked for, so made when it is. */
static void push_default(lua_State *L, const struct made *made)
{
    struct json_doc *doc = vm_scratch_doc(L);
    struct json *given;
    const struct json *value = NULL;

    if (made->maker != NULL && made->maker->fill != NULL) {
        config_plain(L, 1);
        if (vm_json_read(L, -1, doc, &given, vm_scratch2(L))) {
            value = json_get(made->maker->fill(given, doc), vm_check_string(L, 2));
        }
    }
    if (value != NULL) {
        vm_json_push(L, value);
    } else {
        lua_pushnil(L);
    }
}

static int config_index(lua_State *L)
{
    const struct made *made = vm_class_check(L, 1, VM_CLASS_CONFIG, "config object");

    if (lua_type(L, 2) != LUA_TSTRING) {
        lua_pushnil(L);
        return 1;
    }
    lua_getfenv(L, 1);
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    if (lua_isnil(L, -1)) {
        push_default(L, made);
    }
    return 1;
}

static void config_plain(lua_State *L, int idx)
{
    lua_newtable(L);
    lua_getfenv(L, idx);
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        if (lua_type(L, -2) == LUA_TSTRING) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, -5);
        } else {
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
}

static int config_pairs(lua_State *L)
{
    (void)vm_class_check(L, 1, VM_CLASS_CONFIG, "config object");
    lua_getglobal(L, "next");
    config_plain(L, 1);
    lua_pushnil(L);
    return 3;
}

static int config_len(lua_State *L)
{
    int count = 0;

    (void)vm_class_check(L, 1, VM_CLASS_CONFIG, "config object");
    config_plain(L, 1);
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        count++;
        lua_pop(L, 1);
    }
    lua_pushinteger(L, count);
    return 1;
}

static void maker_register(lua_State *L, const char *name, const struct vm_maker *maker)
{
    lua_pushstring(L, name);
    if (maker != NULL) {
        lua_pushlightuserdata(L, (void *)maker);
    } else {
        lua_pushnil(L);
    }
    lua_pushcclosure(L, make, 2);
    lua_setfield(L, -2, name);
}

void maker_open(lua_State *L)
{
    static const luaL_Reg meta[] = {
        {"__index", config_index}, {"__pairs", config_pairs}, {"__len", config_len}, {NULL, NULL}};
    const struct vm_library *library = vm_state_of(L)->policy->library;

    vm_class_open(L, VM_CLASS_CONFIG, "config", NULL, meta);
    vm_class_plain(L, VM_CLASS_CONFIG, config_plain);
    for (size_t i = 0; i < ARRAY_COUNT(core_makers); i++) {
        maker_register(L, core_makers[i].name, maker_find(library, core_makers[i].name));
    }
    for (uint32_t i = 0; library != NULL && i < library->maker_count; i++) {
        maker_register(L, library->makers[i].name, &library->makers[i]);
    }
}
