/* Limits over 1, 2 and 4 shards: exact, fair, and back to nothing when everybody is done. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/prng.h"
#include "core/limit/ledger.h"
#include "tests/support/shard_bench.h"

#define USERS 24u /* per shard */

/* One who wants a place. */
struct user {
    struct lease_waiter waiter;
    struct holder *holder;
    bool has, waits;
    uint32_t granted_count, refused_count;
};

/* One shard's side of the limit. */
struct holder {
    struct ledger ledger;
    struct lease lease;
    struct user users[USERS];
    uint32_t recall_count;
    bool gives_at_once;  /* whoever is granted a place gives it back inside the call */
    bool retakes;        /* whoever is refused asks again inside the call, once */
    bool ends_on_recall; /* a recall makes one user give */
};

struct ledger_bench {
    struct shard_bench shards;
    struct holder holders[SHARD_BENCH_MAX];
    struct buf name;
    uint32_t count, limit;
};

static struct ledger_bench b;

static void user_take(struct user *u);

static void user_give(struct user *u)
{
    u->has = false;
    lease_give(&u->holder->lease);
}

static void user_answered(struct lease_waiter *w, bool granted)
{
    struct user *u = CONTAINER_OF(w, struct user, waiter);

    assert_true(u->waits);
    u->waits = false;
    if (!granted) {
        if (u->refused_count++ == 0 && u->holder->retakes) {
            user_take(u);
        }
        return;
    }
    u->has = true;
    u->granted_count++;
    if (u->holder->gives_at_once) {
        user_give(u);
    }
}

static void user_take(struct user *u)
{
    assert_false(u->has || u->waits);
    switch (lease_take(&u->holder->lease, &u->waiter)) {
    case LEASE_TAKEN:
        u->has = true;
        u->granted_count++;
        break;
    case LEASE_FULL:
        u->refused_count++;
        break;
    case LEASE_PENDING:
        u->waits = true;
        break;
    }
}

static void user_unwait(struct user *u)
{
    lease_unwait(&u->holder->lease, &u->waiter);
    u->waits = false;
}

static void holder_recalled_fn(struct lease *ls)
{
    struct holder *h = CONTAINER_OF(ls, struct holder, lease);

    h->recall_count++;
    for (uint32_t i = 0; h->ends_on_recall && i < USERS; i++) {
        if (h->users[i].has) {
            user_give(&h->users[i]);
            return;
        }
    }
}

/* The limit belongs to shard `owner`. */
static void bench_open(uint32_t count, uint32_t owner, uint32_t limit, bool waits, uint64_t seed)
{
    b = (struct ledger_bench){.count = count, .limit = limit};
    shard_bench_open(&b.shards, count, seed);
    shard_bench_name(&b.shards, "limit", owner, &b.name);
    for (uint32_t i = 0; i < count; i++) {
        struct holder *h = &b.holders[i];

        ledger_init(&h->ledger, b.shards.list[i]);
        lease_open(&h->lease, &h->ledger, buf_slice(&b.name), limit, waits);
        h->lease.recall_fn = holder_recalled_fn;
        assert_int_equal(h->lease.owner, owner);
        for (uint32_t n = 0; n < USERS; n++) {
            h->users[n] = (struct user){.waiter.fn = user_answered, .holder = h};
        }
    }
}

static uint32_t used_count(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < b.count; i++) {
        uint32_t here_count = 0;

        for (uint32_t n = 0; n < USERS; n++) {
            here_count += b.holders[i].users[n].has;
        }
        assert_int_equal(here_count, b.holders[i].lease.used);
        assert_true(b.holders[i].lease.used <= b.holders[i].lease.held);
        count += here_count;
    }
    return count;
}

static uint32_t waiting_count(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < b.count; i++) {
        for (uint32_t n = 0; n < USERS; n++) {
            count += b.holders[i].users[n].waits;
        }
    }
    return count;
}

static void give_everything(void)
{
    for (uint32_t i = 0; i < b.count; i++) {
        for (uint32_t n = 0; n < USERS; n++) {
            if (b.holders[i].users[n].has) {
                user_give(&b.holders[i].users[n]);
            }
        }
    }
}

/* Everybody ends: whoever waits must have been served on the way. */
static void bench_close(void)
{
    for (uint32_t round = 0; waiting_count() > 0 || used_count() > 0; round++) {
        assert_true(round < b.count * USERS + 10); /* somebody starves */
        give_everything();
        shard_bench_settle(&b.shards);
        assert_true(used_count() <= b.limit);
    }
    for (uint32_t i = 0; i < b.count; i++) {
        lease_close(&b.holders[i].lease);
    }
    shard_bench_settle(&b.shards);
    for (uint32_t i = 0; i < b.count; i++) {
        assert_int_equal(b.holders[i].ledger.counters.count, 0); /* nothing is held any more */
        ledger_free(&b.holders[i].ledger);
    }
    buf_free(&b.name);
    shard_bench_close(&b.shards);
}

/* ---- any history ---- */

static void random_step(struct prng *random)
{
    struct holder *h = &b.holders[prng_below(random, b.count)];
    struct user *u = &h->users[prng_below(random, USERS)];

    switch (prng_below(random, 8)) {
    case 0:
        shard_bench_turn(&b.shards);
        break;
    case 1:
    case 2:
        fake_ring_turn(b.shards.list[prng_below(random, b.count)]);
        break;
    case 3:
        if (u->waits) {
            user_unwait(u);
        }
        break;
    default:
        if (u->has) {
            user_give(u);
        } else if (!u->waits) {
            user_take(u);
        }
        break;
    }
}

static void no_history_exceeds_the_limit_or_starves_a_waiter(void **state)
{
    static const uint32_t counts[] = {1, 2, 4}, limits[] = {1, 2, 5, 17, 64, 1000};

    (void)state;
    for (uint64_t seed = 1; seed <= 240; seed++) {
        struct prng random = prng_from_seed(seed);
        uint32_t count = counts[prng_below(&random, ARRAY_COUNT(counts))];

        bench_open(count, (uint32_t)prng_below(&random, count),
                   limits[prng_below(&random, ARRAY_COUNT(limits))], seed % 2 == 0, seed);
        for (uint32_t i = 0; i < count; i++) {
            b.holders[i].gives_at_once = prng_below(&random, 4) == 0;
            b.holders[i].retakes = prng_below(&random, 4) == 0;
            b.holders[i].ends_on_recall = prng_below(&random, 4) == 0;
        }
        for (uint32_t step = 0; step < 1500; step++) {
            random_step(&random);
            if (used_count() > b.limit) {
                print_error("seed %llu, step %u: %u of %u in use\n", (unsigned long long)seed, step,
                            used_count(), b.limit);
                fail();
            }
        }
        bench_close();
    }
}

/* With nothing under way, the answer can be compared with what really is in use. */
static void full_is_answered_exactly_when_all_places_are_in_use(void **state)
{
    static const uint32_t counts[] = {1, 2, 4}, limits[] = {1, 3, 8, 40, 512};

    (void)state;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct prng random = prng_from_seed(seed);
        uint32_t count = counts[prng_below(&random, ARRAY_COUNT(counts))];

        bench_open(count, (uint32_t)prng_below(&random, count),
                   limits[prng_below(&random, ARRAY_COUNT(limits))], false, seed);
        for (uint32_t step = 0; step < 300; step++) {
            struct holder *h = &b.holders[prng_below(&random, count)];
            struct user *u = &h->users[prng_below(&random, USERS)];
            uint32_t before_count = used_count();

            if (u->has) {
                user_give(u);
                shard_bench_settle(&b.shards);
                continue;
            }
            user_take(u);
            shard_bench_settle(&b.shards);
            if (u->waits || u->has != (before_count < b.limit)) {
                print_error("seed %llu, step %u: %s with %u of %u in use\n",
                            (unsigned long long)seed, step,
                            u->waits ? "no answer"
                            : u->has ? "granted"
                                     : "refused",
                            before_count, b.limit);
                fail();
            }
        }
        bench_close();
    }
}

/* ---- stated interleavings ---- */

static void two_that_wait_on_the_owner_get_one_place_each(void **state)
{
    (void)state;
    bench_open(2, 0, 16, false, 1);
    for (uint32_t i = 0; i < 16; i++) {
        user_take(&b.holders[1].users[i]);
        shard_bench_settle(&b.shards);
    }
    assert_int_equal(used_count(), 16);
    user_take(&b.holders[0].users[0]); /* both ask while shard 1 is being recalled */
    user_take(&b.holders[0].users[1]);
    for (uint32_t i = 0; i < 8; i++) {
        user_give(&b.holders[1].users[i]);
    }
    shard_bench_settle(&b.shards);
    assert_true(b.holders[0].users[0].has && b.holders[0].users[1].has);
    assert_int_equal(b.holders[0].lease.held, 2); /* nothing kept for later */
    for (uint32_t i = 0; i < 6; i++) {
        user_take(&b.holders[1].users[i]);
        shard_bench_settle(&b.shards);
        assert_true(b.holders[1].users[i].has);
    }
    bench_close();
}

/* Shard 1 always has somebody who waits for the place that another one of it gives. */
static void a_busy_shard_does_not_starve_another(void **state)
{
    (void)state;
    for (uint32_t owner = 0; owner < 3; owner++) {
        uint32_t gave_count = 0;

        bench_open(3, owner, 2, true, 1);
        for (uint32_t i = 0; i < USERS; i++) {
            user_take(&b.holders[1].users[i]);
            shard_bench_settle(&b.shards);
        }
        user_take(&b.holders[2].users[0]);
        user_take(&b.holders[0].users[0]);
        while (b.holders[2].users[0].granted_count == 0 ||
               b.holders[0].users[0].granted_count == 0) {
            for (uint32_t i = 0; i < USERS; i++) {
                struct user *u = &b.holders[1].users[i];

                if (u->has) {
                    user_give(u);
                    user_take(u); /* back in line */
                    break;
                }
            }
            shard_bench_settle(&b.shards);
            assert_true(++gave_count < 12);
        }
        bench_close();
    }
}

static void a_short_shard_recalls_what_another_does_not_use(void **state)
{
    (void)state;
    bench_open(4, 3, 512, false, 1); /* leases go in batches of 32 */
    user_take(&b.holders[1].users[0]);
    shard_bench_settle(&b.shards);
    assert_int_equal(b.holders[1].lease.held, 32);
    for (uint32_t i = 0; i < b.count; i++) {
        lease_set_limit(&b.holders[i].lease, 33);
    }
    b.limit = 33;
    for (uint32_t i = 0; i < 16; i++) {
        user_take(&b.holders[2].users[i]);
        user_take(&b.holders[0].users[i]);
        shard_bench_settle(&b.shards);
    }
    assert_int_equal(used_count(), 33);
    bench_close();
}

static void who_uses_everything_is_told_that_another_is_short(void **state)
{
    (void)state;
    for (uint32_t owner = 0; owner < 3; owner++) {
        bench_open(3, owner, 2, true, 1);
        user_take(&b.holders[0].users[0]);
        shard_bench_settle(&b.shards);
        user_take(&b.holders[0].users[1]);
        shard_bench_settle(&b.shards);
        assert_int_equal(b.holders[0].recall_count, 0);
        b.holders[0].ends_on_recall = true;
        user_take(&b.holders[1].users[0]);
        shard_bench_settle(&b.shards);
        assert_int_equal(b.holders[0].recall_count, 1);
        assert_true(b.holders[1].users[0].has);
        assert_int_equal(used_count(), 2);
        bench_close();
    }
}

static void a_place_given_back_inside_the_grant_goes_to_the_next(void **state)
{
    (void)state;
    for (uint32_t owner = 0; owner < 2; owner++) {
        bench_open(2, owner, 1, true, 1);
        user_take(&b.holders[0].users[0]);
        shard_bench_settle(&b.shards);
        for (uint32_t i = 1; i < USERS; i++) {
            user_take(&b.holders[0].users[i]);
            user_take(&b.holders[1].users[i]);
        }
        shard_bench_settle(&b.shards);
        b.holders[0].gives_at_once = b.holders[1].gives_at_once = true;
        user_give(&b.holders[0].users[0]);
        shard_bench_settle(&b.shards);
        assert_int_equal(waiting_count(), 0);
        assert_int_equal(used_count(), 0);
        bench_close();
    }
}

static void whoever_stops_waiting_leaves_no_place_behind(void **state)
{
    (void)state;
    for (uint32_t owner = 0; owner < 2; owner++) {
        bench_open(2, owner, 1, true, 1);
        user_take(&b.holders[1].users[0]);
        shard_bench_settle(&b.shards);
        user_take(&b.holders[0].users[0]);
        shard_bench_settle(&b.shards);
        user_unwait(&b.holders[0].users[0]);
        user_give(&b.holders[1].users[0]);
        shard_bench_settle(&b.shards);
        user_take(&b.holders[1].users[1]);
        shard_bench_settle(&b.shards);
        assert_true(b.holders[1].users[1].has);
        bench_close();
    }
}

static void a_grant_that_comes_after_close_is_returned(void **state)
{
    struct lease *ls;

    (void)state;
    bench_open(2, 0, 8, false, 1);
    ls = &b.holders[1].lease;
    user_take(&b.holders[1].users[0]);
    user_unwait(&b.holders[1].users[0]);
    lease_close(ls); /* the request is on its way */
    shard_bench_settle(&b.shards);
    assert_int_equal(b.holders[0].ledger.counters.count, 0);
    lease_open(ls, &b.holders[1].ledger, buf_slice(&b.name), 8, false);
    for (uint32_t i = 0; i < 8; i++) {
        user_take(&b.holders[1].users[i]);
        shard_bench_settle(&b.shards);
        assert_true(b.holders[1].users[i].has);
    }
    bench_close();
}

static void closing_gives_back_what_was_held(void **state)
{
    (void)state;
    bench_open(2, 0, 64, false, 1);
    user_take(&b.holders[1].users[0]);
    shard_bench_settle(&b.shards);
    assert_int_equal(b.holders[1].lease.held, 8);
    user_give(&b.holders[1].users[0]);
    lease_close(&b.holders[1].lease);
    shard_bench_settle(&b.shards);
    assert_int_equal(b.holders[0].ledger.counters.count, 0);
    lease_open(&b.holders[1].lease, &b.holders[1].ledger, buf_slice(&b.name), 64, false);
    bench_close();
}

static void a_raised_limit_is_used_from_the_next_request_on(void **state)
{
    (void)state;
    for (uint32_t owner = 0; owner < 2; owner++) {
        bench_open(2, owner, 1, true, 1);
        for (uint32_t i = 0; i < 4; i++) {
            user_take(&b.holders[0].users[i]);
        }
        shard_bench_settle(&b.shards);
        assert_int_equal(used_count(), 1);
        b.limit = 5;
        lease_set_limit(&b.holders[0].lease, 5);
        lease_set_limit(&b.holders[1].lease, 5);
        user_take(&b.holders[1].users[0]);
        shard_bench_settle(&b.shards);
        assert_true(b.holders[1].users[0].has);
        user_take(&b.holders[0].users[4]);
        for (uint32_t i = 0; i < 4 && !b.holders[0].users[i].has; i++) {
        }
        give_everything();
        shard_bench_settle(&b.shards);
        assert_int_equal(waiting_count(), 0); /* all at once, not one for one */
        bench_close();
    }
}

/* ---- rates ---- */

struct asker {
    struct token_ask ask;
    uint64_t wait_ns;
    uint32_t answer_count;
};

static void token_answered(struct token_ask *ask, uint64_t wait_ns)
{
    struct asker *a = CONTAINER_OF(ask, struct asker, ask);

    a->wait_ns = wait_ns;
    a->answer_count++;
}

/* True when the token was taken. */
static bool token_ask(uint32_t shard, const struct gcra_rate *rate, struct asker *a)
{
    bool here = shard == b.holders[shard].lease.owner;
    uint32_t before_count = a->answer_count;

    if (token_take(&b.holders[shard].ledger, buf_slice(&b.name), rate, &a->ask, &a->wait_ns)) {
        assert_true(here);
        assert_int_equal(a->answer_count, before_count);
    } else {
        assert_false(here);
        assert_true(a->ask.in_flight);
        assert_int_equal(a->answer_count, before_count); /* from the loop, never inside */
        shard_bench_settle(&b.shards);
        assert_false(a->ask.in_flight);
        assert_int_equal(a->answer_count, before_count + 1);
    }
    return a->wait_ns == 0;
}

static void tokens_of_all_shards_come_from_one_bucket(void **state)
{
    struct gcra_rate rate = gcra_rate_make(10, 60, GCRA_NO_BURST);
    struct asker asker = {.ask.fn = token_answered};
    struct prng random = prng_from_seed(3);

    (void)state;
    bench_open(4, 2, 1, false, 1);
    for (uint32_t i = 0; i < 10; i++) {
        assert_true(token_ask((uint32_t)prng_below(&random, 4), &rate, &asker));
    }
    for (uint32_t i = 0; i < 4; i++) {
        assert_false(token_ask(i, &rate, &asker));
        assert_true(asker.wait_ns == 6 * UINT64_C(1000000000));
    }
    shard_bench_advance_ms(&b.shards, 5999);
    shard_bench_turn(&b.shards);
    assert_false(token_ask(1, &rate, &asker));
    assert_true(asker.wait_ns == 1000000);
    shard_bench_advance_ms(&b.shards, 1);
    shard_bench_turn(&b.shards);
    assert_true(token_ask(1, &rate, &asker));
    assert_false(token_ask(2, &rate, &asker));
    bench_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_that_wait_on_the_owner_get_one_place_each),
        cmocka_unit_test(a_busy_shard_does_not_starve_another),
        cmocka_unit_test(a_short_shard_recalls_what_another_does_not_use),
        cmocka_unit_test(who_uses_everything_is_told_that_another_is_short),
        cmocka_unit_test(a_place_given_back_inside_the_grant_goes_to_the_next),
        cmocka_unit_test(whoever_stops_waiting_leaves_no_place_behind),
        cmocka_unit_test(a_grant_that_comes_after_close_is_returned),
        cmocka_unit_test(closing_gives_back_what_was_held),
        cmocka_unit_test(a_raised_limit_is_used_from_the_next_request_on),
        cmocka_unit_test(full_is_answered_exactly_when_all_places_are_in_use),
        cmocka_unit_test(no_history_exceeds_the_limit_or_starves_a_waiter),
        cmocka_unit_test(tokens_of_all_shards_come_from_one_bucket),
    };
    return cmocka_run_group_tests_name("core/limit/ledger", tests, NULL, NULL);
}
