/*
 * smtp_path - the paths of MAIL FROM: and RCPT TO:.
 *
 * "<addr>" or "addr", blanks before it, a source route dropped; "<>" only as a reverse path,
 * "<Postmaster>" only as a forward path.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

enum smtp_path_kind { SMTP_PATH_REVERSE, SMTP_PATH_FORWARD };

/* Cuts a path off the front of `in`, the text after the colon, and appends its kept form (see
 * proto/address.h). *rest_out is what follows: empty, or blank and then something. False: not a
 * path, nothing appended. */
NODISCARD bool smtp_path_cut(struct slice in, enum smtp_path_kind kind, struct buf *out,
                             struct slice *rest_out);
