/* The C side of compat.lua: 64-bit integers, metafields behind hidden metatables. */
#include <math.h>

#include "compat_lua.h"
#include "policy/vm/vm_private.h"

/* metafield(value, "__close") -> the field or nil */
static int native_metafield(lua_State *L)
{
    if (!luaL_getmetafield(L, 1, luaL_checkstring(L, 2))) {
        lua_pushnil(L);
    }
    return 1;
}

static int native_is_integer(lua_State *L)
{
    lua_pushboolean(L, vm_class_test(L, 1, VM_CLASS_INTEGER) != NULL);
    return 1;
}

/* Operands of a bitwise operator: numbers, boxed integers or numeric strings. */
enum operands { OPERANDS_OTHER, OPERANDS_FRACTION, OPERANDS_INTEGERS };

static enum operands operand(lua_State *L, int idx, uint64_t *out)
{
    int64_t v;

    if (lua_type(L, idx) == LUA_TSTRING && lua_isnumber(L, idx)) {
        lua_pushnumber(L, lua_tonumber(L, idx));
        lua_replace(L, idx);
    }
    if (vm_integer_get(L, idx, &v)) {
        *out = (uint64_t)v;
        return OPERANDS_INTEGERS;
    }
    return lua_type(L, idx) == LUA_TNUMBER ? OPERANDS_FRACTION : OPERANDS_OTHER;
}

/* The worse of the two decides. */
static enum operands both(lua_State *L, uint64_t *a, uint64_t *b)
{
    enum operands first = operand(L, 1, a), second = operand(L, 2, b);

    return first < second ? first : second;
}

/* true and the value; nil for a fraction; false for what may have a metamethod. */
static int answer(lua_State *L, enum operands kind, uint64_t value)
{
    if (kind == OPERANDS_INTEGERS) {
        lua_pushboolean(L, true);
        vm_integer_push(L, (int64_t)value);
        return 2;
    }
    if (kind == OPERANDS_FRACTION) {
        lua_pushnil(L);
    } else {
        lua_pushboolean(L, false);
    }
    return 1;
}

static uint64_t shifted(uint64_t v, int64_t by)
{
    if (by <= -64 || by >= 64) {
        return 0;
    }
    return by >= 0 ? v << by : v >> -by;
}

static int native_band(lua_State *L)
{
    uint64_t a = 0, b = 0;
    enum operands kind = both(L, &a, &b);

    return answer(L, kind, a & b);
}

static int native_bor(lua_State *L)
{
    uint64_t a = 0, b = 0;
    enum operands kind = both(L, &a, &b);

    return answer(L, kind, a | b);
}

static int native_bxor(lua_State *L)
{
    uint64_t a = 0, b = 0;
    enum operands kind = both(L, &a, &b);

    return answer(L, kind, a ^ b);
}

static int native_shl(lua_State *L)
{
    uint64_t a = 0, b = 0;
    enum operands kind = both(L, &a, &b);

    return answer(L, kind, shifted(a, (int64_t)b));
}

static int native_shr(lua_State *L)
{
    uint64_t a = 0, b = 0;
    enum operands kind = both(L, &a, &b);
    int64_t by = (int64_t)b;

    return answer(L, kind, shifted(a, by == INT64_MIN ? INT64_MAX : -by));
}

static int native_bnot(lua_State *L)
{
    uint64_t a = 0;
    enum operands kind = operand(L, 1, &a);

    return answer(L, kind, ~a);
}

/* Division that floors, where one side is a boxed integer. */
static int native_idiv(lua_State *L)
{
    int64_t a, b, q;

    if (!vm_integer_get(L, 1, &a) || !vm_integer_get(L, 2, &b)) {
        lua_pushnumber(L, floor(vm_check_number(L, 1) / vm_check_number(L, 2)));
        return 1;
    }
    if (b == 0) {
        return luaL_error(L, "attempt to perform 'n//0'");
    }
    if (b == -1) {
        vm_integer_push(L, (int64_t)-(uint64_t)a);
        return 1;
    }
    q = a / b;
    vm_integer_push(L, a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q);
    return 1;
}

/* math.tointeger(x): x when it is integral, else nil */
static int native_tointeger(lua_State *L)
{
    int64_t v;

    luaL_checkany(L, 1);
    if (lua_type(L, 1) == LUA_TSTRING && lua_isnumber(L, 1)) {
        lua_pushnumber(L, lua_tonumber(L, 1));
        lua_replace(L, 1);
    }
    if (vm_integer_get(L, 1, &v)) {
        vm_integer_push(L, v);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

static int native_ult(lua_State *L)
{
    uint64_t a = (uint64_t)vm_check_int(L, 1), b = (uint64_t)vm_check_int(L, 2);

    lua_pushboolean(L, a < b);
    return 1;
}

void compat_open(lua_State *L)
{
    static const luaL_Reg natives[] = {
        {"metafield", native_metafield}, {"is_integer", native_is_integer},
        {"band", native_band},           {"bor", native_bor},
        {"bxor", native_bxor},           {"shl", native_shl},
        {"shr", native_shr},             {"bnot", native_bnot},
        {"idiv", native_idiv},           {"tointeger", native_tointeger},
        {"ult", native_ult},             {NULL, NULL},
    };

    integer_open(L);
    if (luaL_loadbuffer(L, (const char *)compat_source, sizeof(compat_source), "=compat") != 0) {
        (void)lua_error(L);
    }
    lua_newtable(L);
    luaL_register(L, NULL, natives);
    vm_integer_push(L, INT64_MAX);
    lua_setfield(L, -2, "maxinteger");
    vm_integer_push(L, INT64_MIN);
    lua_setfield(L, -2, "mininteger");
    lua_call(L, 1, 0);
    utf8_open(L);
    pack_open(L);
}
