/* Weighted round robin over a pool: spec "Queues, egress and delivery", 6.3. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/mem.h"
#include "core/queue/schedq.h"

#define SOURCE_MAX 8u
#define NONE UINT32_MAX

static void pool_open(struct schedq *q, const uint32_t *weights, uint32_t count)
{
    *q = (struct schedq){0};
    q->pool = mem_take_zero(sizeof(*q->pool) + count * sizeof(struct queue_source));
    q->pool->source_count = count;
    for (uint32_t i = 0; i < count; i++) {
        q->pool->sources[i].weight = weights[i];
    }
}

static void pool_close(struct schedq *q)
{
    MEM_FREE(&q->pool);
}

static void picks_follow_the_reference(void **state)
{
    static const struct {
        const char *name;
        uint32_t weights[SOURCE_MAX];
        uint32_t count;
        const char *want; /* A is the first source */
    } rows[] = {
        {.name = "five, two, three", .weights = {5, 2, 3}, .count = 3,
         .want = "BCAAACABCABCAAACABCABC"},
        {.name = "two, one", .weights = {2, 1}, .count = 2, .want = "BAABAABAAB"},
        {.name = "equal", .weights = {1, 1, 1}, .count = 3, .want = "BCABCABC"},
        {.name = "equal, and large", .weights = {100, 100, 100}, .count = 3, .want = "BCABCABC"},
        {.name = "a common divisor changes nothing", .weights = {50, 20, 30}, .count = 3,
         .want = "BCAAACABCABCAAACABCABC"},
        {.name = "alone", .weights = {7}, .count = 1, .want = "AAAA"},
        {.name = "the largest last", .weights = {1, 3}, .count = 2, .want = "BBBABBBABBBA"},
    };
    unsigned wrong_count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct schedq q;

        pool_open(&q, rows[i].weights, rows[i].count);
        for (uint32_t n = 0; rows[i].want[n] != '\0'; n++) {
            uint32_t got = schedq_choose(&q, NULL);

            if (got != (uint32_t)(rows[i].want[n] - 'A')) {
                print_error("%s: pick %u is %c\n", rows[i].name, n, (char)('A' + got));
                wrong_count++;
                break;
            }
        }
        pool_close(&q);
    }
    assert_int_equal(wrong_count, 0);
}

static void in_the_long_run_shares_equal_weights(void **state)
{
    static const uint32_t weights[] = {17, 1, 40, 5, 12};
    uint32_t picks[5] = {0}, total = 0;
    struct schedq q;

    (void)state;
    pool_open(&q, weights, 5);
    for (uint32_t i = 0; i < 5; i++) {
        total += weights[i];
    }
    while (q.wrr_weight == 0) { /* the first round is unweighted */
        (void)schedq_choose(&q, NULL);
    }
    for (uint32_t n = 0; n < 1000 * total; n++) {
        picks[schedq_choose(&q, NULL)]++;
    }
    for (uint32_t i = 0; i < 5; i++) {
        assert_in_range(picks[i], 1000 * weights[i] - 5, 1000 * weights[i] + 5);
    }
    pool_close(&q);
}

static void skipped_sources_are_never_chosen(void **state)
{
    static const uint32_t weights[] = {5, 2, 3};
    const uint8_t no_first[] = {1, 0, 0}, only_last[] = {1, 1, 0}, all[] = {1, 1, 1};
    struct schedq q;

    (void)state;
    pool_open(&q, weights, 3);
    for (uint32_t n = 0; n < 50; n++) {
        uint32_t got = schedq_choose(&q, no_first);

        assert_true(got == 1 || got == 2);
        (void)schedq_choose(&q, NULL); /* the state left behind fits the other list, too */
    }
    assert_int_equal(schedq_choose(&q, all), NONE);
    pool_close(&q);

    pool_open(&q, weights, 3);
    assert_int_equal(schedq_choose(&q, only_last), 2);
    assert_int_equal(q.wrr_index, 0); /* one candidate leaves the state alone */
    assert_int_equal(q.wrr_weight, 0);
    assert_int_equal(schedq_choose(&q, NULL), 1);
    pool_close(&q);
}

static void an_empty_pool_has_nothing_to_choose(void **state)
{
    struct schedq q;

    (void)state;
    pool_open(&q, NULL, 0);
    assert_int_equal(schedq_choose(&q, NULL), NONE);
    pool_close(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(picks_follow_the_reference),
        cmocka_unit_test(in_the_long_run_shares_equal_weights),
        cmocka_unit_test(skipped_sources_are_never_chosen),
        cmocka_unit_test(an_empty_pool_has_nothing_to_choose),
    };
    return cmocka_run_group_tests_name("core/queue/schedq_choose", tests, NULL, NULL);
}
