#include "core/config/egress_path_config.h"

#include "core/config/tls_names.h"

OPTION_NAMES(refresh_strategies, "refresh strategy", REFRESH_STRATEGIES);
OPTION_NAMES(shrink_policies, "memory reduction policy", SHRINK_POLICIES);
OPTION_NAMES(tls_modes, "tls mode", TLS_MODES);
OPTION_NAMES(reconnect_strategies, "reconnect strategy", RECONNECT_STRATEGIES);
OPTION_NAMES(ip_lookup_strategies, "ip lookup strategy", IP_LOOKUP_STRATEGIES);
OPTION_NAMES(wakeup_strategies, "wakeup strategy", WAKEUP_STRATEGIES);
OPTION_NAMES(openssl_option_names, "openssl option", OPENSSL_OPTION_NAMES);
OPTION_NAMES(rustls_suite_names, "cipher suite", RUSTLS_SUITE_NAMES);

static void egress_path_config_defaults(void *object)
{
    struct egress_path_config *c = object;

#define OPTION(kind, name, value, of, text) OPTION_INIT(kind, name, value, of)
#include "core/config/egress_path_config.def"
#undef OPTION
}

static const struct option egress_path_config_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, egress_path_config, name, of)
#include "core/config/egress_path_config.def"
#undef OPTION
};

const struct option_table egress_path_config_options = {
    .type = "EgressPathConfig",
    .rows = egress_path_config_rows,
    .count = ARRAY_COUNT(egress_path_config_rows),
    .size = sizeof(struct egress_path_config),
    .defaults = egress_path_config_defaults,
    .given_at = OPTION_ALWAYS,
};

bool egress_path_config_read(const struct json *from, struct egress_path_config *out,
                             struct buf *why)
{
    return option_read(&egress_path_config_options, from, out, why);
}

void egress_path_config_init(struct egress_path_config *c)
{
    option_init(&egress_path_config_options, c);
}

void egress_path_config_free(struct egress_path_config *c)
{
    option_free(&egress_path_config_options, c);
}

struct json *egress_path_config_write(const struct egress_path_config *c, struct json_doc *doc)
{
    return option_write(&egress_path_config_options, c, doc);
}

bool egress_path_unsupported(const struct egress_path_config *c, struct buf *text)
{
    if (c->enable_tls == TLS_REQUIRED || c->enable_tls == TLS_REQUIRED_INSECURE) {
        buf_printf(text, "enable_tls = '%.*s' is not supported",
                   SLICE_ARG(tls_modes.words[c->enable_tls]));
        return true;
    }
    if (c->enable_dane) {
        BUF_LIT(text, "enable_dane is not supported");
        return true;
    }
    if (c->smtp_auth_plain_username != NULL) {
        BUF_LIT(text, "smtp_auth_plain_username is not supported");
        return true;
    }
    return false;
}

uint64_t egress_path_shutdown_timeout(const struct egress_path_config *c)
{
    uint64_t sum = 0;

    if (c->has_system_shutdown_timeout) {
        return c->system_shutdown_timeout;
    }
    if (__builtin_add_overflow(c->mail_from_timeout, c->rcpt_to_timeout, &sum) ||
        __builtin_add_overflow(sum, c->data_timeout, &sum) ||
        __builtin_add_overflow(sum, c->data_dot_timeout, &sum)) {
        return UINT64_MAX;
    }
    return sum;
}

uint64_t egress_path_watchdog_timeout(const struct egress_path_config *c)
{
    const uint64_t commands[] = {c->mail_from_timeout, c->rcpt_to_timeout, c->data_timeout,
                                 c->data_dot_timeout};
    uint64_t longest = 30 * DURATION_S;

    if (c->has_dispatcher_progress_watchdog_timeout) {
        return c->dispatcher_progress_watchdog_timeout;
    }
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        longest = commands[i] > longest ? commands[i] : longest;
    }
    return longest > UINT64_MAX / 2 ? UINT64_MAX : 2 * longest;
}
