/* kumo.time: spans of time. */
#include "core/base/duration.h"
#include "policy/api/api_private.h"

static int64_t delta_arg(lua_State *L, int idx)
{
    return *(const int64_t *)vm_class_check(L, idx, VM_CLASS_TIME_DELTA, "TimeDelta");
}

static bool delta_pair(lua_State *L, int64_t *a, int64_t *b)
{
    if (vm_class_test(L, 1, VM_CLASS_TIME_DELTA) == NULL ||
        vm_class_test(L, 2, VM_CLASS_TIME_DELTA) == NULL) {
        return false;
    }
    *a = delta_arg(L, 1);
    *b = delta_arg(L, 2);
    return true;
}

static uint64_t magnitude(int64_t ns)
{
    return ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
}

/* As a duration is spelled, which options read back. */
static void push_human(lua_State *L, int64_t ns)
{
    struct buf *text = vm_scratch(L);

    if (ns < 0) {
        buf_char(text, '-');
    }
    duration_put(text, magnitude(ns));
    vm_push_slice(L, buf_slice(text));
}

static int delta_index(lua_State *L)
{
    int64_t ns = delta_arg(L, 1);
    struct slice key = lua_type(L, 2) == LUA_TSTRING ? vm_check_string(L, 2) : (struct slice){0};

    if (slice_eq(key, SLICE("seconds"))) {
        lua_pushnumber(L, (double)ns / (double)DURATION_S);
    } else if (slice_eq(key, SLICE("milliseconds"))) {
        vm_integer_push(L, ns / (int64_t)DURATION_MS);
    } else if (slice_eq(key, SLICE("microseconds"))) {
        vm_integer_push(L, ns / (int64_t)DURATION_US);
    } else if (slice_eq(key, SLICE("nanoseconds"))) {
        vm_integer_push(L, ns);
    } else if (slice_eq(key, SLICE("human"))) {
        push_human(L, ns);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

static int delta_tostring(lua_State *L)
{
    push_human(L, delta_arg(L, 1));
    return 1;
}

static int delta_eq(lua_State *L)
{
    int64_t a, b;

    lua_pushboolean(L, delta_pair(L, &a, &b) && a == b);
    return 1;
}

static int delta_add(lua_State *L)
{
    int64_t sum;

    if (__builtin_add_overflow(delta_arg(L, 1), delta_arg(L, 2), &sum)) {
        vm_raise(L, "the sum of these TimeDeltas is too large");
    }
    vm_time_delta_push(L, sum);
    return 1;
}

static int delta_sub(lua_State *L)
{
    int64_t difference;

    if (__builtin_sub_overflow(delta_arg(L, 1), delta_arg(L, 2), &difference)) {
        vm_raise(L, "the difference of these TimeDeltas is too large");
    }
    vm_time_delta_push(L, difference);
    return 1;
}

/* Where a value has to be JSON, which is how options are given, it is its text. */
static void delta_plain(lua_State *L, int idx)
{
    push_human(L, delta_arg(L, idx));
}

/* kumo.time.parse_duration(text, number of seconds, or TimeDelta) */
static int time_parse_duration(lua_State *L)
{
    struct buf *why = vm_scratch2(L);
    uint64_t ns;

    if (vm_class_test(L, 1, VM_CLASS_TIME_DELTA) != NULL) {
        lua_pushvalue(L, 1);
        return 1;
    }
    if (lua_type(L, 1) == LUA_TNUMBER) {
        if (!duration_from_seconds(lua_tonumber(L, 1), &ns)) {
            vm_raise(L, "%g is not a valid duration", lua_tonumber(L, 1));
        }
    } else if (!duration_parse(vm_check_string(L, 1), &ns, why)) {
        vm_raise_slice(L, buf_slice(why));
    }
    if (ns > INT64_MAX) {
        vm_raise(L, "the duration is too large");
    }
    vm_time_delta_push(L, (int64_t)ns);
    return 1;
}

void api_time_open(lua_State *L)
{
    static const luaL_Reg meta[] = {
        {"__index", delta_index},
        {"__tostring", delta_tostring},
        {"__eq", delta_eq},
        {"__add", delta_add},
        {"__sub", delta_sub},
        {NULL, NULL},
    };

    vm_class_open(L, VM_CLASS_TIME_DELTA, "TimeDelta", NULL, meta);
    vm_class_plain(L, VM_CLASS_TIME_DELTA, delta_plain);
    api_module(L, "time");
    lua_pushcfunction(L, time_parse_duration);
    lua_setfield(L, -2, "parse_duration");
    lua_pop(L, 1);
}
