/*
 * arf - feedback reports (RFC 5965), read from a whole message and written as the JSON object
 * that Feedback records carry.
 *
 * Limits    REPORT_PART_MAX bytes of report, ARF_FIELDS_MAX fields.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

#define ARF_FIELDS_MAX 1000u

/* Appends the report. False: the message is no feedback report, nothing appended. */
NODISCARD bool arf_put_json(struct slice message, struct buf *out);
