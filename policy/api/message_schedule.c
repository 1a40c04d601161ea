/* Message: when it is due, and when it may be tried. */
#include "core/base/civil.h"
#include "core/message/message.h"
#include "core/message/schedule.h"
#include "core/shard/shard.h"
#include "policy/api/api_private.h"
#include "proto/header.h"

static const struct zone_finder *zones(lua_State *L)
{
    const struct api_services *s = api_services_find(L);

    return s != NULL ? s->zones : NULL;
}

static const struct zone *no_zone(void *ctx, struct slice name)
{
    return NULL;
}

static const struct zone_finder no_zones = {.find = no_zone};

static const struct zone_finder *finder(lua_State *L)
{
    const struct zone_finder *z = zones(L);

    return z != NULL ? z : &no_zones;
}

static uint64_t now_ms(lua_State *L)
{
    struct vm *vm = vm_of(L);

    return vm != NULL ? ring_wall_ns(&vm_shard(vm)->ring) / 1000000u : 0;
}

static uint64_t due_arg(lua_State *L, int idx)
{
    struct civil_moment when;

    if (lua_isnoneornil(L, idx)) {
        return now_ms(L);
    }
    if (!civil_parse(vm_check_string(L, idx), &when)) {
        vm_raise(L, "'%.*s' is not a valid RFC 3339 date and time",
                 SLICE_ARG(slice_head(vm_check_string(L, idx), 64)));
    }
    return when.s <= 0 ? 0 : (uint64_t)when.s * 1000u + when.ns / 1000000u;
}

/* msg:set_due(when?) -> the moment after the message's restrictions, or nil for now */
static int message_set_due(lua_State *L)
{
    uint64_t due_ms = due_arg(L, 2);
    struct message *m = vm_message_edit(L, 1);
    struct buf *text = vm_scratch(L);

    due_ms = schedule_adjust_ms(m->content->schedule, finder(L), due_ms);
    m->due_ms = due_ms > now_ms(L) ? due_ms : 0;
    if (m->due_ms == 0) {
        lua_pushnil(L);
        return 1;
    }
    civil_put_moment(text, &(struct civil_moment){.s = (int64_t)(due_ms / 1000u),
                                                  .ns = (uint32_t)(due_ms % 1000u) * 1000000u});
    vm_push_slice(L, buf_slice(text));
    return 1;
}

/* A new schedule moves the due time along: what may not be tried yet is not. */
static void put_schedule(lua_State *L, struct schedule *s)
{
    struct message *m;
    uint64_t due_ms;

    vm_message_set_schedule(L, 1, s);
    m = vm_message_edit(L, 1);
    due_ms = m->due_ms > now_ms(L) ? m->due_ms : now_ms(L);
    due_ms = schedule_adjust_ms(m->content->schedule, finder(L), due_ms);
    m->due_ms = due_ms > now_ms(L) ? due_ms : 0;
}

static int push_schedule(lua_State *L, const struct message *m)
{
    struct buf *text = vm_scratch(L);

    if (m->content->schedule == NULL) {
        lua_pushnil(L);
        return 1;
    }
    schedule_write_json(m->content->schedule, text);
    vm_json_text_push(L, buf_slice(text));
    return 1;
}

/* msg:set_scheduling(table?) -> the same structure, or nil */
static int message_set_scheduling(lua_State *L)
{
    struct json_doc *doc = vm_scratch_doc(L);
    struct buf *why = vm_scratch2(L);
    struct schedule *s = NULL;
    struct json *tree;

    (void)vm_message_edit(L, 1);
    if (!lua_isnoneornil(L, 2)) {
        if (!vm_json_read(L, 2, doc, &tree, why) ||
            !schedule_parse(tree, finder(L), &s, why)) {
            vm_raise_slice(L, buf_slice(why));
        }
    }
    put_schedule(L, s);
    return push_schedule(L, vm_message_view(L, 1));
}

static bool is_named(void *arg, struct slice name, struct slice raw_value)
{
    return slice_eq_nocase(name, *(const struct slice *)arg);
}

/* msg:import_scheduling_header(name, remove) -> the schedule, or nil without the header */
static int message_import_scheduling(lua_State *L)
{
    struct slice name = vm_check_string(L, 2), raw_value;
    struct buf *text = vm_scratch(L), *why = vm_scratch2(L);
    struct json_doc *doc = vm_scratch_doc(L);
    struct schedule *s = NULL;

    if (!api_header_first(api_check_loaded(L), name, &raw_value)) {
        lua_pushnil(L);
        return 1;
    }
    (void)header_decode_put(text, raw_value);
    if (!json_parse(buf_slice(text), 0, doc, why) ||
        !schedule_parse(doc->root, finder(L), &s, why)) {
        vm_raise(L, "%.*s is not a valid Scheduling header: %.*s", SLICE_ARG(buf_slice(text)),
                 SLICE_ARG(buf_slice(why)));
    }
    if (lua_toboolean(L, 3)) {
        (void)message_remove_headers(vm_message_edit(L, 1), is_named, &name);
    }
    put_schedule(L, s);
    return push_schedule(L, vm_message_view(L, 1));
}

const luaL_Reg api_message_schedule[] = {
    {"set_due", message_set_due},
    {"set_scheduling", message_set_scheduling},
    {"import_scheduling_header", message_import_scheduling},
    {NULL, NULL},
};
