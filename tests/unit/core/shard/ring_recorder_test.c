/* The trace of a recorded ring: what is in it, and in which order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/ring_recorder.h"
#include "tests/support/shard_bench.h"

#define HEAD_SIZE 13u /* kind, length, wall clock */

struct bench {
    struct shard_bench shards;
    struct ring *ring;
    struct ring_recorder *recorder;
    struct ring_op op;
    char path[32];
};

static struct bench b;

static void op_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    (void)op;
    (void)res;
    (void)flags;
}

static int set_up(void **state)
{
    int fd;

    (void)state;
    b = (struct bench){.path = "/tmp/ring_recorder_XXXXXX", .op.done = op_done};
    fd = mkstemp(b.path);
    if (fd < 0) {
        return -1;
    }
    close(fd);
    shard_bench_open(&b.shards, 1, 1);
    b.ring = &b.shards.list[0]->ring;
    b.recorder = ring_recorder_open(b.path, "/disk/spool");
    assert_non_null(b.recorder);
    ring_recorder_wrap(b.recorder, b.ring);
    return b.ring->backend->fs_mkdirs(b.ring, "/disk/spool", 0700);
}

static int tear_down(void **state)
{
    (void)state;
    shard_bench_close(&b.shards);
    ring_recorder_close(&b.recorder);
    unlink(b.path);
    return 0;
}

/* The trace so far; buf_free() it. */
static struct buf trace(void)
{
    struct buf out = {0};
    char part[4096];
    int fd = open(b.path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    assert_true(fd >= 0);
    while ((got = read(fd, part, sizeof(part))) > 0) {
        buf_append(&out, part, (size_t)got);
    }
    close(fd);
    return out;
}

/* One letter for each entry. */
static void expect_kinds(const char *expected)
{
    struct buf text = trace();
    struct buf kinds = {0};
    uint32_t len;

    for (size_t at = 0; at < text.len; at += 5 + len) {
        assert_true(at + HEAD_SIZE <= text.len);
        buf_char(&kinds, text.ptr[at]);
        memcpy(&len, text.ptr + at + 1, sizeof(len));
    }
    buf_char(&kinds, '\0');
    assert_string_equal(kinds.ptr, expected);
    buf_free(&kinds);
    buf_free(&text);
}

/* The last entry, without its head; borrowed from *text. */
static struct slice last_entry(struct buf *text)
{
    size_t at = 0;
    uint32_t len;

    *text = trace();
    for (;;) {
        memcpy(&len, text->ptr + at + 1, sizeof(len));
        if (at + 5 + len == text->len) {
            return slice_of(text->ptr + at + HEAD_SIZE, text->len - at - HEAD_SIZE);
        }
        at += 5 + len;
    }
}

static int file_open(const char *path)
{
    int fd = b.ring->backend->fs_open(b.ring, path, O_RDWR | O_CREAT, 0600);

    assert_true(fd >= 0);
    return fd;
}

/* ---- */

static void a_write_is_told_before_it_happens_and_its_end_before_anyone_hears_of_it(void **state)
{
    int fd = file_open("/disk/spool/seg");

    (void)state;
    ring_write(b.ring, &b.op, fd, "abc", 3, 512, true);
    expect_kinds("MOW");
    fake_ring_finish(b.ring, RING_WRITE);
    expect_kinds("MOW");
    ring_wait(b.ring, 0);
    assert_true(b.op.in_flight);
    expect_kinds("MOWD");
    ring_dispatch(b.ring, 1);
    assert_false(b.op.in_flight);
}

static void a_write_is_told_with_place_and_bytes(void **state)
{
    int fd = file_open("/disk/spool/seg");
    struct buf text;
    struct slice entry;
    uint64_t offset;
    uint32_t len;

    (void)state;
    ring_write(b.ring, &b.op, fd, "abc", 3, 512, true);
    entry = last_entry(&text);
    memcpy(&offset, entry.ptr + 12, sizeof(offset));
    memcpy(&len, entry.ptr + 21, sizeof(len));
    assert_int_equal(offset, 512);
    assert_int_equal(entry.ptr[20], 1); /* dsync */
    assert_int_equal(len, 3);
    assert_true(slice_eq(slice_from(entry, 25), SLICE("abc")));
    buf_free(&text);
    fake_ring_run(b.shards.list[0]);
}

static void zeros_are_told_by_their_length_alone(void **state)
{
    static const char zeros[4096];
    int fd = file_open("/disk/spool/seg");
    struct buf text;

    (void)state;
    ring_write(b.ring, &b.op, fd, zeros, sizeof(zeros), 0, false);
    assert_int_equal(last_entry(&text).len, 25);
    buf_free(&text);
    fake_ring_run(b.shards.list[0]);
}

static void calls_that_block_are_told_like_operations(void **state)
{
    const struct ring_backend *backend = b.ring->backend;
    int fd = file_open("/disk/spool/mark.new");

    (void)state;
    assert_int_equal(backend->fs_pwrite(b.ring, fd, "abc", 3, 0), 3);
    assert_int_equal(backend->fs_sync(b.ring, fd), 0);
    backend->fs_close(b.ring, fd);
    assert_int_equal(backend->fs_rename(b.ring, "/disk/spool/mark.new", "/disk/spool/mark"), 0);
    assert_int_equal(backend->fs_unlink(b.ring, "/disk/spool/mark"), 0);
    expect_kinds("MOWDFDCRU");
}

static void what_lies_elsewhere_is_nobodys_business(void **state)
{
    int fd = file_open("/disk/spool2"); /* begins alike, but is another name */

    (void)state;
    ring_write(b.ring, &b.op, fd, "abc", 3, 0, true);
    fake_ring_run(b.shards.list[0]);
    assert_int_equal(b.ring->backend->fs_sync(b.ring, fd), 0);
    b.ring->backend->fs_close(b.ring, fd);
    expect_kinds("M");
}

static void each_acknowledgement_in_a_send_is_told_before_it_goes_out(void **state)
{
    static const char replies[] = "250 OK ids=0a 0b\r\n354 go\r\n250 OK ids=0c\r\n";
    struct buf text;

    (void)state;
    ring_send(b.ring, &b.op, 9, replies, sizeof(replies) - 1);
    expect_kinds("MKK");
    assert_true(slice_eq(last_entry(&text), SLICE("250 OK ids=0c")));
    buf_free(&text);
    fake_ring_run(b.shards.list[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define RECORDER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        RECORDER_TEST(a_write_is_told_before_it_happens_and_its_end_before_anyone_hears_of_it),
        RECORDER_TEST(a_write_is_told_with_place_and_bytes),
        RECORDER_TEST(zeros_are_told_by_their_length_alone),
        RECORDER_TEST(calls_that_block_are_told_like_operations),
        RECORDER_TEST(what_lies_elsewhere_is_nobodys_business),
        RECORDER_TEST(each_acknowledgement_in_a_send_is_told_before_it_goes_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
