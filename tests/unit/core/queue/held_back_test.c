/* While the disk does not take what became of earlier messages, later ones are not begun. */
#include "tests/unit/core/queue/queue_bench.h"

#include <errno.h>

static struct queue_bench b;

static const char policy[] =
    "local kumo = require 'kumo'\n"
    "kumo.on('get_queue_config', function(domain)\n"
    "  return kumo.make_queue_config{retry_interval='5s', max_age='10m'}\n"
    "end)\n";

static int set_up(void **state)
{
    (void)state;
    queue_bench_open(&b, policy);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    queue_bench_close(&b);
    return 0;
}

static int64_t writes_fail(void *ctx, enum fake_io io, const char *path, uint64_t offset,
                           uint64_t len)
{
    (void)ctx;
    (void)path;
    (void)offset;
    (void)len;
    return io == FAKE_WRITE ? -EIO : 0;
}

static struct message *at_rest(void)
{
    struct message *m = queue_bench_message(&b, "user@b.example");

    queue_bench_rest(&b, m);
    return m;
}

#define SETTLES_MAX 64u

/* The disk fails, and so much is settled that the spool falls behind. */
static void fall_behind(void)
{
    static const char outcome[20000];
    struct message *gone[SETTLES_MAX];
    uint32_t count = 0;

    for (; count < SETTLES_MAX; count++) {
        gone[count] = at_rest();
    }
    fake_disk_set_fault(b.shards.disk, writes_fail, NULL);
    while (count-- > 0) {
        (void)spool_settle(b.spool, gone[count]->ref, slice_of(outcome, sizeof(outcome)));
        message_free(&gone[count]);
        queue_bench_advance_ms(&b, 10);
    }
    assert_true(spool_behind(b.spool));
}

static void heal(void)
{
    fake_disk_set_fault(b.shards.disk, NULL, NULL);
    for (int i = 0; i < 62; i++) {
        queue_bench_advance_ms(&b, 1000);
    }
    assert_false(spool_behind(b.spool));
}

static bool was_said(const char *text)
{
    return memmem(b.said.ptr, b.said.len, text, strlen(text)) != NULL;
}

static void what_is_due_is_held_back_and_goes_on_by_itself(void **state)
{
    struct message *m = at_rest();

    (void)state;
    fall_behind();
    queue_insert_found(&b.mgr, m, SLICE("b.example"));
    queue_bench_advance_ms(&b, 61000);
    assert_int_equal(b.promoted_count, 0);
    assert_int_equal(b.mgr.waiting_count, 1);
    assert_true(was_said("deliveries are held back"));
    assert_false(was_said("deliveries go on"));
    heal();
    assert_ptr_equal(queue_bench_take(&b), m);
    assert_int_equal(m->attempts, 0);
    assert_true(was_said("deliveries go on"));
    schedq_leave(m);
    message_free(&m);
}

/* What the promoter gives back because it must not be sent now. */
static void what_comes_back_unsent_is_held_back(void **state)
{
    struct message *m = at_rest();

    (void)state;
    queue_insert_found(&b.mgr, m, SLICE("b.example"));
    assert_ptr_equal(queue_bench_take(&b), m);
    assert_false(queue_holds_back(&b.mgr, m));
    fall_behind();
    assert_true(queue_holds_back(&b.mgr, m));
    queue_reinsert(&b.mgr, m, INSERT_SPOOL_UNHEALTHY);
    assert_int_equal(b.promoted_count, 0);
    heal();
    assert_int_equal(b.promoted_count, 1);
}

static void what_is_too_old_does_not_end_before_that_can_be_noted(void **state)
{
    struct message *m = at_rest();

    (void)state;
    queue_bench_advance_ms(&b, 600000);
    fall_behind();
    queue_insert_found(&b.mgr, m, SLICE("b.example"));
    queue_bench_advance_ms(&b, 61000);
    assert_string_equal(queue_bench_records(&b), "");
    assert_int_equal(b.mgr.waiting_count, 1);
    heal();
    queue_bench_advance_ms(&b, 1000);
    assert_int_equal(b.mgr.counters.expired_count, 1);
}

static void what_the_spool_does_not_have_is_sent(void **state)
{
    (void)state;
    fall_behind();
    (void)queue_bench_insert(&b, "b.example");
    assert_int_equal(b.promoted_count, 1);
}

static void a_drain_lets_go_of_what_is_held_back(void **state)
{
    struct message *m = at_rest();

    (void)state;
    fall_behind();
    queue_insert_found(&b.mgr, m, SLICE("b.example"));
    queue_mgr_drain(&b.mgr);
    queue_bench_advance_ms(&b, 61000);
    assert_int_equal(b.mgr.waiting_count, 0);
    assert_int_equal(b.promoted_count, 0);
}

#define ON_QUEUE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_QUEUE(what_is_due_is_held_back_and_goes_on_by_itself),
        ON_QUEUE(what_comes_back_unsent_is_held_back),
        ON_QUEUE(what_is_too_old_does_not_end_before_that_can_be_noted),
        ON_QUEUE(what_the_spool_does_not_have_is_sent),
        ON_QUEUE(a_drain_lets_go_of_what_is_held_back),
    };
    return cmocka_run_group_tests_name("core/queue/held_back", tests, NULL, NULL);
}
