/*
 * option - the machinery behind the option tables: one row per option in a .def file gives the
 * field of a plain C struct, its default, its reader and its writer.
 *
 *     OPTION(DURATION, retry_interval, 20 * DURATION_MIN, -, "base of the back-off")
 *            kind      field and key   default            of what it does
 *
 * A dash stands where a kind takes no default or no `of`.
 *
 * Objects arrive as JSON trees (the neutral form of policy results) and become structs that own
 * all they hold. Unknown keys, wrong types and wrong values are refused in the words that policy
 * helpers look for:
 *
 *     deserialize error: unknown field `x`, expected one of `a`, `b`, while processing {"x":1}
 *     deserialize error: a: invalid type: map, expected a boolean, while processing {"a":{}}
 *     deserialize error: b: invalid value: integer `-1`, expected u64, while processing {"b":-1}
 *
 * Null stands for an absent key. Memory belongs to the struct; its _free() leaves zeroes and may
 * be called twice. A failed read leaves nothing to free.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/duration.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/slice.h"
#include "core/config/option_values.h"

struct option;
struct option_table;

/* How the values of one kind are read, written and freed; `object` is the struct that holds the
 * field. */
struct option_kind {
    /* The field holds zeroes. On failure a reason is appended to `why` and it does again. */
    bool (*read)(const struct option *o, const struct json *from, void *object, struct buf *why);
    /* A node owned by `doc`. */
    struct json *(*write)(const struct option *o, const void *object, struct json_doc *doc);
    void (*free)(const struct option *o, void *object); /* NULL: nothing to free */
};

struct option {
    struct slice name;
    const struct option_kind *kind;
    size_t at, size; /* the field */
    size_t has_at;   /* the bool that goes with it, or OPTION_ALWAYS */
    size_t count_at; /* of a list of objects: its uint32_t, or OPTION_ALWAYS */
    const void *of;  /* struct option_names or struct option_table, where the kind needs one */
    uint64_t max;    /* of an integer */
    bool required;
};

static inline void *option_at(const struct option *o, void *object)
{
    return (char *)object + o->at;
}

static inline const void *option_at_const(const struct option *o, const void *object)
{
    return (const char *)object + o->at;
}

#define OPTION_ALWAYS SIZE_MAX

struct option_table {
    const char *type; /* for "expected struct ..." */
    const struct option *rows;
    uint32_t count;
    size_t size;
    void (*defaults)(void *object); /* NULL: all zeroes */
    /* Keys beside the rows that belong to a struct inside this one, or NULL. */
    const struct option_table *also;
    size_t also_at;
    /* Where a uint64_t keeps which rows were given, or OPTION_ALWAYS. */
    size_t given_at;
    /* Judges and completes a struct that was read, or NULL. On failure appends why. */
    bool (*check)(void *object, struct buf *why);
    bool ignores_unknown;
};

/* Whole objects, with the frame "deserialize error: ..., while processing ...". */
NODISCARD bool option_read(const struct option_table *t, const struct json *from, void *object,
                           struct buf *why);
struct json *option_write(const struct option_table *t, const void *object, struct json_doc *doc);
void option_init(const struct option_table *t, void *object); /* the defaults */
void option_free(const struct option_table *t, void *object);

/* The same inside another object: no frame. */
NODISCARD bool option_read_inner(const struct option_table *t, const struct json *from,
                                 void *object, struct buf *why);
/* Copies the fields that were given in `from` over those of `to`, which borrows them. */
void option_overlay(const struct option_table *t, void *to, const void *from);

/* ---- rows ---- */

#define OPTION_FIELD(kind, name, of) OPTION_FIELD_##kind(name, of)
#define OPTION_INIT(kind, name, value, of) OPTION_INIT_##kind(name, value, of)
#define OPTION_ROW(kind, struct_tag, name, of) OPTION_ROW_##kind(struct_tag, name, of)

#define OPTION_ROW_BASE(struct_tag, field, with)                                                   \
    .name = SLICE_INIT(#field), .kind = &option_##with, .at = offsetof(struct struct_tag, field),  \
    .size = sizeof(((struct struct_tag *)NULL)->field)
#define OPTION_ROW_PLAIN(struct_tag, field, with)                                                  \
    OPTION_ROW_BASE(struct_tag, field, with), .has_at = OPTION_ALWAYS, .count_at = OPTION_ALWAYS
#define OPTION_ROW_HAS(struct_tag, field, with)                                                    \
    OPTION_ROW_BASE(struct_tag, field, with), .has_at = offsetof(struct struct_tag, has_##field),  \
                                              .count_at = OPTION_ALWAYS

/* BOOL */
#define OPTION_FIELD_BOOL(name, of) bool name;
#define OPTION_INIT_BOOL(name, value, of) c->name = (value);
#define OPTION_ROW_BOOL(tag, name, of) {OPTION_ROW_PLAIN(tag, name, boolean)},

/* INT: an unsigned integer, at most `of`. INT_OPT: with has_name. */
#define OPTION_FIELD_INT(name, of) uint64_t name;
#define OPTION_INIT_INT(name, value, of) c->name = (value);
#define OPTION_ROW_INT(tag, name, of) {OPTION_ROW_PLAIN(tag, name, int), .max = (of)},
#define OPTION_FIELD_INT_OPT(name, of)                                                             \
    bool has_##name;                                                                               \
    uint64_t name;
#define OPTION_INIT_INT_OPT(name, value, of)
#define OPTION_ROW_INT_OPT(tag, name, of) {OPTION_ROW_HAS(tag, name, int), .max = (of)},

/* DURATION: nanoseconds; seconds or "5m" when read. */
#define OPTION_FIELD_DURATION(name, of) uint64_t name; /* ns */
#define OPTION_INIT_DURATION(name, value, of) c->name = (value);
#define OPTION_ROW_DURATION(tag, name, of) {OPTION_ROW_PLAIN(tag, name, duration)},
#define OPTION_FIELD_DURATION_OPT(name, of)                                                        \
    bool has_##name;                                                                               \
    uint64_t name; /* ns */
#define OPTION_INIT_DURATION_OPT(name, value, of)
#define OPTION_ROW_DURATION_OPT(tag, name, of) {OPTION_ROW_HAS(tag, name, duration)},

/* Without a default: must be given. */
#define OPTION_FIELD_DURATION_REQUIRED(name, of) uint64_t name; /* ns */
#define OPTION_INIT_DURATION_REQUIRED(name, value, of)
#define OPTION_ROW_DURATION_REQUIRED(tag, name, of)                                                \
    {OPTION_ROW_PLAIN(tag, name, duration), .required = true},

/* STRING: never NULL once read. STRING_OPT: NULL when absent. REQUIRED: must be given. */
#define OPTION_FIELD_STRING(name, of) char *name;
#define OPTION_INIT_STRING(name, value, of) c->name = mem_copy((value), sizeof(value) - 1);
#define OPTION_ROW_STRING(tag, name, of) {OPTION_ROW_PLAIN(tag, name, string)},
#define OPTION_FIELD_STRING_OPT(name, of) char *name;
#define OPTION_INIT_STRING_OPT(name, value, of)
#define OPTION_ROW_STRING_OPT(tag, name, of) {OPTION_ROW_PLAIN(tag, name, string)},
#define OPTION_FIELD_REQUIRED(name, of) char *name;
#define OPTION_INIT_REQUIRED(name, value, of)
#define OPTION_ROW_REQUIRED(tag, name, of) {OPTION_ROW_PLAIN(tag, name, string), .required = true},

/* HOST_PORT_OPT: a string "ip:port", "[v6]:port" or "name:port"; NULL when absent. */
#define OPTION_FIELD_HOST_PORT_OPT(name, of) char *name;
#define OPTION_INIT_HOST_PORT_OPT(name, value, of)
#define OPTION_ROW_HOST_PORT_OPT(tag, name, of) {OPTION_ROW_PLAIN(tag, name, host_port)},

/* IP_OPT: family IP_NONE when absent. */
#define OPTION_FIELD_IP_OPT(name, of) struct ip name;
#define OPTION_INIT_IP_OPT(name, value, of)
#define OPTION_ROW_IP_OPT(tag, name, of) {OPTION_ROW_PLAIN(tag, name, ip)},

/* ENUM: one of the words in struct option_names `of`, as its index. */
#define OPTION_FIELD_ENUM(name, of) uint8_t name;
#define OPTION_INIT_ENUM(name, value, of_names) c->name = (value);
#define OPTION_ROW_ENUM(tag, name, words) {OPTION_ROW_PLAIN(tag, name, enum), .of = &(words)},
#define OPTION_FIELD_ENUM_REQUIRED(name, of) uint8_t name;
#define OPTION_INIT_ENUM_REQUIRED(name, value, of_names)
#define OPTION_ROW_ENUM_REQUIRED(tag, name, words)                                                 \
    {OPTION_ROW_PLAIN(tag, name, enum), .of = &(words), .required = true},
/* SWITCH: the same, where false means the first word and true the last. */
#define OPTION_FIELD_SWITCH(name, of) uint8_t name;
#define OPTION_INIT_SWITCH(name, value, of_names) c->name = (value);
#define OPTION_ROW_SWITCH(tag, name, words)                                                        \
    {OPTION_ROW_PLAIN(tag, name, bool_or_word), .of = &(words)},

#define OPTION_FIELD_THROTTLE_OPT(name, of)                                                        \
    bool has_##name;                                                                               \
    struct throttle_spec name;
#define OPTION_INIT_THROTTLE_OPT(name, value, of)
#define OPTION_ROW_THROTTLE_OPT(tag, name, of) {OPTION_ROW_HAS(tag, name, throttle)},

/* THRESHOLD: 'Immediate' (limit 0) or {Threshold="N/period"}. */
#define OPTION_FIELD_THRESHOLD(name, of) struct throttle_spec name;
#define OPTION_INIT_THRESHOLD(name, value, of)
#define OPTION_ROW_THRESHOLD(tag, name, of) {OPTION_ROW_PLAIN(tag, name, threshold)},

#define OPTION_FIELD_LIMIT(name, of) struct limit_spec name;
#define OPTION_INIT_LIMIT(name, value, of) c->name = (struct limit_spec){.limit = (value)};
#define OPTION_ROW_LIMIT(tag, name, of) {OPTION_ROW_PLAIN(tag, name, limit)},

/* LIMITS and THROTTLES: by name. */
#define OPTION_FIELD_LIMITS(name, of) struct named_limits name;
#define OPTION_INIT_LIMITS(name, value, of)
#define OPTION_ROW_LIMITS(tag, name, of) {OPTION_ROW_PLAIN(tag, name, limits)},
#define OPTION_FIELD_THROTTLES(name, of) struct named_throttles name;
#define OPTION_INIT_THROTTLES(name, value, of)
#define OPTION_ROW_THROTTLES(tag, name, of) {OPTION_ROW_PLAIN(tag, name, throttles)},

#define OPTION_FIELD_STRINGS(name, of) struct string_list name;
#define OPTION_INIT_STRINGS(name, value, of)
#define OPTION_ROW_STRINGS(tag, name, of) {OPTION_ROW_PLAIN(tag, name, strings)},
/* PATHS: a string or a list of them, at least one. */
#define OPTION_FIELD_PATHS(name, of) struct string_list name;
#define OPTION_INIT_PATHS(name, value, of)
#define OPTION_ROW_PATHS(tag, name, of) {OPTION_ROW_PLAIN(tag, name, paths), .required = true},
/* NAMES: strings out of struct option_names `of`, of any case. FLAGS: one string of them, joined
 * by '|'. */
#define OPTION_FIELD_NAMES(name, of) struct string_list name;
#define OPTION_INIT_NAMES(name, value, of)
#define OPTION_ROW_NAMES(tag, name, words) {OPTION_ROW_PLAIN(tag, name, names), .of = &(words)},
#define OPTION_FIELD_FLAGS(name, of) char *name;
#define OPTION_INIT_FLAGS(name, value, of)
#define OPTION_ROW_FLAGS(tag, name, words) {OPTION_ROW_PLAIN(tag, name, flags), .of = &(words)},

/* CIDRS: the default is one string with blanks between. */
#define OPTION_FIELD_CIDRS(name, of) struct cidr_list name;
#define OPTION_INIT_CIDRS(name, value, of) cidr_list_init(&c->name, SLICE(value));
#define OPTION_ROW_CIDRS(tag, name, of) {OPTION_ROW_PLAIN(tag, name, cidrs)},

#define OPTION_FIELD_KEY_SOURCE(name, of) struct key_source name;
#define OPTION_INIT_KEY_SOURCE(name, value, of)
#define OPTION_ROW_KEY_SOURCE(tag, name, of) {OPTION_ROW_PLAIN(tag, name, key_source)},

#define OPTION_FIELD_FREE_SPACE(name, of) struct free_space name;
#define OPTION_INIT_FREE_SPACE(name, value, of) c->name = FREE_SPACE_DEFAULT;
#define OPTION_ROW_FREE_SPACE(tag, name, of) {OPTION_ROW_PLAIN(tag, name, free_space)},

/* MAP: any object, kept as it is; root NULL when absent. */
#define OPTION_FIELD_MAP(name, of) struct json_doc name;
#define OPTION_INIT_MAP(name, value, of)
#define OPTION_ROW_MAP(tag, name, of) {OPTION_ROW_PLAIN(tag, name, map)},

/* OBJECT: a struct `of` with its own table. OBJECT_OPT: with has_name. */
#define OPTION_FIELD_OBJECT(name, of) struct of name;
#define OPTION_INIT_OBJECT(name, value, of) option_init(&of##_options, &c->name);
#define OPTION_ROW_OBJECT(tag, name, table)                                                        \
    {OPTION_ROW_PLAIN(tag, name, object), .of = &table##_options},
#define OPTION_FIELD_OBJECT_OPT(name, of)                                                          \
    bool has_##name;                                                                               \
    struct of name;
#define OPTION_INIT_OBJECT_OPT(name, value, of)
#define OPTION_ROW_OBJECT_OPT(tag, name, table)                                                    \
    {OPTION_ROW_HAS(tag, name, object), .of = &table##_options},
/* OBJECTS: a list of structs; `of` is (struct tag, name of the field that counts them). */
#define OPTION_PAIR_TAG(tag, count) tag
#define OPTION_PAIR_COUNT(tag, count) count
#define OPTION_PAIR_TABLE(tag, count) tag##_options
#define OPTION_FIELD_OBJECTS(name, of)                                                             \
    struct OPTION_PAIR_TAG of *name;                                                               \
    uint32_t OPTION_PAIR_COUNT of;
#define OPTION_INIT_OBJECTS(name, value, of)
#define OPTION_ROW_OBJECTS(tag, name, pair)                                                        \
    {OPTION_ROW_BASE(tag, name, objects), .has_at = OPTION_ALWAYS,                                 \
     .count_at = offsetof(struct tag, OPTION_PAIR_COUNT pair), .of = &OPTION_PAIR_TABLE pair},

/* OWN: a struct `of` with a kind of its own, option_<of>. */
#define OPTION_FIELD_OWN(name, of) struct of name;
#define OPTION_INIT_OWN(name, value, of)
#define OPTION_ROW_OWN(tag, name, of) {OPTION_ROW_PLAIN(tag, name, of)},

/* ---- the kinds ---- */

extern const struct option_kind option_boolean, option_int, option_duration, option_string,
    option_host_port, option_ip, option_enum, option_bool_or_word, option_throttle,
    option_threshold, option_limit, option_limits, option_throttles, option_strings, option_paths,
    option_names, option_flags, option_cidrs, option_key_source, option_free_space, option_map,
    option_object, option_objects;
