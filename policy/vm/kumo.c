/* The core of the kumo module: verdicts, the diagnostic log, introspection, sleep. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"
#include "policy/vm/vm_private.h"

/* Policies compare this with dates of the reference's releases. */
#define KUMO_VERSION "2026.08.04-ringpost"
#define SLEEP_S_MAX (366.0 * 86400.0)

/* kumo.reject(code, message) */
static int kumo_reject(lua_State *L)
{
    int64_t code = vm_check_int(L, 1);
    struct slice text = vm_check_string(L, 2);

    vm_raise_reject(L, code, text, VM_IF_421);
}

/* kumo.disconnect(code, message, how?) */
static int kumo_disconnect(lua_State *L)
{
    static const struct {
        struct slice name;
        enum vm_disconnect how;
    } ways[] = {
        {SLICE_INIT("If421"), VM_IF_421},
        {SLICE_INIT("FollowWith421"), VM_FOLLOW_WITH_421},
        {SLICE_INIT("ForceDisconnect"), VM_FORCE_DISCONNECT},
    };
    int64_t code = vm_check_int(L, 1);
    struct slice text = vm_check_string(L, 2);
    struct slice how = vm_opt_string(L, 3, SLICE("ForceDisconnect"));

    for (size_t i = 0; i < ARRAY_COUNT(ways); i++) {
        if (slice_eq(how, ways[i].name)) {
            vm_raise_reject(L, code, text, ways[i].how);
        }
    }
    vm_raise(L, "expected one of 'If421', 'FollowWith421' or 'ForceDisconnect'");
}

/* ---- log ---- */

/* Bytes that are not UTF-8 show as \xHH. */
static void put_text(struct buf *out, struct slice s)
{
    while (s.len > 0) {
        size_t good = utf8_valid_len(s);

        buf_put(out, slice_head(s, good));
        s = slice_from(s, good);
        if (s.len > 0) {
            buf_printf(out, "\\x%02X", (unsigned)(uint8_t)s.ptr[0]);
            s = slice_from(s, 1);
        }
    }
}

static void put_caller(lua_State *L, struct buf *out)
{
    lua_Debug ar;

    if (lua_getstack(L, 1, &ar)) {
        (void)lua_getinfo(L, "Sl", &ar);
        source_position_put(out, ar.source, ar.currentline);
        BUF_LIT(out, ": ");
    }
}

static int log_line(lua_State *L, enum vm_log_level level)
{
    const struct vm_library *library = vm_state_of(L)->policy->library;
    int count = lua_gettop(L);
    struct buf *line;

    lua_getglobal(L, "tostring");
    for (int i = 1; i <= count; i++) { /* __tostring may log as well: the buffer comes after */
        lua_pushvalue(L, count + 1);
        lua_pushvalue(L, i);
        lua_call(L, 1, 1);
        lua_replace(L, i);
    }
    line = vm_scratch(L);
    put_caller(L, line);
    for (int i = 1; i <= count; i++) {
        if (i > 1) {
            buf_char(line, ' ');
        }
        put_text(line, vm_check_string(L, i));
    }
    if (library != NULL && library->log != NULL) {
        library->log(vm_of(L), level, buf_slice(line));
    } else {
        buf_char(line, '\n');
        (void)fwrite(line->ptr, 1, line->len, stderr);
    }
    return 0;
}

static int kumo_log_error(lua_State *L)
{
    return log_line(L, VM_LOG_ERROR);
}

static int kumo_log_warn(lua_State *L)
{
    return log_line(L, VM_LOG_WARN);
}

static int kumo_log_info(lua_State *L)
{
    return log_line(L, VM_LOG_INFO);
}

static int kumo_log_debug(lua_State *L)
{
    return log_line(L, VM_LOG_DEBUG);
}

/* ---- introspection ---- */

static void set_string(lua_State *L, const char *name, const char *value)
{
    if (value != NULL) {
        lua_pushstring(L, value);
        lua_setfield(L, -2, name);
    }
}

static void set_int(lua_State *L, const char *name, int value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

/* kumo.traceback(level) -> array of frames; level 1 is the caller */
static int kumo_traceback(lua_State *L)
{
    int level = (int)vm_check_int(L, 1);
    lua_Debug ar;
    int at = 0;

    vm_array_new(L, 0);
    for (; at < 200 && lua_getstack(L, level, &ar); level++) {
        (void)lua_getinfo(L, "nSl", &ar);
        lua_newtable(L);
        set_string(L, "event", "call");
        set_string(L, "name", ar.name);
        set_string(L, "name_what", ar.namewhat);
        set_string(L, "source", ar.source);
        set_string(L, "short_src", ar.short_src);
        set_string(L, "what", ar.what);
        set_int(L, "line_defined", ar.linedefined);
        set_int(L, "last_line_defined", ar.lastlinedefined);
        set_int(L, "curr_line", ar.currentline);
        lua_pushboolean(L, false);
        lua_setfield(L, -2, "is_tail_call");
        lua_rawseti(L, -2, ++at);
    }
    return 1;
}

static int kumo_validation_failed(lua_State *L)
{
    atomic_store_explicit(&vm_state_of(L)->policy->validation_failed, true, memory_order_relaxed);
    return 0;
}

static int kumo_available_parallelism(lua_State *L)
{
    const char *forced = getenv("KUMO_AVAILABLE_PARALLELISM");
    uint64_t count;
    long online = sysconf(_SC_NPROCESSORS_ONLN);

    if (forced == NULL || !slice_to_u64(slice_str(forced), &count) || count == 0) {
        count = online > 0 ? (uint64_t)online : 1;
    }
    lua_pushnumber(L, (double)count);
    return 1;
}

/* ---- sleep ---- */

struct sleeper {
    struct vm_wait wait;
    struct timer timer;
    struct shard *shard;
};

static void sleep_free(struct vm_wait *w)
{
    mem_give(CONTAINER_OF(w, struct sleeper, wait));
}

static void sleep_cancel(struct vm_wait *w)
{
    struct sleeper *s = CONTAINER_OF(w, struct sleeper, wait);

    timer_cancel(&s->shard->timers, &s->timer);
}

static void sleep_elapsed(struct timer *t)
{
    vm_wait_complete(&CONTAINER_OF(t, struct sleeper, timer)->wait);
}

/* kumo.sleep(seconds) */
static int sleep_start(lua_State *L)
{
    double seconds = vm_check_number(L, 1);
    struct sleeper *s;

    vm_wait_check(L, "kumo.sleep");
    if (!(seconds >= 0) || seconds > SLEEP_S_MAX) {
        vm_raise(L, "kumo.sleep: %g is not a valid number of seconds", seconds);
    }
    s = MEM_NEW(struct sleeper);
    s->wait.free = sleep_free;
    s->wait.cancel = sleep_cancel;
    s->shard = vm_shard(vm_of(L));
    s->timer.fn = sleep_elapsed;
    timer_arm(&s->shard->timers, &s->timer,
              shard_now_ms(s->shard) + (uint64_t)ceil(seconds * 1000.0));
    return vm_wait_start(L, &s->wait);
}

static int sleep_finish(lua_State *L)
{
    (void)vm_wait_finished(L);
    return 0;
}

void kumo_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"reject", kumo_reject},
        {"disconnect", kumo_disconnect},
        {"log_error", kumo_log_error},
        {"log_warn", kumo_log_warn},
        {"log_info", kumo_log_info},
        {"log_debug", kumo_log_debug},
        {"traceback", kumo_traceback},
        {"validation_failed", kumo_validation_failed},
        {"available_parallelism", kumo_available_parallelism},
        {NULL, NULL},
    };

    luaL_register(L, NULL, functions);
    lua_pushliteral(L, KUMO_VERSION);
    lua_setfield(L, -2, "version");
    vm_wait_register(L, "sleep", sleep_start, sleep_finish);
    lua_newtable(L);
    vm_wait_register(L, "sleep", sleep_start, sleep_finish);
    lua_setfield(L, -2, "time");
}
