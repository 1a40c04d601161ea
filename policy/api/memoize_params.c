#include "policy/api/memoize_params.h"

#include "core/base/duration.h"

enum field { FIELD_NAME, FIELD_TTL, FIELD_CAPACITY, FIELD_EPOCH, FIELD_TIMEOUT, FIELD_RETRY,
             FIELD_STALE, FIELD_COUNT };

static const struct slice field_names[FIELD_COUNT] = {
    [FIELD_NAME] = SLICE_INIT("name"),
    [FIELD_TTL] = SLICE_INIT("ttl"),
    [FIELD_CAPACITY] = SLICE_INIT("capacity"),
    [FIELD_EPOCH] = SLICE_INIT("invalidate_with_epoch"),
    [FIELD_TIMEOUT] = SLICE_INIT("populate_timeout"),
    [FIELD_RETRY] = SLICE_INIT("retry_on_populate_timeout"),
    [FIELD_STALE] = SLICE_INIT("allow_stale_reads"),
};

static bool wrong_type(const struct json *v, const char *expected, struct buf *why)
{
    BUF_LIT(why, "invalid type: ");
    json_write(why, v);
    buf_printf(why, " for `%.*s`, expected %s", SLICE_ARG(v->key), expected);
    return false;
}

static bool read_duration(const struct json *v, uint64_t *ns, struct buf *why)
{
    if (v->type == JSON_STRING) {
        return duration_parse(v->string, ns, why);
    }
    if (v->type == JSON_INT || v->type == JSON_DOUBLE) {
        double seconds = v->type == JSON_INT ? (double)v->integer : v->number;

        if (duration_from_seconds(seconds, ns)) {
            return true;
        }
        BUF_LIT(why, "invalid value: a duration must be positive");
        return false;
    }
    return wrong_type(v, "a duration", why);
}

static bool read_bool(const struct json *v, bool *out, struct buf *why)
{
    if (v->type != JSON_BOOL) {
        return wrong_type(v, "a boolean", why);
    }
    *out = v->boolean;
    return true;
}

static bool read_field(enum field f, const struct json *v, struct memoize_params *out,
                       struct buf *why)
{
    uint64_t timeout_ns;
    bool flag;

    switch (f) {
    case FIELD_NAME:
        if (v->type != JSON_STRING) {
            return wrong_type(v, "a string", why);
        }
        out->name = v->string;
        return true;
    case FIELD_TTL:
        return read_duration(v, &out->ttl_ns, why);
    case FIELD_CAPACITY:
        if (v->type != JSON_INT || v->integer < 0) {
            return wrong_type(v, "a count", why);
        }
        out->capacity = (uint64_t)v->integer;
        return true;
    case FIELD_EPOCH:
        return read_bool(v, &out->invalidate_with_epoch, why);
    case FIELD_STALE:
        return read_bool(v, &out->allow_stale_reads, why);
    case FIELD_TIMEOUT: /* nobody waits for another's result here */
        return read_duration(v, &timeout_ns, why);
    case FIELD_RETRY:
        return read_bool(v, &flag, why);
    case FIELD_COUNT:
        break;
    }
    return false;
}

static bool unknown_field(struct slice name, struct buf *why)
{
    buf_printf(why, "unknown field `%.*s`, expected one of ", SLICE_ARG(name));
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        buf_printf(why, "%s`%.*s`", i > 0 ? ", " : "", SLICE_ARG(field_names[i]));
    }
    return false;
}

bool memoize_params_read(const struct json *from, struct memoize_params *out, struct buf *why)
{
    bool seen[FIELD_COUNT] = {false};

    *out = (struct memoize_params){0};
    if (from->type != JSON_OBJECT) {
        BUF_LIT(why, "invalid type: expected a table with named options");
        return false;
    }
    for (const struct json *v = from->first; v != NULL; v = v->next) {
        size_t f = 0;

        while (f < FIELD_COUNT && !slice_eq(field_names[f], v->key)) {
            f++;
        }
        if (f == FIELD_COUNT) {
            return unknown_field(v->key, why);
        }
        if (v->type != JSON_NULL && !read_field((enum field)f, v, out, why)) {
            return false;
        }
        seen[f] = v->type != JSON_NULL;
    }
    for (size_t f = FIELD_NAME; f <= FIELD_CAPACITY; f++) {
        if (!seen[f]) {
            buf_printf(why, "missing field `%.*s`", SLICE_ARG(field_names[f]));
            return false;
        }
    }
    return true;
}
