/*
 * sim_daemon - one life of the daemon: it starts on the disk that the last one left, runs, and
 * ends by a crash or in order.
 *
 * Owner     a process of its own, forked for this life: when it crashes, it is gone.
 */
#pragma once

#include "core/base/attr.h"
#include "tests/sim/sim.h"

/* The whole of it; the process exits with 0, or with SIM_EXIT_FAILED. */
NORETURN void life_run(struct sim *s);
/* A 250 is on its way: now and then, what would become of its message if the power went now. */
void life_probe(struct sim *s, uint32_t message);
/* A call that the daemon makes to its disk: the one in which it may be killed. */
void life_call(struct sim *s);
