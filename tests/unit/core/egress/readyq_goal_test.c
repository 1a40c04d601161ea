/* How many connections a ready queue deserves: spec "Queues, egress and delivery", 8.4. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/egress/readyq.h"

static void the_goal_follows_the_table(void **state)
{
    static const uint32_t queued[] = {0, 1, 2, 3, 4, 5, 10, 20, 32, 64, 128, 256};
    static const struct {
        const char *name;
        uint32_t limit;
        uint32_t want[ARRAY_COUNT(queued)];
    } rows[] = {
        {.name = "limit 32", .limit = 32, .want = {0, 1, 2, 3, 3, 4, 7, 12, 17, 25, 31, 32}},
        {.name = "limit 5", .limit = 5, .want = {0, 1, 1, 1, 1, 1, 2, 2, 3, 4, 5, 5}},
        {.name = "limit 2", .limit = 2, .want = {0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2}},
        {.name = "limit 1", .limit = 1, .want = {0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
        {.name = "limit 0", .limit = 0, .want = {0}},
    };
    unsigned wrong_count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        for (size_t n = 0; n < ARRAY_COUNT(queued); n++) {
            uint32_t got = readyq_connection_goal(rows[i].limit, queued[n]);

            if (got != rows[i].want[n]) {
                print_error("%s, %u queued: %u instead of %u\n", rows[i].name, queued[n], got,
                            rows[i].want[n]);
                wrong_count++;
            }
        }
    }
    assert_int_equal(wrong_count, 0);
}

static void the_goal_exceeds_neither_limit_nor_queue(void **state)
{
    static const uint32_t limits[] = {0, 1, 2, 5, 32, 1000, 100000, UINT32_MAX};
    static const uint32_t queued[] = {0, 1, 2, 3, 7, 50, 1000, 1000000, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(limits); i++) {
        uint32_t last = 0;

        for (size_t n = 0; n < ARRAY_COUNT(queued); n++) {
            uint32_t got = readyq_connection_goal(limits[i], queued[n]);

            assert_true(got <= limits[i] && got <= queued[n]);
            assert_true(got >= last);                                     /* more work, not less */
            assert_true(got > 0 || limits[i] == 0 || queued[n] == 0); /* never stuck at none */
            last = got;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_goal_follows_the_table),
        cmocka_unit_test(the_goal_exceeds_neither_limit_nor_queue),
    };
    return cmocka_run_group_tests_name("core/egress/readyq_goal", tests, NULL, NULL);
}
