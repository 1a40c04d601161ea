/* kumo.get_memory_*: the limits as they count now. */
#include "policy/api/api_private.h"

/* Upvalue 1: enum api_memory_limit. */
static int get_memory_limit(lua_State *L)
{
    enum api_memory_limit which = (enum api_memory_limit)lua_tointeger(L, lua_upvalueindex(1));
    struct api_services *s = api_services_find(L);
    uint64_t bytes;

    if (s != NULL && s->memory_limit != NULL && s->memory_limit(s->ctx, which, &bytes)) {
        lua_pushnumber(L, (lua_Number)bytes);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

void api_memory_open(lua_State *L)
{
    static const struct {
        const char *name;
        enum api_memory_limit which;
    } rows[] = {
        {"get_memory_hard_limit", API_MEMORY_HARD},
        {"get_memory_soft_limit", API_MEMORY_SOFT},
        {"get_memory_low_thresh", API_MEMORY_LOW_THRESH},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        lua_pushinteger(L, (lua_Integer)rows[i].which);
        lua_pushcclosure(L, get_memory_limit, 1);
        lua_setfield(L, 1, rows[i].name);
    }
}
