/* The ring's immediate calls: sockets, files, clocks, randomness. */
#include <errno.h>

#include "core/base/mem.h"
#include "tests/sim/sim_daemon.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_shard_private.h"

#define WALL_BEGIN_NS (UINT64_C(1790000000) * SIM_S)

static struct sim *sim_of(const struct ring *ring)
{
    return shard_of_ring(ring)->s;
}

static struct disk_file *file_of(struct ring *ring, int fd)
{
    return shard_fd(shard_of_ring(ring), fd, FD_FILE)->file;
}

/* ---- time and chance ---- */

static uint64_t sim_clock_ns(struct ring *ring)
{
    return sim_of(ring)->now_ns;
}

static uint64_t sim_wall_clock_ns(struct ring *ring)
{
    return WALL_BEGIN_NS + sim_of(ring)->now_ns;
}

static uint64_t sim_random(struct ring *ring)
{
    return prng_next(&sim_of(ring)->chance[CHANCE_RING]);
}

/* ---- sockets ---- */

static int sim_sock_open(struct ring *ring, int family)
{
    struct sim_shard *sh = shard_of_ring(ring);

    return shard_fd_conn(sh, net_conn_new(sh->s, sh));
}

static int sim_sock_bind(struct ring *ring, int fd, const struct ip_port *addr)
{
    shard_fd(shard_of_ring(ring), fd, FD_CONN)->conn->local = *addr;
    return 0;
}

static int sim_sock_listen(struct ring *ring, const struct ip_port *addr, int backlog, bool shares)
{
    struct sim_shard *sh = shard_of_ring(ring);
    struct net_listener *l;

    if (!shares && net_is_taken(sh->s, addr)) {
        return -EADDRINUSE;
    }
    l = MEM_NEW(struct net_listener);
    l->shard = sh;
    l->addr = *addr;
    net_listen(sh->s, l);
    return shard_fd_take(sh, (struct sim_fd){.kind = FD_LISTENER, .listener = l});
}

static int sim_sock_names(struct ring *ring, int fd, struct ip_port *local, struct ip_port *peer)
{
    struct sim_shard *sh = shard_of_ring(ring);
    const struct sim_fd *f = &sh->fds->all[fd];

    if (f->kind == FD_LISTENER) {
        *local = f->listener->addr;
        return 0;
    }
    if (local != NULL) {
        *local = f->conn->local;
    }
    if (peer != NULL) {
        *peer = f->conn->remote;
    }
    return 0;
}

/* ---- files ---- */

static int sim_fs_open(struct ring *ring, const char *path, int flags, unsigned mode)
{
    struct disk_file *file;
    int err;

    life_call(sim_of(ring));
    err = disk_open(sim_of(ring), path, flags, &file);
    return err != 0 ? err : shard_fd_take(shard_of_ring(ring),
                                          (struct sim_fd){.kind = FD_FILE, .file = file});
}

static void sim_fs_close(struct ring *ring, int fd)
{
    struct sim_shard *sh = shard_of_ring(ring);
    struct sim_fd *f = &sh->fds->all[fd];

    MUST(f->kind != FD_FREE);
    if (f->kind == FD_FILE) {
        disk_close(f->file);
    } else if (f->kind == FD_LISTENER) {
        net_unlisten(sh->s, f->listener);
        mem_give(f->listener);
    } else {
        net_close(sh->s, f->conn);
    }
    shard_fd_give(sh, fd);
}

static int sim_fs_mkdirs(struct ring *ring, const char *path, unsigned mode)
{
    life_call(sim_of(ring));
    return disk_mkdirs(sim_of(ring), path);
}

static int sim_fs_list(struct ring *ring, const char *path, ring_dir_fn *fn, void *arg)
{
    return disk_list(sim_of(ring), path, fn, arg);
}

static int sim_fs_stat(struct ring *ring, const char *path, struct ring_file_info *out)
{
    return disk_stat(sim_of(ring), path, out);
}

static int sim_fs_unlink(struct ring *ring, const char *path)
{
    life_call(sim_of(ring));
    return disk_unlink(sim_of(ring), path);
}

static int sim_fs_rename(struct ring *ring, const char *from, const char *to)
{
    life_call(sim_of(ring));
    return disk_rename(sim_of(ring), from, to);
}

static int sim_fs_chmod(struct ring *ring, const char *path, unsigned mode)
{
    return disk_chmod(sim_of(ring), path, mode);
}

static int sim_fs_allocate(struct ring *ring, int fd, uint64_t size)
{
    life_call(sim_of(ring));
    return disk_allocate(sim_of(ring), file_of(ring, fd), size);
}

static int64_t sim_fs_pread(struct ring *ring, int fd, void *to, size_t len, uint64_t offset)
{
    return disk_read(sim_of(ring), file_of(ring, fd), to, len, offset);
}

static int64_t sim_fs_pwrite(struct ring *ring, int fd, const void *from, size_t len,
                             uint64_t offset)
{
    life_call(sim_of(ring));
    return disk_write(sim_of(ring), file_of(ring, fd), from, len, offset, false);
}

static int sim_fs_sync(struct ring *ring, int fd)
{
    life_call(sim_of(ring));
    return disk_sync(sim_of(ring), file_of(ring, fd));
}

static int sim_fs_lock(struct ring *ring, int fd)
{
    return disk_lock(sim_of(ring), file_of(ring, fd));
}

static int sim_fs_space(struct ring *ring, const char *path, struct ring_space *out)
{
    disk_space(sim_of(ring), out);
    return 0;
}

const struct ring_backend sim_backend = {
    .name = "sim",
    .close = sim_ring_close,
    .submit = sim_ring_submit,
    .wait = sim_ring_wait,
    .wake = sim_ring_wake,
    .buffer = sim_ring_buffer,
    .buffer_give = sim_ring_buffer_give,
    .clock_ns = sim_clock_ns,
    .wall_clock_ns = sim_wall_clock_ns,
    .random = sim_random,
    .sock_open = sim_sock_open,
    .sock_bind = sim_sock_bind,
    .sock_listen = sim_sock_listen,
    .sock_names = sim_sock_names,
    .fs_open = sim_fs_open,
    .fs_close = sim_fs_close,
    .fs_mkdirs = sim_fs_mkdirs,
    .fs_list = sim_fs_list,
    .fs_stat = sim_fs_stat,
    .fs_unlink = sim_fs_unlink,
    .fs_rename = sim_fs_rename,
    .fs_chmod = sim_fs_chmod,
    .fs_allocate = sim_fs_allocate,
    .fs_pread = sim_fs_pread,
    .fs_pwrite = sim_fs_pwrite,
    .fs_sync = sim_fs_sync,
    .fs_lock = sim_fs_lock,
    .fs_space = sim_fs_space,
};
