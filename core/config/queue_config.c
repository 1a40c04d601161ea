#include "core/config/queue_config.h"

OPTION_NAMES(refresh_strategies, "refresh strategy", REFRESH_STRATEGIES);
OPTION_NAMES(queue_strategies, "queue strategy", QUEUE_STRATEGIES);
OPTION_NAMES(shrink_policies, "memory reduction policy", SHRINK_POLICIES);

static const struct option shrink_step_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, shrink_step, name, of)
#include "core/config/shrink_step.def"
#undef OPTION
};

const struct option_table shrink_step_options = {
    .type = "ShrinkPolicyEntry",
    .rows = shrink_step_rows,
    .count = ARRAY_COUNT(shrink_step_rows),
    .size = sizeof(struct shrink_step),
    .given_at = OPTION_ALWAYS,
};

static void queue_config_defaults(void *object)
{
    struct queue_config *c = object;

#define OPTION(kind, name, value, of, text) OPTION_INIT(kind, name, value, of)
#include "core/config/queue_config.def"
#undef OPTION
    c->protocol.has_smtp = true; /* kind and the rest are zero: SMTP to the MX hosts */
}

static const struct option queue_config_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, queue_config, name, of)
#include "core/config/queue_config.def"
#undef OPTION
};

const struct option_table queue_config_options = {
    .type = "QueueConfig",
    .rows = queue_config_rows,
    .count = ARRAY_COUNT(queue_config_rows),
    .size = sizeof(struct queue_config),
    .defaults = queue_config_defaults,
    .given_at = OPTION_ALWAYS,
};

bool queue_config_read(const struct json *from, struct queue_config *out, struct buf *why)
{
    return option_read(&queue_config_options, from, out, why);
}

void queue_config_init(struct queue_config *c)
{
    option_init(&queue_config_options, c);
}

void queue_config_free(struct queue_config *c)
{
    option_free(&queue_config_options, c);
}

struct json *queue_config_write(const struct queue_config *c, struct json_doc *doc)
{
    return option_write(&queue_config_options, c, doc);
}
