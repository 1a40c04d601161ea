/*
 * report_field - the fields of a machine-readable report part, as RFC 3464 and RFC 5965 write
 * them: "Name: value", values often "type; text".
 *
 * Private to dsn and arf.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"
#include "proto/mime.h"

#define REPORT_PART_MAX (4u * 1024u * 1024u) /* a larger one is no report */

struct report_field {
    struct slice name;
    struct slice value; /* unfolded, blanks at both ends cut off */
};

/* The decoded text of a report part and the unfolded values of its fields. */
struct report_text {
    struct buf decoded;
    struct buf unfolded; /* never grows beyond the decoded size: slices into it stay */
};
/* False: it is too large or cannot be decoded. */
NODISCARD bool report_text_open(struct report_text *t, const struct mime_entity *part);
void report_text_free(struct report_text *t);
/* The next field; false at the end of a block. *at goes on behind it. */
NODISCARD bool report_next_field(struct report_text *t, size_t *at, struct report_field *out);
/* Behind the empty lines at *at; false when nothing follows. */
NODISCARD bool report_next_block(const struct report_text *t, size_t *at);

/* "type; text"; without ';' the type is empty. */
void report_split(struct slice value, struct slice *type, struct slice *text);
/* Without < and > around it. */
PURE struct slice report_bare(struct slice address);

/* The report part and what was reported about, among the children of a multipart/report. */
struct report_parts {
    struct mime_entity report, original;
    bool has_report, has_original;
};
/* `types` name the report part. False: `message` is no multipart/report, or lacks the part. */
NODISCARD bool report_open(struct slice message, const struct slice *types, size_t type_count,
                           struct mime_entity *top, struct report_parts *out);
