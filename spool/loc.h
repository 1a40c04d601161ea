/*
 * loc - where a piece of a record is, packed into eight bytes.
 *
 * A place is a segment's index in its log and a unit of 16 bytes within it. While the piece waits
 * for its commit to become durable the "segment" is the commit itself and the unit counts from
 * the commit's start. The length is rounded up to what 14 bits can say: accounting adds and
 * subtracts the same rounded figure, reads use it as the size of the first read.
 *
 *   bits 0-27 unit | 28-47 segment | 48-57 length mantissa | 58-61 length exponent | 62-63 flags
 *
 * 0 is no place: unit 0 of a segment is its header.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LOC_UNIT 16u
#define LOC_UNIT_BITS 28u
#define LOC_SEGMENT_BITS 20u
#define LOC_COMMIT_BASE ((1u << LOC_SEGMENT_BITS) - (1u << 14)) /* from here on: commits */
#define LOC_COMMIT_MAX (1u << 14)
#define LOC_SEGMENT_MAX LOC_COMMIT_BASE
#define LOC_PLACE_MASK ((1ull << (LOC_UNIT_BITS + LOC_SEGMENT_BITS)) - 1)
#define LOC_FLAGS_SHIFT 62u

static inline uint64_t loc_make(uint32_t segment, uint32_t unit, uint64_t bytes)
{
    uint64_t mantissa = (bytes + LOC_UNIT - 1) / LOC_UNIT;
    uint64_t exponent = 0;

    while (mantissa > 1023) {
        mantissa = (mantissa + 1) / 2;
        exponent++;
    }
    return (uint64_t)unit | ((uint64_t)segment << LOC_UNIT_BITS) | mantissa << 48 | exponent << 58;
}

static inline uint64_t loc_place(uint64_t loc)
{
    return loc & LOC_PLACE_MASK;
}

static inline uint32_t loc_segment(uint64_t loc)
{
    return (uint32_t)(loc >> LOC_UNIT_BITS) & ((1u << LOC_SEGMENT_BITS) - 1);
}

static inline uint64_t loc_offset(uint64_t loc)
{
    return (loc & ((1ull << LOC_UNIT_BITS) - 1)) * LOC_UNIT;
}

/* The rounded-up size in bytes. */
static inline uint64_t loc_size(uint64_t loc)
{
    return ((loc >> 48 & 1023u) << (loc >> 58 & 15u)) * LOC_UNIT;
}

static inline bool loc_in_commit(uint64_t loc)
{
    return loc_segment(loc) >= LOC_COMMIT_BASE;
}

static inline unsigned loc_flags(uint64_t loc)
{
    return (unsigned)(loc >> LOC_FLAGS_SHIFT);
}

static inline uint64_t loc_with_flags(uint64_t loc, unsigned flags)
{
    return (loc & ~(3ull << LOC_FLAGS_SHIFT)) | (uint64_t)flags << LOC_FLAGS_SHIFT;
}
