/* What a handler answered, as the engine sees it. */
#include "policy/vm/vm_private.h"

static bool scalar_value(lua_State *L, int idx, struct json *out)
{
    size_t len;
    int64_t integer;
    const char *s;

    *out = (struct json){.type = JSON_NULL};
    switch (lua_type(L, idx)) {
    case LUA_TNIL:
        return true;
    case LUA_TBOOLEAN:
        out->type = JSON_BOOL;
        out->boolean = lua_toboolean(L, idx);
        return true;
    case LUA_TNUMBER:
        if (vm_integer_get(L, idx, &integer)) {
            out->type = JSON_INT;
            out->integer = integer;
        } else {
            out->type = JSON_DOUBLE;
            out->number = lua_tonumber(L, idx);
        }
        return true;
    case LUA_TSTRING: /* stays on the thread's stack until the call ends */
        s = lua_tolstring(L, idx, &len);
        out->type = JSON_STRING;
        out->string = slice_of(s, len);
        return true;
    default:
        return false;
    }
}

static bool tree_value(struct vm_call *c, lua_State *L, int idx, const struct json **out)
{
    struct json *tree;

    buf_clear(&c->text);
    if (!vm_json_read(L, idx, &c->doc, &tree, &c->text)) {
        c->result = (struct vm_result){.status = VM_ERROR, .text = buf_slice(&c->text)};
        return false;
    }
    *out = tree;
    return true;
}

void call_result_values(struct vm_call *c, lua_State *L, int from, int count)
{
    struct vm_result *r = &c->result;
    const char *made_by;

    *r = (struct vm_result){.status = VM_RETURNED};
    for (int i = 0; i < count && r->value_count < VM_VALUES_MAX; i++) {
        const struct json **value = &r->values[r->value_count];

        if (scalar_value(L, from + i, &c->values[i])) {
            *value = &c->values[i];
        } else if (!tree_value(c, L, from + i, value)) {
            return;
        }
        made_by = i == 0 ? maker_name(L, from) : NULL;
        if (made_by != NULL) {
            r->made_by = slice_str(made_by);
        }
        r->value_count++;
    }
}

void call_result_error(struct vm_call *c, lua_State *L)
{
    const struct vm_error *e = vm_class_test(L, -1, VM_CLASS_ERROR);

    if (e != NULL && e->reject) {
        c->result = (struct vm_result){
            .status = VM_REJECTED,
            .code = e->code,
            .disconnect = (enum vm_disconnect)e->how,
            .text = slice_of(e->text + e->message_from, e->message_len),
        };
        return;
    }
    buf_clear(&c->text);
    state_error_text(c->state, L, &c->text);
    c->result = (struct vm_result){.status = VM_ERROR, .text = buf_slice(&c->text)};
}
