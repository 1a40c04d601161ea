/* What a connection sends: order, blocks of large payloads, and sends that fail. */
#include "tests/unit/core/net/conn_bench.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_CONN(output_goes_out_in_order_one_send_at_a_time),
        ON_CONN(pieces_follow_what_is_staged),
        ON_CONN(a_large_payload_goes_out_in_blocks_and_nothing_is_lost),
        ON_CONN(no_block_follows_one_that_failed),
        ON_CONN(a_close_stops_the_blocks_unless_it_waits_for_them),
        ON_CONN(a_large_burst_leaves_no_large_buffers),
        ON_CONN(a_short_send_ends_the_connection),
        ON_CONN(nothing_is_sent_behind_a_short_send),
        ON_CONN(a_failed_send_says_what_happened),
        ON_CONN(what_is_added_goes_with_the_last_block),
    };
    return cmocka_run_group_tests_name("core/net/conn_send", tests, NULL, NULL);
}
