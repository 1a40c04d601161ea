/*
 * egress_source_config - what kumo.make_egress_source takes: the address mail leaves from, or the
 * proxy it leaves through.
 */
#pragma once

#include "core/config/option.h"

struct source_health {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/source_health.def"
#undef OPTION
};

extern const struct option_table source_health_options;

struct egress_source_config {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/egress_source_config.def"
#undef OPTION
};

extern const struct option_table egress_source_config_options;

/* On failure `why` holds the whole "deserialize error: ..." and nothing is to be freed. */
NODISCARD bool egress_source_config_read(const struct json *from, struct egress_source_config *out,
                                         struct buf *why);
void egress_source_config_init(struct egress_source_config *c); /* the defaults */
void egress_source_config_free(struct egress_source_config *c);
/* Every option by its name, null where unset. */
struct json *egress_source_config_write(const struct egress_source_config *c, struct json_doc *doc);

/* Whether it asks for a proxy that is not there to be used: mail would leave from an address it
 * must not leave from. Then `text` gets the reason. */
NODISCARD bool egress_source_unsupported(const struct egress_source_config *c, struct buf *text);
