/* One connection on the fake ring: pausing, closing and breaking in every order that hurts. */
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
    uint32_t late_count; /* events after the one that must be the last but closed() */
    enum conn_end end;
    bool pauses_on_data, closes_on_data, closes_on_end;
    bool replies_on_end;
    struct slice tail; /* goes with the last block */
};

static struct shard_bench b;
static struct driver d;

static void on_received(struct conn *c, struct slice bytes)
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

static void on_sent(struct conn *c)
{
    (void)c;
    d.late_count += d.ended_count + d.closed_count;
    d.sent_count++;
}

static void on_moved(struct conn *c)
{
    d.late_count += d.ended_count + d.closed_count;
    assert_true(conn_sending(c)); /* the next block is on its way already */
    d.moved_count++;
}

static void on_last(struct conn *c)
{
    d.late_count += d.ended_count + d.closed_count;
    buf_put(conn_out(c), d.tail);
    d.last_count++;
}

static void on_ended(struct conn *c, enum conn_end end)
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

static void on_closed(struct conn *c)
{
    (void)c;
    d.closed_count++;
}

static const struct conn_events events = {
    .received = on_received,
    .sent = on_sent,
    .moved = on_moved,
    .last = on_last,
    .ended = on_ended,
    .closed = on_closed,
};

static struct ring *ring(void)
{
    return &b.list[0]->ring;
}

static int set_up(void **state)
{
    (void)state;
    shard_bench_open(&b, 1, 1);
    d = (struct driver){0};
    conn_open(&d.conn, b.list[0], FD, RING_INGRESS, &events);
    return 0;
}

/* Closed exactly once, with nothing under way and nothing kept. */
static int tear_down(void **state)
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

static void turn(void)
{
    fake_ring_turn(b.list[0]);
    fake_ring_turn(b.list[0]);
}

static void peer_says(struct slice bytes)
{
    fake_ring_receive(ring(), FD, bytes);
    turn();
}

static void say(struct slice bytes)
{
    buf_put(conn_out(&d.conn), bytes);
    conn_flush(&d.conn);
}

static void recv_ends(int32_t res)
{
    fake_ring_complete(ring(), RING_RECV, res);
    turn();
}

static bool receiving(void)
{
    return fake_ring_count(ring(), RING_RECV) == 1;
}

/* ---- sending ---- */

static void output_goes_out_in_order_one_send_at_a_time(void **state)
{
    (void)state;
    say(SLICE("250-a\r\n"));
    say(SLICE("250-b\r\n"));
    say(SLICE("250 c\r\n"));
    assert_int_equal(fake_ring_count(ring(), RING_SEND), 1);
    fake_ring_finish(ring(), RING_SEND);
    turn();
    assert_int_equal(d.sent_count, 0); /* the rest follows at once */
    assert_int_equal(fake_ring_count(ring(), RING_SEND), 1);
    fake_ring_finish(ring(), RING_SEND);
    turn();
    assert_int_equal(d.sent_count, 1);
    assert_false(conn_sending(&d.conn));
    assert_true(slice_eq(buf_slice(fake_ring_sent(ring(), FD)),
                         SLICE("250-a\r\n250-b\r\n250 c\r\n")));
}

static void pieces_follow_what_is_staged(void **state)
{
    const struct slice pieces[3] = {SLICE_INIT("body "), SLICE_INIT(""), SLICE_INIT("\r\n.\r\n")};

    (void)state;
    BUF_LIT(conn_out(&d.conn), "head ");
    conn_flush_pieces(&d.conn, pieces, 3);
    assert_true(conn_sending(&d.conn));
    BUF_LIT(conn_out(&d.conn), "next");
    fake_ring_finish(ring(), RING_SENDMSG);
    turn();
    fake_ring_finish(ring(), RING_SEND);
    turn();
    assert_true(slice_eq(buf_slice(fake_ring_sent(ring(), FD)), SLICE("head body \r\n.\r\nnext")));
    assert_int_equal(d.sent_count, 1);
}

/* Bytes that differ from their neighbours a block away. */
static void payload_put(struct buf *out, size_t size)
{
    while (out->len < size) {
        buf_printf(out, "%08zx", out->len);
    }
    out->len = size;
}

static void a_large_payload_goes_out_in_blocks_and_nothing_is_lost(void **state)
{
    static const struct {
        const char *name;
        size_t staged, head, body, end;
        uint32_t blocks;
    } rows[] = {
        {.name = "small", .staged = 6, .head = 100, .body = 1000, .end = 3, .blocks = 1},
        {.name = "one block", .head = 100, .body = CONN_BLOCK_MAX - 103, .end = 3, .blocks = 1},
        {.name = "a byte more", .head = 100, .body = CONN_BLOCK_MAX - 102, .end = 3, .blocks = 2},
        {.name = "cut between pieces", .body = CONN_BLOCK_MAX, .end = 5, .blocks = 2},
        {.name = "pieces of blocks", .staged = CONN_BLOCK_MAX, .head = CONN_BLOCK_MAX,
         .body = 3 * CONN_BLOCK_MAX, .end = 3, .blocks = 6},
        {.name = "cuts everywhere", .staged = 7, .head = CONN_BLOCK_MAX + 1,
         .body = 2 * CONN_BLOCK_MAX, .end = 3, .blocks = 4},
    };
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const size_t total = rows[i].staged + rows[i].head + rows[i].body + rows[i].end;
        struct buf all = {0};
        uint32_t blocks = 0;
        struct slice rest;

        if (i > 0) {
            set_up(state);
        }
        payload_put(&all, total);
        buf_put(conn_out(&d.conn), slice_head(buf_slice(&all), rows[i].staged));
        rest = slice_from(buf_slice(&all), rows[i].staged);
        const struct slice pieces[3] = {
            slice_head(rest, rows[i].head),
            slice_head(slice_from(rest, rows[i].head), rows[i].body),
            slice_from(rest, rows[i].head + rows[i].body),
        };

        conn_flush_pieces(&d.conn, pieces, 3);
        while (conn_sending(&d.conn)) {
            assert_true(fake_ring_op(ring(), RING_SENDMSG, 0)->len <= CONN_BLOCK_MAX);
            fake_ring_finish(ring(), RING_SENDMSG);
            turn();
            blocks++;
        }
        if (blocks != rows[i].blocks || d.moved_count != blocks - 1 || d.sent_count != 1 ||
            !slice_eq(buf_slice(fake_ring_sent(ring(), FD)), buf_slice(&all))) {
            print_error("%s: %u blocks, moved %u, sent %u\n", rows[i].name, blocks, d.moved_count,
                        d.sent_count);
            wrong_count++;
        }
        buf_free(&all);
        if (i + 1 < ARRAY_COUNT(rows)) {
            tear_down(state);
        }
    }
    assert_int_equal(wrong_count, 0);
}

static void what_is_added_goes_with_the_last_block(void **state)
{
    static const struct {
        const char *name;
        size_t staged, body;
        uint32_t blocks, asked;
    } rows[] = {
        {.name = "one block", .body = 100, .blocks = 1, .asked = 1},
        {.name = "a full block", .body = CONN_BLOCK_MAX - 5, .blocks = 1, .asked = 1},
        {.name = "two blocks", .body = CONN_BLOCK_MAX, .blocks = 2, .asked = 1},
        {.name = "three blocks", .body = 3 * CONN_BLOCK_MAX - 5, .blocks = 3, .asked = 1},
        {.name = "behind something staged", .staged = 5, .body = 100, .blocks = 1},
    };
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct buf all = {0};
        uint32_t writes = 0;
        struct slice payload;

        if (i > 0) {
            set_up(state);
        }
        d.tail = SLICE("RSET\r\n");
        payload_put(&all, rows[i].staged + rows[i].body);
        payload = slice_from(buf_slice(&all), rows[i].staged);
        const struct slice pieces[3] = {SLICE(""), payload, SLICE("\r\n.\r\n")};

        buf_put(conn_out(&d.conn), slice_head(buf_slice(&all), rows[i].staged));
        conn_flush_pieces(&d.conn, pieces, 3);
        while (conn_sending(&d.conn)) {
            assert_int_equal(d.last_count, writes + 1 >= rows[i].blocks ? rows[i].asked : 0);
            fake_ring_finish(ring(), RING_SENDMSG);
            turn();
            writes++;
        }
        BUF_LIT(&all, "\r\n.\r\n");
        if (rows[i].asked > 0) {
            buf_put(&all, d.tail);
        }
        if (writes != rows[i].blocks || d.last_count != rows[i].asked || d.sent_count != 1 ||
            !slice_eq(buf_slice(fake_ring_sent(ring(), FD)), buf_slice(&all))) {
            print_error("%s: %u writes, asked %u, sent %u\n", rows[i].name, writes, d.last_count,
                        d.sent_count);
            wrong_count++;
        }
        buf_free(&all);
        if (i + 1 < ARRAY_COUNT(rows)) {
            tear_down(state);
        }
    }
    assert_int_equal(wrong_count, 0);
}

/* A payload of three blocks, the first of them through. */
static struct buf begin_three_blocks(void)
{
    struct buf all = {0};
    struct slice piece;

    payload_put(&all, 3 * CONN_BLOCK_MAX);
    piece = buf_slice(&all);
    conn_flush_pieces(&d.conn, &piece, 1);
    fake_ring_finish(ring(), RING_SENDMSG);
    turn();
    assert_int_equal(d.moved_count, 1);
    return all;
}

static void no_block_follows_one_that_failed(void **state)
{
    static const int32_t results[] = {-EPIPE, 5};

    for (size_t i = 0; i < ARRAY_COUNT(results); i++) {
        struct buf all;

        if (i > 0) {
            set_up(state);
        }
        all = begin_three_blocks();
        fake_ring_complete(ring(), RING_SENDMSG, results[i]);
        turn();
        assert_int_equal(d.ended_count, 1);
        assert_int_equal(d.moved_count, 1);
        assert_false(conn_sending(&d.conn));
        buf_free(&all);
        if (i == 0) {
            tear_down(state);
        }
    }
}

static void a_close_stops_the_blocks_unless_it_waits_for_them(void **state)
{
    struct buf all = begin_three_blocks();

    conn_close(&d.conn, false);
    fake_ring_finish(ring(), RING_SENDMSG);
    turn();
    assert_int_equal(fake_ring_count(ring(), RING_SENDMSG), 1);
    conn_close(&d.conn, true);
    fake_ring_finish(ring(), RING_SENDMSG); /* faster than the cancel */
    turn();
    fake_ring_run(b.list[0]);
    assert_int_equal(d.closed_count, 1);
    buf_free(&all);
    tear_down(state);
    set_up(state);
    all = begin_three_blocks();
    conn_close(&d.conn, true);
    fake_ring_finish(ring(), RING_SENDMSG);
    turn();
    assert_int_equal(fake_ring_count(ring(), RING_SENDMSG), 0);
    fake_ring_run(b.list[0]);
    assert_int_equal(d.closed_count, 1);
    assert_int_equal(fake_ring_sent(ring(), FD)->len, 2 * CONN_BLOCK_MAX);
    assert_int_equal(d.sent_count, 0);
    buf_free(&all);
}

static void a_large_burst_leaves_no_large_buffers(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        BUF_LIT(conn_out(&d.conn), "0123456789");
    }
    conn_flush(&d.conn);
    fake_ring_finish(ring(), RING_SEND);
    turn();
    assert_int_equal(d.sent_count, 1);
    assert_true(d.conn.flight.cap + d.conn.out.cap <= 2048);
}

static void a_short_send_ends_the_connection(void **state)
{
    (void)state;
    say(SLICE("354 go on\r\n"));
    fake_ring_complete(ring(), RING_SEND, 3);
    turn();
    assert_int_equal(d.ended_count, 1);
    assert_int_equal(d.end, CONN_IO);
    assert_int_equal(d.sent_count, 0);
}

/* The peer would read the next reply as the rest of the broken one. */
static void nothing_is_sent_behind_a_short_send(void **state)
{
    (void)state;
    d.replies_on_end = true;
    say(SLICE("354 go on\r\n"));
    BUF_LIT(conn_out(&d.conn), "250 staged\r\n");
    fake_ring_complete(ring(), RING_SEND, 3);
    turn();
    assert_int_equal(d.ended_count, 1);
    assert_int_equal(fake_ring_count(ring(), RING_SEND), 0);
    fake_ring_run(b.list[0]);
    assert_int_equal(d.closed_count, 1);
    assert_int_equal(fake_ring_sent(ring(), FD)->len, 0);
}

static void a_failed_send_says_what_happened(void **state)
{
    static const struct {
        const char *name;
        int32_t res;
        enum conn_end end;
    } rows[] = {
        {.name = "reset", .res = -ECONNRESET, .end = CONN_PEER_RESET},
        {.name = "broken pipe", .res = -EPIPE, .end = CONN_PEER_RESET},
        {.name = "timed out", .res = -ETIMEDOUT, .end = CONN_TIMED_OUT},
        {.name = "no route", .res = -EHOSTUNREACH, .end = CONN_TIMED_OUT},
        {.name = "no memory", .res = -ENOMEM, .end = CONN_IO},
    };
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (i > 0) {
            set_up(state);
        }
        say(SLICE("250 ok\r\n"));
        fake_ring_complete(ring(), RING_SEND, rows[i].res);
        turn();
        if (d.ended_count != 1 || d.end != rows[i].end || d.sent_count != 0) {
            print_error("%s: ended %u times, %s\n", rows[i].name, d.ended_count,
                        conn_end_text(d.end));
            wrong_count++;
        }
        if (i + 1 < ARRAY_COUNT(rows)) {
            tear_down(state);
        }
    }
    assert_int_equal(wrong_count, 0);
}

/* ---- receiving ---- */

/* The kernel may end a multishot receive with any completion. */
static void bytes_arrive_in_order_across_receives(void **state)
{
    (void)state;
    peer_says(SLICE("EHLO "));
    peer_says(SLICE("a."));
    fake_ring_receive_last(ring(), FD, SLICE("exa"));
    turn();
    assert_true(receiving());
    peer_says(SLICE("mple"));
    assert_true(slice_eq(buf_slice(&d.got), SLICE("EHLO a.example")));
    assert_int_equal(fake_ring_buffers_out(ring()), 0);
}

static void the_end_of_the_stream_is_told_once(void **state)
{
    (void)state;
    recv_ends(0);
    assert_int_equal(d.ended_count, 1);
    assert_int_equal(d.end, CONN_PEER_EOF);
    assert_false(receiving());
    say(SLICE("221 bye\r\n")); /* a peer that shut down one half may still read */
    fake_ring_complete(ring(), RING_SEND, -EPIPE);
    turn();
    assert_int_equal(d.ended_count, 1);
}

static void a_reset_while_sending_is_told_once(void **state)
{
    (void)state;
    say(SLICE("250 ok\r\n"));
    fake_ring_complete(ring(), RING_RECV, -ECONNRESET);
    fake_ring_complete(ring(), RING_SEND, -ECONNRESET);
    turn();
    assert_int_equal(d.ended_count, 1);
    assert_int_equal(d.end, CONN_PEER_RESET);
}

static void nothing_is_received_after_a_failed_send(void **state)
{
    (void)state;
    say(SLICE("250 ok\r\n"));
    fake_ring_complete(ring(), RING_SEND, -EPIPE);
    fake_ring_receive(ring(), FD, SLICE("MAIL FROM:<>\r\n"));
    turn();
    assert_int_equal(d.ended_count, 1);
    assert_int_equal(d.got.len, 0);
}

/* ---- pausing ---- */

static void a_paused_connection_receives_nothing(void **state)
{
    (void)state;
    conn_pause(&d.conn);
    fake_ring_finish(ring(), RING_CANCEL_OP);
    turn();
    assert_false(receiving());
    assert_int_equal(d.ended_count, 0);
    conn_resume(&d.conn);
    assert_true(receiving());
    peer_says(SLICE("DATA"));
    assert_true(slice_eq(buf_slice(&d.got), SLICE("DATA")));
}

static void resumed_before_the_pause_took_hold_it_goes_on(void **state)
{
    (void)state;
    conn_pause(&d.conn);
    conn_resume(&d.conn);
    fake_ring_finish(ring(), RING_CANCEL_OP);
    turn();
    assert_true(receiving());
    assert_int_equal(d.ended_count, 0);
    peer_says(SLICE("NOOP"));
    assert_int_equal(d.got.len, 4);
}

static void a_pause_right_after_a_resume_takes_hold(void **state)
{
    struct ring_op *cancel;

    (void)state;
    conn_pause(&d.conn);
    cancel = fake_ring_op(ring(), RING_CANCEL_OP, 0);
    fake_ring_complete(ring(), RING_RECV, -ECANCELED); /* told before its cancel is */
    turn();
    conn_resume(&d.conn);
    assert_true(receiving());
    conn_pause(&d.conn); /* the first cancel has not been answered yet */
    fake_ring_complete_op(ring(), cancel, 1, 0);
    turn();
    fake_ring_run(b.list[0]);
    assert_false(receiving());
    assert_int_equal(d.ended_count, 0);
    conn_resume(&d.conn);
    assert_true(receiving());
}

static void a_pause_from_inside_received_takes_hold(void **state)
{
    (void)state;
    d.pauses_on_data = true;
    peer_says(SLICE("a"));
    fake_ring_run(b.list[0]);
    assert_false(receiving());
    d.pauses_on_data = false;
    conn_resume(&d.conn);
    peer_says(SLICE("b"));
    assert_true(slice_eq(buf_slice(&d.got), SLICE("ab")));
}

static void bytes_that_were_under_way_still_arrive_in_a_pause(void **state)
{
    (void)state;
    conn_pause(&d.conn);
    fake_ring_receive(ring(), FD, SLICE("late"));
    fake_ring_finish(ring(), RING_CANCEL_OP);
    turn();
    assert_true(slice_eq(buf_slice(&d.got), SLICE("late")));
    assert_false(receiving());
}

static void the_end_of_the_stream_during_a_pause_is_told(void **state)
{
    (void)state;
    conn_pause(&d.conn);
    fake_ring_complete(ring(), RING_RECV, 0); /* faster than the cancel */
    fake_ring_finish(ring(), RING_CANCEL_OP);
    turn();
    assert_int_equal(d.ended_count, 1);
    conn_resume(&d.conn);
    assert_false(receiving());
}

/* ---- closing ---- */

static void close_waits_for_every_completion(void **state)
{
    (void)state;
    say(SLICE("250 ok\r\n"));
    conn_close(&d.conn, true);
    conn_close(&d.conn, true);
    conn_close(&d.conn, false);
    assert_int_equal(fake_ring_count(ring(), RING_CANCEL), 1);
    assert_int_equal(fake_ring_count(ring(), RING_CLOSE), 0);
    fake_ring_complete(ring(), RING_CANCEL, 2);
    turn();
    assert_int_equal(fake_ring_count(ring(), RING_CLOSE), 0);
    fake_ring_complete(ring(), RING_RECV, -ECANCELED);
    turn();
    assert_int_equal(fake_ring_count(ring(), RING_CLOSE), 0);
    fake_ring_complete(ring(), RING_SEND, -ECANCELED);
    turn();
    assert_int_equal(fake_ring_count(ring(), RING_CLOSE), 1);
    assert_int_equal(d.closed_count, 0);
    fake_ring_finish(ring(), RING_CLOSE);
    turn();
    assert_int_equal(d.closed_count, 1);
    assert_int_equal(d.ended_count + d.sent_count, 0);
}

static void close_lets_a_send_in_flight_and_what_is_staged_go_first(void **state)
{
    (void)state;
    say(SLICE("250 ok\r\n"));
    BUF_LIT(conn_out(&d.conn), "221 bye\r\n");
    conn_close(&d.conn, false);
    assert_int_equal(fake_ring_count(ring(), RING_CANCEL), 0);
    fake_ring_receive(ring(), FD, SLICE("too late")); /* dropped, its buffer given back */
    turn();
    assert_int_equal(d.got.len, 0);
    fake_ring_run(b.list[0]);
    assert_int_equal(d.closed_count, 1);
    assert_true(slice_eq(buf_slice(fake_ring_sent(ring(), FD)), SLICE("250 ok\r\n221 bye\r\n")));
}

static void a_close_that_waits_for_a_send_can_be_cut_short(void **state)
{
    (void)state;
    say(SLICE("250 ok\r\n"));
    conn_close(&d.conn, false);
    conn_close(&d.conn, true); /* the peer does not read */
    assert_int_equal(fake_ring_count(ring(), RING_CANCEL), 1);
    fake_ring_finish(ring(), RING_CANCEL);
    turn();
    fake_ring_run(b.list[0]);
    assert_int_equal(d.closed_count, 1);
    assert_int_equal(fake_ring_sent(ring(), FD)->len, 0);
}

static void a_send_that_fails_during_a_close_ends_it(void **state)
{
    (void)state;
    say(SLICE("250 ok\r\n"));
    BUF_LIT(conn_out(&d.conn), "221 bye\r\n");
    conn_close(&d.conn, false);
    fake_ring_complete(ring(), RING_SEND, -EPIPE);
    fake_ring_complete(ring(), RING_RECV, 0);
    turn();
    fake_ring_run(b.list[0]);
    assert_int_equal(d.closed_count, 1);
    assert_int_equal(d.ended_count, 0);
}

static void a_close_during_a_pause_under_way_completes(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 4; order++) {
        bool recv_first = order % 2 == 0;

        if (order > 0) {
            set_up(state);
        }
        if (order >= 2) {
            say(SLICE("250 ok\r\n")); /* something else to cancel */
        }
        conn_pause(&d.conn);
        conn_close(&d.conn, true);
        assert_int_equal(fake_ring_count(ring(), RING_CLOSE), 0);
        if (recv_first) {
            fake_ring_complete(ring(), RING_RECV, -ECANCELED);
            turn();
        }
        fake_ring_complete(ring(), RING_CANCEL_OP, 0);
        turn();
        fake_ring_run(b.list[0]);
        assert_int_equal(d.closed_count, 1);
        assert_int_equal(d.ended_count, 0);
        if (order < 3) {
            tear_down(state);
        }
    }
}

static void a_close_while_paused_needs_no_cancel(void **state)
{
    (void)state;
    conn_pause(&d.conn);
    fake_ring_run(b.list[0]);
    conn_close(&d.conn, true);
    assert_int_equal(fake_ring_count(ring(), RING_CLOSE), 1);
}

static void a_close_from_inside_received_completes(void **state)
{
    (void)state;
    d.closes_on_data = true;
    fake_ring_receive(ring(), FD, SLICE("a"));
    fake_ring_receive(ring(), FD, SLICE("b"));
    turn();
    fake_ring_run(b.list[0]);
    assert_true(slice_eq(buf_slice(&d.got), SLICE("a")));
    assert_int_equal(d.closed_count, 1);
}

static void a_close_from_inside_ended_completes(void **state)
{
    static const int32_t results[] = {0, -ECONNRESET};

    for (size_t i = 0; i < ARRAY_COUNT(results); i++) {
        if (i > 0) {
            set_up(state);
        }
        d.closes_on_end = true;
        recv_ends(results[i]);
        assert_int_equal(fake_ring_count(ring(), RING_CLOSE), 1);
        if (i == 0) {
            tear_down(state);
        }
    }
}

static void a_last_reply_after_the_peer_hung_up_is_sent(void **state)
{
    (void)state;
    d.replies_on_end = true;
    recv_ends(0);
    fake_ring_run(b.list[0]);
    assert_int_equal(d.closed_count, 1);
    assert_true(slice_eq(buf_slice(fake_ring_sent(ring(), FD)), SLICE("421 bye")));
}

static void memory_of_a_closed_connection_serves_the_next(void **state)
{
    (void)state;
    say(SLICE("250 ok\r\n"));
    conn_pause(&d.conn);
    conn_close(&d.conn, true);
    fake_ring_run(b.list[0]);
    assert_int_equal(d.closed_count, 1);
    d.closed_count = 0;
    conn_open(&d.conn, b.list[0], FD, RING_EGRESS, &events);
    peer_says(SLICE("hello"));
    assert_int_equal(d.got.len, 5);
}

/* ---- any order ---- */

static void random_step(uint64_t *seed)
{
    struct slice bytes = SLICE("bytes");

    switch (fake_random(seed) % 12) {
    case 0:
        conn_pause(&d.conn);
        break;
    case 1:
        conn_resume(&d.conn);
        break;
    case 2:
        if (!d.conn.closing) {
            say(bytes);
        }
        break;
    case 3:
        if (receiving()) {
            fake_ring_receive(ring(), FD, bytes);
        }
        break;
    case 4:
        if (receiving() && fake_random(seed) % 8 == 0) {
            fake_ring_complete(ring(), RING_RECV, fake_random(seed) % 2 == 0 ? 0 : -ECONNRESET);
        }
        break;
    case 5:
        if (fake_ring_count(ring(), RING_SEND) > 0 && fake_random(seed) % 4 == 0) {
            fake_ring_complete(ring(), RING_SEND, fake_random(seed) % 2 == 0 ? 2 : -EPIPE);
        }
        break;
    case 6:
        if (fake_random(seed) % 6 == 0) {
            conn_close(&d.conn, fake_random(seed) % 2 == 0);
        }
        break;
    case 7:
    case 8:
    case 9:
        (void)fake_ring_finish_any(ring(), seed);
        break;
    default:
        fake_ring_turn(b.list[0]);
        break;
    }
}

static void any_order_of_events_ends_in_one_close(void **state)
{
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        uint64_t random = seed;

        if (seed > 1) {
            set_up(state);
        }
        d.pauses_on_data = seed % 3 == 0;
        d.closes_on_end = seed % 5 == 0;
        d.replies_on_end = seed % 5 == 1;
        for (uint32_t step = 0; step < 60 && d.closed_count == 0; step++) {
            random_step(&random);
        }
        assert_true(d.ended_count <= 1 && d.closed_count <= 1);
        if (d.closed_count == 0 && d.ended_count == 0 && !d.conn.closing) {
            fake_ring_run(b.list[0]);
            if (d.ended_count == 0 && receiving() == d.conn.paused) { /* now that it is at rest */
                print_error("seed %llu: receiving %d, paused %d\n", (unsigned long long)seed,
                            receiving(), d.conn.paused);
                fail();
            }
        }
        if (seed < 2000) {
            tear_down(state);
        }
    }
}

#define ON_CONN(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_CONN(output_goes_out_in_order_one_send_at_a_time),
        ON_CONN(pieces_follow_what_is_staged),
        ON_CONN(a_large_payload_goes_out_in_blocks_and_nothing_is_lost),
        ON_CONN(what_is_added_goes_with_the_last_block),
        ON_CONN(no_block_follows_one_that_failed),
        ON_CONN(a_close_stops_the_blocks_unless_it_waits_for_them),
        ON_CONN(a_large_burst_leaves_no_large_buffers),
        ON_CONN(a_short_send_ends_the_connection),
        ON_CONN(nothing_is_sent_behind_a_short_send),
        ON_CONN(a_failed_send_says_what_happened),
        ON_CONN(bytes_arrive_in_order_across_receives),
        ON_CONN(the_end_of_the_stream_is_told_once),
        ON_CONN(a_reset_while_sending_is_told_once),
        ON_CONN(nothing_is_received_after_a_failed_send),
        ON_CONN(a_paused_connection_receives_nothing),
        ON_CONN(resumed_before_the_pause_took_hold_it_goes_on),
        ON_CONN(a_pause_right_after_a_resume_takes_hold),
        ON_CONN(a_pause_from_inside_received_takes_hold),
        ON_CONN(bytes_that_were_under_way_still_arrive_in_a_pause),
        ON_CONN(the_end_of_the_stream_during_a_pause_is_told),
        ON_CONN(close_waits_for_every_completion),
        ON_CONN(close_lets_a_send_in_flight_and_what_is_staged_go_first),
        ON_CONN(a_close_that_waits_for_a_send_can_be_cut_short),
        ON_CONN(a_send_that_fails_during_a_close_ends_it),
        ON_CONN(a_close_during_a_pause_under_way_completes),
        ON_CONN(a_close_while_paused_needs_no_cancel),
        ON_CONN(a_close_from_inside_received_completes),
        ON_CONN(a_close_from_inside_ended_completes),
        ON_CONN(a_last_reply_after_the_peer_hung_up_is_sent),
        ON_CONN(memory_of_a_closed_connection_serves_the_next),
        ON_CONN(any_order_of_events_ends_in_one_close),
    };
    return cmocka_run_group_tests_name("core/net/conn", tests, NULL, NULL);
}
