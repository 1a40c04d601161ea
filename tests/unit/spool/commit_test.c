/* Group commit: what is written when, and who is answered when. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "spool/format.h"
#include "tests/unit/spool/spool_bench.h"

static int setup(void **state)
{
    static struct spool_bench bench;

    bench_init(&bench);
    bench_start(&bench, 1);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    bench_free(*state);
    return 0;
}

static struct ring *ring_of(struct spool_bench *b)
{
    return &b->shards[0].ring;
}

static void turn(struct spool_bench *b)
{
    fake_ring_turn(&b->shards[0]);
    fake_ring_turn(&b->shards[0]);
}

/* Writes that wait and are commits, not headers or indexes. */
static uint32_t commits(struct spool_bench *b)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < bench_writes(b); i++) {
        const struct ring_op *op = fake_ring_op(ring_of(b), RING_WRITE, i);

        count += op->offset >= FORMAT_HEADER_SIZE && (op->flags & RING_OP_DSYNC) != 0;
    }
    return count;
}

static void a_lone_message_is_written_at_once_and_answered_when_durable(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m = bench_accept(b, "one", 4096);

    assert_int_equal(commits(b), 1);
    assert_true(fake_ring_op(ring_of(b), RING_WRITE, 0)->len <= 8192);
    turn(b);
    assert_false(m->answered);
    fake_ring_finish(ring_of(b), RING_WRITE);
    turn(b);
    assert_true(m->answered);
    assert_int_equal(m->err, SPOOL_OK);
    bench_mail_free(&m);
}

/* Three messages arrive while a commit is in the kernel: they share the next one, and none of
 * them is acknowledged before it. */
static void messages_arriving_during_a_commit_share_the_next_one(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *one = bench_accept(b, "one", 1000);
    struct bench_mail *two = bench_accept(b, "two", 1000);
    struct bench_mail *three = bench_accept(b, "three", 1000);
    struct bench_mail *four = bench_accept(b, "four", 1000);

    assert_int_equal(commits(b), 1);
    fake_ring_finish(ring_of(b), RING_WRITE);
    turn(b);
    assert_true(one->answered);
    assert_false(two->answered || three->answered || four->answered);
    assert_int_equal(commits(b), 1);
    assert_true(fake_ring_op(ring_of(b), RING_WRITE, 0)->len == 4096);
    fake_ring_finish(ring_of(b), RING_WRITE);
    turn(b);
    assert_true(two->answered && three->answered && four->answered);
    assert_int_equal(commits(b), 0);
    bench_mail_free(&one);
    bench_mail_free(&two);
    bench_mail_free(&three);
    bench_mail_free(&four);
}

static void commits_complete_out_of_order_and_answer_their_own(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *first = bench_accept(b, "first", 1000);
    struct bench_mail *more[8];
    uint64_t seed = 9;

    for (int i = 0; i < 8; i++) {
        char name[8] = {'m', (char)('0' + i), 0};

        more[i] = bench_accept(b, name, 7000); /* four of them fill a staging buffer */
    }
    turn(b);
    assert_true(commits(b) >= 2);
    fake_ring_finish_op(ring_of(b), fake_ring_op(ring_of(b), RING_WRITE, 1));
    turn(b);
    assert_false(first->answered);
    assert_true(more[0]->answered);

    /* Had the power failed now, the second commit stands behind a hole. */
    bench_crash(b, &seed);
    bench_start(b, 1);
    assert_non_null(bench_find(b, "m0"));
    bench_mail_free(&first);
    for (int i = 0; i < 8; i++) {
        bench_mail_free(&more[i]);
    }
}

static void settles_alone_wait_for_company_but_not_for_long(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m = bench_accept(b, "one", 1000);

    bench_run(b);
    assert_true(spool_settle(b->spools[0], m->record.ref, SLICE("delivered")) != 0);
    turn(b);
    assert_int_equal(commits(b), 0);
    bench_advance_ms(b, 10);
    turn(b);
    assert_int_equal(commits(b), 0);
    bench_advance_ms(b, 30);
    turn(b);
    turn(b);
    assert_int_equal(commits(b), 1);
    bench_mail_free(&m);
}

static void a_settle_rides_with_the_next_message(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m = bench_accept(b, "one", 1000);
    struct bench_mail *n;

    bench_run(b);
    (void)spool_settle(b->spools[0], m->record.ref, SLICE("delivered"));
    n = bench_accept(b, "two", 1000);
    assert_int_equal(commits(b), 1);
    bench_run_now(b);
    assert_true(n->answered);
    bench_stop(b);
    bench_start(b, 1);
    assert_int_equal(b->found_count, 1);
    assert_non_null(bench_find(b, "two"));
    bench_mail_free(&m);
    bench_mail_free(&n);
}

static void a_settled_record_is_gone_at_once(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m = bench_accept(b, "one", 1000);
    struct spool_read r;

    bench_run(b);
    (void)spool_settle(b->spools[0], m->record.ref, SLICE("delivered"));
    assert_int_equal(bench_read(b, 0, m->record.ref, &r), SPOOL_E_GONE);
    assert_int_equal(spool_settle(b->spools[0], m->record.ref, SLICE("again")), 0);
    bench_mail_free(&m);
}

/* The first failure costs a segment, not an answer: the batch is still in memory. */
static void
a_failed_write_goes_to_a_new_segment_and_the_old_one_is_never_written_again(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m = bench_accept(b, "one", 1000);
    int failed_fd = fake_ring_op(ring_of(b), RING_WRITE, 0)->fd;
    struct bench_mail *n;

    fake_ring_complete(ring_of(b), RING_WRITE, -EIO);
    turn(b);
    assert_false(m->answered);
    bench_run_now(b);
    assert_true(m->answered);
    assert_int_equal(m->err, SPOOL_OK);
    n = bench_accept(b, "two", 1000);
    for (uint32_t i = 0; i < bench_writes(b); i++) {
        assert_int_not_equal(fake_ring_op(ring_of(b), RING_WRITE, i)->fd, failed_fd);
    }
    bench_run(b);
    bench_stop(b);
    bench_start(b, 1);
    assert_int_equal(b->found_count, 2);
    assert_int_equal(b->damage_count, 0);
    bench_mail_free(&m);
    bench_mail_free(&n);
}

static int64_t every_write_fails(void *ctx, enum fake_io io, const char *path, uint64_t offset,
                                 uint64_t len)
{
    (void)ctx;
    (void)offset;
    (void)len;
    return io == FAKE_WRITE && strstr(path, "seg-") != NULL ? FAKE_STORED(-EIO) : 0;
}

static void a_disk_that_fails_twice_is_met_with_silence_and_new_mail_with_an_error(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m = bench_accept(b, "one", 1000);
    struct bench_mail *n;

    fake_disk_set_fault(b->disk, every_write_fails, NULL);
    bench_run_now(b);
    assert_true(m->answered);
    assert_int_equal(m->err, SPOOL_E_UNSURE);
    assert_int_equal(spool_accepting(b->spools[0]), SPOOL_E_IO);
    assert_string_not_equal(b->health, "");
    n = bench_accept(b, "two", 1000);
    assert_true(n->answered);
    assert_int_equal(n->err, SPOOL_E_IO);

    fake_disk_set_fault(b->disk, NULL, NULL);
    bench_advance_ms(b, 1500);
    bench_run(b);
    assert_int_equal(spool_accepting(b->spools[0]), SPOOL_OK);
    assert_string_equal(b->health, "");
    bench_stop(b);
    bench_start(b, 1);
    assert_int_equal(b->found_count, 0); /* whatever the disk held of it was withdrawn */
    bench_mail_free(&m);
    bench_mail_free(&n);
}

static void change_attempts(struct spool_bench *b, struct bench_mail *m, uint16_t attempts)
{
    m->changed = false;
    m->change = (struct spool_change){
        .ref = m->record.ref, .meta = m->record.meta, .done = bench_change_done};
    m->change.meta.attempts = attempts;
    spool_change(b->spools[0], &m->change);
}

/* Not only those of the commit that failed first: the disk may be away for hours. What they left
 * is written when it is back. */
static void everybody_who_waits_for_a_disk_that_refuses_is_told(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *kept = bench_accept(b, "kept", 1000);
    struct bench_mail *mails[6];

    bench_run(b);
    assert_int_equal(kept->err, SPOOL_OK);
    fake_disk_set_fault(b->disk, every_write_fails, NULL);
    change_attempts(b, kept, 3);
    for (unsigned i = 0; i < ARRAY_COUNT(mails); i++) {
        mails[i] = bench_mail_new("lost", 10000);
        bench_put(b, 0, mails[i]);
    }
    bench_run_now(b);
    for (unsigned i = 0; i < ARRAY_COUNT(mails); i++) {
        assert_true(mails[i]->answered);
        assert_true(mails[i]->err == SPOOL_E_UNSURE || mails[i]->err == SPOOL_E_IO);
        bench_mail_free(&mails[i]);
    }
    assert_true(kept->changed);
    assert_int_not_equal(kept->change_err, SPOOL_OK);
    change_attempts(b, kept, 4);
    bench_run_now(b);
    assert_true(kept->changed);
    assert_int_equal(kept->change_err, SPOOL_E_IO);

    fake_disk_set_fault(b->disk, NULL, NULL);
    for (unsigned i = 0; i < 10; i++) {
        bench_advance_ms(b, 1500);
        bench_run(b);
    }
    bench_stop(b);
    bench_start(b, 1);
    assert_int_equal(b->found_count, 1);
    assert_int_equal(b->found[0].attempts, 4);
    bench_mail_free(&kept);
}

static int64_t every_unlink_fails(void *ctx, enum fake_io io, const char *path, uint64_t offset,
                                  uint64_t len)
{
    (void)ctx;
    (void)path;
    (void)offset;
    (void)len;
    return io == FAKE_UNLINK ? -EIO : 0;
}

/* A short one, on the same disk. */
static void a_message_that_was_not_acknowledged_is_taken_back(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m = bench_accept(b, "one", 1000);
    uint64_t seed = 7;

    fake_disk_set_fault(b->disk, every_write_fails, NULL);
    bench_run_now(b);
    assert_int_equal(m->err, SPOOL_E_UNSURE);
    fake_disk_set_fault(b->disk, every_unlink_fails, NULL);
    bench_advance_ms(b, 1500);
    bench_run(b);
    bench_crash(b, &seed);
    fake_disk_set_fault(b->disk, NULL, NULL);
    bench_start(b, 1);
    assert_int_equal(b->found_count, 0);
    bench_mail_free(&m);
}

/* The oldest write holds a manifest. */
static bool manifest_waits(struct spool_bench *b)
{
    const struct ring_op *op = fake_ring_op(ring_of(b), RING_WRITE, 0);
    const char *bytes = op->ptr;

    for (uint32_t at = sizeof(struct commit_head); at + sizeof(struct entry_head) <= op->len;) {
        const struct entry_head *entry = (const struct entry_head *)(bytes + at);

        if (entry->kind == ENTRY_MANIFEST) {
            return true;
        }
        if (entry->kind == 0) {
            break;
        }
        at += (uint32_t)entry_size(entry->len);
    }
    return false;
}

/* A long message fails at its last step: the disk says no, but has the manifest. */
static void a_long_message_that_was_not_acknowledged_is_taken_back(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m = bench_accept(b, "long", 60000);
    uint64_t seed = 6;

    for (int i = 0; i < 40 && (bench_writes(b) == 0 || !manifest_waits(b)); i++) {
        if (bench_writes(b) > 0) {
            fake_ring_finish(ring_of(b), RING_WRITE);
        }
        turn(b);
    }
    assert_true(manifest_waits(b));
    fake_disk_set_fault(b->disk, every_write_fails, NULL);
    bench_run_now(b);
    assert_true(m->answered);
    assert_int_equal(m->err, SPOOL_E_UNSURE);
    /* The segments that failed cannot be removed either: what they hold must be made void. */
    fake_disk_set_fault(b->disk, every_unlink_fails, NULL);
    bench_advance_ms(b, 1500);
    bench_run(b);
    bench_crash(b, &seed);
    fake_disk_set_fault(b->disk, NULL, NULL);
    bench_start(b, 1);
    assert_int_equal(b->found_count, 0);
    bench_mail_free(&m);
}

static void a_short_write_is_continued(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m = bench_accept(b, "one", 6000);
    struct ring_op *op = fake_ring_op(ring_of(b), RING_WRITE, 0);
    uint64_t offset = op->offset;
    struct spool_read r;

    fake_disk_write(b->disk, op->fd, op->ptr, 4096, op->offset, true);
    fake_ring_complete(ring_of(b), RING_WRITE, 4096);
    turn(b);
    assert_false(m->answered);
    assert_int_equal(fake_ring_op(ring_of(b), RING_WRITE, 0)->offset, offset + 4096);
    bench_run_now(b);
    assert_int_equal(m->err, SPOOL_OK);
    assert_int_equal(bench_read(b, 0, m->record.ref, &r), SPOOL_OK);
    assert_memory_equal(r.body.ptr, m->body, 6000);
    buf_free(&r.body);
    buf_free(&r.blob);
    bench_mail_free(&m);
}

static void void_done(struct spool_void *v, enum spool_err err)
{
    struct bench_mail *m = CONTAINER_OF(v, struct bench_mail, v);

    m->voided = true;
    m->void_err = err;
}

static void a_withdrawal_is_answered_when_durable_and_never_comes_back(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m = bench_accept(b, "one", 1000);
    struct spool_read r;
    uint64_t seed = 4;

    bench_run(b);
    m->v = (struct spool_void){.refs = &m->record.ref, .ref_count = 1, .done = void_done};
    spool_withdraw(b->spools[0], &m->v);
    turn(b);
    assert_int_equal(commits(b), 1); /* someone waits: no timer */
    assert_false(m->voided);
    fake_ring_finish(ring_of(b), RING_WRITE);
    turn(b);
    assert_true(m->voided);
    assert_int_equal(m->void_err, SPOOL_OK);
    assert_int_equal(bench_read(b, 0, m->record.ref, &r), SPOOL_E_GONE);
    bench_crash(b, &seed);
    bench_start(b, 1);
    assert_int_equal(b->found_count, 0);
    assert_int_equal(b->unlogged_count, 0);
    bench_mail_free(&m);
}

static void the_newest_change_wins_and_an_empty_blob_keeps_the_old_one(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m = bench_accept(b, "one", 1000);
    struct spool_read r;

    bench_run(b);
    for (uint16_t attempts = 1; attempts <= 3; attempts++) {
        m->change = (struct spool_change){
            .ref = m->record.ref, .meta = m->record.meta, .done = bench_change_done};
        m->change.meta.attempts = attempts;
        m->change.meta.due_ms = 5000u * attempts;
        m->change.blob = attempts == 2 ? SLICE("second blob") : slice_of(NULL, 0);
        m->changed = false;
        spool_change(b->spools[0], &m->change);
        bench_run(b);
        assert_true(m->changed);
        assert_int_equal(m->change_err, SPOOL_OK);
    }
    bench_stop(b);
    bench_start(b, 1);
    assert_int_equal(b->found_count, 1);
    assert_int_equal(b->found[0].attempts, 3);
    assert_int_equal(b->found[0].due_ms, 15000);
    assert_int_equal(bench_read(b, 0, b->found[0].ref, &r), SPOOL_OK);
    assert_true(slice_eq(buf_slice(&r.blob), SLICE("second blob")));
    assert_memory_equal(r.body.ptr, m->body, 1000);
    buf_free(&r.body);
    buf_free(&r.blob);
    bench_mail_free(&m);
}

static void a_change_of_a_settled_record_is_gone(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m = bench_accept(b, "one", 1000);

    bench_run(b);
    (void)spool_settle(b->spools[0], m->record.ref, SLICE("x"));
    m->change = (struct spool_change){
        .ref = m->record.ref, .meta = m->record.meta, .done = bench_change_done};
    spool_change(b->spools[0], &m->change);
    assert_false(m->changed); /* never from inside the call */
    bench_run(b);
    assert_int_equal(m->change_err, SPOOL_E_GONE);
    bench_mail_free(&m);
}

static void what_is_still_being_written_can_be_read(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m = bench_accept(b, "one", 1000);
    struct spool_read r = {.what = SPOOL_READ_BOTH};

    bench_run(b);
    m->change = (struct spool_change){
        .ref = m->record.ref, .meta = m->record.meta, .done = bench_change_done};
    m->change.blob = SLICE("staged");
    spool_change(b->spools[0], &m->change);
    assert_int_equal(bench_read(b, 0, m->record.ref, &r), SPOOL_OK);
    assert_true(slice_eq(buf_slice(&r.blob), SLICE("staged")));
    assert_false(m->changed);
    buf_free(&r.body);
    buf_free(&r.blob);
    bench_run(b);
    bench_mail_free(&m);
}

static void puts_wait_when_staging_is_full_and_go_on_in_order(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m[64];
    struct spool_counters c;
    uint32_t answered = 0;

    bench_stop(b);
    b->params.staging_bytes_max = 64 * 1024;
    bench_start(b, 1);
    for (int i = 0; i < 64; i++) {
        char name[8] = {'m', (char)('a' + i / 8), (char)('a' + i % 8), 0};

        m[i] = bench_accept(b, name, 3000);
    }
    turn(b);
    spool_counters(b->spools[0], &c);
    assert_true(c.commit_count <= 4);
    bench_run(b);
    for (int i = 0; i < 64; i++) {
        answered += m[i]->answered && m[i]->err == SPOOL_OK;
        bench_mail_free(&m[i]);
    }
    assert_int_equal(answered, 64);
}

/* 4 KiB messages that are settled in the same stream, at a load that shares commits. */
static void little_more_is_written_than_was_accepted(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m[32];
    struct spool_counters before, after;
    const char outcome[160] = "a log record of ordinary length";

    bench_stop(b);
    b->params.segment_size = 4 * 1024 * 1024;
    bench_start(b, 1);
    spool_counters(b->spools[0], &before);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 32; i++) {
            char name[16] = {'m', (char)('a' + i), (char)('a' + round), 0};

            m[i] = bench_mail_new(name, 4096);
            bench_put(b, 0, m[i]);
        }
        bench_run_now(b);
        for (int i = 0; i < 32; i++) {
            assert_int_equal(m[i]->err, SPOOL_OK);
            (void)spool_settle(b->spools[0], m[i]->record.ref, slice_of(outcome, sizeof(outcome)));
            bench_mail_free(&m[i]);
        }
    }
    bench_run(b);
    spool_counters(b->spools[0], &after);
    print_message("%llu written for %llu accepted, %llu commits\n",
                  (unsigned long long)(after.bytes_written - before.bytes_written),
                  (unsigned long long)(after.bytes_accepted - before.bytes_accepted),
                  (unsigned long long)(after.commit_count - before.commit_count));
    assert_true(after.bytes_written - before.bytes_written <
                (after.bytes_accepted - before.bytes_accepted) * 13 / 10);
    assert_true((after.put_count - before.put_count) / (after.commit_count - before.commit_count) >=
                8);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_lone_message_is_written_at_once_and_answered_when_durable),
        T(messages_arriving_during_a_commit_share_the_next_one),
        T(commits_complete_out_of_order_and_answer_their_own),
        T(settles_alone_wait_for_company_but_not_for_long),
        T(a_settle_rides_with_the_next_message),
        T(a_settled_record_is_gone_at_once),
        T(a_failed_write_goes_to_a_new_segment_and_the_old_one_is_never_written_again),
        T(a_disk_that_fails_twice_is_met_with_silence_and_new_mail_with_an_error),
        T(everybody_who_waits_for_a_disk_that_refuses_is_told),
        T(a_message_that_was_not_acknowledged_is_taken_back),
        T(a_long_message_that_was_not_acknowledged_is_taken_back),
        T(a_short_write_is_continued),
        T(a_withdrawal_is_answered_when_durable_and_never_comes_back),
        T(the_newest_change_wins_and_an_empty_blob_keeps_the_old_one),
        T(a_change_of_a_settled_record_is_gone),
        T(what_is_still_being_written_can_be_read),
        T(puts_wait_when_staging_is_full_and_go_on_in_order),
        T(little_more_is_written_than_was_accepted),
    };
    return cmocka_run_group_tests_name("spool/commit", tests, NULL, NULL);
}
