#include "core/net/listener.h"

#include <errno.h>
#include <string.h>

#include "core/base/diag.h"
#include "core/shard/shard.h"

static void listener_control_done(struct ring_op *op, int32_t res, uint32_t flags);

static void listener_release_if_idle(struct listener *l)
{
    if (!l->closing || l->accept.in_flight || l->control.in_flight) {
        return;
    }
    ring_close_fd(&l->shard->ring, &l->control, l->fd);
}

static void listener_tell(struct listener *l, enum diag_level level, const char *what, int err)
{
    struct buf addr = {0};

    if (diag_on(l->diag, level, "listener")) {
        ip_port_put(&addr, &l->addr);
        diag_say(l->diag, level, "listener", "%.*s: %s%s%s", SLICE_ARG(buf_slice(&addr)), what,
                 err != 0 ? ": " : "", err != 0 ? strerror(err) : "");
        buf_free(&addr);
    }
}

/* No descriptors, no memory: what is there has to end first. Under a flood every try may fail
 * after a few peers, and one line about that is enough. */
static void listener_pause(struct listener *l, int err)
{
    if (!l->troubled) {
        l->troubled = true;
        listener_tell(l, DIAG_WARN, "accepting pauses", err);
    }
    timer_arm(&l->shard->timers, &l->retry, shard_now_ms(l->shard) + LISTENER_RETRY_MS);
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
    } else {
        listener_pause(l, -res);
    }
}

static void listener_retry_fired(struct timer *t)
{
    struct listener *l = CONTAINER_OF(t, struct listener, retry);

    if (l->accept.in_flight) {
        l->troubled = false;
        listener_tell(l, DIAG_INFO, "accepting again", 0);
        return;
    }
    ring_accept(&l->shard->ring, &l->accept, l->fd);
    timer_arm(&l->shard->timers, &l->retry, shard_now_ms(l->shard) + LISTENER_CALM_MS);
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
