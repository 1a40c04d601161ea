/* Time and chance from the ring, for runs that must repeat exactly. */
#include "core/shard/ring.h"
#include "policy/vm/vm_private.h"

static struct ring *ring_of(lua_State *L)
{
    struct vm *vm = vm_of(L);

    return vm != NULL ? &vm->shard->ring : NULL;
}

/* os.time(table?); upvalue 1 is the original */
static int simulated_time(lua_State *L)
{
    struct ring *ring = ring_of(L);

    if (ring != NULL && lua_isnoneornil(L, 1)) {
        lua_pushnumber(L, (double)(ring_wall_ns(ring) / 1000000000u));
        return 1;
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static int simulated_clock(lua_State *L)
{
    struct ring *ring = ring_of(L);

    lua_pushnumber(L, ring != NULL ? (double)ring_now_ns(ring) / 1e9 : 0);
    return 1;
}

/* os.date(format?, time?) */
static int simulated_date(lua_State *L)
{
    struct ring *ring = ring_of(L);

    lua_settop(L, 2);
    if (lua_isnil(L, 1)) {
        lua_pushliteral(L, "%c");
        lua_replace(L, 1);
    }
    if (ring != NULL && lua_isnil(L, 2)) {
        lua_pushnumber(L, (double)(ring_wall_ns(ring) / 1000000000u));
        lua_replace(L, 2);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
}

static void replace(lua_State *L, const char *name, lua_CFunction fn)
{
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, fn, 1);
    lua_setfield(L, -2, name);
}

void simulated_open(lua_State *L)
{
    lua_getglobal(L, "os");
    replace(L, "time", simulated_time);
    replace(L, "clock", simulated_clock);
    replace(L, "date", simulated_date);
    lua_pop(L, 1);
}
