/* The kind that says where a key comes from. */
#include "core/config/option.h"
#include "core/config/option_refuse.h"

#define EXPECTED                                                                                   \
    "a file name, {key_data=...}, {vault_mount=..., vault_path=...} or {event_name=...}"

static const struct shape {
    uint8_t kind;
    struct slice keys[5]; /* the first `required` of them must be there */
    uint8_t key_count, required;
} shapes[] = {
    {KEY_SOURCE_DATA, {SLICE_INIT("key_data")}, 1, 1},
    {KEY_SOURCE_VAULT,
     {SLICE_INIT("vault_mount"), SLICE_INIT("vault_path"), SLICE_INIT("vault_address"),
      SLICE_INIT("vault_token"), SLICE_INIT("vault_key")},
     5,
     2},
    {KEY_SOURCE_EVENT, {SLICE_INIT("event_name"), SLICE_INIT("event_args")}, 2, 1},
};

static bool key_fits(const struct shape *s, const struct json *v)
{
    for (uint8_t i = 0; i < s->key_count; i++) {
        if (slice_eq(v->key, s->keys[i])) {
            return v->type == JSON_STRING || v->type == JSON_NULL ||
                   slice_eq(v->key, SLICE("event_args"));
        }
    }
    return false;
}

static bool shape_fits(const struct shape *s, const struct json *from)
{
    for (uint8_t i = 0; i < s->required; i++) {
        const struct json *v = json_get(from, s->keys[i]);

        if (v == NULL || v->type != JSON_STRING) {
            return false;
        }
    }
    for (const struct json *v = from->first; v != NULL; v = v->next) {
        if (!key_fits(s, v)) {
            return false;
        }
    }
    return true;
}

static void take_text(struct key_source *key, uint8_t kind, struct slice text)
{
    key->kind = kind;
    key->text = mem_copy(text.ptr, text.len);
    key->text_len = (uint32_t)text.len;
}

static bool key_source_read(const struct option *o, const struct json *from, void *object,
                            struct buf *why)
{
    struct key_source *key = option_at(o, object);

    if (from->type == JSON_STRING) {
        take_text(key, KEY_SOURCE_FILE, from->string);
        key->doc.root = json_clone(&key->doc, from);
        return true;
    }
    if (from->type != JSON_OBJECT) {
        return option_refuse_type(from, EXPECTED, why);
    }
    for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
        if (shape_fits(&shapes[i], from)) {
            take_text(key, shapes[i].kind, json_get(from, shapes[i].keys[0])->string);
            key->doc.root = json_clone(&key->doc, from);
            return true;
        }
    }
    return option_refuse_value(from, EXPECTED, why);
}

static struct json *key_source_write(const struct option *o, const void *object,
                                     struct json_doc *doc)
{
    const struct key_source *key = option_at_const(o, object);

    return key->kind != KEY_SOURCE_NONE ? json_clone(doc, key->doc.root) : json_new(doc, JSON_NULL);
}

static void key_source_free(const struct option *o, void *object)
{
    struct key_source *key = option_at(o, object);

    mem_give(key->text);
    json_doc_free(&key->doc);
    *key = (struct key_source){0};
}

const struct option_kind option_key_source = {key_source_read, key_source_write, key_source_free};
