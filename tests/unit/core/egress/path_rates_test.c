/* In which order the throttles of a path are paid: spec "Queues, egress and delivery", 6.4, 8.7. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/egress/path_rates.h"

#define SHARED_MAX 4u

struct row {
    const char *name;
    struct throttle_spec own; /* limit 0: none */
    struct throttle_spec shared[SHARED_MAX];
    uint32_t shared_count;
    const char *want; /* the names, in the order of payment */
};

static const struct row rows[] = {
    {.name = "none", .want = ""},
    {.name = "its own alone", .own = {.limit = 5, .period_s = 1}, .want = "own:q "},
    {.name = "the lowest rate first",
     .own = {.limit = 100, .period_s = 1},
     .shared = {{.limit = 3, .period_s = 1}, {.limit = 2, .period_s = 1}},
     .shared_count = 2,
     .want = "b a own:q "},
    {.name = "rates are compared, not limits",
     .own = {.limit = 60, .period_s = 60},
     .shared = {{.limit = 7200, .period_s = 86400}, {.limit = 2, .period_s = 1}},
     .shared_count = 2,
     .want = "a own:q b "},
    {.name = "equal rates: shared before its own, in their order",
     .own = {.limit = 1, .period_s = 1},
     .shared = {{.limit = 60, .period_s = 60}, {.limit = 1, .period_s = 1}},
     .shared_count = 2,
     .want = "a b own:q "},
    {.name = "shared ones alone",
     .shared = {{.limit = 9, .period_s = 1}, {.limit = 8, .period_s = 1},
                {.limit = 7, .period_s = 1}},
     .shared_count = 3,
     .want = "c b a "},
};

static void throttles_are_paid_from_the_lowest_rate_up_each_once(void **state)
{
    static char names[SHARED_MAX][2] = {"a", "b", "c", "d"};
    unsigned wrong_count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct named_throttle items[SHARED_MAX];
        const struct named_throttles shared = {.items = items, .count = rows[i].shared_count};
        const struct path_rates rates = {.own = rows[i].own.limit != 0 ? &rows[i].own : NULL,
                                         .shared = &shared};
        struct buf got = {0};

        for (uint32_t n = 0; n < rows[i].shared_count; n++) {
            items[n] = (struct named_throttle){.name = names[n], .spec = rows[i].shared[n]};
        }
        for (uint32_t at = path_rates_next(&rates, PATH_RATES_BEGIN); at != PATH_RATES_END;
             at = path_rates_next(&rates, at)) {
            path_rates_name(&rates, at, &got, SLICE("own:"), SLICE("q"));
            buf_char(&got, ' ');
        }
        if (!slice_eq(buf_slice(&got), slice_str(rows[i].want))) {
            print_error("%s: got '%.*s'\n", rows[i].name, SLICE_ARG(buf_slice(&got)));
            wrong_count++;
        }
        buf_free(&got);
    }
    assert_int_equal(wrong_count, 0);
}

/* The path's config may change while a lane pays. */
static void a_throttle_that_is_gone_begins_the_payment_again(void **state)
{
    static char name[] = "a";
    struct named_throttle item = {.name = name, .spec = {.limit = 1, .period_s = 1}};
    const struct named_throttles shared = {.items = &item, .count = 1};
    const struct path_rates rates = {.shared = &shared};

    (void)state;
    assert_int_equal(path_rates_next(&rates, 3), 0);
    assert_int_equal(path_rates_next(&rates, 0), PATH_RATES_END);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(throttles_are_paid_from_the_lowest_rate_up_each_once),
        cmocka_unit_test(a_throttle_that_is_gone_begins_the_payment_again),
    };

    return cmocka_run_group_tests_name("core/egress/path_rates", tests, NULL, NULL);
}
