/* The kinds that are lists, maps and structs. */
#include "core/base/check.h"
#include "core/config/option.h"
#include "core/config/option_refuse.h"

/* An empty table may come as either. */
static bool is_list(const struct json *from, const char *expected, struct buf *why)
{
    if (from->type == JSON_ARRAY || (from->type == JSON_OBJECT && from->count == 0)) {
        return true;
    }
    return option_refuse_type(from, expected, why);
}

/* ---- strings ---- */

static void strings_free(const struct option *o, void *object)
{
    struct string_list *list = option_at(o, object);

    for (uint32_t i = 0; i < list->count; i++) {
        mem_give(list->items[i]);
    }
    mem_give(list->items);
    *list = (struct string_list){0};
}

static bool strings_read(const struct option *o, const struct json *from, void *object,
                         struct buf *why)
{
    struct string_list *list = option_at(o, object);

    if (!is_list(from, "a list of strings", why)) {
        return false;
    }
    list->items = mem_take_zero(from->count * sizeof(*list->items));
    for (const struct json *v = from->first; v != NULL; v = v->next) {
        if (v->type != JSON_STRING) {
            strings_free(o, object);
            return option_refuse_type(v, "a string", why);
        }
        if (slice_find_char(v->string, '\0') != v->string.len) {
            strings_free(o, object);
            return option_refuse_value(v, "a string without NUL", why);
        }
        list->items[list->count++] = mem_copy(v->string.ptr, v->string.len);
    }
    return true;
}

static struct json *strings_write(const struct option *o, const void *object, struct json_doc *doc)
{
    const struct string_list *list = option_at_const(o, object);
    struct json *to = json_new(doc, JSON_ARRAY);

    for (uint32_t i = 0; i < list->count; i++) {
        json_array_add(to, json_new_string(doc, slice_str(list->items[i])));
    }
    return to;
}

const struct option_kind option_strings = {strings_read, strings_write, strings_free};

/* ---- paths: one string or several ---- */

static bool paths_read(const struct option *o, const struct json *from, void *object,
                       struct buf *why)
{
    struct json one = {.type = JSON_ARRAY}, item = *from;

    if (from->type == JSON_STRING) {
        item.next = NULL;
        one.first = &item;
        one.count = 1;
        return strings_read(o, &one, object, why);
    }
    if (from->count == 0 && (from->type == JSON_ARRAY || from->type == JSON_OBJECT)) {
        return option_refuse_value(from, "at least one path", why);
    }
    return is_list(from, "a path or a list of paths", why) && strings_read(o, from, object, why);
}

static struct json *paths_write(const struct option *o, const void *object, struct json_doc *doc)
{
    const struct string_list *list = option_at_const(o, object);

    return list->count == 1 ? json_new_string(doc, slice_str(list->items[0]))
                            : strings_write(o, object, doc);
}

const struct option_kind option_paths = {paths_read, paths_write, strings_free};

/* ---- names and flags: words of a table ---- */

static bool is_name(struct slice word, const struct option_names *names, bool any_case)
{
    for (uint32_t i = 0; i < names->count; i++) {
        if (any_case ? slice_eq_nocase(word, names->words[i]) : slice_eq(word, names->words[i])) {
            return true;
        }
    }
    return false;
}

static bool names_read(const struct option *o, const struct json *from, void *object,
                       struct buf *why)
{
    const struct string_list *list = option_at(o, object);

    if (!strings_read(o, from, object, why)) {
        return false;
    }
    for (uint32_t i = 0; i < list->count; i++) {
        if (!is_name(slice_str(list->items[i]), o->of, true)) {
            (void)option_refuse_word(slice_str(list->items[i]), o->of, why);
            strings_free(o, object);
            return false;
        }
    }
    return true;
}

const struct option_kind option_names = {names_read, strings_write, strings_free};

static bool flags_read(const struct option *o, const struct json *from, void *object,
                       struct buf *why)
{
    if (from->type != JSON_STRING) {
        return option_refuse_type(from, "names joined by '|'", why);
    }
    for (size_t at = 0; at <= from->string.len;) {
        struct slice rest = slice_from(from->string, at);
        struct slice word = slice_head(rest, slice_find_char(rest, '|'));

        if (!is_name(slice_trim(word), o->of, false)) {
            return option_refuse_word(slice_trim(word), o->of, why);
        }
        at += word.len + 1;
    }
    return option_string.read(o, from, object, why);
}

static struct json *flags_write(const struct option *o, const void *object, struct json_doc *doc)
{
    return option_string.write(o, object, doc);
}

static void flags_free(const struct option *o, void *object)
{
    option_string.free(o, object);
}

const struct option_kind option_flags = {flags_read, flags_write, flags_free};

/* ---- cidrs ---- */

static const struct slice any_nets[] = {SLICE_INIT("0.0.0.0/0"), SLICE_INIT("::/0")};

bool cidr_list_has(const struct cidr_list *list, const struct ip *ip)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (ip_net_has(&list->items[i], ip)) {
            return true;
        }
    }
    return false;
}

static bool cidr_list_add(struct cidr_list *list, struct slice text, struct buf *why)
{
    struct ip_net net;

    if (slice_eq(text, SLICE("any"))) {
        return cidr_list_add(list, any_nets[0], why) && cidr_list_add(list, any_nets[1], why);
    }
    if (!ip_net_parse(text, &net, why)) {
        return false;
    }
    list->items = mem_grow(list->items, (list->count + 1) * sizeof(*list->items));
    list->items[list->count++] = net;
    return true;
}

void cidr_list_init(struct cidr_list *list, struct slice text)
{
    struct buf why = {0};

    *list = (struct cidr_list){0};
    while (text.len > 0) {
        struct slice word = slice_head(text, slice_find_char(text, ' '));

        MUST(cidr_list_add(list, word, &why));
        text = slice_from(text, word.len + 1);
    }
}

static void cidrs_free(const struct option *o, void *object)
{
    struct cidr_list *list = option_at(o, object);

    mem_give(list->items);
    *list = (struct cidr_list){0};
}

static bool cidrs_read(const struct option *o, const struct json *from, void *object,
                       struct buf *why)
{
    struct cidr_list *list = option_at(o, object);
    struct buf reason = {0};

    if (!is_list(from, "a list of IP addresses and CIDR blocks", why)) {
        return false;
    }
    for (const struct json *v = from->first; v != NULL; v = v->next) {
        bool ok = v->type == JSON_STRING && cidr_list_add(list, v->string, &reason);

        if (!ok) {
            (void)(v->type == JSON_STRING ? option_refuse_because(v, buf_slice(&reason), why)
                                          : option_refuse_type(v, "an IP address or CIDR", why));
            buf_free(&reason);
            cidrs_free(o, object);
            return false;
        }
    }
    return true;
}

static struct json *cidrs_write(const struct option *o, const void *object, struct json_doc *doc)
{
    const struct cidr_list *list = option_at_const(o, object);
    struct json *to = json_new(doc, JSON_ARRAY);
    struct buf text = {0};

    for (uint32_t i = 0; i < list->count; i++) {
        buf_clear(&text);
        ip_net_put(&text, &list->items[i]);
        json_array_add(to, json_new_string(doc, buf_slice(&text)));
    }
    buf_free(&text);
    return to;
}

const struct option_kind option_cidrs = {cidrs_read, cidrs_write, cidrs_free};

/* ---- map: kept as it is ---- */

static bool map_read(const struct option *o, const struct json *from, void *object, struct buf *why)
{
    struct json_doc *at = option_at(o, object);

    if (from->type == JSON_ARRAY && from->count == 0) {
        at->root = json_new(at, JSON_OBJECT);
        return true;
    }
    if (from->type != JSON_OBJECT) {
        return option_refuse_type(from, "a map", why);
    }
    at->root = json_clone(at, from);
    return true;
}

static struct json *map_write(const struct option *o, const void *object, struct json_doc *doc)
{
    const struct json_doc *at = option_at_const(o, object);

    return at->root != NULL ? json_clone(doc, at->root) : json_new(doc, JSON_NULL);
}

static void map_free(const struct option *o, void *object)
{
    json_doc_free(option_at(o, object));
}

const struct option_kind option_map = {map_read, map_write, map_free};

/* ---- object ---- */

static bool object_read(const struct option *o, const struct json *from, void *object,
                        struct buf *why)
{
    return option_read_inner(o->of, from, option_at(o, object), why);
}

static struct json *object_write(const struct option *o, const void *object, struct json_doc *doc)
{
    return option_write(o->of, option_at_const(o, object), doc);
}

static void object_free(const struct option *o, void *object)
{
    option_free(o->of, option_at(o, object));
}

const struct option_kind option_object = {object_read, object_write, object_free};

/* ---- objects ---- */

static uint32_t *objects_count(const struct option *o, void *object)
{
    return (uint32_t *)((char *)object + o->count_at);
}

static void objects_free(const struct option *o, void *object)
{
    const struct option_table *t = o->of;
    char **items = option_at(o, object);
    uint32_t *count = objects_count(o, object);

    for (uint32_t i = 0; i < *count; i++) {
        option_free(t, *items + i * t->size);
    }
    MEM_FREE(items);
    *count = 0;
}

static bool objects_read(const struct option *o, const struct json *from, void *object,
                         struct buf *why)
{
    const struct option_table *t = o->of;
    char **items = option_at(o, object);
    uint32_t *count = objects_count(o, object);

    if (!is_list(from, "a sequence", why)) {
        return false;
    }
    *items = mem_take_zero(from->count * t->size);
    *count = 0;
    for (const struct json *v = from->first; v != NULL; v = v->next) {
        if (!option_read_inner(t, v, *items + *count * t->size, why)) {
            objects_free(o, object);
            return false;
        }
        (*count)++;
    }
    return true;
}

static struct json *objects_write(const struct option *o, const void *object, struct json_doc *doc)
{
    const struct option_table *t = o->of;
    const char *items = *(char *const *)option_at_const(o, object);
    uint32_t count = *(const uint32_t *)((const char *)object + o->count_at);
    struct json *to = json_new(doc, JSON_ARRAY);

    for (uint32_t i = 0; i < count; i++) {
        json_array_add(to, option_write(t, items + i * t->size, doc));
    }
    return to;
}

const struct option_kind option_objects = {objects_read, objects_write, objects_free};
