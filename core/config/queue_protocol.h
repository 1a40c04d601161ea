/*
 * queue_protocol - how a queue's messages are delivered: SMTP, a Lua object, a maildir, or
 * another node.
 */
#pragma once

#include "core/config/mx_hosts.h"
#include "core/config/option.h"

struct smtp_protocol {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/smtp_protocol.def"
#undef OPTION
};

extern const struct option_table smtp_protocol_options;

struct lua_protocol {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/lua_protocol.def"
#undef OPTION
};

extern const struct option_table lua_protocol_options;

struct xfer_protocol {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/xfer_protocol.def"
#undef OPTION
};

extern const struct option_table xfer_protocol_options;

enum queue_protocol_kind {
    QUEUE_PROTOCOL_SMTP = 0,
    QUEUE_PROTOCOL_LUA,
    QUEUE_PROTOCOL_MAILDIR,
    QUEUE_PROTOCOL_XFER,
};

/* Which of them counts is in kind. */
struct queue_protocol {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/queue_protocol.def"
#undef OPTION
    uint8_t kind; /* enum queue_protocol_kind */
};

extern const struct option_table queue_protocol_options;
