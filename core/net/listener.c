#include "core/net/listener.h"

#include <errno.h>

#include "core/shard/shard.h"

static void listener_control_done(struct ring_op *op, int32_t res, uint32_t flags);

static void listener_release_if_idle(struct listener *l)
{
    if (!l->closing || l->accept.in_flight || l->control.in_flight) {
        return;
    }
    ring_close_fd(&l->shard->ring, &l->control, l->fd);
}

static void listener_accept_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct listener *l = CONTAINER_OF(op, struct listener, accept);

    if (res >= 0) {
        l->accepted(l, res);
    } else if (res != -ECANCELED) {
        l->accept_error_count++;
    }
    if (op->in_flight) {
        return;
    }
    if (l->closing) {
        listener_release_if_idle(l);
    } else if (res >= 0) {
        ring_accept(&l->shard->ring, &l->accept, l->fd);
    } else { /* no descriptors, no memory: what is there has to end first */
        timer_arm(&l->shard->timers, &l->retry, shard_now_ms(l->shard) + LISTENER_RETRY_MS);
    }
}

static void listener_retry_fired(struct timer *t)
{
    struct listener *l = CONTAINER_OF(t, struct listener, retry);

    ring_accept(&l->shard->ring, &l->accept, l->fd);
}

static void listener_control_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct listener *l = CONTAINER_OF(op, struct listener, control);

    if (op->kind == RING_CLOSE) {
        l->fd = -1;
        if (l->closed != NULL) {
            l->closed(l);
        }
        return;
    }
    listener_release_if_idle(l);
}

int listener_bind(struct listener *l, struct shard *shard, const struct ip_port *addr, bool shares)
{
    int res = shard->ring.backend->sock_listen(&shard->ring, addr, LISTENER_BACKLOG, shares);

    if (res < 0) {
        return res;
    }
    *l = (struct listener){.shard = shard, .fd = res, .addr = *addr};
    l->accept.done = listener_accept_done;
    l->control.done = listener_control_done;
    l->retry.fn = listener_retry_fired;
    res = shard->ring.backend->sock_names(&shard->ring, l->fd, &l->addr, NULL);
    if (res < 0) {
        listener_unbind(l);
    }
    return res;
}

void listener_unbind(struct listener *l)
{
    l->shard->ring.backend->fs_close(&l->shard->ring, l->fd);
    l->fd = -1;
}

void listener_start(struct listener *l)
{
    MUST(l->accepted != NULL);
    ring_accept(&l->shard->ring, &l->accept, l->fd);
}

void listener_close(struct listener *l)
{
    if (l->closing) {
        return;
    }
    l->closing = true;
    timer_cancel(&l->shard->timers, &l->retry);
    if (l->accept.in_flight) {
        ring_cancel_fd(&l->shard->ring, &l->control, l->fd);
    } else {
        listener_release_if_idle(l);
    }
}
