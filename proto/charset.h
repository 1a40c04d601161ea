/*
 * charset - text in some character set to UTF-8.
 *
 * us-ascii, utf-8, iso-8859-1 and windows-1252 are built in; every other name goes through iconv,
 * which is used in this module only. Memory: appends to the caller's buffer. No limits of its own.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

/* Appends `bytes`, which are in the character set `name` (any case), as UTF-8. False, and nothing
 * appended, when the set is unknown or the bytes are not valid in it. */
NODISCARD bool charset_to_utf8(struct buf *out, struct slice name, struct slice bytes);
