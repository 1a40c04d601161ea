/*
 * memory_host - what the host grants the process and what the process uses: cgroup, RLIMIT_RSS,
 * /proc.
 *
 * Owner     whoever reads it; not changed after memory_host_read().
 * Units     bytes.
 * Blocking  files of /proc and the cgroup file system, which no disk stands behind.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/slice.h"

struct ring;

#define MEMORY_UNLIMITED UINT64_MAX
#define MEMORY_CGROUP_PATH_MAX 512u

enum memory_cgroup { MEMORY_CGROUP_NONE = 0, MEMORY_CGROUP_V2, MEMORY_CGROUP_V1 };

/* MEMORY_UNLIMITED: no limit, or not known. */
struct memory_host {
    uint64_t total;
    uint64_t rlimit_soft, rlimit_hard;
    uint64_t cgroup_max, cgroup_high; /* the lowest of the process's cgroup and those above it */
    uint8_t cgroup; /* enum memory_cgroup: the version whose limit holds */
    char cgroup_path[MEMORY_CGROUP_PATH_MAX]; /* where the lowest of them holds */
};

void memory_host_read(struct memory_host *h, struct ring *ring);
/* With a cgroup limit what the cgroup uses and cannot give up, else the resident memory. False:
 * it cannot be read. */
NODISCARD bool memory_host_used(const struct memory_host *h, struct ring *ring, uint64_t *out);

/* The number behind `name` in lines of "name number" or "name: number kB". */
NODISCARD bool memory_text_field(struct slice text, struct slice name, uint64_t *out);
/* The path of the process's memory cgroup in the text of /proc/self/cgroup. */
NODISCARD bool memory_text_cgroup(struct slice text, enum memory_cgroup version,
                                  struct slice *path);
