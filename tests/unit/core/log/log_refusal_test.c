/* What the log does when the disk does not want. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "tests/unit/core/log/log_bench.h"

static struct log_counters counters_of(const struct log_bench *b)
{
    struct log_counters c;

    log_counters(b->log, &c);
    return c;
}

static void a_full_disk_holds_records_and_goes_on_in_the_same_file(void **state)
{
    struct log_bench *b = *state;
    struct buf text = {0};
    bool complete;

    log_add_logger(b->log, &b->params);
    log_bench_submit(b, LOG_DELIVERY, "a", 1);
    log_bench_advance(b, 1001);
    b->fail_write = ENOSPC;
    log_bench_submit(b, LOG_DELIVERY, "b", 2);
    for (unsigned i = 0; i < 10; i++) {
        log_bench_advance(b, 1001);
    }
    assert_int_equal(b->durable, 1);
    assert_true(counters_of(b).error_count >= 5);
    assert_int_equal(counters_of(b).lost_count, 0);

    b->fail_write = 0;
    log_bench_submit(b, LOG_DELIVERY, "c", 3);
    log_bench_advance(b, 1001);
    log_bench_advance(b, 1001);
    assert_int_equal(b->durable, 3);
    log_bench_drain(b);
    assert_int_equal(log_bench_file_count(b), 1);
    assert_string_equal(log_bench_senders(b, 0), "a b c");
    log_bench_read(log_bench_file(b, 0), &text, &complete);
    assert_true(complete);
    buf_free(&text);
}

static void a_refusal_is_said_once_and_its_end_too(void **state)
{
    struct log_bench *b = *state;

    log_add_logger(b->log, &b->params);
    b->fail_open = EACCES;
    log_bench_submit(b, LOG_DELIVERY, "a", 0);
    for (unsigned i = 0; i < 5; i++) {
        log_bench_advance(b, 1001);
    }
    b->fail_open = 0;
    log_bench_advance(b, 1001);
    buf_char(&b->said, '\0');
    assert_non_null(strstr(b->said.ptr, " ERROR log: opening a segment in /l: Permission denied"));
    assert_null(strstr(strstr(b->said.ptr, "opening") + 1, "opening"));
    assert_non_null(strstr(b->said.ptr, "  INFO log: segments in /l are written again"));
    assert_string_equal(log_bench_senders(b, 0), "a");
}

static void a_missing_directory_is_made(void **state)
{
    struct log_bench *b = *state;

    log_add_logger(b->log, &b->params);
    log_bench_submit(b, LOG_DELIVERY, "a", 0);
    log_bench_drain(b);
    assert_string_equal(log_bench_senders(b, 0), "a");
    assert_int_equal(counters_of(b).error_count, 0);
}

/* The kernel may drop pages whose writing failed and report success next time. */
static void after_a_failed_sync_its_records_go_into_another_file(void **state)
{
    struct log_bench *b = *state;

    log_add_logger(b->log, &b->params);
    log_bench_submit(b, LOG_DELIVERY, "a", 1);
    log_bench_advance(b, 1001);
    b->fail_sync = EIO;
    b->fail_sync_count = 1;
    log_bench_submit(b, LOG_DELIVERY, "b", 2);
    log_bench_advance(b, 1001);
    assert_int_equal(b->durable, 1);
    assert_int_equal(log_bench_file(b, 0)->mode, 0444);

    log_bench_submit(b, LOG_DELIVERY, "c", 3);
    log_bench_advance(b, 1001);
    log_bench_advance(b, 1001);
    assert_int_equal(b->durable, 3);
    log_bench_drain(b);
    assert_int_equal(log_bench_file_count(b), 2);
    assert_string_equal(log_bench_senders(b, 1), "b c");
}

static void a_file_that_cannot_be_written_is_left_for_another(void **state)
{
    struct log_bench *b = *state;
    unsigned tries = 0;

    b->params.per_record[LOG_DELIVERY] =
        (struct log_per_record){.is_set = true, .segment_header = SLICE("head\n")};
    log_add_logger(b->log, &b->params);
    b->fail_write = EIO;
    log_bench_submit(b, LOG_DELIVERY, "a", 1);
    while (log_bench_file_count(b) < 2) {
        log_bench_advance(b, 1001);
        assert_true(++tries < 10);
    }
    b->fail_write = 0;
    log_bench_advance(b, 1001);
    log_bench_drain(b);
    assert_int_equal(b->durable, 1);
    assert_int_equal(log_bench_file(b, 0)->bytes.len, 0);
    assert_string_equal(log_bench_senders(b, 1), "a");

    struct buf text = {0};
    bool complete;

    log_bench_read(log_bench_file(b, 1), &text, &complete);
    assert_true(complete && slice_starts(buf_slice(&text), SLICE("head\n{")));
    buf_free(&text);
}

static void short_writes_are_continued(void **state)
{
    struct log_bench *b = *state;

    log_add_logger(b->log, &b->params);
    b->write_max = 7;
    log_bench_submit(b, LOG_DELIVERY, "a", 0);
    log_bench_submit(b, LOG_DELIVERY, "b", 0);
    log_bench_drain(b);
    assert_string_equal(log_bench_senders(b, 0), "a b");
}

static void too_many_waiting_records_ask_for_a_pause(void **state)
{
    struct log_bench *b = *state;

    b->params.back_pressure = 3;
    log_add_logger(b->log, &b->params);
    b->hold = true;
    log_bench_submit(b, LOG_DELIVERY, "a", 0);
    log_bench_submit(b, LOG_DELIVERY, "b", 0);
    assert_false(log_wants_pause(b->log));
    log_bench_submit(b, LOG_DELIVERY, "c", 0);
    assert_true(log_wants_pause(b->log));
    assert_int_equal(counters_of(b).full_count, 0);
    log_bench_submit(b, LOG_DELIVERY, "d", 0);
    assert_int_equal(counters_of(b).full_count, 1);
    assert_int_equal(counters_of(b).lost_count, 0);

    b->hold = false;
    log_bench_run(b); /* no need for the flush interval to pass */
    assert_false(log_wants_pause(b->log));
    log_bench_drain(b);
    assert_string_equal(log_bench_senders(b, 0), "a b c d");
}

/* The spool writes the record again at the next start, so its settle must not count as logged. */
static void a_lost_record_holds_the_mark(void **state)
{
    struct log_bench *b = *state;
    struct log_options options = {.ctx = b, .node_id = SLICE("n"), .held_bytes_max = 800,
                                  .diag = &b->diag};

    log_free(&b->log);
    b->log = log_new(&b->shard, &options);
    log_add_logger(b->log, &b->params);
    log_bench_submit(b, LOG_DELIVERY, "a", 1);
    log_bench_submit(b, LOG_DELIVERY, "b", 2);
    log_bench_submit(b, LOG_DELIVERY, "c", 3);
    assert_int_equal(counters_of(b).lost_count, 1);
    buf_char(&b->said, '\0');
    assert_non_null(strstr(b->said.ptr, "log records are lost"));
    log_bench_drain(b);
    assert_string_equal(log_bench_senders(b, 0), "a b");
}

static void settles_behind_a_lost_record_are_not_reported(void **state)
{
    struct log_bench *b = *state;

    log_add_logger(b->log, &b->params);
    log_bench_submit(b, LOG_DELIVERY, "a", 1);
    log_bench_drain(b);
    assert_int_equal(b->durable, 1);
    log_bench_submit(b, LOG_DELIVERY, "b", 2); /* after the drain: too late */
    log_bench_run(b);
    assert_int_equal(b->durable, 1);
    assert_int_equal(counters_of(b).lost_count, 1);
}

static void draining_gives_up_on_a_disk_that_never_answers_well(void **state)
{
    struct log_bench *b = *state;
    unsigned tries = 0;

    log_add_logger(b->log, &b->params);
    b->fail_write = ENOSPC;
    log_bench_submit(b, LOG_DELIVERY, "a", 1);
    log_bench_drain(b);
    assert_false(b->drained);
    while (!b->drained) {
        log_bench_advance(b, 1001);
        assert_true(++tries <= LOG_DRAIN_TRIES);
    }
    assert_int_equal(b->durable, 0);
    assert_int_equal(counters_of(b).lost_count, 1);
    assert_int_equal(counters_of(b).held_bytes, 0);
    assert_int_equal(counters_of(b).waiting_count, 0);
}

static void counters_return_to_nothing_held(void **state)
{
    struct log_bench *b = *state;

    log_add_logger(b->log, &b->params);
    log_bench_submit(b, LOG_DELIVERY, "a", 0);
    assert_int_equal(counters_of(b).waiting_count, 1);
    assert_true(counters_of(b).held_bytes > 0);
    log_bench_drain(b);
    assert_int_equal(counters_of(b).waiting_count, 0);
    assert_int_equal(counters_of(b).held_bytes, 0);
    assert_int_equal(counters_of(b).record_count, 1);
    assert_int_equal(counters_of(b).segment_count, 1);
    assert_int_equal(counters_of(b).written_bytes, log_bench_file(b, 0)->bytes.len);
}

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, log_bench_setup, log_bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(a_full_disk_holds_records_and_goes_on_in_the_same_file),
        ON_BENCH(a_refusal_is_said_once_and_its_end_too),
        ON_BENCH(a_missing_directory_is_made),
        ON_BENCH(after_a_failed_sync_its_records_go_into_another_file),
        ON_BENCH(a_file_that_cannot_be_written_is_left_for_another),
        ON_BENCH(short_writes_are_continued),
        ON_BENCH(too_many_waiting_records_ask_for_a_pause),
        ON_BENCH(a_lost_record_holds_the_mark),
        ON_BENCH(settles_behind_a_lost_record_are_not_reported),
        ON_BENCH(draining_gives_up_on_a_disk_that_never_answers_well),
        ON_BENCH(counters_return_to_nothing_held),
    };
    return cmocka_run_group_tests_name("core/log/refusal", tests, NULL, NULL);
}
