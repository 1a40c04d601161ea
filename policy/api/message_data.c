/* Message: the whole text. */
#include "core/base/mem.h"
#include "core/message/message.h"
#include "policy/api/api_private.h"

#define DATA_SIZE_MAX (UINT32_MAX / 2) /* of a message after an edit; its size is a uint32_t */

static int message_get_data(lua_State *L)
{
    const struct message *m = api_check_loaded(L);
    struct buf *text = vm_scratch(L);

    message_data_put(m, text);
    vm_push_slice(L, buf_slice(text));
    if (text->cap > (1u << 20)) {
        buf_free(text);
    }
    return 1;
}

/* msg:set_data(bytes) */
static int message_assign_data(lua_State *L)
{
    struct slice text = vm_check_string(L, 2);
    struct message *m;
    struct buf bytes = {0};

    if (text.len == 0) {
        vm_raise(L, "message data must not be empty");
    }
    if (text.len > DATA_SIZE_MAX) {
        vm_raise(L, "message data is too large");
    }
    m = vm_message_edit(L, 1);
    buf_put(&bytes, text);
    message_set_data(m, &bytes);
    return 0;
}

const luaL_Reg api_message_data[] = {
    {"get_data", message_get_data},
    {"set_data", message_assign_data},
    {NULL, NULL},
};
