/*
 * conn_bench - one connection on the fake ring, and a driver that writes down what happens to it.
 *
 * Each test file that includes it has a bench of its own; ON_CONN() runs a test between set_up()
 * and tear_down(), which ends the connection and looks for what it left behind.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "core/net/conn.h"
#include "tests/support/shard_bench.h"

#define FD 77

/* The driver of the connection: it writes down what happens to it. */
struct driver {
    struct conn conn;
    struct buf got;
    uint32_t sent_count, moved_count, last_count, ended_count, closed_count;
    struct slice tail; /* goes with the last block */
    uint32_t late_count; /* events after the one that must be the last but closed() */
    enum conn_end end;
    bool pauses_on_data, closes_on_data, closes_on_end;
    bool replies_on_end;
};

static struct shard_bench b;
static struct driver d;

static inline void on_received(struct conn *c, struct slice bytes)
{
    d.late_count += d.ended_count + d.closed_count;
    buf_put(&d.got, bytes);
    if (d.pauses_on_data) {
        conn_pause(c);
    }
    if (d.closes_on_data) {
        conn_close(c, true);
    }
}

static inline void on_sent(struct conn *c)
{
    (void)c;
    d.late_count += d.ended_count + d.closed_count;
    d.sent_count++;
}

static inline void on_moved(struct conn *c)
{
    d.late_count += d.ended_count + d.closed_count;
    assert_true(conn_sending(c)); /* the next block is on its way already */
    d.moved_count++;
}

static inline void on_ended(struct conn *c, enum conn_end end)
{
    d.late_count += d.closed_count;
    d.ended_count++;
    d.end = end;
    if (d.replies_on_end) {
        BUF_LIT(conn_out(c), "421 bye");
        conn_close(c, false);
    }
    if (d.closes_on_end) {
        conn_close(c, true);
    }
}

static inline void on_closed(struct conn *c)
{
    (void)c;
    d.closed_count++;
}

static inline void on_last(struct conn *c)
{
    d.late_count += d.ended_count + d.closed_count;
    buf_put(conn_out(c), d.tail);
    d.last_count++;
}

static const struct conn_events events = {
    .received = on_received,
    .sent = on_sent,
    .moved = on_moved,
    .last = on_last,
    .ended = on_ended,
    .closed = on_closed,
};

static inline struct ring *ring(void)
{
    return &b.list[0]->ring;
}

static inline int set_up(void **state)
{
    (void)state;
    shard_bench_open(&b, 1, 1);
    d = (struct driver){0};
    conn_open(&d.conn, b.list[0], FD, RING_INGRESS, &events);
    return 0;
}

/* Closed exactly once, with nothing under way and nothing kept. */
static inline int tear_down(void **state)
{
    (void)state;
    if (d.closed_count == 0) {
        conn_close(&d.conn, true);
    }
    fake_ring_run(b.list[0]);
    assert_int_equal(d.closed_count, 1);
    assert_int_equal(d.late_count, 0);
    assert_int_equal(d.conn.fd, -1);
    assert_int_equal(fake_ring_pending(ring()), 0);
    assert_int_equal(ring()->in_flight_count, 0);
    assert_int_equal(fake_ring_buffers_out(ring()), 0);
    assert_null(d.conn.out.ptr);
    assert_null(d.conn.flight.ptr);
    buf_free(&d.got);
    shard_bench_close(&b);
    return 0;
}

static inline void turn(void)
{
    fake_ring_turn(b.list[0]);
    fake_ring_turn(b.list[0]);
}

static inline void peer_says(struct slice bytes)
{
    fake_ring_receive(ring(), FD, bytes);
    turn();
}

static inline void say(struct slice bytes)
{
    buf_put(conn_out(&d.conn), bytes);
    conn_flush(&d.conn);
}

static inline void recv_ends(int32_t res)
{
    fake_ring_complete(ring(), RING_RECV, res);
    turn();
}

static inline bool receiving(void)
{
    return fake_ring_count(ring(), RING_RECV) == 1;
}

#define ON_CONN(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
