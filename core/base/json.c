/* The tree and the arena it lives in; see json_parse.c and json_write.c for the text. */
#include "core/base/json_private.h"

#include "core/base/check.h"

struct slice json_arena_copy(struct json_doc *doc, struct slice s)
{
    return arena_copy(&doc->arena, s);
}

void json_doc_free(struct json_doc *doc)
{
    arena_free(&doc->arena);
    *doc = (struct json_doc){0};
}

struct json *json_new(struct json_doc *doc, enum json_type type)
{
    struct json *v = arena_take(&doc->arena, sizeof(*v));

    *v = (struct json){.type = (uint8_t)type};
    return v;
}

struct json *json_new_string(struct json_doc *doc, struct slice s)
{
    struct json *v = json_new(doc, JSON_STRING);

    v->string = json_arena_copy(doc, s);
    return v;
}

struct json *json_new_int(struct json_doc *doc, int64_t value)
{
    struct json *v = json_new(doc, JSON_INT);

    v->integer = value;
    return v;
}

struct json *json_new_uint(struct json_doc *doc, uint64_t value)
{
    struct json *v = json_new(doc, value > INT64_MAX ? JSON_UINT : JSON_INT);

    v->uinteger = value;
    return v;
}

struct json *json_new_double(struct json_doc *doc, double value)
{
    struct json *v = json_new(doc, JSON_DOUBLE);

    v->number = value;
    return v;
}

struct json *json_new_bool(struct json_doc *doc, bool value)
{
    struct json *v = json_new(doc, JSON_BOOL);

    v->boolean = value;
    return v;
}

static void append(struct json *parent, struct json *item)
{
    item->next = NULL;
    if (parent->last != NULL) {
        parent->last->next = item;
    } else {
        parent->first = item;
    }
    parent->last = item;
    parent->count++;
}

void json_array_add(struct json *array, struct json *item)
{
    MUST(array->type == JSON_ARRAY);
    append(array, item);
}

void json_object_adopt(struct json *object, struct slice key, struct json *item)
{
    MUST(object->type == JSON_OBJECT);
    item->key = key;
    append(object, item);
}

void json_object_add(struct json_doc *doc, struct json *object, struct slice key, struct json *item)
{
    json_object_adopt(object, json_arena_copy(doc, key), item);
}

void json_object_set(struct json_doc *doc, struct json *object, struct slice key, struct json *item)
{
    struct json *before = NULL;

    MUST(object->type == JSON_OBJECT);
    for (struct json *old = object->first; old != NULL; before = old, old = old->next) {
        if (!slice_eq(old->key, key)) {
            continue;
        }
        item->key = old->key;
        item->next = old->next;
        if (before != NULL) {
            before->next = item;
        } else {
            object->first = item;
        }
        if (object->last == old) {
            object->last = item;
        }
        return;
    }
    json_object_add(doc, object, key, item);
}

static struct json *clone(struct json_doc *doc, const struct json *from, unsigned depth)
{
    struct json *v;

    MUST(depth <= JSON_DEPTH_MAX);
    if (from->type == JSON_STRING) {
        return json_new_string(doc, from->string);
    }
    v = json_new(doc, from->type);
    if (from->type != JSON_ARRAY && from->type != JSON_OBJECT) {
        v->boolean = from->boolean;
        v->uinteger = from->uinteger;
        return v;
    }
    for (const struct json *item = from->first; item != NULL; item = item->next) {
        struct json *copy = clone(doc, item, depth + 1);

        copy->key = json_arena_copy(doc, item->key);
        append(v, copy);
    }
    return v;
}

struct json *json_clone(struct json_doc *doc, const struct json *from)
{
    return clone(doc, from, 0);
}

const struct json *json_get(const struct json *object, struct slice key)
{
    const struct json *found = NULL;

    if (object == NULL || object->type != JSON_OBJECT) {
        return NULL;
    }
    for (const struct json *v = object->first; v != NULL; v = v->next) {
        if (slice_eq(v->key, key)) {
            found = v;
        }
    }
    return found;
}
