/* Two shards on threads and rings of their own: nothing is lost, nobody sleeps through his mail. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "core/base/mem.h"
#include "core/shard/shard_call.h"

#define SHARDS 2u
#define PATIENCE_MS 60000u

static struct shard_group group;
static struct shard *list[SHARDS];

static int set_up(void **state)
{
    const struct ring_params params = {.sq_entries = 64,
                                       .cq_entries = 1024,
                                       .ingress_buffers = 2,
                                       .egress_buffers = 2,
                                       .workers = 1};
    struct buf why = {0};

    (void)state;
    group = (struct shard_group){.count = SHARDS, .shards = list};
    for (uint32_t i = 0; i < SHARDS; i++) {
        list[i] = MEM_NEW(struct shard);
        if (ring_uring_open(&list[i]->ring, &params, &why) != 0) {
            fprintf(stderr, "%.*s\n", (int)why.len, why.ptr);
            return -1;
        }
        shard_init(list[i], &group, i);
        shard_call_init(list[i]);
    }
    buf_free(&why);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SHARDS; i++) {
        mail_free(list[i]);
        ring_close(&list[i]->ring);
        MEM_FREE(&list[i]);
    }
    return 0;
}

/* Ends a test that hangs: a wake-up that was lost shows as this. */
struct watch {
    struct timer timer;
    struct shard *shard;
    bool barked;
};

static struct watch watch[SHARDS];

static void watch_barked(struct timer *t)
{
    struct watch *w = CONTAINER_OF(t, struct watch, timer);

    w->barked = true;
    shard_stop(w->shard);
}

static void *shard_main(void *arg)
{
    struct shard *sh = arg;
    struct watch *w = &watch[sh->index];

    MUST(ring_uring_enable(&sh->ring) == 0);
    *w = (struct watch){.timer.fn = watch_barked, .shard = sh};
    timer_arm(&sh->timers, &w->timer, shard_now_ms(sh) + PATIENCE_MS);
    shard_run(sh);
    timer_cancel(&sh->timers, &w->timer);
    return NULL;
}

static void run_both(void)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        assert_int_equal(pthread_create(&list[i]->thread, NULL, shard_main, list[i]), 0);
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        pthread_join(list[i]->thread, NULL);
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        assert_false(watch[i].barked);
    }
}

static void stop_here(struct shard *sh, struct shard_call *call)
{
    (void)call;
    shard_stop(sh);
}

/* ---- ping-pong: each leg finds the other side asleep ---- */

struct ball {
    struct shard_call call;
    uint32_t hops, goal;
    struct shard_call stop;
};

static void ball_hit(struct shard *sh, struct shard_call *call)
{
    struct ball *ball = CONTAINER_OF(call, struct ball, call);

    if (++ball->hops < ball->goal) {
        shard_call(sh, 1 - sh->index, call);
        return;
    }
    ball->stop.fn = stop_here;
    shard_call(sh, 1 - sh->index, &ball->stop);
    shard_stop(sh);
}

static void every_letter_to_a_sleeper_wakes_it(void **state)
{
    struct ball ball = {.call.fn = ball_hit, .goal = 20000};

    (void)state;
    shard_call(list[0], 1, &ball.call);
    run_both();
    assert_int_equal(ball.hops, ball.goal);
}

/* ---- a flood both ways, with answers ---- */

#define ERRANDS 20000u

struct errand {
    struct mail_item item;
    uint32_t number;
    bool settled;
};

struct side {
    struct shard *shard;
    struct post more;
    uint32_t sent_count, asked_count, settled_count, out_of_order_count;
    struct shard_call finished;
};

static struct side sides[SHARDS];
static uint32_t finished_count;

static void errand_finished(struct shard *sh, struct shard_call *call)
{
    (void)call;
    if (++finished_count == SHARDS) { /* both have all answers: nothing is under way */
        static struct shard_call stop;

        stop = (struct shard_call){.fn = stop_here};
        shard_call(sh, 1, &stop);
        shard_stop(sh);
    }
}

static void errand_received(void *ctx, struct mail_item *item)
{
    struct side *s = ctx;
    struct errand *e = CONTAINER_OF(item, struct errand, item);

    if (!e->settled) {
        s->out_of_order_count += e->number != s->asked_count++;
        e->settled = true;
        mail_send(s->shard, item->from, MAIL_LEDGER, item);
        return;
    }
    s->out_of_order_count += e->number != s->settled_count++;
    mem_give(e);
    if (s->settled_count == ERRANDS) {
        s->finished.fn = errand_finished;
        shard_call(s->shard, 0, &s->finished);
    }
}

/* New work slows down by congestion; the answers above do not. */
static void errands_send(struct post *p)
{
    struct side *s = CONTAINER_OF(p, struct side, more);
    uint32_t to = 1 - s->shard->index;

    for (uint32_t i = 0; i < 3000 && s->sent_count < ERRANDS; i++) {
        struct errand *e = MEM_NEW(struct errand);

        e->number = s->sent_count++;
        mail_send(s->shard, to, MAIL_LEDGER, &e->item);
    }
    if (s->sent_count < ERRANDS) {
        shard_post(s->shard, p);
    }
}

static void a_flood_both_ways_is_answered_in_full_and_in_order(void **state)
{
    (void)state;
    finished_count = 0;
    for (uint32_t i = 0; i < SHARDS; i++) {
        sides[i] = (struct side){.shard = list[i], .more.fn = errands_send};
        mail_on(list[i], MAIL_LEDGER, errand_received, &sides[i]);
        shard_post(list[i], &sides[i].more);
    }
    run_both();
    for (uint32_t i = 0; i < SHARDS; i++) {
        assert_int_equal(sides[i].asked_count, ERRANDS);
        assert_int_equal(sides[i].settled_count, ERRANDS);
        assert_int_equal(sides[i].out_of_order_count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_letter_to_a_sleeper_wakes_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flood_both_ways_is_answered_in_full_and_in_order, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("core/shard/shard_threads", tests, NULL, NULL);
}
