#include "core/config/local_logs_config.h"

static void local_logs_config_defaults(void *object)
{
    struct local_logs_config *c = object;

#define OPTION(kind, name, value, of, text) OPTION_INIT(kind, name, value, of)
#include "core/config/local_logs_config.def"
#undef OPTION
}

static const struct option local_logs_config_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, local_logs_config, name, of)
#include "core/config/local_logs_config.def"
#undef OPTION
};

const struct option_table local_logs_config_options = {
    .type = "LogFileParams",
    .rows = local_logs_config_rows,
    .count = ARRAY_COUNT(local_logs_config_rows),
    .size = sizeof(struct local_logs_config),
    .defaults = local_logs_config_defaults,
    .given_at = OPTION_ALWAYS,
};

bool local_logs_config_read(const struct json *from, struct local_logs_config *out, struct buf *why)
{
    return option_read(&local_logs_config_options, from, out, why);
}

void local_logs_config_init(struct local_logs_config *c)
{
    option_init(&local_logs_config_options, c);
}

void local_logs_config_free(struct local_logs_config *c)
{
    option_free(&local_logs_config_options, c);
}

struct json *local_logs_config_write(const struct local_logs_config *c, struct json_doc *doc)
{
    return option_write(&local_logs_config_options, c, doc);
}
