/* The turn of a tool's thread. */
#include "tools/tool_loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void signals_of_ours(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGUSR1);
}

void tool_signals_block(void)
{
    sigset_t set;

    signals_of_ours(&set);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
}

static void signal_poll_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct tool_loop *loop = CONTAINER_OF(op, struct tool_loop, signal_op);
    struct signalfd_siginfo info;

    if (res < 0) {
        return; /* the ring is closing */
    }
    while (read(loop->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGUSR1) {
            atomic_fetch_add(&loop->stop->usr1_count, 1);
        } else {
            atomic_store(&loop->stop->wanted, true);
        }
    }
    ring_poll(&loop->ring, op, loop->signal_fd, POLLIN);
}

static bool signals_open(struct tool_loop *loop, struct buf *why)
{
    sigset_t set;

    signals_of_ours(&set);
    loop->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (loop->signal_fd < 0) {
        buf_printf(why, "signalfd: %s", strerror(errno));
        return false;
    }
    loop->signal_op.done = signal_poll_done;
    ring_poll(&loop->ring, &loop->signal_op, loop->signal_fd, POLLIN);
    return true;
}

bool tool_loop_open(struct tool_loop *loop, struct tool_stop *stop,
                    const struct ring_params *params, bool takes_signals, struct buf *why)
{
    loop->stop = stop;
    loop->signal_fd = -1;
    if (ring_uring_open(&loop->ring, params, why) < 0) {
        return false;
    }
    if (ring_uring_enable(&loop->ring) < 0) {
        buf_printf(why, "the ring could not be enabled");
        return false;
    }
    timers_init(&loop->timers, ring_now_ms(&loop->ring));
    return !takes_signals || signals_open(loop, why);
}

static uint64_t sleep_ns(const struct tool_loop *loop)
{
    uint64_t next_ms = timers_next_ms(&loop->timers);
    uint64_t nap_ms = ring_now_ms(&loop->ring) + TOOL_LOOP_NAP_MS;
    uint64_t until_ns = (next_ms < nap_ms ? next_ms : nap_ms) * 1000000u;

    return until_ns > ring_now_ns(&loop->ring) ? until_ns - ring_now_ns(&loop->ring) : 0;
}

void tool_loop_run(struct tool_loop *loop)
{
    do {
        ring_wait(&loop->ring, sleep_ns(loop));
        ring_clock_read(&loop->ring);
        while (ring_dispatch(&loop->ring, RING_EVENTS_MAX)) {
        }
        while (timers_run(&loop->timers, ring_now_ms(&loop->ring), 1024)) {
        }
    } while (!loop->turn_done(loop));
}

void tool_loop_close(struct tool_loop *loop)
{
    if (loop->ring.backend != NULL) {
        ring_close(&loop->ring);
    }
    if (loop->signal_fd >= 0) {
        close(loop->signal_fd);
        loop->signal_fd = -1;
    }
}

struct tool_usage tool_usage_read(void)
{
    struct rusage ru;

    MUST(getrusage(RUSAGE_SELF, &ru) == 0);
    return (struct tool_usage){
        .user_us = (uint64_t)ru.ru_utime.tv_sec * 1000000u + (uint64_t)ru.ru_utime.tv_usec,
        .system_us = (uint64_t)ru.ru_stime.tv_sec * 1000000u + (uint64_t)ru.ru_stime.tv_usec,
    };
}
