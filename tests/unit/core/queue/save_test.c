/* deferred_spool: spec "Inbound SMTP", 13.1. In memory until it is delivered or has to wait. */
#include "tests/unit/core/queue/queue_bench.h"

#include <errno.h>

#define LUA(text) "local kumo = require 'kumo'\n" text

static struct queue_bench b;

static const char slow_policy[] =
    LUA("kumo.on('get_queue_config', function(domain)\n"
        "  if domain == 'slow.example' then kumo.sleep(1000) end\n"
        "  if domain == 'broken.example' then error('no') end\n"
        "  return kumo.make_queue_config{retry_interval='5s', max_age='1m'}\n"
        "end)\n");

static int set_up(void **state)
{
    (void)state;
    queue_bench_open(&b, slow_policy);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    queue_bench_close(&b);
    return 0;
}

static const struct queue_requeue attempted = {.reason = INSERT_LOGGED_TRANSIENT_FAILURE,
                                               .attempted = true,
                                               .logged = true};

static struct message *deferred(void)
{
    struct message *m = queue_bench_message(&b, "user@b.example");

    m->size = 1000;
    assert_true(queue_may_defer(&b.mgr, m->size));
    queue_defer(&b.mgr, m);
    return m;
}

static struct message *insert(void)
{
    struct message *m = deferred();
    struct queue_insert ins = {0};
    struct slice why;

    assert_int_equal(queue_insert(&b.mgr, m, SLICE("b.example"), &ins, &why), QUEUE_TAKEN);
    return m;
}

static struct spool_counters spooled(void)
{
    struct spool_counters c;

    spool_counters(b.spool, &c);
    return c;
}

static void note(void *ctx)
{
    *(bool *)ctx = true;
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

/* Until the disk is asked again and answers, whatever the spool does in between. */
static void heal(void)
{
    fake_disk_set_fault(b.shards.disk, NULL, NULL);
    for (uint32_t n = 0; n < 600 && b.mgr.unsaved_count > 0; n++) {
        queue_bench_advance_ms(&b, 100);
    }
}

static void what_is_delivered_is_never_written(void **state)
{
    const struct record_outcome delivered = {.type = LOG_DELIVERY, .code = 250};
    const struct record_session session = {0};
    struct message *m = insert();

    (void)state;
    assert_ptr_equal(queue_bench_take(&b), m);
    assert_int_equal(b.mgr.unsaved_bytes, 1000);
    queue_finish(&b.mgr, m, &delivered, 1, &session);
    queue_bench_advance_ms(&b, 1000);
    assert_int_equal(spooled().put_count, 0);
    assert_int_equal(b.mgr.unsaved_count, 0);
    assert_int_equal(b.mgr.unsaved_bytes, 0);
}

static void the_first_failure_writes_it(void **state)
{
    struct message *m = insert();
    bool is_settled = false;

    (void)state;
    assert_ptr_equal(queue_bench_take(&b), m);
    queue_retry(&b.mgr, m, &attempted);
    queue_mgr_settled(&b.mgr, note, &is_settled);
    assert_false(is_settled);
    queue_bench_advance_ms(&b, 100);
    assert_true(is_settled);
    assert_int_equal(m->flags & (MESSAGE_SPOOLED | MESSAGE_UNSAVED), MESSAGE_SPOOLED);
    assert_null(m->content);
    assert_int_equal(m->attempts, 1);
    assert_int_equal(spooled().live_record_count, 1);
    assert_int_equal(b.mgr.unsaved_bytes, 0);
    assert_int_equal(b.mgr.waiting_count, 1);
    queue_bench_advance_ms(&b, 5001);
    assert_int_equal(b.promoted_count, 1);
}

static void what_is_due_later_is_written_at_once(void **state)
{
    struct message *m = deferred();
    struct queue_insert ins = {0};
    struct slice why;

    (void)state;
    m->due_ms = queue_bench_wall_ms(&b) + 30000;
    assert_int_equal(queue_insert(&b.mgr, m, SLICE("b.example"), &ins, &why), QUEUE_TAKEN);
    queue_bench_advance_ms(&b, 100);
    assert_int_equal(spooled().live_record_count, 1);
    queue_bench_advance_ms(&b, 30001);
    assert_int_equal(b.promoted_count, 1);
}

static void a_drain_writes_what_comes_back(void **state)
{
    struct message *m = insert();
    bool is_settled = false;

    (void)state;
    assert_ptr_equal(queue_bench_take(&b), m);
    queue_mgr_drain(&b.mgr);
    queue_reinsert(&b.mgr, m, INSERT_READY_QUEUE_WAS_REAPED);
    queue_mgr_settled(&b.mgr, note, &is_settled);
    assert_false(is_settled);
    queue_bench_advance_ms(&b, 100);
    assert_true(is_settled);
    assert_int_equal(spooled().live_record_count, 1);
    assert_int_equal(b.mgr.unsaved_count, 0);
    assert_int_equal(schedq_find(&b.mgr, SLICE("b.example"))->message_count, 0);
}

static void a_drain_writes_what_waits_for_its_queue(void **state)
{
    struct message *m = deferred();

    (void)state;
    queue_insert_found(&b.mgr, m, SLICE("slow.example")); /* nobody waits for the answer */
    queue_bench_advance_ms(&b, 100);
    assert_int_equal(spooled().put_count, 0);
    queue_mgr_drain(&b.mgr);
    queue_bench_advance_ms(&b, 100);
    assert_int_equal(spooled().live_record_count, 1);
    assert_int_equal(b.mgr.unsaved_count, 0);
}

static void a_queue_without_a_config_does_not_keep_it_in_memory(void **state)
{
    (void)state;
    queue_insert_found(&b.mgr, deferred(), SLICE("broken.example"));
    queue_bench_advance_ms(&b, 100);
    assert_int_equal(spooled().live_record_count, 1);
    assert_int_equal(b.mgr.waiting_count, 1);
    queue_mgr_drain(&b.mgr);
    queue_bench_advance_ms(&b, 60100);
    assert_int_equal(b.mgr.waiting_count, 0);
}

static void a_failed_write_is_tried_again_and_the_drain_waits(void **state)
{
    struct message *m = insert();
    bool is_settled = false;

    (void)state;
    assert_ptr_equal(queue_bench_take(&b), m);
    fake_disk_set_fault(b.shards.disk, writes_fail, NULL);
    queue_mgr_drain(&b.mgr);
    queue_reinsert(&b.mgr, m, INSERT_READY_QUEUE_WAS_REAPED);
    queue_mgr_settled(&b.mgr, note, &is_settled);
    for (uint32_t n = 0; n < 50; n++) {
        queue_bench_advance_ms(&b, 100);
    }
    assert_true(b.mgr.save_fails);
    assert_false(is_settled);
    assert_int_equal(b.mgr.unsaved_count, 1);
    heal();
    assert_true(is_settled);
    assert_false(b.mgr.save_fails);
    assert_int_equal(spooled().live_record_count, 1);
}

static void what_cannot_be_written_is_still_delivered_when_due(void **state)
{
    struct message *m = insert();

    (void)state;
    assert_ptr_equal(queue_bench_take(&b), m);
    fake_disk_set_fault(b.shards.disk, writes_fail, NULL);
    queue_retry(&b.mgr, m, &attempted);
    for (uint32_t n = 0; n < 65; n++) {
        queue_bench_advance_ms(&b, 100);
    }
    assert_int_equal(b.promoted_count, 1);
    assert_int_equal(b.mgr.unsaved_count, 1);
    assert_int_equal(b.mgr.pending_work, 0);
    assert_false(queue_may_defer(&b.mgr, 1)); /* no more of these while writes fail */
    assert_ptr_equal(queue_bench_take(&b), m);
    queue_retry(&b.mgr, m, &attempted);
    heal();
    assert_int_equal(spooled().live_record_count, 1);
    assert_true(queue_may_defer(&b.mgr, 1));
    queue_bench_advance_ms(&b, 60000);
    assert_int_equal(b.promoted_count, 1);
}

static void a_cut_gives_up_what_cannot_be_written(void **state)
{
    struct message *m = insert();
    bool is_settled = false;

    (void)state;
    assert_ptr_equal(queue_bench_take(&b), m);
    fake_disk_set_fault(b.shards.disk, writes_fail, NULL);
    queue_mgr_drain(&b.mgr);
    queue_reinsert(&b.mgr, m, INSERT_READY_QUEUE_WAS_REAPED);
    queue_mgr_settled(&b.mgr, note, &is_settled);
    for (uint32_t n = 0; n < 20; n++) {
        queue_bench_advance_ms(&b, 100);
    }
    assert_false(is_settled);
    queue_mgr_cut(&b.mgr);
    for (uint32_t n = 0; n < 20 && !is_settled; n++) { /* one may be under way */
        queue_bench_advance_ms(&b, 100);
    }
    assert_true(is_settled);
    assert_int_equal(b.mgr.unsaved_count, 0);
    fake_disk_set_fault(b.shards.disk, NULL, NULL);
}

static void memory_has_its_bound(void **state)
{
    struct message *m;

    (void)state;
    b.mgr.unsaved_bytes_max = 1500;
    m = insert();
    assert_false(queue_may_defer(&b.mgr, 501));
    assert_true(queue_may_defer(&b.mgr, 500));
    m->size = 9; /* the policy may change it while it is counted */
    assert_ptr_equal(queue_bench_take(&b), m);
    queue_discard(&b.mgr, m);
    assert_true(queue_may_defer(&b.mgr, 1500));
}

#define ON_QUEUE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_QUEUE(what_is_delivered_is_never_written),
        ON_QUEUE(the_first_failure_writes_it),
        ON_QUEUE(what_is_due_later_is_written_at_once),
        ON_QUEUE(a_drain_writes_what_comes_back),
        ON_QUEUE(a_drain_writes_what_waits_for_its_queue),
        ON_QUEUE(a_queue_without_a_config_does_not_keep_it_in_memory),
        ON_QUEUE(a_failed_write_is_tried_again_and_the_drain_waits),
        ON_QUEUE(what_cannot_be_written_is_still_delivered_when_due),
        ON_QUEUE(a_cut_gives_up_what_cannot_be_written),
        ON_QUEUE(memory_has_its_bound),
    };
    return cmocka_run_group_tests_name("core/queue/save", tests, NULL, NULL);
}
