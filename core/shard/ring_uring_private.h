/*
 * ring_uring_private - what the files of the io_uring backend share.
 */
#pragma once

#include <liburing.h>

#include "core/shard/ring.h"
#include "core/shard/ring_worker.h"

/* Receive buffers of one group, and the receives that wait because there were none. */
struct uring_group {
    struct io_uring_buf_ring *ring;
    char *bytes;
    uint32_t count;
    uint32_t out;             /* handed to the owners and not given back yet */
    struct ring_op **starved; /* a queue: armed again in turn when buffers come back */
    uint32_t starved_head, starved_count, starved_cap;
};

struct uring {
    struct io_uring io;
    struct ring_params params;
    struct uring_group groups[RING_GROUP_COUNT];
    struct ring_op **finished; /* completions made without the kernel: starved and cancelled */
    uint32_t finished_count, finished_cap;
    struct ring_op **cancels; /* RING_CANCEL and RING_CANCEL_OP that have not completed */
    uint32_t cancel_count, cancel_cap;
    uint64_t random_state[2];
    struct ring_workers *workers; /* NULL until the first ring_work() */
    uint64_t worker_bell;         /* the eventfd's counter is read into this */
    bool worker_bell_armed;
    bool work_left; /* finished work that did not fit the last turn */
    bool enabled;
};

/* Appends the one line that tells an operator what to change (ring_uring_probe.c). */
void ring_uring_explain(int err, struct buf *why);

/* The synchronous part of the backend: sockets and start-up files (ring_uring_sys.c). */
int uring_sock_open(struct ring *ring, int family);
int uring_sock_bind(struct ring *ring, int fd, const struct ip_port *addr);
int uring_sock_listen(struct ring *ring, const struct ip_port *addr, int backlog, bool shares);
int uring_sock_names(struct ring *ring, int fd, struct ip_port *local, struct ip_port *peer);
int uring_fs_open(struct ring *ring, const char *path, int flags, unsigned mode);
void uring_fs_close(struct ring *ring, int fd);
int uring_fs_mkdirs(struct ring *ring, const char *path, unsigned mode);
int uring_fs_list(struct ring *ring, const char *path, ring_dir_fn *fn, void *arg);
int uring_fs_stat(struct ring *ring, const char *path, struct ring_file_info *out);
int uring_fs_unlink(struct ring *ring, const char *path);
int uring_fs_rename(struct ring *ring, const char *from, const char *to);
int uring_fs_chmod(struct ring *ring, const char *path, unsigned mode);
int uring_fs_allocate(struct ring *ring, int fd, uint64_t size);
int64_t uring_fs_pread(struct ring *ring, int fd, void *to, size_t len, uint64_t offset);
int64_t uring_fs_pwrite(struct ring *ring, int fd, const void *from, size_t len, uint64_t offset);
int uring_fs_sync(struct ring *ring, int fd);
int uring_fs_lock(struct ring *ring, int fd);
int uring_fs_space(struct ring *ring, const char *path, struct ring_space *out);
uint64_t uring_clock_ns(struct ring *ring);
uint64_t uring_wall_clock_ns(struct ring *ring);
void uring_random_seed(struct uring *u);
uint64_t uring_random(struct ring *ring);
socklen_t uring_sockaddr(const struct ip_port *addr, struct sockaddr_storage *out);
