/*
 * schedule - restrictions on when a message may be tried: not before, not after, and a window
 * of the week in some time zone.
 *
 * Comes from set_scheduling() or a header as a JSON object; spelled out again for policies.
 *
 * Owner     the message's content. Memory: one allocation; schedule_free() gives it back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/civil.h"
#include "core/base/slice.h"

struct json;
struct zone;

/* Where time zones come from: answers the zone of an IANA name, or NULL when there is none. It
 * stays the finder's and valid for the call. */
struct zone_finder {
    void *ctx;
    const struct zone *(*find)(void *ctx, struct slice name);
};

#define SCHEDULE_ZONE_MAX 64u

struct schedule {
    bool has_first_attempt, has_expires, has_window;
    uint8_t days; /* bit 0 = Monday */
    struct civil_moment first_attempt, expires;
    uint32_t start_s, end_s; /* within the local day: [start, end) */
    char zone[SCHEDULE_ZONE_MAX];
    uint8_t zone_len;
};

/* On failure `why` gets the reason and *out is untouched. `finder` says which zones exist. */
NODISCARD bool schedule_parse(const struct json *object, const struct zone_finder *finder,
                              struct schedule **out, struct buf *why);
void schedule_free(struct schedule **sp); /* NULL is accepted; clears */

/* The moment, at or after wall_ms, at which the message may be tried: first_attempt, then the
 * next window. A zone that is not found any more counts as UTC. A NULL schedule changes nothing. */
uint64_t schedule_adjust_ms(const struct schedule *s, const struct zone_finder *finder,
                            uint64_t wall_ms);
/* Whether an attempt at that moment would come too late. */
PURE bool schedule_expired(const struct schedule *s, uint64_t wall_ms);

/* Appends {"dow":"Mon,Tue","tz":"Europe/Berlin","start":"09:00:00",...} with what is set. */
void schedule_write_json(const struct schedule *s, struct buf *out);

/* For the message's blob. */
void schedule_put(const struct schedule *s, struct buf *out);
/* False when the bytes are not such a run. */
NODISCARD bool schedule_load(struct slice from, struct schedule **out);
