/*
 * relog - log records of settles that a crash kept from the log: written again from the spool.
 *
 * Owner     the engine; each record in work is an allocation of its own until the log has it on
 *           stable storage.
 */
#pragma once

struct engine;
struct spool_unlogged;

void relog(struct engine *e, const struct spool_unlogged *unlogged);
