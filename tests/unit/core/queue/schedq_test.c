/* A queue's life: config, pool, refresh, reap: spec "Queues, egress and delivery", 5.2. */
#include "tests/unit/core/queue/queue_bench.h"

#define LUA(text) "local kumo = require 'kumo'\n" text

static struct queue_bench b;

/* An insertion that waits for its answer. */
struct waiter {
    struct queue_insert ins;
    struct message *m;
    uint32_t done_count;
    bool ok;
    char why[200];
};

static void insert_done(struct queue_insert *ins, bool ok, struct slice why)
{
    struct waiter *w = CONTAINER_OF(ins, struct waiter, ins);

    w->done_count++;
    w->ok = ok;
    memcpy(w->why, why.ptr, why.len < sizeof(w->why) - 1 ? why.len : sizeof(w->why) - 1);
}

static enum queue_answer insert(struct waiter *w, const char *queue)
{
    struct slice why = {0};
    enum queue_answer answer;

    *w = (struct waiter){.ins.done = insert_done, .m = queue_bench_message(&b, "u@b.example")};
    answer = queue_insert(&b.mgr, w->m, slice_str(queue), &w->ins, &why);
    if (answer == QUEUE_REFUSED) {
        insert_done(&w->ins, false, why);
    }
    return answer;
}

static uint64_t handler_calls(void)
{
    struct vm_counters counters;

    vm_counters(b.vm, &counters);
    return counters.call_count;
}

static void without_a_policy_defaults_count(void **state)
{
    struct waiter w;
    struct schedq *q;

    (void)state;
    queue_bench_open(&b, "-- no handlers\n");
    assert_int_equal(insert(&w, "spring:acme@b.example!mx.example"), QUEUE_TAKEN);
    q = message_queue(w.m);
    assert_true(schedq_config(q)->retry_interval == UINT64_C(1200) * 1000000000u);
    assert_true(slice_eq(schedq_pool_name(q), SLICE("unspecified")));
    assert_int_equal(schedq_source_count(q), 1);
    assert_true(slice_eq(schedq_parts(q)->campaign, SLICE("spring")));
    assert_true(slice_eq(queue_name_routing(schedq_parts(q)), SLICE("mx.example")));
    queue_bench_close(&b);
}

static void insertions_wait_for_one_answer_together(void **state)
{
    struct waiter w[3];

    (void)state;
    queue_bench_open(&b, LUA("kumo.on('get_queue_config', function()\n"
                             "  kumo.sleep(2)\n"
                             "  return kumo.make_queue_config{retry_interval='7s'}\n"
                             "end)\n"));
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(insert(&w[i], "b.example"), QUEUE_LATER);
    }
    assert_int_equal(handler_calls(), 1);
    queue_bench_advance_ms(&b, 1000);
    assert_int_equal(w[0].done_count + w[1].done_count + w[2].done_count, 0);
    queue_bench_advance_ms(&b, 1100);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(w[i].done_count, 1);
        assert_true(w[i].ok);
        assert_ptr_equal(b.promoted[i], w[i].m); /* in the order they came */
    }
    assert_int_equal(handler_calls(), 1);
    queue_bench_close(&b);
}

static void an_error_is_told_and_remembered_for_a_minute(void **state)
{
    struct waiter w;

    (void)state;
    queue_bench_open(&b, LUA("kumo.on('get_queue_config', function()\n"
                             "  error('no such tenant')\n"
                             "end)\n"));
    assert_int_equal(insert(&w, "b.example"), QUEUE_REFUSED);
    assert_non_null(strstr(w.why, "no such tenant"));
    message_free(&w.m); /* it stayed the caller's */
    queue_bench_advance_ms(&b, QUEUE_FAILURE_TTL_MS - 1);
    assert_int_equal(insert(&w, "b.example"), QUEUE_REFUSED);
    assert_non_null(strstr(w.why, "no such tenant"));
    message_free(&w.m);
    assert_int_equal(handler_calls(), 1);
    queue_bench_advance_ms(&b, 1);
    assert_int_equal(insert(&w, "b.example"), QUEUE_REFUSED); /* asked anew */
    message_free(&w.m);
    assert_int_equal(handler_calls(), 2);
    queue_bench_close(&b);
}

static void an_error_refuses_everybody_who_waits(void **state)
{
    struct waiter w[2];

    (void)state;
    queue_bench_open(&b, LUA("kumo.on('get_queue_config', function()\n"
                             "  kumo.sleep(1)\n"
                             "  error('broken')\n"
                             "end)\n"));
    assert_int_equal(insert(&w[0], "b.example"), QUEUE_LATER);
    assert_int_equal(insert(&w[1], "b.example"), QUEUE_LATER);
    queue_bench_advance_ms(&b, 1100);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(w[i].done_count, 1);
        assert_false(w[i].ok);
        assert_non_null(strstr(w[i].why, "broken"));
        message_free(&w[i].m);
    }
    assert_int_equal(schedq_find(&b.mgr, SLICE("b.example"))->message_count, 0);
    queue_bench_close(&b);
}

/* It cannot be refused: it is in the spool already. */
static void a_found_message_outlasts_a_broken_config(void **state)
{
    struct message *m;

    (void)state;
    queue_bench_open(&b, LUA("local n = 0\n"
                             "kumo.on('get_queue_config', function()\n"
                             "  n = n + 1\n"
                             "  return n == 1 and 'broken' or kumo.make_queue_config{}\n"
                             "end)\n"));
    m = queue_bench_message(&b, "u@b.example");
    queue_insert_found(&b.mgr, m, SLICE("b.example"));
    assert_int_equal(b.promoted_count, 0);
    assert_int_equal(b.mgr.waiting_count, 1);
    for (uint32_t s = 0; s <= QUEUE_FAILURE_TTL_MS / 1000 && b.promoted_count == 0; s++) {
        queue_bench_advance_ms(&b, 1001);
    }
    assert_int_equal(b.promoted_count, 1);
    assert_int_equal(b.mgr.waiting_count, 0);
    queue_bench_close(&b);
}

static void an_idle_queue_is_reaped_and_a_used_one_is_not(void **state)
{
    struct message *m;
    struct slice name = SLICE("b.example");

    (void)state;
    queue_bench_open(&b, LUA("kumo.on('get_queue_config', function()\n"
                             "  return kumo.make_queue_config{reap_interval='30s'}\n"
                             "end)\n"));
    (void)queue_bench_insert(&b, "b.example");
    for (uint32_t n = 0; n < 10; n++) {
        queue_bench_advance_ms(&b, QUEUE_MAINTAIN_MS + 1);
    }
    assert_non_null(schedq_find(&b.mgr, name)); /* its message is with the promoter */
    m = queue_bench_take(&b);
    schedq_leave(m);
    message_free(&m);
    (void)queue_bench_insert(&b, "b.example"); /* used again: the time starts anew */
    m = queue_bench_take(&b);
    schedq_leave(m);
    message_free(&m);
    queue_bench_advance_ms(&b, QUEUE_MAINTAIN_MS + 1);
    assert_non_null(schedq_find(&b.mgr, name));
    b.forgotten_count = 0;
    for (uint32_t n = 0; n < 4; n++) {
        queue_bench_advance_ms(&b, QUEUE_MAINTAIN_MS + 1);
    }
    assert_null(schedq_find(&b.mgr, name));
    assert_int_equal(b.forgotten_count, 1);
    queue_bench_close(&b);
}

static void a_refresh_brings_the_new_config_and_a_broken_one_keeps_the_old(void **state)
{
    struct schedq *q;

    (void)state;
    queue_bench_open(&b, LUA("local n = 0\n"
                             "kumo.on('get_queue_config', function()\n"
                             "  n = n + 1\n"
                             "  if n == 2 then return 'broken' end\n"
                             "  return kumo.make_queue_config{\n"
                             "    retry_interval=tostring(n)..'s', refresh_interval='15s'}\n"
                             "end)\n"));
    q = message_queue(queue_bench_insert(&b, "b.example"));
    assert_true(schedq_config(q)->retry_interval == 1000000000u);
    queue_bench_advance_ms(&b, QUEUE_MAINTAIN_MS + 1);
    assert_int_equal(handler_calls(), 1);
    queue_bench_advance_ms(&b, QUEUE_MAINTAIN_MS + 1);
    assert_int_equal(handler_calls(), 2);
    assert_true(schedq_config(q)->retry_interval == 1000000000u); /* the error changed nothing */
    queue_bench_advance_ms(&b, QUEUE_MAINTAIN_MS + 1);
    queue_bench_advance_ms(&b, QUEUE_MAINTAIN_MS + 1);
    assert_int_equal(handler_calls(), 3);
    assert_true(schedq_config(q)->retry_interval == UINT64_C(3000000000));
    queue_bench_close(&b);
}

static void note_known(struct queue_await *w)
{
    w->known = NULL;
}

/* Its config comes after a second; who has lost patience is not told. */
static void who_waits_for_a_config_may_leave(void **state)
{
    struct queue_await patient = {.known = note_known}, impatient = {.known = note_known};
    struct waiter w;

    (void)state;
    queue_bench_open(&b, LUA("kumo.on('get_queue_config', function(domain)\n"
                             "  kumo.sleep(1)\n"
                             "  return kumo.make_queue_config{}\n"
                             "end)\n"));
    assert_false(queue_await(&b.mgr, SLICE("b.example"), &patient));
    assert_false(queue_await(&b.mgr, SLICE("b.example"), &impatient));
    assert_int_equal(insert(&w, "b.example"), QUEUE_LATER);
    queue_await_abandon(&impatient);
    assert_true(queue_insert_abandon(&w.ins));
    assert_null(w.m->owner);
    message_free(&w.m);
    queue_bench_advance_ms(&b, 1001);
    assert_null(patient.known);
    assert_non_null(impatient.known);
    assert_int_equal(w.done_count, 0);
    assert_int_equal(schedq_find(&b.mgr, SLICE("b.example"))->message_count, 0);
    assert_true(queue_await(&b.mgr, SLICE("b.example"), &patient));
    assert_int_equal(insert(&w, "b.example"), QUEUE_TAKEN);
    assert_false(queue_insert_abandon(&w.ins));
    queue_bench_close(&b);
}

static void an_epoch_asks_those_anew_that_go_by_it(void **state)
{
    struct schedq *q;

    (void)state;
    queue_bench_open(&b, LUA("local n = 0\n"
                             "kumo.on('get_queue_config', function(domain)\n"
                             "  n = n + 1\n"
                             "  if domain == 'slow.example' and n > 1 then kumo.sleep(1) end\n"
                             "  return kumo.make_queue_config{retry_interval=tostring(n)..'s',\n"
                             "    refresh_strategy=domain ~= 'ttl.example' and 'Epoch' or nil,\n"
                             "    refresh_interval='5m', reap_interval='1h'}\n"
                             "end)\n"));
    q = message_queue(queue_bench_insert(&b, "slow.example"));
    (void)queue_bench_insert(&b, "ttl.example");
    for (uint32_t n = 0; n < 12; n++) { /* two minutes: no interval counts */
        queue_bench_advance_ms(&b, QUEUE_MAINTAIN_MS + 1);
    }
    assert_int_equal(handler_calls(), 2);
    queue_mgr_epoch(&b.mgr);
    queue_bench_advance_ms(&b, 1);
    assert_int_equal(handler_calls(), 3);
    queue_mgr_epoch(&b.mgr); /* while it is being asked: what it will say is old already */
    queue_bench_advance_ms(&b, 1001);
    assert_true(schedq_config(q)->retry_interval == UINT64_C(3000000000));
    queue_bench_advance_ms(&b, QUEUE_MAINTAIN_MS + 1);
    queue_bench_advance_ms(&b, 1001);
    assert_true(schedq_config(q)->retry_interval == UINT64_C(4000000000));
    queue_bench_advance_ms(&b, QUEUE_MAINTAIN_MS + 1);
    assert_int_equal(handler_calls(), 4);
    queue_bench_close(&b);
}

static const char pool_policy[] = LUA(
    "kumo.on('get_queue_config', function(domain)\n"
    "  return kumo.make_queue_config{egress_pool='pool', refresh_interval='5s'}\n"
    "end)\n"
    "kumo.on('get_egress_pool', function(name)\n"
    "  return kumo.make_egress_pool{name=name, ttl='30s', entries={\n"
    "    {name='a', weight=5}, {name='zero', weight=0}, {name='b', weight=2}}}\n"
    "end)\n"
    "kumo.on('get_egress_source', function(name)\n"
    "  if name == 'zero' then error('never asked') end\n"
    "  return kumo.make_egress_source{name=name, ttl='30s'}\n"
    "end)\n");

static void a_pool_brings_its_sources_without_those_of_weight_zero(void **state)
{
    struct schedq *q, *other;

    (void)state;
    queue_bench_open(&b, pool_policy);
    q = message_queue(queue_bench_insert(&b, "b.example"));
    assert_int_equal(schedq_source_count(q), 2);
    assert_string_equal(schedq_sources(q)[0].source->source.name, "a");
    assert_int_equal(schedq_sources(q)[0].weight, 5);
    assert_string_equal(schedq_sources(q)[1].source->source.name, "b");
    other = message_queue(queue_bench_insert(&b, "c.example"));
    assert_ptr_equal(schedq_sources(other), schedq_sources(q)); /* shared */
    queue_bench_close(&b);
}

static void an_unchanged_pool_keeps_the_round_robin_where_it_is(void **state)
{
    struct schedq *q;

    (void)state;
    queue_bench_open(&b, pool_policy);
    q = message_queue(queue_bench_insert(&b, "b.example"));
    assert_int_equal(schedq_choose(q, NULL), 1);
    assert_int_equal(schedq_choose(q, NULL), 0);
    for (uint32_t n = 0; n < 6; n++) { /* the pool's ttl passes, its entries stay */
        queue_bench_advance_ms(&b, QUEUE_MAINTAIN_MS + 1);
    }
    assert_true(q->wrr_index != 0 || q->wrr_weight > 0);
    assert_int_equal(b.forgotten_count, 1); /* only when it was made */
    assert_int_equal(schedq_choose(q, NULL), 0);
    queue_bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_policy_defaults_count),
        cmocka_unit_test(insertions_wait_for_one_answer_together),
        cmocka_unit_test(an_error_is_told_and_remembered_for_a_minute),
        cmocka_unit_test(an_error_refuses_everybody_who_waits),
        cmocka_unit_test(a_found_message_outlasts_a_broken_config),
        cmocka_unit_test(an_idle_queue_is_reaped_and_a_used_one_is_not),
        cmocka_unit_test(a_refresh_brings_the_new_config_and_a_broken_one_keeps_the_old),
        cmocka_unit_test(who_waits_for_a_config_may_leave),
        cmocka_unit_test(an_epoch_asks_those_anew_that_go_by_it),
        cmocka_unit_test(a_pool_brings_its_sources_without_those_of_weight_zero),
        cmocka_unit_test(an_unchanged_pool_keeps_the_round_robin_where_it_is),
    };
    return cmocka_run_group_tests_name("core/queue/schedq", tests, NULL, NULL);
}
