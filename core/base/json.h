/*
 * json - a JSON tree, its parser and its writer.
 *
 * Trees live in an arena (struct json_doc) and are read-only once built; policy results, config
 * objects and metadata values use them as their neutral form.
 *
 * Memory    json_doc owns every node and string of its tree; json_doc_free() gives all back.
 * Limits    nesting JSON_DEPTH_MAX; numbers are doubles, integers beyond 2^53 are kept exactly
 *           as int64/uint64.
 * Order     object members keep the order they were added in. A parsed text that names a member
 *           twice keeps both; json_get() answers the last one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

#define JSON_DEPTH_MAX 128u

enum json_type {
    JSON_NULL = 0,
    JSON_BOOL,
    JSON_INT,
    JSON_UINT,
    JSON_DOUBLE,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json {
    uint8_t type; /* enum json_type; JSON_UINT only above INT64_MAX */
    bool boolean;
    union {
        int64_t integer;
        uint64_t uinteger;
        double number;
        struct slice string;
        struct { /* JSON_ARRAY and JSON_OBJECT */
            struct json *first, *last;
            uint32_t count;
        };
    };
    struct slice key;  /* of an object member */
    struct json *next; /* sibling */
};

struct json_doc {
    struct json *root;
    struct arena arena;
};

void json_doc_free(struct json_doc *doc);

/* Building: each answers a fresh node owned by the doc; strings are copied. */
struct json *json_new(struct json_doc *doc, enum json_type type);
struct json *json_new_string(struct json_doc *doc, struct slice s);
struct json *json_new_int(struct json_doc *doc, int64_t v);
struct json *json_new_uint(struct json_doc *doc, uint64_t v); /* JSON_INT where that holds it */
struct json *json_new_double(struct json_doc *doc, double v);
struct json *json_new_bool(struct json_doc *doc, bool v);
void json_array_add(struct json *array, struct json *item);
/* Replaces a member of that name in place, or adds at the end. */
void json_object_set(struct json_doc *doc, struct json *object, struct slice key,
                     struct json *item);
/* The same without looking for an older member: for callers whose keys are all different. */
void json_object_add(struct json_doc *doc, struct json *object, struct slice key,
                     struct json *item);
/* A deep copy of `from` owned by `doc`. */
struct json *json_clone(struct json_doc *doc, const struct json *from);

/* Strict RFC 8259; with JSON_COMMENTS also //, #, and block comments, as the reference's
 * json_parse. On failure a text with line and column is appended to `why`. */
#define JSON_COMMENTS 1u
NODISCARD bool json_parse(struct slice text, unsigned flags, struct json_doc *out, struct buf *why);

/* NULL when absent or not an object. */
const struct json *json_get(const struct json *object, struct slice key);

/* Compact; integral doubles print without exponent or fraction. */
void json_write(struct buf *out, const struct json *v);
/* Two-space indent, keys sorted. */
void json_write_pretty(struct buf *out, const struct json *v);
/* `s` as a JSON string with quotes. Invalid UTF-8 becomes U+FFFD. */
void json_write_string(struct buf *out, struct slice s);
void json_write_double(struct buf *out, double v);
