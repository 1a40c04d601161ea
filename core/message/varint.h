/*
 * varint - little-endian base-128 integers and length-prefixed runs, for compact records.
 *
 * Readers take what a disk gave them: they check every bound and refuse values over 64 bits.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

#define VARINT_MAX 10u /* bytes of a 64-bit value */

static inline void varint_put(struct buf *out, uint64_t value)
{
    buf_reserve(out, VARINT_MAX);
    while (value >= 0x80) {
        out->ptr[out->len++] = (char)(value | 0x80);
        value >>= 7;
    }
    out->ptr[out->len++] = (char)value;
}

static inline void varint_put_run(struct buf *out, struct slice s)
{
    varint_put(out, s.len);
    buf_put(out, s);
}

/* Signed: small magnitudes stay small. */
static inline uint64_t varint_zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static inline int64_t varint_unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1 ^ (value & 1 ? UINT64_MAX : 0));
}

/* Cuts one value off the front of *in. */
NODISCARD static inline bool varint_cut(struct slice *in, uint64_t *out)
{
    uint64_t value = 0;

    for (size_t i = 0; i < in->len && i < VARINT_MAX; i++) {
        uint64_t bits = (unsigned char)in->ptr[i] & 0x7f;

        if (i == VARINT_MAX - 1 && bits > 1) {
            return false;
        }
        value |= bits << (7 * i);
        if (((unsigned char)in->ptr[i] & 0x80) == 0) {
            *out = value;
            *in = slice_from(*in, i + 1);
            return true;
        }
    }
    return false;
}

/* A value of at most `max`. */
NODISCARD static inline bool varint_cut_max(struct slice *in, uint64_t max, uint64_t *out)
{
    return varint_cut(in, out) && *out <= max;
}

NODISCARD static inline bool varint_cut_bytes(struct slice *in, uint64_t len, struct slice *out)
{
    if (len > in->len) {
        return false;
    }
    *out = slice_head(*in, (size_t)len);
    *in = slice_from(*in, (size_t)len);
    return true;
}

NODISCARD static inline bool varint_cut_run(struct slice *in, struct slice *out)
{
    uint64_t len;

    return varint_cut(in, &len) && varint_cut_bytes(in, len, out);
}
