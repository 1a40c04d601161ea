/*
 * base64 - RFC 4648, appended to a buffer. No line breaks either way.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

/* Or'ed together; 0 is the standard alphabet with padding required. */
#define BASE64_URL 1u          /* '-' and '_' for '+' and '/' */
#define BASE64_NO_PAD 2u       /* encode without padding; decode refuses it */
#define BASE64_PAD_OPTIONAL 4u /* decode: complete padding or none */

void base64_encode_as(struct buf *out, struct slice bytes, unsigned flags);
/* Strict: whole groups, exact padding, unused bits zero. On failure nothing is appended. */
NODISCARD bool base64_decode_as(struct buf *out, struct slice text, unsigned flags);
