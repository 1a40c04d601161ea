/* Segment files: names, opening, finishing, and those that an earlier life left. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/base/time_text.h"
#include "core/log/log_private.h"

#define FILE_MODE 0644u
#define DIR_MODE 0755u
#define WRITE_BITS 0222u
#define NAME_TRIES 1000u

static struct ring *ring_of(const struct log_stream *s)
{
    return &s->logger->log->shard->ring;
}

/* dir/name, ending in a NUL that is not counted. */
static void path_put(struct buf *out, struct slice dir, struct slice name)
{
    buf_clear(out);
    buf_put(out, dir);
    if (name.len != 0) {
        if (!slice_ends(dir, SLICE("/"))) {
            buf_char(out, '/');
        }
        buf_put(out, name);
    }
    buf_char(out, '\0');
    out->len--;
}

static int make_dir(struct ring *ring, struct slice dir)
{
    struct buf path = {0};
    int res;

    path_put(&path, dir, SLICE(""));
    res = ring->backend->fs_mkdirs(ring, path.ptr, DIR_MODE);
    buf_free(&path);
    return res;
}

/* Another shard, or a logger with the same directory, may open a file at the same moment: then
 * the name moves on by a nanosecond. */
static int open_next_name(struct log_stream *s, struct ring *ring)
{
    uint64_t stamp_ns = ring_wall_ns(ring);
    struct buf name = {0};
    int fd = -EEXIST;

    for (unsigned tries = 0; fd == -EEXIST && tries < NAME_TRIES; tries++) {
        buf_clear(&name);
        time_put_log_stamp(&name, stamp_ns++);
        buf_put(&name, s->suffix);
        path_put(&s->path, s->dir, buf_slice(&name));
        fd = ring->backend->fs_open(ring, s->path.ptr, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                                    FILE_MODE);
    }
    buf_free(&name);
    return fd;
}

int log_file_open(struct log_stream *s)
{
    struct ring *ring = ring_of(s);
    struct buf path = {0};
    int fd;

    MUST(s->fd < 0 && s->dir_fd < 0);
    fd = open_next_name(s, ring);
    if (fd == -ENOENT) {
        fd = make_dir(ring, s->dir);
        fd = fd < 0 ? fd : open_next_name(s, ring);
    }
    if (fd < 0) {
        return fd;
    }
    path_put(&path, s->dir, SLICE(""));
    s->dir_fd = ring->backend->fs_open(ring, path.ptr, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    buf_free(&path);
    if (s->dir_fd < 0) {
        diag_warn(s->logger->log->options.diag, "log", "opening directory %.*s to sync it: %s",
                  SLICE_ARG(s->dir), strerror(-s->dir_fd));
    }
    s->fd = fd;
    s->offset = 0;
    s->in_frame = false;
    s->file_failures = 0;
    s->logger->log->counters.segment_count++;
    return 0;
}

static int take_write_bits(struct ring *ring, const char *path)
{
    struct ring_file_info info;
    int res = ring->backend->fs_stat(ring, path, &info);

    if (res < 0 || !info.is_regular || (info.mode & WRITE_BITS) == 0) {
        return res;
    }
    return ring->backend->fs_chmod(ring, path, info.mode & 07777u & ~WRITE_BITS);
}

void log_file_finish(struct log_stream *s)
{
    int res = take_write_bits(ring_of(s), s->path.ptr);

    if (res < 0) {
        diag_warn(s->logger->log->options.diag, "log", "%s keeps its write permission: %s",
                  s->path.ptr, strerror(-res));
    }
}

void log_file_close(struct log_stream *s)
{
    struct ring *ring = ring_of(s);

    if (s->fd >= 0) {
        ring->backend->fs_close(ring, s->fd);
        s->fd = -1;
    }
    if (s->dir_fd >= 0) {
        ring->backend->fs_close(ring, s->dir_fd);
        s->dir_fd = -1;
    }
}

/* ---- before the shards run ---- */

struct sweep {
    struct ring *ring;
    struct slice dir;
    struct buf path;
    int res;
};

static void sweep_one(void *arg, struct slice name)
{
    struct sweep *sw = arg;
    int res;

    if (name.len == 0 || name.ptr[0] == '.') {
        return;
    }
    path_put(&sw->path, sw->dir, name);
    res = take_write_bits(sw->ring, sw->path.ptr);
    if (res < 0 && res != -ENOENT) { /* somebody else may clean up behind us */
        sw->res = res;
    }
}

static int sweep_dir(struct ring *ring, struct slice dir)
{
    struct sweep sw = {.ring = ring, .dir = dir};
    struct buf path = {0};
    int res;

    path_put(&path, dir, SLICE(""));
    res = ring->backend->fs_list(ring, path.ptr, sweep_one, &sw);
    buf_free(&path);
    buf_free(&sw.path);
    return res < 0 ? res : sw.res;
}

static bool refused(struct buf *why, const char *doing, struct slice dir, int res)
{
    buf_printf(why, "%s %.*s: %s", doing, SLICE_ARG(dir), strerror(-res));
    if (res == -EACCES || res == -EPERM) {
        buf_printf(why, "; it has to belong to the user of the daemon: mkdir -p %.*s && chown -R "
                   "%u %.*s", SLICE_ARG(dir), (unsigned)geteuid(), SLICE_ARG(dir));
    }
    return false;
}

/* What would refuse every segment is better known at the start; a full disk may pass. */
static int try_file(struct ring *ring, struct slice dir)
{
    struct buf path = {0};
    int fd;

    path_put(&path, dir, SLICE(".probe"));
    fd = ring->backend->fs_open(ring, path.ptr, O_WRONLY | O_CREAT | O_CLOEXEC, FILE_MODE);
    if (fd >= 0) {
        ring->backend->fs_close(ring, fd);
        (void)ring->backend->fs_unlink(ring, path.ptr);
    }
    buf_free(&path);
    return fd == -EACCES || fd == -EPERM || fd == -EROFS ? fd : 0;
}

bool log_prepare(struct ring *ring, const struct log_params *p, struct buf *why)
{
    int res = make_dir(ring, p->log_dir);

    if (res < 0) {
        return refused(why, "creating log_dir", p->log_dir, res);
    }
    if ((res = try_file(ring, p->log_dir)) < 0) {
        return refused(why, "making a file in log_dir", p->log_dir, res);
    }
    if ((res = sweep_dir(ring, p->log_dir)) < 0) {
        return refused(why, "marking segments complete in log_dir", p->log_dir, res);
    }
    for (unsigned i = 0; i <= LOG_TYPE_COUNT; i++) {
        const struct log_per_record *e = i < LOG_TYPE_COUNT ? &p->per_record[i] : &p->any;

        if (e->is_set && e->log_dir.len != 0 && (res = sweep_dir(ring, e->log_dir)) < 0 &&
            res != -ENOENT) { /* made when its first record comes */
            return refused(why, "marking segments complete in log_dir", e->log_dir, res);
        }
    }
    return true;
}
