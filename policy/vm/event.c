/* kumo.on: which handlers an event has in this state, and who registered them. */
#include "core/base/mem.h"
#include "policy/vm/vm_private.h"

#define HANDLERS_MAX 1024u
#define EVENTS_MAX 4096u

static const struct {
    struct slice name;
    bool multi;
} hook_info[VM_HOOK_COUNT] = {
#define VM_HOOK(name, multi, text) [VM_HOOK_##name] = {SLICE_INIT(#name), multi},
#include "policy/vm/hooks.def"
#undef VM_HOOK
};

/* Events that no hook of the engine stands for, yet may have several handlers. */
static const struct slice more_multi[] = {SLICE_INIT("get_acl_definition")};

/* Of these, `return nil` means "somebody else may know". */
static const struct slice nil_continues[] = {SLICE_INIT("get_queue_config"),
                                             SLICE_INIT("get_acl_definition")};

static struct slice event_key(const struct hmap_node *node)
{
    return buf_slice(&CONTAINER_OF(node, struct vm_event, node)->name);
}

void events_init(struct vm_state *st)
{
    hmap_init(&st->events, event_key, 0);
}

void events_free(struct vm_state *st)
{
    struct hmap_node *next;

    for (struct hmap_node *n = hmap_first(&st->events); n != NULL; n = next) {
        struct vm_event *ev = CONTAINER_OF(n, struct vm_event, node);

        next = hmap_next(&st->events, n);
        hmap_remove(&st->events, n);
        buf_free(&ev->name);
        mem_give(ev->refs);
        mem_give(ev);
    }
    hmap_free(&st->events);
}

struct vm_event *event_find(struct vm_state *st, struct slice name)
{
    struct hmap_node *n = hmap_find(&st->events, name);

    return n != NULL ? CONTAINER_OF(n, struct vm_event, node) : NULL;
}

static bool among(const struct slice *names, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_eq(names[i], name)) {
            return true;
        }
    }
    return false;
}

static struct vm_event *event_add(struct vm_state *st, struct slice name)
{
    struct vm_event *ev = MEM_NEW(struct vm_event);

    buf_put(&ev->name, name);
    ev->multi = among(more_multi, ARRAY_COUNT(more_multi), name);
    ev->nil_continues = among(nil_continues, ARRAY_COUNT(nil_continues), name);
    ev->registrars_ref = LUA_NOREF;
    for (size_t i = 0; i < VM_HOOK_COUNT; i++) {
        if (slice_eq(hook_info[i].name, name)) {
            ev->multi = hook_info[i].multi;
            st->hooks[i] = ev;
        }
    }
    hmap_insert(&st->events, &ev->node);
    return ev;
}

void source_position_put(struct buf *out, const char *source, int line)
{
    buf_put(out, slice_str(*source == '@' || *source == '=' ? source + 1 : source));
    if (line >= 0) {
        buf_printf(out, ":%d", line);
    }
}

/* Where the handler that is already there was defined. */
static void first_position_put(lua_State *L, const struct vm_event *ev, struct buf *out)
{
    lua_Debug ar;

    lua_rawgeti(L, LUA_REGISTRYINDEX, ev->refs[0]);
    (void)lua_getinfo(L, ">S", &ar);
    source_position_put(out, ar.source, ar.linedefined);
}

/* Pushes an array of the positions on the stack. */
static void push_registrars(lua_State *L)
{
    lua_Debug ar;
    int at = 0;

    vm_array_new(L, 0);
    for (int level = 1; level < 64 && lua_getstack(L, level, &ar); level++) {
        (void)lua_getinfo(L, "Sl", &ar);
        if (ar.currentline < 0) {
            continue;
        }
        struct buf *b = vm_scratch(L);

        source_position_put(b, ar.source, ar.currentline);
        vm_push_slice(L, buf_slice(b));
        lua_rawseti(L, -2, ++at);
    }
}

static void check_may_register(lua_State *L, struct vm_state *st, struct slice name)
{
    struct slice current = vm_current_event(L);

    if (st->loading || slice_eq(current, SLICE("main"))) {
        return;
    }
    vm_raise(L,
             "Attempting to register an event handler via `kumo.on('%.*s', ...)` from within the "
             "event handler '%.*s'. You must move your event handler registration so that it is "
             "setup directly when the policy is loaded in order for it to consistently trigger "
             "and handle events.",
             SLICE_ARG(name), SLICE_ARG(current));
}

/* kumo.on(name, fn) */
static int kumo_on(lua_State *L)
{
    struct vm_state *st = vm_state_of(L);
    struct slice name = vm_check_string(L, 1);
    struct vm_event *ev = event_find(st, name);

    if (!lua_isfunction(L, 2)) {
        vm_raise_type(L, 2, "function");
    }
    check_may_register(L, st, name);
    if (ev != NULL && ev->count > 0 && !ev->multi) {
        struct buf *b = vm_scratch(L);

        buf_put(b, name);
        BUF_LIT(b, " event already has a handler defined at ");
        first_position_put(L, ev, b);
        vm_raise_slice(L, buf_slice(b));
    }
    if (st->events.count >= EVENTS_MAX || (ev != NULL && ev->count >= HANDLERS_MAX)) {
        vm_raise(L, "too many event handlers");
    }
    if (ev == NULL) {
        ev = event_add(st, name);
    }
    if (ev->registrars_ref == LUA_NOREF) {
        lua_newtable(L);
        ev->registrars_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, ev->registrars_ref);
    push_registrars(L);
    lua_rawseti(L, -2, (int)ev->count + 1);
    lua_pushvalue(L, 2);
    ev->refs = mem_grow(ev->refs, (ev->count + 1) * sizeof(int));
    ev->refs[ev->count] = LUA_NOREF;
    ev->refs[ev->count] = luaL_ref(L, LUA_REGISTRYINDEX);
    ev->count++;
    policy_event_add(st->policy, name);
    return 0;
}

/* kumo.get_event_registrars(name) -> array of arrays of "SRC:LINE" */
static int kumo_get_event_registrars(lua_State *L)
{
    struct vm_event *ev = event_find(vm_state_of(L), vm_check_string(L, 1));

    vm_array_new(L, 0);
    if (ev == NULL) {
        return 1;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, ev->registrars_ref);
    for (uint32_t i = 1; i <= ev->count; i++) {
        lua_rawgeti(L, -1, (int)i);
        lua_rawseti(L, -3, (int)i);
    }
    lua_pop(L, 1);
    return 1;
}

struct slice vm_current_event(lua_State *L)
{
    struct vm_state *st = vm_state_of(L);

    return st->current != NULL ? buf_slice(&st->current->name) : (struct slice){0};
}

void event_announce(struct vm_state *st, struct vm_event *ev)
{
    st->current = ev;
    if (st->announced == ev) {
        return;
    }
    st->announced = ev;
    lua_pushliteral(st->L, "_KUMO_CURRENT_EVENT");
    vm_push_slice(st->L, buf_slice(&ev->name));
    /* Raw: a metatable that guards the globals is none of its business. */
    lua_rawset(st->L, LUA_GLOBALSINDEX);
}

void event_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"on", kumo_on},
        {"get_event_registrars", kumo_get_event_registrars},
        {NULL, NULL},
    };

    luaL_register(L, NULL, functions);
}
