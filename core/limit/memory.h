/*
 * memory - the guard against running out of it: limits, what is used, and what follows.
 *
 * One shard samples for the process and publishes a state that every shard reads. What to do
 * about it is the business of those who hold memory or let work in.
 *
 * Owner     struct memory_wishes and struct memory_gate: the process, any shard may use them.
 *           struct memory_watch: one shard.
 * Units     bytes.
 * Errors    usage that cannot be read leaves the state as it is; that is said once.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/limit/memory_host.h"
#include "core/shard/ring.h"
#include "core/shard/timer.h"

struct diag;
struct shard;

#define MEMORY_SAMPLE_MS 3000u

enum memory_state {
    MEMORY_OK = 0,
    MEMORY_LOW,  /* above the low threshold: what can be read back is not kept */
    MEMORY_NONE, /* at the soft limit: nothing new is let in */
};

struct memory_gate {
    _Atomic uint8_t state; /* enum memory_state */
};

/* NULL is a gate that is always open. */
static inline enum memory_state memory_gate_state(const struct memory_gate *g)
{
    return g == NULL ? MEMORY_OK
                     : (enum memory_state)atomic_load_explicit(&g->state, memory_order_relaxed);
}

/* MEMORY_UNLIMITED: there is none. */
struct memory_limits {
    uint64_t hard, soft, low;
};

/* What environment and policy ask for; MEMORY_UNLIMITED: nothing. */
struct memory_wishes {
    _Atomic uint64_t hard, soft, low;
};

void memory_wishes_init(struct memory_wishes *w);
struct memory_limits memory_limits_of(const struct memory_host *host,
                                      const struct memory_wishes *wishes);
PURE enum memory_state memory_judge(const struct memory_limits *limits, uint64_t used);

struct memory_watch {
    /* Set by the owner before memory_watch_start(). */
    struct shard *shard;
    struct diag *diag;
    const struct memory_host *host;
    const struct memory_wishes *wishes;
    struct memory_gate *gate;
    /* The state has become MEMORY_NONE or is so no more; may be NULL. */
    void (*changed)(struct memory_watch *w);

    struct timer sample;
    struct ring_op purge;    /* what is free goes back to the system, off the loop */
    uint64_t over_count;     /* how often the state became MEMORY_NONE */
    bool blind;              /* said that usage cannot be read */
};

void memory_watch_start(struct memory_watch *w);
/* No more samples; the state stays. */
void memory_watch_stop(struct memory_watch *w);
