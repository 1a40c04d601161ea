/* Whether a message waits for a busy connection or has one of its own. */
#include "tests/unit/core/egress/lane_bench.h"

#define TX(word) "MAIL FROM:<sender@a.example>\r\nRCPT TO:<" word "@b.example>\r\nDATA\r\n"
#define NEXT(word) "RSET\r\n" TX(word)
#define BODY "Subject: x\r\n\r\nbody\r\n.\r\n"
#define TAKEN "250 s\r\n250 r\r\n354 go\r\n"

static struct lane_bench b;

/* One message is delivered in so many milliseconds, and the envelope of the next is sent. */
static void begin_at_pace(uint64_t ms)
{
    lane_bench_open(&b, "connection_limit=32", "");
    lane_bench_insert(&b, "u@b.example");
    lane_bench_greet(&b, "PIPELINING");
    lane_bench_expect(&b, TX("u"));
    lane_bench_say(&b, TAKEN);
    lane_bench_expect(&b, BODY);
    queue_bench_advance_ms(&b.q, ms);
    lane_bench_say(&b, "250 first\r\n");
    lane_bench_insert(&b, "v@b.example");
    lane_bench_expect(&b, NEXT("v"));
}

static void insert_two_more(void)
{
    lane_bench_insert(&b, "w@b.example");
    lane_bench_insert(&b, "x@b.example");
    lane_bench_settle(&b);
}

static void a_prompt_peer_gets_all_over_the_connection_that_is_busy(void **state)
{
    (void)state;
    begin_at_pace(0);
    insert_two_more();
    assert_int_equal(lane_bench_readyq(&b)->lane_count, 1);
    lane_bench_say(&b, "250 rset\r\n" TAKEN);
    lane_bench_expect(&b, BODY NEXT("w"));
    lane_bench_say(&b, "250 second\r\n250 rset\r\n" TAKEN);
    lane_bench_expect(&b, BODY NEXT("x"));
    lane_bench_close(&b);
}

static void one_that_is_not_prompt_this_time_has_company_soon(void **state)
{
    (void)state;
    begin_at_pace(0);
    insert_two_more();
    queue_bench_advance_ms(&b.q, 4);
    assert_int_equal(lane_bench_readyq(&b)->lane_count, 1);
    queue_bench_advance_ms(&b.q, 2);
    lane_bench_settle(&b);
    assert_int_equal(lane_bench_readyq(&b)->lane_count, 2);
    lane_bench_close(&b);
}

static void a_slow_peer_is_not_waited_for(void **state)
{
    (void)state;
    begin_at_pace(100);
    insert_two_more();
    assert_int_equal(lane_bench_readyq(&b)->lane_count, 2);
    lane_bench_close(&b);
}

static void more_than_the_busy_one_takes_in_time_has_another_connection(void **state)
{
    (void)state;
    begin_at_pace(2);
    insert_two_more();
    assert_int_equal(lane_bench_readyq(&b)->lane_count, 1);
    lane_bench_insert(&b, "y@b.example");
    lane_bench_settle(&b);
    assert_int_equal(lane_bench_readyq(&b)->lane_count, 3);
    lane_bench_close(&b);
}

int main(void)
{
#define T(fn) cmocka_unit_test(fn)
    const struct CMUnitTest tests[] = {
        T(a_prompt_peer_gets_all_over_the_connection_that_is_busy),
        T(one_that_is_not_prompt_this_time_has_company_soon),
        T(a_slow_peer_is_not_waited_for),
        T(more_than_the_busy_one_takes_in_time_has_another_connection),
    };
    return cmocka_run_group_tests_name("core/egress/lane_prompt", tests, NULL, NULL);
}
