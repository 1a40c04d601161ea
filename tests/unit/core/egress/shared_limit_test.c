/* Connection limits that paths share by name: whose places they are, and who has to go. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/egress/lane.h"
#include "core/egress/shared_limit.h"
#include "tests/support/shard_bench.h"

#define LIMIT(text, places) {.name = (char[]){text}, .spec = {.limit = (places)}}
#define LIMITS(...)                                                                              \
    (&(struct named_limits){                                                                     \
        .items = (struct named_limit[]){__VA_ARGS__},                                            \
        .count = sizeof((struct named_limit[]){__VA_ARGS__}) / sizeof(struct named_limit)})

static struct shard_bench b;
static struct ledger ledger;
static struct egress eg;
static struct readyq one, other;
static struct limit_set *a, *z; /* of the two */
static struct lane lanes[3];

static void readyq_begin(struct readyq *rq)
{
    *rq = (struct readyq){.eg = &eg};
    dlist_init(&rq->lanes);
    dlist_init(&rq->idle);
}

static int set_up(void **state)
{
    (void)state;
    shard_bench_open(&b, 1, 1);
    ledger_init(&ledger, b.list[0]);
    eg = (struct egress){.shard = b.list[0], .ledger = &ledger};
    hmap_init(&eg.limits, shared_limit_key, 7);
    readyq_begin(&one);
    readyq_begin(&other);
    memset(lanes, 0, sizeof(lanes));
    return 0;
}

/* Whoever has given up its set leaves nothing. */
static int tear_down(void **state)
{
    (void)state;
    limit_set_put(&a);
    limit_set_put(&z);
    assert_int_equal(eg.limits.count, 0);
    for (size_t i = 0; i < ARRAY_COUNT(lanes); i++) {
        shard_unpost(b.list[0], &lanes[i].resume);
    }
    hmap_free(&eg.limits);
    buf_free(&eg.scratch);
    shard_bench_settle(&b);
    ledger_end(&ledger);
    ledger_free(&ledger);
    shard_bench_close(&b);
    return 0;
}

static struct lease *lease_of(struct limit_set *set, uint32_t nth)
{
    return &set->uses[nth].limit->lease;
}

static void never_answered(struct lease_waiter *w, bool granted)
{
    (void)w;
    (void)granted;
    fail_msg("nobody gave a place");
}

static void resumed(struct post *p)
{
    (void)p;
}

static struct lane *lane_on(struct readyq *rq, uint32_t nth, bool idle)
{
    struct lane *l = &lanes[nth];

    l->rq = rq;
    l->resume.fn = resumed;
    dlist_push(&rq->lanes, &l->link);
    rq->lane_count++;
    if (idle) {
        dlist_push_front(&rq->idle, &l->idle_link); /* as lane_enter() does */
    }
    return l;
}

/* Two paths that take their places in different orders could each wait for the other's. */
static void every_path_takes_the_smallest_limit_first_then_by_name(void **state)
{
    static const char *const want[] = {"tight", "a", "b", "wide"};

    (void)state;
    a = limit_set_make(&one, LIMITS(LIMIT("wide", 90), LIMIT("b", 5), LIMIT("tight", 1),
                                    LIMIT("a", 5)));
    z = limit_set_make(&other, LIMITS(LIMIT("a", 5), LIMIT("tight", 1), LIMIT("wide", 90),
                                      LIMIT("b", 5)));
    for (uint32_t i = 0; i < ARRAY_COUNT(want); i++) {
        assert_string_equal(a->uses[i].limit->name, want[i]);
        assert_ptr_equal(a->uses[i].limit, z->uses[i].limit);
    }
}

static void a_place_that_one_path_uses_is_not_there_for_the_other(void **state)
{
    struct lease_waiter waiter = {.fn = never_answered};

    (void)state;
    a = limit_set_make(&one, LIMITS(LIMIT("shared", 1)));
    z = limit_set_make(&other, LIMITS(LIMIT("shared", 1), LIMIT("own", 9)));
    assert_int_equal(lease_take(lease_of(a, 0), &waiter), LEASE_TAKEN);
    assert_false(limit_set_wanted(a));
    assert_int_equal(lease_take(lease_of(z, 0), &waiter), LEASE_PENDING);
    assert_true(limit_set_wanted(a));
    assert_true(limit_set_wanted(z));
    lease_unwait(lease_of(z, 0), &waiter);
    assert_false(limit_set_wanted(a));
    lease_give(lease_of(a, 0));
}

static void a_path_that_says_another_number_changes_it_for_all(void **state)
{
    struct lease_waiter waiter = {.fn = never_answered};

    (void)state;
    a = limit_set_make(&one, LIMITS(LIMIT("shared", 1)));
    z = limit_set_make(&other, LIMITS(LIMIT("shared", 2)));
    assert_int_equal(lease_of(a, 0)->limit, 2);
    assert_int_equal(lease_take(lease_of(a, 0), &waiter), LEASE_TAKEN);
    assert_int_equal(lease_take(lease_of(a, 0), &waiter), LEASE_TAKEN);
    lease_give(lease_of(a, 0));
    lease_give(lease_of(a, 0));
}

static void a_set_stays_as_long_as_a_lane_holds_it(void **state)
{
    struct limit_set *held;
    struct limit_set *none = NULL;

    (void)state;
    a = limit_set_make(&one, LIMITS(LIMIT("old", 1)));
    held = limit_set_ref(a);
    limit_set_put(&a); /* the path says something else now */
    assert_null(a);
    a = limit_set_make(&one, LIMITS(LIMIT("new", 1)));
    assert_int_equal(eg.limits.count, 2);
    assert_string_equal(held->uses[0].limit->name, "old");
    limit_set_put(&held);
    assert_int_equal(eg.limits.count, 1);
    limit_set_put(&none);
}

static void a_path_without_limits_is_wanted_by_nobody(void **state)
{
    (void)state;
    a = limit_set_make(&one, &(struct named_limits){0});
    assert_int_equal(a->count, 0);
    assert_false(limit_set_wanted(a));
}

static void a_nudge_ends_the_connection_that_idles_longest(void **state)
{
    (void)state;
    a = limit_set_make(&one, LIMITS(LIMIT("shared", 9)));
    z = limit_set_make(&other, LIMITS(LIMIT("shared", 9)));
    lane_on(&one, 0, false);
    lane_on(&other, 1, true);
    lane_on(&other, 2, true);
    shared_limit_nudge(a->uses[0].limit);
    assert_false(lanes[0].recalled);
    assert_true(lanes[1].recalled);
    assert_true(dlist_linked(&lanes[1].resume.link));
    assert_false(lanes[2].recalled);
}

static void a_nudge_leaves_those_alone_that_work_or_hold_no_such_place(void **state)
{
    (void)state;
    a = limit_set_make(&one, LIMITS(LIMIT("shared", 9)));
    z = limit_set_make(&other, LIMITS(LIMIT("another", 9)));
    lane_on(&one, 0, false);
    lane_on(&other, 1, true);
    shared_limit_nudge(a->uses[0].limit);
    assert_false(lanes[0].recalled || lanes[1].recalled);
}

static void a_recall_by_another_shard_asks_a_busy_one_when_none_idles(void **state)
{
    (void)state;
    a = limit_set_make(&one, LIMITS(LIMIT("shared", 9)));
    lane_on(&one, 0, false);
    lane_on(&one, 1, false);
    lease_of(a, 0)->recall_fn(lease_of(a, 0));
    assert_true(lanes[0].recalled);
    assert_false(lanes[1].recalled);
    assert_false(dlist_linked(&lanes[0].resume.link)); /* it ends its message first */
    lease_of(a, 0)->recall_fn(lease_of(a, 0));
    assert_true(lanes[1].recalled); /* another, not the same again */
    z = limit_set_make(&other, LIMITS(LIMIT("shared", 9)));
    lane_on(&other, 2, true);
    lease_of(a, 0)->recall_fn(lease_of(a, 0));
    assert_true(lanes[2].recalled);
    assert_true(dlist_linked(&lanes[2].resume.link));
}

#define ON_LIMITS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_LIMITS(every_path_takes_the_smallest_limit_first_then_by_name),
        ON_LIMITS(a_place_that_one_path_uses_is_not_there_for_the_other),
        ON_LIMITS(a_path_that_says_another_number_changes_it_for_all),
        ON_LIMITS(a_set_stays_as_long_as_a_lane_holds_it),
        ON_LIMITS(a_path_without_limits_is_wanted_by_nobody),
        ON_LIMITS(a_nudge_ends_the_connection_that_idles_longest),
        ON_LIMITS(a_nudge_leaves_those_alone_that_work_or_hold_no_such_place),
        ON_LIMITS(a_recall_by_another_shard_asks_a_busy_one_when_none_idles),
    };
    return cmocka_run_group_tests_name("core/egress/shared_limit", tests, NULL, NULL);
}
