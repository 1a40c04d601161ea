/*
 * listener_domain_config - what kumo.make_listener_domain takes: who may send to a domain and
 * from it, and what becomes of reports addressed to it.
 */
#pragma once

#include "core/config/option.h"

/* A boolean when written as one: false is the first, true the last. */
#define LOG_DISPOSITIONS(X)                                                                        \
    X(LOG_IGNORE, "Ignore")                                                                        \
    X(LOG_THEN_DROP, "LogThenDrop")                                                                \
    X(LOG_THEN_RELAY, "LogThenRelay")
enum log_disposition { LOG_DISPOSITIONS(OPTION_WORD_VALUE) };

struct listener_domain_config {
#define OPTION(kind, name, value, of, text) OPTION_FIELD(kind, name, of)
#include "core/config/listener_domain_config.def"
#undef OPTION
};

extern const struct option_table listener_domain_config_options;

/* On failure `why` holds the whole "deserialize error: ..." and nothing is to be freed. */
NODISCARD bool listener_domain_config_read(const struct json *from,
                                           struct listener_domain_config *out, struct buf *why);
void listener_domain_config_init(struct listener_domain_config *c); /* the defaults */
void listener_domain_config_free(struct listener_domain_config *c);
/* Every option by its name, null where unset. */
struct json *listener_domain_config_write(const struct listener_domain_config *c,
                                          struct json_doc *doc);
