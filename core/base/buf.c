#include "core/base/buf.h"

#include <stdio.h>

#include "core/base/digits.h"

void buf_grow(struct buf *b, size_t room)
{
    size_t need = b->len + room;
    size_t cap = b->cap != 0 ? b->cap * 2 : 64;

    MUST(need >= room);
    while (cap < need) {
        cap *= 2;
    }
    b->ptr = mem_grow(b->ptr, cap);
    b->cap = cap;
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    int len;

    va_copy(again, ap);
    buf_reserve(b, 64);
    len = vsnprintf(b->ptr + b->len, b->cap - b->len, fmt, ap);
    MUST(len >= 0);
    if ((size_t)len >= b->cap - b->len) {
        buf_reserve(b, (size_t)len + 1);
        (void)vsnprintf(b->ptr + b->len, b->cap - b->len, fmt, again);
    }
    va_end(again);
    b->len += (size_t)len;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void buf_u64(struct buf *b, uint64_t value)
{
    buf_reserve(b, DIGITS_U64_MAX);
    b->len = (size_t)(digits_put_u64(b->ptr + b->len, value) - b->ptr);
}

void buf_consume(struct buf *b, size_t n)
{
    MUST(n <= b->len);
    if (n != 0 && n < b->len) {
        memmove(b->ptr, b->ptr + n, b->len - n);
    }
    b->len -= n;
}

void buf_insert(struct buf *b, size_t at, struct slice s)
{
    MUST(at <= b->len);
    buf_reserve(b, s.len);
    memmove(b->ptr + at + s.len, b->ptr + at, b->len - at);
    memcpy(b->ptr + at, s.ptr, s.len);
    b->len += s.len;
}
