/*
 * zone - one IANA time zone, from the bytes of its TZif file (RFC 8536), versions 1 to 4.
 *
 * Reading files is the caller's business; so is keeping zones. A zone never changes once read.
 *
 * Limits    ZONE_TRANSITIONS_MAX transitions, as zic and the C libraries have.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/slice.h"

#define ZONE_TRANSITIONS_MAX 4096u

struct zone;

/* False when the bytes are not a TZif file. */
NODISCARD bool zone_parse(struct slice tzif, struct zone **out);
void zone_free(struct zone **zp);

/* Seconds east of UTC at that moment. NULL is UTC. */
int32_t zone_offset_s(const struct zone *z, int64_t utc_s);

/* The moment at which the zone's clocks show local_s (seconds since 1970 as if it were UTC).
 * Answers how many there are: 0 when the clocks skip it, 2 when they show it twice (*utc_s is
 * then the first). */
unsigned zone_from_local(const struct zone *z, int64_t local_s, int64_t *utc_s);
