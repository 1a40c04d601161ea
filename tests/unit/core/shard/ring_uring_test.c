/* The io_uring backend against the contract of ring.h, on the kernel it runs on. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "tests/unit/core/shard/uring_bench.h"

static struct uring_bench bench;

static int set_up(void **state)
{
    (void)state;
    return uring_bench_open(&bench, 64, 256);
}

static int tear_down(void **state)
{
    (void)state;
    uring_bench_close(&bench);
    return 0;
}

/* Cancels, waits for the last completion, closes: what every owner of a descriptor does. */
static void end_receive(struct probe *p, int fds[2])
{
    struct probe cancel = probe_new(p->bench), end = probe_new(p->bench);

    while (p->held_count > 0) {
        probe_give_one(p);
    }
    if (p->op.in_flight) {
        uint32_t before_count = p->done_count;

        p->holds = false;
        ring_cancel_fd(&p->bench->ring, &cancel.op, fds[0]);
        assert_true(uring_bench_until(p->bench, &cancel.done_count, 1));
        while (p->op.in_flight) {
            assert_true(uring_bench_until(p->bench, &p->done_count, ++before_count));
        }
        assert_int_equal(p->res, -ECANCELED);
    }
    ring_close_fd(&p->bench->ring, &end.op, fds[0]);
    assert_true(uring_bench_until(p->bench, &end.done_count, 1));
    assert_int_equal(end.res, 0);
    close(fds[1]);
    probe_free(p);
}

/* ---- sockets ---- */

static void bytes_echo_over_loopback(void **state)
{
    const struct ring_backend *be = bench.ring.backend;
    struct probe accepted = probe_new(&bench), connected = probe_new(&bench);
    struct probe there = probe_new(&bench), back = probe_new(&bench);
    struct probe server = probe_new(&bench), client = probe_new(&bench);
    struct probe shut = probe_new(&bench);
    struct ip_port addr = {.ip = {.family = IP_V4, .bytes = {127, 0, 0, 1}}};
    struct ip_port local = {0}, peer = {0};
    struct iovec iov[2] = {{(void *)"hello ", 6}, {(void *)"world", 5}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    int listening, fd;

    (void)state;
    listening = be->sock_listen(&bench.ring, &addr, 16, false);
    assert_true(listening >= 0);
    assert_int_equal(be->sock_names(&bench.ring, listening, &addr, NULL), 0);
    fd = be->sock_open(&bench.ring, IP_V4);
    assert_true(fd >= 0);
    ring_accept(&bench.ring, &accepted.op, listening);
    ring_connect(&bench.ring, &connected.op, fd, &addr);
    assert_true(uring_bench_until(&bench, &accepted.done_count, 1));
    assert_true(uring_bench_until(&bench, &connected.done_count, 1));
    assert_int_equal(connected.res, 0);
    assert_true(accepted.res >= 0);
    assert_true(accepted.op.in_flight); /* multishot */
    assert_int_equal(be->sock_names(&bench.ring, fd, &local, &peer), 0);
    assert_int_equal(peer.port, addr.port);

    ring_recv(&bench.ring, &server.op, accepted.res, RING_INGRESS);
    ring_recv(&bench.ring, &client.op, fd, RING_EGRESS);
    ring_sendmsg(&bench.ring, &there.op, fd, &msg, 11);
    assert_true(uring_bench_until_bytes(&bench, &server, 11));
    assert_int_equal(there.res, 11);
    ring_send(&bench.ring, &back.op, accepted.res, server.got.ptr, server.got.len);
    assert_true(uring_bench_until_bytes(&bench, &client, 11));
    assert_true(slice_eq(buf_slice(&client.got), SLICE("hello world")));

    ring_shutdown(&bench.ring, &shut.op, fd);
    while (server.op.in_flight) { /* the end of the stream ends a multishot receive */
        assert_true(uring_bench_until(&bench, &server.done_count, server.done_count + 1));
    }
    assert_int_equal(server.res, 0);
    int server_pair[2] = {accepted.res, -1}, client_pair[2] = {fd, -1};
    end_receive(&server, server_pair);
    while (client.op.in_flight) {
        assert_true(uring_bench_until(&bench, &client.done_count, client.done_count + 1));
    }
    end_receive(&client, client_pair);
    int listen_pair[2] = {listening, -1};
    end_receive(&accepted, listen_pair);
}

static void a_refused_connection_says_so(void **state)
{
    const struct ring_backend *be = bench.ring.backend;
    struct probe connected = probe_new(&bench);
    struct ip_port addr = {.ip = {.family = IP_V4, .bytes = {127, 0, 0, 1}}};
    int listening, fd;

    (void)state;
    listening = be->sock_listen(&bench.ring, &addr, 1, false);
    assert_true(listening >= 0);
    assert_int_equal(be->sock_names(&bench.ring, listening, &addr, NULL), 0);
    close(listening); /* the port is free, and nobody listens */
    fd = be->sock_open(&bench.ring, IP_V4);
    ring_connect(&bench.ring, &connected.op, fd, &addr);
    assert_true(uring_bench_until(&bench, &connected.done_count, 1));
    assert_int_equal(connected.res, -ECONNREFUSED);
    close(fd);
}

static void an_address_is_shared_by_those_who_say_so(void **state)
{
    const struct ring_backend *be = bench.ring.backend;
    struct ip_port addr = {.ip = {.family = IP_V4, .bytes = {127, 0, 0, 1}}};
    int first, second;

    (void)state;
    first = be->sock_listen(&bench.ring, &addr, 1, false);
    assert_true(first >= 0);
    assert_int_equal(be->sock_names(&bench.ring, first, &addr, NULL), 0);
    assert_int_equal(be->sock_listen(&bench.ring, &addr, 1, false), -EADDRINUSE);
    second = be->sock_listen(&bench.ring, &addr, 1, true);
    assert_true(second >= 0);
    assert_int_equal(be->sock_listen(&bench.ring, &addr, 1, false), -EADDRINUSE);
    close(first);
    close(second);
    first = be->sock_listen(&bench.ring, &addr, 1, false); /* they have left */
    assert_true(first >= 0);
    close(first);
}

static void a_long_stream_passes_through_two_buffers_in_order(void **state)
{
    enum { TOTAL = 20 * RING_BUFFER_SIZE + 123 };
    struct probe in = probe_new(&bench), out = probe_new(&bench);
    char *bytes = mem_take(TOTAL);
    int fds[2];

    (void)state;
    for (uint32_t i = 0; i < TOTAL; i++) {
        bytes[i] = (char)(i * 2654435761u >> 13);
    }
    uring_bench_pair(fds);
    ring_recv(&bench.ring, &in.op, fds[0], RING_INGRESS);
    ring_send(&bench.ring, &out.op, fds[1], bytes, TOTAL);
    assert_true(uring_bench_until_bytes(&bench, &in, TOTAL));
    assert_true(uring_bench_until(&bench, &out.done_count, 1));
    assert_int_equal(out.res, TOTAL); /* all or an error */
    assert_int_equal(in.got.len, TOTAL);
    assert_memory_equal(in.got.ptr, bytes, TOTAL);
    end_receive(&in, fds);
    mem_give(bytes);
}

/* ---- starved receives ---- */

/* One receive that has taken all buffers of its group and keeps them. */
static void take_all_buffers(struct probe *hog, int fds[2])
{
    *hog = probe_new(&bench);
    hog->holds = true;
    uring_bench_pair(fds);
    ring_recv(&bench.ring, &hog->op, fds[0], RING_INGRESS);
    for (uint32_t i = 1; i <= URING_BENCH_BUFFERS; i++) {
        uring_bench_put(fds[1], "x", 1);
        assert_true(uring_bench_until(&bench, &hog->done_count, i));
    }
    assert_int_equal(hog->held_count, URING_BENCH_BUFFERS);
}

static void starved_receives_go_on_in_turn_when_buffers_come_back(void **state)
{
    struct probe hog, starved[4];
    int hog_fds[2], fds[4][2];

    (void)state;
    take_all_buffers(&hog, hog_fds);
    for (uint32_t i = 0; i < 4; i++) {
        starved[i] = probe_new(&bench);
        starved[i].holds = true;
        uring_bench_pair(fds[i]);
        uring_bench_put(fds[i][1], "data", 4);
        ring_recv(&bench.ring, &starved[i].op, fds[i][0], RING_INGRESS);
    }
    uring_bench_round_trip(&bench);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(starved[i].done_count, 0);
        assert_true(starved[i].op.in_flight);
    }
    probe_give_one(&hog);
    assert_true(uring_bench_until_bytes(&bench, &starved[0], 4));
    uring_bench_round_trip(&bench);
    assert_int_equal(starved[1].done_count + starved[2].done_count + starved[3].done_count, 0);
    probe_give_one(&hog);
    assert_true(uring_bench_until_bytes(&bench, &starved[1], 4));
    probe_give_one(&starved[1]);
    assert_true(uring_bench_until_bytes(&bench, &starved[2], 4));
    probe_give_one(&starved[0]);
    assert_true(uring_bench_until_bytes(&bench, &starved[3], 4));
    for (uint32_t i = 0; i < 4; i++) {
        end_receive(&starved[i], fds[i]);
    }
    end_receive(&hog, hog_fds);
}

static void another_group_is_not_starved(void **state)
{
    struct probe hog, other = probe_new(&bench);
    int hog_fds[2], fds[2];

    (void)state;
    take_all_buffers(&hog, hog_fds);
    uring_bench_pair(fds);
    ring_recv(&bench.ring, &other.op, fds[0], RING_EGRESS);
    uring_bench_put(fds[1], "reply", 5);
    assert_true(uring_bench_until_bytes(&bench, &other, 5));
    end_receive(&other, fds);
    end_receive(&hog, hog_fds);
}

/* The kernel picks a buffer before it looks for bytes, so receives of silent peers starve too;
 * going on, they use up no buffer and must not use up the turn of others. */
static void silent_peers_do_not_keep_the_others_starved(void **state)
{
    enum { SILENT_COUNT = 7 };
    struct probe hog, silent[SILENT_COUNT], talking = probe_new(&bench);
    int hog_fds[2], silent_fds[SILENT_COUNT][2], fds[2];

    (void)state;
    take_all_buffers(&hog, hog_fds);
    for (uint32_t i = 0; i < SILENT_COUNT; i++) {
        silent[i] = probe_new(&bench);
        uring_bench_pair(silent_fds[i]);
        ring_recv(&bench.ring, &silent[i].op, silent_fds[i][0], RING_INGRESS);
    }
    uring_bench_pair(fds);
    ring_recv(&bench.ring, &talking.op, fds[0], RING_INGRESS);
    uring_bench_put(fds[1], "data", 4);
    uring_bench_round_trip(&bench);
    assert_int_equal(talking.done_count, 0);
    probe_give_one(&hog);
    assert_true(uring_bench_until_bytes(&bench, &talking, 4));
    for (uint32_t i = 0; i < SILENT_COUNT; i++) {
        uring_bench_put(silent_fds[i][1], "late", 4);
        assert_true(uring_bench_until_bytes(&bench, &silent[i], 4));
        end_receive(&silent[i], silent_fds[i]);
    }
    end_receive(&talking, fds);
    end_receive(&hog, hog_fds);
}

static void a_cancelled_starved_receive_completes(void **state)
{
    struct probe hog, by_fd = probe_new(&bench), by_op = probe_new(&bench);
    struct probe cancel = probe_new(&bench);
    int hog_fds[2], fds[2], op_fds[2];

    (void)state;
    take_all_buffers(&hog, hog_fds);
    uring_bench_pair(fds);
    uring_bench_pair(op_fds);
    ring_recv(&bench.ring, &by_fd.op, fds[0], RING_INGRESS);
    ring_recv(&bench.ring, &by_op.op, op_fds[0], RING_INGRESS);
    uring_bench_round_trip(&bench);
    ring_cancel_fd(&bench.ring, &cancel.op, fds[0]);
    assert_true(uring_bench_until(&bench, &by_fd.done_count, 1));
    assert_true(uring_bench_until(&bench, &cancel.done_count, 1));
    assert_int_equal(by_fd.res, -ECANCELED);
    ring_cancel_op(&bench.ring, &cancel.op, &by_op.op);
    assert_true(uring_bench_until(&bench, &by_op.done_count, 1));
    assert_true(uring_bench_until(&bench, &cancel.done_count, 2));
    assert_int_equal(by_op.res, -ECANCELED);
    /* Buffers that come back now pass them by. */
    uring_bench_put(fds[1], "data", 4);
    probe_give_one(&hog);
    probe_give_one(&hog);
    uring_bench_round_trip(&bench);
    assert_int_equal(by_fd.done_count + by_op.done_count, 2);
    end_receive(&by_fd, fds);
    end_receive(&by_op, op_fds);
    end_receive(&hog, hog_fds);
}

/* The connection ends in the turn in which it began: the kernel sees both requests at once and
 * the receive starves before the cancel looks for it. */
static void a_receive_cancelled_before_it_starved_completes(void **state)
{
    struct probe hog, by_fd = probe_new(&bench), by_op = probe_new(&bench);
    struct probe cancel_fd = probe_new(&bench), cancel_op = probe_new(&bench);
    int hog_fds[2], fds[2], op_fds[2];

    (void)state;
    take_all_buffers(&hog, hog_fds);
    uring_bench_pair(fds);
    uring_bench_pair(op_fds);
    ring_recv(&bench.ring, &by_fd.op, fds[0], RING_INGRESS);
    ring_cancel_fd(&bench.ring, &cancel_fd.op, fds[0]);
    ring_recv(&bench.ring, &by_op.op, op_fds[0], RING_INGRESS);
    ring_cancel_op(&bench.ring, &cancel_op.op, &by_op.op);
    assert_true(uring_bench_until(&bench, &cancel_fd.done_count, 1));
    assert_true(uring_bench_until(&bench, &cancel_op.done_count, 1));
    assert_true(uring_bench_until(&bench, &by_fd.done_count, 1));
    assert_true(uring_bench_until(&bench, &by_op.done_count, 1));
    assert_int_equal(by_fd.res, -ECANCELED);
    assert_int_equal(by_op.res, -ECANCELED);
    end_receive(&by_fd, fds);
    end_receive(&by_op, op_fds);
    end_receive(&hog, hog_fds);
}

/* The news that a receive starved can be read after all buffers came back: nothing is left then
 * that would wake it. A full submission queue makes the kernel say it early. */
static void a_receive_that_starved_unnoticed_goes_on(void **state)
{
    enum { COUNT = 4 };
    struct probe hog, late[COUNT], fifth = probe_new(&bench);
    int hog_fds[2], fds[COUNT][2];

    (void)state;
    uring_bench_close(&bench);
    assert_int_equal(uring_bench_open(&bench, COUNT, 256), 0);
    take_all_buffers(&hog, hog_fds);
    for (uint32_t i = 0; i < COUNT; i++) {
        late[i] = probe_new(&bench);
        uring_bench_pair(fds[i]);
        ring_recv(&bench.ring, &late[i].op, fds[i][0], RING_INGRESS);
    }
    ring_poll(&bench.ring, &fifth.op, fds[0][1], POLLOUT); /* submits the four before it */
    probe_give_one(&hog);
    probe_give_one(&hog);
    assert_true(uring_bench_until(&bench, &fifth.done_count, 1));
    for (uint32_t i = 0; i < COUNT; i++) {
        uring_bench_put(fds[i][1], "data", 4);
        assert_true(uring_bench_until_bytes(&bench, &late[i], 4));
        end_receive(&late[i], fds[i]);
    }
    end_receive(&hog, hog_fds);
}

/* ---- other requests ---- */

static void cancelling_one_op_leaves_the_others(void **state)
{
    struct probe in = probe_new(&bench), poll_in = probe_new(&bench), cancel = probe_new(&bench);
    int fds[2];

    (void)state;
    uring_bench_pair(fds);
    ring_recv(&bench.ring, &in.op, fds[0], RING_INGRESS);
    ring_poll(&bench.ring, &poll_in.op, fds[0], POLLIN);
    uring_bench_round_trip(&bench);
    ring_cancel_op(&bench.ring, &cancel.op, &poll_in.op);
    assert_true(uring_bench_until(&bench, &poll_in.done_count, 1));
    assert_true(uring_bench_until(&bench, &cancel.done_count, 1));
    assert_int_equal(poll_in.res, -ECANCELED);
    uring_bench_put(fds[1], "data", 4);
    assert_true(uring_bench_until_bytes(&bench, &in, 4));
    end_receive(&in, fds);
    assert_int_equal(bench.ring.in_flight_count, 0);
}

static void a_durable_write_can_be_read_back(void **state)
{
    char path[] = "/tmp/ring_uring_test.XXXXXX", got[32] = {0};
    struct probe put = probe_new(&bench), get = probe_new(&bench), sync = probe_new(&bench);
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    unlink(path);
    ring_write(&bench.ring, &put.op, fd, "message", 7, 4096, true);
    assert_true(uring_bench_until(&bench, &put.done_count, 1));
    assert_int_equal(put.res, 7);
    ring_fsync(&bench.ring, &sync.op, fd);
    assert_true(uring_bench_until(&bench, &sync.done_count, 1));
    assert_int_equal(sync.res, 0);
    ring_read(&bench.ring, &get.op, fd, got, sizeof(got), 4096); /* the file ends sooner */
    assert_true(uring_bench_until(&bench, &get.done_count, 1));
    assert_int_equal(get.res, 7);
    assert_string_equal(got, "message");
    ring_write(&bench.ring, &put.op, -1, "message", 7, 0, true);
    assert_true(uring_bench_until(&bench, &put.done_count, 2));
    assert_int_equal(put.res, -EBADF);
    close(fd);
}

static _Atomic uint32_t worked_count;

static int32_t work_number(void *arg)
{
    atomic_fetch_add(&worked_count, 1);
    return (int32_t)(intptr_t)arg;
}

static void work_answers_with_what_the_function_returned(void **state)
{
    struct probe p = probe_new(&bench);

    (void)state;
    for (uint32_t i = 1; i <= 3; i++) {
        ring_work(&bench.ring, &p.op, work_number, (void *)(intptr_t)(1000 * i));
        assert_true(uring_bench_until(&bench, &p.done_count, i));
        assert_int_equal(p.res, 1000 * i);
    }
}

/* More work is finished than one turn can report, and the bell rings only once for it. */
static void finished_work_beyond_one_turn_is_not_forgotten(void **state)
{
    enum { COUNT = RING_EVENTS_MAX + 200 };
    struct probe *p = mem_take_zero(COUNT * sizeof(*p));

    (void)state;
    atomic_store(&worked_count, 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        p[i] = probe_new(&bench);
        ring_work(&bench.ring, &p[i].op, work_number, (void *)(intptr_t)i);
    }
    while (atomic_load(&worked_count) < COUNT) {
        sched_yield();
    }
    assert_true(uring_bench_until(&bench, &bench.done_count, COUNT));
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(p[i].done_count, 1);
        assert_int_equal(p[i].res, i);
    }
    mem_give(p);
}

static void more_completions_than_queue_and_turn_hold_all_come(void **state)
{
    enum { COUNT = 3 * RING_EVENTS_MAX };
    struct probe *p = mem_take_zero(COUNT * sizeof(*p));
    int fds[2];

    (void)state;
    uring_bench_pair(fds);
    for (uint32_t i = 0; i < COUNT; i++) {
        p[i] = probe_new(&bench);
        ring_poll(&bench.ring, &p[i].op, fds[0], POLLIN);
    }
    uring_bench_put(fds[1], "x", 1);
    assert_true(uring_bench_until(&bench, &bench.done_count, COUNT));
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(p[i].done_count, 1);
    }
    assert_int_equal(bench.ring.in_flight_count, 0);
    close(fds[0]);
    close(fds[1]);
    mem_give(p);
}

static void an_answer_never_comes_from_inside_the_submitting_call(void **state)
{
    struct probe p = probe_new(&bench);
    int fds[2];

    (void)state;
    uring_bench_pair(fds);
    ring_poll(&bench.ring, &p.op, fds[0], POLLOUT);
    assert_int_equal(p.done_count, 0);
    ring_wait(&bench.ring, UINT64_MAX);
    assert_int_equal(p.done_count, 0); /* waiting runs no handler either */
    assert_false(ring_dispatch(&bench.ring, 1));
    assert_int_equal(p.done_count, 1);
    close(fds[0]);
    close(fds[1]);
}

static void a_wait_without_events_ends_by_its_timeout(void **state)
{
    uint64_t began_ns;

    (void)state;
    ring_clock_read(&bench.ring);
    began_ns = bench.ring.now_ns;
    ring_wait(&bench.ring, 20000000u);
    ring_clock_read(&bench.ring);
    assert_true(bench.ring.now_ns - began_ns >= 20000000u);
    assert_int_equal(bench.ring.event_count, 0);
    ring_wait(&bench.ring, 0);
    assert_int_equal(bench.ring.event_count, 0);
}

/* ---- the end ---- */

static void closing_leaves_no_descriptor_behind(void **state)
{
    struct uring_bench other;
    struct probe in, work;
    uint32_t before_count = uring_bench_open_files();
    int fds[2];

    (void)state;
    assert_int_equal(uring_bench_open(&other, 64, 256), 0);
    uring_bench_pair(fds);
    in = probe_new(&other);
    work = probe_new(&other);
    ring_recv(&other.ring, &in.op, fds[0], RING_INGRESS);
    ring_work(&other.ring, &work.op, work_number, NULL);
    assert_true(uring_bench_until(&other, &work.done_count, 1));
    uring_bench_close(&other); /* with a receive under way */
    uring_bench_put(fds[1], "late", 4);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(uring_bench_open_files(), before_count);
    assert_int_equal(in.done_count, 0);
}

#define ON_RING(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_RING(bytes_echo_over_loopback),
        ON_RING(a_refused_connection_says_so),
        ON_RING(an_address_is_shared_by_those_who_say_so),
        ON_RING(a_long_stream_passes_through_two_buffers_in_order),
        ON_RING(starved_receives_go_on_in_turn_when_buffers_come_back),
        ON_RING(another_group_is_not_starved),
        ON_RING(silent_peers_do_not_keep_the_others_starved),
        ON_RING(a_cancelled_starved_receive_completes),
        ON_RING(a_receive_cancelled_before_it_starved_completes),
        ON_RING(a_receive_that_starved_unnoticed_goes_on),
        ON_RING(cancelling_one_op_leaves_the_others),
        ON_RING(a_durable_write_can_be_read_back),
        ON_RING(work_answers_with_what_the_function_returned),
        ON_RING(finished_work_beyond_one_turn_is_not_forgotten),
        ON_RING(more_completions_than_queue_and_turn_hold_all_come),
        ON_RING(an_answer_never_comes_from_inside_the_submitting_call),
        ON_RING(a_wait_without_events_ends_by_its_timeout),
        ON_RING(closing_leaves_no_descriptor_behind),
    };
    return cmocka_run_group_tests_name("core/shard/ring_uring", tests, NULL, NULL);
}
