#include "tests/support/fake_ring.h"

#include <errno.h>

#include "core/base/list.h"
#include "core/base/mem.h"

#define SOCKET_FIRST 1000
#define BUFFER_MAX 4096u

struct sent {
    int fd;
    struct buf bytes;
};

struct fake {
    struct fake_disk *disk;
    uint64_t seed;
    struct ring_op **waiting;
    uint32_t waiting_count, waiting_cap;
    struct ring_event *ready;
    uint32_t ready_count, ready_cap;
    char *buffers[BUFFER_MAX];
    uint32_t buffers_out;
    struct sent *sent;
    uint32_t sent_count;
    int next_socket;
    struct ip_port local, peer;
    uint32_t wake_count;
    bool crashed;
};

static struct fake *fake_of(const struct ring *ring)
{
    return ring->state;
}

/* ---- the backend ---- */

static void fake_close(struct ring *ring)
{
    struct fake *f = fake_of(ring);

    for (uint32_t i = 0; i < BUFFER_MAX; i++) {
        mem_give(f->buffers[i]);
    }
    for (uint32_t i = 0; i < f->sent_count; i++) {
        buf_free(&f->sent[i].bytes);
    }
    mem_give(f->sent);
    mem_give(f->waiting);
    mem_give(f->ready);
    mem_give(f);
    ring->state = NULL;
}

static void fake_submit(struct ring *ring, struct ring_op *op)
{
    struct fake *f = fake_of(ring);

    if (f->waiting_count == f->waiting_cap) {
        f->waiting_cap = f->waiting_cap != 0 ? f->waiting_cap * 2 : 16;
        f->waiting = mem_grow(f->waiting, f->waiting_cap * sizeof(struct ring_op *));
    }
    f->waiting[f->waiting_count++] = op;
}

static void fake_wait(struct ring *ring, uint64_t timeout_ns)
{
    struct fake *f = fake_of(ring);
    uint32_t count = f->ready_count < RING_EVENTS_MAX ? f->ready_count : RING_EVENTS_MAX;

    (void)timeout_ns; /* time moves by fake_disk_advance() alone */
    if (count == 0) {
        return;
    }
    memcpy(ring->events, f->ready, count * sizeof(*f->ready));
    memmove(f->ready, f->ready + count, (f->ready_count - count) * sizeof(*f->ready));
    f->ready_count -= count;
    ring->event_count = count;
}

static void fake_wake(struct ring *ring, struct ring *target)
{
    (void)ring;
    fake_of(target)->wake_count++; /* nobody sleeps: it is only counted */
}

static const char *fake_buffer(struct ring *ring, uint8_t group, uint16_t id)
{
    (void)group;
    MUST(id < BUFFER_MAX && fake_of(ring)->buffers[id] != NULL);
    return fake_of(ring)->buffers[id];
}

static void fake_buffer_give(struct ring *ring, uint8_t group, uint16_t id)
{
    struct fake *f = fake_of(ring);

    (void)group;
    MUST(id < BUFFER_MAX && f->buffers[id] != NULL); /* given back twice? */
    MEM_FREE(&f->buffers[id]);
    f->buffers_out--;
}

static uint64_t fake_clock_ns(struct ring *ring)
{
    return fake_disk_now_ns(fake_of(ring)->disk);
}

static uint64_t fake_wall_clock_ns(struct ring *ring)
{
    return 1700000000000000000ull + fake_clock_ns(ring);
}

static uint64_t fake_ring_random(struct ring *ring)
{
    return fake_random(&fake_of(ring)->seed);
}

static int fake_sock_open(struct ring *ring, int family)
{
    (void)family;
    return fake_of(ring)->next_socket++;
}

static int fake_sock_bind(struct ring *ring, int fd, const struct ip_port *addr)
{
    (void)ring;
    (void)fd;
    (void)addr;
    return 0;
}

static int fake_sock_listen(struct ring *ring, const struct ip_port *addr, int backlog,
                            bool shares)
{
    (void)addr;
    (void)backlog;
    (void)shares;
    return fake_of(ring)->next_socket++;
}

static int fake_sock_names(struct ring *ring, int fd, struct ip_port *local, struct ip_port *peer)
{
    (void)fd;
    if (local != NULL) {
        *local = fake_of(ring)->local;
    }
    if (peer != NULL) {
        *peer = fake_of(ring)->peer;
    }
    return 0;
}

/* A dead process touches nothing any more. */
#define ALIVE(ring) (!fake_of(ring)->crashed)

static int fake_fs_open(struct ring *ring, const char *path, int flags, unsigned mode)
{
    (void)mode;
    return ALIVE(ring) ? fake_disk_open(fake_of(ring)->disk, path, flags) : -EIO;
}

static void fake_fs_close(struct ring *ring, int fd)
{
    if (ALIVE(ring)) {
        fake_disk_close(fake_of(ring)->disk, fd);
    }
}

static int fake_fs_mkdirs(struct ring *ring, const char *path, unsigned mode)
{
    (void)mode;
    return ALIVE(ring) ? fake_disk_mkdirs(fake_of(ring)->disk, path) : -EIO;
}

static int fake_fs_list(struct ring *ring, const char *path, ring_dir_fn *fn, void *arg)
{
    return fake_disk_list(fake_of(ring)->disk, path, fn, arg);
}

static int fake_fs_stat(struct ring *ring, const char *path, struct ring_file_info *out)
{
    return fake_disk_stat(fake_of(ring)->disk, path, out);
}

static int fake_fs_unlink(struct ring *ring, const char *path)
{
    return ALIVE(ring) ? fake_disk_unlink(fake_of(ring)->disk, path) : -EIO;
}

static int fake_fs_rename(struct ring *ring, const char *from, const char *to)
{
    return ALIVE(ring) ? fake_disk_rename(fake_of(ring)->disk, from, to) : -EIO;
}

static int fake_fs_chmod(struct ring *ring, const char *path, unsigned mode)
{
    return ALIVE(ring) ? fake_disk_chmod(fake_of(ring)->disk, path, mode) : -EIO;
}

static int fake_fs_allocate(struct ring *ring, int fd, uint64_t size)
{
    return ALIVE(ring) ? fake_disk_allocate(fake_of(ring)->disk, fd, size) : -EIO;
}

static int64_t fake_fs_pread(struct ring *ring, int fd, void *to, size_t len, uint64_t offset)
{
    return ALIVE(ring) ? fake_disk_read(fake_of(ring)->disk, fd, to, len, offset) : -EIO;
}

static int64_t fake_fs_pwrite(struct ring *ring, int fd, const void *from, size_t len,
                              uint64_t offset)
{
    return ALIVE(ring) ? fake_disk_write(fake_of(ring)->disk, fd, from, len, offset, false) : -EIO;
}

static int fake_fs_sync(struct ring *ring, int fd)
{
    return ALIVE(ring) ? fake_disk_sync(fake_of(ring)->disk, fd) : -EIO;
}

static int fake_fs_lock(struct ring *ring, int fd)
{
    return ALIVE(ring) ? fake_disk_lock(fake_of(ring)->disk, fd) : -EIO;
}

static int fake_fs_space(struct ring *ring, const char *path, struct ring_space *out)
{
    (void)path;
    return fake_disk_space(fake_of(ring)->disk, out);
}

static const struct ring_backend fake_backend = {
    .name = "fake",
    .close = fake_close,
    .submit = fake_submit,
    .wait = fake_wait,
    .wake = fake_wake,
    .buffer = fake_buffer,
    .buffer_give = fake_buffer_give,
    .clock_ns = fake_clock_ns,
    .wall_clock_ns = fake_wall_clock_ns,
    .random = fake_ring_random,
    .sock_open = fake_sock_open,
    .sock_bind = fake_sock_bind,
    .sock_listen = fake_sock_listen,
    .sock_names = fake_sock_names,
    .fs_open = fake_fs_open,
    .fs_close = fake_fs_close,
    .fs_mkdirs = fake_fs_mkdirs,
    .fs_list = fake_fs_list,
    .fs_stat = fake_fs_stat,
    .fs_unlink = fake_fs_unlink,
    .fs_rename = fake_fs_rename,
    .fs_chmod = fake_fs_chmod,
    .fs_allocate = fake_fs_allocate,
    .fs_pread = fake_fs_pread,
    .fs_pwrite = fake_fs_pwrite,
    .fs_sync = fake_fs_sync,
    .fs_lock = fake_fs_lock,
    .fs_space = fake_fs_space,
};

void fake_ring_open(struct ring *ring, struct fake_disk *disk, uint64_t seed)
{
    struct fake *f = MEM_NEW(struct fake);

    *ring = (struct ring){.backend = &fake_backend, .state = f};
    f->disk = disk;
    f->seed = seed;
    f->next_socket = SOCKET_FIRST;
    ring_clock_read(ring);
}

/* ---- what waits ---- */

uint32_t fake_ring_pending(const struct ring *ring)
{
    return fake_of(ring)->waiting_count;
}

uint32_t fake_ring_count(const struct ring *ring, enum ring_kind kind)
{
    const struct fake *f = fake_of(ring);
    uint32_t count = 0;

    for (uint32_t i = 0; i < f->waiting_count; i++) {
        count += f->waiting[i]->kind == kind;
    }
    return count;
}

struct ring_op *fake_ring_op(const struct ring *ring, enum ring_kind kind, uint32_t index)
{
    const struct fake *f = fake_of(ring);
    struct ring_op *op = NULL;

    for (uint32_t i = 0; i < f->waiting_count; i++) {
        if (f->waiting[i]->kind == kind && index-- == 0) {
            op = f->waiting[i];
            break;
        }
    }
    MUST(op != NULL);
    return op;
}

/* ---- completing ---- */

void fake_ring_complete_op(struct ring *ring, struct ring_op *op, int32_t res, uint32_t flags)
{
    struct fake *f = fake_of(ring);
    uint32_t at = 0;

    while (at < f->waiting_count && f->waiting[at] != op) {
        at++;
    }
    MUST(at < f->waiting_count);
    if ((flags & RING_MORE) == 0) {
        memmove(&f->waiting[at], &f->waiting[at + 1],
                (f->waiting_count - at - 1) * sizeof(struct ring_op *));
        f->waiting_count--;
    }
    if (f->ready_count == f->ready_cap) {
        f->ready_cap = f->ready_cap != 0 ? f->ready_cap * 2 : 16;
        f->ready = mem_grow(f->ready, f->ready_cap * sizeof(*f->ready));
    }
    f->ready[f->ready_count++] = (struct ring_event){.op = op, .res = res, .flags = flags};
}

void fake_ring_complete(struct ring *ring, enum ring_kind kind, int32_t res)
{
    fake_ring_complete_op(ring, fake_ring_op(ring, kind, 0), res, 0);
}

static int32_t cancel_fd(struct ring *ring, int fd, const struct ring_op *self)
{
    struct fake *f = fake_of(ring);
    int32_t count = 0;

    for (uint32_t i = 0; i < f->waiting_count;) {
        struct ring_op *op = f->waiting[i];

        if (op != self && op->fd == fd && op->kind != RING_CLOSE && op->kind != RING_CANCEL) {
            fake_ring_complete_op(ring, op, -ECANCELED, 0);
            count++;
        } else {
            i++;
        }
    }
    return count;
}

static int32_t cancel_op(struct ring *ring, struct ring_op *target)
{
    struct fake *f = fake_of(ring);

    for (uint32_t i = 0; i < f->waiting_count; i++) {
        if (f->waiting[i] == target) {
            fake_ring_complete_op(ring, target, -ECANCELED, 0);
            return 1;
        }
    }
    return 0;
}

struct buf *fake_ring_sent(struct ring *ring, int fd)
{
    struct fake *f = fake_of(ring);

    for (uint32_t i = 0; i < f->sent_count; i++) {
        if (f->sent[i].fd == fd) {
            return &f->sent[i].bytes;
        }
    }
    f->sent = mem_grow(f->sent, (f->sent_count + 1) * sizeof(*f->sent));
    f->sent[f->sent_count] = (struct sent){.fd = fd};
    return &f->sent[f->sent_count++].bytes;
}

static int32_t send_msg(struct ring *ring, const struct ring_op *op)
{
    const struct msghdr *msg = op->ptr;
    struct buf *sent = fake_ring_sent(ring, op->fd);

    for (size_t i = 0; i < msg->msg_iovlen; i++) {
        buf_append(sent, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
    }
    return (int32_t)op->len;
}

static int32_t op_perform(struct ring *ring, struct ring_op *op)
{
    struct fake *f = fake_of(ring);

    switch (op->kind) {
    case RING_READ:
        return (int32_t)fake_disk_read(f->disk, op->fd, op->ptr, op->len, op->offset);
    case RING_WRITE:
        return (int32_t)fake_disk_write(f->disk, op->fd, op->ptr, op->len, op->offset,
                                        (op->flags & RING_OP_DSYNC) != 0);
    case RING_FSYNC:
        return fake_disk_sync(f->disk, op->fd);
    case RING_WORK:
        return op->work(op->ptr);
    case RING_SEND:
        buf_append(fake_ring_sent(ring, op->fd), op->ptr, op->len);
        return (int32_t)op->len;
    case RING_SENDMSG:
        return send_msg(ring, op);
    case RING_CLOSE:
        fake_disk_close(f->disk, op->fd);
        return 0;
    case RING_CANCEL:
        return cancel_fd(ring, op->fd, op);
    case RING_CANCEL_OP:
        return cancel_op(ring, op->ptr);
    default: /* CONNECT, SHUTDOWN */
        return 0;
    }
}

static bool op_has_work(const struct ring_op *op)
{
    return op->kind != RING_ACCEPT && op->kind != RING_RECV && op->kind != RING_POLL;
}

bool fake_ring_finish_op(struct ring *ring, struct ring_op *op)
{
    if (!op_has_work(op)) {
        return false;
    }
    fake_ring_complete_op(ring, op, op_perform(ring, op), 0);
    return true;
}

void fake_ring_finish(struct ring *ring, enum ring_kind kind)
{
    MUST(fake_ring_finish_op(ring, fake_ring_op(ring, kind, 0)));
}

bool fake_ring_finish_any(struct ring *ring, uint64_t *seed)
{
    struct fake *f = fake_of(ring);
    uint32_t start;

    if (f->waiting_count == 0) {
        return false;
    }
    start = (uint32_t)(fake_random(seed) % f->waiting_count);
    for (uint32_t i = 0; i < f->waiting_count; i++) {
        struct ring_op *op = f->waiting[(start + i) % f->waiting_count];

        if (op_has_work(op)) {
            return fake_ring_finish_op(ring, op);
        }
    }
    return false;
}

uint32_t fake_ring_wakes(const struct ring *ring)
{
    return fake_of(ring)->wake_count;
}

/* ---- turning ---- */

void fake_ring_turn(struct shard *sh)
{
    shard_turn(sh, 0);
}

static bool finish_first(struct ring *ring)
{
    struct fake *f = fake_of(ring);

    for (uint32_t i = 0; i < f->waiting_count; i++) {
        if (fake_ring_finish_op(ring, f->waiting[i])) {
            return true;
        }
    }
    return false;
}

void fake_ring_run(struct shard *sh)
{
    struct fake *f = fake_of(&sh->ring);

    for (;;) {
        while (finish_first(&sh->ring)) {
        }
        if (f->ready_count == 0 && sh->ring.event_next == sh->ring.event_count &&
            dlist_empty(&sh->posted) &&
            timers_next_ms(&sh->timers) > fake_disk_now_ns(f->disk) / 1000000u) {
            return;
        }
        shard_turn(sh, 0);
    }
}

/* ---- sockets ---- */

static uint16_t buffer_take(struct fake *f, struct slice bytes)
{
    uint16_t id = 0;

    while (id < BUFFER_MAX && f->buffers[id] != NULL) {
        id++;
    }
    MUST(id < BUFFER_MAX);
    f->buffers[id] = mem_copy(bytes.ptr, bytes.len);
    f->buffers_out++;
    return id;
}

static void receive(struct ring *ring, int fd, struct slice piece, uint32_t more)
{
    struct fake *f = fake_of(ring);
    struct ring_op *op = NULL;
    uint16_t id;

    for (uint32_t i = 0; i < f->waiting_count && op == NULL; i++) {
        op = f->waiting[i]->kind == RING_RECV && f->waiting[i]->fd == fd ? f->waiting[i] : NULL;
    }
    MUST(op != NULL);
    id = buffer_take(f, piece);
    fake_ring_complete_op(ring, op, (int32_t)piece.len,
                          more | RING_HAS_BUFFER | (uint32_t)id << RING_BUFFER_SHIFT);
}

void fake_ring_receive(struct ring *ring, int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        struct slice piece = slice_head(bytes, RING_BUFFER_SIZE);

        receive(ring, fd, piece, RING_MORE);
        bytes = slice_from(bytes, piece.len);
    }
}

void fake_ring_receive_last(struct ring *ring, int fd, struct slice bytes)
{
    MUST(bytes.len > 0 && bytes.len <= RING_BUFFER_SIZE);
    receive(ring, fd, bytes, 0);
}

uint32_t fake_ring_buffers_out(const struct ring *ring)
{
    return fake_of(ring)->buffers_out;
}

void fake_ring_set_names(struct ring *ring, struct ip_port local, struct ip_port peer)
{
    fake_of(ring)->local = local;
    fake_of(ring)->peer = peer;
}

/* ---- ending ---- */

void fake_ring_crash(struct ring *ring, uint64_t *seed)
{
    struct fake *f = fake_of(ring);

    for (uint32_t i = 0; i < f->waiting_count; i++) {
        struct ring_op *op = f->waiting[i];

        if (op->kind == RING_WRITE) {
            fake_disk_tear(f->disk, op->fd, op->ptr, op->len, op->offset, seed);
        }
        op->in_flight = false;
    }
    for (uint32_t i = 0; i < f->ready_count; i++) {
        f->ready[i].op->in_flight = false;
    }
    for (uint32_t i = ring->event_next; i < ring->event_count; i++) {
        ring->events[i].op->in_flight = false;
    }
    ring->event_next = ring->event_count = 0;
    ring->in_flight_count = 0;
    f->waiting_count = 0;
    f->ready_count = 0;
    f->crashed = true;
}
