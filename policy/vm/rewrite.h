/*
 * rewrite - Lua 5.4 source as Lua that LuaJIT accepts.
 *
 *     a // b, a & b, a | b, a ~ b, ~a, a << b, a >> b   calls of helpers, with 5.4 precedence
 *     local x <const> = ...                              the mark goes; assignments are errors
 *     local x <close> = ...                              the rest of the block becomes a function
 *
 * The helpers are fields of the string library (compat.lua), reached as ("").__op_NAME so that
 * they are found under any environment. Lines stay where they were; strings and comments are not
 * touched; a text that uses none of the above is left alone.
 *
 * Limits    nesting REWRITE_DEPTH_MAX, as LuaJIT's own. A goto out of the scope of a <close>
 *           variable, and one directly in a repeat block, are errors.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

#define REWRITE_DEPTH_MAX 190u

enum rewrite { REWRITE_SAME = 0, REWRITE_DONE, REWRITE_BAD };

/* SAME: use `text` as it is. DONE: the new text is appended to `out`. BAD: `why` says what is
 * wrong and *line where. */
NODISCARD enum rewrite rewrite_source(struct slice text, struct buf *out, struct buf *why,
                                      int *line);
