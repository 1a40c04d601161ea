/*
 * slice - borrowed bytes: a pointer and a length, not terminated, never owned.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/base/attr.h"

struct slice {
    const char *ptr;
    size_t len;
};

/* For literals, also in static tables. For printf: "%.*s", SLICE_ARG(s). */
#define SLICE(lit) ((struct slice){(lit), sizeof(lit) - 1})
#define SLICE_INIT(lit) {(lit), sizeof(lit) - 1}
#define SLICE_ARG(s) (int)(s).len, (s).ptr

static inline struct slice slice_of(const void *ptr, size_t len)
{
    return (struct slice){ptr, len};
}

static inline struct slice slice_str(const char *z)
{
    return (struct slice){z, z != NULL ? strlen(z) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_starts(struct slice s, struct slice head)
{
    return s.len >= head.len && (head.len == 0 || memcmp(s.ptr, head.ptr, head.len) == 0);
}

static inline bool slice_ends(struct slice s, struct slice tail)
{
    return s.len >= tail.len &&
           (tail.len == 0 || memcmp(s.ptr + s.len - tail.len, tail.ptr, tail.len) == 0);
}

/* The part of s from `at` on; empty when at >= len. */
static inline struct slice slice_from(struct slice s, size_t at)
{
    if (at >= s.len) {
        return (struct slice){s.len != 0 ? s.ptr + s.len : s.ptr, 0}; /* NULL + 0 is undefined */
    }
    return (struct slice){s.ptr + at, s.len - at};
}

/* At most the first n bytes. */
static inline struct slice slice_head(struct slice s, size_t n)
{
    return (struct slice){s.ptr, n < s.len ? n : s.len};
}

/* Index of the first c, or s.len. */
static inline size_t slice_find_char(struct slice s, char c)
{
    const char *hit = s.len != 0 ? memchr(s.ptr, c, s.len) : NULL;

    return hit != NULL ? (size_t)(hit - s.ptr) : s.len;
}

static inline char char_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* ASCII case folded. */
PURE bool slice_eq_nocase(struct slice a, struct slice b);
PURE bool slice_starts_nocase(struct slice s, struct slice head);
/* Without spaces and tabs at both ends. */
PURE struct slice slice_trim(struct slice s);
/* Decimal digits only, no sign, no overflow; false when it is anything else. */
NODISCARD bool slice_to_u64(struct slice s, uint64_t *out);
/* <0, 0, >0 as memcmp, shorter first. */
PURE int slice_cmp(struct slice a, struct slice b);
