/*
 * listener_config - what kumo.start_esmtp_listener takes: where to listen, and what sessions there
 * may do (listener_params).
 */
#pragma once

#include "core/config/listener_params.h"
#include "core/config/option.h"

struct listener_config {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/listener_config.def"
#undef OPTION
    struct listener_params params;
};

extern const struct option_table listener_config_options;

/* On failure `why` holds the whole "deserialize error: ..." and nothing is to be freed. */
NODISCARD bool listener_config_read(const struct json *from, struct listener_config *out,
                                    struct buf *why);
void listener_config_init(struct listener_config *c); /* the defaults */
void listener_config_free(struct listener_config *c);
/* Every option by its name, null where unset. */
struct json *listener_config_write(const struct listener_config *c, struct json_doc *doc);
