/*
 * mail_date - the date-time of RFC 5322, its obsolete forms included: two-digit years, zones by
 * letters, comments.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/slice.h"

/* The whole of `text`, blanks and folding around it allowed. False: not a date, or before 1970. */
NODISCARD bool mail_date_parse(struct slice text, uint64_t *wall_ns);
