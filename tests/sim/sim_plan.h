/*
 * sim_plan - what one run is like: how long, how busy, and which faults it has. All from the seed;
 * most runs have most faults off, so that no fault hides what another would show.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/slice.h"

/* Kinds of faults, each off in most runs; sim_faults.def has them all. */
enum sim_fault {
#define SIM_FAULT(name, text, per_million, what) FAULT_##name,
#include "tests/sim/sim_faults.def"
#undef SIM_FAULT
    FAULT_COUNT
};

struct sim_plan {
    uint64_t seed;
    uint32_t shards_most;    /* of a life; each life has its own number */
    uint32_t shards_now;
    bool shards_pinned;
    uint32_t messages;       /* offered in the run */
    uint32_t lives;          /* ended by a crash or a stop while there is load */
    uint64_t life_ns;        /* about as long */
    uint32_t injectors;
    uint32_t domains;
    uint32_t recipients_most;
    uint32_t body_most;
    uint32_t per_session;    /* messages */
    uint64_t gap_ns;         /* between the messages of an injector, at most */
    uint64_t segment_size;
    uint32_t connection_limit;
    uint32_t max_ready;
    uint32_t retry_s;
    uint32_t net_delay_us;   /* one way, about */
    uint64_t disk_bytes;
    uint32_t faults[FAULT_COUNT]; /* how often, per million; 0: off */
    char pinned[200];        /* the options that pin it, for the line that replays it */
};

void sim_plan_make(struct sim_plan *p, uint64_t seed);
/* "none", "all", or names with commas; false: one of them is unknown. */
bool sim_plan_faults(struct sim_plan *p, struct slice names);
const char *sim_fault_name(enum sim_fault fault);
