#include "core/config/spool_config.h"

OPTION_NAMES(spool_kinds, "spool kind", SPOOL_KINDS);
OPTION_NAMES(spool_durabilities, "durability", SPOOL_DURABILITIES);

static void spool_config_defaults(void *object)
{
    struct spool_config *c = object;

#define OPTION(kind, name, value, of, text) OPTION_INIT(kind, name, value, of)
#include "core/config/spool_config.def"
#undef OPTION
}

static const struct option spool_config_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, spool_config, name, of)
#include "core/config/spool_config.def"
#undef OPTION
};

const struct option_table spool_config_options = {
    .type = "DefineSpoolParams",
    .rows = spool_config_rows,
    .count = ARRAY_COUNT(spool_config_rows),
    .size = sizeof(struct spool_config),
    .defaults = spool_config_defaults,
    .given_at = OPTION_ALWAYS,
};

bool spool_config_read(const struct json *from, struct spool_config *out, struct buf *why)
{
    return option_read(&spool_config_options, from, out, why);
}

void spool_config_init(struct spool_config *c)
{
    option_init(&spool_config_options, c);
}

void spool_config_free(struct spool_config *c)
{
    option_free(&spool_config_options, c);
}

struct json *spool_config_write(const struct spool_config *c, struct json_doc *doc)
{
    return option_write(&spool_config_options, c, doc);
}
