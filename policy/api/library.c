/* The library: which parts there are, and how config objects are checked. */
#include <stdio.h>

#include "core/config/egress_path_config.h"
#include "core/config/egress_pool_config.h"
#include "core/config/egress_source_config.h"
#include "core/config/listener_domain_config.h"
#include "core/config/queue_config.h"
#include "policy/api/api.h"
#include "policy/api/api_private.h"

#define MAKER(type)                                                                                \
    static bool check_##type(const struct json *params, struct buf *why)                           \
    {                                                                                              \
        struct type##_config config;                                                               \
                                                                                                   \
        if (!type##_config_read(params, &config, why)) {                                           \
            return false;                                                                          \
        }                                                                                          \
        type##_config_free(&config);                                                               \
        return true;                                                                               \
    }                                                                                              \
                                                                                                   \
    static struct json *fill_##type(const struct json *params, struct json_doc *doc)               \
    {                                                                                              \
        struct type##_config config;                                                               \
        struct buf why = {0};                                                                      \
        struct json *all = json_new(doc, JSON_OBJECT);                                             \
                                                                                                   \
        if (type##_config_read(params, &config, &why)) {                                           \
            all = type##_config_write(&config, doc);                                               \
            type##_config_free(&config);                                                           \
        }                                                                                          \
        buf_free(&why);                                                                            \
        return all;                                                                                \
    }

MAKER(queue)
MAKER(egress_path)
MAKER(egress_source)
MAKER(egress_pool)
MAKER(listener_domain)

static const struct vm_maker makers[] = {
    {"make_queue_config", check_queue, fill_queue},
    {"make_egress_path", check_egress_path, fill_egress_path},
    {"make_egress_source", check_egress_source, fill_egress_source},
    {"make_egress_pool", check_egress_pool, fill_egress_pool},
    {"make_listener_domain", check_listener_domain, fill_listener_domain},
};

struct api_services *api_services_find(lua_State *L)
{
    struct vm *vm = vm_of(L);

    return vm != NULL ? vm_services(vm) : NULL;
}

struct api_services *api_services_of(lua_State *L, const char *what)
{
    struct api_services *s = api_services_find(L);

    if (s == NULL) {
        vm_raise(L, "%s cannot be called while the policy is being loaded", what);
    }
    return s;
}

void api_module(lua_State *L, const char *name)
{
    if (*name == '\0') {
        lua_pushvalue(L, 1);
        return;
    }
    lua_getfield(L, 1, name);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, 1, name);
    }
}

static void library_log(struct vm *vm, enum vm_log_level level, struct slice line)
{
    struct api_services *s = vm != NULL ? vm_services(vm) : NULL;

    if (s != NULL && s->log != NULL) {
        s->log(s->ctx, level, line);
    } else {
        (void)fprintf(stderr, "%.*s\n", SLICE_ARG(line));
    }
}

static void message_open(lua_State *L)
{
    const luaL_Reg *const subjects[] = {
        api_message_envelope, api_message_meta,    api_message_data,
        api_message_headers,  api_message_imports, api_message_schedule,
    };

    for (size_t i = 0; i < ARRAY_COUNT(subjects); i++) {
        vm_class_open(L, VM_CLASS_MESSAGE, "Message", subjects[i], NULL);
    }
}

static void library_open(lua_State *L)
{
    api_address_open(L);
    message_open(L);
    api_conn_meta_open(L);
    api_make_message_open(L);
    api_setup_open(L);
    api_time_open(L);
    api_dns_open(L);
    api_memo_open(L);
    api_memory_open(L);
    api_domain_map_open(L);
    api_header_address_open(L);
}

const struct vm_library *api_library(void)
{
    static const struct vm_library library = {
        .open = library_open,
        .makers = makers,
        .maker_count = ARRAY_COUNT(makers),
        .log = library_log,
    };

    return &library;
}
