/* The io_uring backend: submission, completions, receive buffers, wake-ups. */
#include "core/shard/ring_uring_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/mem.h"

/* user_data below this names a completion of the backend's own; ops are pointers above it. */
enum { UD_WAKE = 0, UD_WORKER_BELL = 1, UD_OWN_MAX = 16 };

static struct uring *uring_of(struct ring *ring)
{
    return ring->state;
}

static struct io_uring_sqe *sqe_get(struct uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->io);

    while (sqe == NULL) { /* the queue is full: hand it to the kernel, which runs no handler */
        int res = io_uring_submit(&u->io);

        MUST(res >= 0 || res == -EAGAIN || res == -EBUSY || res == -EINTR);
        sqe = io_uring_get_sqe(&u->io);
    }
    return sqe;
}

static void op_list_add(struct ring_op ***list, uint32_t *count, uint32_t *cap, struct ring_op *op)
{
    if (*count == *cap) {
        *cap = *cap != 0 ? *cap * 2 : 64;
        *list = mem_grow(*list, *cap * sizeof(struct ring_op *));
    }
    (*list)[(*count)++] = op;
}

static void finish_soon(struct uring *u, struct ring_op *op)
{
    op_list_add(&u->finished, &u->finished_count, &u->finished_cap, op);
}

/* ---- receive buffers ---- */

static void group_open(struct uring *u, uint8_t group, uint32_t count)
{
    struct uring_group *g = &u->groups[group];
    struct io_uring_buf_reg reg = {.ring_entries = count, .bgid = group};

    MUST(count != 0 && (count & (count - 1)) == 0 && count <= 32768);
    g->count = count;
    g->bytes = mem_take_aligned(4096, (size_t)count * RING_BUFFER_SIZE);
    g->ring = mem_take_aligned(4096, count * sizeof(struct io_uring_buf));
    reg.ring_addr = (uint64_t)(uintptr_t)g->ring;
    MUST(io_uring_register_buf_ring(&u->io, &reg, 0) == 0);
    io_uring_buf_ring_init(g->ring);
    for (uint32_t i = 0; i < count; i++) {
        io_uring_buf_ring_add(g->ring, g->bytes + (size_t)i * RING_BUFFER_SIZE, RING_BUFFER_SIZE,
                              (unsigned short)i, io_uring_buf_ring_mask(count), (int)i);
    }
    io_uring_buf_ring_advance(g->ring, (int)count);
}

static const char *uring_buffer(struct ring *ring, uint8_t group, uint16_t id)
{
    struct uring_group *g = &uring_of(ring)->groups[group];

    MUST_HOT(id < g->count);
    return g->bytes + (size_t)id * RING_BUFFER_SIZE;
}

static void uring_prepare(struct uring *u, struct ring_op *op);

static void starved_push(struct uring_group *g, struct ring_op *op)
{
    if (g->starved_count == g->starved_cap) {
        uint32_t cap = g->starved_cap != 0 ? g->starved_cap * 2 : 64;
        struct ring_op **ops = mem_take(cap * sizeof(*ops));
        uint32_t kept = 0;

        for (uint32_t i = 0; i < g->starved_count; i++) {
            struct ring_op *waiting = g->starved[(g->starved_head + i) % g->starved_cap];

            if (waiting != NULL) { /* not cancelled meanwhile */
                ops[kept++] = waiting;
            }
        }
        mem_give(g->starved);
        g->starved = ops;
        g->starved_head = 0;
        g->starved_count = kept;
        g->starved_cap = cap;
    }
    g->starved[(g->starved_head + g->starved_count++) % g->starved_cap] = op;
}

static void uring_buffer_give(struct ring *ring, uint8_t group, uint16_t id)
{
    struct uring_group *g = &uring_of(ring)->groups[group];

    MUST_HOT(g->out > 0);
    g->out--;
    io_uring_buf_ring_add(g->ring, g->bytes + (size_t)id * RING_BUFFER_SIZE, RING_BUFFER_SIZE, id,
                          io_uring_buf_ring_mask(g->count), 0);
    io_uring_buf_ring_advance(g->ring, 1);
}

/* As many receives go on as there are free buffers. It is asked before every wait and not when a
 * buffer comes back: a receive may have starved before that and be noticed after, and one whose
 * peer is silent leaves its buffer to the next. True when more should be tried right after. */
static bool starved_resume(struct uring *u, struct uring_group *g)
{
    uint32_t free_count = g->count - g->out;
    uint32_t resumed = 0;

    while (g->starved_count > 0 && resumed < free_count) {
        struct ring_op *op = g->starved[g->starved_head];

        g->starved_head = (g->starved_head + 1) % g->starved_cap;
        g->starved_count--;
        if (op != NULL) {
            uring_prepare(u, op);
            resumed++;
        }
    }
    return resumed > 0 && g->starved_count > 0;
}

static bool cancel_names(const struct ring_op *cancel, const struct ring_op *op)
{
    return cancel->fd == op->fd && (cancel->ptr == NULL || cancel->ptr == op);
}

/* A starved receive is not known to the kernel: a cancel that names it ends it here. */
static void starved_cancel(struct uring *u, const struct ring_op *cancel)
{
    for (uint32_t k = 0; k < RING_GROUP_COUNT; k++) {
        struct uring_group *g = &u->groups[k];

        for (uint32_t i = 0; i < g->starved_count; i++) {
            struct ring_op **at = &g->starved[(g->starved_head + i) % g->starved_cap];

            if (*at != NULL && cancel_names(cancel, *at)) {
                finish_soon(u, *at);
                *at = NULL;
            }
        }
    }
}

/* ORDER: a receive that starved before the kernel came to its cancel completes first, so while
 * the cancel is under way the news of it ends the receive instead of queueing it. */
static void starved_add(struct uring *u, struct ring_op *op)
{
    for (uint32_t i = 0; i < u->cancel_count; i++) {
        if (cancel_names(u->cancels[i], op)) {
            finish_soon(u, op);
            return;
        }
    }
    starved_push(&u->groups[op->group], op);
}

static void cancel_completed(struct uring *u, const struct ring_op *cancel)
{
    for (uint32_t i = 0; i < u->cancel_count; i++) {
        if (u->cancels[i] == cancel) {
            memmove(&u->cancels[i], &u->cancels[i + 1],
                    (--u->cancel_count - i) * sizeof(struct ring_op *));
            return;
        }
    }
}

/* ---- submission ---- */

static void uring_prepare(struct uring *u, struct ring_op *op)
{
    struct io_uring_sqe *sqe = sqe_get(u);

    switch ((enum ring_kind)op->kind) {
    case RING_ACCEPT:
        io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC);
        break;
    case RING_RECV:
        io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = op->group;
        break;
    case RING_SEND:
        io_uring_prep_send(sqe, op->fd, op->ptr, op->len, MSG_NOSIGNAL | MSG_WAITALL);
        break;
    case RING_SENDMSG:
        io_uring_prep_sendmsg(sqe, op->fd, op->ptr, MSG_NOSIGNAL | MSG_WAITALL);
        break;
    case RING_CONNECT:
        io_uring_prep_connect(sqe, op->fd, op->ptr, op->len);
        break;
    case RING_SHUTDOWN:
        io_uring_prep_shutdown(sqe, op->fd, SHUT_RDWR);
        break;
    case RING_CLOSE:
        io_uring_prep_close(sqe, op->fd);
        break;
    case RING_CANCEL:
        io_uring_prep_cancel_fd(sqe, op->fd, IORING_ASYNC_CANCEL_ALL);
        break;
    case RING_CANCEL_OP:
        io_uring_prep_cancel(sqe, op->ptr, 0);
        break;
    case RING_READ:
        io_uring_prep_read(sqe, op->fd, op->ptr, op->len, op->offset);
        break;
    case RING_WRITE:
        io_uring_prep_write(sqe, op->fd, op->ptr, op->len, op->offset);
        sqe->rw_flags = op->flags & RING_OP_DSYNC ? RWF_DSYNC : 0;
        break;
    case RING_FSYNC:
        io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
        break;
    case RING_POLL:
        io_uring_prep_poll_add(sqe, op->fd, op->len);
        break;
    case RING_NONE:
    case RING_WORK:
    case RING_KIND_COUNT:
        MUST(!"not a kernel request");
    }
    io_uring_sqe_set_data(sqe, op);
}

static void bell_arm(struct uring *u)
{
    if (!u->worker_bell_armed) {
        struct io_uring_sqe *sqe = sqe_get(u);

        io_uring_prep_read(sqe, ring_workers_bell(u->workers), &u->worker_bell,
                           sizeof(u->worker_bell), 0);
        io_uring_sqe_set_data64(sqe, UD_WORKER_BELL);
        u->worker_bell_armed = true;
    }
}

static void uring_submit_op(struct ring *ring, struct ring_op *op)
{
    struct uring *u = uring_of(ring);

    if (op->kind == RING_WORK) {
        if (u->workers == NULL) {
            u->workers = ring_workers_open(u->params.workers != 0 ? u->params.workers : 1);
        }
        bell_arm(u);
        ring_workers_submit(u->workers, op);
        return;
    }
    if (op->kind == RING_CANCEL || op->kind == RING_CANCEL_OP) {
        op_list_add(&u->cancels, &u->cancel_count, &u->cancel_cap, op);
        starved_cancel(u, op);
    }
    if (op->kind == RING_CONNECT) {
        /* The kernel's form of the address, in place of the caller's until completion. */
        struct sockaddr_storage *addr = MEM_NEW(struct sockaddr_storage);

        op->len = uring_sockaddr(op->ptr, addr);
        op->ptr = addr;
    }
    uring_prepare(u, op);
}

/* ---- completions ---- */

static void event_add(struct ring *ring, struct ring_op *op, int32_t res, uint32_t flags)
{
    MUST_HOT(ring->event_count < RING_EVENTS_MAX);
    ring->events[ring->event_count++] = (struct ring_event){op, res, flags};
}

static void collect_finished(struct ring *ring, struct uring *u)
{
    uint32_t taken = 0;

    if (u->finished_count == 0) {
        return;
    }
    while (taken < u->finished_count && ring->event_count < RING_EVENTS_MAX) {
        event_add(ring, u->finished[taken++], -ECANCELED, 0);
    }
    memmove(u->finished, u->finished + taken,
            (u->finished_count - taken) * sizeof(struct ring_op *));
    u->finished_count -= taken;
}

static void collect_workers(struct ring *ring, struct uring *u)
{
    struct ring_op *ops[64];
    int32_t results[64];
    uint32_t room = RING_EVENTS_MAX - ring->event_count;
    uint32_t count;

    do {
        count = ring_workers_collect(u->workers, ops, results, room < 64 ? room : 64);
        for (uint32_t i = 0; i < count; i++) {
            event_add(ring, ops[i], results[i], 0);
        }
        room -= count;
    } while (count > 0 && room > 0);
    u->work_left = room == 0; /* its bell has rung already */
    bell_arm(u);
}

/* Turns one kernel completion into an event, or keeps it inside the backend. */
static void collect_cqe(struct ring *ring, struct uring *u, const struct io_uring_cqe *cqe)
{
    struct ring_op *op = (struct ring_op *)(uintptr_t)cqe->user_data;
    uint32_t flags = cqe->flags & IORING_CQE_F_MORE ? RING_MORE : 0;

    if (cqe->user_data == UD_WORKER_BELL) {
        u->worker_bell_armed = false;
        return;
    }
    if (cqe->user_data < UD_OWN_MAX) {
        return;
    }
    if (op->kind == RING_RECV && cqe->res == -ENOBUFS) {
        starved_add(u, op);
        return;
    }
    if (op->kind == RING_CONNECT) {
        MEM_FREE(&op->ptr);
    } else if (op->kind == RING_CANCEL || op->kind == RING_CANCEL_OP) {
        cancel_completed(u, op);
    }
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        u->groups[op->group].out++;
        flags |= RING_HAS_BUFFER | (cqe->flags >> IORING_CQE_BUFFER_SHIFT) << RING_BUFFER_SHIFT;
    }
    event_add(ring, op, cqe->res, flags);
}

static void collect(struct ring *ring, struct uring *u)
{
    struct io_uring_cqe *cqe;
    unsigned head, taken = 0;
    bool bell_was_armed = u->worker_bell_armed;

    collect_finished(ring, u);
    io_uring_for_each_cqe(&u->io, head, cqe)
    {
        if (ring->event_count == RING_EVENTS_MAX) {
            break;
        }
        taken++;
        collect_cqe(ring, u, cqe);
    }
    io_uring_cq_advance(&u->io, taken);
    if (u->work_left || (bell_was_armed && !u->worker_bell_armed)) {
        collect_workers(ring, u);
    }
}

static void uring_wait(struct ring *ring, uint64_t timeout_ns)
{
    struct uring *u = uring_of(ring);
    bool more = u->finished_count > 0 || u->work_left;
    int res;

    for (uint32_t k = 0; k < RING_GROUP_COUNT; k++) {
        more |= starved_resume(u, &u->groups[k]);
    }
    if (more) {
        timeout_ns = 0;
    }
    if (timeout_ns == 0) {
        res = io_uring_submit_and_get_events(&u->io);
    } else if (timeout_ns == UINT64_MAX) {
        res = io_uring_submit_and_wait(&u->io, 1);
    } else {
        struct __kernel_timespec ts = {.tv_sec = (long long)(timeout_ns / 1000000000u),
                                       .tv_nsec = (long long)(timeout_ns % 1000000000u)};
        struct io_uring_cqe *cqe;

        res = io_uring_submit_and_wait_timeout(&u->io, &cqe, 1, &ts, NULL);
    }
    MUST(res >= 0 || res == -EINTR || res == -ETIME || res == -EAGAIN || res == -EBUSY);
    collect(ring, u);
}

static void uring_wake(struct ring *ring, struct ring *target)
{
    struct io_uring_sqe *sqe = sqe_get(uring_of(ring));

    io_uring_prep_msg_ring(sqe, uring_of(target)->io.ring_fd, 0, UD_WAKE, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, UD_WAKE);
}

/* ---- life ---- */

static void uring_close(struct ring *ring)
{
    struct uring *u = uring_of(ring);

    ring_workers_close(&u->workers);
    io_uring_queue_exit(&u->io);
    for (uint32_t k = 0; k < RING_GROUP_COUNT; k++) {
        mem_give(u->groups[k].bytes);
        mem_give(u->groups[k].ring);
        mem_give(u->groups[k].starved);
    }
    mem_give(u->finished);
    mem_give(u->cancels);
    mem_give(u);
    ring->state = NULL;
}

static const struct ring_backend uring_backend = {
    .name = "io_uring",
    .close = uring_close,
    .submit = uring_submit_op,
    .wait = uring_wait,
    .wake = uring_wake,
    .buffer = uring_buffer,
    .buffer_give = uring_buffer_give,
    .clock_ns = uring_clock_ns,
    .wall_clock_ns = uring_wall_clock_ns,
    .random = uring_random,
    .sock_open = uring_sock_open,
    .sock_bind = uring_sock_bind,
    .sock_listen = uring_sock_listen,
    .sock_names = uring_sock_names,
    .fs_open = uring_fs_open,
    .fs_close = uring_fs_close,
    .fs_mkdirs = uring_fs_mkdirs,
    .fs_list = uring_fs_list,
    .fs_stat = uring_fs_stat,
    .fs_unlink = uring_fs_unlink,
    .fs_rename = uring_fs_rename,
    .fs_chmod = uring_fs_chmod,
    .fs_allocate = uring_fs_allocate,
    .fs_pread = uring_fs_pread,
    .fs_pwrite = uring_fs_pwrite,
    .fs_sync = uring_fs_sync,
    .fs_lock = uring_fs_lock,
    .fs_space = uring_fs_space,
};

int ring_uring_open(struct ring *ring, const struct ring_params *params, struct buf *why)
{
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL,
        .cq_entries = params->cq_entries,
    };
    struct uring *u = MEM_NEW(struct uring);
    int res = io_uring_queue_init_params(params->sq_entries, &u->io, &p);

    *ring = (struct ring){0};
    if (res < 0) {
        mem_give(u);
        ring_uring_explain(-res, why);
        return res;
    }
    u->params = *params;
    uring_random_seed(u);
    ring->backend = &uring_backend;
    ring->state = u;
    ring_clock_read(ring);
    return 0;
}

int ring_uring_enable(struct ring *ring)
{
    struct uring *u = uring_of(ring);
    unsigned limits[2] = {4, 16}; /* bounded, unbounded io-wq threads */

    /* Debian's liburing.so does not export io_uring_enable_rings(). */
    if (syscall(__NR_io_uring_register, u->io.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0) {
        return -errno;
    }
    (void)io_uring_register_ring_fd(&u->io); /* an optimisation only */
    (void)io_uring_register_iowq_max_workers(&u->io, limits);
    group_open(u, RING_INGRESS, u->params.ingress_buffers);
    group_open(u, RING_EGRESS, u->params.egress_buffers);
    u->enabled = true;
    return 0;
}
