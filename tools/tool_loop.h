/*
 * tool_loop - one thread of a tool: a ring, timers, and the turn.
 *
 * Loops of one tool share a struct tool_stop. The first loop also listens for SIGTERM and
 * SIGINT; others look at the flag at least every TOOL_LOOP_NAP_MS.
 *
 * Owner     the thread that calls tool_loop_run().
 * Blocking  only between turns.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/shard/ring.h"
#include "core/shard/timer.h"

#define TOOL_LOOP_NAP_MS 50u

struct tool_stop {
    _Atomic bool wanted;
    _Atomic uint32_t usr1_count; /* SIGUSR1 received so far */
};

struct tool_loop {
    struct ring ring;
    struct timers timers;
    struct tool_stop *stop;
    int signal_fd; /* -1 but in the first loop */
    struct ring_op signal_op;
    /* After the handlers of each turn; true ends the loop. */
    bool (*turn_done)(struct tool_loop *loop);
};

/* Blocks the signals in the calling thread; threads made afterwards inherit that. */
void tool_signals_block(void);

/* On the thread that will run it. */
NODISCARD bool tool_loop_open(struct tool_loop *loop, struct tool_stop *stop,
                              const struct ring_params *params, bool takes_signals,
                              struct buf *why);
void tool_loop_run(struct tool_loop *loop);
void tool_loop_close(struct tool_loop *loop);

/* The clock now, not at the start of the turn. */
static inline uint64_t tool_clock_ns(struct tool_loop *loop)
{
    return loop->ring.backend->clock_ns(&loop->ring);
}

/* What this process has used so far. */
struct tool_usage {
    uint64_t user_us, system_us;
};
struct tool_usage tool_usage_read(void);
