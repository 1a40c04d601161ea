/*
 * row - one line of a segment's index, and the common form in which recovery sees an entry,
 * whether it was read from an index or from the segment itself.
 */
#pragma once

#include "core/base/buf.h"
#include "spool/format.h"
#include "spool/scan.h"

/* On disk, followed by `extra` bytes, padded to 8: of a RECORD its head and queue name, of a
 * SETTLED_SET its ids. */
struct row_head {
    uint8_t kind;
    uint8_t flags;
    uint16_t zero;
    uint32_t unit;
    uint32_t len; /* of the entry's payload */
    uint32_t count;
    uint32_t extra;
    uint32_t zero2;
    uint64_t stamp;
    uint64_t version;
};
_Static_assert(sizeof(struct row_head) == 40, "on disk");

struct row {
    struct row_head head;
    struct slice extra;
    struct slice payload; /* only from a scan; {NULL, 0} from an index */
    uint64_t body_id;     /* of a RECORD */
};

/* The room that the row of an entry takes, at most. */
static inline uint64_t row_size(uint64_t extra)
{
    return sizeof(struct row_head) + format_up(extra, 8);
}

/* False for an entry that needs no row, or (from an unsound entry) cannot have one. */
NODISCARD bool row_from_entry(const struct entry_head *head, uint64_t offset, struct slice payload,
                              bool sound, struct row *out);
void row_put(struct buf *index, const struct row *row);
/* Steps through an index; false at its end. What does not parse ends it: the caller has checked
 * the index's sum, so that is a writer's bug, not damage. */
NODISCARD bool row_next(struct slice index, size_t *at, struct row *out);
