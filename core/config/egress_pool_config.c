#include "core/config/egress_pool_config.h"

static void egress_pool_entry_defaults(void *object)
{
    struct egress_pool_entry *c = object;

#define OPTION(kind, name, value, of, text) OPTION_INIT(kind, name, value, of)
#include "core/config/egress_pool_entry.def"
#undef OPTION
}

static const struct option egress_pool_entry_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, egress_pool_entry, name, of)
#include "core/config/egress_pool_entry.def"
#undef OPTION
};

const struct option_table egress_pool_entry_options = {
    .type = "EgressPoolEntry",
    .rows = egress_pool_entry_rows,
    .count = ARRAY_COUNT(egress_pool_entry_rows),
    .size = sizeof(struct egress_pool_entry),
    .defaults = egress_pool_entry_defaults,
    .given_at = OPTION_ALWAYS,
};

static void egress_pool_config_defaults(void *object)
{
    struct egress_pool_config *c = object;

#define OPTION(kind, name, value, of, text) OPTION_INIT(kind, name, value, of)
#include "core/config/egress_pool_config.def"
#undef OPTION
}

static const struct option egress_pool_config_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, egress_pool_config, name, of)
#include "core/config/egress_pool_config.def"
#undef OPTION
};

const struct option_table egress_pool_config_options = {
    .type = "EgressPool",
    .rows = egress_pool_config_rows,
    .count = ARRAY_COUNT(egress_pool_config_rows),
    .size = sizeof(struct egress_pool_config),
    .defaults = egress_pool_config_defaults,
    .given_at = OPTION_ALWAYS,
};

bool egress_pool_config_read(const struct json *from, struct egress_pool_config *out,
                             struct buf *why)
{
    return option_read(&egress_pool_config_options, from, out, why);
}

void egress_pool_config_init(struct egress_pool_config *c)
{
    option_init(&egress_pool_config_options, c);
}

void egress_pool_config_free(struct egress_pool_config *c)
{
    option_free(&egress_pool_config_options, c);
}

struct json *egress_pool_config_write(const struct egress_pool_config *c, struct json_doc *doc)
{
    return option_write(&egress_pool_config_options, c, doc);
}
