#include "spool/store_files.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "spool/format.h"

#define FILE_MAGIC 0x454c4946474e4952ull /* RINGFILE */

/* One number under a checksum: the boot count, or a log's mark. */
struct store_file {
    uint64_t magic;
    uint32_t version;
    uint32_t zero;
    uint64_t value;
    uint64_t sum;
};
_Static_assert(sizeof(struct store_file) == 32, "on disk");

static uint64_t file_sum(const struct store_file *f)
{
    return hash64(f, offsetof(struct store_file, sum), 0);
}

int store_file_read(struct ring *ring, const char *path, uint64_t *value_out, uint32_t *version_out)
{
    struct store_file f;
    int64_t got;
    int fd = ring->backend->fs_open(ring, path, O_RDONLY | O_CLOEXEC, 0);

    if (fd < 0) {
        return fd;
    }
    got = ring->backend->fs_pread(ring, fd, &f, sizeof(f), 0);
    ring->backend->fs_close(ring, fd);
    if (got < 0) {
        return (int)got;
    }
    if (got != sizeof(f) || f.magic != FILE_MAGIC || f.sum != file_sum(&f)) {
        return -EBADMSG;
    }
    *value_out = f.value;
    *version_out = f.version;
    return 0;
}

void store_file_stamp(void *bytes, uint32_t version)
{
    struct store_file f;

    memcpy(&f, bytes, sizeof(f));
    f.version = version;
    f.sum = file_sum(&f);
    memcpy(bytes, &f, sizeof(f));
}

static int file_put(struct ring *ring, const char *path, const struct store_file *f)
{
    int fd = ring->backend->fs_open(ring, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int64_t put;
    int err;

    if (fd < 0) {
        return fd;
    }
    put = ring->backend->fs_pwrite(ring, fd, f, sizeof(*f), 0);
    err = put < 0 ? (int)put : put != sizeof(*f) ? -EIO : ring->backend->fs_sync(ring, fd);
    ring->backend->fs_close(ring, fd);
    return err;
}

int store_folder_sync(struct ring *ring, const char *dir)
{
    int fd = ring->backend->fs_open(ring, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    int err;

    if (fd < 0) {
        return fd;
    }
    err = ring->backend->fs_sync(ring, fd);
    ring->backend->fs_close(ring, fd);
    return err;
}

int store_file_write(struct ring *ring, const char *dir, const char *name, uint64_t value)
{
    struct store_file f = {.magic = FILE_MAGIC, .version = FORMAT_VERSION, .value = value};
    struct buf path = {0}, fresh = {0};
    int err;

    f.sum = file_sum(&f);
    buf_printf(&path, "%s/%s", dir, name);
    buf_char(&path, '\0');
    buf_printf(&fresh, "%s/%s.new", dir, name);
    buf_char(&fresh, '\0');
    err = file_put(ring, fresh.ptr, &f);
    if (err == 0) {
        err = ring->backend->fs_rename(ring, fresh.ptr, path.ptr);
    }
    if (err == 0) {
        err = store_folder_sync(ring, dir);
    }
    buf_free(&path);
    buf_free(&fresh);
    return err;
}

/* ---- paths ---- */

/* A new directory is only there after a power failure when those above it are stable. One that
 * may not be opened was not made by us. */
static int ancestors_sync(struct ring *ring, const char *path)
{
    char *copy = mem_copy(path, strlen(path));
    char *slash;
    int err = 0;

    while (err == 0 && (slash = strrchr(copy, '/')) != NULL && slash != copy) {
        *slash = '\0';
        err = store_folder_sync(ring, copy);
        err = err == -EACCES || err == -EPERM ? 0 : err;
    }
    mem_give(copy);
    return err;
}

static enum spool_err path_refused(const char *path, const char *doing, int err, struct buf *why)
{
    buf_printf(why, "%s: cannot %s: %s", path, doing, strerror(-err));
    if (err == -EACCES || err == -EPERM) {
        buf_printf(why, "; it has to belong to the user of the daemon: mkdir -p %s && chown -R %u "
                   "%s", path, (unsigned)geteuid(), path);
    }
    return SPOOL_E_CONFIG;
}

static enum spool_err lock_taken(struct ring *ring, const char *path, int fd, struct buf *why)
{
    char pid[24] = {0};
    int64_t got = ring->backend->fs_pread(ring, fd, pid, sizeof(pid) - 1, 0);

    buf_printf(why, "%s is locked by another process, pid %.*s", path,
               got > 0 ? (int)strcspn(pid, " \n") : 7, got > 0 ? pid : "unknown");
    return SPOOL_E_LOCKED;
}

static enum spool_err lock_take(struct ring *ring, struct store_path *path, struct buf *why)
{
    struct buf name = {0}, pid = {0};
    int err;

    buf_printf(&name, "%s/lock", path->path);
    buf_char(&name, '\0');
    path->lock_fd = ring->backend->fs_open(ring, name.ptr, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    buf_free(&name);
    if (path->lock_fd < 0) {
        return path_refused(path->path, "open the lock file", path->lock_fd, why);
    }
    err = ring->backend->fs_lock(ring, path->lock_fd);
    if (err == -EWOULDBLOCK) {
        return lock_taken(ring, path->path, path->lock_fd, why);
    }
    if (err != 0) {
        return path_refused(path->path, "lock", err, why);
    }
    /* Padded, so that a shorter pid leaves nothing of a longer one. */
    buf_printf(&pid, "%-10ld\n", (long)getpid());
    (void)ring->backend->fs_pwrite(ring, path->lock_fd, pid.ptr, pid.len, 0);
    buf_free(&pid);
    return SPOOL_OK;
}

/* Writes and reads a block through `flags`: what the segments will need. */
static int probe_try(struct ring *ring, const char *name, int flags)
{
    const struct ring_backend *b = ring->backend;
    int fd = b->fs_open(ring, name, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
    char *block;
    int64_t n;

    if (fd < 0) {
        return fd;
    }
    block = mem_take_aligned(FORMAT_BLOCK, FORMAT_BLOCK);
    n = b->fs_pwrite(ring, fd, block, FORMAT_BLOCK, 0);
    if (n == FORMAT_BLOCK) {
        n = b->fs_pread(ring, fd, block, FORMAT_BLOCK, 0);
    }
    mem_give(block);
    b->fs_close(ring, fd);
    return n == FORMAT_BLOCK ? 0 : n < 0 ? (int)n : -EIO;
}

static int probe(struct ring *ring, struct store_path *path, bool direct)
{
    struct buf name = {0};
    int err = -EINVAL;

    buf_printf(&name, "%s/probe", path->path);
    buf_char(&name, '\0');
    path->direct = false;
    if (direct) {
        err = probe_try(ring, name.ptr, O_DIRECT);
        path->direct = err == 0;
    }
    if (err == -EINVAL || err == -EOPNOTSUPP) {
        err = probe_try(ring, name.ptr, 0);
    }
    (void)ring->backend->fs_unlink(ring, name.ptr);
    buf_free(&name);
    return err;
}

enum spool_err store_path_open(struct ring *ring, struct store_path *path, bool direct,
                               struct buf *why)
{
    enum spool_err err;
    int res = ring->backend->fs_mkdirs(ring, path->path, 0700);

    if (res == 0) {
        res = ancestors_sync(ring, path->path);
    }
    if (res != 0) {
        return path_refused(path->path, "create", res, why);
    }
    err = lock_take(ring, path, why);
    if (err != SPOOL_OK) {
        return err;
    }
    res = probe(ring, path, direct);
    if (res != 0) {
        return path_refused(path->path, "write and read a file", res, why);
    }
    return SPOOL_OK;
}

enum spool_err store_boot(struct ring *ring, const char *meta, uint32_t *boot_out, struct buf *why)
{
    struct buf path = {0};
    uint64_t boot = 0;
    uint32_t version = FORMAT_VERSION;
    int err;

    buf_printf(&path, "%s/format", meta);
    buf_char(&path, '\0');
    err = store_file_read(ring, path.ptr, &boot, &version);
    buf_free(&path);
    if (err != 0 && err != -ENOENT && err != -EBADMSG) {
        buf_printf(why, "%s/format: cannot read: %s", meta, strerror(-err));
        return SPOOL_E_CONFIG;
    }
    if (version != FORMAT_VERSION) {
        buf_printf(why, "%s holds format %u, this program reads format %u", meta, version,
                   FORMAT_VERSION);
        return SPOOL_E_VERSION;
    }
    if (boot < *boot_out) {
        boot = *boot_out; /* the file was lost: the segments remember */
    }
    boot++;
    err = store_file_write(ring, meta, "format", boot);
    if (err != 0) {
        buf_printf(why, "%s/format: cannot write: %s", meta, strerror(-err));
        return SPOOL_E_CONFIG;
    }
    *boot_out = (uint32_t)boot;
    return SPOOL_OK;
}
