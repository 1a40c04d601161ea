#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/core/log/log_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <zstd.h>

#include "core/base/mem.h"

static struct log_bench *bench_of(struct ring *ring)
{
    return (struct log_bench *)CONTAINER_OF(ring, struct shard, ring);
}

/* ---- the disk ---- */

static struct bench_file *find(struct log_bench *b, const char *path)
{
    for (uint32_t i = 0; i < b->file_count; i++) {
        if (b->files[i].exists && strcmp(b->files[i].path, path) == 0) {
            return &b->files[i];
        }
    }
    return NULL;
}

static struct bench_file *add(struct log_bench *b, const char *path, bool is_dir, unsigned mode)
{
    assert_true(b->file_count < BENCH_FILES_MAX && strlen(path) < sizeof(b->files[0].path));
    struct bench_file *f = &b->files[b->file_count++];

    memcpy(f->path, path, strlen(path) + 1);
    f->exists = true;
    f->is_dir = is_dir;
    f->mode = mode;
    return f;
}

static int fs_open(struct ring *ring, const char *path, int flags, unsigned mode)
{
    struct log_bench *b = bench_of(ring);
    struct bench_file *f = find(b, path);
    char dir[200];

    if ((flags & O_CREAT) == 0) {
        return f != NULL ? (int)(f - b->files) : -ENOENT;
    }
    if (b->fail_open != 0) {
        return -b->fail_open;
    }
    if (f != NULL) {
        assert_true(flags & O_EXCL);
        return -EEXIST;
    }
    memcpy(dir, path, strlen(path) + 1);
    *strrchr(dir, '/') = '\0';
    if (find(b, dir) == NULL) {
        return -ENOENT;
    }
    f = add(b, path, false, mode);
    f->is_open = true;
    return (int)(f - b->files);
}

static void fs_close(struct ring *ring, int fd)
{
    bench_of(ring)->files[fd].is_open = false;
}

static int fs_mkdirs(struct ring *ring, const char *path, unsigned mode)
{
    if (find(bench_of(ring), path) == NULL) {
        add(bench_of(ring), path, true, mode);
    }
    return 0;
}

static int fs_list(struct ring *ring, const char *path, ring_dir_fn *fn, void *arg)
{
    struct log_bench *b = bench_of(ring);

    if (find(b, path) == NULL) {
        return -ENOENT;
    }
    for (uint32_t i = 0; i < b->file_count; i++) {
        const char *slash = strrchr(b->files[i].path, '/');

        if (b->files[i].exists && slash != b->files[i].path &&
            strncmp(b->files[i].path, path, strlen(path)) == 0 &&
            slash == b->files[i].path + strlen(path)) {
            fn(arg, slice_str(slash + 1));
        }
    }
    return 0;
}

static int fs_stat(struct ring *ring, const char *path, struct ring_file_info *out)
{
    struct bench_file *f = find(bench_of(ring), path);

    if (f == NULL) {
        return -ENOENT;
    }
    *out = (struct ring_file_info){
        .size = f->bytes.len, .is_dir = f->is_dir, .is_regular = !f->is_dir, .mode = f->mode};
    return 0;
}

static int fs_chmod(struct ring *ring, const char *path, unsigned mode)
{
    find(bench_of(ring), path)->mode = mode;
    return 0;
}

static int fs_unlink(struct ring *ring, const char *path)
{
    struct bench_file *f = find(bench_of(ring), path);

    if (f == NULL) {
        return -ENOENT;
    }
    f->exists = false;
    return 0;
}

static int32_t do_write(struct log_bench *b, struct ring_op *op)
{
    struct bench_file *f = &b->files[op->fd];
    size_t len = b->write_max != 0 && op->len > b->write_max ? b->write_max : op->len;

    assert_true(f->is_open);
    if (b->fail_write != 0) {
        return -b->fail_write;
    }
    assert_int_equal(op->offset, f->bytes.len);
    buf_append(&f->bytes, op->ptr, len);
    return (int32_t)len;
}

static int32_t do_sync(struct log_bench *b, struct ring_op *op)
{
    struct bench_file *f = &b->files[op->fd];
    int error = b->fail_sync;

    if (error == 0) {
        f->synced_size = f->bytes.len;
        return 0;
    }
    if (b->fail_sync_count != 0 && --b->fail_sync_count == 0) {
        b->fail_sync = 0;
    }
    return -error;
}

/* ---- the ring ---- */

static void submit(struct ring *ring, struct ring_op *op)
{
    struct log_bench *b = bench_of(ring);

    assert_true(b->op_count < BENCH_OPS_MAX);
    b->ops[b->op_count++] = op;
}

static void wait_now(struct ring *ring, uint64_t timeout_ns)
{
    struct log_bench *b = bench_of(ring);

    if (b->hold) {
        return;
    }
    for (uint32_t i = 0; i < b->op_count; i++) {
        struct ring_op *op = b->ops[i];
        int32_t res = op->kind == RING_WORK    ? op->work(op->ptr)
                      : op->kind == RING_WRITE ? do_write(b, op)
                                               : do_sync(b, op);

        ring->events[ring->event_count++] = (struct ring_event){.op = op, .res = res};
    }
    b->op_count = 0;
}

static uint64_t clock_ns(struct ring *ring)
{
    return bench_of(ring)->now_ns;
}

static uint64_t wall_clock_ns(struct ring *ring)
{
    return bench_of(ring)->wall_ns;
}

static void close_nothing(struct ring *ring)
{
}

/* ---- the log ---- */

static uint64_t diag_clock(void *ctx)
{
    return ((struct log_bench *)ctx)->wall_ns;
}

static void diag_write(void *ctx, struct slice line)
{
    buf_put(&((struct log_bench *)ctx)->said, line);
}

static void note_durable(void *ctx, uint64_t sequence)
{
    struct log_bench *b = ctx;

    assert_true(sequence > b->durable);
    b->durable = sequence;
}

int log_bench_setup(void **state)
{
    struct log_bench *b = MEM_NEW(struct log_bench);

    b->backend = (struct ring_backend){
        .name = "bench", .close = close_nothing, .submit = submit, .wait = wait_now,
        .clock_ns = clock_ns, .wall_clock_ns = wall_clock_ns, .fs_open = fs_open,
        .fs_close = fs_close, .fs_mkdirs = fs_mkdirs, .fs_list = fs_list, .fs_stat = fs_stat,
        .fs_chmod = fs_chmod, .fs_unlink = fs_unlink,
    };
    b->now_ns = UINT64_C(5000000000);
    b->wall_ns = UINT64_C(1770000003120458711); /* 2026-02-02T02:40:03.120458711Z */
    b->shard.ring.backend = &b->backend;
    b->group = (struct shard_group){.count = 1, .shards = b->shards};
    shard_init(&b->shard, &b->group, 0);
    diag_init(&b->diag, b, diag_clock, diag_write);
    b->params.log_dir = SLICE("/l");
    b->log = log_new(&b->shard, &(struct log_options){
                                    .diag = &b->diag,
                                    .node_id = SLICE("6f1f0f5e-7a64-4c0f-9a5b-0f6f0a9e1b22"),
                                    .ctx = b,
                                    .durable = note_durable,
                                });
    *state = b;
    return 0;
}

static void note_drained(void *ctx)
{
    ((struct log_bench *)ctx)->drained = true;
}

void log_bench_drain(struct log_bench *b)
{
    log_drain(b->log, note_drained, b);
    log_bench_run(b);
}

int log_bench_teardown(void **state)
{
    struct log_bench *b = *state;

    if (!b->drained) {
        log_bench_drain(b);
    }
    assert_true(b->drained);
    log_free(&b->log);
    mail_free(&b->shard);
    diag_free(&b->diag);
    buf_free(&b->said);
    for (uint32_t i = 0; i < b->file_count; i++) {
        assert_true(b->files[i].is_dir || !b->files[i].is_open);
        buf_free(&b->files[i].bytes);
    }
    mem_give(b);
    return 0;
}

void log_bench_run(struct log_bench *b)
{
    do {
        shard_turn(&b->shard, 0);
    } while ((b->op_count != 0 && !b->hold) || !dlist_empty(&b->shard.posted) ||
             b->shard.ring.event_next < b->shard.ring.event_count);
}

void log_bench_advance(struct log_bench *b, uint64_t ms)
{
    b->now_ns += ms * 1000000;
    b->wall_ns += ms * 1000000;
    log_bench_run(b);
}

void log_bench_submit(struct log_bench *b, enum log_type type, const char *text, uint64_t sequence)
{
    log_submit(b->log, &(struct log_record){
                           .type = type,
                           .event_ns = b->wall_ns,
                           .sender = slice_str(text),
                           .settle_sequence = sequence,
                       });
}

/* ---- what is on the disk ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct bench_file *const *)a)->path, (*(struct bench_file *const *)b)->path);
}

uint32_t log_bench_file_count(const struct log_bench *b)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < b->file_count; i++) {
        count += !b->files[i].is_dir;
    }
    return count;
}

struct bench_file *log_bench_file(struct log_bench *b, uint32_t index)
{
    struct bench_file *sorted[BENCH_FILES_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < b->file_count; i++) {
        if (!b->files[i].is_dir) {
            sorted[count++] = &b->files[i];
        }
    }
    assert_true(index < count);
    qsort(sorted, count, sizeof(sorted[0]), by_name);
    return sorted[index];
}

void log_bench_read(const struct bench_file *f, struct buf *out, bool *complete)
{
    ZSTD_DCtx *dctx = ZSTD_createDCtx();
    ZSTD_inBuffer in = {f->bytes.ptr, f->bytes.len, 0};
    size_t left = 1;

    while (in.pos < in.size && left != 0) {
        buf_reserve(out, 1 << 16);
        ZSTD_outBuffer o = {out->ptr + out->len, out->cap - out->len, 0};

        left = ZSTD_decompressStream(dctx, &o, &in);
        assert_false(ZSTD_isError(left));
        out->len += o.pos;
    }
    assert_int_equal(in.pos, in.size); /* one frame and nothing behind it */
    *complete = left == 0 && in.size != 0;
    (void)ZSTD_freeDCtx(dctx);
}

const char *log_bench_senders(struct log_bench *b, uint32_t index)
{
    static const struct slice key = SLICE_INIT("\"sender\":\"");
    struct buf text = {0};
    bool complete;
    char *at;

    log_bench_read(log_bench_file(b, index), &text, &complete);
    buf_char(&text, '\0');
    buf_clear(&b->said);
    for (at = text.ptr; (at = strstr(at, key.ptr)) != NULL;) {
        at += key.len;
        if (b->said.len != 0) {
            buf_char(&b->said, ' ');
        }
        buf_append(&b->said, at, (size_t)(strchr(at, '"') - at));
    }
    buf_char(&b->said, '\0');
    buf_free(&text);
    return b->said.ptr;
}
