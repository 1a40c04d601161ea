/* Message: headers copied into metadata. */
#include "core/base/json.h"
#include "core/message/message.h"
#include "policy/api/api_private.h"
#include "proto/header.h"

enum import_match { MATCH_FIRST, MATCH_LAST, MATCH_ALL };
enum import_case { CASE_SNAKE, CASE_KEBAB, CASE_CAMEL, CASE_PASCAL };

#define SPECS_MAX 256u
#define META_NAME_MAX 65535u

struct import_spec {
    struct slice name; /* exact, or a prefix and "*" */
    struct slice target;
    enum import_match match;
    enum import_case letter_case;
    bool remove;
};

static const struct slice match_names[] = {
    [MATCH_FIRST] = SLICE_INIT("first"),
    [MATCH_LAST] = SLICE_INIT("last"),
    [MATCH_ALL] = SLICE_INIT("all"),
};

static const struct slice case_names[] = {
    [CASE_SNAKE] = SLICE_INIT("snake_case"),
    [CASE_KEBAB] = SLICE_INIT("kebab_case"),
    [CASE_CAMEL] = SLICE_INIT("camel_case"),
    [CASE_PASCAL] = SLICE_INIT("pascal_case"),
};

/* ---- import_x_headers ---- */

struct x_import {
    lua_State *L;
    bool by_name;
    int count;
};

/* Pushes name and value of what is wanted: the message may not change while it is walked. */
static bool note_x_header(void *arg, struct slice name, struct slice raw_value)
{
    struct x_import *im = arg;
    struct buf *text;

    if (im->by_name ? !api_name_listed(im->L, 2, name)
                    : !slice_starts_nocase(name, SLICE("X-"))) {
        return true;
    }
    luaL_checkstack(im->L, 4, "too many headers");
    text = vm_scratch(im->L);
    for (size_t i = 0; i < name.len; i++) {
        buf_char(text, name.ptr[i] == '-' ? '_' : char_lower(name.ptr[i]));
    }
    vm_push_slice(im->L, buf_slice(text));
    buf_clear(text);
    (void)header_decode_put(text, raw_value);
    vm_push_slice(im->L, buf_slice(text));
    im->count++;
    return true;
}

static void set_meta_text(lua_State *L, struct message *m, struct slice name, int value_idx)
{
    if (name.len <= META_NAME_MAX) {
        meta_set(&m->content->meta, name, vm_json_text(L, value_idx));
        m->content->envelope_dirty = true;
    }
}

/* msg:import_x_headers(names?) */
static int message_import_x(lua_State *L)
{
    struct x_import im = {.L = L};
    int base;

    lua_settop(L, 2);
    im.by_name = !lua_isnil(L, 2);
    if (im.by_name) {
        api_check_names(L, 2);
    }
    base = lua_gettop(L);
    message_each_header(api_check_loaded(L), note_x_header, &im);
    for (int i = 0; i < im.count; i++) {
        int at = base + 1 + 2 * i;

        set_meta_text(L, vm_message_edit(L, 1), vm_check_string(L, at), at + 1);
    }
    return 0;
}

/* ---- import_headers ---- */

static NORETURN void raise_spec(lua_State *L, const char *detail)
{
    vm_raise(L, "deserialize error: %s, while processing JSON", detail);
}

static int word_index(lua_State *L, const struct json *v, const struct slice *names, int count,
                      const char *what)
{
    for (int i = 0; v->type == JSON_STRING && i < count; i++) {
        if (slice_eq(v->string, names[i])) {
            return i;
        }
    }
    vm_raise(L, "deserialize error: invalid value: unknown variant for %s, while processing JSON",
             what);
}

static void read_spec(lua_State *L, const struct json *from, struct import_spec *spec)
{
    *spec = (struct import_spec){.match = MATCH_LAST};
    if (from->type != JSON_OBJECT) {
        raise_spec(L, "invalid type: expected a table with named options");
    }
    for (const struct json *v = from->first; v != NULL; v = v->next) {
        if (slice_eq(v->key, SLICE("name")) && v->type == JSON_STRING) {
            spec->name = v->string;
        } else if (slice_eq(v->key, SLICE("target")) && v->type == JSON_STRING) {
            spec->target = v->string;
        } else if (slice_eq(v->key, SLICE("remove")) && v->type == JSON_BOOL) {
            spec->remove = v->boolean;
        } else if (slice_eq(v->key, SLICE("match"))) {
            spec->match = (enum import_match)word_index(L, v, match_names, 3, "match");
        } else if (slice_eq(v->key, SLICE("transform"))) {
            spec->letter_case = (enum import_case)word_index(L, v, case_names, 4, "transform");
        } else if (slice_eq(v->key, SLICE("name")) || slice_eq(v->key, SLICE("target")) ||
                   slice_eq(v->key, SLICE("remove"))) {
            vm_raise(L, "deserialize error: invalid type for `%.*s`, while processing JSON",
                     SLICE_ARG(v->key));
        } else {
            vm_raise(L,
                     "deserialize error: unknown field `%.*s`, expected one of `name`, `match`, "
                     "`transform`, `target`, `remove`, while processing JSON",
                     SLICE_ARG(v->key));
        }
    }
    if (from->first == NULL || spec->name.ptr == NULL) {
        raise_spec(L, "missing field `name`");
    }
    size_t star = slice_find_char(spec->name, '*');

    if (spec->name.len == 0 ||
        (star != spec->name.len && (star == 0 || star + 1 != spec->name.len))) {
        vm_raise(L, "header name pattern '%.*s' must be a name, or a prefix followed by a single *",
                 SLICE_ARG(spec->name));
    }
    if (spec->target.ptr != NULL && star != spec->name.len) {
        vm_raise(L, "target cannot be combined with the wildcard '%.*s'", SLICE_ARG(spec->name));
    }
}

/* The metadata key of a header. */
static void put_key(struct buf *out, const struct import_spec *spec, struct slice name)
{
    bool upper = spec->letter_case == CASE_PASCAL;

    if (spec->target.ptr != NULL) {
        buf_put(out, spec->target);
        return;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = char_lower(name.ptr[i]);
        bool joined = spec->letter_case == CASE_CAMEL || spec->letter_case == CASE_PASCAL;

        if (c == '-' || c == '_') {
            upper = joined;
            if (!joined) {
                buf_char(out, spec->letter_case == CASE_SNAKE ? '_' : '-');
            }
            continue;
        }
        buf_char(out, upper && c >= 'a' && c <= 'z' ? (char)(c & ~0x20) : c);
        upper = false;
    }
}

struct spec_import {
    lua_State *L;
    struct import_spec *specs;
    uint32_t spec_count;
    int found_idx; /* a table: key -> value or array of values */
};

static const struct import_spec *spec_for(const struct spec_import *im, struct slice name)
{
    for (uint32_t i = 0; i < im->spec_count; i++) {
        if (header_name_matches(name, im->specs[i].name)) {
            return &im->specs[i];
        }
    }
    return NULL;
}

static bool note_header(void *arg, struct slice name, struct slice raw_value)
{
    struct spec_import *im = arg;
    const struct import_spec *spec = spec_for(im, name);
    lua_State *L = im->L;
    struct buf *text;

    if (spec == NULL) {
        return true;
    }
    text = vm_scratch(L);
    put_key(text, spec, name);
    vm_push_slice(L, buf_slice(text)); /* key */
    buf_clear(text);
    (void)header_decode_put(text, raw_value);
    vm_push_slice(L, buf_slice(text)); /* value */
    lua_pushvalue(L, -2);
    lua_rawget(L, im->found_idx); /* what is there */
    if (spec->match == MATCH_ALL) {
        if (!lua_istable(L, -1)) {
            lua_pop(L, 1);
            vm_array_new(L, 1);
        }
        lua_insert(L, -2);
        lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
        lua_rawset(L, im->found_idx);
        return true;
    }
    if (spec->match == MATCH_FIRST && !lua_isnil(L, -1)) {
        lua_pop(L, 3);
        return true;
    }
    lua_pop(L, 1);
    lua_rawset(L, im->found_idx);
    return true;
}

static bool is_removed(void *arg, struct slice name, struct slice raw_value)
{
    const struct import_spec *spec = spec_for(arg, name);

    return spec != NULL && spec->remove;
}

/* msg:import_headers(specs) */
static int message_import(lua_State *L)
{
    struct json_doc *doc = vm_scratch_doc(L);
    struct buf *why = vm_scratch2(L);
    struct spec_import im = {.L = L};
    bool removes = false;
    struct json *list;

    if (!vm_json_read(L, 2, doc, &list, why)) {
        vm_raise_slice(L, buf_slice(why));
    }
    if ((list->type != JSON_ARRAY && list->first != NULL) || list->count > SPECS_MAX) {
        raise_spec(L, "invalid type: expected an array of header imports");
    }
    /* In Lua's memory, so that an error gives it back; names stay in `doc`. */
    im.specs = lua_newuserdata(L, sizeof(*im.specs) * (list->count + 1));
    for (const struct json *v = list->first; v != NULL; v = v->next) {
        read_spec(L, v, &im.specs[im.spec_count]);
        removes |= im.specs[im.spec_count++].remove;
    }
    lua_newtable(L);
    im.found_idx = lua_gettop(L);
    message_each_header(api_check_loaded(L), note_header, &im);
    if (removes) {
        (void)message_remove_headers(vm_message_edit(L, 1), is_removed, &im);
    }
    /* The document is free from here on: vm_json_text() may use it. */
    lua_pushnil(L);
    while (lua_next(L, im.found_idx) != 0) {
        int top = lua_gettop(L);

        set_meta_text(L, vm_message_edit(L, 1), vm_check_string(L, top - 1), top);
        lua_pop(L, 1);
    }
    return 0;
}

const luaL_Reg api_message_imports[] = {
    {"import_x_headers", message_import_x},
    {"import_headers", message_import},
    {NULL, NULL},
};
