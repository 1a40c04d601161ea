/* The utf8 library of Lua 5.4. */
#include "policy/vm/vm_private.h"

#define CODE_MAX 0x7fffffffu
#define UNICODE_MAX 0x10ffffu

/* Decodes the sequence at s (never empty). Answers its length, 0 when it is malformed. */
static size_t decode(struct slice s, bool lax, uint32_t *code)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000, 0x200000, 0x4000000};
    uint8_t first = (uint8_t)s.ptr[0];
    size_t more = 0;
    uint32_t value;

    if (first < 0x80) {
        *code = first;
        return 1;
    }
    for (uint8_t probe = first; (probe & 0x40) != 0; probe = (uint8_t)(probe << 1)) {
        more++;
    }
    if (more == 0 || more > 5 || s.len < more + 1) {
        return 0;
    }
    value = first & (0x3fu >> more);
    for (size_t i = 1; i <= more; i++) {
        uint8_t c = (uint8_t)s.ptr[i];

        if ((c & 0xc0) != 0x80) {
            return 0;
        }
        value = value << 6 | (c & 0x3fu);
    }
    if (value < least[more] ||
        (!lax && (value > UNICODE_MAX || (value >= 0xd800 && value <= 0xdfff)))) {
        return 0;
    }
    *code = value;
    return more + 1;
}

static bool is_continuation(struct slice s, int64_t at)
{
    return at >= 0 && (size_t)at < s.len && ((uint8_t)s.ptr[at] & 0xc0) == 0x80;
}

static int64_t position(int64_t pos, size_t len)
{
    if (pos >= 0) {
        return pos;
    }
    return pos < -(int64_t)len ? 0 : (int64_t)len + pos + 1;
}

static void add_code(lua_State *L, luaL_Buffer *b, int64_t code)
{
    char bytes[6];
    size_t at = sizeof(bytes);
    uint32_t first_max = 0x3f;
    uint32_t c;

    if (code < 0 || code > (int64_t)CODE_MAX) {
        vm_raise(L, "value out of range");
    }
    c = (uint32_t)code;
    if (c < 0x80) {
        luaL_addchar(b, (char)c);
        return;
    }
    do {
        bytes[--at] = (char)(0x80 | (c & 0x3f));
        c >>= 6;
        first_max >>= 1;
    } while (c > first_max);
    bytes[--at] = (char)((~first_max << 1) | c);
    luaL_addlstring(b, bytes + at, sizeof(bytes) - at);
}

static int utf8_char(lua_State *L)
{
    int count = lua_gettop(L);
    luaL_Buffer b;

    luaL_buffinit(L, &b);
    for (int i = 1; i <= count; i++) {
        add_code(L, &b, vm_check_int(L, i));
    }
    luaL_pushresult(&b);
    return 1;
}

static int utf8_len(lua_State *L)
{
    struct slice s = vm_check_string(L, 1);
    int64_t i = position(luaL_optinteger(L, 2, 1), s.len) - 1;
    int64_t j = position(luaL_optinteger(L, 3, -1), s.len) - 1;
    bool lax = lua_toboolean(L, 4);
    int64_t count = 0;
    uint32_t code;

    if (i < 0 || i > (int64_t)s.len) {
        vm_raise(L, "bad argument #2 to 'len' (initial position out of bounds)");
    }
    if (j >= (int64_t)s.len) {
        vm_raise(L, "bad argument #3 to 'len' (final position out of bounds)");
    }
    while (i <= j) {
        size_t len = decode(slice_from(s, (size_t)i), lax, &code);

        if (len == 0) {
            lua_pushnil(L);
            lua_pushnumber(L, (double)(i + 1));
            return 2;
        }
        i += (int64_t)len;
        count++;
    }
    lua_pushnumber(L, (double)count);
    return 1;
}

static int utf8_codepoint(lua_State *L)
{
    struct slice s = vm_check_string(L, 1);
    int64_t i = position(luaL_optinteger(L, 2, 1), s.len);
    int64_t j = position(luaL_optinteger(L, 3, (lua_Integer)i), s.len);
    bool lax = lua_toboolean(L, 4);
    int count = 0;

    if (i < 1 || j > (int64_t)s.len) {
        vm_raise(L, "bad argument #2 to 'codepoint' (out of bounds)");
    }
    for (int64_t at = i - 1; at < j;) {
        uint32_t code;
        size_t len = decode(slice_from(s, (size_t)at), lax, &code);

        if (len == 0) {
            vm_raise(L, "invalid UTF-8 code");
        }
        luaL_checkstack(L, 1, "string slice too long");
        lua_pushnumber(L, code);
        at += (int64_t)len;
        count++;
    }
    return count;
}

static int utf8_offset(lua_State *L)
{
    struct slice s = vm_check_string(L, 1);
    int64_t n = vm_check_int(L, 2);
    int64_t at = position(luaL_optinteger(L, 3, n > 0 ? 1 : (lua_Integer)s.len + 1), s.len) - 1;

    if (at < 0 || at > (int64_t)s.len) {
        vm_raise(L, "bad argument #3 to 'offset' (position out of bounds)");
    }
    if (n == 0) {
        while (at > 0 && is_continuation(s, at)) {
            at--;
        }
        lua_pushnumber(L, (double)(at + 1));
        return 1;
    }
    if (is_continuation(s, at)) {
        vm_raise(L, "initial position is a continuation byte");
    }
    for (; n < 0 && at > 0; n++) {
        do {
            at--;
        } while (at > 0 && is_continuation(s, at));
    }
    for (n -= n > 0; n > 0 && at < (int64_t)s.len; n--) {
        do {
            at++;
        } while (is_continuation(s, at));
    }
    if (n == 0) {
        lua_pushnumber(L, (double)(at + 1));
    } else {
        lua_pushnil(L);
    }
    return 1;
}

/* The iterator of utf8.codes(); upvalue 1 says whether it is lax. */
static int codes_step(lua_State *L)
{
    struct slice s = vm_check_string(L, 1);
    int64_t at = vm_check_int(L, 2);
    uint32_t code;
    size_t len;

    while (is_continuation(s, at)) {
        at++;
    }
    if (at >= (int64_t)s.len) {
        return 0;
    }
    len = decode(slice_from(s, (size_t)at), lua_toboolean(L, lua_upvalueindex(1)), &code);
    if (len == 0 || is_continuation(s, at + (int64_t)len)) {
        vm_raise(L, "invalid UTF-8 code");
    }
    lua_pushnumber(L, (double)(at + 1));
    lua_pushnumber(L, code);
    return 2;
}

static int utf8_codes(lua_State *L)
{
    struct slice s = vm_check_string(L, 1);

    if (is_continuation(s, 0)) {
        vm_raise(L, "invalid UTF-8 code");
    }
    lua_pushboolean(L, lua_toboolean(L, 2));
    lua_pushcclosure(L, codes_step, 1);
    lua_pushvalue(L, 1);
    lua_pushnumber(L, 0);
    return 3;
}

void utf8_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"char", utf8_char},     {"len", utf8_len},     {"codepoint", utf8_codepoint},
        {"offset", utf8_offset}, {"codes", utf8_codes}, {NULL, NULL},
    };

    luaL_register(L, "utf8", functions);
    /* %z: a pattern of LuaJIT ends at its first NUL. */
    lua_pushliteral(L, "[%z\1-\x7F\xC2-\xFD][\x80-\xBF]*");
    lua_setfield(L, -2, "charpattern");
    lua_pop(L, 1);
}
