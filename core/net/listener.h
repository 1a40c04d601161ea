/*
 * listener - one listening socket of one shard: a multishot accept that never stays down.
 *
 * Every shard listens on the same address with SO_REUSEPORT and the kernel spreads the peers.
 *
 * Owner     its shard. The descriptors it hands out belong to the receiver of accepted().
 * Errors    out of descriptors or memory: accepting pauses for LISTENER_RETRY_MS and goes on. The
 *           first pause of a row is told, and that it is over once LISTENER_CALM_MS went without.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/shard/ring.h"
#include "core/shard/timer.h"

struct diag;
struct shard;
struct listener;

#define LISTENER_RETRY_MS 100u
#define LISTENER_CALM_MS 1000u
#define LISTENER_BACKLOG 4096

struct listener {
    struct shard *shard;
    struct ring_op accept;
    struct ring_op control;
    struct timer retry;  /* accepting again, then: calm again */
    struct diag *diag;   /* may be NULL; as it is set after listener_bind() */
    void (*accepted)(struct listener *l, int fd);
    void (*closed)(struct listener *l); /* after listener_close() */
    struct ip_port addr; /* as bound: the real port */
    uint64_t accept_error_count;
    int fd;
    bool closing;
    bool troubled; /* a pause has been told and not yet its end */
};

/* Binds; on the main thread, before the shard runs. The first listener of an address shares it with
 * nobody who was there before; the other shards' share it with the first. A port of 0 becomes the
 * real one in l->addr. Answers a negative errno. */
NODISCARD int listener_bind(struct listener *l, struct shard *shard, const struct ip_port *addr,
                            bool shares);
/* Undoes listener_bind(), before listener_start(). */
void listener_unbind(struct listener *l);
/* Starts to accept, on the shard. l->accepted must be set. */
void listener_start(struct listener *l);
/* Stops to accept; closed() comes from the loop. */
void listener_close(struct listener *l);
