/*
 * mime - RFC 2045 and 2046 as far as reports need it: what a part is, the parts of a multipart,
 * transfer encodings.
 *
 * Tolerant of what peers send (LF line ends, comments, missing close delimiters), strict about
 * nothing but bounds. One level at a time: whoever wants the parts of a part asks again, so there
 * is no recursion.
 *
 * Memory    entities borrow from the bytes they were cut from; what is decoded is appended.
 * Time      linear in the bytes for each walk over the parts.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

#define MIME_BOUNDARY_MAX 200u /* RFC 2046 says 70 */

enum mime_encoding { MIME_AS_IT_IS = 0, MIME_QUOTED_PRINTABLE, MIME_BASE64 };

struct mime_entity {
    struct slice head; /* header block, the empty line not included */
    struct slice body;
    struct slice type; /* raw value of Content-Type; empty when there is none */
    enum mime_encoding encoding;
};

/* `bytes` is a header block, an empty line and a body. */
void mime_entity_cut(struct slice bytes, struct mime_entity *out);
/* `type` as "message/rfc822", compared without case. */
PURE bool mime_is(const struct mime_entity *e, struct slice type);
/* The value of a parameter of Content-Type, unquoted, appended; false when it has none. */
NODISCARD bool mime_param_put(const struct mime_entity *e, struct slice name, struct buf *out);
/* The body with its transfer encoding undone, appended. False: it cannot be. */
NODISCARD bool mime_body_put(const struct mime_entity *e, struct buf *out);

struct mime_parts {
    struct slice body;
    struct slice boundary; /* in boundary_text */
    char boundary_text[MIME_BOUNDARY_MAX];
    size_t at;             /* behind the delimiter of the next part */
    bool ended;
};
/* False: not a multipart with a usable boundary. */
NODISCARD bool mime_parts_open(struct mime_parts *p, const struct mime_entity *multipart);
NODISCARD bool mime_parts_next(struct mime_parts *p, struct mime_entity *out);
