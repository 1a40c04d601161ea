/*
 * sim_shard_private - the part of the backend that answers through operations.
 */
#pragma once

#include "tests/sim/sim_shard.h"

void sim_ring_close(struct ring *ring);
void sim_ring_submit(struct ring *ring, struct ring_op *op);
void sim_ring_wait(struct ring *ring, uint64_t timeout_ns);
void sim_ring_wake(struct ring *ring, struct ring *target);
const char *sim_ring_buffer(struct ring *ring, uint8_t group, uint16_t id);
void sim_ring_buffer_give(struct ring *ring, uint8_t group, uint16_t id);
