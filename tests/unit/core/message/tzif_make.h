/*
 * tzif_make - writes TZif files for tests: two types (standard, daylight), transitions, a rule.
 */
#pragma once

#include <stdint.h>

#include "core/base/buf.h"

struct tzif_make {
    int32_t offset_s[2]; /* type 0 and 1 */
    int64_t at_s[4];
    uint8_t type[4];
    uint32_t count;
    const char *rule;
};

static inline void tzif_be(struct buf *out, uint64_t value, size_t size)
{
    while (size > 0) {
        buf_char(out, (char)(value >> (8 * --size)));
    }
}

static inline void tzif_block(struct buf *out, const struct tzif_make *z, size_t time_size)
{
    BUF_LIT(out, "TZif2");
    buf_append(out, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 15);
    tzif_be(out, 0, 4);
    tzif_be(out, 0, 4);
    tzif_be(out, 0, 4);
    tzif_be(out, z->count, 4);
    tzif_be(out, 2, 4);
    tzif_be(out, 8, 4);
    for (uint32_t i = 0; i < z->count; i++) {
        tzif_be(out, (uint64_t)z->at_s[i], time_size);
    }
    buf_append(out, z->type, z->count);
    for (size_t i = 0; i < 2; i++) {
        tzif_be(out, (uint32_t)z->offset_s[i], 4);
        buf_char(out, (char)i);
        buf_char(out, (char)(4 * i));
    }
    buf_append(out, "STD\0DST\0", 8);
}

static inline void tzif_put(struct buf *out, const struct tzif_make *z)
{
    tzif_block(out, z, 4);
    tzif_block(out, z, 8);
    buf_char(out, '\n');
    buf_put(out, slice_str(z->rule));
    buf_char(out, '\n');
}
