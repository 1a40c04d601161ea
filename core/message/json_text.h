/*
 * json_text - what metadata holds, read without building a tree: JSON values as text.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

/* Whether the text is a JSON string (by its first byte; the text is taken to be valid JSON). */
static inline bool json_text_is_string(struct slice json)
{
    return json.len >= 2 && json.ptr[0] == '"';
}

/* The bytes of a JSON string: borrowed from `json`, or decoded into `scratch` (cleared first)
 * when it has escapes. A lone surrogate becomes U+FFFD. False when it is not a string. */
NODISCARD bool json_text_get(struct slice json, struct buf *scratch, struct slice *out);
