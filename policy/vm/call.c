/* A call: arguments are noted down, pushed when a state is there, and the handlers of the event
 * run one after the other until one answers. */
#include "core/base/mem.h"
#include "policy/vm/vm_private.h"

static struct vm_call *call_take(struct vm *vm)
{
    struct dlist *node = dlist_pop(&vm->spare);
    struct vm_call *c;

    if (node != NULL) {
        c = CONTAINER_OF(node, struct vm_call, link);
    } else {
        c = MEM_NEW(struct vm_call);
        c->vm = vm;
    }
    return c;
}

struct vm_call *vm_call_begin(struct vm *vm, enum vm_hook hook)
{
    MUST(vm_has(vm, hook));
    struct vm_call *c = call_take(vm);

    c->hook = (int)hook;
    return c;
}

struct vm_call *vm_call_begin_named(struct vm *vm, struct slice event)
{
    if (!policy_event_known(vm->policy, event)) {
        return NULL;
    }
    struct vm_call *c = call_take(vm);

    c->hook = -1;
    buf_put(&c->name, event);
    return c;
}

/* ---- arguments ---- */

static struct vm_arg *arg_add(struct vm_call *c, enum vm_arg_kind kind)
{
    MUST(c->arg_count < VM_ARGS_MAX && c->state == NULL);
    struct vm_arg *a = &c->args[c->arg_count++];

    *a = (struct vm_arg){.kind = (uint8_t)kind};
    return a;
}

static void arg_bytes(struct vm_call *c, struct vm_arg *a, struct slice s)
{
    a->from = (uint32_t)c->bytes.len;
    a->len = (uint32_t)s.len;
    buf_put(&c->bytes, s);
}

void vm_push_nil(struct vm_call *c)
{
    (void)arg_add(c, VM_ARG_NIL);
}

void vm_push_string(struct vm_call *c, struct slice s)
{
    arg_bytes(c, arg_add(c, VM_ARG_STRING), s);
}

void vm_push_optional(struct vm_call *c, struct slice s, bool present)
{
    if (present) {
        vm_push_string(c, s);
    } else {
        vm_push_nil(c);
    }
}

void vm_push_int(struct vm_call *c, int64_t v)
{
    arg_add(c, VM_ARG_INT)->integer = v;
}

void vm_push_bool(struct vm_call *c, bool v)
{
    arg_add(c, VM_ARG_BOOL)->boolean = v;
}

void vm_push_time_delta(struct vm_call *c, int64_t ns)
{
    arg_add(c, VM_ARG_TIME_DELTA)->integer = ns;
}

void vm_push_strings(struct vm_call *c, const struct slice *items, uint32_t count)
{
    struct vm_arg *a = arg_add(c, VM_ARG_STRINGS);

    a->from = (uint32_t)c->bytes.len;
    a->count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t len = (uint32_t)items[i].len;

        buf_append(&c->bytes, &len, sizeof(len));
        buf_put(&c->bytes, items[i]);
    }
}

void vm_push_address(struct vm_call *c, struct slice addr)
{
    arg_bytes(c, arg_add(c, VM_ARG_ADDRESS), addr);
}

void vm_push_json(struct vm_call *c, const struct json *v)
{
    arg_add(c, VM_ARG_JSON)->json = v;
}

void vm_push_message(struct vm_call *c, struct message *m)
{
    arg_add(c, VM_ARG_MESSAGE)->message = m;
}

void vm_push_conn_meta(struct vm_call *c, struct meta *meta)
{
    arg_add(c, VM_ARG_META)->meta = meta;
}

static void push_strings(lua_State *L, const struct vm_call *c, const struct vm_arg *a)
{
    const char *at = a->count != 0 ? c->bytes.ptr + a->from : NULL;

    vm_array_new(L, a->count);
    for (uint32_t i = 1; i <= a->count; i++) {
        uint32_t len;

        memcpy(&len, at, sizeof(len));
        lua_pushlstring(L, at + sizeof(len), len);
        lua_rawseti(L, -2, (int)i);
        at += sizeof(len) + len;
    }
}

static void push_arg(lua_State *L, const struct vm_call *c, const struct vm_arg *a)
{
    switch ((enum vm_arg_kind)a->kind) {
    case VM_ARG_NIL:
        lua_pushnil(L);
        break;
    case VM_ARG_BOOL:
        lua_pushboolean(L, a->boolean);
        break;
    case VM_ARG_INT:
        vm_integer_push(L, a->integer);
        break;
    case VM_ARG_STRING:
        lua_pushlstring(L, a->len != 0 ? c->bytes.ptr + a->from : "", a->len);
        break;
    case VM_ARG_STRINGS:
        push_strings(L, c, a);
        break;
    case VM_ARG_ADDRESS:
        vm_address_push(L, slice_of(a->len != 0 ? c->bytes.ptr + a->from : "", a->len));
        break;
    case VM_ARG_JSON:
        vm_json_push(L, a->json);
        break;
    case VM_ARG_MESSAGE:
        object_push_message(c->state, L, a->message);
        break;
    case VM_ARG_META:
        object_push_meta(c->state, L, a->meta);
        break;
    case VM_ARG_TIME_DELTA:
        vm_time_delta_push(L, a->integer);
        break;
    }
}

/* ---- running ---- */

/* Edits become real before anybody hears of the result. */
static bool call_finish(struct vm_call *c)
{
    struct vm_state *st = c->state;
    struct vm_counters *counters = &c->vm->counters;

    c->finished = true;
    if (st == NULL) {
        counters->error_count++;
        return true;
    }
    objects_settle(st, c->result.status == VM_NONE || c->result.status == VM_RETURNED);
    if (c->result.status == VM_REJECTED) {
        counters->reject_count++;
    } else if (c->result.status == VM_ERROR) {
        counters->error_count++;
        st->doomed = true;
    }
    return true;
}

static void call_fail(struct vm_call *c, const char *text)
{
    buf_clear(&c->text);
    buf_put(&c->text, slice_str(text));
    c->result = (struct vm_result){.status = VM_ERROR, .text = buf_slice(&c->text)};
}

/* What stopped a handler counts, even if the handler caught the error it got for it. */
static bool call_was_stopped(struct vm_call *c)
{
    struct vm_state *st = c->state;

    if (st->interrupted) {
        c->vm->counters.killed_count++;
        buf_clear(&c->text);
        buf_printf(&c->text, "event handler %.*s used more than its budget of %s",
                   SLICE_ARG(buf_slice(&st->current->name)),
                   st->instructions_max != 0 ? "instructions" : "CPU time");
        if (st->stopped_at.len > 0) {
            buf_printf(&c->text, " at %.*s", SLICE_ARG(buf_slice(&st->stopped_at)));
        }
    } else if (st->out_of_memory) {
        c->vm->counters.killed_count++;
        buf_clear(&c->text);
        buf_printf(&c->text, "event handler %.*s: not enough memory",
                   SLICE_ARG(buf_slice(&st->current->name)));
    } else {
        return false;
    }
    c->result = (struct vm_result){.status = VM_ERROR, .text = buf_slice(&c->text)};
    return true;
}

static int call_resume_lua(struct vm_call *c, int nargs)
{
    struct vm_state *st = c->state;
    struct vm_budget_frame outer;
    int rc;

    st->instructions = 0;
    c->vm->depth++;
    budget_enter(st, &outer);
    st->limited = true;
    rc = lua_resume(st->thread, nargs);
    st->limited = false;
    budget_leave(st, &outer);
    c->vm->depth--;
    return rc;
}

static struct vm_event *call_event(const struct vm_call *c)
{
    return c->hook >= 0 ? c->state->hooks[c->hook] : event_find(c->state, buf_slice(&c->name));
}

/* Starts the next handler of the chain; false when there is none. */
static bool call_next_handler(struct vm_call *c, int *rc)
{
    struct vm_state *st = c->state;
    struct vm_event *ev = call_event(c);
    lua_State *L = st->thread;

    if (ev == NULL || c->handler_next >= ev->count) {
        return false;
    }
    event_announce(st, ev);
    c->vm->counters.call_count++;
    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, ev->refs[c->handler_next++]);
    for (uint32_t i = 0; i < c->arg_count; i++) {
        push_arg(L, c, &c->args[i]);
    }
    *rc = call_resume_lua(c, (int)c->arg_count);
    return true;
}

/* Whether the handler passed to the next: no values, or a nil where nil means that. */
static bool call_passed(struct vm_call *c, lua_State *L)
{
    int count = lua_gettop(L);

    return count == 0 || (count == 1 && lua_isnil(L, 1) && c->state->current->nil_continues);
}

/* True: the call is finished. */
static bool call_step(struct vm_call *c, bool resuming)
{
    struct vm_state *st = c->state;
    lua_State *L = st->thread;
    int rc;

    for (;; resuming = false) {
        if (resuming) {
            lua_settop(L, 0);
            rc = call_resume_lua(c, 0);
        } else if (!call_next_handler(c, &rc)) {
            return call_finish(c); /* VM_NONE */
        }
        if (call_was_stopped(c)) {
            return call_finish(c);
        }
        if (rc == LUA_YIELD && st->wait != NULL && lua_touserdata(L, -1) == VM_SUSPENDED) {
            c->vm->counters.suspended_count++;
            return false;
        }
        if (rc == LUA_YIELD) {
            call_fail(c, "attempt to yield from outside a coroutine");
            return call_finish(c);
        }
        if (rc != 0) {
            call_result_error(c, L);
            return call_finish(c);
        }
        if (!call_passed(c, L)) {
            call_result_values(c, L, 1, lua_gettop(L));
            return call_finish(c);
        }
    }
}

/* Finds a state and runs. True: finished; false: suspended, or waits for a state. */
static bool call_start(struct vm_call *c)
{
    bool must_wait;

    buf_clear(&c->text);
    c->state = vm_state_take(c->vm, &c->text, &must_wait);
    if (must_wait) {
        dlist_push(&c->vm->waiting, &c->link);
        return false;
    }
    if (c->state == NULL) {
        c->result = (struct vm_result){.status = VM_ERROR, .text = buf_slice(&c->text)};
        return call_finish(c);
    }
    c->state->call = c;
    return call_step(c, false);
}

const struct vm_result *vm_call_run(struct vm_call *c, vm_done_fn *done, void *ctx)
{
    MUST(c->state == NULL && !c->finished);
    c->done = done;
    c->ctx = ctx;
    c->result = (struct vm_result){.status = VM_NONE};
    if (call_start(c)) {
        return &c->result;
    }
    c->delayed = true;
    return NULL;
}

void call_resumed(struct vm_call *c)
{
    if (call_step(c, true)) {
        c->done(c->ctx, &c->result);
    }
}

/* Posted: gives idle states to the calls that wait, in order. */
void calls_wake(struct post *p)
{
    struct vm *vm = CONTAINER_OF(p, struct vm, next);

    while (!dlist_empty(&vm->waiting) &&
           (!dlist_empty(&vm->idle) || vm->state_count < vm->limits.states_max)) {
        struct vm_call *c = CONTAINER_OF(dlist_pop(&vm->waiting), struct vm_call, link);

        if (call_start(c)) {
            c->done(c->ctx, &c->result);
        }
    }
}

static void call_reset(struct vm_call *c)
{
    buf_clear(&c->name);
    buf_clear(&c->bytes);
    buf_clear(&c->text);
    json_doc_free(&c->doc);
    c->state = NULL;
    c->arg_count = 0;
    c->handler_next = 0;
    c->finished = false;
    c->delayed = false;
    c->result = (struct vm_result){.status = VM_NONE};
}

void vm_call_end(struct vm_call **cp)
{
    struct vm_call *c = *cp;
    struct vm_state *st;

    *cp = NULL;
    if (c == NULL) {
        return;
    }
    st = c->state;
    if (dlist_linked(&c->link)) {
        dlist_remove(&c->link); /* still waits for a state */
    }
    if (st != NULL) {
        if (!c->finished && st->wait != NULL) {
            wait_abandon(st);
            objects_settle(st, false);
            st->doomed = true; /* its coroutine stands in the middle of a handler */
        }
        st->call = NULL;
        vm_state_give(c->vm, st);
    }
    struct vm *vm = c->vm;

    call_reset(c);
    dlist_push_front(&vm->spare, &c->link);
}
