/* Errors raised by native code: userdata that print as message, newline, stack traceback. A
 * reject is such an error too, so that it survives pcall() and error(). */
#include <stdarg.h>
#include <string.h>

#include "policy/vm/vm_private.h"

/* Replaces the message on top of the stack by an error object and raises it. */
static NORETURN void error_throw(lua_State *L, bool reject, uint16_t code, uint8_t how,
                                 size_t message_from)
{
    size_t message_len, text_len;
    struct vm_error *e;
    const char *text;

    (void)lua_tolstring(L, -1, &message_len);
    luaL_traceback(L, L, lua_tostring(L, -1), 0);
    text = lua_tolstring(L, -1, &text_len);
    e = vm_class_new(L, VM_CLASS_ERROR, sizeof(*e) + text_len);
    e->reject = reject;
    e->code = code;
    e->how = how;
    e->message_from = (uint32_t)message_from;
    e->message_len = (uint32_t)(message_len - message_from);
    e->text_len = (uint32_t)text_len;
    memcpy(e->text, text, text_len);
    (void)lua_error(L);
    __builtin_unreachable();
}

void vm_raise_slice(lua_State *L, struct slice text)
{
    lua_pushlstring(L, text.ptr, text.len);
    error_throw(L, false, 0, 0, 0);
}

void vm_raise(lua_State *L, const char *fmt, ...)
{
    struct buf *b = &vm_state_of(L)->raising;
    va_list ap;

    buf_clear(b);
    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
    vm_raise_slice(L, buf_slice(b));
}

void vm_raise_reject(lua_State *L, int64_t code, struct slice text, enum vm_disconnect how)
{
    struct buf *b = &vm_state_of(L)->raising;
    size_t from;

    if (code < 0 || code > UINT16_MAX) {
        vm_raise(L, "%lld is not a valid reply code", (long long)code);
    }
    buf_clear(b);
    buf_u64(b, (uint64_t)code);
    buf_char(b, ' ');
    from = b->len;
    buf_put(b, text);
    lua_pushlstring(L, b->ptr, b->len);
    error_throw(L, true, (uint16_t)code, (uint8_t)how, from);
}

void vm_raise_type(lua_State *L, int idx, const char *expected)
{
    const char *got = lua_type(L, idx) == LUA_TNONE ? "no value" : luaL_typename(L, idx);
    lua_Debug ar = {0};

    if (lua_getstack(L, 0, &ar)) {
        (void)lua_getinfo(L, "n", &ar);
    }
    vm_raise(L, "bad argument #%d to '%s' (%s expected, got %s)", idx,
             ar.name != NULL ? ar.name : "?", expected, got);
}

static int error_tostring(lua_State *L)
{
    const struct vm_error *e = vm_class_check(L, 1, VM_CLASS_ERROR, "error");

    lua_pushlstring(L, e->text, e->text_len);
    return 1;
}

void error_open(lua_State *L)
{
    static const luaL_Reg meta[] = {{"__tostring", error_tostring}, {NULL, NULL}};

    vm_class_open(L, VM_CLASS_ERROR, "error", NULL, meta);
}

/* Protected: tostring(value), the value being index 2. */
static int text_of_value(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TSTRING && !luaL_callmeta(L, 1, "__tostring")) {
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    } else if (lua_type(L, 1) == LUA_TSTRING) {
        lua_pushvalue(L, 1);
    }
    if (lua_type(L, -1) != LUA_TSTRING) {
        lua_pushliteral(L, "(error object did not convert to a string)");
    }
    return 1;
}

static void put_string_at(lua_State *L, int idx, struct buf *out)
{
    size_t len;
    const char *s = lua_tolstring(L, idx, &len);

    buf_append(out, s, len);
}

void state_error_text(struct vm_state *st, lua_State *L, struct buf *out)
{
    const struct vm_error *e = vm_class_test(L, -1, VM_CLASS_ERROR);

    if (e != NULL) {
        buf_append(out, e->text, e->text_len);
        return;
    }
    if (lua_type(L, -1) == LUA_TSTRING) {
        put_string_at(L, -1, out);
        if (L == st->L) {
            return; /* unwound already: nothing to trace */
        }
        luaL_traceback(st->L, L, NULL, 0);
        buf_char(out, '\n');
        put_string_at(st->L, -1, out);
        lua_pop(st->L, 1);
        return;
    }
    /* A table with __tostring runs policy code: in the main thread, protected, on budget. */
    struct vm_budget_frame outer;
    bool was_limited = st->limited;

    lua_pushvalue(L, -1);
    if (L != st->L) {
        lua_xmove(L, st->L, 1);
    }
    lua_pushcfunction(st->L, text_of_value);
    lua_insert(st->L, -2);
    budget_enter(st, &outer);
    st->limited = true;
    int rc = lua_pcall(st->L, 1, 1, 0);
    st->limited = was_limited;
    budget_leave(st, &outer);
    if (rc == 0 || lua_type(st->L, -1) == LUA_TSTRING) {
        put_string_at(st->L, -1, out);
    } else {
        BUF_LIT(out, "(error in error handling)");
    }
    lua_pop(st->L, 1);
}

/* ---- arguments ---- */

struct slice vm_check_string(lua_State *L, int idx)
{
    size_t len;
    const char *s = lua_tolstring(L, idx, &len);

    if (s == NULL) {
        vm_raise_type(L, idx, "string");
    }
    return slice_of(s, len);
}

struct slice vm_opt_string(lua_State *L, int idx, struct slice fallback)
{
    return lua_isnoneornil(L, idx) ? fallback : vm_check_string(L, idx);
}

double vm_check_number(lua_State *L, int idx)
{
    int64_t boxed;

    if (vm_class_test(L, idx, VM_CLASS_INTEGER) != NULL && vm_integer_get(L, idx, &boxed)) {
        return (double)boxed;
    }
    if (!lua_isnumber(L, idx)) {
        vm_raise_type(L, idx, "number");
    }
    return lua_tonumber(L, idx);
}

int64_t vm_check_int(lua_State *L, int idx)
{
    int64_t v;

    if (vm_integer_get(L, idx, &v)) {
        return v;
    }
    double d = vm_check_number(L, idx);

    if (!(d > -9223372036854775808.0 && d < 9223372036854775808.0)) {
        vm_raise(L, "number has no integer representation");
    }
    return (int64_t)d;
}

void vm_push_slice(lua_State *L, struct slice s)
{
    lua_pushlstring(L, s.ptr != NULL ? s.ptr : "", s.len);
}
