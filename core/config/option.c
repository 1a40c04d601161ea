/* Objects: finding rows by key, presence, defaults, and the frame around complaints. */
#include "core/config/option.h"

#include <stdio.h>

#include "core/base/check.h"
#include "core/config/option_refuse.h"

static void set_has(const struct option *o, void *object, bool has)
{
    if (o->has_at != OPTION_ALWAYS) {
        *(bool *)((char *)object + o->has_at) = has;
    }
}

static bool has(const struct option *o, const void *object)
{
    return o->has_at == OPTION_ALWAYS || *(const bool *)((const char *)object + o->has_at);
}

static void clear(const struct option *o, void *object)
{
    if (o->kind->free != NULL) {
        o->kind->free(o, object);
    }
    memset(option_at(o, object), 0, o->size);
    set_has(o, object, false);
}

/* The row of a key, in this table or the one beside it; *base is the struct it belongs to. */
static const struct option *find(const struct option_table *t, void *object, struct slice key,
                                 const struct option_table **owner, void **base)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (slice_eq(t->rows[i].name, key)) {
            *owner = t;
            *base = object;
            return &t->rows[i];
        }
    }
    return t->also != NULL ? find(t->also, (char *)object + t->also_at, key, owner, base) : NULL;
}

static bool refuse_key(const struct option_table *t, struct slice key, struct buf *why)
{
    uint32_t count = 0, i = 0;
    struct slice *names;

    for (const struct option_table *part = t; part != NULL; part = part->also) {
        count += part->count;
    }
    names = mem_take(count * sizeof(*names));
    for (const struct option_table *part = t; part != NULL; part = part->also) {
        for (uint32_t row = 0; row < part->count; row++) {
            names[i++] = part->rows[row].name;
        }
    }
    buf_printf(why, "unknown field `%.*s`, expected ", SLICE_ARG(slice_head(key, 256)));
    option_put_choice(why, names, count);
    mem_give(names);
    return false;
}

static bool read_member(const struct option_table *t, const struct json *v, void *object,
                        struct buf *why)
{
    const struct option_table *owner;
    void *base;
    const struct option *o = find(t, object, v->key, &owner, &base);
    size_t mark = why->len;

    if (o == NULL) {
        return t->ignores_unknown || refuse_key(t, v->key, why);
    }
    if (v->type == JSON_NULL) {
        return true;
    }
    clear(o, base);
    if (!o->kind->read(o, v, base, why)) {
        buf_insert(why, mark, SLICE(": "));
        buf_insert(why, mark, v->key);
        return false;
    }
    set_has(o, base, true);
    if (owner->given_at != OPTION_ALWAYS) {
        *(uint64_t *)((char *)base + owner->given_at) |= UINT64_C(1) << (o - owner->rows);
    }
    return true;
}

static bool is_missing(const struct option *o, const struct json *from)
{
    const struct json *v = json_get(from, o->name);

    return o->required && (v == NULL || v->type == JSON_NULL);
}

static bool read_members(const struct option_table *t, const struct json *from, void *object,
                         struct buf *why)
{
    for (const struct json *v = from->first; v != NULL; v = v->next) {
        if (!read_member(t, v, object, why)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < t->count; i++) {
        if (is_missing(&t->rows[i], from)) {
            buf_printf(why, "missing field `%.*s`", SLICE_ARG(t->rows[i].name));
            return false;
        }
    }
    return t->check == NULL || t->check(object, why);
}

bool option_read_inner(const struct option_table *t, const struct json *from, void *object,
                       struct buf *why)
{
    bool empty = from->type == JSON_ARRAY && from->count == 0;

    MUST(t->given_at == OPTION_ALWAYS || t->count <= 64);
    option_init(t, object);
    if (from->type != JSON_OBJECT && !empty) {
        char expected[64];

        (void)snprintf(expected, sizeof(expected), "struct %s", t->type);
        option_free(t, object);
        return option_refuse_type(from, expected, why);
    }
    if (!read_members(t, from, object, why)) {
        option_free(t, object);
        return false;
    }
    return true;
}

bool option_read(const struct option_table *t, const struct json *from, void *object,
                 struct buf *why)
{
    size_t mark = why->len;

    if (option_read_inner(t, from, object, why)) {
        return true;
    }
    buf_insert(why, mark, SLICE("deserialize error: "));
    BUF_LIT(why, ", while processing ");
    json_write(why, from);
    return false;
}

struct json *option_write(const struct option_table *t, const void *object, struct json_doc *doc)
{
    struct json *to = json_new(doc, JSON_OBJECT);

    for (; t != NULL; object = (const char *)object + t->also_at, t = t->also) {
        for (uint32_t i = 0; i < t->count; i++) {
            const struct option *o = &t->rows[i];

            json_object_add(doc, to, o->name,
                            has(o, object) ? o->kind->write(o, object, doc)
                                           : json_new(doc, JSON_NULL));
        }
    }
    return to;
}

void option_init(const struct option_table *t, void *object)
{
    memset(object, 0, t->size);
    if (t->defaults != NULL) {
        t->defaults(object);
    }
}

void option_free(const struct option_table *t, void *object)
{
    for (uint32_t i = 0; i < t->count; i++) {
        clear(&t->rows[i], object);
    }
    if (t->also != NULL) {
        option_free(t->also, (char *)object + t->also_at);
    }
    memset(object, 0, t->size);
}

void option_overlay(const struct option_table *t, void *to, const void *from)
{
    uint64_t given;

    MUST(t->given_at != OPTION_ALWAYS);
    given = *(const uint64_t *)((const char *)from + t->given_at);
    for (uint32_t i = 0; i < t->count; i++) {
        const struct option *o = &t->rows[i];

        if ((given & (UINT64_C(1) << i)) != 0) {
            memcpy(option_at(o, to), option_at_const(o, from), o->size);
            set_has(o, to, true);
        }
    }
}
