/*
 * duration - spans of time as people write them, in nanoseconds.
 *
 *     "1m 30s"  "20 minutes"  "4.2s"  "1h5m"  "0"
 *
 * One or more <number><unit> terms, spaces allowed anywhere between them; numbers may have a
 * decimal fraction. Units are case sensitive: m is a minute, M a month (30.44 days), y a year
 * (365.25 days). Anything above about 584 years does not fit and is refused.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

#define DURATION_US UINT64_C(1000)
#define DURATION_MS UINT64_C(1000000)
#define DURATION_S UINT64_C(1000000000)
#define DURATION_MIN (60 * DURATION_S)
#define DURATION_H (3600 * DURATION_S)
#define DURATION_DAY (86400 * DURATION_S)
#define DURATION_MONTH (2630016 * DURATION_S)
#define DURATION_YEAR (31557600 * DURATION_S)

/* On failure a reason is appended to `why`. */
NODISCARD bool duration_parse(struct slice text, uint64_t *ns, struct buf *why);
/* Seconds as a number; false when negative, not finite or too large. */
NODISCARD bool duration_from_seconds(double seconds, uint64_t *ns);
/* The canonical form: "20m", "1h 5m", "7days", "2s 481ms 890us 590ns", "0s". */
void duration_put(struct buf *out, uint64_t ns);
