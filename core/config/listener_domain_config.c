#include "core/config/listener_domain_config.h"

OPTION_NAMES(log_dispositions, "log disposition", LOG_DISPOSITIONS);

static void listener_domain_config_defaults(void *object)
{
    struct listener_domain_config *c = object;

#define OPTION(kind, name, value, of, text) OPTION_INIT(kind, name, value, of)
#include "core/config/listener_domain_config.def"
#undef OPTION
}

static const struct option listener_domain_config_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, listener_domain_config, name, of)
#include "core/config/listener_domain_config.def"
#undef OPTION
};

const struct option_table listener_domain_config_options = {
    .type = "EsmtpDomain",
    .rows = listener_domain_config_rows,
    .count = ARRAY_COUNT(listener_domain_config_rows),
    .size = sizeof(struct listener_domain_config),
    .defaults = listener_domain_config_defaults,
    .given_at = OPTION_ALWAYS,
};

bool listener_domain_config_read(const struct json *from, struct listener_domain_config *out,
                                 struct buf *why)
{
    return option_read(&listener_domain_config_options, from, out, why);
}

void listener_domain_config_init(struct listener_domain_config *c)
{
    option_init(&listener_domain_config_options, c);
}

void listener_domain_config_free(struct listener_domain_config *c)
{
    option_free(&listener_domain_config_options, c);
}

struct json *listener_domain_config_write(const struct listener_domain_config *c,
                                          struct json_doc *doc)
{
    return option_write(&listener_domain_config_options, c, doc);
}
