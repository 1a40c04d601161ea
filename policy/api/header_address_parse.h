/*
 * header_address_parse - address lists of From, To and the like: RFC 5322 3.4.
 *
 * Display names come decoded and without quotes; comments are dropped; groups may be empty.
 *
 * Memory    `name` and `local` are scratch of the caller; what emit() gets lies in them or in the
 *           value, and counts for that call alone. emit() may leave by a raise.
 * Limits    comments nest at most HEADER_COMMENT_DEPTH_MAX deep.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

#define HEADER_COMMENT_DEPTH_MAX 32u

enum header_address_kind { HEADER_MAILBOX, HEADER_GROUP_BEGIN, HEADER_GROUP_END };

struct header_address {
    enum header_address_kind kind;
    bool has_name;
    struct slice name;   /* of a mailbox or group */
    struct slice local;  /* as written, quotes included */
    struct slice domain; /* as written; a literal keeps its brackets */
};

typedef void header_address_fn(void *arg, const struct header_address *a);

/* False when the value, which is unfolded, is no address list; what was emitted before is void. */
NODISCARD bool header_address_parse(struct slice value, struct buf *name, struct buf *local,
                                    header_address_fn *emit, void *arg);
