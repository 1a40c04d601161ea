/* The part of the ring that every backend shares: filling requests, dispatching answers. */
#include "core/shard/ring.h"

void ring_close(struct ring *ring)
{
    MUST(!ring->dispatching);
    if (ring->backend != NULL) {
        ring->backend->close(ring);
        ring->backend = NULL;
    }
}

void ring_clock_read(struct ring *ring)
{
    ring->now_ns = ring->backend->clock_ns(ring);
    ring->wall_ns = ring->backend->wall_clock_ns(ring);
}

void ring_wait(struct ring *ring, uint64_t timeout_ns)
{
    MUST(!ring->dispatching);
    MUST(ring->event_next == ring->event_count); /* the last batch was handled in full */
    ring->event_next = 0;
    ring->event_count = 0;
    ring->backend->wait(ring, timeout_ns);
}

bool ring_dispatch(struct ring *ring, uint32_t budget)
{
    MUST(!ring->dispatching);
    ring->dispatching = true;
    while (budget-- > 0 && ring->event_next < ring->event_count) {
        struct ring_event ev = ring->events[ring->event_next++];

        MUST(ev.op->in_flight);
        if ((ev.flags & RING_MORE) == 0) {
            ev.op->in_flight = false;
            ring->in_flight_count--;
        }
        ev.op->done(ev.op, ev.res, ev.flags);
    }
    ring->dispatching = false;
    return ring->event_next < ring->event_count;
}

static void op_set(struct ring_op *op, enum ring_kind kind, int fd, const void *ptr, size_t len)
{
    MUST(!op->in_flight);
    MUST(len <= UINT32_MAX);
    op->kind = (uint8_t)kind;
    op->fd = fd;
    op->ptr = (void *)(uintptr_t)ptr;
    op->len = (uint32_t)len;
    op->offset = 0;
    op->flags = 0;
}

void ring_accept(struct ring *ring, struct ring_op *op, int fd)
{
    op_set(op, RING_ACCEPT, fd, NULL, 0);
    ring_submit(ring, op);
}

void ring_recv(struct ring *ring, struct ring_op *op, int fd, enum ring_group group)
{
    op_set(op, RING_RECV, fd, NULL, 0);
    op->group = (uint8_t)group;
    ring_submit(ring, op);
}

void ring_send(struct ring *ring, struct ring_op *op, int fd, const void *bytes, size_t len)
{
    op_set(op, RING_SEND, fd, bytes, len);
    ring_submit(ring, op);
}

void ring_sendmsg(struct ring *ring, struct ring_op *op, int fd, struct msghdr *msg, size_t len)
{
    op_set(op, RING_SENDMSG, fd, msg, len);
    ring_submit(ring, op);
}

void ring_connect(struct ring *ring, struct ring_op *op, int fd, const struct ip_port *to)
{
    op_set(op, RING_CONNECT, fd, to, sizeof(*to));
    ring_submit(ring, op);
}

void ring_shutdown(struct ring *ring, struct ring_op *op, int fd)
{
    op_set(op, RING_SHUTDOWN, fd, NULL, 0);
    ring_submit(ring, op);
}

void ring_close_fd(struct ring *ring, struct ring_op *op, int fd)
{
    op_set(op, RING_CLOSE, fd, NULL, 0);
    ring_submit(ring, op);
}

void ring_cancel_fd(struct ring *ring, struct ring_op *op, int fd)
{
    op_set(op, RING_CANCEL, fd, NULL, 0);
    ring_submit(ring, op);
}

void ring_cancel_op(struct ring *ring, struct ring_op *op, struct ring_op *target)
{
    op_set(op, RING_CANCEL_OP, target->fd, target, 0);
    ring_submit(ring, op);
}

void ring_read(struct ring *ring, struct ring_op *op, int fd, void *to, size_t len,
               uint64_t offset)
{
    op_set(op, RING_READ, fd, to, len);
    op->offset = offset;
    ring_submit(ring, op);
}

void ring_write(struct ring *ring, struct ring_op *op, int fd, const void *from, size_t len,
                uint64_t offset, bool dsync)
{
    op_set(op, RING_WRITE, fd, from, len);
    op->offset = offset;
    op->flags = dsync ? RING_OP_DSYNC : 0;
    ring_submit(ring, op);
}

void ring_fsync(struct ring *ring, struct ring_op *op, int fd)
{
    op_set(op, RING_FSYNC, fd, NULL, 0);
    ring_submit(ring, op);
}

void ring_poll(struct ring *ring, struct ring_op *op, int fd, uint32_t events)
{
    op_set(op, RING_POLL, fd, NULL, events);
    ring_submit(ring, op);
}

void ring_work(struct ring *ring, struct ring_op *op, ring_work_fn *fn, void *arg)
{
    op_set(op, RING_WORK, -1, arg, 0);
    op->work = fn;
    ring_submit(ring, op);
}
