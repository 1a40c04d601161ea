/* One Lua state: its memory, what it is built from, and protected calls into it. */
#include <lualib.h>
#include <luajit.h>

#include "core/base/mem.h"
#include "core/shard/ring.h"
#include "policy/vm/vm_private.h"

#define LAST_GRANT_MAX (1u << 20)
#define LAST_GRANTS_MAX (64u << 20)

/* The cap is passed. Large requests fail at once. Small ones are granted a last time and the
 * handler ends at its next instruction: LuaJIT cannot take a failure while it leaves compiled
 * code and rebuilds the objects that code had optimised away. */
static bool over_cap(struct vm_state *st, size_t more)
{
    if (!st->out_of_memory) {
        st->out_of_memory = true;
        budget_stop(st);
    }
    return more < LAST_GRANT_MAX && st->bytes < st->bytes_max + LAST_GRANTS_MAX;
}

/* lua_Alloc. Memory counts against the cap only while Lua runs: what C pushes between runs is
 * small and must not fail, since nothing would catch it. */
static void *state_alloc(void *ud, void *ptr, size_t old_size, size_t new_size)
{
    struct vm_state *st = ud;

    if (ptr == NULL) {
        old_size = 0;
    }
    if (new_size > old_size && st->limited && st->bytes + (new_size - old_size) > st->bytes_max &&
        !over_cap(st, new_size - old_size)) {
        return NULL;
    }
    st->bytes += new_size;
    st->bytes -= old_size;
    if (new_size == 0) {
        mem_give(ptr);
        return NULL;
    }
    return ptr == NULL ? mem_take(new_size) : mem_grow(ptr, new_size);
}

/* Unreachable unless a raise escapes every protected call: our bug. */
static int state_panic(lua_State *L)
{
    MUST(!"an error left the protected part of a Lua state");
    return 0;
}

struct vm_state *vm_state_of(lua_State *L)
{
    void *ud;

    (void)lua_getallocf(L, &ud);
    return ud;
}

struct vm *vm_of(lua_State *L)
{
    return vm_state_of(L)->vm;
}

bool vm_validating(lua_State *L)
{
    return vm_state_of(L)->policy->validating;
}

uint64_t vm_epoch(lua_State *L)
{
    return atomic_load_explicit(&vm_state_of(L)->policy->epoch, memory_order_relaxed);
}

void vm_epoch_bump(lua_State *L)
{
    (void)atomic_fetch_add_explicit(&vm_state_of(L)->policy->epoch, 1, memory_order_relaxed);
}

struct buf *vm_scratch(lua_State *L)
{
    struct buf *b = &vm_state_of(L)->scratch;

    buf_clear(b);
    return b;
}

struct buf *vm_scratch2(lua_State *L)
{
    struct buf *b = &vm_state_of(L)->scratch2;

    buf_clear(b);
    return b;
}

struct json_doc *vm_scratch_doc(lua_State *L)
{
    struct json_doc *doc = &vm_state_of(L)->doc;

    json_doc_free(doc);
    *doc = (struct json_doc){0};
    return doc;
}

static void open_library(lua_State *L, lua_CFunction open, const char *name)
{
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
}

/* Everything in Lua 5.4 except debug; no ffi, no control of the compiler, no proxies whose
 * finalizers would run policy code at any moment. */
static void libraries_open(lua_State *L)
{
    static const char *const hidden[] = {"jit", "jit.util", "jit.opt", "jit.profile"};

    open_library(L, luaopen_base, "");
    open_library(L, luaopen_package, LUA_LOADLIBNAME);
    open_library(L, luaopen_table, LUA_TABLIBNAME);
    open_library(L, luaopen_string, LUA_STRLIBNAME);
    open_library(L, luaopen_math, LUA_MATHLIBNAME);
    open_library(L, luaopen_io, LUA_IOLIBNAME);
    open_library(L, luaopen_os, LUA_OSLIBNAME);
    open_library(L, luaopen_bit, LUA_BITLIBNAME);
    open_library(L, luaopen_jit, LUA_JITLIBNAME);
    lua_pushnil(L);
    lua_setglobal(L, "jit");
    lua_pushnil(L);
    lua_setglobal(L, "newproxy");
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    for (size_t i = 0; i < ARRAY_COUNT(hidden); i++) {
        lua_pushnil(L);
        lua_setfield(L, -2, hidden[i]);
    }
    lua_pop(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "_PRELOAD");
    for (size_t i = 0; i < ARRAY_COUNT(hidden); i++) {
        lua_pushnil(L);
        lua_setfield(L, -2, hidden[i]);
    }
    lua_pop(L, 1);
}

/* kumo and its parts are in package.loaded from the start: require 'kumo', require 'kumo.dns'. */
static void modules_publish(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED"); /* 2 */
    lua_pushvalue(L, 1);
    lua_setfield(L, 2, "kumo");
    lua_pushnil(L);
    while (lua_next(L, 1) != 0) {
        if (lua_type(L, -2) == LUA_TSTRING && lua_istable(L, -1)) {
            lua_pushfstring(L, "kumo.%s", lua_tostring(L, -2));
            lua_pushvalue(L, -2);
            lua_settable(L, 2);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void math_seed(struct vm_state *st, lua_State *L)
{
    if (st->vm == NULL) {
        return; /* this state only proves that the policy loads */
    }
    lua_getglobal(L, "math");
    lua_getfield(L, -1, "randomseed");
    lua_pushnumber(L, (double)(ring_random(&st->vm->shard->ring) >> 11));
    lua_call(L, 1, 0);
    lua_pop(L, 1);
}

/* Protected: everything a policy finds before its first line runs. */
static int state_furnish(lua_State *L)
{
    struct vm_state *st = vm_state_of(L);

    lua_settop(L, 0);
    libraries_open(L);
    chunk_open(L);
    compat_open(L);
    wait_open(L);
    lua_newtable(L); /* 1: kumo */
    error_open(L);
    json_open(L);
    object_open(L);
    kumo_open(L);
    kumo_json_open(L);
    event_open(L);
    maker_open(L);
    if (st->policy->library != NULL && st->policy->library->open != NULL) {
        st->policy->library->open(L);
    }
    lua_settop(L, 1);
    modules_publish(L);
    lua_pushboolean(L, st->policy->validating);
    lua_setglobal(L, "_VALIDATING_CONFIG");
    math_seed(st, L);
    if (st->instructions_max != 0) {
        simulated_open(L);
    }
    lua_settop(L, 0);
    return 0;
}

/* Protected: the policy's main chunk. */
static int state_evaluate(lua_State *L)
{
    struct vm_state *st = vm_state_of(L);
    struct policy *p = st->policy;

    /* The name has no '@': positions print as [string "PATH"]:LINE. */
    buf_clear(&st->scratch);
    buf_put(&st->scratch, buf_slice(&p->path));
    buf_char(&st->scratch, '\0');
    if (chunk_load(L, buf_slice(&p->text), st->scratch.ptr) != 0) {
        return lua_error(L);
    }
    lua_call(L, 0, 0);
    return 0;
}

bool state_call(struct vm_state *st, lua_CFunction fn, void *arg, struct buf *why)
{
    int top = lua_gettop(st->L);
    bool was_limited = st->limited;
    int rc;

    lua_pushcfunction(st->L, fn);
    lua_pushlightuserdata(st->L, arg);
    st->limited = true;
    rc = lua_pcall(st->L, 1, 0, 0);
    st->limited = was_limited;
    if (st->out_of_memory) {
        BUF_LIT(why, "not enough memory");
        rc = LUA_ERRMEM;
    } else if (rc != 0) {
        state_error_text(st, st->L, why);
    }
    lua_settop(st->L, top);
    return rc == 0;
}

/* The main chunk on a budget of its own, as it may read files and build tables. */
static bool state_load(struct vm_state *st, const struct vm_limits *limits, struct buf *why)
{
    uint64_t budget_ms =
        limits->load_budget_ms != 0 ? limits->load_budget_ms : VM_LOAD_BUDGET_DEFAULT_MS;
    size_t start = why->len;
    struct vm_budget budget;
    bool ok;

    st->loading = true;
    if (st->instructions_max != 0) {
        ok = state_call(st, state_evaluate, NULL, why);
    } else {
        budget_begin(&budget, st, budget_ms);
        ok = state_call(st, state_evaluate, NULL, why);
        budget_end(&budget);
    }
    st->loading = false;
    if (st->interrupted) { /* even if the chunk caught the error it got for it */
        why->len = start;
        if (st->stopped_at.len > 0) {
            buf_printf(why, "%.*s: ", SLICE_ARG(buf_slice(&st->stopped_at)));
        }
        buf_printf(why, "the policy used more than its budget of CPU time while it was loaded "
                        "(%llu ms)", (unsigned long long)budget_ms);
        ok = false;
    }
    return ok;
}

static void state_set_mode(struct vm_state *st)
{
    if (st->instructions_max != 0) {
        (void)luaJIT_setmode(st->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    }
}

struct vm_state *state_new(struct vm *vm, struct policy *policy, const struct vm_limits *limits,
                           struct buf *why)
{
    struct vm_state *st = MEM_NEW(struct vm_state);

    st->vm = vm;
    st->policy = policy_get(policy);
    st->bytes_max = limits->state_bytes_max;
    st->instructions_max = limits->handler_budget_instructions;
    st->thread_ref = LUA_NOREF;
    events_init(st);
    st->L = lua_newstate(state_alloc, st);
    MUST(st->L != NULL);
    lua_atpanic(st->L, state_panic);
    if (!state_call(st, state_furnish, NULL, why)) {
        state_free(&st);
        return NULL;
    }
    state_set_mode(st);
    if (!state_load(st, limits, why)) {
        state_free(&st);
        return NULL;
    }
    state_thread_renew(st);
    return st;
}

void state_free(struct vm_state **stp)
{
    struct vm_state *st = *stp;

    *stp = NULL;
    if (st == NULL) {
        return;
    }
    wait_abandon(st);
    objects_settle(st, false);
    st->limited = false;
    (void)lua_sethook(st->L, NULL, 0, 0); /* closing runs no policy code, but be sure */
    lua_close(st->L);
    objects_free(st);
    events_free(st);
    buf_free(&st->scratch);
    buf_free(&st->scratch2);
    buf_free(&st->stopped_at);
    buf_free(&st->raising);
    buf_free(&st->source);
    buf_free(&st->file);
    json_doc_free(&st->doc);
    policy_free(&st->policy);
    mem_give(st);
}

void state_thread_renew(struct vm_state *st)
{
    if (st->thread != NULL && lua_status(st->thread) == 0) {
        lua_settop(st->thread, 0);
        return;
    }
    luaL_unref(st->L, LUA_REGISTRYINDEX, st->thread_ref);
    st->thread = lua_newthread(st->L);
    st->thread_ref = luaL_ref(st->L, LUA_REGISTRYINDEX);
}
