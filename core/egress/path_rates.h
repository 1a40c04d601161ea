/*
 * path_rates - the throttles of one purpose on a path: its own and those it shares by name.
 *
 * They are paid one after the other, the lowest rate first. Private to core/egress. Pure.
 */
#pragma once

#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/config/egress_path_config.h"

struct path_rates {
    const struct throttle_spec *own; /* NULL: none */
    const struct named_throttles *shared;
};

#define PATH_RATES_BEGIN UINT32_MAX
#define PATH_RATES_END (UINT32_MAX - 1)

/* The index of the throttle to be paid after `paid`. */
PURE uint32_t path_rates_next(const struct path_rates *rates, uint32_t paid);
const struct throttle_spec *path_rates_spec(const struct path_rates *rates, uint32_t at);
/* Appends the bucket's name: the shared one, or `own_prefix` and what follows it. */
void path_rates_name(const struct path_rates *rates, uint32_t at, struct buf *out,
                     struct slice own_prefix, struct slice own_name);
