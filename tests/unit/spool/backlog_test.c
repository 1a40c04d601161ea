/* A disk that stays away: what is settled and changed meanwhile has a bound, and is not lost. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "spool/commit.h"
#include "tests/unit/spool/spool_bench.h"

#define MAILS 240u
#define COMMITS_MAX 3u

static const char outcome[1500] = "a log record of a rather long answer";

static int setup(void **state)
{
    static struct spool_bench bench;

    bench_init(&bench);
    bench.params.backlog_commits_max = COMMITS_MAX;
    bench.params.staging_bytes_max = 32 * 1024;
    bench_start(&bench, 1);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    bench_free(*state);
    return 0;
}

static int64_t away(void *ctx, enum fake_io io, const char *path, uint64_t offset, uint64_t len)
{
    (void)ctx;
    (void)path;
    (void)offset;
    (void)len;
    return io == FAKE_WRITE || io == FAKE_ALLOCATE || io == FAKE_SYNC || io == FAKE_UNLINK ? -EIO
                                                                                           : 0;
}

static void accept_all(struct spool_bench *b, struct bench_mail *mails[MAILS])
{
    for (uint32_t i = 0; i < MAILS; i++) {
        char name[16];

        snprintf(name, sizeof(name), "m%u", i);
        mails[i] = bench_accept(b, name, 300);
        bench_run_now(b);
        assert_int_equal(mails[i]->err, SPOOL_OK);
    }
    bench_run(b);
}

static void free_all(struct bench_mail *mails[MAILS])
{
    for (uint32_t i = 0; i < MAILS; i++) {
        bench_mail_free(&mails[i]);
    }
}

/* Answers the last sequence. */
static uint64_t settle_all(struct spool_bench *b, struct bench_mail *mails[MAILS])
{
    uint64_t sequence = 0;

    for (uint32_t i = 0; i < MAILS; i++) {
        uint64_t next = spool_settle(b->spools[0], mails[i]->record.ref,
                                     slice_of(outcome, sizeof(outcome)));

        assert_true(next > sequence);
        sequence = next;
        bench_run(b);
    }
    return sequence;
}

/* Until what failed is tried again, some segments later. */
static void disk_returns(struct spool_bench *b)
{
    fake_disk_set_fault(b->disk, NULL, NULL);
    for (int i = 0; i < 5; i++) {
        bench_advance_ms(b, LOG_RETRY_MS);
        bench_run(b);
    }
}

static const struct spool_log *log_of(const struct spool_bench *b)
{
    return &b->spools[0]->logs[0];
}

static void deliveries_are_held_back_while_the_disk_is_away_and_go_on_when_it_is_well(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *mails[MAILS];

    accept_all(b, mails);
    assert_false(spool_behind(b->spools[0]));
    fake_disk_set_fault(b->disk, away, NULL);
    (void)settle_all(b, mails);
    assert_true(spool_behind(b->spools[0]));
    disk_returns(b);
    assert_false(spool_behind(b->spools[0]));
    assert_int_equal(spool_accepting(b->spools[0]), SPOOL_OK);
    free_all(mails);
}

static void settles_beyond_the_bound_are_written_when_the_disk_is_well(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *mails[MAILS];

    accept_all(b, mails);
    fake_disk_set_fault(b->disk, away, NULL);
    spool_mark_logged(b->spools[0], settle_all(b, mails));
    bench_run(b);
    assert_int_equal(log_of(b)->alive_count, COMMITS_MAX);
    assert_true(log_of(b)->owed_count > MAILS / 3);
    assert_true(log_of(b)->slots.count >= log_of(b)->owed_count); /* what is owed stays */

    disk_returns(b);
    assert_int_equal(log_of(b)->owed_count, 0);
    assert_int_equal(log_of(b)->slots.count, 0);
    free_all(mails);
    bench_stop(b);
    bench_start(b, 1);
    assert_int_equal(b->found_count, 0);
    assert_int_equal(b->unlogged_count, 0);
}

/* Their outcomes are not; a power failure before the log is durable is told of each of them. */
static void a_settle_beyond_the_bound_that_was_not_logged_is_reported_without_outcome(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *mails[MAILS];
    uint32_t with = 0, without = 0, owed;
    uint64_t seed = 7;

    accept_all(b, mails);
    fake_disk_set_fault(b->disk, away, NULL);
    (void)settle_all(b, mails);
    owed = log_of(b)->owed_count;
    disk_returns(b);
    free_all(mails);
    bench_crash(b, &seed);
    bench_start(b, 1);
    assert_int_equal(b->found_count, 0);
    for (uint32_t i = 0; i < b->unlogged_count; i++) {
        with += strcmp(b->unlogged[i].outcome, outcome) == 0;
        without += b->unlogged[i].outcome[0] == '\0';
    }
    assert_true(without >= owed && with > 0); /* without one, a settle may still have had room */
    assert_int_equal(with + without, MAILS);
}

static void a_power_failure_while_the_disk_is_away_loses_no_message(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *mails[MAILS];
    uint64_t seed = 8;

    accept_all(b, mails);
    fake_disk_set_fault(b->disk, away, NULL);
    spool_mark_logged(b->spools[0], settle_all(b, mails));
    bench_run(b);
    free_all(mails);
    fake_disk_set_fault(b->disk, NULL, NULL);
    bench_crash(b, &seed);
    bench_start(b, 1);
    assert_int_equal(b->found_count, MAILS);
}

static void a_stop_while_the_disk_is_away_ends(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *mails[MAILS];

    accept_all(b, mails);
    fake_disk_set_fault(b->disk, away, NULL);
    (void)settle_all(b, mails);
    free_all(mails);
    bench_stop(b);
    fake_disk_set_fault(b->disk, NULL, NULL);
    bench_start(b, 1);
    assert_int_equal(b->found_count, MAILS);
}

static void change(struct spool_bench *b, struct bench_mail *m, struct slice blob)
{
    m->change = (struct spool_change){
        .ref = m->record.ref, .meta = m->record.meta, .blob = blob, .done = bench_change_done};
    m->change.meta.attempts = 9;
    m->changed = false;
    spool_change(b->spools[0], &m->change);
    bench_run(b);
    assert_true(m->changed);
}

static void beyond_the_bound_a_change_is_kept_only_where_it_cannot_be_done_without(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *mails[MAILS];
    struct bench_mail *counted = bench_accept(b, "counted", 300);
    struct bench_mail *edited = bench_accept(b, "edited", 300);
    struct spool_read r;

    accept_all(b, mails);
    fake_disk_set_fault(b->disk, away, NULL);
    (void)settle_all(b, mails);
    do { /* the last commit may have room left */
        change(b, counted, slice_of(NULL, 0));
    } while (!commit_backlogged(log_of(b), 200, 200));
    counted->record.meta.size = 77;
    change(b, counted, slice_of(NULL, 0));
    assert_int_equal(counted->change_err, SPOOL_E_IO);
    change(b, edited, SLICE("with one recipient less"));
    assert_true(log_of(b)->alive_count > COMMITS_MAX);
    disk_returns(b);
    free_all(mails);
    bench_stop(b);
    bench_start(b, 1);
    assert_int_equal(b->found_count, 2);
    assert_int_equal(bench_find(b, "counted")->size, 300); /* what was refused changed nothing */
    assert_int_equal(bench_find(b, "edited")->attempts, 9);
    assert_int_equal(bench_read(b, 0, bench_find(b, "edited")->ref, &r), SPOOL_OK);
    assert_true(slice_eq(buf_slice(&r.blob), SLICE("with one recipient less")));
    buf_free(&r.body);
    buf_free(&r.blob);
    bench_mail_free(&counted);
    bench_mail_free(&edited);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(deliveries_are_held_back_while_the_disk_is_away_and_go_on_when_it_is_well),
        T(settles_beyond_the_bound_are_written_when_the_disk_is_well),
        T(a_settle_beyond_the_bound_that_was_not_logged_is_reported_without_outcome),
        T(a_power_failure_while_the_disk_is_away_loses_no_message),
        T(a_stop_while_the_disk_is_away_ends),
        T(beyond_the_bound_a_change_is_kept_only_where_it_cannot_be_done_without),
    };
    return cmocka_run_group_tests_name("spool/backlog", tests, NULL, NULL);
}
