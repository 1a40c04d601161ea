/*
 * local_logs_config - what kumo.configure_local_logs takes.
 */
#pragma once

#include "core/config/option.h"
#include "core/config/per_record.h"

struct local_logs_config {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/local_logs_config.def"
#undef OPTION
};

extern const struct option_table local_logs_config_options;

/* On failure `why` holds the whole "deserialize error: ..." and nothing is to be freed. */
NODISCARD bool local_logs_config_read(const struct json *from, struct local_logs_config *out,
                                      struct buf *why);
void local_logs_config_init(struct local_logs_config *c); /* the defaults */
void local_logs_config_free(struct local_logs_config *c);
/* Every option by its name, null where unset. */
struct json *local_logs_config_write(const struct local_logs_config *c, struct json_doc *doc);
