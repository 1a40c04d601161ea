/* What pre_init and init configure, and settings that change nothing. */
#include "policy/api/api_private.h"

enum setup_phases { PHASES_INIT, PHASES_PRE_INIT, PHASES_ANY };

struct setup_row {
    const char *module, *name;
    enum setup_phases phases;
    size_t offset; /* of the function in struct api_services */
};

static const struct setup_row setup_rows[] = {
#define API_SETUP(field, module, name, phases, text)                                               \
    {module, name, PHASES_##phases, offsetof(struct api_services, field)},
#include "policy/api/setup.def"
#undef API_SETUP
};

static void check_phase(lua_State *L, const struct setup_row *row)
{
    struct slice now = vm_current_event(L);

    if (row->phases == PHASES_ANY || slice_eq(now, SLICE("init")) || slice_eq(now, SLICE("main")) ||
        (row->phases == PHASES_PRE_INIT && slice_eq(now, SLICE("pre_init")))) {
        return;
    }
    vm_raise(L, "kumo.%s%s%s can only be called from within the %sinit event handler", row->module,
             *row->module != '\0' ? "." : "", row->name,
             row->phases == PHASES_PRE_INIT ? "pre_init or " : "");
}

/* Upvalue 1: the row. */
static int setup_call(lua_State *L)
{
    const struct setup_row *row = lua_touserdata(L, lua_upvalueindex(1));
    struct api_services *s;
    api_setup_fn *fn;
    struct json_doc *doc = vm_scratch_doc(L);
    struct buf *why = vm_scratch2(L);
    struct json *tree;

    check_phase(L, row);
    s = api_services_of(L, row->name);
    memcpy(&fn, (const char *)s + row->offset, sizeof(fn));
    if (fn == NULL) {
        vm_raise(L, "kumo.%s%s%s is not available in this version", row->module,
                 *row->module != '\0' ? "." : "", row->name);
    }
    if (!vm_json_read(L, 1, doc, &tree, why)) {
        vm_raise(L, "deserialize error: %.*s, while processing JSON", SLICE_ARG(buf_slice(why)));
    }
    if (!fn(s->ctx, tree, why)) {
        vm_raise_slice(L, buf_slice(why));
    }
    return 0;
}

/* kumo.dns.define_resolver(name, params) */
static int define_resolver(lua_State *L)
{
    struct api_services *s = api_services_of(L, "kumo.dns.define_resolver");
    struct slice name = vm_check_string(L, 1);
    struct json_doc *doc = vm_scratch_doc(L);
    struct buf *why = vm_scratch2(L);
    struct json *tree;

    if (s->define_resolver == NULL) {
        vm_raise(L, "kumo.dns.define_resolver is not available in this version");
    }
    if (!vm_json_read(L, 2, doc, &tree, why)) {
        vm_raise(L, "deserialize error: %.*s, while processing JSON", SLICE_ARG(buf_slice(why)));
    }
    if (!s->define_resolver(s->ctx, name, tree, why)) {
        vm_raise_slice(L, buf_slice(why));
    }
    return 0;
}

/* Upvalues: name and reason. */
static int knob_call(lua_State *L)
{
    struct api_services *s = api_services_find(L);

    if (s != NULL && s->notice != NULL) {
        s->notice(s->ctx, vm_check_string(L, lua_upvalueindex(1)),
                  vm_check_string(L, lua_upvalueindex(2)));
    }
    return 0;
}

static int set_log_filter(lua_State *L)
{
    struct slice text = vm_check_string(L, 1);
    struct api_services *s = api_services_find(L);
    struct buf *why = vm_scratch2(L);

    if (s != NULL && s->set_log_filter != NULL && !s->set_log_filter(s->ctx, text, why)) {
        vm_raise_slice(L, buf_slice(why));
    }
    return 0;
}

static int bump_config_epoch(lua_State *L)
{
    struct api_services *s = api_services_find(L);

    vm_epoch_bump(L);
    if (s != NULL && s->bump_epoch != NULL) {
        s->bump_epoch(s->ctx);
    }
    return 0;
}

void api_setup_open(lua_State *L)
{
    static const char *const knobs[][3] = {
#define API_KNOB(module, name, reason) {module, name, reason},
#include "policy/api/knobs.def"
#undef API_KNOB
    };

    for (size_t i = 0; i < ARRAY_COUNT(setup_rows); i++) {
        api_module(L, setup_rows[i].module);
        lua_pushlightuserdata(L, (void *)&setup_rows[i]);
        lua_pushcclosure(L, setup_call, 1);
        lua_setfield(L, -2, setup_rows[i].name);
        lua_pop(L, 1);
    }
    for (size_t i = 0; i < ARRAY_COUNT(knobs); i++) {
        api_module(L, knobs[i][0]);
        lua_pushstring(L, knobs[i][1]);
        lua_pushstring(L, knobs[i][2]);
        lua_pushcclosure(L, knob_call, 2);
        lua_setfield(L, -2, knobs[i][1]);
        lua_pop(L, 1);
    }
    lua_pushcfunction(L, set_log_filter);
    lua_setfield(L, 1, "set_diagnostic_log_filter");
    lua_pushcfunction(L, bump_config_epoch);
    lua_setfield(L, 1, "bump_config_epoch");
    api_module(L, "dns");
    lua_pushcfunction(L, define_resolver);
    lua_setfield(L, -2, "define_resolver");
    lua_pop(L, 1);
}
