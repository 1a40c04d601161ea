#include "core/config/egress_source_config.h"

static const struct option source_health_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, source_health, name, of)
#include "core/config/source_health.def"
#undef OPTION
};

const struct option_table source_health_options = {
    .type = "SuspendWhen",
    .rows = source_health_rows,
    .count = ARRAY_COUNT(source_health_rows),
    .size = sizeof(struct source_health),
    .given_at = OPTION_ALWAYS,
};

static void egress_source_config_defaults(void *object)
{
    struct egress_source_config *c = object;

#define OPTION(kind, name, value, of, text) OPTION_INIT(kind, name, value, of)
#include "core/config/egress_source_config.def"
#undef OPTION
}

static const struct option egress_source_config_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, egress_source_config, name, of)
#include "core/config/egress_source_config.def"
#undef OPTION
};

const struct option_table egress_source_config_options = {
    .type = "EgressSource",
    .rows = egress_source_config_rows,
    .count = ARRAY_COUNT(egress_source_config_rows),
    .size = sizeof(struct egress_source_config),
    .defaults = egress_source_config_defaults,
    .given_at = OPTION_ALWAYS,
};

bool egress_source_config_read(const struct json *from, struct egress_source_config *out,
                               struct buf *why)
{
    return option_read(&egress_source_config_options, from, out, why);
}

void egress_source_config_init(struct egress_source_config *c)
{
    option_init(&egress_source_config_options, c);
}

void egress_source_config_free(struct egress_source_config *c)
{
    option_free(&egress_source_config_options, c);
}

struct json *egress_source_config_write(const struct egress_source_config *c, struct json_doc *doc)
{
    return option_write(&egress_source_config_options, c, doc);
}

bool egress_source_unsupported(const struct egress_source_config *c, struct buf *text)
{
    if (c->ha_proxy_server != NULL && c->ha_proxy_source_address.family != IP_NONE) {
        buf_printf(text, "egress source %s: ha_proxy_server is not supported", c->name);
        return true;
    }
    if (c->socks5_proxy_server != NULL && c->socks5_proxy_source_address.family != IP_NONE) {
        buf_printf(text, "egress source %s: socks5_proxy_server is not supported", c->name);
        return true;
    }
    return false;
}
