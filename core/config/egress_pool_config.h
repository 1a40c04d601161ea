/*
 * egress_pool_config - what kumo.make_egress_pool takes: names of sources and their weights.
 */
#pragma once

#include "core/config/option.h"

struct egress_pool_entry {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/egress_pool_entry.def"
#undef OPTION
};

extern const struct option_table egress_pool_entry_options;

struct egress_pool_config {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/egress_pool_config.def"
#undef OPTION
};

extern const struct option_table egress_pool_config_options;

/* On failure `why` holds the whole "deserialize error: ..." and nothing is to be freed. */
NODISCARD bool egress_pool_config_read(const struct json *from, struct egress_pool_config *out,
                                       struct buf *why);
void egress_pool_config_init(struct egress_pool_config *c); /* the defaults */
void egress_pool_config_free(struct egress_pool_config *c);
/* Every option by its name, null where unset. */
struct json *egress_pool_config_write(const struct egress_pool_config *c, struct json_doc *doc);
