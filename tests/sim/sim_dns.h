/*
 * sim_dns - names of a run: a backend of the resolver that answers late, or not at all.
 *
 * Every domain dN.sim has one host mxN.sim, which has one address (sink_addr()).
 *
 * Owner     one shard of a life.
 */
#pragma once

#include "core/base/attr.h"
#include "tests/sim/sim.h"

struct dns_backend;
struct shard;

struct dns_backend *sim_dns_open(struct sim *s, struct shard *shard);
