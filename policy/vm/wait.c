/* Suspension: a C function yields from tail position, the engine resumes when its operation is
 * complete, and a second C function turns the outcome into values or an error. */
#include "policy/vm/vm_private.h"

const char vm_suspended = 0;

void wait_drop(struct vm_state *st)
{
    struct vm_wait *w = st->wait;

    if (w != NULL) {
        st->wait = NULL;
        MUST(w->phase == VM_WAIT_COMPLETE);
        w->free(w);
    }
}

void wait_abandon(struct vm_state *st)
{
    struct vm_wait *w = st->wait;

    if (w == NULL) {
        return;
    }
    if (w->phase == VM_WAIT_COMPLETE) {
        wait_drop(st);
        return;
    }
    st->wait = NULL;
    w->state = NULL;
    w->phase = VM_WAIT_ABANDONED;
    if (w->cancel != NULL) {
        w->cancel(w);
        w->free(w);
    }
}

void vm_wait_check(lua_State *L, const char *what)
{
    struct vm_state *st = vm_state_of(L);

    if (st->call == NULL) {
        vm_raise(L, "%s cannot be called while the policy is being loaded", what);
    }
    wait_drop(st);
}

int vm_wait_start(lua_State *L, struct vm_wait *w)
{
    struct vm_state *st = vm_state_of(L);

    MUST(st->call != NULL && st->wait == NULL);
    w->state = st;
    st->wait = w;
    if (w->phase == VM_WAIT_COMPLETE) {
        return 0;
    }
    MUST(w->phase == VM_WAIT_NEW);
    w->phase = VM_WAIT_SUSPENDED;
    lua_settop(L, 0);
    lua_pushlightuserdata(L, VM_SUSPENDED);
    return lua_yield(L, 1);
}

struct vm_wait *vm_wait_finished(lua_State *L)
{
    struct vm_wait *w = vm_state_of(L)->wait;

    MUST(w != NULL && w->phase == VM_WAIT_COMPLETE);
    return w;
}

void vm_wait_complete(struct vm_wait *w)
{
    switch ((enum vm_wait_phase)w->phase) {
    case VM_WAIT_NEW:
        w->phase = VM_WAIT_COMPLETE;
        break;
    case VM_WAIT_SUSPENDED:
        w->phase = VM_WAIT_COMPLETE;
        call_resumed(w->state->call);
        break;
    case VM_WAIT_ABANDONED:
        w->free(w);
        break;
    case VM_WAIT_COMPLETE:
        MUST(!"an operation completed twice");
    }
}

void vm_wait_register(lua_State *L, const char *name, lua_CFunction start, lua_CFunction finish)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "ringpost.suspending");
    lua_pushcfunction(L, start);
    lua_pushcfunction(L, finish);
    lua_call(L, 2, 1);
    lua_setfield(L, -2, name);
}

/* A suspension inside a coroutine of the policy's own passes through it: resume() and wrap()
 * hand it on and go back in when the operation is complete. */
static const char suspending_source[] =
    "local SUSPENDED = ...\n"
    "local resume, yield, create = coroutine.resume, coroutine.yield, coroutine.create\n"
    "local status, running, error, type = coroutine.status, coroutine.running, error, type\n"
    "local forward\n"
    "function forward(co, ok, first, ...)\n"
    "  if ok and first == SUSPENDED and type(first) == 'userdata' then\n"
    "    yield(SUSPENDED)\n"
    "    return forward(co, resume(co))\n"
    "  end\n"
    "  return ok, first, ...\n"
    "end\n"
    "function coroutine.resume(co, ...) return forward(co, resume(co, ...)) end\n"
    "local function values(ok, first, ...)\n"
    "  if not ok then error(first, 0) end\n"
    "  return first, ...\n"
    "end\n"
    "function coroutine.wrap(fn)\n"
    "  local co = create(fn)\n"
    "  return function(...) return values(forward(co, resume(co, ...))) end\n"
    "end\n"
    "function coroutine.close(co)\n"
    "  local s = status(co)\n"
    "  if s == 'running' or s == 'normal' then\n"
    "    error('cannot close a ' .. s .. ' coroutine', 2)\n"
    "  end\n"
    "  return true\n"
    "end\n"
    "return function(start, finish)\n"
    "  return function(...) return finish(start(...)) end\n"
    "end\n";

void wait_open(lua_State *L)
{
    if (luaL_loadbuffer(L, suspending_source, sizeof(suspending_source) - 1, "=ringpost") != 0) {
        (void)lua_error(L);
    }
    lua_pushlightuserdata(L, VM_SUSPENDED);
    lua_call(L, 1, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, "ringpost.suspending");
}
