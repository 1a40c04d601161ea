/*
 * A timer sits in the level of the highest bit group in which its due time differs from the
 * wheel's now. Moving now forward keeps that true for every slot not reached yet, so level and
 * slot of an armed timer can be computed again when it is cancelled.
 */
#include "core/shard/timer.h"

#include "core/base/check.h"

#define SLOT_BITS 6u
_Static_assert(TIMER_SLOTS == 1u << SLOT_BITS, "a slot index is one bit group");

void timers_init(struct timers *ts, uint64_t now_ms)
{
    *ts = (struct timers){.now_ms = now_ms};
    for (uint32_t l = 0; l < TIMER_LEVELS; l++) {
        for (uint32_t s = 0; s < TIMER_SLOTS; s++) {
            dlist_init(&ts->slots[l][s]);
        }
    }
    dlist_init(&ts->expired);
}

static uint32_t level_of(const struct timers *ts, uint64_t due_ms)
{
    uint64_t differ = due_ms ^ ts->now_ms;
    uint32_t level = (63u - (uint32_t)__builtin_clzll(differ | 1u)) / SLOT_BITS;

    return level < TIMER_LEVELS ? level : TIMER_LEVELS - 1;
}

static uint32_t slot_of(uint32_t level, uint64_t due_ms)
{
    return (uint32_t)(due_ms >> (SLOT_BITS * level)) & (TIMER_SLOTS - 1);
}

static void wheel_put(struct timers *ts, struct timer *t)
{
    uint32_t level, slot;

    if (t->due_ms <= ts->now_ms) {
        dlist_push(&ts->expired, &t->link);
        return;
    }
    level = level_of(ts, t->due_ms);
    slot = slot_of(level, t->due_ms);
    dlist_push(&ts->slots[level][slot], &t->link);
    ts->occupied[level] |= UINT64_C(1) << slot;
}

void timer_arm(struct timers *ts, struct timer *t, uint64_t due_ms)
{
    const uint64_t due_max = ts->now_ms + (UINT64_C(1) << (SLOT_BITS * TIMER_LEVELS - 2));

    MUST(t->fn != NULL);
    if (t->due_ms == due_ms && timer_armed(t)) { /* a session that is busy re-arms all the time */
        return;
    }
    timer_cancel(ts, t);
    t->due_ms = due_ms < due_max ? due_ms : due_max;
    wheel_put(ts, t);
    ts->armed_count++;
}

void timer_cancel(struct timers *ts, struct timer *t)
{
    if (!timer_armed(t)) {
        return;
    }
    dlist_remove(&t->link);
    ts->armed_count--;
    if (t->due_ms > ts->now_ms) {
        uint32_t level = level_of(ts, t->due_ms);
        uint32_t slot = slot_of(level, t->due_ms);

        if (dlist_empty(&ts->slots[level][slot])) {
            ts->occupied[level] &= ~(UINT64_C(1) << slot);
        }
    }
}

/* The start of the first occupied slot, its level and index; false when the wheel is empty. */
static bool wheel_first(const struct timers *ts, uint64_t *start_ms, uint32_t *level,
                        uint32_t *slot)
{
    for (uint32_t l = 0; l < TIMER_LEVELS; l++) {
        if (ts->occupied[l] != 0) {
            uint32_t shift = SLOT_BITS * l;

            *level = l;
            *slot = (uint32_t)__builtin_ctzll(ts->occupied[l]);
            *start_ms = (((ts->now_ms >> shift) & ~(uint64_t)(TIMER_SLOTS - 1)) | *slot) << shift;
            return true;
        }
    }
    return false;
}

/* Moves now to `to_ms`, collecting what becomes due and spreading slots of higher levels. */
static void wheel_advance(struct timers *ts, uint64_t to_ms)
{
    uint64_t start_ms;
    uint32_t level, slot;

    while (wheel_first(ts, &start_ms, &level, &slot) && start_ms <= to_ms) {
        struct dlist batch;
        struct dlist *node;

        dlist_init(&batch);
        dlist_splice(&batch, &ts->slots[level][slot]);
        ts->occupied[level] &= ~(UINT64_C(1) << slot);
        MUST_HOT(start_ms > ts->now_ms);
        ts->now_ms = start_ms;
        if (level == 0) {
            dlist_splice(&ts->expired, &batch);
        } else {
            while ((node = dlist_pop(&batch)) != NULL) {
                wheel_put(ts, CONTAINER_OF(node, struct timer, link));
            }
        }
    }
    if (to_ms > ts->now_ms) {
        ts->now_ms = to_ms;
    }
}

bool timers_run(struct timers *ts, uint64_t now_ms, uint32_t budget)
{
    struct dlist batch;
    struct dlist *node;

    if (now_ms > 0) {
        wheel_advance(ts, now_ms - 1); /* the millisecond of a due time must have passed */
    }
    dlist_init(&batch); /* what handlers arm in the past waits for the next run */
    dlist_splice(&batch, &ts->expired);
    while (budget-- > 0 && (node = dlist_pop(&batch)) != NULL) {
        struct timer *t = CONTAINER_OF(node, struct timer, link);

        ts->armed_count--;
        t->fn(t);
    }
    dlist_splice(&batch, &ts->expired);
    dlist_splice(&ts->expired, &batch);
    return !dlist_empty(&ts->expired);
}

static struct timer *list_take(struct timers *ts, struct dlist *head, timer_fn *fn)
{
    for (struct dlist *n = head->next; n != head; n = n->next) {
        struct timer *t = CONTAINER_OF(n, struct timer, link);

        if (t->fn == fn) {
            timer_cancel(ts, t);
            return t;
        }
    }
    return NULL;
}

struct timer *timers_take(struct timers *ts, timer_fn *fn)
{
    struct timer *t = list_take(ts, &ts->expired, fn);

    for (uint32_t l = 0; t == NULL && l < TIMER_LEVELS; l++) {
        for (uint32_t s = 0; t == NULL && s < TIMER_SLOTS; s++) {
            t = list_take(ts, &ts->slots[l][s], fn);
        }
    }
    return t;
}

uint64_t timers_next_ms(const struct timers *ts)
{
    uint64_t start_ms;
    uint32_t level, slot;

    if (!dlist_empty(&ts->expired)) {
        return 0;
    }
    return wheel_first(ts, &start_ms, &level, &slot) ? start_ms + 1 : UINT64_MAX;
}
