/*
 * time_text - moments (nanoseconds since 1970 UTC) as text. The calendar is civil.h's: no clock,
 * no time zone, no locale, no state.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

/* "2026-02-02T02:40:03.120458711Z" with 0, 3, 6 or 9 fractional digits. */
void time_put_rfc3339(struct buf *out, uint64_t wall_ns);
/* "Sun, 2 Jan 2000 03:04:05 +0000" */
void time_put_rfc2822(struct buf *out, uint64_t wall_ns);
/* "20260202-024003.120458711": names a log segment. The fraction as above. */
void time_put_log_stamp(struct buf *out, uint64_t wall_ns);

/* RFC 3339 with any offset; false also for moments before 1970 or after 2554. */
NODISCARD bool time_parse_rfc3339(struct slice text, uint64_t *wall_ns);
