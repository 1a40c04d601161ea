/* Events about messages of a queue: spec "Queues, egress and delivery", 4, 5.3, 5.6 and 14. */
#include "tests/unit/core/queue/queue_bench.h"

#include "core/base/mem.h"
#include "core/queue/event.h"
#include "core/queue/load.h"

static struct queue_bench b;

#define CONFIG                                                                                     \
    "local kumo = require 'kumo'\n"                                                                \
    "kumo.on('get_queue_config', function(domain)\n"                                               \
    "  if domain == 'broken.example' then error('no such queue', 0) end\n"                         \
    "  if domain == 'brief.example' then\n"                                                        \
    "    return kumo.make_queue_config{max_age='10s'}\n"                                           \
    "  end\n"                                                                                      \
    "  return kumo.make_queue_config{retry_interval='5s'}\n"                                       \
    "end)\n"

static void open_with(const char *handlers)
{
    struct buf policy = {0};

    BUF_LIT(&policy, CONFIG);
    buf_put(&policy, slice_str(handlers));
    buf_char(&policy, '\0');
    queue_bench_open(&b, policy.ptr);
    buf_free(&policy);
}

static int tear_down(void **state)
{
    (void)state;
    queue_bench_close(&b);
    return 0;
}

static const struct queue_requeue attempted = {
    .reason = INSERT_LOGGED_TRANSIENT_FAILURE,
    .attempted = true,
    .logged = true,
    .response = SLICE_INIT("451 4.3.0 not now"),
};

/* A message in b.example that has been promoted once. */
static struct message *promoted(void)
{
    struct message *m = queue_bench_insert(&b, "b.example");

    assert_ptr_equal(queue_bench_take(&b), m);
    return m;
}

/* The same, at rest in the spool. */
static struct message *promoted_at_rest(void)
{
    struct message *m = queue_bench_message(&b, "user@b.example");

    queue_bench_rest(&b, m);
    schedq_join(schedq_get(&b.mgr, SLICE("b.example")), m);
    return m;
}

static void turn(void)
{
    queue_bench_advance_ms(&b, 0);
}

static void read_done(struct message_load *load, enum spool_err err)
{
    assert_int_equal(err, SPOOL_OK);
    load->done = NULL;
}

/* What the spool has of a waiting message. */
static const struct message_content *read_back(struct message *m)
{
    struct message_load load = {0};

    assert_null(m->content); /* it was saved: what is in memory is not needed */
    message_load(b.spool, &load, m, read_done);
    while (load.done != NULL) {
        fake_ring_run(b.shards.list[0]);
    }
    return m->content;
}

static void assert_meta(const struct message *m, const char *name, const char *want)
{
    struct slice got = meta_get(&m->content->meta, slice_str(name));

    if (!slice_eq(got, slice_str(want))) {
        fail_msg("%s is %.*s, not %s", name, SLICE_ARG(got), want);
    }
}

static void assert_said(const char *what)
{
    if (memmem(b.said.ptr, b.said.len, what, strlen(what)) == NULL) {
        fail_msg("%s is not in: %.*s", what, SLICE_ARG(buf_slice(&b.said)));
    }
}

static void assert_in_queue(const struct message *m, const char *name)
{
    assert_true(slice_eq(schedq_name(message_queue(m)), slice_str(name)));
}

/* ---- requeue_message ---- */

static void requeue_message_is_told_what_happened(void **state)
{
    struct queue_requeue how = {.reason = INSERT_CONNECTION_RATE_THROTTLE,
                                .has_delay = true,
                                .delay_ms = 90500,
                                .response = SLICE_INIT("451 4.4.1 ready queue throttled")};
    struct message *m;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg, response, context, increment, delay)\n"
              "  msg:set_meta('x_told', {msg:num_attempts(), response, context, increment,\n"
              "                          delay and delay.human or 'none'})\n"
              "end)");
    m = promoted();
    queue_retry(&b.mgr, m, &how);
    assert_meta(m, "x_told",
                "[0,\"451 4.4.1 ready queue throttled\",[\"Received\",\"ConnectionRateThrottle\"],"
                "false,\"1m 30s 500ms\"]");
    assert_int_equal(m->due_ms, queue_bench_wall_ms(&b) + 90500);
    queue_bench_advance_ms(&b, 90501);
    assert_ptr_equal(queue_bench_take(&b), m);
    queue_retry(&b.mgr, m, &attempted);
    assert_meta(m, "x_told",
                "[0,\"451 4.3.0 not now\",[\"DueTimeWasReached\",\"LoggedTransientFailure\"],true,"
                "\"none\"]");
    assert_int_equal(m->attempts, 1);
}

static void a_failure_is_told_as_one_line(void **state)
{
    const struct record_outcome outcome = {.type = LOG_TRANSIENT_FAILURE,
                                           .code = 450,
                                           .enhanced_class = 4,
                                           .enhanced_subject = 2,
                                           .enhanced_detail = 1,
                                           .content = SLICE_INIT("greylisted\ncome back")};
    const struct record_session session = {0};
    struct queue_requeue how = {
        .reason = INSERT_LOGGED_TRANSIENT_FAILURE, .attempted = true, .logged = true};
    struct message *m;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg, response)\n"
              "  msg:set_meta('x_told', response)\n"
              "end)");
    m = promoted();
    queue_fail(&b.mgr, m, &outcome, &session, &how);
    assert_meta(m, "x_told", "\"450 4.2.1 greylisted come back\"");
}

static void a_reject_bounces_whatever_its_code(void **state)
{
    (void)state;
    open_with("kumo.on('requeue_message', function() kumo.reject(451, '4.7.1 no more') end)");
    queue_retry(&b.mgr, promoted(), &attempted);
    assert_string_equal(queue_bench_records(&b), "Bounce 451 0.0.0 4.7.1 no more []\n");
    assert_int_equal(b.mgr.counters.finished_count, 1);
    assert_int_equal(schedq_find(&b.mgr, SLICE("b.example"))->message_count, 0);
}

static void an_error_leaves_the_message_in_its_queue(void **state)
{
    struct message *m;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg)\n"
              "  msg:set_meta('queue', 'c.example') error('oh', 0)\n"
              "end)");
    m = promoted();
    queue_retry(&b.mgr, m, &attempted);
    assert_in_queue(m, "b.example");
    assert_int_equal(m->due_ms, queue_bench_wall_ms(&b) + 5000);
    assert_said("ERROR queue: message ");
    assert_said(": requeue_message: oh");
}

static void a_name_that_is_none_leaves_the_message_in_its_queue(void **state)
{
    struct message *m;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg) msg:set_meta('tenant', 5) end)");
    m = promoted();
    queue_retry(&b.mgr, m, &attempted);
    assert_in_queue(m, "b.example");
    assert_int_equal(b.mgr.waiting_count, 1);
    assert_said("expected 'tenant' to be a string value");
}

static void another_queue_is_tried_at_once_and_counts(void **state)
{
    struct message *m;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg) msg:set_meta('queue', 'c.example') end)");
    m = promoted();
    queue_retry(&b.mgr, m, &attempted);
    turn();
    assert_ptr_equal(queue_bench_take(&b), m);
    assert_in_queue(m, "c.example");
    assert_int_equal(m->attempts, 1);
    assert_int_equal(schedq_find(&b.mgr, SLICE("b.example"))->message_count, 0);
    assert_string_equal(queue_bench_records(&b), "");
    queue_retry(&b.mgr, m, &attempted); /* it names the same queue as before: back-off */
    assert_int_equal(m->due_ms, queue_bench_wall_ms(&b) + 10000);
}

static void a_schedule_holds_in_the_other_queue(void **state)
{
    struct message *m;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg)\n"
              "  msg:set_meta('queue', 'c.example')\n"
              "  msg:set_scheduling{first_attempt='2023-11-15T00:00:00Z'}\n"
              "end)");
    m = promoted();
    queue_retry(&b.mgr, m, &attempted);
    turn();
    assert_int_equal(b.promoted_count, 0);
    assert_int_equal(m->due_ms, UINT64_C(1700006400000));
}

static void what_is_too_old_for_the_other_queue_expires(void **state)
{
    struct message *m;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg)\n"
              "  msg:set_meta('queue', 'brief.example')\n"
              "end)");
    m = promoted();
    queue_bench_advance_ms(&b, 11000);
    queue_retry(&b.mgr, m, &attempted);
    turn();
    assert_string_equal(queue_bench_records(&b),
                        "Expiration 551 5.4.7 Next delivery time 11s > 10s [localhost]\n");
}

static void a_queue_that_cannot_be_made_keeps_the_message(void **state)
{
    struct message *m;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg)\n"
              "  msg:set_meta('queue', 'broken.example')\n"
              "end)");
    m = promoted();
    queue_retry(&b.mgr, m, &attempted);
    turn();
    assert_in_queue(m, "broken.example");
    assert_int_equal(b.mgr.waiting_count, 1);
    assert_string_equal(queue_bench_records(&b), "");
}

static void the_null_queue_keeps_nothing(void **state)
{
    struct message *m;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg) msg:set_meta('queue', 'null') end)");
    m = promoted_at_rest();
    queue_retry(&b.mgr, m, &attempted);
    turn();
    assert_int_equal(schedq_find(&b.mgr, SLICE("b.example"))->message_count, 0);
    assert_null(schedq_find(&b.mgr, SLICE("null")));
    assert_string_equal(queue_bench_records(&b), "");
}

static void full_ready_queues_are_nobody_s_business(void **state)
{
    const struct queue_requeue full = {.reason = INSERT_READY_QUEUE_WAS_FULL, .unheard = true};
    struct message *m;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg) msg:set_meta('x_told', true) end)");
    m = promoted();
    queue_retry(&b.mgr, m, &full);
    assert_meta(m, "x_told", "");
    assert_int_equal(b.mgr.waiting_count, 1);
}

/* What is in the spool alone is read, and what the handler makes of it written. */
static void edits_are_in_the_spool(void **state)
{
    const struct message_content *c;
    struct message *m;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg)\n"
              "  msg:set_meta('x_seen', msg:get_first_named_header_value('Subject'))\n"
              "  msg:prepend_header('X-Tries', tostring(msg:num_attempts() + 1))\n"
              "  msg:append_header('X-Last', 'yes')\n"
              "  msg:set_scheduling{first_attempt='2023-11-15T00:00:00Z'}\n"
              "end)");
    m = promoted_at_rest();
    queue_retry(&b.mgr, m, &attempted);
    turn();
    assert_int_equal(m->due_ms, UINT64_C(1700006400000));
    c = read_back(m);
    assert_meta(m, "x_seen", "\"x\"");
    assert_non_null(c->schedule);
    buf_clear(&b.text);
    message_data_put(m, &b.text);
    buf_char(&b.text, '\0');
    assert_string_equal(b.text.ptr,
                        "X-Tries: 1\r\nSubject: x\r\nX-Last: yes\r\n\r\nbody\r\n");
}

static void a_text_cannot_be_replaced(void **state)
{
    struct message *m;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg)\n"
              "  msg:set_data('other\\r\\n\\r\\ntext\\r\\n') msg:set_meta('x_kept', true)\n"
              "end)");
    m = promoted_at_rest();
    queue_retry(&b.mgr, m, &attempted);
    turn();
    (void)read_back(m);
    buf_clear(&b.text);
    message_data_put(m, &b.text);
    buf_char(&b.text, '\0');
    assert_string_equal(b.text.ptr, "Subject: x\r\n\r\nbody\r\n");
    assert_meta(m, "x_kept", "true");
    assert_said("the text of a message cannot be replaced here");
}

/* ---- throttle_insert_ready_queue ---- */

static void a_handler_without_opinion_lets_it_pass(void **state)
{
    (void)state;
    open_with("kumo.on('throttle_insert_ready_queue', function(msg) end)");
    (void)queue_bench_insert(&b, "b.example");
    assert_int_equal(b.promoted_count, 1);
}

static void a_due_time_in_the_future_holds_it_back_for_a_minute_at_most(void **state)
{
    struct message *m;
    uint64_t now_ms;

    (void)state;
    open_with("kumo.on('throttle_insert_ready_queue', function(msg)\n"
              "  if not msg:get_meta('x_once') then\n"
              "    msg:set_meta('x_once', true) msg:set_due('2023-12-01T00:00:00Z')\n"
              "  end\n"
              "end)\n"
              "kumo.on('requeue_message', function(msg, response)\n"
              "  msg:set_meta('x_told', response)\n"
              "end)");
    now_ms = queue_bench_wall_ms(&b);
    m = queue_bench_insert(&b, "b.example");
    assert_int_equal(b.promoted_count, 0);
    assert_in_range(m->due_ms, now_ms, now_ms + 60000);
    assert_int_equal(m->attempts, 0);
    assert_non_null(strstr(queue_bench_records(&b),
                           "Context: Received, ThrottledByThrottleInsertReadyQueue. Next due in"));
    assert_meta(m, "x_told",
                "\"451 4.4.4 KumoMTA internal: b.example throttle_insert_ready_queue event "
                "throttled message rate, due=2023-12-01T00:00:00Z\"");
    queue_bench_advance_ms(&b, 60001);
    assert_int_equal(b.promoted_count, 1);
}

static void a_schedule_made_there_counts(void **state)
{
    struct message *m;

    (void)state;
    open_with("kumo.on('throttle_insert_ready_queue', function(msg)\n"
              "  msg:set_scheduling{first_attempt='2023-11-15T00:00:00Z'}\n"
              "end)");
    m = promoted_at_rest();
    queue_place(&b.mgr, m);
    turn();
    assert_int_equal(m->due_ms, UINT64_C(1700006400000));
    assert_non_null(read_back(m)->schedule);
}

static void an_error_there_delays(void **state)
{
    struct message *m;

    (void)state;
    open_with("kumo.on('throttle_insert_ready_queue', function(msg) error('oh', 0) end)");
    m = queue_bench_insert(&b, "b.example");
    assert_int_equal(b.promoted_count, 0);
    assert_int_equal(m->due_ms, queue_bench_wall_ms(&b) + 5000);
    assert_int_equal(m->attempts, 1);
    assert_non_null(strstr(queue_bench_records(&b), "Received, FailedToInsertIntoReadyQueue."));
    assert_said(": throttle_insert_ready_queue: oh");
}

static void changes_there_are_in_the_spool_when_it_goes_on(void **state)
{
    struct message *m;

    (void)state;
    open_with("kumo.on('throttle_insert_ready_queue', function(msg)\n"
              "  msg:set_meta('x_seen', true)\n"
              "end)");
    m = promoted_at_rest();
    queue_place(&b.mgr, m);
    turn();
    assert_ptr_equal(queue_bench_take(&b), m);
    assert_false(m->content->envelope_dirty);
    message_content_free(&m->content);
    (void)read_back(m);
    assert_meta(m, "x_seen", "true");
    queue_discard(&b.mgr, m);
}

static void a_handler_that_waits_holds_nothing_up(void **state)
{
    (void)state;
    open_with("kumo.on('throttle_insert_ready_queue', function(msg)\n"
              "  if msg:sender().email == 'sender@a.example' then kumo.sleep(2) end\n"
              "end)");
    for (uint32_t n = 0; n < 200; n++) {
        (void)queue_bench_insert(&b, "b.example");
    }
    assert_int_equal(b.mgr.events.running_count, QUEUE_EVENTS_MAX);
    assert_int_equal(b.promoted_count, 0);
    for (uint32_t n = 0; n < 60; n++) { /* four states at a time */
        queue_bench_advance_ms(&b, 2001);
    }
    assert_int_equal(b.promoted_count, 200);
    assert_int_equal(b.mgr.pending_work, 0);
}

static void note_settled(void *ctx)
{
    *(bool *)ctx = true;
}

static void what_is_asked_about_rests_when_stopping_takes_too_long(void **state)
{
    struct message *m;
    bool settled = false;

    (void)state;
    open_with("kumo.on('throttle_insert_ready_queue', function(msg) kumo.sleep(3600) end)\n"
              "kumo.on('requeue_message', function(msg) kumo.sleep(3600) end)");
    (void)queue_bench_insert(&b, "b.example");
    m = queue_bench_message(&b, "user@b.example");
    schedq_join(schedq_get(&b.mgr, SLICE("b.example")), m);
    queue_retry(&b.mgr, m, &attempted);
    queue_mgr_drain(&b.mgr);
    queue_mgr_settled(&b.mgr, note_settled, &settled);
    turn();
    assert_false(settled);
    queue_mgr_cut(&b.mgr);
    assert_true(settled);
    assert_int_equal(b.promoted_count, 0);
    assert_int_equal(schedq_find(&b.mgr, SLICE("b.example"))->message_count, 1);
    queue_bench_advance_ms(&b, 5001); /* the other one comes due and rests, too */
    assert_int_equal(schedq_find(&b.mgr, SLICE("b.example"))->message_count, 0);
}

/* Every failure moves it on, and every queue refuses it. */
static void moving_to_and_fro_ends_nowhere_deep(void **state)
{
    struct message *m;

    (void)state;
    open_with("kumo.on('throttle_insert_ready_queue', function(msg)\n"
              "  msg:set_due('2023-12-01T00:00:00Z')\n"
              "end)\n"
              "kumo.on('requeue_message', function(msg)\n"
              "  local n = msg:num_attempts()\n"
              "  if n < 3000 then msg:set_meta('queue', n % 2 == 0 and 'c.test' or 'd.test') end\n"
              "end)");
    m = queue_bench_insert(&b, "b.example");
    turn();
    assert_int_equal(m->attempts, 3000);
    assert_int_equal(b.mgr.waiting_count, 1);
}

/* ---- spool_message_enumerated ---- */

static struct message *found(const char *recipient)
{
    struct message *m = queue_bench_message(&b, recipient);

    queue_bench_rest(&b, m);
    queue_insert_found(&b.mgr, m, SLICE("b.example"));
    return m;
}

static void an_error_holds_back_one_message_alone(void **state)
{
    struct message *bad, *good;

    (void)state;
    open_with("local failures = 0\n"
              "kumo.on('spool_message_enumerated', function(msg)\n"
              "  if msg:recipient().user == 'bad' and failures < 1 then\n"
              "    failures = failures + 1 error('oh', 0)\n"
              "  end\n"
              "end)");
    bad = found("bad@b.example");
    good = found("good@b.example");
    turn();
    assert_ptr_equal(queue_bench_take(&b), good);
    schedq_leave(good);
    message_free(&good);
    assert_int_equal(b.promoted_count, 0);
    assert_int_equal(b.mgr.waiting_count, 1);
    assert_said(": spool_message_enumerated: oh");
    queue_bench_advance_ms(&b, 599000);
    assert_int_equal(b.promoted_count, 0);
    assert_null(bad->content);
}

static void what_was_found_goes_where_it_is_sent(void **state)
{
    struct message *m;

    (void)state;
    open_with("kumo.on('spool_message_enumerated', function(msg)\n"
              "  msg:set_meta('tenant', 'acme') msg:set_due('2023-11-15T00:00:00Z')\n"
              "end)");
    m = found("user@b.example");
    turn();
    assert_in_queue(m, "acme@b.example");
    assert_int_equal(m->due_ms, UINT64_C(1700006400000));
    assert_int_equal(m->attempts, 0);
    assert_string_equal(queue_bench_records(&b), "");
    (void)read_back(m);
    assert_meta(m, "tenant", "\"acme\"");
}

static void what_names_no_queue_expires(void **state)
{
    (void)state;
    open_with("kumo.on('spool_message_enumerated', function(msg)\n"
              "  msg:set_meta('campaign', {})\n"
              "end)");
    (void)found("user@b.example");
    turn();
    assert_string_equal(queue_bench_records(&b),
                        "Expiration 551 5.1.3 Failed to compute queue name: expected 'campaign' "
                        "to be a string value [localhost]\n");
}

static void what_waits_to_be_asked_about_rests_in_a_drain(void **state)
{
    (void)state;
    open_with("kumo.on('spool_message_enumerated', function(msg) kumo.sleep(5) end)");
    for (uint32_t n = 0; n < 150; n++) {
        (void)found("user@b.example");
    }
    queue_mgr_drain(&b.mgr);
    for (uint32_t n = 0; n < 40; n++) {
        queue_bench_advance_ms(&b, 5001);
    }
    assert_int_equal(b.promoted_count, 0);
    assert_int_equal(b.mgr.pending_work, 0);
    assert_int_equal(schedq_find(&b.mgr, SLICE("b.example"))->message_count, 0);
}

/* ---- what is in memory alone: deferred_spool ---- */

/* A message of deferred_spool in b.example that has been promoted once. */
static struct message *promoted_unsaved(void)
{
    struct message *m = queue_bench_message(&b, "user@b.example");

    m->size = (uint32_t)message_data_size(m);
    queue_defer(&b.mgr, m);
    schedq_join(schedq_get(&b.mgr, SLICE("b.example")), m);
    return m;
}

static struct spool_counters spooled(void)
{
    struct spool_counters c;

    spool_counters(b.spool, &c);
    return c;
}

static void a_drain_waits_for_the_handler_and_then_for_the_write(void **state)
{
    bool settled = false;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg) kumo.sleep(2) end)");
    queue_retry(&b.mgr, promoted_unsaved(), &attempted);
    queue_mgr_drain(&b.mgr);
    queue_mgr_settled(&b.mgr, note_settled, &settled);
    queue_bench_advance_ms(&b, 1900);
    assert_false(settled);
    assert_int_equal(spooled().put_count, 0);
    queue_bench_advance_ms(&b, 200);
    queue_bench_advance_ms(&b, 100);
    assert_true(settled);
    assert_int_equal(spooled().live_record_count, 1);
    assert_int_equal(b.mgr.unsaved_count, 0);
    assert_int_equal(schedq_find(&b.mgr, SLICE("b.example"))->message_count, 0);
}

static void a_cut_writes_what_handlers_hold(void **state)
{
    bool settled = false;

    (void)state;
    open_with("kumo.on('throttle_insert_ready_queue', function(msg) kumo.sleep(3600) end)\n"
              "kumo.on('requeue_message', function(msg) kumo.sleep(3600) end)");
    queue_retry(&b.mgr, promoted_unsaved(), &attempted);
    queue_reinsert(&b.mgr, promoted_unsaved(), INSERT_READY_QUEUE_WAS_REAPED);
    queue_mgr_drain(&b.mgr);
    queue_mgr_settled(&b.mgr, note_settled, &settled);
    queue_bench_advance_ms(&b, 100);
    assert_false(settled);
    assert_int_equal(spooled().put_count, 0);
    queue_mgr_cut(&b.mgr);
    assert_false(settled);
    queue_bench_advance_ms(&b, 100);
    assert_true(settled);
    assert_int_equal(spooled().live_record_count, 2);
    assert_int_equal(b.mgr.unsaved_count, 0);
    assert_int_equal(b.promoted_count, 0);
}

static void a_move_needs_no_write(void **state)
{
    struct message *m;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg) msg:set_meta('queue', 'c.example') end)");
    m = promoted_unsaved();
    queue_retry(&b.mgr, m, &attempted);
    turn();
    assert_ptr_equal(queue_bench_take(&b), m);
    assert_in_queue(m, "c.example");
    assert_int_equal(spooled().put_count, 0);
    assert_int_equal(b.mgr.unsaved_count, 1);
    queue_discard(&b.mgr, m);
    assert_int_equal(b.mgr.unsaved_bytes, 0);
}

static void a_move_to_a_queue_where_it_waits_writes_it_whole(void **state)
{
    const struct message_content *c;
    struct message *m;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg)\n"
              "  msg:set_meta('queue', 'c.example')\n"
              "  msg:set_data('other\\r\\n\\r\\ntext\\r\\n')\n"
              "  msg:set_scheduling{first_attempt='2023-11-15T00:00:00Z'}\n"
              "end)");
    m = promoted_unsaved();
    queue_retry(&b.mgr, m, &attempted);
    queue_bench_advance_ms(&b, 100);
    assert_int_equal(b.promoted_count, 0);
    assert_int_equal(b.mgr.waiting_count, 1);
    assert_int_equal(m->flags & (MESSAGE_SPOOLED | MESSAGE_UNSAVED), MESSAGE_SPOOLED);
    assert_in_queue(m, "c.example");
    c = read_back(m);
    assert_meta(m, "queue", "\"c.example\"");
    assert_non_null(c->schedule);
    buf_clear(&b.text);
    message_data_put(m, &b.text);
    buf_char(&b.text, '\0');
    assert_string_equal(b.text.ptr, "other\r\n\r\ntext\r\n");
    assert_int_equal(b.mgr.unsaved_bytes, 0);
}

static void what_is_moved_in_a_drain_is_written(void **state)
{
    bool settled = false;

    (void)state;
    open_with("kumo.on('requeue_message', function(msg)\n"
              "  kumo.sleep(1) msg:set_meta('queue', 'broken.example')\n"
              "end)");
    queue_retry(&b.mgr, promoted_unsaved(), &attempted);
    queue_mgr_drain(&b.mgr);
    queue_mgr_settled(&b.mgr, note_settled, &settled);
    for (uint32_t n = 0; n < 12 && !settled; n++) {
        queue_bench_advance_ms(&b, 100);
    }
    assert_true(settled);
    assert_int_equal(spooled().live_record_count, 1);
    assert_int_equal(b.mgr.unsaved_count, 0);
}

static void msg_save_writes_it_before_it_goes_on(void **state)
{
    struct message *m;

    (void)state;
    open_with("kumo.on('throttle_insert_ready_queue', function(msg)\n"
              "  msg:set_meta('x_asked', (msg:get_meta('x_asked') or 0) + 1)\n"
              "  msg:save()\n"
              "end)");
    m = promoted_unsaved();
    queue_reinsert(&b.mgr, m, INSERT_READY_QUEUE_WAS_REAPED);
    assert_int_equal(b.promoted_count, 0);
    queue_bench_advance_ms(&b, 100);
    assert_ptr_equal(queue_bench_take(&b), m);
    assert_int_equal(spooled().live_record_count, 1);
    assert_int_equal(b.mgr.unsaved_count, 0);
    assert_meta(m, "x_asked", "1");
    queue_discard(&b.mgr, m);
}

#define ON_QUEUE(test) cmocka_unit_test_teardown(test, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_QUEUE(requeue_message_is_told_what_happened),
        ON_QUEUE(a_failure_is_told_as_one_line),
        ON_QUEUE(a_reject_bounces_whatever_its_code),
        ON_QUEUE(an_error_leaves_the_message_in_its_queue),
        ON_QUEUE(a_name_that_is_none_leaves_the_message_in_its_queue),
        ON_QUEUE(another_queue_is_tried_at_once_and_counts),
        ON_QUEUE(a_schedule_holds_in_the_other_queue),
        ON_QUEUE(what_is_too_old_for_the_other_queue_expires),
        ON_QUEUE(a_queue_that_cannot_be_made_keeps_the_message),
        ON_QUEUE(the_null_queue_keeps_nothing),
        ON_QUEUE(full_ready_queues_are_nobody_s_business),
        ON_QUEUE(edits_are_in_the_spool),
        ON_QUEUE(a_text_cannot_be_replaced),
        ON_QUEUE(a_handler_without_opinion_lets_it_pass),
        ON_QUEUE(a_due_time_in_the_future_holds_it_back_for_a_minute_at_most),
        ON_QUEUE(a_schedule_made_there_counts),
        ON_QUEUE(an_error_there_delays),
        ON_QUEUE(changes_there_are_in_the_spool_when_it_goes_on),
        ON_QUEUE(a_handler_that_waits_holds_nothing_up),
        ON_QUEUE(what_is_asked_about_rests_when_stopping_takes_too_long),
        ON_QUEUE(moving_to_and_fro_ends_nowhere_deep),
        ON_QUEUE(an_error_holds_back_one_message_alone),
        ON_QUEUE(what_was_found_goes_where_it_is_sent),
        ON_QUEUE(what_names_no_queue_expires),
        ON_QUEUE(what_waits_to_be_asked_about_rests_in_a_drain),
        ON_QUEUE(a_drain_waits_for_the_handler_and_then_for_the_write),
        ON_QUEUE(a_cut_writes_what_handlers_hold),
        ON_QUEUE(a_move_needs_no_write),
        ON_QUEUE(a_move_to_a_queue_where_it_waits_writes_it_whole),
        ON_QUEUE(what_is_moved_in_a_drain_is_written),
        ON_QUEUE(msg_save_writes_it_before_it_goes_on),
    };
    return cmocka_run_group_tests_name("core/queue/event", tests, NULL, NULL);
}
