/*
 * relay_floor - the least a relay can cost on this kernel.
 *
 * One thread, one io_uring (DEFER_TASKRUN, multishot accept and receive, provided buffers). It
 * accepts SMTP, keeps connections to a sink, and passes each message on with MAIL, RCPT and DATA
 * pipelined. It stores nothing, decides nothing and logs nothing; it does not retry and it
 * trusts both peers. It is the measure for CPU per message, not a mail server.
 *
 * Liburing is used bare, so that the floor does not move when the engine's own ring does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/mem.h"

#define SQ_ENTRIES 4096u
#define CQ_ENTRIES 16384u
#define BUFFER_COUNT 4096u
#define BUFFER_SIZE 8192u
#define BUFFER_GROUP 1u
#define FD_MAX 65536u
#define SINK_CONNS_MAX 1024u
#define BACKLOG 4096

enum floor_op { OP_QUIET = 0, OP_ACCEPT, OP_RECV, OP_SIGNAL };

/* A message on its way: the bytes after DATA's 354, the final dot included. */
struct floor_message {
    struct floor_message *next;
    size_t len;
    char bytes[];
};

/* What an outgoing connection waits for. */
enum floor_step { STEP_BANNER = 0, STEP_EHLO, STEP_IDLE, STEP_ENVELOPE, STEP_DOT };

struct floor_conn {
    bool to_sink;
    bool in_body;
    uint8_t step;         /* enum floor_step, of connections to the sink */
    uint8_t replies_left; /* to MAIL, RCPT and DATA */
    struct buf in;
    struct floor_message *sending;
};

struct floor {
    struct io_uring io;
    struct io_uring_buf_ring *buf_ring;
    char *buffers;
    struct floor_conn *conns; /* by descriptor */
    struct floor_message *head, **tail;
    int idle[SINK_CONNS_MAX];
    uint32_t idle_count;
    uint64_t delivered_count;
    bool stopping;
};

static struct io_uring_sqe *sqe_get(struct floor *f)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&f->io);

    while (sqe == NULL) {
        io_uring_submit(&f->io);
        sqe = io_uring_get_sqe(&f->io);
    }
    return sqe;
}

static void tag(struct io_uring_sqe *sqe, enum floor_op op, int fd)
{
    io_uring_sqe_set_data64(sqe, (uint64_t)op << 32 | (uint32_t)fd);
}

static void recv_arm(struct floor *f, int fd)
{
    struct io_uring_sqe *sqe = sqe_get(f);

    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    tag(sqe, OP_RECV, fd);
}

static void put(struct floor *f, int fd, const void *bytes, size_t len)
{
    struct io_uring_sqe *sqe = sqe_get(f);

    io_uring_prep_send(sqe, fd, bytes, len, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    tag(sqe, OP_QUIET, fd);
}

#define SAY(f, fd, lit) put((f), (fd), (lit), sizeof(lit) - 1)

/* ---- towards the sink ---- */

/* Gives the oldest message to this connection, or notes that it has nothing to do. */
static void sink_next(struct floor *f, int fd)
{
    struct floor_conn *c = &f->conns[fd];
    struct floor_message *m = f->head;

    if (m == NULL) {
        c->step = STEP_IDLE;
        f->idle[f->idle_count++] = fd;
        return;
    }
    f->head = m->next;
    if (f->head == NULL) {
        f->tail = &f->head;
    }
    c->sending = m;
    c->step = STEP_ENVELOPE;
    c->replies_left = 3;
    SAY(f, fd, "MAIL FROM:<a@src.test>\r\nRCPT TO:<b@dst.test>\r\nDATA\r\n");
}

static void sink_reply(struct floor *f, int fd)
{
    struct floor_conn *c = &f->conns[fd];

    switch ((enum floor_step)c->step) {
    case STEP_BANNER:
        c->step = STEP_EHLO;
        SAY(f, fd, "EHLO floor.test\r\n");
        break;
    case STEP_EHLO:
        sink_next(f, fd);
        break;
    case STEP_ENVELOPE:
        if (--c->replies_left == 0) {
            c->step = STEP_DOT;
            put(f, fd, c->sending->bytes, c->sending->len);
        }
        break;
    case STEP_DOT:
        MEM_FREE(&c->sending);
        f->delivered_count++;
        sink_next(f, fd);
        break;
    case STEP_IDLE:
        break;
    }
}

static void sink_feed(struct floor *f, int fd)
{
    struct floor_conn *c = &f->conns[fd];
    size_t at;

    while ((at = slice_find_char(buf_slice(&c->in), '\n')) < c->in.len) {
        bool last = at < 3 || c->in.ptr[3] != '-';

        buf_consume(&c->in, at + 1);
        if (last) {
            sink_reply(f, fd);
        }
    }
}

/* ---- from the generator ---- */

static bool body_take(struct floor *f, int fd)
{
    struct floor_conn *c = &f->conns[fd];
    const char *end = c->in.len >= 5 ? memmem(c->in.ptr, c->in.len, "\r\n.\r\n", 5) : NULL;
    struct floor_message *m;
    size_t len;

    if (end == NULL) {
        return false;
    }
    len = (size_t)(end - c->in.ptr) + 5;
    m = mem_take(sizeof(*m) + len);
    *m = (struct floor_message){.len = len};
    memcpy(m->bytes, c->in.ptr, len);
    *f->tail = m;
    f->tail = &m->next;
    c->in_body = false;
    buf_consume(&c->in, len);
    SAY(f, fd, "250 ok\r\n");
    while (f->head != NULL && f->idle_count > 0) {
        sink_next(f, f->idle[--f->idle_count]);
    }
    return true;
}

static bool command_take(struct floor *f, int fd)
{
    struct floor_conn *c = &f->conns[fd];
    size_t len = slice_find_char(buf_slice(&c->in), '\n');

    if (len == c->in.len) {
        return false;
    }
    if (slice_starts_nocase(buf_slice(&c->in), SLICE("DATA"))) {
        SAY(f, fd, "354 go\r\n");
        c->in_body = true;
    } else if (slice_starts_nocase(buf_slice(&c->in), SLICE("QUIT"))) {
        SAY(f, fd, "221 bye\r\n");
    } else {
        SAY(f, fd, "250 ok\r\n");
    }
    buf_consume(&c->in, len + 1);
    return true;
}

static void ingress_feed(struct floor *f, int fd)
{
    bool more = true;

    while (more) {
        more = f->conns[fd].in_body ? body_take(f, fd) : command_take(f, fd);
    }
}

/* ---- completions ---- */

static void accepted(struct floor *f, int fd)
{
    const int one = 1;

    if (fd < 0 || (uint32_t)fd >= FD_MAX) {
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    f->conns[fd].to_sink = false;
    f->conns[fd].in_body = false;
    buf_clear(&f->conns[fd].in);
    recv_arm(f, fd);
    SAY(f, fd, "220 floor ESMTP\r\n");
}

static void received(struct floor *f, int fd, const struct io_uring_cqe *cqe)
{
    struct floor_conn *c = &f->conns[fd];

    if (cqe->flags & IORING_CQE_F_BUFFER) {
        uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        char *bytes = f->buffers + (size_t)id * BUFFER_SIZE;

        buf_append(&c->in, bytes, cqe->res > 0 ? (size_t)cqe->res : 0);
        io_uring_buf_ring_add(f->buf_ring, bytes, BUFFER_SIZE, id,
                              io_uring_buf_ring_mask(BUFFER_COUNT), 0);
        io_uring_buf_ring_advance(f->buf_ring, 1);
    }
    if (cqe->res > 0) {
        if (c->to_sink) {
            sink_feed(f, fd);
        } else {
            ingress_feed(f, fd);
        }
        if (!(cqe->flags & IORING_CQE_F_MORE)) {
            recv_arm(f, fd);
        }
    } else if (cqe->res == -ENOBUFS) {
        recv_arm(f, fd);
    } else {
        close(fd);
    }
}

static void reap(struct floor *f)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;

    io_uring_for_each_cqe(&f->io, head, cqe)
    {
        int fd = (int)(uint32_t)cqe->user_data;

        count++;
        switch ((enum floor_op)(cqe->user_data >> 32)) {
        case OP_ACCEPT:
            accepted(f, cqe->res);
            break;
        case OP_RECV:
            received(f, fd, cqe);
            break;
        case OP_SIGNAL:
            f->stopping = true;
            break;
        case OP_QUIET: /* a failed send: the receive of that connection will say so too */
            break;
        }
    }
    io_uring_cq_advance(&f->io, count);
}

/* ---- start ---- */

static bool ring_open(struct floor *f)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                         IORING_SETUP_CQSIZE,
                                .cq_entries = CQ_ENTRIES};
    struct io_uring_buf_reg reg = {.ring_entries = BUFFER_COUNT, .bgid = BUFFER_GROUP};

    if (io_uring_queue_init_params(SQ_ENTRIES, &f->io, &p) < 0) {
        return false;
    }
    f->buffers = mem_take_aligned(4096, (size_t)BUFFER_COUNT * BUFFER_SIZE);
    f->buf_ring = mem_take_aligned(4096, BUFFER_COUNT * sizeof(struct io_uring_buf));
    reg.ring_addr = (uint64_t)(uintptr_t)f->buf_ring;
    if (io_uring_register_buf_ring(&f->io, &reg, 0) < 0) {
        return false;
    }
    io_uring_buf_ring_init(f->buf_ring);
    for (uint32_t i = 0; i < BUFFER_COUNT; i++) {
        io_uring_buf_ring_add(f->buf_ring, f->buffers + (size_t)i * BUFFER_SIZE, BUFFER_SIZE,
                              (uint16_t)i, io_uring_buf_ring_mask(BUFFER_COUNT), (int)i);
    }
    io_uring_buf_ring_advance(f->buf_ring, BUFFER_COUNT);
    return true;
}

static bool listen_on(struct floor *f, struct sockaddr_in *at)
{
    const int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct io_uring_sqe *sqe;

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)at, sizeof(*at)) != 0 || listen(fd, BACKLOG) != 0) {
        return false;
    }
    sqe = sqe_get(f);
    io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, 0);
    tag(sqe, OP_ACCEPT, fd);
    return true;
}

static bool connect_to(struct floor *f, struct sockaddr_in *at)
{
    const int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *)at, sizeof(*at)) != 0) {
        return false;
    }
    f->conns[fd].to_sink = true;
    recv_arm(f, fd);
    return true;
}

static bool signals_watch(struct floor *f)
{
    sigset_t set;
    int fd;
    struct io_uring_sqe *sqe;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    fd = signalfd(-1, &set, 0);
    if (fd < 0) {
        return false;
    }
    sqe = sqe_get(f);
    io_uring_prep_poll_add(sqe, fd, POLLIN);
    tag(sqe, OP_SIGNAL, fd);
    return true;
}

static bool run(struct floor *f, uint16_t port, uint16_t sink_port, uint32_t conn_count)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    f->tail = &f->head;
    f->conns = mem_take_zero(FD_MAX * sizeof(*f->conns));
    if (!ring_open(f) || !signals_watch(f) || !listen_on(f, &at)) {
        return false;
    }
    at.sin_port = htons(sink_port);
    for (uint32_t i = 0; i < conn_count; i++) {
        if (!connect_to(f, &at)) {
            return false;
        }
    }
    fprintf(stderr, "relay_floor: ready\n");
    while (!f->stopping) {
        io_uring_submit_and_wait(&f->io, 1);
        reap(f);
    }
    return true;
}

static void report(uint64_t delivered_count)
{
    struct rusage ru;
    double user_us, all_us, per = delivered_count != 0 ? (double)delivered_count : 1.0;

    MUST(getrusage(RUSAGE_SELF, &ru) == 0);
    user_us = (double)ru.ru_utime.tv_sec * 1e6 + (double)ru.ru_utime.tv_usec;
    all_us = user_us + (double)ru.ru_stime.tv_sec * 1e6 + (double)ru.ru_stime.tv_usec;
    printf("{\"tool\":\"relay_floor\",\"delivered\":%llu,\"cpu_us_per_message\":%.1f,"
           "\"user_us_per_message\":%.1f}\n",
           (unsigned long long)delivered_count, all_us / per, user_us / per);
}

int main(int argc, char **argv)
{
    struct floor *f = MEM_NEW(struct floor);
    uint64_t port, sink_port, conn_count;

    if (argc != 4 || !slice_to_u64(slice_str(argv[1]), &port) || port > 65535 ||
        !slice_to_u64(slice_str(argv[2]), &sink_port) || sink_port > 65535 ||
        !slice_to_u64(slice_str(argv[3]), &conn_count) || conn_count > SINK_CONNS_MAX) {
        fprintf(stderr, "Usage: relay_floor PORT SINK_PORT CONNECTIONS\n"
                        "Passes mail from 127.0.0.1:PORT to 127.0.0.1:SINK_PORT, storing "
                        "nothing, until SIGTERM.\n");
        return 2;
    }
    if (!run(f, (uint16_t)port, (uint16_t)sink_port, (uint32_t)conn_count)) {
        perror("relay_floor");
        return 1;
    }
    report(f->delivered_count);
    return 0;
}
