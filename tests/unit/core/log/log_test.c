#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/core/log/log_bench.h"

static void a_record_is_durable_after_the_flush_interval(void **state)
{
    struct log_bench *b = *state;
    struct buf text = {0};
    bool complete;

    log_add_logger(b->log, &b->params);
    log_bench_submit(b, LOG_DELIVERY, "a", 7);
    log_bench_advance(b, 999);
    assert_int_equal(log_bench_file_count(b), 0);
    assert_int_equal(b->durable, 0);

    log_bench_advance(b, 2);
    assert_int_equal(log_bench_file_count(b), 1);
    assert_string_equal(log_bench_senders(b, 0), "a");
    log_bench_read(log_bench_file(b, 0), &text, &complete);
    assert_false(complete);
    assert_int_equal(log_bench_file(b, 0)->synced_size, log_bench_file(b, 0)->bytes.len);
    assert_int_equal(log_bench_file(b, 0)->mode, 0644);
    assert_int_equal(b->durable, 7);
    buf_free(&text);
}

static void a_finished_segment_is_one_whole_frame_without_write_permission(void **state)
{
    struct log_bench *b = *state;
    struct buf text = {0};
    bool complete;

    log_add_logger(b->log, &b->params);
    log_bench_submit(b, LOG_RECEPTION, "a", 0);
    log_bench_advance(b, 1001);
    log_bench_submit(b, LOG_DELIVERY, "b", 0);
    log_bench_drain(b);
    assert_true(b->drained);
    assert_int_equal(log_bench_file_count(b), 1);
    assert_string_equal(log_bench_file(b, 0)->path, "/l/20260202-024004.121458711");
    assert_int_equal(log_bench_file(b, 0)->mode, 0444);
    log_bench_read(log_bench_file(b, 0), &text, &complete);
    assert_true(complete);
    assert_string_equal(log_bench_senders(b, 0), "a b");
    buf_free(&text);
}

static void an_unused_log_makes_no_file_and_drains_at_once(void **state)
{
    struct log_bench *b = *state;

    log_add_logger(b->log, &b->params);
    log_bench_drain(b);
    assert_true(b->drained);
    assert_int_equal(log_bench_file_count(b), 0);
}

static void records_keep_their_order_over_many_chunks(void **state)
{
    struct log_bench *b = *state;
    struct buf text = {0}, want = {0};
    bool complete;
    char name[16];

    log_add_logger(b->log, &b->params);
    for (unsigned i = 0; i < 4000; i++) {
        (void)snprintf(name, sizeof(name), "s%u", i);
        log_bench_submit(b, LOG_DELIVERY, name, 0);
        buf_put(&want, slice_str(i == 0 ? "" : " "));
        buf_put(&want, slice_str(name));
        if (i % 500 == 0) {
            log_bench_run(b);
        }
    }
    log_bench_drain(b);
    buf_char(&want, '\0');
    assert_string_equal(log_bench_senders(b, 0), want.ptr);
    log_bench_read(log_bench_file(b, 0), &text, &complete);
    assert_true(complete);
    assert_true(text.len > 20 * 65536);
    buf_free(&text);
    buf_free(&want);
}

static void a_segment_ends_with_the_record_that_reaches_its_size(void **state)
{
    struct log_bench *b = *state;

    b->params.max_file_size = 1000; /* a line has some 600 bytes */
    log_add_logger(b->log, &b->params);
    for (unsigned i = 0; i < 5; i++) {
        log_bench_submit(b, LOG_DELIVERY, (const char *[]){"a", "b", "c", "d", "e"}[i], 0);
        log_bench_advance(b, 10);
    }
    log_bench_drain(b);
    assert_int_equal(log_bench_file_count(b), 3);
    assert_string_equal(log_bench_senders(b, 0), "a b");
    assert_string_equal(log_bench_senders(b, 1), "c d");
    assert_string_equal(log_bench_senders(b, 2), "e");
}

static void a_segment_ends_when_it_is_old_even_if_nothing_comes(void **state)
{
    struct log_bench *b = *state;

    b->params.max_segment_duration_ms = 5000;
    log_add_logger(b->log, &b->params);
    log_bench_submit(b, LOG_DELIVERY, "a", 0);
    log_bench_advance(b, 4999);
    assert_int_equal(log_bench_file(b, 0)->mode, 0644);
    log_bench_advance(b, 2);
    assert_int_equal(log_bench_file(b, 0)->mode, 0444);

    log_bench_advance(b, 60000);
    assert_int_equal(log_bench_file_count(b), 1); /* no record, no segment */
    log_bench_submit(b, LOG_DELIVERY, "b", 0);
    log_bench_drain(b);
    assert_int_equal(log_bench_file_count(b), 2);
    assert_string_equal(log_bench_senders(b, 1), "b");
}

static void rotation_on_demand_ends_what_is_open(void **state)
{
    struct log_bench *b = *state;

    log_add_logger(b->log, &b->params);
    log_rotate(b->log);
    log_bench_submit(b, LOG_DELIVERY, "a", 0);
    log_rotate(b->log);
    log_bench_run(b);
    assert_int_equal(log_bench_file(b, 0)->mode, 0444);
    log_rotate(b->log);
    log_bench_run(b);
    assert_int_equal(log_bench_file_count(b), 1);
}

static void types_go_where_per_record_sends_them(void **state)
{
    struct log_bench *b = *state;
    struct buf text = {0};
    bool complete;

    b->params.per_record[LOG_RECEPTION] =
        (struct log_per_record){.is_set = true, .suffix = SLICE("_r")};
    b->params.per_record[LOG_BOUNCE] = (struct log_per_record){
        .is_set = true, .log_dir = SLICE("/other"), .segment_header = SLICE("head\n")};
    b->params.any = (struct log_per_record){.is_set = true, .disabled = true};
    log_add_logger(b->log, &b->params);
    log_bench_submit(b, LOG_RECEPTION, "a", 0);
    log_bench_submit(b, LOG_DELIVERY, "b", 0);
    log_bench_submit(b, LOG_BOUNCE, "c", 0);
    log_bench_drain(b);
    assert_int_equal(log_bench_file_count(b), 2);
    assert_string_equal(log_bench_file(b, 0)->path, "/l/20260202-024003.120458711_r");
    assert_string_equal(log_bench_senders(b, 0), "a");
    assert_string_equal(log_bench_file(b, 1)->path, "/other/20260202-024003.120458711");
    assert_string_equal(log_bench_senders(b, 1), "c");
    log_bench_read(log_bench_file(b, 1), &text, &complete);
    assert_true(slice_starts(buf_slice(&text), SLICE("head\n{\"type\":\"Bounce\"")));
    buf_free(&text);
}

static void reception_gates_oob(void **state)
{
    struct log_bench *b = *state;

    b->params.per_record[LOG_RECEPTION] = (struct log_per_record){.is_set = true, .disabled = true};
    log_add_logger(b->log, &b->params);
    log_bench_submit(b, LOG_OOB, "a", 0);
    log_bench_drain(b);
    assert_int_equal(log_bench_file_count(b), 0);
}

/* Two loggers with one directory, as two shards would have. */
static void no_two_writers_share_a_file(void **state)
{
    struct log_bench *b = *state;

    log_add_logger(b->log, &b->params);
    log_add_logger(b->log, &b->params);
    log_bench_submit(b, LOG_DELIVERY, "a", 0);
    log_bench_drain(b);
    assert_int_equal(log_bench_file_count(b), 2);
    assert_string_equal(log_bench_file(b, 0)->path, "/l/20260202-024003.120458711");
    assert_string_equal(log_bench_file(b, 1)->path, "/l/20260202-024003.120458712");
    assert_string_equal(log_bench_senders(b, 0), "a");
    assert_string_equal(log_bench_senders(b, 1), "a");
}

static void a_settle_is_durable_when_the_last_logger_has_it(void **state)
{
    struct log_bench *b = *state;
    struct log_params slow = b->params;

    slow.flush_interval_ms = 3000;
    log_add_logger(b->log, &b->params);
    log_add_logger(b->log, &slow);
    log_bench_submit(b, LOG_DELIVERY, "a", 1);
    log_bench_advance(b, 1001);
    assert_int_equal(b->durable, 0);
    log_bench_advance(b, 1000);
    log_bench_submit(b, LOG_DELIVERY, "b", 2);
    log_bench_advance(b, 1001); /* the slow one writes both, the fast one had "a" */
    assert_int_equal(b->durable, 2);
}

static void a_settle_that_no_logger_wants_is_durable_at_once(void **state)
{
    struct log_bench *b = *state;

    b->params.per_record[LOG_DELIVERY] = (struct log_per_record){.is_set = true, .disabled = true};
    log_add_logger(b->log, &b->params);
    log_bench_submit(b, LOG_BOUNCE, "a", 1);
    log_bench_submit(b, LOG_DELIVERY, "b", 2);
    log_bench_run(b);
    assert_int_equal(b->durable, 0); /* the bounce before it is not */
    log_bench_advance(b, 1001);
    assert_int_equal(b->durable, 2);
    log_bench_submit(b, LOG_DELIVERY, "c", 3);
    log_bench_run(b);
    assert_int_equal(b->durable, 3);
}

struct noted_sync {
    struct log_sync sync;
    unsigned count;
};

static void note_sync(struct log_sync *sync)
{
    CONTAINER_OF(sync, struct noted_sync, sync)->count++;
}

static void a_sync_waits_for_what_came_before_it(void **state)
{
    struct log_bench *b = *state;
    struct noted_sync first = {.sync.done = note_sync}, second = {.sync.done = note_sync};

    log_add_logger(b->log, &b->params);
    log_sync(b->log, &first.sync);
    assert_int_equal(first.count, 0); /* never from inside */
    log_bench_run(b);
    assert_int_equal(first.count, 1);

    log_bench_submit(b, LOG_DELIVERY, "a", 0);
    b->hold = true;
    log_sync(b->log, &second.sync);
    log_bench_run(b);
    assert_int_equal(second.count, 0);
    b->hold = false;
    log_bench_run(b);
    assert_int_equal(second.count, 1);
    assert_string_equal(log_bench_senders(b, 0), "a");
}

struct noted_sink {
    struct log_sink sink;
    struct buf senders;
};

static void note_record(struct log_sink *sink, const struct log_record *r)
{
    buf_put(&CONTAINER_OF(sink, struct noted_sink, sink)->senders, r->sender);
}

static void sinks_see_every_record_until_they_leave(void **state)
{
    struct log_bench *b = *state;
    struct noted_sink s = {.sink.write = note_record};

    log_add_logger(b->log, &b->params);
    assert_false(log_wants_headers(b->log));
    s.sink.wants_headers = true;
    log_add_sink(b->log, &s.sink);
    assert_true(log_wants_headers(b->log));
    log_bench_submit(b, LOG_DELIVERY, "a", 0);
    log_bench_submit(b, LOG_REJECTION, "b", 0);
    log_remove_sink(b->log, &s.sink);
    log_bench_submit(b, LOG_DELIVERY, "c", 0);
    assert_true(slice_eq(buf_slice(&s.senders), SLICE("ab")));
    buf_free(&s.senders);
}

static void files_of_an_earlier_life_are_declared_complete(void **state)
{
    struct log_bench *b = *state;
    struct buf why = {0};
    static const struct {
        const char *path;
        bool is_dir;
        unsigned want;
    } cases[] = {
        {"/l/20260101-000000", false, 0444},
        {"/l/.hidden", false, 0644},
        {"/l/sub", true, 0644},
        {"/other/20260101-000000.5", false, 0444},
        {"/elsewhere/x", false, 0644},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct bench_file *f = &b->files[b->file_count++];

        memcpy(f->path, cases[i].path, strlen(cases[i].path) + 1);
        f->exists = true;
        f->is_dir = cases[i].is_dir;
        f->mode = 0644;
    }
    assert_int_equal(b->backend.fs_mkdirs(&b->shard.ring, "/other", 0755), 0);
    b->params.per_record[LOG_OOB] =
        (struct log_per_record){.is_set = true, .log_dir = SLICE("/other")};
    b->params.any = (struct log_per_record){.is_set = true, .log_dir = SLICE("/not/there")};
    assert_true(log_prepare(&b->shard.ring, &b->params, &why));
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(b->files[i].mode, cases[i].want);
    }
}

static void parameters_that_cannot_be_carried_out_are_refused(void **state)
{
    static const struct {
        struct log_params params;
        const char *why;
    } cases[] = {
        {{.log_dir = {"/l", 2}}, ""},
        {{.log_dir = {"", 0}}, "log_dir must not be empty"},
        {{.log_dir = {"/l", 2}, .compression_level = 22},
         "compression_level 22 is not between 0 and 21"},
        {{.log_dir = {"/l", 2}, .filter_event = {"f", 1}}, "filter_event is not supported yet"},
        {{.log_dir = {"/l", 2}, .any = {.is_set = true, .template = {"x", 1}}},
         "per_record.Any.template is not supported yet"},
        {{.log_dir = {"/l", 2},
          .per_record = {[LOG_BOUNCE] = {.is_set = true, .suffix = {"../x", 4}}}},
         "per_record.Bounce.suffix '../x' must not contain a slash"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buf why = {0};

        assert_int_equal(log_params_check(&cases[i].params, &why), cases[i].why[0] == '\0');
        buf_char(&why, '\0');
        assert_string_equal(why.ptr, cases[i].why);
        buf_free(&why);
    }
}

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, log_bench_setup, log_bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(a_record_is_durable_after_the_flush_interval),
        ON_BENCH(a_finished_segment_is_one_whole_frame_without_write_permission),
        ON_BENCH(an_unused_log_makes_no_file_and_drains_at_once),
        ON_BENCH(records_keep_their_order_over_many_chunks),
        ON_BENCH(a_segment_ends_with_the_record_that_reaches_its_size),
        ON_BENCH(a_segment_ends_when_it_is_old_even_if_nothing_comes),
        ON_BENCH(rotation_on_demand_ends_what_is_open),
        ON_BENCH(types_go_where_per_record_sends_them),
        ON_BENCH(reception_gates_oob),
        ON_BENCH(no_two_writers_share_a_file),
        ON_BENCH(a_settle_is_durable_when_the_last_logger_has_it),
        ON_BENCH(a_settle_that_no_logger_wants_is_durable_at_once),
        ON_BENCH(a_sync_waits_for_what_came_before_it),
        ON_BENCH(sinks_see_every_record_until_they_leave),
        ON_BENCH(files_of_an_earlier_life_are_declared_complete),
        cmocka_unit_test(parameters_that_cannot_be_carried_out_are_refused),
    };
    return cmocka_run_group_tests_name("core/log/log", tests, NULL, NULL);
}
