/*
 * limit_spec - how many at once, as policies write it: 32, "32", "1,000", "local:32".
 * Also written as a table {limit=32, force_local=true}, which core/config reads.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

struct limit_spec {
    uint64_t limit; /* at least 1; 0: no spec */
    bool force_local;
};

NODISCARD bool limit_spec_parse(struct slice text, struct limit_spec *out, struct buf *why);
/* False for 0 and below. */
NODISCARD bool limit_spec_from_int(int64_t value, struct limit_spec *out, struct buf *why);
void limit_spec_put(struct buf *out, const struct limit_spec *spec); /* "local:32" */

/* Digits with ',' and '_' anywhere between them. On failure "invalid limit '...': reason". */
NODISCARD bool count_parse(struct slice text, uint64_t *out, struct buf *why);
