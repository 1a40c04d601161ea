/*
 * timer - one wheel per shard for every deadline: idle connections, retries, refreshes.
 *
 * A hierarchical wheel with millisecond slots: arming and cancelling are O(1) whatever the
 * distance, so ten million waiting messages cost no more than one.
 *
 * Owner     the shard. A timer is a field of its object and must be cancelled before that goes.
 * Units     milliseconds of the ring's monotonic clock.
 * Promise   a timer never fires early; it fires in the turn after its millisecond has passed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"

struct timer;
typedef void timer_fn(struct timer *t);

struct timer {
    struct dlist link; /* linked exactly while armed */
    uint64_t due_ms;
    timer_fn *fn;
};

#define TIMER_LEVELS 8u
#define TIMER_SLOTS 64u

struct timers {
    uint64_t now_ms; /* every slot before this has run */
    uint64_t armed_count;
    uint64_t occupied[TIMER_LEVELS]; /* bit per non-empty slot */
    struct dlist slots[TIMER_LEVELS][TIMER_SLOTS];
    struct dlist expired; /* due, waiting for budget */
};

void timers_init(struct timers *ts, uint64_t now_ms);

/* Arms or re-arms. A due time in the past fires in the next run. t->fn must be set. */
void timer_arm(struct timers *ts, struct timer *t, uint64_t due_ms);
/* Does nothing when not armed. */
void timer_cancel(struct timers *ts, struct timer *t);

static inline bool timer_armed(const struct timer *t)
{
    return dlist_linked(&t->link);
}

/* Fires what is due, at most `budget`; true when more is due already. A handler may arm and
 * cancel any timer, its own included. */
bool timers_run(struct timers *ts, uint64_t now_ms, uint32_t budget);

/* Disarms and answers some timer with this function, NULL when there is none: for taking down
 * what waits when nothing runs any more. */
struct timer *timers_take(struct timers *ts, timer_fn *fn);

/* A moment not after the first due timer, UINT64_MAX when none is armed. May be early (a slot of
 * a higher level has to be spread first), never late. */
uint64_t timers_next_ms(const struct timers *ts);
