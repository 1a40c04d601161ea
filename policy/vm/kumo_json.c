/* kumo.serde.json_* and their older names without serde. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/vm/vm_private.h"

static int json_encode(lua_State *L)
{
    vm_push_slice(L, vm_json_text(L, 1));
    return 1;
}

static int json_encode_pretty(lua_State *L)
{
    struct json_doc *doc = vm_scratch_doc(L);
    struct buf *why = vm_scratch2(L);
    struct json *tree;
    struct buf *out;

    if (!vm_json_read(L, 1, doc, &tree, why)) {
        vm_raise(L, "serialize error: %.*s", SLICE_ARG(buf_slice(why)));
    }
    out = vm_scratch(L); /* only now: objects spell themselves out in it */
    json_write_pretty(out, tree);
    vm_push_slice(L, buf_slice(out));
    return 1;
}

static void push_parsed(lua_State *L, struct slice text, const char *path)
{
    struct json_doc *doc = vm_scratch_doc(L);
    struct buf *why = vm_scratch2(L);

    if (!json_parse(text, JSON_COMMENTS, doc, why)) {
        if (path != NULL) {
            vm_raise(L, "error parsing %s: %.*s", path, SLICE_ARG(buf_slice(why)));
        }
        vm_raise(L, "%.*s", SLICE_ARG(buf_slice(why)));
    }
    vm_json_push(L, doc->root);
}

static int json_parse_text(lua_State *L)
{
    push_parsed(L, vm_check_string(L, 1), NULL);
    return 1;
}

/* Reads the file where it stands, as io.open would: meant for start-up and behind memoize. */
static int json_load(lua_State *L)
{
    struct vm_state *st = vm_state_of(L);
    const char *path = vm_check_string(L, 1).ptr;
    int err;

    buf_clear(&st->file);
    err = file_read(path, &st->file);
    if (err != 0) {
        vm_raise(L, "failed to read %s: %s", path, strerror(err));
    }
    push_parsed(L, buf_slice(&st->file), path);
    return 1;
}

void kumo_json_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"json_encode", json_encode},
        {"json_encode_pretty", json_encode_pretty},
        {"json_parse", json_parse_text},
        {"json_load", json_load},
        {NULL, NULL},
    };

    luaL_register(L, NULL, functions);
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    lua_setfield(L, -2, "serde");
}
