/* Waiting, promotion, retries and expiry: spec "Queues, egress and delivery", 5.3 to 5.8. */
#include "tests/unit/core/queue/queue_bench.h"

#include "core/base/mem.h"
#include "core/message/schedule.h"

static struct queue_bench b;

static const char quick_policy[] =
    "local kumo = require 'kumo'\n"
    "kumo.on('get_queue_config', function(domain)\n"
    "  if domain == 'quick.example' then\n"
    "    return kumo.make_queue_config{retry_interval='5s', max_age='1m'}\n"
    "  elseif domain == 'rate.example' then\n"
    "    return kumo.make_queue_config{max_message_rate='2/min'}\n"
    "  end\n"
    "  return kumo.make_queue_config{}\n"
    "end)\n";

static int set_up(void **state)
{
    (void)state;
    queue_bench_open(&b, quick_policy);
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

/* ---- placing ---- */

static void what_is_due_is_promoted_at_once(void **state)
{
    struct message *m = queue_bench_insert(&b, "b.example");

    (void)state;
    assert_int_equal(b.promoted_count, 1);
    assert_ptr_equal(b.promoted[0], m);
    assert_true(slice_eq(schedq_name(message_queue(m)), SLICE("b.example")));
    assert_string_equal(queue_bench_records(&b), "");
}

static void what_is_due_later_waits_and_is_never_early(void **state)
{
    struct message *m = queue_bench_message(&b, "user@b.example");
    struct queue_insert ins = {0};
    struct slice why;

    (void)state;
    m->due_ms = queue_bench_wall_ms(&b) + 90000;
    assert_int_equal(queue_insert(&b.mgr, m, SLICE("b.example"), &ins, &why), QUEUE_TAKEN);
    assert_int_equal(b.mgr.waiting_count, 1);
    assert_string_equal(queue_bench_records(&b),
                        "Delayed 400 0.0.0 Context: Received. Next due in 1m 30s at "
                        "2023-11-14T22:14:51Z []\n");
    queue_bench_advance_ms(&b, 89999);
    assert_int_equal(b.promoted_count, 0);
    queue_bench_advance_ms(&b, 2);
    assert_int_equal(b.promoted_count, 1);
    assert_int_equal(b.mgr.waiting_count, 0);
    assert_true(insert_context_is(m, INSERT_DUE_TIME_WAS_REACHED));
}

static void a_message_found_in_the_spool_is_not_announced(void **state)
{
    struct message *m = queue_bench_message(&b, "user@b.example");

    (void)state;
    m->due_ms = queue_bench_wall_ms(&b) + 1000;
    queue_insert_found(&b.mgr, m, SLICE("b.example"));
    assert_int_equal(b.mgr.waiting_count, 1);
    assert_string_equal(queue_bench_records(&b), "");
    queue_bench_advance_ms(&b, 1001);
    assert_int_equal(b.promoted_count, 1);
}

static void a_message_found_after_its_age_expires(void **state)
{
    struct message *m = queue_bench_message(&b, "user@quick.example");

    (void)state;
    queue_bench_advance_ms(&b, 60001);
    queue_insert_found(&b.mgr, m, SLICE("quick.example")); /* due, and a second too old */
    queue_bench_advance_ms(&b, 1);
    assert_int_equal(b.promoted_count, 0);
    assert_int_equal(b.mgr.counters.expired_count, 1);
    assert_non_null(strstr(queue_bench_records(&b), "Expiration 551 5.4.7 "));
}

static struct schedule *ends_in_an_hour(void)
{
    struct schedule *s = MEM_NEW(struct schedule);

    s->has_expires = true;
    s->expires.s = (int64_t)(queue_bench_wall_ms(&b) / 1000 + 3600);
    return s;
}

static void a_message_at_rest_expires_with_its_envelope_in_the_record(void **state)
{
    struct message *m = queue_bench_message(&b, "user@quick.example");

    (void)state;
    queue_bench_rest(&b, m);
    queue_bench_advance_ms(&b, 61000);
    queue_insert_found(&b.mgr, m, SLICE("quick.example"));
    queue_bench_advance_ms(&b, 0); /* reads it */
    assert_int_equal(b.mgr.counters.expired_count, 1);
    assert_int_equal(b.mgr.pending_work, 0);
    assert_string_equal(queue_bench_records(&b),
                        "Expiration 551 5.4.7 Next delivery time would be 1m 1s after creation, "
                        "which exceeds max_age=1m []\n");
}

/* What set_scheduling said is in the spool alone. */
static void a_schedule_outlasts_max_age_over_a_restart(void **state)
{
    struct message *m = queue_bench_message(&b, "user@quick.example");

    (void)state;
    m->content->schedule = ends_in_an_hour();
    m->due_ms = queue_bench_wall_ms(&b) + 1800000;
    queue_bench_rest(&b, m);
    queue_bench_advance_ms(&b, 30000);
    queue_insert_found(&b.mgr, m, SLICE("quick.example"));
    for (uint32_t n = 0; n < 1769; n++) {
        queue_bench_advance_ms(&b, 1000);
    }
    assert_int_equal(b.mgr.counters.expired_count, 0);
    assert_int_equal(b.promoted_count, 0);
    queue_bench_advance_ms(&b, 1001);
    assert_int_equal(b.promoted_count, 1);
}

static void a_found_message_past_its_schedule_expires(void **state)
{
    struct message *m = queue_bench_message(&b, "user@quick.example");

    (void)state;
    m->content->schedule = ends_in_an_hour();
    queue_bench_rest(&b, m);
    queue_bench_advance_ms(&b, 3700000);
    queue_insert_found(&b.mgr, m, SLICE("quick.example"));
    queue_bench_advance_ms(&b, 1);
    assert_int_equal(b.mgr.counters.expired_count, 1);
    assert_non_null(strstr(queue_bench_records(&b), " which exceeds the expiry time "));
}

/* ---- retries ---- */

static void every_failure_doubles_the_delay(void **state)
{
    struct message *m = queue_bench_insert(&b, "quick.example");

    (void)state;
    for (uint64_t n = 0; n < 3; n++) {
        uint64_t delay_ms = 5000u << n;

        assert_ptr_equal(queue_bench_take(&b), m);
        assert_int_equal(m->attempts, n);
        queue_retry(&b.mgr, m, &attempted);
        assert_int_equal(m->due_ms, queue_bench_wall_ms(&b) + delay_ms);
        queue_bench_advance_ms(&b, delay_ms - 1);
        assert_int_equal(b.promoted_count, 0);
        queue_bench_advance_ms(&b, 2);
        assert_int_equal(b.promoted_count, 1);
    }
    assert_string_equal(queue_bench_records(&b), ""); /* TransientFailure told it */
    assert_int_equal(b.mgr.counters.retried_count, 3);
}

static void a_next_try_past_max_age_expires_at_once(void **state)
{
    struct message *m = queue_bench_insert(&b, "quick.example");

    (void)state;
    m->attempts = 4; /* 80 s, and the message lives for 60 */
    assert_ptr_equal(queue_bench_take(&b), m);
    queue_retry(&b.mgr, m, &attempted);
    assert_int_equal(b.mgr.counters.expired_count, 1);
    assert_int_equal(schedq_find(&b.mgr, SLICE("quick.example"))->message_count, 0);
    assert_string_equal(queue_bench_records(&b),
                        "Expiration 551 5.4.7 Next delivery time would be 1m 20s after creation, "
                        "which exceeds max_age=1m []\n");
}

static void a_try_exactly_at_max_age_is_made(void **state)
{
    struct message *m = queue_bench_insert(&b, "quick.example");

    (void)state;
    assert_ptr_equal(queue_bench_take(&b), m);
    queue_bench_advance_ms(&b, 20000);
    m->attempts = 3; /* 40 s */
    queue_retry(&b.mgr, m, &attempted);
    assert_int_equal(b.mgr.counters.expired_count, 0);
    queue_bench_advance_ms(&b, 40001);
    assert_int_equal(b.promoted_count, 1);
}

static void schedule_expiry_counts_instead_of_age(void **state)
{
    struct message *m = queue_bench_insert(&b, "quick.example");

    (void)state;
    m->content->schedule = ends_in_an_hour();
    assert_ptr_equal(queue_bench_take(&b), m);
    m->attempts = 4; /* 80 s: older than max_age, younger than the schedule's end */
    queue_retry(&b.mgr, m, &attempted);
    assert_int_equal(b.mgr.counters.expired_count, 0);
    queue_bench_advance_ms(&b, 80001);
    assert_ptr_equal(queue_bench_take(&b), m);
    m->attempts = 10; /* 5120 s */
    queue_retry(&b.mgr, m, &attempted);
    assert_int_equal(b.mgr.counters.expired_count, 1);
    assert_non_null(strstr(queue_bench_records(&b),
                           " which exceeds the expiry time 2023-11-14T23:13:21Z configured via "
                           "set_scheduling []\n"));
}

static void what_is_no_attempt_costs_none(void **state)
{
    struct queue_requeue how = {.reason = INSERT_READY_QUEUE_WAS_FULL};

    (void)state;
    for (uint32_t n = 0; n < 30; n++) {
        struct message *m = queue_bench_insert(&b, "b.example");
        uint64_t now_ms = queue_bench_wall_ms(&b);

        assert_ptr_equal(queue_bench_take(&b), m);
        queue_retry(&b.mgr, m, &how);
        assert_in_range(m->due_ms, now_ms, now_ms + 60000);
        assert_int_equal(m->attempts, 0);
    }
    assert_non_null(strstr(queue_bench_records(&b), "ReadyQueueWasFull. Next due in "));
    queue_bench_advance_ms(&b, 60001);
    assert_int_equal(b.promoted_count, 30);
}

static void a_given_delay_is_kept_exactly(void **state)
{
    struct queue_requeue how = {.reason = INSERT_CONNECTION_RATE_THROTTLE,
                                .has_delay = true,
                                .delay_ms = 12345};
    struct message *m = queue_bench_insert(&b, "b.example");

    (void)state;
    assert_ptr_equal(queue_bench_take(&b), m);
    queue_retry(&b.mgr, m, &how);
    assert_int_equal(m->due_ms, queue_bench_wall_ms(&b) + 12345);
    queue_bench_advance_ms(&b, 12346);
    assert_int_equal(b.promoted_count, 1);
}

static void a_wait_that_outlives_the_message_ends_with_it(void **state)
{
    struct queue_requeue how = {.reason = INSERT_CONNECTION_RATE_THROTTLE,
                                .has_delay = true,
                                .delay_ms = 3600000};
    struct message *m = queue_bench_insert(&b, "quick.example");

    (void)state;
    assert_ptr_equal(queue_bench_take(&b), m);
    queue_retry(&b.mgr, m, &how);
    (void)queue_bench_records(&b);
    queue_bench_advance_ms(&b, 60001);
    assert_int_equal(b.mgr.waiting_count, 0);
    assert_int_equal(b.mgr.counters.expired_count, 1);
    assert_non_null(strstr(queue_bench_records(&b), "Expiration 551 5.4.7 Next delivery time "));
}

static void a_reinserted_message_is_promoted_without_delay(void **state)
{
    struct message *m = queue_bench_insert(&b, "b.example");

    (void)state;
    assert_ptr_equal(queue_bench_take(&b), m);
    queue_reinsert(&b.mgr, m, INSERT_READY_QUEUE_WAS_REAPED);
    assert_int_equal(b.promoted_count, 1);
    assert_true(insert_context_is(m, INSERT_READY_QUEUE_WAS_REAPED));
    assert_int_equal(m->attempts, 0);
}

/* ---- rates ---- */

static void the_message_rate_holds_back_what_is_too_much(void **state)
{
    struct message *third;

    (void)state;
    (void)queue_bench_insert(&b, "rate.example");
    (void)queue_bench_insert(&b, "rate.example");
    third = queue_bench_insert(&b, "rate.example");
    assert_int_equal(b.promoted_count, 2);
    assert_int_equal(b.mgr.waiting_count, 1);
    assert_int_equal(third->attempts, 0);
    assert_int_equal(third->due_ms, queue_bench_wall_ms(&b) + 30000);
    assert_non_null(strstr(queue_bench_records(&b),
                           "MessageRateThrottle. Next due in 30s"));
    queue_bench_advance_ms(&b, 30001);
    assert_int_equal(b.promoted_count, 3);
}

static void queues_have_rates_of_their_own(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 2; n++) {
        (void)queue_bench_insert(&b, "rate.example");
        (void)queue_bench_insert(&b, "tenant@rate.example");
    }
    assert_int_equal(b.promoted_count, 4);
}

/* ---- the end ---- */

static void nothing_is_promoted_while_draining(void **state)
{
    struct message *m = queue_bench_message(&b, "user@b.example");
    struct queue_insert ins = {0};
    struct slice why;

    (void)state;
    m->due_ms = queue_bench_wall_ms(&b) + 1000;
    assert_int_equal(queue_insert(&b.mgr, m, SLICE("b.example"), &ins, &why), QUEUE_TAKEN);
    queue_mgr_drain(&b.mgr);
    queue_bench_advance_ms(&b, 1001); /* it leaves memory and stays in the spool */
    assert_int_equal(b.promoted_count, 0);
    assert_int_equal(b.mgr.waiting_count, 0);
    assert_int_equal(schedq_find(&b.mgr, SLICE("b.example"))->message_count, 0);
}

static void a_finished_message_leaves_its_queue(void **state)
{
    const struct record_outcome delivered = {.type = LOG_DELIVERY, .code = 250,
                                             .content = SLICE_INIT("ok")};
    const struct record_session session = {.site = SLICE_INIT("the site")};
    struct message *m = queue_bench_insert(&b, "b.example");

    (void)state;
    assert_ptr_equal(queue_bench_take(&b), m);
    queue_finish(&b.mgr, m, &delivered, 1, &session);
    assert_int_equal(b.mgr.counters.finished_count, 1);
    assert_int_equal(schedq_find(&b.mgr, SLICE("b.example"))->message_count, 0);
    assert_string_equal(queue_bench_records(&b), "Delivery 250 0.0.0 ok [the site]\n");
}

#define ON_QUEUE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_QUEUE(what_is_due_is_promoted_at_once),
        ON_QUEUE(what_is_due_later_waits_and_is_never_early),
        ON_QUEUE(a_message_found_in_the_spool_is_not_announced),
        ON_QUEUE(a_message_found_after_its_age_expires),
        ON_QUEUE(a_message_at_rest_expires_with_its_envelope_in_the_record),
        ON_QUEUE(a_schedule_outlasts_max_age_over_a_restart),
        ON_QUEUE(a_found_message_past_its_schedule_expires),
        ON_QUEUE(every_failure_doubles_the_delay),
        ON_QUEUE(a_next_try_past_max_age_expires_at_once),
        ON_QUEUE(a_try_exactly_at_max_age_is_made),
        ON_QUEUE(schedule_expiry_counts_instead_of_age),
        ON_QUEUE(what_is_no_attempt_costs_none),
        ON_QUEUE(a_given_delay_is_kept_exactly),
        ON_QUEUE(a_wait_that_outlives_the_message_ends_with_it),
        ON_QUEUE(a_reinserted_message_is_promoted_without_delay),
        ON_QUEUE(the_message_rate_holds_back_what_is_too_much),
        ON_QUEUE(queues_have_rates_of_their_own),
        ON_QUEUE(nothing_is_promoted_while_draining),
        ON_QUEUE(a_finished_message_leaves_its_queue),
    };
    return cmocka_run_group_tests_name("core/queue/delay", tests, NULL, NULL);
}
