#include "tests/support/ring_recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"

struct ring_recorder {
    struct ring_backend backend;
    const struct ring_backend *inner;
    pthread_mutex_t lock;
    struct slice root;
    struct buf entry;
    int trace;
    int *fds; /* descriptors of files below the root */
    uint32_t fd_count, fd_cap;
};

static struct ring_recorder *recorder_of(const struct ring *ring)
{
    return CONTAINER_OF(ring->backend, struct ring_recorder, backend);
}

/* ---- entries ---- */

static void entry_begin(struct ring_recorder *r, struct ring *ring, char kind)
{
    uint32_t len = 0;
    uint64_t wall_ms = r->inner->wall_clock_ns(ring) / 1000000u;

    MUST(pthread_mutex_lock(&r->lock) == 0);
    buf_clear(&r->entry);
    buf_char(&r->entry, kind);
    buf_append(&r->entry, &len, sizeof(len));
    buf_append(&r->entry, &wall_ms, sizeof(wall_ms));
}

static void put_u32(struct ring_recorder *r, uint32_t value)
{
    buf_append(&r->entry, &value, sizeof(value));
}

static void put_u64(struct ring_recorder *r, uint64_t value)
{
    buf_append(&r->entry, &value, sizeof(value));
}

static void put_op(struct ring_recorder *r, const void *op)
{
    put_u64(r, (uint64_t)(uintptr_t)op);
}

static void entry_end(struct ring_recorder *r)
{
    uint32_t len = (uint32_t)r->entry.len - 5;
    size_t done = 0;

    memcpy(r->entry.ptr + 1, &len, sizeof(len));
    while (done < r->entry.len) {
        ssize_t put = write(r->trace, r->entry.ptr + done, r->entry.len - done);

        if (put < 0 && errno != EINTR) {
            perror("ring_recorder");
            abort();
        }
        done += put > 0 ? (size_t)put : 0;
    }
    MUST(pthread_mutex_unlock(&r->lock) == 0);
}

/* Its place in r->fds, or r->fd_count. Under the lock. */
static uint32_t fd_find(const struct ring_recorder *r, int fd)
{
    uint32_t i = 0;

    while (i < r->fd_count && r->fds[i] != fd) {
        i++;
    }
    return i;
}

static void fd_add(struct ring_recorder *r, int fd)
{
    MUST(fd_find(r, fd) == r->fd_count);
    if (r->fd_count == r->fd_cap) {
        r->fd_cap = r->fd_cap != 0 ? r->fd_cap * 2 : 64;
        r->fds = mem_grow(r->fds, r->fd_cap * sizeof(*r->fds));
    }
    r->fds[r->fd_count++] = fd;
}

static bool is_known(struct ring_recorder *r, int fd)
{
    bool known;

    MUST(pthread_mutex_lock(&r->lock) == 0);
    known = fd_find(r, fd) < r->fd_count;
    MUST(pthread_mutex_unlock(&r->lock) == 0);
    return known;
}

static bool is_below(const struct ring_recorder *r, const char *path)
{
    struct slice s = slice_str(path);

    return slice_starts(s, r->root) && (s.len == r->root.len || s.ptr[r->root.len] == '/');
}

static void path_entry(struct ring *ring, char kind, const char *path)
{
    struct ring_recorder *r = recorder_of(ring);

    if (is_below(r, path)) {
        entry_begin(r, ring, kind);
        buf_put(&r->entry, slice_str(path));
        entry_end(r);
    }
}

/* ---- operations ---- */

static bool all_zero(const char *bytes, size_t len)
{
    return len > 0 && bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

static void write_entry(struct ring *ring, const void *op, int fd, const char *bytes, size_t len,
                        uint64_t offset, bool dsync)
{
    struct ring_recorder *r = recorder_of(ring);

    entry_begin(r, ring, 'W');
    put_op(r, op);
    put_u32(r, (uint32_t)fd);
    put_u64(r, offset);
    buf_char(&r->entry, dsync);
    put_u32(r, (uint32_t)len);
    if (!all_zero(bytes, len)) {
        buf_append(&r->entry, bytes, len);
    }
    entry_end(r);
}

static void sync_entry(struct ring *ring, const void *op, int fd)
{
    struct ring_recorder *r = recorder_of(ring);

    entry_begin(r, ring, 'F');
    put_op(r, op);
    put_u32(r, (uint32_t)fd);
    entry_end(r);
}

static void done_entry(struct ring *ring, const void *op, int64_t res)
{
    struct ring_recorder *r = recorder_of(ring);

    entry_begin(r, ring, 'D');
    put_op(r, op);
    put_u32(r, (uint32_t)res);
    entry_end(r);
}

/* Replies gather in one send; each acknowledgement in it counts. */
static void send_entries(struct ring *ring, const struct ring_op *op)
{
    static const char mark[] = "250 OK ids=";
    struct ring_recorder *r = recorder_of(ring);
    const char *at = op->ptr, *end = at + op->len;

    while ((at = memmem(at, (size_t)(end - at), mark, sizeof(mark) - 1)) != NULL) {
        const char *line_end = memchr(at, '\r', (size_t)(end - at));

        line_end = line_end != NULL ? line_end : end;
        entry_begin(r, ring, 'K');
        buf_append(&r->entry, at, (size_t)(line_end - at));
        entry_end(r);
        at = line_end;
    }
}

static void recorder_submit(struct ring *ring, struct ring_op *op)
{
    struct ring_recorder *r = recorder_of(ring);

    if (op->kind == RING_SEND) {
        send_entries(ring, op);
    } else if (op->kind == RING_WRITE && is_known(r, op->fd)) {
        write_entry(ring, op, op->fd, op->ptr, op->len, op->offset,
                    (op->flags & RING_OP_DSYNC) != 0);
    } else if (op->kind == RING_FSYNC && is_known(r, op->fd)) {
        sync_entry(ring, op, op->fd);
    }
    MUST(op->kind != RING_CLOSE || !is_known(r, op->fd)); /* files are closed by fs_close() */
    r->inner->submit(ring, op);
}

static void recorder_wait(struct ring *ring, uint64_t timeout_ns)
{
    struct ring_recorder *r = recorder_of(ring);

    r->inner->wait(ring, timeout_ns);
    for (uint32_t i = 0; i < ring->event_count; i++) {
        const struct ring_event *ev = &ring->events[i];

        if (ev->op != NULL && (ev->op->kind == RING_WRITE || ev->op->kind == RING_FSYNC) &&
            is_known(r, ev->op->fd)) {
            done_entry(ring, ev->op, ev->res);
        }
    }
}

/* ---- files ---- */

static int recorder_fs_open(struct ring *ring, const char *path, int flags, unsigned mode)
{
    struct ring_recorder *r = recorder_of(ring);
    int fd = r->inner->fs_open(ring, path, flags, mode);

    if (fd >= 0 && is_below(r, path)) {
        entry_begin(r, ring, 'O');
        put_u32(r, (uint32_t)fd);
        put_u32(r, (uint32_t)flags);
        buf_put(&r->entry, slice_str(path));
        fd_add(r, fd);
        entry_end(r);
    }
    return fd;
}

static void recorder_fs_close(struct ring *ring, int fd)
{
    struct ring_recorder *r = recorder_of(ring);

    if (is_known(r, fd)) {
        entry_begin(r, ring, 'C');
        put_u32(r, (uint32_t)fd);
        r->fds[fd_find(r, fd)] = r->fds[--r->fd_count];
        entry_end(r);
    }
    r->inner->fs_close(ring, fd);
}

static int recorder_fs_mkdirs(struct ring *ring, const char *path, unsigned mode)
{
    struct ring_file_info info;
    bool was_there = recorder_of(ring)->inner->fs_stat(ring, path, &info) == 0;
    int res = recorder_of(ring)->inner->fs_mkdirs(ring, path, mode);

    if (res == 0 && !was_there) {
        path_entry(ring, 'M', path);
    }
    return res;
}

static int recorder_fs_unlink(struct ring *ring, const char *path)
{
    int res = recorder_of(ring)->inner->fs_unlink(ring, path);

    if (res == 0) {
        path_entry(ring, 'U', path);
    }
    return res;
}

static int recorder_fs_rename(struct ring *ring, const char *from, const char *to)
{
    struct ring_recorder *r = recorder_of(ring);
    int res = r->inner->fs_rename(ring, from, to);

    if (res == 0 && is_below(r, to)) {
        entry_begin(r, ring, 'R');
        buf_append(&r->entry, from, strlen(from) + 1);
        buf_put(&r->entry, slice_str(to));
        entry_end(r);
    }
    return res;
}

static int recorder_fs_allocate(struct ring *ring, int fd, uint64_t size)
{
    struct ring_recorder *r = recorder_of(ring);
    int res = r->inner->fs_allocate(ring, fd, size);

    if (res == 0 && is_known(r, fd)) {
        entry_begin(r, ring, 'A');
        put_u32(r, (uint32_t)fd);
        put_u64(r, size);
        entry_end(r);
    }
    return res;
}

/* Calls that block are told like operations; what stands for one is a place on the caller's stack,
 * since workers make such calls, too. */
static int64_t recorder_fs_pwrite(struct ring *ring, int fd, const void *from, size_t len,
                                  uint64_t offset)
{
    struct ring_recorder *r = recorder_of(ring);
    bool known = is_known(r, fd);
    int64_t res;

    if (known) {
        write_entry(ring, &res, fd, from, len, offset, false);
    }
    res = r->inner->fs_pwrite(ring, fd, from, len, offset);
    if (known) {
        done_entry(ring, &res, res);
    }
    return res;
}

static int recorder_fs_sync(struct ring *ring, int fd)
{
    struct ring_recorder *r = recorder_of(ring);
    bool known = is_known(r, fd);
    int res;

    if (known) {
        sync_entry(ring, &res, fd);
    }
    res = r->inner->fs_sync(ring, fd);
    if (known) {
        done_entry(ring, &res, res);
    }
    return res;
}

/* The ring is the inner backend's again: it looks at nothing but ring->state. */
static void recorder_close(struct ring *ring)
{
    recorder_of(ring)->inner->close(ring);
}

/* ---- life ---- */

struct ring_recorder *ring_recorder_open(const char *trace_path, const char *root)
{
    struct ring_recorder *r = MEM_NEW(struct ring_recorder);

    r->trace = open(trace_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (r->trace < 0) {
        mem_give(r);
        return NULL;
    }
    r->root = slice_str(root);
    MUST(pthread_mutex_init(&r->lock, NULL) == 0);
    return r;
}

void ring_recorder_wrap(void *ctx, struct ring *ring)
{
    struct ring_recorder *r = ctx;

    MUST(r->inner == NULL || r->inner == ring->backend); /* one kind of ring, made by one thread */
    r->inner = ring->backend;
    r->backend = *r->inner;
    r->backend.close = recorder_close;
    r->backend.submit = recorder_submit;
    r->backend.wait = recorder_wait;
    r->backend.fs_open = recorder_fs_open;
    r->backend.fs_close = recorder_fs_close;
    r->backend.fs_mkdirs = recorder_fs_mkdirs;
    r->backend.fs_unlink = recorder_fs_unlink;
    r->backend.fs_rename = recorder_fs_rename;
    r->backend.fs_allocate = recorder_fs_allocate;
    r->backend.fs_pwrite = recorder_fs_pwrite;
    r->backend.fs_sync = recorder_fs_sync;
    ring->backend = &r->backend;
}

void ring_recorder_close(struct ring_recorder **rp)
{
    struct ring_recorder *r = *rp;

    *rp = NULL;
    close(r->trace);
    pthread_mutex_destroy(&r->lock);
    buf_free(&r->entry);
    mem_give(r->fds);
    mem_give(r);
}
