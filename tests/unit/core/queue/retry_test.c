/* Retry and expiry: spec "Queues, egress and delivery", 5.4 and 5.5. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/prng.h"
#include "core/queue/retry.h"

#define MIDDLE (UINT64_C(1) << 63) /* the random bits that mean no jitter */
#define MINUTE UINT64_C(60)
#define HOUR UINT64_C(3600)

static void intervals_double_up_to_the_cap(void **state)
{
    static const struct {
        const char *name;
        uint64_t retry_s, cap_s;
        uint64_t want_s[5]; /* after the first failure, the second ... */
    } rows[] = {
        {.name = "twenty minutes, no cap",
         .retry_s = 20 * MINUTE,
         .want_s = {20 * MINUTE, 40 * MINUTE, 80 * MINUTE, 160 * MINUTE, 320 * MINUTE}},
        {.name = "five seconds", .retry_s = 5, .want_s = {5, 10, 20, 40, 80}},
        {.name = "two seconds, capped at eight",
         .retry_s = 2,
         .cap_s = 8,
         .want_s = {2, 4, 8, 8, 8}},
        {.name = "a cap below the first interval",
         .retry_s = 100,
         .cap_s = 30,
         .want_s = {30, 30, 30, 30, 30}},
        {.name = "no interval at all", .retry_s = 0, .want_s = {0, 0, 0, 0, 0}},
    };
    unsigned wrong_count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct retry_schedule s = {.retry_interval_s = rows[i].retry_s,
                                         .max_retry_interval_s = rows[i].cap_s};

        for (uint16_t n = 0; n < 5; n++) {
            uint64_t got_ms = retry_delay_ms(&s, n, MIDDLE);

            if (got_ms != rows[i].want_s[n] * 1000) {
                print_error("%s, attempt %u: %llu ms\n", rows[i].name, n,
                            (unsigned long long)got_ms);
                wrong_count++;
            }
        }
    }
    assert_int_equal(wrong_count, 0);
}

static void jitter_is_whole_seconds_within_its_share(void **state)
{
    static const struct {
        const char *name;
        uint64_t retry_s, cap_s;
        uint16_t attempts;
        uint64_t middle_s, spread_s; /* middle +- spread, both ends reached but for a second */
    } rows[] = {
        {.name = "twenty minutes: half a minute", .retry_s = 1200, .middle_s = 1200,
         .spread_s = 29},
        {.name = "the share is of the first interval", .retry_s = 1200, .attempts = 3,
         .middle_s = 9600, .spread_s = 29},
        {.name = "never more than a minute across", .retry_s = 36000, .middle_s = 36000,
         .spread_s = 29},
        {.name = "ten minutes", .retry_s = 600, .middle_s = 600, .spread_s = 14},
        {.name = "below forty seconds there is none", .retry_s = 39, .middle_s = 39,
         .spread_s = 0},
        {.name = "forty-one seconds: one second", .retry_s = 41, .middle_s = 41, .spread_s = 1},
        {.name = "it is added behind the cap", .retry_s = 1200, .cap_s = 1800, .attempts = 2,
         .middle_s = 1800, .spread_s = 29},
    };
    struct prng random = prng_from_seed(5);
    unsigned wrong_count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct retry_schedule s = {.retry_interval_s = rows[i].retry_s,
                                         .max_retry_interval_s = rows[i].cap_s};
        uint64_t least_ms = UINT64_MAX, most_ms = 0;

        for (uint32_t n = 0; n < 20000; n++) {
            uint64_t got_ms = retry_delay_ms(&s, rows[i].attempts, prng_next(&random));

            least_ms = got_ms < least_ms ? got_ms : least_ms;
            most_ms = got_ms > most_ms ? got_ms : most_ms;
            wrong_count += got_ms % 1000 != 0;
        }
        if (least_ms != (rows[i].middle_s - rows[i].spread_s) * 1000 ||
            most_ms != (rows[i].middle_s + rows[i].spread_s) * 1000) {
            print_error("%s: %llu to %llu ms\n", rows[i].name, (unsigned long long)least_ms,
                        (unsigned long long)most_ms);
            wrong_count++;
        }
    }
    assert_int_equal(wrong_count, 0);
}

/* A cap far below the interval leaves less room than the jitter spans. */
static void jitter_never_turns_a_delay_negative(void **state)
{
    const struct retry_schedule s = {.retry_interval_s = 1200, .max_retry_interval_s = 10};

    (void)state;
    assert_int_equal(retry_delay_ms(&s, 0, 0), 0);
    assert_int_equal(retry_delay_ms(&s, 0, MIDDLE), 10000);
    assert_int_equal(retry_delay_ms(&s, 0, UINT64_MAX), 39000);
}

static void any_number_of_attempts_saturates(void **state)
{
    const struct retry_schedule open = {.retry_interval_s = 20 * MINUTE};
    const struct retry_schedule capped = {.retry_interval_s = 20 * MINUTE,
                                          .max_retry_interval_s = 4 * HOUR};
    const struct retry_schedule none = {.retry_interval_s = 0};
    uint64_t last_ms = 0;

    (void)state;
    for (uint32_t attempts = 0; attempts <= UINT16_MAX; attempts++) {
        uint64_t open_ms = retry_delay_ms(&open, (uint16_t)attempts, MIDDLE);
        uint64_t capped_ms = retry_delay_ms(&capped, (uint16_t)attempts, MIDDLE);

        assert_true(open_ms >= last_ms);
        assert_true(capped_ms == (attempts < 4 ? 1200000u << attempts : 4 * HOUR * 1000));
        assert_true(retry_delay_ms(&none, (uint16_t)attempts, MIDDLE) == 0);
        last_ms = open_ms;
    }
    assert_true(last_ms > 1000 * 365 * 24 * HOUR);
    assert_true(last_ms < UINT64_MAX / 2); /* room to add it to a moment */
}

static void a_spread_is_up_to_a_minute(void **state)
{
    struct prng random = prng_from_seed(9);
    uint64_t least_ms = UINT64_MAX, most_ms = 0;

    (void)state;
    for (uint32_t n = 0; n < 200000; n++) {
        uint64_t got_ms = retry_spread_ms(prng_next(&random));

        least_ms = got_ms < least_ms ? got_ms : least_ms;
        most_ms = got_ms > most_ms ? got_ms : most_ms;
    }
    assert_true(least_ms < 10);
    assert_in_range(most_ms, 59990, 60000);
}

static void a_message_expires_when_its_next_try_comes_too_late(void **state)
{
    static const struct {
        const char *name;
        uint64_t age_ms, delay_ms, max_age_ms;
        bool expires;
    } rows[] = {
        {.name = "well before", .age_ms = 10, .delay_ms = 20, .max_age_ms = 100},
        {.name = "exactly at its age", .age_ms = 40, .delay_ms = 60, .max_age_ms = 100},
        {.name = "one past it", .age_ms = 40, .delay_ms = 61, .max_age_ms = 100, .expires = true},
        {.name = "already too old", .age_ms = 101, .delay_ms = 0, .max_age_ms = 100,
         .expires = true},
        {.name = "old to the day, at once", .age_ms = 100, .delay_ms = 0, .max_age_ms = 100},
        {.name = "a delay that saturates", .age_ms = 1, .delay_ms = UINT64_MAX,
         .max_age_ms = 100, .expires = true},
        {.name = "an age without end", .age_ms = 5, .delay_ms = UINT64_C(1) << 62,
         .max_age_ms = UINT64_MAX},
    };
    unsigned wrong_count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct retry_schedule s = {.max_age_ms = rows[i].max_age_ms};

        if (retry_expires(&s, rows[i].age_ms, rows[i].delay_ms) != rows[i].expires) {
            print_error("%s\n", rows[i].name);
            wrong_count++;
        }
    }
    assert_int_equal(wrong_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_double_up_to_the_cap),
        cmocka_unit_test(jitter_is_whole_seconds_within_its_share),
        cmocka_unit_test(jitter_never_turns_a_delay_negative),
        cmocka_unit_test(any_number_of_attempts_saturates),
        cmocka_unit_test(a_spread_is_up_to_a_minute),
        cmocka_unit_test(a_message_expires_when_its_next_try_comes_too_late),
    };
    return cmocka_run_group_tests_name("core/queue/retry", tests, NULL, NULL);
}
