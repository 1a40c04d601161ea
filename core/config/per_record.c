#include "core/config/per_record.h"

#include "core/config/option_refuse.h"

#define RECORD_TYPES(X)                                                                            \
    X(0, "Reception")                                                                              \
    X(0, "Delivery")                                                                               \
    X(0, "Bounce")                                                                                 \
    X(0, "TransientFailure")                                                                       \
    X(0, "Expiration")                                                                             \
    X(0, "AdminBounce")                                                                            \
    X(0, "OOB")                                                                                    \
    X(0, "Feedback")                                                                               \
    X(0, "Rejection")                                                                              \
    X(0, "AdminRebind")                                                                            \
    X(0, "DeferredInjectionRebind")                                                                \
    X(0, "Delayed")                                                                                \
    X(0, "XferOut")                                                                                \
    X(0, "XferIn")                                                                                 \
    X(0, "Any")

OPTION_NAMES(record_types, "record type", RECORD_TYPES);

static void log_record_params_defaults(void *object)
{
    struct log_record_params *c = object;

#define OPTION(kind, name, value, of, text) OPTION_INIT(kind, name, value, of)
#include "core/config/log_record_params.def"
#undef OPTION
}

static const struct option log_record_params_rows[] = {
#define OPTION(kind, name, value, of, text) OPTION_ROW(kind, log_record_params, name, of)
#include "core/config/log_record_params.def"
#undef OPTION
};

const struct option_table log_record_params_options = {
    .type = "LogRecordParams",
    .rows = log_record_params_rows,
    .count = ARRAY_COUNT(log_record_params_rows),
    .size = sizeof(struct log_record_params),
    .defaults = log_record_params_defaults,
    .given_at = OPTION_ALWAYS,
};

static bool is_record_type(struct slice word)
{
    for (uint32_t i = 0; i < record_types.count; i++) {
        if (slice_eq(word, record_types.words[i])) {
            return true;
        }
    }
    return false;
}

static struct per_record_entry *find(const struct per_record *pr, struct slice type)
{
    for (uint32_t i = 0; i < pr->count; i++) {
        if (slice_eq(slice_str(pr->items[i].type), type)) {
            return &pr->items[i];
        }
    }
    return NULL;
}

const struct log_record_params *per_record_find(const struct per_record *pr, struct slice type)
{
    const struct per_record_entry *entry = find(pr, type);

    entry = entry != NULL ? entry : find(pr, SLICE("Any"));
    return entry != NULL ? &entry->params : NULL;
}

static void per_record_free(const struct option *o, void *object)
{
    struct per_record *pr = option_at(o, object);

    for (uint32_t i = 0; i < pr->count; i++) {
        mem_give(pr->items[i].type);
        option_free(&log_record_params_options, &pr->items[i].params);
    }
    mem_give(pr->items);
    *pr = (struct per_record){0};
}

static bool entry_read(const struct json *v, struct per_record *pr, struct buf *why)
{
    struct per_record_entry *entry = &pr->items[pr->count];
    size_t mark = why->len;

    if (!is_record_type(v->key)) {
        return option_refuse_word(v->key, &record_types, why);
    }
    if (!option_read_inner(&log_record_params_options, v, &entry->params, why)) {
        buf_insert(why, mark, SLICE(": "));
        buf_insert(why, mark, v->key);
        return false;
    }
    entry->type = mem_copy(v->key.ptr, v->key.len);
    pr->count++;
    return true;
}

static bool per_record_read(const struct option *o, const struct json *from, void *object,
                            struct buf *why)
{
    struct per_record *pr = option_at(o, object);

    if (from->type != JSON_OBJECT && (from->type != JSON_ARRAY || from->count != 0)) {
        return option_refuse_type(from, "a map", why);
    }
    pr->items = mem_take_zero(from->count * sizeof(*pr->items));
    for (const struct json *v = from->first; v != NULL; v = v->next) {
        if (!entry_read(v, pr, why)) {
            per_record_free(o, object);
            return false;
        }
    }
    return true;
}

static struct json *per_record_write(const struct option *o, const void *object,
                                     struct json_doc *doc)
{
    const struct per_record *pr = option_at_const(o, object);
    struct json *to = json_new(doc, JSON_OBJECT);

    for (uint32_t i = 0; i < pr->count; i++) {
        json_object_add(doc, to, slice_str(pr->items[i].type),
                        option_write(&log_record_params_options, &pr->items[i].params, doc));
    }
    return to;
}

const struct option_kind option_per_record = {per_record_read, per_record_write, per_record_free};
