/* Mail between shards: its order, what happens when a mailbox is full, and who is woken. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/prng.h"
#include "tests/support/shard_bench.h"

struct letter {
    struct mail_item item;
    uint32_t number;
};

/* What one shard received, by sender. */
struct receiver {
    uint32_t next[SHARD_BENCH_MAX];
    uint32_t out_of_order_count;
    uint32_t received_count;
};

static void letter_received(void *ctx, struct mail_item *item)
{
    struct receiver *r = ctx;
    struct letter *letter = CONTAINER_OF(item, struct letter, item);

    r->received_count++;
    r->out_of_order_count += letter->number != r->next[item->from]++;
    mem_give(letter);
}

static void letter_send(struct shard_bench *b, uint32_t from, uint32_t to, uint32_t number)
{
    struct letter *letter = MEM_NEW(struct letter);

    letter->number = number;
    mail_send(b->list[from], to, MAIL_CALL, &letter->item);
}

static void any_pair_of_shards_receives_in_the_order_sent(void **state)
{
    enum { COUNT = 4, LETTERS = 40000 };
    struct shard_bench b;
    struct receiver r[COUNT] = {0};
    uint32_t sent[COUNT][COUNT] = {0};
    struct prng random = prng_from_seed(7);
    uint32_t received_count = 0;

    (void)state;
    shard_bench_open(&b, COUNT, 1);
    for (uint32_t i = 0; i < COUNT; i++) {
        mail_on(b.list[i], MAIL_CALL, letter_received, &r[i]);
    }
    for (uint32_t i = 0; i < LETTERS; i++) {
        uint32_t from = (uint32_t)prng_below(&random, COUNT);
        uint32_t to = (uint32_t)prng_below(&random, COUNT); /* itself included */

        if (prng_below(&random, 3) > 0) { /* one pair far beyond its ring */
            from = 0;
            to = 1;
        }
        letter_send(&b, from, to, sent[from][to]++);
        if (prng_below(&random, 5000) == 0) {
            fake_ring_turn(b.list[prng_below(&random, COUNT)]);
        }
    }
    assert_true(mail_congested(b.list[0], 1));
    shard_bench_settle(&b);
    assert_false(mail_congested(b.list[0], 1));
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(r[i].out_of_order_count, 0);
        assert_int_equal(b.list[i]->mail.outbox_count, 0);
        received_count += r[i].received_count;
    }
    assert_int_equal(received_count, LETTERS);
    shard_bench_close(&b);
}

static void a_letter_waits_behind_those_that_did_not_fit(void **state)
{
    struct shard_bench b;
    struct receiver r = {0};

    (void)state;
    shard_bench_open(&b, 2, 1);
    mail_on(b.list[1], MAIL_CALL, letter_received, &r);
    for (uint32_t i = 0; i < MAIL_RING_ENTRIES; i++) {
        letter_send(&b, 0, 1, i);
    }
    assert_false(mail_congested(b.list[0], 1)); /* exactly full */
    letter_send(&b, 0, 1, MAIL_RING_ENTRIES);
    assert_true(mail_congested(b.list[0], 1));
    fake_ring_turn(b.list[1]); /* there is room again, and still the list goes first */
    letter_send(&b, 0, 1, MAIL_RING_ENTRIES + 1);
    assert_int_equal(b.list[0]->mail.outbox_count, 2);
    shard_bench_settle(&b);
    assert_int_equal(r.received_count, MAIL_RING_ENTRIES + 2);
    assert_int_equal(r.out_of_order_count, 0);
    shard_bench_close(&b);
}

/* A letter that sends itself on, to its own shard, a few times. */
struct roundabout {
    struct mail_item item;
    struct shard *shard;
    uint32_t left, seen;
};

static void roundabout_received(void *ctx, struct mail_item *item)
{
    struct roundabout *r = ctx;

    r->seen++;
    if (r->left-- > 0) {
        mail_send(r->shard, r->shard->index, MAIL_CALL, item);
    }
}

static void what_a_handler_sends_to_its_own_shard_waits_for_the_next_turn(void **state)
{
    struct shard_bench b;
    struct roundabout r = {.left = 3};

    (void)state;
    shard_bench_open(&b, 1, 1);
    r.shard = b.list[0];
    mail_on(r.shard, MAIL_CALL, roundabout_received, &r);
    mail_send(r.shard, 0, MAIL_CALL, &r.item);
    for (uint32_t turn = 1; turn <= 4; turn++) {
        assert_int_equal(mail_drain(r.shard, 100), turn < 4); /* there is more: nobody sleeps */
        assert_int_equal(r.seen, turn);
    }
    shard_bench_close(&b);
}

/* ---- both ways at once ---- */

/* A request that comes back as its own answer, as leases and settles do. */
struct errand {
    struct mail_item item;
    bool settled;
};

struct office {
    struct shard *shard;
    uint32_t asked_count, settled_count;
};

static void errand_received(void *ctx, struct mail_item *item)
{
    struct office *o = ctx;
    struct errand *e = CONTAINER_OF(item, struct errand, item);

    if (e->settled) {
        o->settled_count++;
        mem_give(e);
        return;
    }
    o->asked_count++;
    e->settled = true;
    mail_send(o->shard, item->from, MAIL_CALL, &e->item);
}

static void full_mailboxes_both_ways_still_let_settles_flow(void **state)
{
    enum { LETTERS = 10 * MAIL_RING_ENTRIES };
    struct shard_bench b;
    struct office o[2];
    uint32_t last_count = 0;

    (void)state;
    shard_bench_open(&b, 2, 1);
    for (uint32_t i = 0; i < 2; i++) {
        o[i] = (struct office){.shard = b.list[i]};
        mail_on(b.list[i], MAIL_CALL, errand_received, &o[i]);
        for (uint32_t n = 0; n < LETTERS; n++) {
            mail_send(b.list[i], 1 - i, MAIL_CALL, &MEM_NEW(struct errand)->item);
        }
    }
    assert_true(mail_congested(b.list[0], 1) && mail_congested(b.list[1], 0));
    while (o[0].settled_count < LETTERS || o[1].settled_count < LETTERS) {
        uint32_t count;

        shard_bench_turn(&b);
        shard_bench_turn(&b);
        count = o[0].asked_count + o[0].settled_count + o[1].asked_count + o[1].settled_count;
        assert_true(count > last_count); /* never stuck */
        last_count = count;
    }
    assert_int_equal(o[0].asked_count + o[1].asked_count, 2 * LETTERS);
    shard_bench_close(&b);
}

/* ---- sleeping ---- */

static void who_has_mail_does_not_sleep(void **state)
{
    struct shard_bench b;
    struct receiver r = {0};

    (void)state;
    shard_bench_open(&b, 2, 1);
    mail_on(b.list[0], MAIL_CALL, letter_received, &r);
    assert_true(mail_sleep_begin(b.list[0]));
    mail_sleep_end(b.list[0]);
    letter_send(&b, 1, 0, 0);
    assert_false(mail_sleep_begin(b.list[0]));
    assert_false(b.list[0]->mail.asleep);
    shard_bench_settle(&b);
    letter_send(&b, 0, 0, 0);
    assert_false(mail_sleep_begin(b.list[0]));
    shard_bench_settle(&b);
    assert_true(mail_sleep_begin(b.list[0]));
    shard_bench_close(&b);
}

static void only_a_sleeper_is_woken_and_only_once(void **state)
{
    struct shard_bench b;
    struct receiver r = {0};

    (void)state;
    shard_bench_open(&b, 2, 1);
    mail_on(b.list[1], MAIL_CALL, letter_received, &r);
    assert_true(mail_sleep_begin(b.list[1]));
    letter_send(&b, 0, 1, 0);
    assert_false(b.list[1]->mail.asleep); /* whoever takes the flag wakes */
    letter_send(&b, 0, 1, 1);
    assert_int_equal(fake_ring_wakes(&b.list[1]->ring), 1);
    shard_bench_settle(&b);
    letter_send(&b, 0, 1, 2);
    assert_int_equal(fake_ring_wakes(&b.list[1]->ring), 1);
    shard_bench_settle(&b);
    shard_bench_close(&b);
}

static void what_left_the_overflow_list_wakes_too(void **state)
{
    struct shard_bench b;
    struct receiver r = {0};

    (void)state;
    shard_bench_open(&b, 2, 1);
    mail_on(b.list[1], MAIL_CALL, letter_received, &r);
    for (uint32_t i = 0; i < MAIL_RING_ENTRIES + 5; i++) {
        letter_send(&b, 0, 1, i);
    }
    while (r.received_count < MAIL_RING_ENTRIES) {
        fake_ring_turn(b.list[1]);
    }
    assert_true(mail_sleep_begin(b.list[1]));
    assert_false(mail_flush(b.list[0]));
    assert_int_equal(fake_ring_wakes(&b.list[1]->ring), 1);
    shard_bench_settle(&b);
    assert_int_equal(r.received_count, MAIL_RING_ENTRIES + 5);
    assert_int_equal(r.out_of_order_count, 0);
    shard_bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_pair_of_shards_receives_in_the_order_sent),
        cmocka_unit_test(a_letter_waits_behind_those_that_did_not_fit),
        cmocka_unit_test(what_a_handler_sends_to_its_own_shard_waits_for_the_next_turn),
        cmocka_unit_test(full_mailboxes_both_ways_still_let_settles_flow),
        cmocka_unit_test(who_has_mail_does_not_sleep),
        cmocka_unit_test(only_a_sleeper_is_woken_and_only_once),
        cmocka_unit_test(what_left_the_overflow_list_wakes_too),
    };
    return cmocka_run_group_tests_name("core/shard/mail", tests, NULL, NULL);
}
