#include "tests/unit/core/shard/uring_bench.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/list.h"

#define PATIENCE_NS UINT64_C(5000000000)

int uring_bench_open(struct uring_bench *b, uint32_t sq_entries, uint32_t cq_entries)
{
    const struct ring_params params = {
        .sq_entries = sq_entries,
        .cq_entries = cq_entries,
        .ingress_buffers = URING_BENCH_BUFFERS,
        .egress_buffers = URING_BENCH_BUFFERS,
        .workers = 2,
    };
    struct buf why = {0};
    int res;

    *b = (struct uring_bench){0};
    res = ring_uring_open(&b->ring, &params, &why);
    if (res < 0) {
        fprintf(stderr, "%.*s\n", (int)why.len, why.ptr);
        buf_free(&why);
        return res;
    }
    buf_free(&why);
    return ring_uring_enable(&b->ring);
}

void uring_bench_close(struct uring_bench *b)
{
    ring_close(&b->ring);
}

static void probe_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct probe *p = CONTAINER_OF(op, struct probe, op);
    struct ring *ring = &p->bench->ring;

    p->res = res;
    p->bench->done_count++;
    if (p->done_count++ == 0) {
        p->order = p->bench->done_count;
    }
    if ((flags & RING_HAS_BUFFER) == 0) {
        return;
    }
    buf_put(&p->got, ring_buffer(ring, op, res, flags));
    if (p->holds) {
        MUST(p->held_count < PROBE_HELD_MAX);
        p->held[p->held_count++] = flags;
    } else {
        ring_buffer_give(ring, op, flags);
    }
}

struct probe probe_new(struct uring_bench *b)
{
    return (struct probe){.op.done = probe_done, .bench = b};
}

void probe_free(struct probe *p)
{
    buf_free(&p->got);
}

void probe_give_one(struct probe *p)
{
    MUST(p->held_count > 0);
    ring_buffer_give(&p->bench->ring, &p->op, p->held[0]);
    p->held_count--;
    memmove(p->held, p->held + 1, p->held_count * sizeof(p->held[0]));
}

static void turn(struct uring_bench *b, uint64_t sleep_ns)
{
    ring_wait(&b->ring, sleep_ns);
    while (ring_dispatch(&b->ring, RING_EVENTS_MAX)) {
    }
    ring_clock_read(&b->ring);
}

bool uring_bench_until(struct uring_bench *b, const uint32_t *count, uint32_t goal)
{
    uint64_t end_ns;

    ring_clock_read(&b->ring);
    end_ns = b->ring.now_ns + PATIENCE_NS;
    while (*count < goal && b->ring.now_ns < end_ns) {
        turn(b, end_ns - b->ring.now_ns);
    }
    return *count >= goal;
}

bool uring_bench_until_bytes(struct uring_bench *b, const struct probe *p, size_t len)
{
    uint64_t end_ns;

    ring_clock_read(&b->ring);
    end_ns = b->ring.now_ns + PATIENCE_NS;
    while (p->got.len < len && b->ring.now_ns < end_ns) {
        turn(b, end_ns - b->ring.now_ns);
    }
    return p->got.len >= len;
}

void uring_bench_round_trip(struct uring_bench *b)
{
    struct probe p = probe_new(b);
    int fds[2];

    uring_bench_pair(fds);
    for (unsigned i = 0; i < 4; i++) { /* what one turn starts may end in the next */
        p.done_count = 0;
        ring_poll(&b->ring, &p.op, fds[0], POLLOUT);
        MUST(uring_bench_until(b, &p.done_count, 1));
    }
    close(fds[0]);
    close(fds[1]);
}

void uring_bench_pair(int fds[2])
{
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
}

void uring_bench_put(int fd, const void *bytes, size_t len)
{
    MUST(write(fd, bytes, len) == (ssize_t)len);
}

uint32_t uring_bench_open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint32_t count = 0;

    MUST(dir != NULL);
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}
