/* The kinds that are throttles and limits, alone or by name. */
#include <math.h>

#include "core/config/option.h"
#include "core/config/option_refuse.h"

/* ---- throttle ---- */

static bool throttle_value(const struct json *from, struct throttle_spec *out, struct buf *why)
{
    struct buf reason = {0};
    bool ok;

    if (from->type != JSON_STRING) {
        return option_refuse_type(from, "a throttle such as '100/hour'", why);
    }
    ok = throttle_spec_parse(from->string, out, &reason);
    if (!ok) {
        *out = (struct throttle_spec){0};
        (void)option_refuse_because(from, buf_slice(&reason), why);
    }
    buf_free(&reason);
    return ok;
}

static struct json *throttle_json(const struct throttle_spec *spec, struct json_doc *doc)
{
    struct buf text = {0};
    struct json *v;

    throttle_spec_put(&text, spec);
    v = json_new_string(doc, buf_slice(&text));
    buf_free(&text);
    return v;
}

static bool throttle_read(const struct option *o, const struct json *from, void *object,
                          struct buf *why)
{
    return throttle_value(from, option_at(o, object), why);
}

static struct json *throttle_write(const struct option *o, const void *object, struct json_doc *doc)
{
    return throttle_json(option_at_const(o, object), doc);
}

const struct option_kind option_throttle = {throttle_read, throttle_write, NULL};

/* ---- threshold ---- */

static bool threshold_read(const struct option *o, const struct json *from, void *object,
                           struct buf *why)
{
    const struct json *threshold = json_get(from, SLICE("Threshold"));

    if (from->type == JSON_STRING && slice_eq(from->string, SLICE("Immediate"))) {
        return true;
    }
    if (threshold == NULL || from->count != 1) {
        return option_refuse_value(from, "'Immediate' or {Threshold='N/period'}", why);
    }
    return throttle_value(threshold, option_at(o, object), why);
}

static struct json *threshold_write(const struct option *o, const void *object,
                                    struct json_doc *doc)
{
    const struct throttle_spec *spec = option_at_const(o, object);
    struct json *to;

    if (spec->limit == 0) {
        return json_new_string(doc, SLICE("Immediate"));
    }
    to = json_new(doc, JSON_OBJECT);
    json_object_add(doc, to, SLICE("Threshold"), throttle_json(spec, doc));
    return to;
}

const struct option_kind option_threshold = {threshold_read, threshold_write, NULL};

/* ---- limit ---- */

#define LIMIT_EXPECTED "string or numeric limit spec"

static bool limit_table(const struct json *from, struct limit_spec *out, struct buf *why)
{
    static const struct slice keys[] = {SLICE_INIT("limit"), SLICE_INIT("force_local")};
    const struct json *limit = json_get(from, keys[0]), *local = json_get(from, keys[1]);

    for (const struct json *v = from->first; v != NULL; v = v->next) {
        if (!slice_eq(v->key, keys[0]) && !slice_eq(v->key, keys[1])) {
            buf_printf(why, "unknown field `%.*s`, expected ", SLICE_ARG(slice_head(v->key, 256)));
            option_put_choice(why, keys, ARRAY_COUNT(keys));
            return false;
        }
    }
    if (limit == NULL) {
        BUF_LIT(why, "missing field `limit`");
        return false;
    }
    if (limit->type != JSON_INT) {
        return option_refuse_type(limit, "u64", why);
    }
    if (local != NULL && local->type != JSON_BOOL && local->type != JSON_NULL) {
        return option_refuse_type(local, "a boolean", why);
    }
    if (limit->integer < 1) {
        return option_refuse_because(limit, SLICE("limit must be 1 or larger"), why);
    }
    *out = (struct limit_spec){
        .limit = (uint64_t)limit->integer,
        .force_local = local != NULL && local->type == JSON_BOOL && local->boolean,
    };
    return true;
}

static bool limit_value(const struct json *from, struct limit_spec *out, struct buf *why)
{
    struct buf reason = {0};
    bool ok;

    if (from->type == JSON_OBJECT) {
        return limit_table(from, out, why);
    }
    if (from->type == JSON_STRING) {
        ok = limit_spec_parse(from->string, out, &reason);
    } else if (from->type == JSON_INT) {
        ok = limit_spec_from_int(from->integer, out, &reason);
    } else if (from->type == JSON_DOUBLE && from->number == floor(from->number) &&
               fabs(from->number) < 0x1p53) {
        ok = limit_spec_from_int((int64_t)from->number, out, &reason);
    } else {
        return option_refuse_type(from, LIMIT_EXPECTED, why);
    }
    if (!ok) {
        *out = (struct limit_spec){0};
        (void)option_refuse_because(from, buf_slice(&reason), why);
    }
    buf_free(&reason);
    return ok;
}

/* The table form, as the reference serialises it. */
static struct json *limit_json(const struct limit_spec *spec, struct json_doc *doc)
{
    struct json *to = json_new(doc, JSON_OBJECT);

    json_object_add(doc, to, SLICE("limit"), json_new_uint(doc, spec->limit));
    json_object_add(doc, to, SLICE("force_local"), json_new_bool(doc, spec->force_local));
    return to;
}

static bool limit_read(const struct option *o, const struct json *from, void *object,
                       struct buf *why)
{
    return limit_value(from, option_at(o, object), why);
}

static struct json *limit_write(const struct option *o, const void *object, struct json_doc *doc)
{
    return limit_json(option_at_const(o, object), doc);
}

const struct option_kind option_limit = {limit_read, limit_write, NULL};

/* ---- by name ---- */

static bool is_map(const struct json *from, struct buf *why)
{
    if (from->type == JSON_OBJECT || (from->type == JSON_ARRAY && from->count == 0)) {
        return true;
    }
    return option_refuse_type(from, "a map", why);
}

static void put_name(struct buf *why, size_t mark, struct slice name)
{
    buf_insert(why, mark, SLICE(": "));
    buf_insert(why, mark, name);
}

static void limits_free(const struct option *o, void *object)
{
    struct named_limits *list = option_at(o, object);

    for (uint32_t i = 0; i < list->count; i++) {
        mem_give(list->items[i].name);
    }
    mem_give(list->items);
    *list = (struct named_limits){0};
}

static bool limits_read(const struct option *o, const struct json *from, void *object,
                        struct buf *why)
{
    struct named_limits *list = option_at(o, object);
    size_t mark = why->len;

    if (!is_map(from, why)) {
        return false;
    }
    list->items = mem_take_zero(from->count * sizeof(*list->items));
    for (const struct json *v = from->first; v != NULL; v = v->next) {
        struct named_limit *item = &list->items[list->count++];

        item->name = mem_copy(v->key.ptr, v->key.len);
        if (!limit_value(v, &item->spec, why)) {
            put_name(why, mark, v->key);
            limits_free(o, object);
            return false;
        }
    }
    return true;
}

static struct json *limits_write(const struct option *o, const void *object, struct json_doc *doc)
{
    const struct named_limits *list = option_at_const(o, object);
    struct json *to = json_new(doc, JSON_OBJECT);

    for (uint32_t i = 0; i < list->count; i++) {
        json_object_add(doc, to, slice_str(list->items[i].name),
                        limit_json(&list->items[i].spec, doc));
    }
    return to;
}

const struct option_kind option_limits = {limits_read, limits_write, limits_free};

static void throttles_free(const struct option *o, void *object)
{
    struct named_throttles *list = option_at(o, object);

    for (uint32_t i = 0; i < list->count; i++) {
        mem_give(list->items[i].name);
    }
    mem_give(list->items);
    *list = (struct named_throttles){0};
}

static bool throttles_read(const struct option *o, const struct json *from, void *object,
                           struct buf *why)
{
    struct named_throttles *list = option_at(o, object);
    size_t mark = why->len;

    if (!is_map(from, why)) {
        return false;
    }
    list->items = mem_take_zero(from->count * sizeof(*list->items));
    for (const struct json *v = from->first; v != NULL; v = v->next) {
        struct named_throttle *item = &list->items[list->count++];

        item->name = mem_copy(v->key.ptr, v->key.len);
        if (!throttle_value(v, &item->spec, why)) {
            put_name(why, mark, v->key);
            throttles_free(o, object);
            return false;
        }
    }
    return true;
}

static struct json *throttles_write(const struct option *o, const void *object,
                                    struct json_doc *doc)
{
    const struct named_throttles *list = option_at_const(o, object);
    struct json *to = json_new(doc, JSON_OBJECT);

    for (uint32_t i = 0; i < list->count; i++) {
        json_object_add(doc, to, slice_str(list->items[i].name),
                        throttle_json(&list->items[i].spec, doc));
    }
    return to;
}

const struct option_kind option_throttles = {throttles_read, throttles_write, throttles_free};
