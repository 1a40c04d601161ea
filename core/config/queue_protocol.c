#include "core/config/queue_protocol.h"

#include "core/config/option_refuse.h"

static void smtp_protocol_defaults(void *object)
{
    struct smtp_protocol *c = object;

#define OPTION(kind, name, value, of, text) OPTION_INIT(kind, name, value, of)
#include "core/config/smtp_protocol.def"
#undef OPTION
}

static const struct option smtp_protocol_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, smtp_protocol, name, of)
#include "core/config/smtp_protocol.def"
#undef OPTION
};

const struct option_table smtp_protocol_options = {
    .type = "SmtpProtocolConfig",
    .rows = smtp_protocol_rows,
    .count = ARRAY_COUNT(smtp_protocol_rows),
    .size = sizeof(struct smtp_protocol),
    .defaults = smtp_protocol_defaults,
    .given_at = OPTION_ALWAYS,
    .ignores_unknown = true,
};

static void lua_protocol_defaults(void *object)
{
    struct lua_protocol *c = object;

#define OPTION(kind, name, value, of, text) OPTION_INIT(kind, name, value, of)
#include "core/config/lua_protocol.def"
#undef OPTION
}

static const struct option lua_protocol_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, lua_protocol, name, of)
#include "core/config/lua_protocol.def"
#undef OPTION
};

const struct option_table lua_protocol_options = {
    .type = "LuaDeliveryProtocol",
    .rows = lua_protocol_rows,
    .count = ARRAY_COUNT(lua_protocol_rows),
    .size = sizeof(struct lua_protocol),
    .defaults = lua_protocol_defaults,
    .given_at = OPTION_ALWAYS,
};

static const struct option xfer_protocol_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, xfer_protocol, name, of)
#include "core/config/xfer_protocol.def"
#undef OPTION
};

const struct option_table xfer_protocol_options = {
    .type = "XferProtocol",
    .rows = xfer_protocol_rows,
    .count = ARRAY_COUNT(xfer_protocol_rows),
    .size = sizeof(struct xfer_protocol),
    .given_at = OPTION_ALWAYS,
};

static const struct option queue_protocol_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, queue_protocol, name, of)
#include "core/config/queue_protocol.def"
#undef OPTION
};

static const struct slice protocol_keys[] = {
    [QUEUE_PROTOCOL_SMTP] = SLICE_INIT("smtp"),
    [QUEUE_PROTOCOL_LUA] = SLICE_INIT("custom_lua"),
    [QUEUE_PROTOCOL_MAILDIR] = SLICE_INIT("maildir_path"),
    [QUEUE_PROTOCOL_XFER] = SLICE_INIT("xfer"),
};

/* Exactly one protocol, and the modes of files only with maildir. */
static bool queue_protocol_check(void *object, struct buf *why)
{
    struct queue_protocol *c = object;
    const bool given[] = {
        [QUEUE_PROTOCOL_SMTP] = c->has_smtp,
        [QUEUE_PROTOCOL_LUA] = c->has_custom_lua,
        [QUEUE_PROTOCOL_MAILDIR] = c->maildir_path != NULL,
        [QUEUE_PROTOCOL_XFER] = c->has_xfer,
    };
    uint32_t count = 0;

    for (uint8_t i = 0; i < ARRAY_COUNT(given); i++) {
        if (given[i]) {
            c->kind = i;
            count++;
        }
    }
    if (count != 1) {
        BUF_LIT(why, "invalid value: map, expected exactly ");
        option_put_choice(why, protocol_keys, ARRAY_COUNT(protocol_keys));
        return false;
    }
    if ((c->has_dir_mode || c->has_file_mode) && c->kind != QUEUE_PROTOCOL_MAILDIR) {
        BUF_LIT(why, "invalid value: dir_mode and file_mode go with maildir_path");
        return false;
    }
    return true;
}

const struct option_table queue_protocol_options = {
    .type = "DeliveryProto",
    .rows = queue_protocol_rows,
    .count = ARRAY_COUNT(queue_protocol_rows),
    .size = sizeof(struct queue_protocol),
    .given_at = OPTION_ALWAYS,
    .check = queue_protocol_check,
};
