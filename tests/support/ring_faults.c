#include "tests/support/ring_faults.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/mem.h"

#define FDS_MAX 65536

struct control {
    _Atomic int32_t write_error;
    _Atomic int32_t read_error;
    _Atomic uint32_t failed_count;
};

struct ring_faults {
    struct ring_backend backend;
    const struct ring_backend *inner;
    struct slice root;
    struct control *control;
    _Atomic int32_t last_error;
    _Atomic bool known[FDS_MAX]; /* descriptors of files below the root */
};

static struct ring_faults *faults_of(const struct ring *ring)
{
    return CONTAINER_OF(ring->backend, struct ring_faults, backend);
}

static bool is_known(const struct ring_faults *f, int fd)
{
    return fd >= 0 && fd < FDS_MAX && f->known[fd];
}

static bool is_below(const struct ring_faults *f, const char *path)
{
    return slice_starts(slice_str(path), f->root);
}

/* The negative error number a call has to answer; 0: it goes on. */
static int fault_of(struct ring_faults *f, _Atomic int32_t *error, bool concerned)
{
    int32_t now = concerned ? *error : 0;

    if (now != 0) {
        f->last_error = now;
        f->control->failed_count++;
    }
    return -now;
}

static int path_fault(struct ring *ring, const char *path)
{
    struct ring_faults *f = faults_of(ring);

    return fault_of(f, &f->control->write_error, is_below(f, path));
}

static int fd_fault(struct ring *ring, int fd)
{
    struct ring_faults *f = faults_of(ring);

    return fault_of(f, &f->control->write_error, is_known(f, fd));
}

/* ---- operations: without a descriptor the kernel fails them, in its own time ---- */

static bool is_file_op(const struct ring_op *op)
{
    return op->kind == RING_WRITE || op->kind == RING_FSYNC || op->kind == RING_READ;
}

static void faults_submit(struct ring *ring, struct ring_op *op)
{
    struct ring_faults *f = faults_of(ring);
    _Atomic int32_t *error =
        op->kind == RING_READ ? &f->control->read_error : &f->control->write_error;

    if (is_file_op(op) && fault_of(f, error, is_known(f, op->fd)) != 0) {
        op->fd = -1;
    }
    f->inner->submit(ring, op);
}

static void faults_wait(struct ring *ring, uint64_t timeout_ns)
{
    struct ring_faults *f = faults_of(ring);

    f->inner->wait(ring, timeout_ns);
    for (uint32_t i = 0; i < ring->event_count; i++) {
        struct ring_event *ev = &ring->events[i];

        if (ev->op != NULL && is_file_op(ev->op) && ev->op->fd == -1) {
            ev->res = -f->last_error;
        }
    }
}

/* ---- files ---- */

static int faults_fs_open(struct ring *ring, const char *path, int flags, unsigned mode)
{
    struct ring_faults *f = faults_of(ring);
    int fd = (flags & (O_CREAT | O_WRONLY | O_RDWR)) != 0 ? path_fault(ring, path) : 0;

    if (fd != 0) {
        return fd;
    }
    fd = f->inner->fs_open(ring, path, flags, mode);
    if (fd >= 0 && fd < FDS_MAX) {
        f->known[fd] = is_below(f, path);
    }
    return fd;
}

static void faults_fs_close(struct ring *ring, int fd)
{
    struct ring_faults *f = faults_of(ring);

    if (is_known(f, fd)) {
        f->known[fd] = false;
    }
    f->inner->fs_close(ring, fd);
}

static int faults_fs_mkdirs(struct ring *ring, const char *path, unsigned mode)
{
    int err = path_fault(ring, path);

    return err != 0 ? err : faults_of(ring)->inner->fs_mkdirs(ring, path, mode);
}

static int faults_fs_unlink(struct ring *ring, const char *path)
{
    int err = path_fault(ring, path);

    return err != 0 ? err : faults_of(ring)->inner->fs_unlink(ring, path);
}

static int faults_fs_rename(struct ring *ring, const char *from, const char *to)
{
    int err = path_fault(ring, to);

    return err != 0 ? err : faults_of(ring)->inner->fs_rename(ring, from, to);
}

static int faults_fs_chmod(struct ring *ring, const char *path, unsigned mode)
{
    int err = path_fault(ring, path);

    return err != 0 ? err : faults_of(ring)->inner->fs_chmod(ring, path, mode);
}

static int faults_fs_allocate(struct ring *ring, int fd, uint64_t size)
{
    int err = fd_fault(ring, fd);

    return err != 0 ? err : faults_of(ring)->inner->fs_allocate(ring, fd, size);
}

static int64_t faults_fs_pwrite(struct ring *ring, int fd, const void *from, size_t len,
                                uint64_t offset)
{
    int err = fd_fault(ring, fd);

    return err != 0 ? err : faults_of(ring)->inner->fs_pwrite(ring, fd, from, len, offset);
}

static int faults_fs_sync(struct ring *ring, int fd)
{
    int err = fd_fault(ring, fd);

    return err != 0 ? err : faults_of(ring)->inner->fs_sync(ring, fd);
}

/* The ring is the inner backend's again: it looks at nothing but ring->state. */
static void faults_close(struct ring *ring)
{
    faults_of(ring)->inner->close(ring);
}

/* ---- life ---- */

static struct control *control_map(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    void *map = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, sizeof(struct control)) == 0) {
        map = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (fd >= 0) {
        close(fd);
    }
    return map != MAP_FAILED ? map : NULL;
}

struct ring_faults *ring_faults_open(const char *control_path, const char *root)
{
    struct control *control = control_map(control_path);
    struct ring_faults *f;

    if (control == NULL) {
        return NULL;
    }
    f = MEM_NEW(struct ring_faults);
    f->root = slice_str(root);
    f->control = control;
    return f;
}

void ring_faults_wrap(void *ctx, struct ring *ring)
{
    struct ring_faults *f = ctx;

    f->inner = ring->backend;
    f->backend = *f->inner;
    f->backend.close = faults_close;
    f->backend.submit = faults_submit;
    f->backend.wait = faults_wait;
    f->backend.fs_open = faults_fs_open;
    f->backend.fs_close = faults_fs_close;
    f->backend.fs_mkdirs = faults_fs_mkdirs;
    f->backend.fs_unlink = faults_fs_unlink;
    f->backend.fs_rename = faults_fs_rename;
    f->backend.fs_chmod = faults_fs_chmod;
    f->backend.fs_allocate = faults_fs_allocate;
    f->backend.fs_pwrite = faults_fs_pwrite;
    f->backend.fs_sync = faults_fs_sync;
    ring->backend = &f->backend;
}

void ring_faults_close(struct ring_faults **fp)
{
    struct ring_faults *f = *fp;

    *fp = NULL;
    munmap(f->control, sizeof(*f->control));
    mem_give(f);
}
