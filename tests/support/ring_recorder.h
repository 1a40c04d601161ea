/*
 * ring_recorder - a ring backend in front of another: what goes to disk, and what was promised.
 *
 * Everything below one directory is written to a trace, in the order in which the process asked
 * for it and learned of its end: a reader of the trace knows at every point which bytes were
 * surely on stable storage, which may be, and which messages had been acknowledged.
 *
 *     entry     kind (1 byte), length of the rest (4), wall clock in ms (8), then by kind:
 *     'O'       descriptor (4), flags (4), path            opened; O_CREAT and O_TRUNC matter
 *     'C'       descriptor                                 closed
 *     'M' 'U'   path                                       directory made; file unlinked
 *     'R'       path, NUL, path                            renamed
 *     'A'       descriptor, size (8)                       room allocated
 *     'W'       op (8), descriptor, offset (8), dsync (1), length (4), bytes (none: zeros)
 *     'F'       op, descriptor                             a sync was asked for, of file or folder
 *     'D'       op, result (4)                             'W' or 'F' has completed
 *     'K'       the reply's line                           250 OK ids=... is about to be sent
 *
 * Numbers are little-endian. What changes names or sizes ('O' to 'A') is told when it has happened,
 * a write or a sync before it may happen; those that block are told the same way.
 *
 * Owner     the test. Rings of several threads share one recorder.
 */
#pragma once

#include "core/base/buf.h"
#include "core/shard/ring.h"

struct ring_recorder;

/* Records below `root`. NULL when the trace cannot be written. */
NODISCARD struct ring_recorder *ring_recorder_open(const char *trace_path, const char *root);
/* Stands in front of the ring's backend from now on; ctx is the recorder. */
void ring_recorder_wrap(void *ctx, struct ring *ring);
/* After the rings are closed. */
void ring_recorder_close(struct ring_recorder **rp);
