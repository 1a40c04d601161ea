/*
 * buf - a growing run of bytes with one owner.
 *
 * Memory    doubles; {0} is an empty buffer. buf_free() gives it back and leaves {0}. A buffer that
 *           is used over and over belongs to whoever lives longest and is emptied by buf_reuse().
 * Limits    none of its own: whoever appends peer input checks a bound first.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/check.h"
#include "core/base/mem.h"
#include "core/base/slice.h"

struct buf {
    char *ptr;
    size_t len;
    size_t cap;
};

void buf_grow(struct buf *b, size_t room); /* at least `room` unused bytes after len */
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);
void buf_u64(struct buf *b, uint64_t value); /* decimal */
void buf_consume(struct buf *b, size_t n);   /* drops the first n bytes */
/* Inserts before `at`. */
void buf_insert(struct buf *b, size_t at, struct slice s);

static inline void buf_free(struct buf *b)
{
    if (b->ptr != NULL) { /* many never hold anything */
        mem_give(b->ptr);
        *b = (struct buf){0};
    }
}

static inline void buf_reserve(struct buf *b, size_t room)
{
    if (b->cap - b->len < room) {
        buf_grow(b, room);
    }
}

static inline void buf_append(struct buf *b, const void *bytes, size_t len)
{
    if (len != 0) {
        buf_reserve(b, len);
        memcpy(b->ptr + b->len, bytes, len);
        b->len += len;
    }
}

static inline void buf_put(struct buf *b, struct slice s)
{
    buf_append(b, s.ptr, s.len);
}

static inline void buf_char(struct buf *b, char c)
{
    buf_reserve(b, 1);
    b->ptr[b->len++] = c;
}

static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->ptr, b->len};
}

static inline void buf_clear(struct buf *b)
{
    b->len = 0;
}

/* Room that a buffer keeps from one use to the next. */
#define BUF_REUSE_MAX 65536u

/* Empties it for its next use. */
static inline void buf_reuse(struct buf *b)
{
    if (UNLIKELY(b->cap > BUF_REUSE_MAX)) {
        buf_free(b);
    }
    b->len = 0;
}

/* Appends a literal without counting its bytes at run time. */
#define BUF_LIT(b, lit) buf_append((b), (lit), sizeof(lit) - 1)
