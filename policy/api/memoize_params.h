/*
 * memoize_params - the second argument of kumo.memoize.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/json.h"

struct memoize_params {
    struct slice name; /* borrowed from the tree */
    uint64_t ttl_ns;
    uint64_t capacity;
    bool invalidate_with_epoch, allow_stale_reads;
};

/* On failure `why` gets the detail of a deserialize error. */
NODISCARD bool memoize_params_read(const struct json *from, struct memoize_params *out,
                                   struct buf *why);
