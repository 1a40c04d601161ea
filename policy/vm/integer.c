/* Integers that no double holds, as objects: they print all digits, compare by value, and pass
 * back into native functions and JSON unharmed. */
#include <math.h>
#include <stdlib.h>

#include "policy/vm/vm_private.h"

#define EXACT_MAX 9007199254740992.0 /* 2^53 */
#define TEXT_MAX 24

struct integer {
    bool is_unsigned; /* above INT64_MAX */
    union {
        int64_t value;
        uint64_t uvalue;
    };
};

void vm_integer_push(lua_State *L, int64_t v)
{
    struct integer *box;

    if (v >= -(INT64_C(1) << 53) && v <= (INT64_C(1) << 53)) {
        lua_pushnumber(L, (double)v);
        return;
    }
    box = vm_class_new(L, VM_CLASS_INTEGER, sizeof(*box));
    box->value = v;
}

void vm_integer_push_unsigned(lua_State *L, uint64_t v)
{
    struct integer *box;

    if (v <= INT64_MAX) {
        vm_integer_push(L, (int64_t)v);
        return;
    }
    box = vm_class_new(L, VM_CLASS_INTEGER, sizeof(*box));
    box->is_unsigned = true;
    box->uvalue = v;
}

bool vm_integer_get(lua_State *L, int idx, int64_t *out)
{
    const struct integer *box;
    double d;

    if (lua_type(L, idx) == LUA_TNUMBER) {
        d = lua_tonumber(L, idx);
        if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0) || d != floor(d)) {
            return false;
        }
        *out = (int64_t)d;
        return true;
    }
    box = vm_class_test(L, idx, VM_CLASS_INTEGER);
    if (box == NULL || box->is_unsigned) {
        return false;
    }
    *out = box->value;
    return true;
}

void integer_json(lua_State *L, int idx, struct json_doc *doc, struct json **out)
{
    const struct integer *box = vm_class_test(L, idx, VM_CLASS_INTEGER);

    *out = json_new(doc, box->is_unsigned ? JSON_UINT : JSON_INT);
    if (box->is_unsigned) {
        (*out)->uinteger = box->uvalue;
    } else {
        (*out)->integer = box->value;
    }
}

static double as_double(lua_State *L, int idx)
{
    const struct integer *box = vm_class_test(L, idx, VM_CLASS_INTEGER);

    if (box == NULL) {
        return lua_isnumber(L, idx) ? lua_tonumber(L, idx)
                                    : (vm_raise_type(L, idx, "number"), 0);
    }
    return box->is_unsigned ? (double)box->uvalue : (double)box->value;
}

/* Wide enough for both kinds. */
static bool as_wide(lua_State *L, int idx, __int128 *out)
{
    const struct integer *box = vm_class_test(L, idx, VM_CLASS_INTEGER);
    int64_t v;

    if (box != NULL) {
        *out = box->is_unsigned ? (__int128)box->uvalue : (__int128)box->value;
        return true;
    }
    if (!vm_integer_get(L, idx, &v)) {
        return false;
    }
    *out = v;
    return true;
}

static int push_wide(lua_State *L, __int128 v)
{
    vm_integer_push(L, (int64_t)(uint64_t)v); /* wraps, as integers of Lua 5.4 do */
    return 1;
}

static int integer_add(lua_State *L)
{
    __int128 a, b;

    if (as_wide(L, 1, &a) && as_wide(L, 2, &b)) {
        return push_wide(L, a + b);
    }
    lua_pushnumber(L, as_double(L, 1) + as_double(L, 2));
    return 1;
}

static int integer_sub(lua_State *L)
{
    __int128 a, b;

    if (as_wide(L, 1, &a) && as_wide(L, 2, &b)) {
        return push_wide(L, a - b);
    }
    lua_pushnumber(L, as_double(L, 1) - as_double(L, 2));
    return 1;
}

static int integer_mul(lua_State *L)
{
    __int128 a, b;

    if (as_wide(L, 1, &a) && as_wide(L, 2, &b)) {
        vm_integer_push(L, (int64_t)((uint64_t)a * (uint64_t)b));
        return 1;
    }
    lua_pushnumber(L, as_double(L, 1) * as_double(L, 2));
    return 1;
}

static int integer_mod(lua_State *L)
{
    __int128 a, b, rest;

    if (as_wide(L, 1, &a) && as_wide(L, 2, &b)) {
        if (b == 0) {
            vm_raise(L, "attempt to perform 'n%%%%0'");
        }
        rest = a % b;
        return push_wide(L, rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
    }
    double x = as_double(L, 1), y = as_double(L, 2);

    lua_pushnumber(L, x - floor(x / y) * y);
    return 1;
}

static int integer_div(lua_State *L)
{
    lua_pushnumber(L, as_double(L, 1) / as_double(L, 2));
    return 1;
}

static int integer_unm(lua_State *L)
{
    __int128 a = 0;

    (void)as_wide(L, 1, &a);
    return push_wide(L, -a);
}

static int integer_eq(lua_State *L)
{
    __int128 a, b;

    lua_pushboolean(L, as_wide(L, 1, &a) && as_wide(L, 2, &b) && a == b);
    return 1;
}

static int integer_lt(lua_State *L)
{
    __int128 a, b;

    if (as_wide(L, 1, &a) && as_wide(L, 2, &b)) {
        lua_pushboolean(L, a < b);
    } else {
        lua_pushboolean(L, as_double(L, 1) < as_double(L, 2));
    }
    return 1;
}

static int integer_le(lua_State *L)
{
    __int128 a, b;

    if (as_wide(L, 1, &a) && as_wide(L, 2, &b)) {
        lua_pushboolean(L, a <= b);
    } else {
        lua_pushboolean(L, as_double(L, 1) <= as_double(L, 2));
    }
    return 1;
}

static void push_text(lua_State *L, int idx)
{
    const struct integer *box = vm_class_test(L, idx, VM_CLASS_INTEGER);
    char text[TEXT_MAX];
    int len;

    if (box == NULL) {
        lua_pushvalue(L, idx);
        return;
    }
    if (box->is_unsigned) {
        len = snprintf(text, sizeof(text), "%llu", (unsigned long long)box->uvalue);
    } else {
        len = snprintf(text, sizeof(text), "%lld", (long long)box->value);
    }
    lua_pushlstring(L, text, (size_t)len);
}

static int integer_tostring(lua_State *L)
{
    push_text(L, 1);
    return 1;
}

static int integer_concat(lua_State *L)
{
    lua_settop(L, 2);
    push_text(L, 1);
    push_text(L, 2);
    lua_concat(L, 2);
    return 1;
}

void integer_open(lua_State *L)
{
    static const luaL_Reg meta[] = {
        {"__add", integer_add},           {"__sub", integer_sub},
        {"__mul", integer_mul},           {"__mod", integer_mod},
        {"__div", integer_div},           {"__unm", integer_unm},
        {"__eq", integer_eq},             {"__lt", integer_lt},
        {"__le", integer_le},             {"__concat", integer_concat},
        {"__tostring", integer_tostring}, {NULL, NULL},
    };

    vm_class_open(L, VM_CLASS_INTEGER, "integer", NULL, meta);
}
