/*
 * header - RFC 5322 header blocks: walking, finding, unfolding, encoded words.
 *
 * Tolerant: lines may end in LF, a name may be followed by blanks, a line without a colon is a
 * header with an empty value. Nothing is ever dropped: the `field`s of a block, one after the
 * other, are the block.
 *
 * Memory    walking borrows; what is decoded or encoded is appended to the caller's buffer.
 * Limits    none of its own.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

struct header {
    struct slice name;      /* up to the colon, blanks before it cut off */
    struct slice raw_value; /* after the colon and spaces; folding kept, last line end cut off */
    struct slice field;     /* all bytes, name to line end */
};

/* ---- walking ---- */

/* for (size_t at = 0; header_next(bytes, &at, &h);) - `bytes` is a message or its header block.
 * Ends before the empty line, or with the bytes. */
NODISCARD bool header_next(struct slice bytes, size_t *at, struct header *out);
/* The next one of that name, case-insensitively. */
NODISCARD bool header_find(struct slice bytes, struct slice name, size_t *at, struct header *out);
/* Bytes up to and with the empty line; all of them when there is none. */
PURE size_t header_block_size(struct slice message);
/* Where the empty line begins, which is where a header may be appended; false: there is none. */
NODISCARD bool header_block_end(struct slice message, size_t *at_out);

/* "Subject" matches itself in any case, "X-*" what begins with it, "*" everything. */
PURE bool header_name_matches(struct slice name, struct slice pattern);

/* ---- values ---- */

/* Appends the value with folding undone and runs of blanks made one space, as encoded words need
 * to be; nothing decoded. */
void header_unfold_put(struct buf *out, struct slice raw_value);
/* Appends the value unfolded with its RFC 2047 encoded words decoded; a word that is not one, or
 * is in an unknown character set, stays as it is. False when the raw text is not UTF-8: then it is
 * appended as it is, and the caller decides whether that may pass. */
bool header_decode_put(struct buf *out, struct slice raw_value);

/* Appends `text` as a value that may go into a header: ASCII and bytes that are not UTF-8 folded
 * at 75 columns (a word is broken at 900) with CRLF TAB; other UTF-8 as q-encoded words of at most
 * 72 columns. No header name and no line end. */
void header_encode_put(struct buf *out, struct slice text);
