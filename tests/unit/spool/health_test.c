/* Full disks and failing ones: new mail is refused first, and everything resumes by itself. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "tests/unit/spool/spool_bench.h"

#define SEGMENT (128u * 1024u)

static int setup(void **state)
{
    static struct spool_bench bench;

    bench_init(&bench);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    bench_free(*state);
    return 0;
}

static void poll(struct spool_bench *b)
{
    bench_advance_ms(b, 5100);
    bench_run(b);
}

static void too_little_free_space_refuses_new_mail_until_there_is_more(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m;

    b->params.min_free_percent = 10;
    fake_disk_set_capacity(b->disk, 100 * SEGMENT);
    bench_start(b, 1);
    assert_int_equal(spool_accepting(b->spools[0]), SPOOL_OK);

    fake_disk_set_capacity(b->disk, 2 * SEGMENT + SEGMENT / 5);
    poll(b);
    assert_int_equal(spool_accepting(b->spools[0]), SPOOL_E_FULL);
    assert_memory_equal(b->health, "disk is too full: /spool", 24);
    m = bench_accept(b, "one", 100);
    assert_true(m->answered);
    assert_int_equal(m->err, SPOOL_E_FULL);
    bench_mail_free(&m);

    fake_disk_set_capacity(b->disk, 100 * SEGMENT);
    poll(b);
    assert_int_equal(spool_accepting(b->spools[0]), SPOOL_OK);
    assert_string_equal(b->health, "");
    m = bench_accept(b, "two", 100);
    bench_run(b);
    assert_int_equal(m->err, SPOOL_OK);
    bench_mail_free(&m);
}

static void too_few_inodes_count_and_a_file_system_without_inodes_has_enough(void **state)
{
    struct spool_bench *b = *state;

    b->params.min_free_inodes_percent = 10;
    fake_disk_set_inodes(b->disk, 0, 0);
    bench_start(b, 1);
    assert_int_equal(spool_accepting(b->spools[0]), SPOOL_OK);
    fake_disk_set_inodes(b->disk, 1000, 50);
    poll(b);
    assert_int_equal(spool_accepting(b->spools[0]), SPOOL_E_FULL);
    fake_disk_set_inodes(b->disk, 1000, 500);
    poll(b);
    assert_int_equal(spool_accepting(b->spools[0]), SPOOL_OK);
}

#define FLOOD 400

/* A disk of a few segments is filled to the brim; then settles still get through, and their room
 * comes back. */
static void a_full_disk_refuses_mail_first_and_deliveries_still_settle(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *mails[FLOOD];
    uint32_t accepted = 0, refused = 0;
    uint64_t sequence = 0;

    fake_disk_set_capacity(b->disk, 8 * SEGMENT + SEGMENT / 2);
    bench_start(b, 1);
    for (uint32_t i = 0; i < FLOOD; i++) {
        char name[16];

        snprintf(name, sizeof(name), "m%u", i);
        mails[i] = bench_accept(b, name, 4000);
        bench_run_now(b);
        assert_true(mails[i]->answered);
        accepted += mails[i]->err == SPOOL_OK;
        refused += mails[i]->err == SPOOL_E_FULL;
    }
    assert_int_equal(accepted + refused, FLOOD);
    assert_true(accepted > 60 && refused > 0);
    assert_int_equal(spool_accepting(b->spools[0]), SPOOL_E_FULL);

    for (uint32_t i = 0; i < FLOOD; i++) {
        if (mails[i]->err == SPOOL_OK) {
            sequence = spool_settle(b->spools[0], mails[i]->record.ref, SLICE("delivered"));
            assert_true(sequence != 0);
        }
    }
    bench_run(b);
    spool_mark_logged(b->spools[0], sequence);
    bench_run(b);
    poll(b);
    poll(b);
    assert_int_equal(spool_accepting(b->spools[0]), SPOOL_OK);
    assert_string_equal(b->health, "");
    for (uint32_t i = 0; i < FLOOD; i++) {
        bench_mail_free(&mails[i]);
    }
    bench_stop(b);
    bench_start(b, 1);
    assert_int_equal(b->found_count, 0);
}

/* The same, but every tenth message stays: the cleaner makes room out of the reserve. */
static void a_full_disk_is_cleaned_around_the_mail_that_stays(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *mails[FLOOD];
    uint64_t sequence = 0;
    uint32_t kept = 0;

    fake_disk_set_capacity(b->disk, 8 * SEGMENT + SEGMENT / 2);
    bench_start(b, 1);
    for (uint32_t i = 0; i < FLOOD; i++) {
        char name[16];

        snprintf(name, sizeof(name), "m%u", i);
        mails[i] = bench_accept(b, name, 4000);
        bench_run_now(b);
    }
    for (uint32_t i = 0; i < FLOOD; i++) {
        if (mails[i]->err == SPOOL_OK && i % 10 != 0) {
            sequence = spool_settle(b->spools[0], mails[i]->record.ref, SLICE("delivered"));
        } else if (mails[i]->err == SPOOL_OK) {
            kept++;
        }
    }
    bench_run(b);
    spool_mark_logged(b->spools[0], sequence);
    for (int i = 0; i < 5; i++) {
        poll(b);
    }
    assert_int_equal(spool_accepting(b->spools[0]), SPOOL_OK);
    for (uint32_t i = 0; i < FLOOD; i += 10) {
        struct spool_read r;

        if (mails[i]->err == SPOOL_OK) {
            assert_int_equal(bench_read(b, 0, mails[i]->record.ref, &r), SPOOL_OK);
            assert_memory_equal(r.body.ptr, mails[i]->body, 4000);
            buf_free(&r.body);
            buf_free(&r.blob);
        }
    }
    for (uint32_t i = 0; i < FLOOD; i++) {
        bench_mail_free(&mails[i]);
    }
    bench_stop(b);
    bench_start(b, 1);
    assert_int_equal(b->found_count, kept);
}

static int64_t read_only(void *ctx, enum fake_io io, const char *path, uint64_t offset,
                         uint64_t len)
{
    (void)ctx;
    (void)path;
    (void)offset;
    (void)len;
    return io == FAKE_WRITE || io == FAKE_ALLOCATE || io == FAKE_SYNC || io == FAKE_UNLINK ? -EROFS
                                                                                           : 0;
}

/* File systems turn read-only on errors: reading goes on. */
static void a_disk_that_turns_read_only_refuses_mail_and_still_gives_what_it_holds(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m, *n;
    struct spool_read r;

    bench_start(b, 1);
    m = bench_accept(b, "one", 3000);
    bench_run(b);
    fake_disk_set_fault(b->disk, read_only, NULL);
    n = bench_accept(b, "two", 3000);
    bench_run(b);
    assert_true(n->answered && n->err == SPOOL_E_UNSURE);
    assert_int_equal(spool_accepting(b->spools[0]), SPOOL_E_IO);
    assert_int_equal(bench_read(b, 0, m->record.ref, &r), SPOOL_OK);
    buf_free(&r.body);
    buf_free(&r.blob);
    bench_mail_free(&m);
    bench_mail_free(&n);
    bench_stop(b); /* ends, although nothing can be written */
    fake_disk_set_fault(b->disk, NULL, NULL);
    bench_start(b, 1);
    assert_non_null(bench_find(b, "one"));
    assert_null(bench_find(b, "two"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(too_little_free_space_refuses_new_mail_until_there_is_more),
        T(too_few_inodes_count_and_a_file_system_without_inodes_has_enough),
        T(a_full_disk_refuses_mail_first_and_deliveries_still_settle),
        T(a_full_disk_is_cleaned_around_the_mail_that_stays),
        T(a_disk_that_turns_read_only_refuses_mail_and_still_gives_what_it_holds),
    };
    return cmocka_run_group_tests_name("spool/health", tests, NULL, NULL);
}
