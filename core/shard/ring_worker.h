/*
 * ring_worker - the off-loop threads of one ring: what can block or burn runs here.
 *
 * Owner     the ring's shard submits and collects; worker threads only run functions.
 * Wake-up   a finished function rings an eventfd that the ring keeps a read on, since another
 *           thread may not submit to it.
 */
#pragma once

#include <stdint.h>

struct ring_op;
struct ring_workers;

/* Starts `count` threads. Never NULL; a thread that cannot start is a failed MUST. */
struct ring_workers *ring_workers_open(uint32_t count);
/* Lets every queued function finish, then joins. */
void ring_workers_close(struct ring_workers **wp);
int ring_workers_bell(const struct ring_workers *w); /* the eventfd */
void ring_workers_submit(struct ring_workers *w, struct ring_op *op);
/* Takes up to `max` finished ops with their results; answers how many. */
uint32_t ring_workers_collect(struct ring_workers *w, struct ring_op **ops, int32_t *results,
                              uint32_t max);
