/* Policy text on its way into a state: the rewriter, the modules, load() and dofile(). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/vm/rewrite.h"
#include "policy/vm/vm_private.h"

#define FILE_SIZE_MAX (64u << 20)

static const char package_path[] = "/opt/kumomta/share/?.lua;/opt/kumomta/share/?/init.lua;"
                                   "/opt/kumomta/etc/policy/?.lua;"
                                   "/opt/kumomta/etc/policy/?/init.lua;";

/* A first line that begins with # is for the kernel. */
static struct slice without_shebang(struct slice text)
{
    return text.len > 0 && text.ptr[0] == '#' ? slice_from(text, slice_find_char(text, '\n'))
                                              : text;
}

static int load_rewritten(lua_State *L, struct slice text, const char *name)
{
    return luaL_loadbufferx(L, text.len != 0 ? text.ptr : "", text.len, name, "t");
}

/* What is wrong, in LuaJIT's own words for syntax errors. */
static int push_syntax_error(lua_State *L, const char *name, int line, struct slice what)
{
    struct buf *b = vm_scratch2(L);

    if (*name == '@' || *name == '=') {
        buf_printf(b, "%s:%d: %.*s", name + 1, line, SLICE_ARG(what));
    } else {
        struct slice first = slice_head(slice_str(name), slice_find_char(slice_str(name), '\n'));

        buf_printf(b, "[string \"%.*s\"]:%d: %.*s", SLICE_ARG(first), line, SLICE_ARG(what));
    }
    vm_push_slice(L, buf_slice(b));
    return LUA_ERRSYNTAX;
}

/* The text as it goes to LuaJIT; false with an error pushed. */
static bool prepare(lua_State *L, struct slice text, const char *name, struct slice *out)
{
    struct vm_state *st = vm_state_of(L);
    int line = 0;

    *out = without_shebang(text);
    buf_clear(&st->source);
    buf_clear(&st->raising);
    switch (rewrite_source(*out, &st->source, &st->raising, &line)) {
    case REWRITE_SAME:
        return true;
    case REWRITE_DONE:
        *out = buf_slice(&st->source);
        return true;
    case REWRITE_BAD:
        (void)push_syntax_error(L, name, line, buf_slice(&st->raising));
        return false;
    }
    return false;
}

int chunk_load(lua_State *L, struct slice text, const char *name)
{
    struct slice ready;

    if (!prepare(L, text, name, &ready)) {
        return LUA_ERRSYNTAX;
    }
    return load_rewritten(L, ready, name);
}

/* ---- files ---- */

/* Appends the file; 0 or an errno. Policy files are read where the policy asks for them. */
int file_read(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rbe");
    char block[16384];
    size_t got;
    int err = 0;

    if (f == NULL) {
        return errno;
    }
    while ((got = fread(block, 1, sizeof(block), f)) > 0) {
        if (out->len + got > FILE_SIZE_MAX) {
            err = EFBIG;
            break;
        }
        buf_append(out, block, got);
    }
    if (ferror(f)) {
        err = errno != 0 ? errno : EIO;
    }
    (void)fclose(f);
    return err;
}

/* Pushes the chunk (answers 0) or an error message; ENOENT of the file itself is -1, with
 * nothing pushed. What was read while the policy loaded is not read again. */
static int load_file(lua_State *L, const char *path)
{
    struct vm_state *st = vm_state_of(L);
    const struct policy_file *kept = policy_file_find(st->policy, slice_str(path));
    struct buf *name = vm_scratch(L);
    struct slice ready;
    int err;

    buf_char(name, '@');
    buf_append(name, path, strlen(path) + 1);
    if (kept != NULL) {
        return load_rewritten(L, buf_slice(&kept->text), name->ptr);
    }
    buf_clear(&st->file);
    err = file_read(path, &st->file);
    if (err != 0) {
        if (err == ENOENT || err == ENOTDIR) {
            return -1;
        }
        lua_pushfstring(L, "cannot read %s: %s", path, strerror(err));
        return LUA_ERRFILE;
    }
    if (!prepare(L, buf_slice(&st->file), name->ptr, &ready)) {
        return LUA_ERRSYNTAX;
    }
    if (st->policy->loading) {
        struct buf text = {0};

        buf_put(&text, ready);
        policy_file_keep(st->policy, slice_str(path), &text);
    }
    return load_rewritten(L, ready, name->ptr);
}

/* package.loaders[2]: looks along package.path. */
static int search_lua(lua_State *L)
{
    struct slice module = vm_check_string(L, 1);
    struct slice path, item;

    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    path = vm_check_string(L, -1);
    lua_pushliteral(L, ""); /* index 4: the places looked at */
    while (path.len > 0) {
        size_t end = slice_find_char(path, ';');

        item = slice_head(path, end);
        path = slice_from(path, end + 1);
        if (item.len == 0) {
            continue;
        }
        struct buf *file = vm_scratch2(L);

        for (size_t i = 0; i < item.len; i++) {
            if (item.ptr[i] != '?') {
                buf_char(file, item.ptr[i]);
                continue;
            }
            for (size_t k = 0; k < module.len; k++) {
                buf_char(file, module.ptr[k] == '.' ? '/' : module.ptr[k]);
            }
        }
        lua_pushlstring(L, file->ptr, file->len); /* also ends it with NUL */
        int rc = load_file(L, lua_tostring(L, -1));

        if (rc == 0) {
            return 1;
        }
        if (rc > 0) {
            vm_raise(L, "error loading module '%.*s' from file '%s':\n\t%s", SLICE_ARG(module),
                     lua_tostring(L, -2), lua_tostring(L, -1));
        }
        lua_pushfstring(L, "%s\n\tno file '%s'", lua_tostring(L, 4), lua_tostring(L, -1));
        lua_replace(L, 4);
        lua_settop(L, 4);
    }
    return 1;
}

/* ---- load, loadstring, loadfile, dofile ---- */

/* Sets the environment given at idx, answers what load() answers. */
static int answer_load(lua_State *L, int rc, int env_idx)
{
    if (rc != 0) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    if (env_idx != 0 && !lua_isnone(L, env_idx) && lua_istable(L, env_idx)) {
        lua_pushvalue(L, env_idx);
        (void)lua_setfenv(L, -2);
    }
    return 1;
}

/* Calls the reader function at index 1 until it has no more; pushes the whole text. */
static void read_pieces(lua_State *L)
{
    luaL_Buffer b;

    luaL_buffinit(L, &b);
    for (;;) {
        size_t len;

        lua_pushvalue(L, 1);
        lua_call(L, 0, 1);
        if (lua_isnil(L, -1) || (lua_tolstring(L, -1, &len) != NULL && len == 0)) {
            lua_pop(L, 1);
            break;
        }
        if (lua_type(L, -1) != LUA_TSTRING) {
            vm_raise(L, "reader function must return a string");
        }
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
}

/* load(text or function, name?, mode?, env?) */
static int lua_load_text(lua_State *L)
{
    const char *name;
    struct slice text;
    int rc;

    lua_settop(L, 4);
    if (lua_isfunction(L, 1)) {
        name = luaL_optstring(L, 2, "=(load)");
        read_pieces(L);
        text = vm_check_string(L, 5);
    } else {
        text = vm_check_string(L, 1);
        name = luaL_optstring(L, 2, lua_tostring(L, 1));
    }
    rc = chunk_load(L, text, name);
    return answer_load(L, rc, lua_isnil(L, 4) ? 0 : 4);
}

static int push_not_found(lua_State *L, const char *path)
{
    lua_pushfstring(L, "cannot open %s", path);
    return LUA_ERRFILE;
}

/* loadfile(path, mode?, env?) */
static int lua_load_file(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    int rc;

    lua_settop(L, 3);
    rc = load_file(L, path);
    if (rc < 0) {
        rc = push_not_found(L, path);
    }
    return answer_load(L, rc, lua_isnil(L, 3) ? 0 : 3);
}

static int lua_do_file(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    int rc;

    lua_settop(L, 1);
    rc = load_file(L, path);
    if (rc < 0) {
        (void)push_not_found(L, path);
    }
    if (rc != 0) {
        return lua_error(L);
    }
    lua_call(L, 0, LUA_MULTRET);
    return lua_gettop(L) - 1;
}

void chunk_open(lua_State *L)
{
    lua_pushcfunction(L, lua_load_text);
    lua_setglobal(L, "load");
    lua_pushcfunction(L, lua_load_text);
    lua_setglobal(L, "loadstring");
    lua_pushcfunction(L, lua_load_file);
    lua_setglobal(L, "loadfile");
    lua_pushcfunction(L, lua_do_file);
    lua_setglobal(L, "dofile");

    lua_getglobal(L, "package");
    lua_pushnil(L);
    lua_setfield(L, -2, "loadlib");
    lua_pushliteral(L, "");
    lua_setfield(L, -2, "cpath");
    lua_pushstring(L, package_path);
    lua_getfield(L, -2, "path");
    lua_concat(L, 2);
    lua_setfield(L, -2, "path");
    lua_getfield(L, -1, "loaders"); /* 1: preload, 2: Lua files; C libraries are not loaded */
    lua_pushcfunction(L, search_lua);
    lua_rawseti(L, -2, 2);
    lua_pushnil(L);
    lua_rawseti(L, -2, 3);
    lua_pushnil(L);
    lua_rawseti(L, -2, 4);
    lua_pop(L, 2);
}
