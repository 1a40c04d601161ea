/*
 * ring_faults - a ring backend in front of another: a disk that fails when a test says so.
 *
 * Calls for files below one directory fail with the error number that stands in a control file,
 * from the moment it is written there until it is 0 again:
 *
 *     bytes 0-3     of everything that changes the disk; 0: none
 *     bytes 4-7     of reads; 0: none
 *     bytes 8-11    how many calls have failed so far; written here
 *
 * Numbers are little-endian. What fails has not changed anything.
 *
 * Owner     the test. Rings of several threads share one; the file is mapped by both sides.
 */
#pragma once

#include "core/shard/ring.h"

struct ring_faults;

/* NULL when the control file cannot be mapped; it is made when it is missing. */
NODISCARD struct ring_faults *ring_faults_open(const char *control_path, const char *root);
/* Stands in front of the ring's backend from now on; ctx is the struct ring_faults. */
void ring_faults_wrap(void *ctx, struct ring *ring);
/* After the rings are closed. */
void ring_faults_close(struct ring_faults **fp);
