/*
 * dns_zone_private - between the zone's parser and its records.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"

struct dns_zone;

/* `owner` in kept form, `rdata` as on the wire. False when there are too many. */
NODISCARD bool zone_record_add(struct dns_zone *z, struct slice owner, uint16_t type,
                               uint32_t ttl_s, struct slice rdata);
/* Appends a kept form, or ".", as on the wire. */
void zone_name_put(struct buf *out, struct slice name);
