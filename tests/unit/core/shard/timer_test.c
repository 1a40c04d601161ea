/* The wheel against the promise of timer.h: never early, and in the first run after. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/prng.h"
#include "core/shard/timer.h"

#define TIMER_COUNT 300u
#define NOT_ARMED UINT64_MAX

/* A timer that writes down when it fired. */
struct probe {
    struct timer timer;
    struct timers *ts;
    uint64_t now_ms; /* of the run it fired in */
    uint32_t fired_count;
};

static struct probe *probe_of(struct timer *t)
{
    return CONTAINER_OF(t, struct probe, timer);
}

static void probe_fired(struct timer *t)
{
    probe_of(t)->fired_count++;
}

static struct probe probe_new(struct timers *ts)
{
    return (struct probe){.timer.fn = probe_fired, .ts = ts};
}

static void a_timer_waits_until_its_millisecond_has_passed(void **state)
{
    static const struct {
        const char *name;
        uint64_t start_ms, delay_ms;
    } rows[] = {
        {.name = "the next millisecond", .start_ms = 1000, .delay_ms = 1},
        {.name = "the last slot of the first level", .start_ms = 1024, .delay_ms = 63},
        {.name = "the first of the second level", .start_ms = 1024, .delay_ms = 64},
        {.name = "across a block border", .start_ms = 1023, .delay_ms = 1},
        {.name = "a minute", .start_ms = 7, .delay_ms = 60000},
        {.name = "just below a level border", .start_ms = 4095, .delay_ms = 258047},
        {.name = "a day", .start_ms = 123456789, .delay_ms = 86400000},
        {.name = "a year", .start_ms = 1, .delay_ms = UINT64_C(31536000000)},
        {.name = "a century", .start_ms = 99, .delay_ms = UINT64_C(3153600000000)},
    };
    unsigned wrong_count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct timers ts;
        struct probe p = probe_new(&ts);
        uint64_t due_ms = rows[i].start_ms + rows[i].delay_ms;
        uint32_t early, at, after;

        timers_init(&ts, rows[i].start_ms);
        timer_arm(&ts, &p.timer, due_ms);
        timers_run(&ts, due_ms - 1, 100);
        early = p.fired_count;
        timers_run(&ts, due_ms, 100); /* the clock is cut to milliseconds: not passed yet */
        at = p.fired_count;
        timers_run(&ts, due_ms + 1, 100);
        after = p.fired_count;
        if (early != 0 || at != 0 || after != 1 || timer_armed(&p.timer) || ts.armed_count != 0) {
            print_error("%s: fired %u before, %u at, %u after\n", rows[i].name, early, at, after);
            wrong_count++;
        }
    }
    assert_int_equal(wrong_count, 0);
}

static void a_cancelled_timer_does_not_fire(void **state)
{
    struct timers ts;
    struct probe near = probe_new(&ts), far = probe_new(&ts), due = probe_new(&ts);

    (void)state;
    timers_init(&ts, 500);
    timer_arm(&ts, &near.timer, 510);
    timer_arm(&ts, &far.timer, 500000);
    timer_arm(&ts, &due.timer, 3);
    timer_cancel(&ts, &near.timer);
    timer_cancel(&ts, &far.timer);
    timer_cancel(&ts, &due.timer);
    timer_cancel(&ts, &due.timer);
    assert_int_equal(ts.armed_count, 0);
    assert_true(timers_next_ms(&ts) == UINT64_MAX);
    assert_false(timers_run(&ts, 1000000, 100));
    assert_int_equal(near.fired_count + far.fired_count + due.fired_count, 0);
}

static void arming_again_moves_a_timer(void **state)
{
    struct timers ts;
    struct probe p = probe_new(&ts);

    (void)state;
    timers_init(&ts, 0);
    timer_arm(&ts, &p.timer, 10);
    timer_arm(&ts, &p.timer, 100000);
    timers_run(&ts, 100000, 100);
    assert_int_equal(p.fired_count, 0);
    timer_arm(&ts, &p.timer, 99999); /* to the past: the next run */
    timers_run(&ts, 100001, 100);
    assert_int_equal(p.fired_count, 1);
    assert_int_equal(ts.armed_count, 0);
}

static void arming_again_for_the_same_moment_changes_nothing(void **state)
{
    struct timers ts;
    struct probe p = probe_new(&ts);

    (void)state;
    timers_init(&ts, 0);
    for (unsigned i = 0; i < 3; i++) {
        timer_arm(&ts, &p.timer, 70);
        assert_int_equal(ts.armed_count, 1);
    }
    timers_run(&ts, 71, 100);
    assert_int_equal(p.fired_count, 1);
    assert_int_equal(ts.armed_count, 0);
    timer_arm(&ts, &p.timer, 70); /* fired: armed anew, though for the moment it had */
    assert_int_equal(ts.armed_count, 1);
    timers_run(&ts, 72, 100);
    assert_int_equal(p.fired_count, 2);
}

static void rearm_in_the_past(struct timer *t)
{
    struct probe *p = probe_of(t);

    p->fired_count++;
    timer_arm(p->ts, t, 0);
}

/* Otherwise a handler with nothing to wait for eats the whole budget of every turn. */
static void a_handler_that_arms_itself_in_the_past_fires_in_the_next_run(void **state)
{
    struct timers ts;
    struct probe p = probe_new(&ts);

    (void)state;
    p.timer.fn = rearm_in_the_past;
    timers_init(&ts, 100);
    timer_arm(&ts, &p.timer, 101);
    assert_true(timers_run(&ts, 200, 100));
    assert_int_equal(p.fired_count, 1);
    assert_true(timers_next_ms(&ts) <= 200);
    assert_true(timers_run(&ts, 200, 100));
    assert_int_equal(p.fired_count, 2);
}

static void rearm_after_a_second(struct timer *t)
{
    struct probe *p = probe_of(t);

    p->fired_count++;
    timer_arm(p->ts, t, t->due_ms + 1000);
}

static void a_handler_may_arm_its_own_timer(void **state)
{
    struct timers ts;
    struct probe p = probe_new(&ts);

    (void)state;
    p.timer.fn = rearm_after_a_second;
    timers_init(&ts, 0);
    timer_arm(&ts, &p.timer, 1000);
    for (uint64_t now_ms = 0; now_ms <= 10001; now_ms++) {
        timers_run(&ts, now_ms, 100);
    }
    assert_int_equal(p.fired_count, 10);
    timer_cancel(&ts, &p.timer);
}

struct killer {
    struct timer timer;
    struct timers *ts;
    struct timer *victim;
};

static void kill(struct timer *t)
{
    struct killer *k = CONTAINER_OF(t, struct killer, timer);

    timer_cancel(k->ts, k->victim);
}

static void a_handler_may_cancel_a_timer_that_is_due_in_the_same_run(void **state)
{
    struct timers ts;
    struct probe same = probe_new(&ts);
    struct killer k = {.timer.fn = kill, .ts = &ts, .victim = &same.timer};

    (void)state;
    timers_init(&ts, 0);
    timer_arm(&ts, &k.timer, 5);
    timer_arm(&ts, &same.timer, 5);
    assert_false(timers_run(&ts, 50, 100));
    assert_int_equal(same.fired_count, 0);
    assert_int_equal(ts.armed_count, 0);
}

static void the_budget_leaves_the_rest_for_the_next_run(void **state)
{
    struct timers ts;
    struct probe p[10];
    uint32_t fired_count = 0;

    (void)state;
    timers_init(&ts, 0);
    for (uint32_t i = 0; i < ARRAY_COUNT(p); i++) {
        p[i] = probe_new(&ts);
        timer_arm(&ts, &p[i].timer, i + 1);
    }
    assert_true(timers_run(&ts, 100, 4));
    for (uint32_t i = 0; i < ARRAY_COUNT(p); i++) {
        fired_count += p[i].fired_count;
        assert_int_equal(p[i].fired_count, i < 4 ? 1 : 0); /* the earliest first */
    }
    assert_int_equal(fired_count, 4);
    assert_int_equal(timers_next_ms(&ts), 0);
    timer_cancel(&ts, &p[9].timer);
    assert_true(timers_run(&ts, 100, 4));
    assert_false(timers_run(&ts, 100, 4));
    assert_int_equal(p[8].fired_count, 1);
    assert_int_equal(p[9].fired_count, 0);
}

static void a_due_time_beyond_all_levels_is_kept(void **state)
{
    struct timers ts;
    struct probe p = probe_new(&ts);

    (void)state;
    timers_init(&ts, 1000);
    timer_arm(&ts, &p.timer, UINT64_MAX);
    assert_false(timers_run(&ts, UINT64_C(1) << 45, 100));
    assert_int_equal(p.fired_count, 0);
    assert_true(timers_next_ms(&ts) > UINT64_C(1) << 45);
    timer_cancel(&ts, &p.timer);
    assert_true(timers_next_ms(&ts) == UINT64_MAX);
}

static void taking_finds_every_timer_of_a_function_wherever_it_hangs(void **state)
{
    static const uint64_t due_ms[] = {1, 101, 163, 300, 100000, UINT64_C(1) << 40};
    struct timers ts;
    struct probe p[ARRAY_COUNT(due_ms)], other[ARRAY_COUNT(due_ms)];
    uint32_t taken_count = 0;
    struct timer *t;

    (void)state;
    timers_init(&ts, 100);
    for (uint32_t i = 0; i < ARRAY_COUNT(due_ms); i++) {
        p[i] = probe_new(&ts);
        other[i] = (struct probe){.timer.fn = rearm_in_the_past, .ts = &ts};
        timer_arm(&ts, &other[i].timer, due_ms[i]);
        timer_arm(&ts, &p[i].timer, due_ms[i]);
    }
    while ((t = timers_take(&ts, probe_fired)) != NULL) {
        assert_false(timer_armed(t));
        taken_count++;
    }
    assert_int_equal(taken_count, ARRAY_COUNT(due_ms));
    assert_int_equal(ts.armed_count, ARRAY_COUNT(due_ms));
    for (uint32_t i = 0; i < ARRAY_COUNT(due_ms); i++) {
        assert_true(timer_armed(&other[i].timer));
        timer_cancel(&ts, &other[i].timer);
    }
    assert_true(timers_next_ms(&ts) == UINT64_MAX);
}

/* ---- against a list ---- */

struct model {
    struct timers ts;
    uint64_t now_ms;
    struct probe probe[TIMER_COUNT];
    uint64_t due_ms[TIMER_COUNT]; /* NOT_ARMED, or when */
    struct prng random;
    unsigned wrong_count;
};

static struct model model;

static void model_arm(uint32_t i)
{
    /* Bit lengths are uniform, so that every level is visited. */
    uint64_t span_ms = UINT64_C(1) << prng_below(&model.random, 38);
    uint64_t due_ms = model.now_ms + prng_below(&model.random, span_ms);

    if (prng_below(&model.random, 20) == 0) {
        due_ms = prng_below(&model.random, model.now_ms + 1);
    }
    timer_arm(&model.ts, &model.probe[i].timer, due_ms);
    model.due_ms[i] = due_ms;
}

static void model_cancel(uint32_t i)
{
    timer_cancel(&model.ts, &model.probe[i].timer);
    model.due_ms[i] = NOT_ARMED;
}

static void model_fired(struct timer *t)
{
    uint32_t i = (uint32_t)(probe_of(t) - model.probe);

    if (model.due_ms[i] == NOT_ARMED || model.due_ms[i] >= model.now_ms) {
        print_error("timer %u fired early or unarmed at %llu\n", i,
                    (unsigned long long)model.now_ms);
        model.wrong_count++;
    }
    model.due_ms[i] = NOT_ARMED;
    switch (prng_below(&model.random, 4)) {
    case 0:
        model_arm(i);
        break;
    case 1:
        model_arm((uint32_t)prng_below(&model.random, TIMER_COUNT));
        break;
    case 2:
        model_cancel((uint32_t)prng_below(&model.random, TIMER_COUNT));
        break;
    default:
        break;
    }
}

static void model_check(void)
{
    uint64_t first_ms = UINT64_MAX, armed_count = 0;

    for (uint32_t i = 0; i < TIMER_COUNT; i++) {
        bool armed = model.due_ms[i] != NOT_ARMED;

        armed_count += armed;
        if (armed && model.due_ms[i] < first_ms) {
            first_ms = model.due_ms[i];
        }
        if (armed != timer_armed(&model.probe[i].timer)) {
            print_error("timer %u is %s\n", i, armed ? "lost" : "still armed");
            model.wrong_count++;
        }
    }
    if (armed_count != model.ts.armed_count) {
        print_error("%llu timers counted, %llu armed\n",
                    (unsigned long long)model.ts.armed_count, (unsigned long long)armed_count);
        model.wrong_count++;
    }
    if (armed_count > 0 && timers_next_ms(&model.ts) > first_ms + 1) {
        print_error("the next timer is announced too late\n");
        model.wrong_count++;
    }
}

/* Everything whose millisecond has passed and that was not armed by a handler of this very run. */
static void model_run_until_rest(void)
{
    for (unsigned runs = 0; runs < 1000; runs++) {
        if (!timers_run(&model.ts, model.now_ms, 7)) {
            break;
        }
    }
    for (uint32_t i = 0; i < TIMER_COUNT; i++) {
        if (model.due_ms[i] < model.now_ms) {
            print_error("timer %u, due %llu, did not fire at %llu\n", i,
                        (unsigned long long)model.due_ms[i], (unsigned long long)model.now_ms);
            model.wrong_count++;
        }
    }
}

static void any_history_fires_what_a_sorted_list_would(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        model = (struct model){.random = prng_from_seed(seed)};
        model.now_ms = prng_next(&model.random) >> (24 + prng_below(&model.random, 40));
        timers_init(&model.ts, model.now_ms);
        for (uint32_t i = 0; i < TIMER_COUNT; i++) {
            model.probe[i].timer.fn = model_fired;
            model.due_ms[i] = NOT_ARMED;
        }
        for (uint32_t step = 0; step < 2000 && model.wrong_count == 0; step++) {
            uint32_t i = (uint32_t)prng_below(&model.random, TIMER_COUNT);

            if (prng_below(&model.random, 3) > 0) {
                model_arm(i);
            } else if (prng_below(&model.random, 3) == 0) {
                model_cancel(i);
            } else {
                uint64_t next_ms = timers_next_ms(&model.ts);
                uint64_t jump_ms = prng_below(&model.random, UINT64_C(1)
                                                                 << prng_below(&model.random, 34));

                if (prng_below(&model.random, 2) == 0 && next_ms != UINT64_MAX &&
                    next_ms > model.now_ms) {
                    jump_ms = next_ms - model.now_ms; /* as the loop sleeps */
                }
                model.now_ms += jump_ms;
                model_run_until_rest();
            }
            model_check();
        }
        if (model.wrong_count != 0) {
            print_error("seed %llu\n", (unsigned long long)seed);
        }
        assert_int_equal(model.wrong_count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_waits_until_its_millisecond_has_passed),
        cmocka_unit_test(a_cancelled_timer_does_not_fire),
        cmocka_unit_test(arming_again_moves_a_timer),
        cmocka_unit_test(arming_again_for_the_same_moment_changes_nothing),
        cmocka_unit_test(a_handler_that_arms_itself_in_the_past_fires_in_the_next_run),
        cmocka_unit_test(a_handler_may_arm_its_own_timer),
        cmocka_unit_test(a_handler_may_cancel_a_timer_that_is_due_in_the_same_run),
        cmocka_unit_test(the_budget_leaves_the_rest_for_the_next_run),
        cmocka_unit_test(a_due_time_beyond_all_levels_is_kept),
        cmocka_unit_test(taking_finds_every_timer_of_a_function_wherever_it_hangs),
        cmocka_unit_test(any_history_fires_what_a_sorted_list_would),
    };
    return cmocka_run_group_tests_name("core/shard/timer", tests, NULL, NULL);
}
