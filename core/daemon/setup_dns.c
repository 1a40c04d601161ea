/* What pre_init and init say about the resolver: servers, limits of MX lookups. */
#include "core/config/option.h"
#include "core/daemon/daemon_private.h"
#include "core/daemon/engine.h"

static struct setup *setup_of(void *ctx)
{
    return &((struct engine *)ctx)->daemon->setup;
}

static bool configure_resolver(void *ctx, const struct json *params, struct buf *why)
{
    struct setup *s = setup_of(ctx);
    struct dns_config fresh = DNS_CONFIG_DEFAULT;

    if (!dns_config_read(params, &fresh, why)) {
        dns_config_free(&fresh);
        return false;
    }
    dns_config_free(&s->resolver);
    s->resolver = fresh;
    return true;
}

/* One value that is no table, as an option of that kind would be read. */
static bool value_read(const struct option_kind *kind, uint64_t max, const struct json *from,
                       uint64_t *out, struct buf *why)
{
    const struct option o = {.kind = kind,
                             .size = sizeof(*out),
                             .has_at = OPTION_ALWAYS,
                             .count_at = OPTION_ALWAYS,
                             .max = max};

    *out = 0;
    return kind->read(&o, from, out, why);
}

static bool duration_ms_read(const struct json *from, uint32_t *out, struct buf *why)
{
    uint64_t ns;

    if (!value_read(&option_duration, 0, from, &ns, why)) {
        return false;
    }
    *out = ns / 1000000u < UINT32_MAX ? (uint32_t)(ns / 1000000u) : UINT32_MAX;
    return true;
}

static bool set_mx_timeout(void *ctx, const struct json *value, struct buf *why)
{
    return duration_ms_read(value, &setup_of(ctx)->dns.mx_timeout_ms, why);
}

static bool set_mx_negative_cache_ttl(void *ctx, const struct json *value, struct buf *why)
{
    return duration_ms_read(value, &setup_of(ctx)->dns.mx_negative_ttl_ms, why);
}

static bool set_mx_concurrency_limit(void *ctx, const struct json *value, struct buf *why)
{
    uint64_t limit;

    if (!value_read(&option_int, UINT32_MAX, value, &limit, why)) {
        return false;
    }
    if (limit == 0) {
        BUF_LIT(why, "invalid value: integer `0`, expected a limit of 1 or more");
        return false;
    }
    setup_of(ctx)->dns.mx_concurrency = (uint32_t)limit;
    return true;
}

void setup_dns_services(struct api_services *out)
{
    out->configure_resolver = configure_resolver;
    out->configure_unbound_resolver = configure_resolver;
    out->set_mx_timeout = set_mx_timeout;
    out->set_mx_negative_cache_ttl = set_mx_negative_cache_ttl;
    out->set_mx_concurrency_limit = set_mx_concurrency_limit;
}
