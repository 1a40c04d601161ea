/*
 * smtp_line - cuts command lines out of a stream of input slices.
 *
 * A line ends in CR LF and nothing else: a CR or LF that stands alone is content. A line that lies
 * whole in the slice is not copied.
 *
 * Memory    a line that comes in pieces, or is kept, is copied; at most size_max + 1 bytes. Room
 *           above SMTP_LINE_KEEP_CAP is given back when the line is done with.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

#define SMTP_LINE_KEEP_CAP 256u

/* {0} is ready for use. */
struct smtp_line {
    struct buf held; /* the beginning of a line, or the one handed out last */
    bool spent;      /* held is of no use any more at the next cut */
    bool skipping;   /* the rest of a line that is too long is passed over */
    bool skipped_cr; /* and its last byte was a CR */
};

enum smtp_line_result {
    SMTP_LINE_MORE = 0, /* all input is used and the line has not ended */
    SMTP_LINE_OK,       /* *line_out is set, without CRLF; valid until the next call */
    SMTP_LINE_TOO_LONG, /* a line above size_max has ended */
};

/* *used_out is set in every case. */
NODISCARD enum smtp_line_result smtp_line_cut(struct smtp_line *l, struct slice in, size_t size_max,
                                              struct slice *line_out, size_t *used_out);
/* Makes the line that was cut last, or a part of it, independent of the input until the next cut.
 */
void smtp_line_keep(struct smtp_line *l, struct slice *line);
void smtp_line_free(struct smtp_line *l);
