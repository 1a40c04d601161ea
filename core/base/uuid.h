/*
 * uuid - 16 bytes and their spellings. Randomness comes with the call.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

struct uuid {
    uint8_t bytes[16]; /* network order */
};

/* Version 4 from 128 random bits, six of which the version and variant replace. */
struct uuid uuid_v4(uint64_t random_high, uint64_t random_low);

/* "6ba7b810-9dad-11d1-80b4-00c04fd430c8", the same without hyphens, in braces, or after
 * "urn:uuid:"; digits of either case. */
NODISCARD bool uuid_parse(struct slice text, struct uuid *out);

void uuid_put(struct buf *out, const struct uuid *u);        /* hyphenated, lower case */
void uuid_put_simple(struct buf *out, const struct uuid *u); /* 32 digits */
