/* Operations, completions, turns. */
#include "tests/sim/sim_shard.h"

#include <errno.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_shard_private.h"

/* What a turn takes of virtual time. */
#define TURN_NS_LEAST (2 * SIM_US)
#define TURN_NS_MOST (60 * SIM_US)

struct shard_pending {
    struct shard_pending *prev, *next;
    struct sim_shard *sh;
    struct ring_op *op;
};

static void buffers_open(struct sim_buffers *b, uint32_t count)
{
    b->count = b->free_count = count;
    b->bytes = mem_take((size_t)count * RING_BUFFER_SIZE);
    b->free = mem_take(count * sizeof(*b->free));
    for (uint32_t i = 0; i < count; i++) {
        b->free[i] = (uint16_t)(count - 1 - i);
    }
}

void shard_ring_open(struct sim_shard *sh, struct sim *s, struct ring *ring,
                     const struct ring_params *params)
{
    sh->s = s;
    sh->ring = ring;
    *ring = (struct ring){.backend = &sim_backend, .state = sh};
    buffers_open(&sh->buffers[RING_INGRESS], params->ingress_buffers);
    buffers_open(&sh->buffers[RING_EGRESS], params->egress_buffers);
    ring_clock_read(ring);
}

void sim_ring_close(struct ring *ring)
{
    struct sim_shard *sh = shard_of_ring(ring);

    for (uint32_t k = 0; k < RING_GROUP_COUNT; k++) {
        mem_give(sh->buffers[k].bytes);
        mem_give(sh->buffers[k].free);
    }
    mem_give(sh->ready);
    ring->state = NULL;
}

/* ---- descriptors ---- */

int shard_fd_take(struct sim_shard *sh, struct sim_fd value)
{
    struct sim_fds *f = sh->fds;
    uint32_t fd = 3;

    while (fd < f->count && f->all[fd].kind != FD_FREE) {
        fd++;
    }
    if (fd >= f->count) {
        uint32_t count = f->count != 0 ? f->count * 2 : 64;

        f->all = mem_grow(f->all, count * sizeof(*f->all));
        memset(f->all + f->count, 0, (count - f->count) * sizeof(*f->all));
        f->count = count;
    }
    f->all[fd] = value;
    return (int)fd;
}

struct sim_fd *shard_fd(struct sim_shard *sh, int fd, enum fd_kind kind)
{
    struct sim_fds *f = sh->fds;

    MUST(fd >= 0 && (uint32_t)fd < f->count && f->all[fd].kind == kind);
    return &f->all[fd];
}

void shard_fd_give(struct sim_shard *sh, int fd)
{
    sh->fds->all[fd] = (struct sim_fd){0};
}

int shard_fd_conn(struct sim_shard *sh, struct net_conn *c)
{
    return shard_fd_take(sh, (struct sim_fd){.kind = FD_CONN, .conn = c});
}

/* ---- completions ---- */

void shard_rouse(struct sim_shard *sh, uint64_t delay_ns)
{
    uint64_t at_ns = sh->s->now_ns + delay_ns;

    at_ns = at_ns > sh->busy_ns ? at_ns : sh->busy_ns;
    sh->run_ns = at_ns < sh->run_ns ? at_ns : sh->run_ns;
}

void shard_complete(struct sim_shard *sh, struct ring_op *op, int32_t res, uint32_t flags)
{
    if (sh->ready_count == sh->ready_cap) {
        sh->ready_cap = sh->ready_cap != 0 ? sh->ready_cap * 2 : 64;
        sh->ready = mem_grow(sh->ready, sh->ready_cap * sizeof(*sh->ready));
    }
    sh->ready[sh->ready_count++] = (struct ring_event){.op = op, .res = res, .flags = flags};
    shard_rouse(sh, 0);
}

static int32_t file_op(struct sim_shard *sh, struct ring_op *op)
{
    struct disk_file *file;

    if (op->kind == RING_WORK) {
        return op->work(op->ptr);
    }
    file = shard_fd(sh, op->fd, FD_FILE)->file;
    switch (op->kind) {
    case RING_READ:
        return (int32_t)disk_read(sh->s, file, op->ptr, op->len, op->offset);
    case RING_WRITE:
        return (int32_t)disk_write(sh->s, file, op->ptr, op->len, op->offset,
                                   (op->flags & RING_OP_DSYNC) != 0);
    default:
        return disk_sync(sh->s, file);
    }
}

static void file_op_due(struct sim *s, void *ctx, uint64_t arg)
{
    struct shard_pending *p = ctx;
    struct sim_shard *sh = p->sh;
    struct ring_op *op = p->op;

    if (p->prev != NULL) {
        p->prev->next = p->next;
    } else {
        sh->pending = p->next;
    }
    if (p->next != NULL) {
        p->next->prev = p->prev;
    }
    mem_give(p);
    shard_complete(sh, op, file_op(sh, op), 0);
}

static void file_submit(struct sim_shard *sh, struct ring_op *op)
{
    struct shard_pending *p = MEM_NEW(struct shard_pending);

    p->sh = sh;
    p->op = op;
    p->next = sh->pending;
    if (p->next != NULL) {
        p->next->prev = p;
    }
    sh->pending = p;
    sim_after_here(sh->s, disk_delay_ns(sh->s, op->kind == RING_WORK ? 0 : op->len), file_op_due,
                   p, 0);
}

void shard_tear(struct sim_shard *sh)
{
    for (struct shard_pending *p = sh->pending; p != NULL; p = p->next) {
        if (p->op->kind == RING_WRITE) {
            disk_tear(sh->s, shard_fd(sh, p->op->fd, FD_FILE)->file, p->op->ptr, p->op->len,
                      p->op->offset);
        }
    }
}

/* ---- requests ---- */

static int32_t cancel(struct sim_shard *sh, int fd, const struct ring_op *op)
{
    const struct sim_fd *f = &sh->fds->all[fd];

    if (f->kind == FD_CONN) {
        return net_cancel(f->conn, op);
    }
    if (f->kind == FD_LISTENER && f->listener->accept != NULL) {
        struct ring_op *accept = f->listener->accept;

        f->listener->accept = NULL;
        shard_complete(sh, accept, -ECANCELED, 0);
        return 1;
    }
    return 0;
}

static void close_fd(struct sim_shard *sh, int fd)
{
    struct sim_fd *f = &sh->fds->all[fd];

    if (f->kind == FD_CONN) {
        net_close(sh->s, f->conn);
    } else if (f->kind == FD_LISTENER) {
        net_unlisten(sh->s, f->listener);
        mem_give(f->listener);
    } else {
        disk_close(f->file);
    }
    shard_fd_give(sh, fd);
}

void sim_ring_submit(struct ring *ring, struct ring_op *op)
{
    struct sim_shard *sh = shard_of_ring(ring);
    struct sim *s = sh->s;

    switch ((enum ring_kind)op->kind) {
    case RING_READ:
    case RING_WRITE:
    case RING_FSYNC:
    case RING_WORK:
        file_submit(sh, op);
        break;
    case RING_ACCEPT:
        net_accept(s, shard_fd(sh, op->fd, FD_LISTENER)->listener, op);
        break;
    case RING_RECV:
        net_recv(s, shard_fd(sh, op->fd, FD_CONN)->conn, op);
        break;
    case RING_SEND:
    case RING_SENDMSG:
        net_send(s, shard_fd(sh, op->fd, FD_CONN)->conn, op);
        break;
    case RING_CONNECT:
        net_connect(s, shard_fd(sh, op->fd, FD_CONN)->conn, op);
        break;
    case RING_SHUTDOWN:
        net_shutdown(s, shard_fd(sh, op->fd, FD_CONN)->conn);
        shard_complete(sh, op, 0, 0);
        break;
    case RING_CLOSE:
        close_fd(sh, op->fd);
        shard_complete(sh, op, 0, 0);
        break;
    case RING_CANCEL:
        shard_complete(sh, op, cancel(sh, op->fd, NULL), 0);
        break;
    case RING_CANCEL_OP:
        shard_complete(sh, op, cancel(sh, op->fd, op->ptr), 0);
        break;
    case RING_POLL:
    case RING_NONE:
    case RING_KIND_COUNT:
        MUST(!"a request that a simulated run has no answer to");
    }
}

/* ---- buffers ---- */

bool shard_buffer_take(struct sim_shard *sh, uint8_t group, struct slice bytes, uint32_t *flags)
{
    struct sim_buffers *b = &sh->buffers[group];
    uint16_t id;

    if (b->free_count == 0) {
        return false;
    }
    id = b->free[--b->free_count];
    memcpy(b->bytes + (size_t)id * RING_BUFFER_SIZE, bytes.ptr, bytes.len);
    *flags = RING_HAS_BUFFER | (uint32_t)id << RING_BUFFER_SHIFT;
    return true;
}

const char *sim_ring_buffer(struct ring *ring, uint8_t group, uint16_t id)
{
    return shard_of_ring(ring)->buffers[group].bytes + (size_t)id * RING_BUFFER_SIZE;
}

void sim_ring_buffer_give(struct ring *ring, uint8_t group, uint16_t id)
{
    struct sim_buffers *b = &shard_of_ring(ring)->buffers[group];

    MUST(b->free_count < b->count);
    memset(b->bytes + (size_t)id * RING_BUFFER_SIZE, 0xdb, RING_BUFFER_SIZE); /* borrowed no more */
    b->free[b->free_count++] = id;
}

/* ---- turns ---- */

static void ready_move(struct sim_shard *sh)
{
    struct ring *ring = sh->ring;
    uint32_t count = sh->ready_count < RING_EVENTS_MAX ? sh->ready_count : RING_EVENTS_MAX;

    MUST(count > 0);
    memcpy(ring->events, sh->ready, count * sizeof(*sh->ready));
    memmove(sh->ready, sh->ready + count, (sh->ready_count - count) * sizeof(*sh->ready));
    sh->ready_count -= count;
    ring->event_count = count;
}

void sim_ring_wait(struct ring *ring, uint64_t timeout_ns)
{
    struct sim_shard *sh = shard_of_ring(ring);
    struct sim *s = sh->s;
    uint64_t until_ns = timeout_ns > SIM_NEVER - s->now_ns ? SIM_NEVER : s->now_ns + timeout_ns;

    while (!sh->driven && sh->ready_count == 0 && s->now_ns < until_ns) {
        if (sim_next_ns(s) <= until_ns) {
            sim_step(s);
        } else {
            s->now_ns = until_ns;
        }
    }
    if (sh->ready_count > 0) {
        ready_move(sh);
        until_ns = s->now_ns;
    }
    sh->slept = until_ns > s->now_ns;
    sh->waited = true;
    sh->run_ns = until_ns;
}

void shard_drive(struct sim_shard *sh, struct shard *shard)
{
    struct sim *s = sh->s;

    sh->driven = true;
    sh->waited = sh->slept = false;
    s->shard = (uint8_t)sh->index;
    mail_sleep_end(shard);
    shard_turn(shard, UINT64_MAX);
    s->counts.turns++;
    sh->busy_ns = s->now_ns + sim_spread(s, CHANCE_RING, TURN_NS_LEAST, TURN_NS_MOST);
    /* ORDER The turn has slept for no time at all, and the sleep goes on here: whoever sends mail
     * has to find the shard asleep. */
    if ((sh->slept && !mail_sleep_begin(shard)) || !sh->waited || sh->ready_count > 0) {
        sh->run_ns = s->now_ns;
    }
    sh->run_ns = sh->run_ns > sh->busy_ns ? sh->run_ns : sh->busy_ns;
    s->shard = SIM_NO_SHARD;
}

void sim_ring_wake(struct ring *ring, struct ring *target)
{
    shard_rouse(shard_of_ring(target), SIM_US);
}
