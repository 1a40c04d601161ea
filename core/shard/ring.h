/*
 * ring - the only door to kernel, disk, network, time and randomness.
 *
 * A caller fills nothing by hand: ring_send(), ring_write() and the others put the request into
 * a struct ring_op that is a field of the caller's own object, and hand it to the backend. The
 * answer comes through op->done from ring_dispatch(), never from inside the submitting call.
 * Two backends exist: io_uring (ring_uring.c) and the fake that unit tests drive by hand
 * (tests/support/fake_ring.c); the simulator is the third.
 *
 * Owner     one shard, one thread. No call is legal from another thread, save ring_wake()
 *           on a ring the caller owns, aimed at another.
 * Memory    the ring owns its receive buffers and its event array. An op and what it points to
 *           (buffer, address, msghdr, iovecs) stay untouched by their owner while op->in_flight.
 * Blocking  only ring_wait(). The ring_sys_* and ring_fs_* calls are immediate by nature
 *           (sockets) or meant for start-up (files); nothing on the way to a 250 uses ring_fs_*.
 * Errors    a negative errno in res; -ECANCELED after ring_cancel_fd().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "core/base/attr.h"
#include "core/base/check.h"
#include "core/base/ip.h"
#include "core/base/slice.h"

struct ring;
struct ring_op;

enum ring_kind {
    RING_NONE = 0,
    RING_ACCEPT,   /* multishot; res = the new descriptor */
    RING_RECV,     /* multishot into a provided buffer; res = bytes, 0 = end of stream */
    RING_SEND,     /* all bytes or an error; res = bytes */
    RING_SENDMSG,  /* all bytes or an error; res = bytes */
    RING_CONNECT,  /* res = 0 */
    RING_SHUTDOWN, /* res = 0 */
    RING_CLOSE,    /* res = 0 */
    RING_CANCEL,   /* every other op of one descriptor completes with -ECANCELED; res = how many */
    RING_CANCEL_OP, /* the op that ptr names completes with -ECANCELED, unless it was faster */
    RING_READ,     /* at an offset; res = bytes, may be short */
    RING_WRITE,    /* at an offset; res = bytes, may be short */
    RING_FSYNC,    /* data only; res = 0 */
    RING_POLL,     /* one shot; res = poll events */
    RING_WORK,     /* a function on an off-loop worker; res = what it returned */
    RING_KIND_COUNT,
};

/* Flags of a completion. */
#define RING_MORE (1u << 0)      /* multishot: the op is still in flight */
#define RING_HAS_BUFFER (1u << 1) /* a receive buffer came along; give it back */
#define RING_BUFFER_SHIFT 16

/* Runs on the owner's shard. `res` is as the kind says or a negative errno. */
typedef void ring_done_fn(struct ring_op *op, int32_t res, uint32_t flags);
/* Runs on a worker thread; may block; touches only what `arg` points to. */
typedef int32_t ring_work_fn(void *arg);

/* One request. A field of the object that asked for it, never an allocation of its own. */
struct ring_op {
    ring_done_fn *done;
    void *ptr; /* buffer, struct msghdr, struct sockaddr_storage, or the argument of work */
    union {
        uint64_t offset;    /* RING_READ, RING_WRITE */
        ring_work_fn *work; /* RING_WORK */
    };
    uint32_t len;
    int32_t fd;
    uint8_t kind;  /* enum ring_kind */
    uint8_t group; /* RING_RECV: enum ring_group */
    uint8_t flags; /* RING_OP_* */
    bool in_flight;
};

#define RING_OP_DSYNC (1u << 0) /* RING_WRITE: durable when it completes */

/* Receive buffers come from separate groups, so that a flood of mail coming in never starves
 * the replies to deliveries. */
enum ring_group { RING_INGRESS = 0, RING_EGRESS, RING_GROUP_COUNT };
#define RING_BUFFER_SIZE 8192u

struct ring_event {
    struct ring_op *op; /* NULL: a wake-up */
    int32_t res;
    uint32_t flags;
};

#define RING_EVENTS_MAX 512u

/* What ring_fs_stat() answers. */
struct ring_file_info {
    uint64_t size;
    bool is_dir;
    bool is_regular;
    uint32_t mode;
};
struct ring_space {
    uint64_t total_bytes, free_bytes; /* free to unprivileged writers */
    uint64_t total_inodes, free_inodes;
};
typedef void ring_dir_fn(void *arg, struct slice name); /* without "." and ".." */

struct ring_backend {
    const char *name;
    void (*close)(struct ring *ring);
    void (*submit)(struct ring *ring, struct ring_op *op);
    /* Hands over what was submitted, sleeps at most timeout_ns for the first completion (0: not
     * at all; UINT64_MAX: no limit), then fills ring->events. Runs no handler. */
    void (*wait)(struct ring *ring, uint64_t timeout_ns);
    void (*wake)(struct ring *ring, struct ring *target);
    const char *(*buffer)(struct ring *ring, uint8_t group, uint16_t id);
    void (*buffer_give)(struct ring *ring, uint8_t group, uint16_t id);
    uint64_t (*clock_ns)(struct ring *ring);      /* monotonic */
    uint64_t (*wall_clock_ns)(struct ring *ring); /* since 1970 UTC */
    uint64_t (*random)(struct ring *ring);

    int (*sock_open)(struct ring *ring, int family);
    int (*sock_bind)(struct ring *ring, int fd, const struct ip_port *addr);
    /* Other sockets may listen on the address afterwards, when they share it. One that does not
     * share wants to be the first: -EADDRINUSE when anybody listens there already. */
    int (*sock_listen)(struct ring *ring, const struct ip_port *addr, int backlog, bool shares);
    int (*sock_names)(struct ring *ring, int fd, struct ip_port *local, struct ip_port *peer);

    int (*fs_open)(struct ring *ring, const char *path, int flags, unsigned mode);
    void (*fs_close)(struct ring *ring, int fd);
    int (*fs_mkdirs)(struct ring *ring, const char *path, unsigned mode);
    int (*fs_list)(struct ring *ring, const char *path, ring_dir_fn *fn, void *arg);
    int (*fs_stat)(struct ring *ring, const char *path, struct ring_file_info *out);
    int (*fs_unlink)(struct ring *ring, const char *path);
    int (*fs_rename)(struct ring *ring, const char *from, const char *to);
    int (*fs_chmod)(struct ring *ring, const char *path, unsigned mode);
    int (*fs_allocate)(struct ring *ring, int fd, uint64_t size);
    int64_t (*fs_pread)(struct ring *ring, int fd, void *to, size_t len, uint64_t offset);
    int64_t (*fs_pwrite)(struct ring *ring, int fd, const void *from, size_t len, uint64_t offset);
    int (*fs_sync)(struct ring *ring, int fd); /* file or directory */
    int (*fs_lock)(struct ring *ring, int fd); /* exclusive, not waiting: -EWOULDBLOCK */
    int (*fs_space)(struct ring *ring, const char *path, struct ring_space *out);
};

/* Open so that the hot inline calls see it; only ring.c and backends write the fields. */
struct ring {
    const struct ring_backend *backend;
    void *state;       /* the backend's */
    uint64_t now_ns;   /* monotonic; read once a turn */
    uint64_t wall_ns;  /* read with it */
    uint32_t event_next, event_count;
    uint32_t in_flight_count;
    bool dispatching;
    struct ring_event events[RING_EVENTS_MAX];
};

struct ring_params {
    uint32_t sq_entries, cq_entries;
    uint32_t ingress_buffers, egress_buffers; /* powers of two, of RING_BUFFER_SIZE each */
    uint32_t workers;                         /* off-loop threads shared by the process */
};

/* The io_uring backend. Made on any thread; ring_uring_enable() runs on the owner's. On failure
 * `why` says in one line what to change on the host. */
NODISCARD int ring_uring_open(struct ring *ring, const struct ring_params *params,
                              struct buf *why);
NODISCARD int ring_uring_enable(struct ring *ring);
/* One line per thing the host lacks (io_uring off, kernel too old, limits); 0 when all is well.
 * Raises RLIMIT_NOFILE to its hard limit. */
NODISCARD int ring_uring_probe(struct buf *why);

void ring_close(struct ring *ring);

/* The turn: wait (or just look), then run handlers. */
void ring_wait(struct ring *ring, uint64_t timeout_ns);
/* Runs at most `budget` handlers; true while reaped events are left for the next turn. */
bool ring_dispatch(struct ring *ring, uint32_t budget);
/* Reads both clocks once; ring_now_ns() answers that until the next call. */
void ring_clock_read(struct ring *ring);

static inline uint64_t ring_now_ns(const struct ring *ring)
{
    return ring->now_ns;
}

static inline uint64_t ring_now_ms(const struct ring *ring)
{
    return ring->now_ns / 1000000u;
}

static inline uint64_t ring_wall_ns(const struct ring *ring)
{
    return ring->wall_ns;
}

static inline uint64_t ring_random(struct ring *ring)
{
    return ring->backend->random(ring);
}

static inline void ring_submit(struct ring *ring, struct ring_op *op)
{
    MUST(!op->in_flight && op->done != NULL);
    op->in_flight = true;
    ring->in_flight_count++;
    ring->backend->submit(ring, op);
}

/* Each fills `op` and submits it; op->done must be set once by the owner. */
void ring_accept(struct ring *ring, struct ring_op *op, int fd);
void ring_recv(struct ring *ring, struct ring_op *op, int fd, enum ring_group group);
void ring_send(struct ring *ring, struct ring_op *op, int fd, const void *bytes, size_t len);
void ring_sendmsg(struct ring *ring, struct ring_op *op, int fd, struct msghdr *msg, size_t len);
/* `to` is owned by the caller and lives until completion. */
void ring_connect(struct ring *ring, struct ring_op *op, int fd, const struct ip_port *to);
void ring_shutdown(struct ring *ring, struct ring_op *op, int fd);
void ring_close_fd(struct ring *ring, struct ring_op *op, int fd);
void ring_cancel_fd(struct ring *ring, struct ring_op *op, int fd);
/* One other op; it still completes by itself. */
void ring_cancel_op(struct ring *ring, struct ring_op *op, struct ring_op *target);
void ring_read(struct ring *ring, struct ring_op *op, int fd, void *to, size_t len,
               uint64_t offset);
void ring_write(struct ring *ring, struct ring_op *op, int fd, const void *from, size_t len,
                uint64_t offset, bool dsync);
void ring_fsync(struct ring *ring, struct ring_op *op, int fd);
void ring_poll(struct ring *ring, struct ring_op *op, int fd, uint32_t events);
void ring_work(struct ring *ring, struct ring_op *op, ring_work_fn *fn, void *arg);

/* The bytes of a RECV completion; give the buffer back once per completion that has one. */
static inline struct slice ring_buffer(struct ring *ring, const struct ring_op *op, int32_t res,
                                       uint32_t flags)
{
    MUST_HOT(flags & RING_HAS_BUFFER);
    return slice_of(ring->backend->buffer(ring, op->group, (uint16_t)(flags >> RING_BUFFER_SHIFT)),
                    res > 0 ? (size_t)res : 0);
}

static inline void ring_buffer_give(struct ring *ring, const struct ring_op *op, uint32_t flags)
{
    if (flags & RING_HAS_BUFFER) {
        ring->backend->buffer_give(ring, op->group, (uint16_t)(flags >> RING_BUFFER_SHIFT));
    }
}
