/*
 * smtp_reply_out - puts a reply on the wire.
 */
#pragma once

#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/slice.h"

/* Appends "NNN text" CR LF, one "NNN-" line for each "\n" in `text` before the last. Control bytes
 * become spaces (a CR before the "\n" goes), so a text cannot forge a line; an empty text is
 * "NNN ". */
void smtp_reply_put(struct buf *out, uint16_t code, struct slice text);

/* The code that is sent for `code`: itself within 200..599, else 451. */
static inline uint16_t smtp_reply_code(uint16_t code)
{
    return code >= 200 && code <= 599 ? code : 451;
}
