/*
 * relog - log records of settles that a crash kept from the log: written again from the spool.
 *
 * Those that are written while others become durable wait for each other, so that many share one
 * sync of the log. A record that the log did not take, because it stops or is out of room, stays
 * with the spool, which reports it again at the next start.
 *
 * Owner     the engine; each record in work is an allocation of its own until the log has it on
 *           stable storage.
 */
#pragma once

#include <stdbool.h>

#include "core/base/diag.h"
#include "core/log/log.h"

struct spool;
struct spool_unlogged;
struct relogging;

/* All zero, then with the three pointers set: ready for use. */
struct relogger {
    struct spool *spool;
    struct log *log;
    struct diag *diag;
    struct relogging *written; /* not waiting for a sync yet */
    struct relogging *syncing;
    struct log_sync sync;
    uint64_t lost_before; /* log records lost when the oldest of them was written */
    bool stopped;
};

void relog(struct relogger *rl, const struct spool_unlogged *unlogged);
/* Before the log drains: what it would refuse is left to the next start. */
void relogger_stop(struct relogger *rl);
/* Before the log is freed. */
void relogger_free(struct relogger *rl);
