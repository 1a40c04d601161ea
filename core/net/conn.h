/*
 * conn - one TCP connection: receiving, sending, pausing, closing.
 *
 * The driver (an SMTP session coming in, a delivery going out) embeds a struct conn and gets its
 * events. Output is staged and goes out as one send per flush; at most one send is in flight.
 * Large pieces go out in blocks, so that the driver sees whether they get on.
 *
 * Owner     one shard. The driver owns the memory; it may free it only in closed().
 * Memory    two small buffers that shrink when a burst is over; received bytes are borrowed.
 * Blocking  never.
 * Errors    ended() once, with what happened; after it no other event but closed().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/shard/ring.h"

struct conn;
struct shard;

/* Why a connection ended; the rows are in conn_ends.def. */
enum conn_end {
#define CONN_END(name, text) CONN_##name,
#include "core/net/conn_ends.def"
#undef CONN_END
    CONN_END_COUNT
};
const char *conn_end_text(enum conn_end end);

struct conn_events {
    /* Bytes from the peer, borrowed for the call. The driver may write, pause or close. */
    void (*received)(struct conn *c, struct slice bytes);
    /* Everything that was flushed is with the kernel. */
    void (*sent)(struct conn *c);
    /* A block of what was flushed in pieces is with the kernel, and the next is on its way.
     * NULL: the driver never flushes pieces, or does not care. */
    void (*moved)(struct conn *c);
    /* The last block of what was flushed in pieces is about to go; what the driver stages now goes
     * with it. NULL: nothing to add. */
    void (*last)(struct conn *c);
    /* The peer hung up or the connection broke; the driver decides to close. */
    void (*ended)(struct conn *c, enum conn_end end);
    /* No operation is in flight any more and the descriptor is gone: free it. */
    void (*closed)(struct conn *c);
};

struct conn {
    struct shard *shard;
    const struct conn_events *events;
    struct ring_op recv;
    struct ring_op send;
    struct ring_op control; /* cancel, then close */
    struct buf out;         /* staged */
    struct buf flight;      /* with the kernel */
    struct msghdr msg;      /* the block under way: a part of iov */
    struct iovec iov[4];    /* what was flushed in pieces and what goes with it; what was sent of it
                             * is gone */
    struct iovec cut;       /* the rest of the block's last piece, which goes with the next */
    int fd;
    uint8_t group;          /* enum ring_group */
    uint8_t iov_next, iov_count; /* entries of iov that follow the block */
    bool paused : 1;        /* no receive armed, on purpose */
    bool pausing : 1;       /* the receive is being cancelled */
    bool ended : 1;
    bool closing : 1;
    bool cancelled : 1;
    bool broken : 1;        /* a send failed half-way: what follows would be read as its rest */
};

/* Takes over `fd` and starts to receive. Zeroed memory or a closed conn is fine. */
void conn_open(struct conn *c, struct shard *shard, int fd, enum ring_group group,
               const struct conn_events *events);

/* Stages bytes; conn_flush() sends what is staged once the earlier send is done. */
static inline struct buf *conn_out(struct conn *c)
{
    return &c->out;
}
void conn_flush(struct conn *c);
/* Sends what is staged and then up to 3 pieces that stay untouched until sent(); more than
 * CONN_BLOCK_MAX goes out in blocks of that, the last one with what last() adds. Legal only while
 * no send is in flight. */
#define CONN_BLOCK_MAX 262144u
void conn_flush_pieces(struct conn *c, const struct slice *pieces, uint32_t count);
static inline bool conn_sending(const struct conn *c)
{
    return c->send.in_flight;
}

/* Stops and resumes receiving; bytes already received by the kernel's ring may still arrive. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

/* Flushes, then closes; at once when `now`. Idempotent. closed() comes from the loop. */
void conn_close(struct conn *c, bool now);
