/* One connection: receiving, pausing, closing and breaking in every order that hurts. */
#include "tests/unit/core/net/conn_bench.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
