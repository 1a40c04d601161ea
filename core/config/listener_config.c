#include "core/config/listener_config.h"

static void listener_config_defaults(void *object)
{
    struct listener_config *c = object;

#define OPTION(kind, name, value, of, text) OPTION_INIT(kind, name, value, of)
#include "core/config/listener_config.def"
#undef OPTION
    listener_params_init(&c->params);
}

static const struct option listener_config_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, listener_config, name, of)
#include "core/config/listener_config.def"
#undef OPTION
};

const struct option_table listener_config_options = {
    .type = "EsmtpListenerParams",
    .rows = listener_config_rows,
    .count = ARRAY_COUNT(listener_config_rows),
    .size = sizeof(struct listener_config),
    .defaults = listener_config_defaults,
    .given_at = OPTION_ALWAYS,
    .also = &listener_params_options,
    .also_at = offsetof(struct listener_config, params),
};

bool listener_config_read(const struct json *from, struct listener_config *out, struct buf *why)
{
    return option_read(&listener_config_options, from, out, why);
}

void listener_config_init(struct listener_config *c)
{
    option_init(&listener_config_options, c);
}

void listener_config_free(struct listener_config *c)
{
    option_free(&listener_config_options, c);
}

struct json *listener_config_write(const struct listener_config *c, struct json_doc *doc)
{
    return option_write(&listener_config_options, c, doc);
}
