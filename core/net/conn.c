#include "core/net/conn.h"

#include <errno.h>

#include "core/base/mem.h"
#include "core/shard/shard.h"

#define OUT_KEEP_MAX 1024u /* a larger buffer is given back after the burst */

const char *conn_end_text(enum conn_end end)
{
    static const char *const text[CONN_END_COUNT] = {
#define CONN_END(name, words) [CONN_##name] = words,
#include "core/net/conn_ends.def"
#undef CONN_END
    };
    MUST(end < CONN_END_COUNT);
    return text[end];
}

static void conn_release_if_idle(struct conn *c);

static void conn_ended(struct conn *c, enum conn_end end)
{
    if (!c->ended && !c->closing) {
        c->ended = true;
        c->events->ended(c, end);
    }
}

static enum conn_end end_of_error(int32_t res)
{
    switch (-res) {
    case 0:
        return CONN_PEER_EOF;
    case ECONNRESET:
    case EPIPE:
        return CONN_PEER_RESET;
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return CONN_TIMED_OUT;
    default:
        return CONN_IO;
    }
}

static void recv_arm(struct conn *c)
{
    ring_recv(&c->shard->ring, &c->recv, c->fd, c->group);
}

static void conn_recv_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct conn *c = CONTAINER_OF(op, struct conn, recv);
    struct ring *ring = &c->shard->ring;

    if (res > 0) {
        if (!c->closing && !c->ended) {
            c->events->received(c, ring_buffer(ring, op, res, flags));
        }
        ring_buffer_give(ring, op, flags);
    } else {
        ring_buffer_give(ring, op, flags);
        if (res != -ECANCELED || !(c->pausing || c->closing)) {
            conn_ended(c, end_of_error(res));
        }
    }
    if (op->in_flight) {
        return; /* multishot: still armed */
    }
    c->pausing = false;
    if (c->closing) {
        conn_release_if_idle(c);
    } else if (!c->paused && !c->ended) {
        recv_arm(c);
    }
}

/* Asks the driver for what is to go with the last block; true when the entry after the pieces is
 * that. What the pieces began with is still in the buffer it would need: then it goes after. */
static bool block_join(struct conn *c)
{
    struct buf swap = c->flight;

    if (c->events->last == NULL || c->ended || c->closing || c->flight.len > 0) {
        return false;
    }
    c->events->last(c);
    if (c->out.len == 0) {
        return false;
    }
    c->flight = c->out;
    c->out = swap;
    c->iov[c->iov_count++] = (struct iovec){c->flight.ptr, c->flight.len};
    return true;
}

/* The next block of what was flushed in pieces. */
static void block_send(struct conn *c)
{
    struct iovec *first = &c->iov[c->iov_next];
    size_t size = 0;
    uint32_t used = 0;

    c->cut = (struct iovec){0};
    while (c->iov_next < c->iov_count && size < CONN_BLOCK_MAX) {
        struct iovec *piece = &c->iov[c->iov_next];
        size_t room = CONN_BLOCK_MAX - size;

        used++;
        if (piece->iov_len > room) {
            c->cut = (struct iovec){(char *)piece->iov_base + room, piece->iov_len - room};
            piece->iov_len = room;
            size += room;
            break; /* and the piece is the next block's too */
        }
        size += piece->iov_len;
        c->iov_next++;
    }
    if (c->iov_next == c->iov_count && block_join(c)) {
        size += c->iov[c->iov_next++].iov_len;
        used++;
    }
    c->msg = (struct msghdr){.msg_iov = first, .msg_iovlen = used};
    ring_sendmsg(&c->shard->ring, &c->send, c->fd, &c->msg, size);
}

/* True when more of the pieces follows the block that is through. */
static bool block_sent(struct conn *c)
{
    if (c->iov_next == c->iov_count || c->cancelled) {
        return false;
    }
    if (c->cut.iov_len > 0) {
        c->iov[c->iov_next] = c->cut;
    }
    block_send(c);
    if (c->events->moved != NULL && !c->ended && !c->closing) {
        c->events->moved(c);
    }
    return true;
}

static void conn_send_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct conn *c = CONTAINER_OF(op, struct conn, send);

    if (res >= 0 && (uint32_t)res == op->len && block_sent(c)) {
        return;
    }
    c->iov_next = c->iov_count = 0;
    if (c->flight.cap > OUT_KEEP_MAX) {
        buf_free(&c->flight);
    }
    buf_clear(&c->flight);
    if (res < 0 || (uint32_t)res < op->len) {
        c->broken = true;
        buf_clear(&c->out);
        conn_ended(c, res < 0 ? end_of_error(res) : CONN_IO);
        if (c->closing) {
            conn_close(c, true);
            conn_release_if_idle(c);
        }
        return;
    }
    if (c->out.len > 0 && !c->cancelled) {
        conn_flush(c);
    } else if (c->closing) {
        conn_close(c, true);
        conn_release_if_idle(c);
    } else if (!c->ended) {
        c->events->sent(c);
    }
}

static void pause_take_hold(struct conn *c)
{
    if (c->paused && c->recv.in_flight && !c->pausing && !c->control.in_flight) {
        c->pausing = true;
        ring_cancel_op(&c->shard->ring, &c->control, &c->recv);
    }
}

static void conn_control_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct conn *c = CONTAINER_OF(op, struct conn, control);

    if (op->kind == RING_CLOSE) {
        c->fd = -1;
        buf_free(&c->out);
        buf_free(&c->flight);
        c->events->closed(c);
        return;
    }
    if (c->cancelled && op->kind == RING_CANCEL_OP &&
        (c->recv.in_flight || c->send.in_flight)) {
        ring_cancel_fd(&c->shard->ring, &c->control, c->fd); /* the close came during a pause */
        return;
    }
    if (!c->closing) {
        pause_take_hold(c); /* paused again while the cancel before was under way */
        return;
    }
    conn_release_if_idle(c);
}

void conn_open(struct conn *c, struct shard *shard, int fd, enum ring_group group,
               const struct conn_events *events)
{
    MUST(fd >= 0);
    c->shard = shard;
    c->events = events;
    c->fd = fd;
    c->group = (uint8_t)group;
    c->iov_next = c->iov_count = 0;
    c->paused = c->pausing = c->ended = c->closing = c->cancelled = c->broken = false;
    c->recv.done = conn_recv_done;
    c->send.done = conn_send_done;
    c->control.done = conn_control_done;
    recv_arm(c);
}

void conn_flush(struct conn *c)
{
    if (c->send.in_flight || c->out.len == 0 || c->cancelled || c->broken) {
        return;
    }
    struct buf swap = c->flight;

    c->flight = c->out;
    c->out = swap;
    ring_send(&c->shard->ring, &c->send, c->fd, c->flight.ptr, c->flight.len);
}

void conn_flush_pieces(struct conn *c, const struct slice *pieces, uint32_t count)
{
    uint8_t used = 0;

    MUST(!c->send.in_flight && count < ARRAY_COUNT(c->iov));
    if (c->cancelled || c->broken) {
        return;
    }
    struct buf swap = c->flight;

    c->flight = c->out;
    c->out = swap;
    if (c->flight.len > 0) {
        c->iov[used++] = (struct iovec){c->flight.ptr, c->flight.len};
    }
    for (uint32_t i = 0; i < count; i++) {
        if (pieces[i].len > 0) {
            c->iov[used++] = (struct iovec){(void *)(uintptr_t)pieces[i].ptr, pieces[i].len};
        }
    }
    c->iov_next = 0;
    c->iov_count = used;
    block_send(c);
}

void conn_pause(struct conn *c)
{
    if (c->paused || c->closing) {
        return;
    }
    c->paused = true;
    pause_take_hold(c);
}

void conn_resume(struct conn *c)
{
    if (!c->paused || c->closing) {
        return;
    }
    c->paused = false;
    if (!c->recv.in_flight && !c->ended) {
        recv_arm(c);
    }
}

/* ORDER: cancel by descriptor, wait for the last completion of every operation, then close. */
static void conn_release_if_idle(struct conn *c)
{
    if (!c->closing || !c->cancelled || c->recv.in_flight || c->send.in_flight ||
        c->control.in_flight) {
        return;
    }
    ring_close_fd(&c->shard->ring, &c->control, c->fd);
}

void conn_close(struct conn *c, bool now)
{
    c->closing = true;
    if (!now) {
        conn_flush(c);
        if (c->send.in_flight) {
            return; /* conn_send_done() goes on */
        }
    }
    if (c->cancelled) {
        return;
    }
    c->cancelled = true;
    if (c->control.in_flight) {
        return; /* a pause is under way; its completion goes on here */
    }
    if (c->recv.in_flight || c->send.in_flight) {
        ring_cancel_fd(&c->shard->ring, &c->control, c->fd);
    } else {
        conn_release_if_idle(c);
    }
}
