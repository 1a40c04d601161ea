/* Leases and waiters on a shard whose clock the test turns by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/mem.h"
#include "core/limit/conn_limit.h"

struct told {
    struct conn_waiter waiter;
    struct conn_lease lease;
    unsigned count;
    unsigned order;
    unsigned *next_order;
};

struct bench {
    struct shard shard;
    struct shard_group group;
    struct shard *shards[1];
    struct conn_limits cl;
    uint64_t now_ns;
    struct told told[3]; /* outlive the test, since some still wait at its end */
    unsigned next_order;
};

static uint64_t bench_clock(struct ring *ring)
{
    return ((struct bench *)ring->state)->now_ns;
}

static void bench_wait(struct ring *ring, uint64_t timeout_ns)
{
    (void)ring;
    (void)timeout_ns;
}

static const struct ring_backend bench_backend = {
    .name = "clock by hand",
    .clock_ns = bench_clock,
    .wall_clock_ns = bench_clock,
    .wait = bench_wait,
};

static void told_fn(struct conn_waiter *w, struct conn_lease lease)
{
    struct told *t = CONTAINER_OF(w, struct told, waiter);

    t->lease = lease;
    t->count++;
    t->order = ++*t->next_order;
}

static void told_wait(struct bench *b, struct told *t, uint64_t count_max)
{
    t->waiter.fn = told_fn;
    t->next_order = &b->next_order;
    conn_limit_wait(&b->cl, &(struct conn_limit_ask){SLICE("site"), count_max, 1000}, &t->waiter);
}

static int setup(void **state)
{
    struct bench *b = MEM_NEW(struct bench);

    b->now_ns = UINT64_C(5000000000);
    b->shard.ring.backend = &bench_backend;
    b->shard.ring.state = b;
    b->group = (struct shard_group){.count = 1, .shards = b->shards};
    shard_init(&b->shard, &b->group, 0);
    conn_limits_init(&b->cl, &b->shard, 7);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    conn_limits_free(&b->cl);
    mail_free(&b->shard);
    mem_give(b);
    return 0;
}

static void turn(struct bench *b, uint64_t ms)
{
    b->now_ns += ms * 1000000u;
    shard_turn(&b->shard, 0);
}

static struct conn_limit_ask ask(uint64_t count_max)
{
    return (struct conn_limit_ask){SLICE("site"), count_max, 1000};
}

static void no_more_leases_are_out_than_the_limit(void **state)
{
    struct bench *b = *state;
    struct conn_limit_ask a = ask(3);
    struct conn_lease leases[4];

    for (int i = 0; i < 3; i++) {
        assert_true(conn_limit_take(&b->cl, &a, &leases[i]));
    }
    assert_false(conn_limit_take(&b->cl, &a, &leases[3]));
    assert_false(conn_lease_is_some(leases[3]));
    conn_lease_give(&b->cl, &leases[1]);
    assert_true(conn_limit_take(&b->cl, &a, &leases[3]));
    assert_int_equal(conn_limit_state(&b->cl, a.name).in_use, 3);
}

static void names_do_not_share_places(void **state)
{
    struct bench *b = *state;
    struct conn_limit_ask one = {SLICE("one"), 1, 1000};
    struct conn_limit_ask other = {SLICE("other"), 1, 1000};
    struct conn_lease l1, l2;

    assert_true(conn_limit_take(&b->cl, &one, &l1));
    assert_true(conn_limit_take(&b->cl, &other, &l2));
    assert_false(conn_limit_take(&b->cl, &one, &l2));
}

static void giving_a_lease_twice_frees_one_place(void **state)
{
    struct bench *b = *state;
    struct conn_limit_ask a = ask(2);
    struct conn_lease l1, l2, copy;

    assert_true(conn_limit_take(&b->cl, &a, &l1));
    assert_true(conn_limit_take(&b->cl, &a, &l2));
    copy = l1;
    conn_lease_give(&b->cl, &l1);
    conn_lease_give(&b->cl, &copy);
    conn_lease_give(&b->cl, &l1);
    assert_int_equal(conn_limit_state(&b->cl, a.name).in_use, 1);
}

static void a_place_goes_to_those_who_wait_in_the_order_they_came(void **state)
{
    struct bench *b = *state;
    struct conn_limit_ask a = ask(1);
    struct conn_lease held, none;
    struct told *t = b->told;

    assert_true(conn_limit_take(&b->cl, &a, &held));
    for (int i = 0; i < 3; i++) {
        told_wait(b, &t[i], 1);
    }
    conn_lease_give(&b->cl, &held);
    assert_int_equal(t[0].count, 0); /* never inline */
    assert_false(conn_limit_take(&b->cl, &a, &none));
    turn(b, 1);
    assert_int_equal(t[0].count, 1);
    assert_int_equal(t[1].count, 0);
    conn_lease_give(&b->cl, &t[0].lease);
    turn(b, 1);
    conn_lease_give(&b->cl, &t[1].lease);
    turn(b, 1);
    assert_int_equal(t[1].order, 2);
    assert_int_equal(t[2].order, 3);
}

static void nobody_overtakes_a_waiter(void **state)
{
    struct bench *b = *state;
    struct conn_limit_ask small = ask(1), large = ask(5);
    struct conn_lease held, late;
    struct told *t = &b->told[0];

    assert_true(conn_limit_take(&b->cl, &small, &held));
    told_wait(b, t, 1);
    assert_false(conn_limit_take(&b->cl, &large, &late));
}

static void a_waiter_without_room_does_not_hold_up_one_with_room(void **state)
{
    struct bench *b = *state;
    struct conn_limit_ask three = ask(3);
    struct conn_lease held[3];
    struct told *small = &b->told[0], *large = &b->told[1];

    for (int i = 0; i < 3; i++) {
        assert_true(conn_limit_take(&b->cl, &three, &held[i]));
    }
    told_wait(b, small, 1);
    told_wait(b, large, 3);
    conn_lease_give(&b->cl, &held[0]);
    turn(b, 1);
    assert_int_equal(large->count, 1);
    assert_int_equal(small->count, 0);
    conn_lease_give(&b->cl, &held[1]);
    conn_lease_give(&b->cl, &held[2]);
    conn_lease_give(&b->cl, &large->lease);
    turn(b, 1);
    assert_int_equal(small->count, 1);
}

static void a_lease_nobody_extends_runs_out_and_goes_to_the_next(void **state)
{
    struct bench *b = *state;
    struct conn_limit_ask a = ask(1);
    struct conn_lease held;
    struct told *t = &b->told[0];

    assert_true(conn_limit_take(&b->cl, &a, &held));
    told_wait(b, t, 1);
    turn(b, 900);
    assert_true(conn_lease_extend(&b->cl, held, 1000));
    turn(b, 900);
    assert_int_equal(t->count, 0);
    turn(b, 200);
    turn(b, 1);
    assert_int_equal(t->count, 1);
    assert_false(conn_lease_extend(&b->cl, held, 1000));
    conn_lease_give(&b->cl, &held); /* too late to take the new holder's place away */
    assert_int_equal(conn_limit_state(&b->cl, a.name).in_use, 1);
}

static void leaving_the_queue_passes_a_granted_place_on(void **state)
{
    struct bench *b = *state;
    struct conn_limit_ask a = ask(1);
    struct conn_lease held;
    struct told *t = b->told;

    assert_true(conn_limit_take(&b->cl, &a, &held));
    told_wait(b, &t[0], 1);
    told_wait(b, &t[1], 1);
    conn_lease_give(&b->cl, &held); /* granted to t[0], not yet told */
    conn_limit_unwait(&b->cl, &t[0].waiter);
    turn(b, 1);
    assert_int_equal(t[0].count, 0);
    assert_int_equal(t[1].count, 1);
    conn_limit_unwait(&b->cl, &t[1].waiter); /* told already: nothing to leave */
    assert_int_equal(conn_limit_state(&b->cl, a.name).in_use, 1);
}

static void many_leases_come_and_go_without_growth(void **state)
{
    struct bench *b = *state;
    struct conn_limit_ask a = ask(200);
    struct conn_lease leases[200];

    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 200; i++) {
            assert_true(conn_limit_take(&b->cl, &a, &leases[i]));
        }
        for (int i = 0; i < 200; i++) {
            conn_lease_give(&b->cl, &leases[(i * 7) % 200]);
        }
    }
    assert_int_equal(b->cl.lease_count, 0);
    assert_int_equal(b->cl.limits.count, 0);
    assert_true(b->cl.chunk_count <= 4);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(no_more_leases_are_out_than_the_limit),
        CASE(names_do_not_share_places),
        CASE(giving_a_lease_twice_frees_one_place),
        CASE(a_place_goes_to_those_who_wait_in_the_order_they_came),
        CASE(nobody_overtakes_a_waiter),
        CASE(a_waiter_without_room_does_not_hold_up_one_with_room),
        CASE(a_lease_nobody_extends_runs_out_and_goes_to_the_next),
        CASE(leaving_the_queue_passes_a_granted_place_on),
        CASE(many_leases_come_and_go_without_growth),
    };
    return cmocka_run_group_tests_name("core/limit/conn_limit", tests, NULL, NULL);
}
