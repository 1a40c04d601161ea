/*
 * utf8 - well-formed UTF-8 (RFC 3629: shortest forms, no surrogates, at most U+10FFFF).
 *
 * Made for log records and headers, which are nearly always ASCII: eight bytes a step until a
 * byte above 0x7f shows, then a table of lead bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

/* Bytes at the front that are well formed; s.len when all are. */
PURE size_t utf8_valid_len(struct slice s);

/* The sequence at the front of a non-empty slice. True: *len bytes form one character. False:
 * *len bytes (at least 1) form none, and one U+FFFD stands for them. */
bool utf8_step(struct slice s, size_t *len);

/* Appends one character; code is at most 0x10ffff and no surrogate. */
void utf8_put(struct buf *out, uint32_t code);
/* Appends `s` with every malformed part replaced by U+FFFD. */
void utf8_put_lossy(struct buf *out, struct slice s);

static inline bool utf8_valid(struct slice s)
{
    return utf8_valid_len(s) == s.len;
}

/* How many bytes at the front are ASCII. */
PURE size_t utf8_ascii_len(struct slice s);
