/* Start and stop: locks, versions, boot counts, how logs fall to shards, the three durabilities. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "spool/store_files.h"
#include "tests/unit/spool/spool_bench.h"

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

static void describe(struct spool_bench *b, char *out, size_t size)
{
    struct buf text = {0};

    spool_store_describe(b->store, &text);
    snprintf(out, size, "%.*s", (int)text.len, text.ptr);
    buf_free(&text);
}

static enum spool_err open_again(struct spool_bench *b, struct buf *why)
{
    struct spool_store *store;
    struct ring ring;
    enum spool_err err;

    fake_ring_open(&ring, b->disk, 5);
    err = spool_store_open(&ring, &b->params, &store, why);
    spool_store_close(&store);
    ring_close(&ring);
    return err;
}

static void a_second_process_is_told_who_holds_the_spool(void **state)
{
    struct spool_bench *b = *state;
    struct buf why = {0};
    char pid[16];

    bench_start(b, 1);
    assert_int_equal(open_again(b, &why), SPOOL_E_LOCKED);
    buf_char(&why, '\0');
    snprintf(pid, sizeof(pid), "pid %ld", (long)getpid());
    assert_non_null(strstr(why.ptr, "/spool"));
    assert_non_null(strstr(why.ptr, pid));
    buf_free(&why);
    bench_stop(b);
    assert_int_equal(open_again(b, &why), SPOOL_OK);
    buf_free(&why);
}

static void no_paths_is_an_error_with_the_known_text(void **state)
{
    struct spool_bench *b = *state;
    struct buf why = {0};

    b->params.shard_count = 1;
    b->params.data_path_count = 0;
    assert_int_equal(open_again(b, &why), SPOOL_E_CONFIG);
    assert_true(slice_eq(buf_slice(&why), SLICE("No spools have been defined")));
    buf_free(&why);
}

static int64_t data_is_read_only(void *ctx, enum fake_io io, const char *path, uint64_t offset,
                                 uint64_t len)
{
    (void)ctx;
    (void)offset;
    (void)len;
    return io == FAKE_OPEN && strstr(path, "/lock") != NULL ? -30 : 0;
}

static void a_path_that_cannot_be_used_is_named(void **state)
{
    struct spool_bench *b = *state;
    struct buf why = {0};

    b->params.shard_count = 1;
    fake_disk_set_fault(b->disk, data_is_read_only, NULL);
    assert_int_equal(open_again(b, &why), SPOOL_E_CONFIG);
    buf_char(&why, '\0');
    assert_non_null(strstr(why.ptr, "/spool"));
    buf_free(&why);
}

static void boots_are_counted_even_when_the_count_is_lost(void **state)
{
    struct spool_bench *b = *state;
    uint32_t boot;

    bench_start(b, 1);
    boot = spool_store_boot_count(b->store);
    bench_stop(b);
    bench_start(b, 1);
    assert_int_equal(spool_store_boot_count(b->store), boot + 1);
    bench_stop(b);
    assert_int_equal(fake_disk_unlink(b->disk, "/spool/format"), 0);
    bench_start(b, 1);
    assert_true(spool_store_boot_count(b->store) > boot + 1);
}

static void another_format_is_refused_with_both_numbers(void **state)
{
    struct spool_bench *b = *state;
    struct buf why = {0};
    uint64_t size;
    char *bytes;

    bench_start(b, 1);
    bench_stop(b);
    bytes = fake_disk_bytes(b->disk, "/spool/format", &size);
    store_file_stamp(bytes, 9);
    fake_disk_touch(b->disk, "/spool/format");
    assert_int_equal(open_again(b, &why), SPOOL_E_VERSION);
    buf_char(&why, '\0');
    assert_non_null(strstr(why.ptr, "format 9"));
    assert_non_null(strstr(why.ptr, "format 1"));
    buf_free(&why);
}

static void the_banner_says_how_durable_it_is(void **state)
{
    struct spool_bench *b = *state;
    char text[160];

    bench_start(b, 1);
    describe(b, text, sizeof(text));
    assert_string_equal(text, "fsync-group, O_DIRECT, 1 path");
    bench_stop(b);
    fake_disk_refuse_direct(b->disk);
    bench_start(b, 1);
    describe(b, text, sizeof(text));
    assert_string_equal(text,
                        "fsync-group, O_DIRECT refused: buffered writes with O_DSYNC, 1 path");
    bench_stop(b);
    b->params.durability = SPOOL_OS_CACHE;
    bench_start(b, 1);
    describe(b, text, sizeof(text));
    assert_memory_equal(text, "os-cache", 8);
}

static void put_many(struct spool_bench *b, uint32_t shard, const char *prefix, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct bench_mail *m;
        char name[16];

        snprintf(name, sizeof(name), "%s%u", prefix, i);
        m = bench_mail_new(name, 500);
        bench_put(b, shard, m);
        bench_run(b);
        assert_int_equal(m->err, SPOOL_OK);
        bench_mail_free(&m);
    }
}

/* Log i belongs to shard i mod N: with fewer shards the surplus logs are adopted and drained. */
static void fewer_shards_find_everything_and_settle_it_for_good(void **state)
{
    struct spool_bench *b = *state;

    bench_start(b, 4);
    for (uint32_t shard = 0; shard < 4; shard++) {
        char prefix[4] = {(char)('a' + shard), 0};

        put_many(b, shard, prefix, 3);
    }
    bench_stop(b);

    bench_start(b, 2);
    assert_int_equal(b->found_count, 12);
    for (uint32_t i = 0; i < b->found_count; i++) {
        assert_int_equal(b->found[i].ref.log % 2, b->found[i].shard);
        if (b->found[i].id[0] == 'c') { /* of log 2, now with shard 0 */
            assert_true(
                spool_settle(b->spools[b->found[i].shard], b->found[i].ref, SLICE("done")) != 0);
        }
    }
    bench_run(b);
    put_many(b, 0, "new", 1);
    bench_stop(b);

    bench_start(b, 3);
    assert_int_equal(b->found_count, 10);
    assert_null(bench_find(b, "c0"));
    assert_non_null(bench_find(b, "new0"));
    assert_int_equal(b->unlogged_count, 3);
}

static void count_log_files(void *ctx, const char *path, uint64_t size)
{
    uint32_t *counts = ctx;

    (void)size;
    counts[0] += strstr(path, "/disk-a/log-") != NULL && strstr(path, "seg-") != NULL;
    counts[1] += strstr(path, "/disk-b/log-") != NULL && strstr(path, "seg-") != NULL;
}

static void mail_spreads_over_several_paths(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m[24];
    uint32_t counts[2] = {0, 0}, logs[2] = {0, 0};

    b->paths[0] = SLICE("/disk-a");
    b->paths[1] = SLICE("/disk-b");
    b->params.data_path_count = 2;
    b->params.meta_path = SLICE("/meta");
    bench_start(b, 1);
    for (int i = 0; i < 24; i++) {
        char name[16];

        snprintf(name, sizeof(name), "m%d", i);
        m[i] = bench_mail_new(name, 9000);
        bench_put(b, 0, m[i]);
    }
    bench_run(b);
    for (int i = 0; i < 24; i++) {
        assert_int_equal(m[i]->err, SPOOL_OK);
        logs[m[i]->record.ref.log % 2]++;
        bench_mail_free(&m[i]);
    }
    assert_true(logs[0] > 4 && logs[1] > 4);
    fake_disk_each(b->disk, count_log_files, counts);
    assert_true(counts[0] > 0 && counts[1] > 0);
    bench_stop(b);
    bench_start(b, 2);
    assert_int_equal(b->found_count, 24);
}

static void mail_in_memory_lives_as_long_as_the_process(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m;
    struct spool_read r;
    uint32_t files = 0;
    char text[160];

    b->params.durability = SPOOL_MEMORY;
    b->params.segment_size = 0;
    bench_start(b, 2);
    describe(b, text, sizeof(text));
    assert_string_equal(text, "memory, accepted mail is lost at exit");
    m = bench_mail_new("one", 700000); /* in chunks, as on disk */
    bench_put(b, 1, m);
    bench_run(b);
    assert_int_equal(m->err, SPOOL_OK);
    assert_int_equal(bench_read(b, 1, m->record.ref, &r), SPOOL_OK);
    assert_int_equal(r.body.len, 700000);
    assert_memory_equal(r.body.ptr, m->body, 700000);
    buf_free(&r.body);
    buf_free(&r.blob);
    spool_mark_logged(b->spools[1], spool_settle(b->spools[1], m->record.ref, SLICE("x")));
    bench_run(b);
    assert_int_equal(bench_read(b, 1, m->record.ref, &r), SPOOL_E_GONE);
    fake_disk_each(b->disk, count_log_files, &files);
    assert_int_equal(files, 0);
    bench_mail_free(&m);
    bench_stop(b);
    bench_start(b, 2);
    assert_int_equal(b->found_count, 0);
}

/* What was logged after the drain is known at the next start. */
static void marks_survive_an_orderly_stop(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m;
    uint64_t sequence;

    bench_start(b, 1);
    m = bench_accept(b, "one", 500);
    bench_run(b);
    sequence = spool_settle(b->spools[0], m->record.ref, SLICE("delivered"));
    bench_run(b);
    spool_mark_logged(b->spools[0], sequence);
    bench_stop(b); /* no commit carries the mark any more: spool_close() writes it */
    bench_start(b, 1);
    assert_int_equal(b->unlogged_count, 0);
    assert_int_equal(b->found_count, 0);
    bench_mail_free(&m);
}

static void an_unlogged_settle_is_reported_until_it_is_done(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m;
    struct spool_read r;
    uint64_t seed = 8;

    bench_start(b, 1);
    m = bench_accept(b, "one", 500);
    bench_run(b);
    (void)spool_settle(b->spools[0], m->record.ref, SLICE("delivered to a"));
    bench_run(b);
    for (int i = 0; i < 2; i++) {
        bench_crash(b, &seed);
        bench_start(b, 1);
        assert_int_equal(b->found_count, 0);
        assert_int_equal(b->unlogged_count, 1);
        assert_string_equal(b->unlogged[0].outcome, "delivered to a");
        assert_int_equal(bench_read(b, 0, b->unlogged[0].ref, &r), SPOOL_OK);
        assert_memory_equal(r.body.ptr, m->body, 500);
        buf_free(&r.body);
        buf_free(&r.blob);
    }
    spool_unlogged_done(b->spools[0], b->unlogged[0].ref);
    bench_run(b);
    bench_stop(b);
    bench_start(b, 1);
    assert_int_equal(b->unlogged_count, 0);
    bench_mail_free(&m);
}

/* Stopping does not wait for a long recovery, and the next start loses nothing by it. */
static void a_stop_in_the_middle_of_recovery_forgets_nothing(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m;
    uint64_t seed = 5;

    bench_start(b, 1);
    put_many(b, 0, "m", 30);
    m = bench_accept(b, "settled", 500);
    bench_run(b);
    (void)spool_settle(b->spools[0], m->record.ref, SLICE("delivered"));
    bench_run(b);
    bench_crash(b, &seed);
    for (uint32_t turns = 0; turns < 12; turns++) {
        bench_open(b, 1);
        for (uint32_t i = 0; i < turns; i++) {
            fake_ring_turn(&b->shards[0]);
            (void)fake_ring_finish_any(&b->shards[0].ring, &seed);
        }
        bench_stop(b);
    }
    bench_start(b, 1);
    assert_int_equal(b->found_count, 30);
    assert_int_equal(b->unlogged_count, 1);
    bench_mail_free(&m);
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static void new_mail_is_refused_while_draining(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m;

    bench_start(b, 1);
    spool_drain(b->spools[0], nothing, NULL);
    m = bench_accept(b, "late", 100);
    assert_true(m->answered);
    assert_int_equal(m->err, SPOOL_E_CLOSING);
    bench_mail_free(&m);
}

static void segment_cached(void *ctx, const char *path, uint64_t size)
{
    if (strstr(path, "/seg-") != NULL) {
        fake_disk_cached(ctx, path);
    }
}

static void what_a_start_has_found_survives_a_power_cut_right_after(void **state)
{
    struct spool_bench *b = *state;

    for (uint64_t seed = 1; seed < 9; seed++) {
        char name[16];
        struct bench_mail *m;
        uint64_t chance = seed;

        snprintf(name, sizeof(name), "found-%llu", (unsigned long long)seed);
        bench_start(b, 1);
        m = bench_accept(b, name, 3000);
        bench_run(b);
        assert_true(m->answered && m->err == SPOOL_OK);
        bench_mail_free(&m);
        bench_stop(b);
        fake_disk_each(b->disk, segment_cached, b->disk);
        bench_forget(b);
        bench_start(b, 1);
        assert_non_null(bench_find(b, name));
        bench_crash(b, &chance);
        bench_forget(b);
        bench_start(b, 1);
        assert_non_null(bench_find(b, name));
        assert_int_equal(b->damage_count, 0);
        bench_stop(b);
    }
}

static int64_t segment_sync_fails(void *ctx, enum fake_io io, const char *path, uint64_t offset,
                                  uint64_t len)
{
    return io == FAKE_SYNC && strstr(path, "/seg-") != NULL ? -EIO : 0;
}

static void a_log_that_cannot_be_synced_gives_nothing_back(void **state)
{
    struct spool_bench *b = *state;
    struct bench_mail *m;
    struct spool_counters c;

    bench_start(b, 1);
    m = bench_accept(b, "kept", 3000);
    bench_run(b);
    assert_int_equal(m->err, SPOOL_OK);
    bench_mail_free(&m);
    bench_stop(b);
    fake_disk_set_fault(b->disk, segment_sync_fails, NULL);
    bench_open(b, 1);
    bench_run(b);
    assert_non_null(bench_find(b, "kept"));
    assert_non_null(strstr(b->damage[0].what, "a segment cannot be synced"));
    spool_mark_logged(b->spools[0], spool_settle(b->spools[0], b->found[0].ref, SLICE("gone")));
    bench_advance_ms(b, 1000);
    bench_run(b);
    spool_counters(b->spools[0], &c);
    assert_int_equal(c.cleaned_segment_count, 0);
    bench_stop(b);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_second_process_is_told_who_holds_the_spool),
        T(no_paths_is_an_error_with_the_known_text),
        T(a_path_that_cannot_be_used_is_named),
        T(boots_are_counted_even_when_the_count_is_lost),
        T(another_format_is_refused_with_both_numbers),
        T(the_banner_says_how_durable_it_is),
        T(fewer_shards_find_everything_and_settle_it_for_good),
        T(mail_spreads_over_several_paths),
        T(mail_in_memory_lives_as_long_as_the_process),
        T(marks_survive_an_orderly_stop),
        T(an_unlogged_settle_is_reported_until_it_is_done),
        T(a_stop_in_the_middle_of_recovery_forgets_nothing),
        T(new_mail_is_refused_while_draining),
        T(what_a_start_has_found_survives_a_power_cut_right_after),
        T(a_log_that_cannot_be_synced_gives_nothing_back),
    };
    return cmocka_run_group_tests_name("spool/store", tests, NULL, NULL);
}
