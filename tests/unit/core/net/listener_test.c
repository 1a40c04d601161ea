/* The listening socket: it never stays down, and goes down when told to. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "core/base/diag.h"
#include "core/net/listener.h"
#include "tests/support/shard_bench.h"

static struct shard_bench b;
static struct listener l;
static uint32_t accepted_count, closed_count;
static int last_fd;
static bool closes_on_accept;

static void on_accepted(struct listener *from, int fd)
{
    accepted_count++;
    last_fd = fd;
    if (closes_on_accept) {
        listener_close(from);
    }
}

static void on_closed(struct listener *from)
{
    (void)from;
    closed_count++;
}

static struct ring *ring(void)
{
    return &b.list[0]->ring;
}

static int set_up(void **state)
{
    const struct ip_port any = {.ip = {.family = IP_V4}};
    const struct ip_port bound = {.ip = {.family = IP_V4}, .port = 2525};

    (void)state;
    shard_bench_open(&b, 1, 1);
    accepted_count = closed_count = 0;
    closes_on_accept = false;
    fake_ring_set_names(ring(), bound, bound);
    assert_int_equal(listener_bind(&l, b.list[0], &any, false), 0);
    assert_int_equal(l.addr.port, 2525); /* the real one */
    l.accepted = on_accepted;
    l.closed = on_closed;
    listener_start(&l);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    listener_close(&l);
    fake_ring_run(b.list[0]);
    assert_int_equal(closed_count, 1);
    assert_int_equal(l.fd, -1);
    assert_false(timer_armed(&l.retry));
    assert_int_equal(fake_ring_pending(ring()), 0);
    assert_int_equal(ring()->in_flight_count, 0);
    shard_bench_close(&b);
    return 0;
}

static void turn(void)
{
    fake_ring_turn(b.list[0]);
    fake_ring_turn(b.list[0]);
}

static void accept_ends(int32_t res, uint32_t flags)
{
    fake_ring_complete_op(ring(), fake_ring_op(ring(), RING_ACCEPT, 0), res, flags);
    turn();
}

static bool accepting(void)
{
    return fake_ring_count(ring(), RING_ACCEPT) == 1;
}

/* ---- what the operator hears ---- */

static uint64_t no_time(void *ctx)
{
    (void)ctx;
    return 0;
}

static void keep_line(void *ctx, struct slice line)
{
    buf_put(ctx, line);
}

/* The one line since the last look. */
static void assert_said(struct buf *said, const char *line)
{
    const char *got;

    buf_char(said, '\0');
    got = strchr(said->ptr, ' '); /* past the time */
    assert_non_null(got);
    assert_string_equal(got + strspn(got, " "), line);
    buf_clear(said);
}

/* ---- accepting ---- */

static void one_accept_serves_many_peers(void **state)
{
    (void)state;
    accept_ends(40, RING_MORE);
    accept_ends(41, RING_MORE);
    assert_int_equal(accepted_count, 2);
    assert_int_equal(last_fd, 41);
    accept_ends(42, 0); /* the kernel may end it at any time */
    assert_int_equal(accepted_count, 3);
    assert_true(accepting());
}

static void out_of_descriptors_it_tries_again_soon(void **state)
{
    static const int errors[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS, ECONNABORTED};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
        accept_ends(-errors[i], 0);
        assert_false(accepting()); /* it would fail again at once, over and over */
        assert_int_equal(l.accept_error_count, i + 1);
        shard_bench_advance_ms(&b, LISTENER_RETRY_MS);
        turn();
        assert_false(accepting());
        shard_bench_advance_ms(&b, 1);
        turn();
        assert_true(accepting());
    }
    accept_ends(50, RING_MORE);
    assert_int_equal(accepted_count, 1);
}

static void wait_ms(uint64_t ms)
{
    shard_bench_advance_ms(&b, ms + 1);
    turn();
}

static void a_row_of_pauses_is_told_once_and_its_end_once(void **state)
{
    struct diag diag;
    struct buf said = {0};

    (void)state;
    diag_init(&diag, &said, no_time, keep_line);
    l.diag = &diag;
    for (int i = 0; i < 3; i++) {
        accept_ends(-EMFILE, 0);
        wait_ms(LISTENER_RETRY_MS);
        accept_ends(50 + i, RING_MORE);
        wait_ms(LISTENER_CALM_MS / 2);
    }
    assert_said(&said, "WARN listener: 0.0.0.0:2525: accepting pauses: Too many open files\n");
    wait_ms(LISTENER_CALM_MS);
    assert_said(&said, "INFO listener: 0.0.0.0:2525: accepting again\n");
    assert_true(accepting());
    accept_ends(-ENOMEM, 0);
    assert_said(&said, "WARN listener: 0.0.0.0:2525: accepting pauses: Cannot allocate memory\n");
    diag_free(&diag);
    buf_free(&said);
}

static void closing_while_it_waits_to_try_again_completes(void **state)
{
    (void)state;
    accept_ends(-EMFILE, 0);
    listener_close(&l);
    assert_false(timer_armed(&l.retry));
    fake_ring_run(b.list[0]);
    assert_int_equal(closed_count, 1);
    shard_bench_advance_ms(&b, 1000);
    turn();
    assert_false(accepting());
}

static void close_comes_after_the_last_accept(void **state)
{
    (void)state;
    listener_close(&l);
    listener_close(&l);
    assert_int_equal(fake_ring_count(ring(), RING_CANCEL), 1);
    accept_ends(60, RING_MORE); /* it was faster: its owner gets it, nothing leaks */
    assert_int_equal(accepted_count, 1);
    fake_ring_complete(ring(), RING_CANCEL, 1);
    turn();
    assert_int_equal(fake_ring_count(ring(), RING_CLOSE), 0);
    accept_ends(-ECANCELED, 0);
    assert_int_equal(fake_ring_count(ring(), RING_CLOSE), 1);
    assert_int_equal(l.accept_error_count, 0);
}

static void it_may_be_closed_from_inside_accepted(void **state)
{
    (void)state;
    for (uint32_t more = 0; more < 2; more++) {
        if (more > 0) {
            set_up(state);
        }
        closes_on_accept = true;
        accept_ends(70, more != 0 ? RING_MORE : 0);
        fake_ring_run(b.list[0]);
        assert_int_equal(closed_count, 1);
        if (more == 0) {
            tear_down(state);
        }
    }
}

#define ON_LISTENER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_LISTENER(one_accept_serves_many_peers),
        ON_LISTENER(out_of_descriptors_it_tries_again_soon),
        ON_LISTENER(a_row_of_pauses_is_told_once_and_its_end_once),
        ON_LISTENER(closing_while_it_waits_to_try_again_completes),
        ON_LISTENER(close_comes_after_the_last_accept),
        ON_LISTENER(it_may_be_closed_from_inside_accepted),
    };
    return cmocka_run_group_tests_name("core/net/listener", tests, NULL, NULL);
}
