/* The turn: posts, budgets, calls to other shards, sleeping. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/mem.h"
#include "core/shard/shard_call.h"
#include "tests/support/shard_bench.h"

static struct shard_bench b;

static int set_up_one(void **state)
{
    (void)state;
    shard_bench_open(&b, 1, 1);
    return 0;
}

static int set_up_three(void **state)
{
    (void)state;
    shard_bench_open(&b, 3, 1);
    for (uint32_t i = 0; i < 3; i++) {
        shard_call_init(b.list[i]);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shard_bench_close(&b);
    return 0;
}

/* ---- posts ---- */

struct job {
    struct post post;
    uint32_t run_count;
    uint64_t turn; /* of the last run */
    bool again;
    struct job *unposts;
};

static void job_run(struct post *p)
{
    struct job *job = CONTAINER_OF(p, struct job, post);

    job->run_count++;
    job->turn = b.list[0]->turn_count;
    if (job->again) {
        shard_post(b.list[0], p);
    }
    if (job->unposts != NULL) {
        shard_unpost(b.list[0], &job->unposts->post);
    }
}

static void a_post_runs_from_the_loop_and_once(void **state)
{
    struct job job = {.post.fn = job_run};

    (void)state;
    shard_post(b.list[0], &job.post);
    shard_post(b.list[0], &job.post);
    assert_int_equal(job.run_count, 0);
    fake_ring_turn(b.list[0]);
    fake_ring_turn(b.list[0]);
    assert_int_equal(job.run_count, 1);
    shard_post(b.list[0], &job.post);
    shard_unpost(b.list[0], &job.post);
    shard_unpost(b.list[0], &job.post);
    fake_ring_turn(b.list[0]);
    assert_int_equal(job.run_count, 1);
}

static void a_post_that_posts_itself_waits_for_the_next_turn(void **state)
{
    struct job job = {.post.fn = job_run, .again = true};

    (void)state;
    shard_post(b.list[0], &job.post);
    for (uint32_t i = 1; i <= 5; i++) {
        fake_ring_turn(b.list[0]);
        assert_int_equal(job.run_count, i);
    }
    shard_unpost(b.list[0], &job.post);
}

static void a_post_may_take_back_another_of_the_same_turn(void **state)
{
    struct job second = {.post.fn = job_run};
    struct job first = {.post.fn = job_run, .unposts = &second};

    (void)state;
    shard_post(b.list[0], &first.post);
    shard_post(b.list[0], &second.post);
    fake_ring_turn(b.list[0]);
    fake_ring_turn(b.list[0]);
    assert_int_equal(first.run_count, 1);
    assert_int_equal(second.run_count, 0);
}

static void posts_beyond_the_budget_keep_their_turn(void **state)
{
    enum { COUNT = 3000 };
    struct job *jobs = mem_take_zero(COUNT * sizeof(*jobs));
    uint64_t last_turn = 0;

    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        jobs[i].post.fn = job_run;
        jobs[i].again = i == 0; /* posts itself again, behind all others */
        shard_post(b.list[0], &jobs[i].post);
    }
    fake_ring_turn(b.list[0]);
    assert_int_equal(jobs[COUNT - 1].run_count, 0); /* one turn is bounded */
    for (uint32_t i = 0; i < 5; i++) {
        fake_ring_turn(b.list[0]);
    }
    for (uint32_t i = 1; i < COUNT; i++) {
        assert_int_equal(jobs[i].run_count, 1);
        assert_true(jobs[i].turn >= last_turn);
        last_turn = jobs[i].turn;
    }
    shard_unpost(b.list[0], &jobs[0].post);
    mem_give(jobs);
}

/* ---- the turn is bounded ---- */

struct flood {
    struct mail_item item;
    uint32_t *received_count;
};

static void flood_received(void *ctx, struct mail_item *item)
{
    struct flood *f = CONTAINER_OF(item, struct flood, item);

    (*f->received_count)++;
    mail_send(ctx, b.list[0]->index, MAIL_LEDGER, item); /* never ends */
}

static void mail_to_oneself_without_end_leaves_room_for_the_rest(void **state)
{
    uint32_t received_count = 0;
    struct flood flood = {.received_count = &received_count};
    struct job job = {.post.fn = job_run};

    (void)state;
    mail_on(b.list[0], MAIL_LEDGER, flood_received, b.list[0]);
    mail_send(b.list[0], 0, MAIL_LEDGER, &flood.item);
    shard_post(b.list[0], &job.post);
    fake_ring_turn(b.list[0]);
    assert_int_equal(job.run_count, 1);
    assert_true(received_count <= 256);
}

struct tick {
    struct timer timer;
    uint32_t fired_count;
    uint64_t takes_ms;
};

static void tick_fired(struct timer *t)
{
    struct tick *tick = CONTAINER_OF(t, struct tick, timer);

    tick->fired_count++;
    shard_bench_advance_ms(&b, tick->takes_ms);
}

static void timers_fire_in_the_turn_after_their_millisecond(void **state)
{
    struct tick tick = {.timer.fn = tick_fired};

    (void)state;
    timer_arm(&b.list[0]->timers, &tick.timer, shard_now_ms(b.list[0]) + 50);
    shard_bench_advance_ms(&b, 50);
    fake_ring_turn(b.list[0]);
    assert_int_equal(tick.fired_count, 0);
    shard_bench_advance_ms(&b, 1);
    fake_ring_turn(b.list[0]);
    assert_int_equal(tick.fired_count, 1);
}

static void a_slow_turn_is_counted_also_when_more_work_waits(void **state)
{
    struct tick tick = {.timer.fn = tick_fired, .takes_ms = 6};
    struct job job = {.post.fn = job_run, .again = true};

    (void)state;
    fake_ring_turn(b.list[0]);
    assert_int_equal(b.list[0]->slow_turn_count, 0);
    timer_arm(&b.list[0]->timers, &tick.timer, 0);
    shard_turn(b.list[0], 1000);
    assert_int_equal(b.list[0]->slow_turn_count, 1);
    timer_arm(&b.list[0]->timers, &tick.timer, 0);
    shard_post(b.list[0], &job.post);
    shard_turn(b.list[0], 1000);
    assert_int_equal(tick.fired_count, 2);
    assert_int_equal(b.list[0]->slow_turn_count, 2);
    shard_unpost(b.list[0], &job.post);
}

static void stop_from_post(struct post *p)
{
    (void)p;
    shard_stop(b.list[0]);
}

static void a_handler_can_end_the_run(void **state)
{
    struct post post = {.fn = stop_from_post};

    (void)state;
    shard_post(b.list[0], &post);
    shard_run(b.list[0]);
    assert_int_equal(b.list[0]->turn_count, 1);
}

/* ---- calls ---- */

struct visit {
    struct shard_call call;
    uint32_t seen[4];
    uint32_t count;
};

static void visit_next(struct shard *sh, struct shard_call *call)
{
    struct visit *v = CONTAINER_OF(call, struct visit, call);

    v->seen[v->count++] = sh->index;
    if (sh->index != 0) {
        shard_call(sh, (sh->index + 1) % 3, call);
    }
}

static void a_call_visits_shards_one_after_the_other(void **state)
{
    struct visit v = {.call.fn = visit_next};

    (void)state;
    shard_call(b.list[0], 1, &v.call);
    assert_int_equal(v.count, 0);
    shard_bench_settle(&b);
    assert_int_equal(v.count, 3);
    assert_int_equal(v.seen[0], 1);
    assert_int_equal(v.seen[1], 2);
    assert_int_equal(v.seen[2], 0);
    shard_call(b.list[0], 0, &v.call); /* itself: from the loop all the same */
    assert_int_equal(v.count, 3);
    shard_bench_settle(&b);
    assert_int_equal(v.count, 4);
}

static void a_name_belongs_to_the_same_shard_everywhere(void **state)
{
    uint32_t counts[3] = {0};
    struct buf name = {0};

    (void)state;
    for (uint32_t i = 0; i < 3000; i++) {
        buf_clear(&name);
        buf_printf(&name, "queue-%u.example", i);
        counts[shard_of_name(&b.group, buf_slice(&name))]++;
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_in_range(counts[i], 800, 1200);
    }
    buf_free(&name);
}

#define ON_ONE(test) cmocka_unit_test_setup_teardown(test, set_up_one, tear_down)
#define ON_THREE(test) cmocka_unit_test_setup_teardown(test, set_up_three, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ONE(a_post_runs_from_the_loop_and_once),
        ON_ONE(a_post_that_posts_itself_waits_for_the_next_turn),
        ON_ONE(a_post_may_take_back_another_of_the_same_turn),
        ON_ONE(posts_beyond_the_budget_keep_their_turn),
        ON_ONE(mail_to_oneself_without_end_leaves_room_for_the_rest),
        ON_ONE(timers_fire_in_the_turn_after_their_millisecond),
        ON_ONE(a_slow_turn_is_counted_also_when_more_work_waits),
        ON_ONE(a_handler_can_end_the_run),
        ON_THREE(a_call_visits_shards_one_after_the_other),
        ON_THREE(a_name_belongs_to_the_same_shard_everywhere),
    };
    return cmocka_run_group_tests_name("core/shard/shard", tests, NULL, NULL);
}
