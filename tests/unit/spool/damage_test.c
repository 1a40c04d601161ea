/* Bytes that change, end, or cannot be read: the others are not affected, and it is said. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "spool/format.h"
#include "tests/unit/spool/spool_bench.h"

#define MAILS 6

struct damage_bench {
    struct spool_bench b;
    struct bench_mail *mails[MAILS];
};

static const char *const names[MAILS] = {"alpha", "bravo", "charlie", "delta", "echo", "foxtrot"};

/* Six messages in commits of their own, so that damage to one is damage to one. */
static int setup(void **state)
{
    static struct damage_bench d;

    bench_init(&d.b);
    bench_start(&d.b, 1);
    for (int i = 0; i < MAILS; i++) {
        d.mails[i] = bench_accept(&d.b, names[i], 3000);
        bench_run(&d.b);
        assert_int_equal(d.mails[i]->err, SPOOL_OK);
    }
    *state = &d;
    return 0;
}

static int teardown(void **state)
{
    struct damage_bench *d = *state;

    fake_disk_set_fault(d->b.disk, NULL, NULL);
    bench_free(&d->b);
    for (int i = 0; i < MAILS; i++) {
        bench_mail_free(&d->mails[i]);
    }
    return 0;
}

static void crash(struct damage_bench *d)
{
    uint64_t seed = 77;

    bench_crash(&d->b, &seed);
}

struct search {
    const struct fake_disk *disk;
    struct slice needle;
    char path[128];
    uint64_t offset;
    struct spool_bench *b;
};

static void search_file(void *ctx, const char *path, uint64_t size)
{
    struct search *s = ctx;
    uint64_t len;
    const char *bytes = fake_disk_bytes(s->b->disk, path, &len);

    (void)size;
    for (uint64_t i = 0; i + s->needle.len <= len; i++) {
        if (memcmp(bytes + i, s->needle.ptr, s->needle.len) == 0) {
            snprintf(s->path, sizeof(s->path), "%s", path);
            s->offset = i;
            return;
        }
    }
}

/* Where on the disk these bytes stand. */
static struct search find_bytes(struct damage_bench *d, struct slice needle)
{
    struct search s = {.b = &d->b, .needle = needle};

    fake_disk_each(d->b.disk, search_file, &s);
    assert_true(s.path[0] != '\0');
    return s;
}

static void flip(struct damage_bench *d, const char *path, uint64_t offset)
{
    uint64_t size;
    char *bytes = fake_disk_bytes(d->b.disk, path, &size);

    assert_true(offset < size);
    bytes[offset] ^= 0x10;
    fake_disk_touch(d->b.disk, path);
}

static void expect_found_but(struct damage_bench *d, int missing)
{
    for (int i = 0; i < MAILS; i++) {
        if (i == missing) {
            assert_null(bench_find(&d->b, names[i]));
        } else {
            assert_non_null(bench_find(&d->b, names[i]));
        }
    }
}

static void a_flipped_byte_in_a_body_is_reported_by_id_and_the_others_live(void **state)
{
    struct damage_bench *d = *state;
    struct search at = find_bytes(d, slice_of(d->mails[2]->body, 100));

    crash(d);
    flip(d, at.path, at.offset + 50);
    bench_start(&d->b, 1);
    expect_found_but(d, 2);
    assert_true(d->b.damage_count >= 1);
    assert_memory_equal(d->b.damage[d->b.damage_count - 1].id, d->mails[2]->id, 16);
}

/* Kept aside: it is still there, and still reported, at the next start. */
static void damage_is_kept_aside_and_reported_again(void **state)
{
    struct damage_bench *d = *state;
    struct search at = find_bytes(d, slice_of(d->mails[2]->body, 100));

    crash(d);
    flip(d, at.path, at.offset + 50);
    bench_start(&d->b, 1);
    for (uint32_t i = 0; i < d->b.found_count; i++) {
        uint64_t sequence = spool_settle(d->b.spools[0], d->b.found[i].ref, SLICE("done"));

        bench_run(&d->b);
        spool_mark_logged(d->b.spools[0], sequence);
    }
    bench_advance_ms(&d->b, 10000);
    bench_run(&d->b);
    bench_stop(&d->b);
    assert_true(fake_disk_exists(d->b.disk, at.path));
    bench_start(&d->b, 1);
    assert_int_equal(d->b.found_count, 0);
    assert_memory_equal(d->b.damage[d->b.damage_count - 1].id, d->mails[2]->id, 16);
}

static void a_body_that_rots_after_an_orderly_stop_is_noticed_when_it_is_read(void **state)
{
    struct damage_bench *d = *state;
    struct search at = find_bytes(d, slice_of(d->mails[2]->body, 100));
    const struct bench_found *f;
    struct spool_read r;

    bench_stop(&d->b);
    flip(d, at.path, at.offset + 50);
    bench_start(&d->b, 1);
    f = bench_find(&d->b, names[2]); /* the index was enough to schedule it */
    assert_non_null(f);
    assert_int_equal(bench_read(&d->b, 0, f->ref, &r), SPOOL_E_CORRUPT);
    assert_null(r.body.ptr);
    assert_int_equal(d->b.damage_count, 1);
    assert_memory_equal(d->b.damage[0].id, d->mails[2]->id, 16);
    assert_int_equal(bench_read(&d->b, 0, bench_find(&d->b, names[1])->ref, &r), SPOOL_OK);
    buf_free(&r.body);
    buf_free(&r.blob);
}

static void a_commit_without_its_head_is_found_by_its_entries(void **state)
{
    struct damage_bench *d = *state;
    struct search at = find_bytes(d, slice_of(d->mails[3]->body, 100));

    crash(d);
    flip(d, at.path, at.offset / FORMAT_BLOCK * FORMAT_BLOCK + 20);
    bench_start(&d->b, 1);
    expect_found_but(d, -1);
}

static void an_index_that_is_damaged_costs_a_scan_and_nothing_else(void **state)
{
    struct damage_bench *d = *state;
    struct search at = find_bytes(d, slice_of(d->mails[3]->body, 100));
    uint64_t size;

    bench_stop(&d->b);
    (void)fake_disk_bytes(d->b.disk, at.path, &size);
    flip(d, at.path, size - 2 * FORMAT_BLOCK + 30); /* a row */
    bench_start(&d->b, 1);
    expect_found_but(d, -1);
    assert_int_equal(d->b.found_count, MAILS);
    assert_int_equal(d->b.damage_count, 0);
}

static void a_footer_that_is_damaged_costs_a_scan_and_nothing_else(void **state)
{
    struct damage_bench *d = *state;
    struct search at = find_bytes(d, slice_of(d->mails[3]->body, 100));
    uint64_t size;

    bench_stop(&d->b);
    (void)fake_disk_bytes(d->b.disk, at.path, &size);
    flip(d, at.path, size - FORMAT_BLOCK + 30);
    bench_start(&d->b, 1);
    expect_found_but(d, -1);
    assert_int_equal(d->b.damage_count, 0);
}

static void one_damaged_header_copy_is_nothing_both_are_made_up_for_by_the_footer(void **state)
{
    struct damage_bench *d = *state;
    struct search at = find_bytes(d, slice_of(d->mails[3]->body, 100));

    bench_stop(&d->b);
    flip(d, at.path, 40);
    bench_start(&d->b, 1);
    expect_found_but(d, -1);
    assert_int_equal(d->b.damage_count, 0);
    bench_stop(&d->b);
    flip(d, at.path, FORMAT_BLOCK + 40);
    bench_start(&d->b, 1);
    expect_found_but(d, -1);
    assert_int_equal(d->b.damage_count, 1);
}

static void a_segment_that_was_cut_off_gives_what_is_left_of_it(void **state)
{
    struct damage_bench *d = *state;
    struct search at = find_bytes(d, slice_of(d->mails[4]->body, 100));

    crash(d);
    fake_disk_truncate(d->b.disk, at.path, at.offset + 1000);
    bench_start(&d->b, 1);
    for (int i = 0; i < 4; i++) {
        assert_non_null(bench_find(&d->b, names[i]));
    }
    assert_null(bench_find(&d->b, names[4]));
    assert_null(bench_find(&d->b, names[5]));
    assert_int_equal(d->b.damage_count, 1); /* nobody knows what stood there, but it is said */
}

static void txn_done(struct spool_put *put, enum spool_err err)
{
    assert_int_equal(err, SPOOL_OK);
    put->body_flags++;
}

/* Two recipients, then the commit's head and one of the records rot: what was acknowledged and is
 * still there is found, and what is not is said. A torn commit would count for nothing; that this
 * one had completed is known from those behind it. */
static void damage_to_one_record_of_a_completed_transaction_spares_the_other(void **state)
{
    struct damage_bench *d = *state;
    struct spool_put_record records[2] = {
        {.meta = {.id = "left", .queue = SLICE("q")}, .blob = SLICE("the left recipient")},
        {.meta = {.id = "right", .queue = SLICE("q")}, .blob = SLICE("the right recipient")},
    };
    struct spool_put put = {
        .body = SLICE("body"), .records = records, .record_count = 2, .done = txn_done};
    struct search at;
    struct bench_mail *m;

    spool_put(d->b.spools[0], &put);
    bench_run(&d->b);
    assert_int_equal(put.body_flags, 1);
    for (int i = 0; i < 2; i++) {
        m = bench_accept(&d->b, i == 0 ? "behind" : "further", 100);
        bench_run(&d->b);
        bench_mail_free(&m);
    }
    at = find_bytes(d, SLICE("the left recipient"));
    crash(d);
    flip(d, at.path, at.offset + 5);
    flip(d, at.path, at.offset / FORMAT_BLOCK * FORMAT_BLOCK + 20);
    bench_start(&d->b, 1);
    assert_null(bench_find(&d->b, "left"));
    assert_non_null(bench_find(&d->b, "right"));
    assert_non_null(bench_find(&d->b, "further"));
    assert_int_equal(d->b.damage_count, 1);
}

struct bad_block {
    const char *path;
    uint64_t offset;
};

static int64_t block_is_bad(void *ctx, enum fake_io io, const char *path, uint64_t offset,
                            uint64_t len)
{
    const struct bad_block *bad = ctx;

    return io == FAKE_READ && strcmp(path, bad->path) == 0 && bad->offset >= offset &&
                   bad->offset < offset + len
               ? -EIO
               : 0;
}

static void a_block_that_cannot_be_read_costs_its_own_messages_only(void **state)
{
    struct damage_bench *d = *state;
    struct search at = find_bytes(d, slice_of(d->mails[1]->body, 100));
    struct bad_block bad = {.path = at.path, .offset = at.offset};

    crash(d);
    fake_disk_set_fault(d->b.disk, block_is_bad, &bad);
    bench_start(&d->b, 1);
    expect_found_but(d, 1);
    assert_true(d->b.damage_count >= 1);
}

static void a_read_error_later_is_an_error_of_that_read(void **state)
{
    struct damage_bench *d = *state;
    struct search at = find_bytes(d, slice_of(d->mails[1]->body, 100));
    struct bad_block bad = {.path = at.path, .offset = at.offset};
    struct spool_read r;

    fake_disk_set_fault(d->b.disk, block_is_bad, &bad);
    assert_int_equal(bench_read(&d->b, 0, d->mails[1]->record.ref, &r), SPOOL_E_IO);
    fake_disk_set_fault(d->b.disk, NULL, NULL);
    assert_int_equal(bench_read(&d->b, 0, d->mails[1]->record.ref, &r), SPOOL_OK);
    buf_free(&r.body);
    buf_free(&r.blob);
}

struct failed_write {
    char path[128];
    uint64_t offset;
};

/* The first write to a segment fails, though all of it got there. */
static int64_t first_write_fails(void *ctx, enum fake_io io, const char *path, uint64_t offset,
                                 uint64_t len)
{
    struct failed_write *f = ctx;

    if (io != FAKE_WRITE || strstr(path, "seg-") == NULL || len > 8192 || f->path[0] != '\0') {
        return 0;
    }
    snprintf(f->path, sizeof(f->path), "%s", path);
    f->offset = offset;
    return FAKE_STORED(-EIO);
}

/* Where a text begins in a file from `offset` on. */
static uint64_t offset_in(struct damage_bench *d, const char *path, uint64_t offset,
                          struct slice text)
{
    uint64_t size;
    const char *bytes = fake_disk_bytes(d->b.disk, path, &size);
    const char *at = memmem(bytes + offset, size - offset, text.ptr, text.len);

    assert_non_null(at);
    return (uint64_t)(at - bytes);
}

/* The commit of the failed write is not whole: its body stands only as long as others tell that
 * the commit had completed, which it never had. */
static void a_body_of_a_failed_write_is_not_taken_for_the_one_that_was_written_again(void **state)
{
    struct damage_bench *d = *state;
    struct failed_write failed = {0};
    struct bench_mail *m, *later;
    struct spool_read r;

    fake_disk_set_fault(d->b.disk, first_write_fails, &failed);
    m = bench_accept(&d->b, "twice", 3000);
    bench_run(&d->b);
    assert_true(failed.path[0] != '\0' && m->answered && m->err == SPOOL_OK);
    later = bench_accept(&d->b, "later", 100); /* its commit tells that all before had completed */
    bench_run(&d->b);
    crash(d);
    fake_disk_set_fault(d->b.disk, NULL, NULL);
    flip(d, failed.path, offset_in(d, failed.path, failed.offset, SLICE("q-twice")));
    bench_forget(&d->b);
    bench_start(&d->b, 1);
    assert_non_null(bench_find(&d->b, "twice"));
    flip(d, failed.path,
         offset_in(d, failed.path, failed.offset, slice_of(m->body, 100)));
    assert_int_equal(bench_read(&d->b, 0, bench_find(&d->b, "twice")->ref, &r), SPOOL_OK);
    buf_free(&r.body);
    buf_free(&r.blob);
    bench_mail_free(&m);
    bench_mail_free(&later);
}

/* Every single byte of a commit, one after the other: never another message lost, never wrong
 * bytes accepted. */
static void no_single_flipped_byte_loses_another_message(void **state)
{
    struct damage_bench *d = *state;
    struct search at = find_bytes(d, slice_of(d->mails[3]->body, 100));
    uint64_t block = at.offset / FORMAT_BLOCK * FORMAT_BLOCK;

    crash(d);
    for (uint64_t offset = block; offset < block + FORMAT_BLOCK; offset += 37) {
        flip(d, at.path, offset);
        bench_start(&d->b, 1);
        for (int i = 0; i < MAILS; i++) {
            assert_true(i == 3 || bench_find(&d->b, names[i]) != NULL);
        }
        crash(d);
        flip(d, at.path, offset);
    }
    bench_start(&d->b, 1);
    expect_found_but(d, -1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_flipped_byte_in_a_body_is_reported_by_id_and_the_others_live),
        T(damage_is_kept_aside_and_reported_again),
        T(a_body_that_rots_after_an_orderly_stop_is_noticed_when_it_is_read),
        T(damage_to_one_record_of_a_completed_transaction_spares_the_other),
        T(a_commit_without_its_head_is_found_by_its_entries),
        T(an_index_that_is_damaged_costs_a_scan_and_nothing_else),
        T(a_footer_that_is_damaged_costs_a_scan_and_nothing_else),
        T(one_damaged_header_copy_is_nothing_both_are_made_up_for_by_the_footer),
        T(a_segment_that_was_cut_off_gives_what_is_left_of_it),
        T(a_block_that_cannot_be_read_costs_its_own_messages_only),
        T(a_read_error_later_is_an_error_of_that_read),
        T(a_body_of_a_failed_write_is_not_taken_for_the_one_that_was_written_again),
        T(no_single_flipped_byte_loses_another_message),
    };
    return cmocka_run_group_tests_name("spool/damage", tests, NULL, NULL);
}
