/* From a policy's table to plain values. */
#include "core/net/dns_config.h"

#include <stddef.h>

#include "core/base/duration.h"
#include "core/base/ip.h"
#include "core/base/json.h"

enum option_kind { OPTION_IGNORED = 0, OPTION_BOOL, OPTION_NOT_BOOL, OPTION_COUNT,
                   OPTION_SECONDS, OPTION_MILLIS };

struct option {
    struct slice name;
    uint8_t kind;
    size_t at; /* of the field */
};

static const struct option options[] = {
#define DNS_OPTION(nm, what, field)                                                               \
    {SLICE_INIT(#nm), OPTION_##what, offsetof(struct dns_config, field)},
#include "core/net/dns_options.def"
#undef DNS_OPTION
};

void dns_config_free(struct dns_config *config)
{
    buf_free(&config->servers);
}

struct dns_cares_params dns_config_cares(const struct dns_config *config)
{
    struct dns_cares_params params = config->cares;

    params.servers = buf_slice(&config->servers);
    params.ask_validated = config->validate;
    return params;
}

static bool bad(struct buf *why, struct slice key, const char *what)
{
    buf_printf(why, "resolver option `%.*s`: %s", SLICE_ARG(key), what);
    return false;
}

/* Whole seconds as a number, or a duration as text. */
static bool duration_read(const struct json *v, uint64_t *ns, struct buf *why)
{
    switch (v->type) {
    case JSON_INT:
        return duration_from_seconds((double)v->integer, ns) ||
               bad(why, v->key, "out of range");
    case JSON_DOUBLE:
        return duration_from_seconds(v->number, ns) || bad(why, v->key, "out of range");
    case JSON_STRING:
        return duration_parse(v->string, ns, why);
    default:
        return bad(why, v->key, "not a duration");
    }
}

static bool number_read(const struct json *v, enum option_kind kind, uint32_t *out,
                        struct buf *why)
{
    uint64_t n;

    if (kind == OPTION_COUNT) {
        if (v->type != JSON_INT || v->integer < 1 || v->integer > 1000) {
            return bad(why, v->key, "not a count from 1 to 1000");
        }
        *out = (uint32_t)v->integer;
        return true;
    }
    if (!duration_read(v, &n, why)) {
        return false;
    }
    n = kind == OPTION_MILLIS ? (n + DURATION_MS - 1) / DURATION_MS
                              : (n + DURATION_S - 1) / DURATION_S;
    if (n > INT32_MAX || (kind == OPTION_MILLIS && n == 0)) {
        return bad(why, v->key, "out of range");
    }
    *out = (uint32_t)n;
    return true;
}

static bool option_read(const struct option *o, const struct json *v, struct dns_config *out,
                        struct buf *why)
{
    char *field = (char *)out + o->at;

    switch ((enum option_kind)o->kind) {
    case OPTION_IGNORED:
        return true;
    case OPTION_BOOL:
    case OPTION_NOT_BOOL:
        if (v->type != JSON_BOOL) {
            return bad(why, v->key, "not a boolean");
        }
        *(bool *)(void *)field = v->boolean != (o->kind == OPTION_NOT_BOOL);
        return true;
    default:
        return number_read(v, o->kind, (uint32_t *)(void *)field, why);
    }
}

/* An empty table may arrive as an empty list. */
static bool is_table(const struct json *v)
{
    return v->type == JSON_OBJECT || (v->type == JSON_ARRAY && v->first == NULL);
}

static bool options_read(const struct json *v, struct dns_config *out, struct buf *why)
{
    if (!is_table(v)) {
        return bad(why, v->key, "not a table");
    }
    for (const struct json *m = v->first; m != NULL; m = m->next) {
        const struct option *found = NULL;

        for (size_t i = 0; i < ARRAY_COUNT(options); i++) {
            if (slice_eq(options[i].name, m->key)) {
                found = &options[i];
            }
        }
        if (found == NULL) {
            return bad(why, m->key, "unknown");
        }
        if (!option_read(found, m, out, why)) {
            return false;
        }
    }
    return true;
}

static bool server_put(struct slice text, struct dns_config *out, struct buf *why)
{
    struct ip_port server = {.port = 53};

    if (!ip_parse(text, &server.ip) && !ip_port_parse(text, &server)) {
        buf_printf(why, "name server `%.*s` is not an address", SLICE_ARG(text));
        return false;
    }
    if (out->servers.len > 0) {
        buf_char(&out->servers, ',');
    }
    ip_port_put(&out->servers, &server);
    return true;
}

static bool server_read(const struct json *v, struct dns_config *out, struct buf *why)
{
    const struct json *addr = json_get(v, SLICE("socket_addr"));
    const struct json *protocol = json_get(v, SLICE("protocol"));

    if (v->type == JSON_STRING) {
        return server_put(v->string, out, why);
    }
    if (addr == NULL || addr->type != JSON_STRING) {
        return bad(why, SLICE("name_servers"), "each is an address or has a socket_addr");
    }
    if (protocol != NULL && protocol->type == JSON_STRING &&
        slice_eq_nocase(protocol->string, SLICE("tcp"))) {
        out->cares.tcp_only = true;
    }
    return server_put(addr->string, out, why);
}

static bool servers_read(const struct json *v, struct dns_config *out, struct buf *why)
{
    if (v->type != JSON_ARRAY) {
        return bad(why, v->key, "not a list");
    }
    for (const struct json *s = v->first; s != NULL; s = s->next) {
        if (!server_read(s, out, why)) {
            return false;
        }
    }
    return true;
}

bool dns_config_read(const struct json *spec, struct dns_config *out, struct buf *why)
{
    bool ok = true;

    *out = (struct dns_config)DNS_CONFIG_DEFAULT;
    if (!is_table(spec)) {
        buf_put(why, SLICE("a resolver is configured by a table"));
        return false;
    }
    for (const struct json *m = spec->first; ok && m != NULL; m = m->next) {
        if (slice_eq(m->key, SLICE("name_servers"))) {
            ok = servers_read(m, out, why);
        } else if (slice_eq(m->key, SLICE("options"))) {
            ok = options_read(m, out, why);
        } else if (!slice_eq(m->key, SLICE("domain")) && !slice_eq(m->key, SLICE("search"))) {
            ok = bad(why, m->key, "unknown");
        }
    }
    if (ok && (out->ttl.positive_min_s > out->ttl.positive_max_s ||
               out->ttl.negative_min_s > out->ttl.negative_max_s)) {
        buf_put(why, SLICE("resolver options: a least TTL is above the greatest"));
        ok = false;
    }
    if (!ok) {
        dns_config_free(out);
    }
    return ok;
}
