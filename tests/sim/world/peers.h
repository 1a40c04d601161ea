/*
 * peers - who brings mail to the daemon, and who takes it.
 *
 * Owner     the run; in its arena.
 */
#pragma once

#include "core/base/ip.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_net.h"

/* Injectors begin to dial, sinks to serve. */
void peers_start(struct sim *s);
/* All messages were offered, and nobody is about to say anything. */
bool peers_done(const struct sim *s);
bool peers_idle(const struct sim *s);
/* From now on everybody is friendly. */
void peers_heal(struct sim *s);

/* Of host mxN.sim. */
struct ip_port sink_addr(uint32_t index);
struct ip_port listener_addr(void);
void sinks_start(struct sim *s);
void injectors_start(struct sim *s);
bool injectors_idle(const struct sim *s);

/* True when a fault of this kind happens now. */
bool peer_fault(struct sim *s, enum sim_fault fault);

/* Cuts a stream into lines. */
struct peer_lines {
    struct sim_bytes bytes;
};
void lines_put(struct sim *s, struct peer_lines *l, struct slice bytes);
/* Without its end; borrowed until the next call. */
bool lines_next(struct peer_lines *l, struct slice *out);
/* The code of a reply's last line; 0: more of it follows. */
uint32_t reply_code(struct slice line);
