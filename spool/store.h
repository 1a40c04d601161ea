/*
 * store - what every shard's spool shares, fixed at start: paths, locks, limits, boot count, and
 * which logs exist. Read-only once the shards run.
 */
#pragma once

#include "core/base/buf.h"
#include "core/shard/ring.h"
#include "spool/spool.h"

/* Ids, versions and sequences begin with the boot count: those of one life of the process are above
 * those of every earlier one. */
#define STORE_BOOT_SHIFT 40u

struct store_log {
    uint32_t number;
    uint32_t path; /* index of the data path it lies on */
    char *dir;
    bool primary;
    uint64_t mark; /* from its mark file */
    uint32_t *segment_ids;
    uint32_t segment_count;
};

struct store_path {
    char *path;
    int lock_fd; /* -1: shares the lock of another path */
    bool direct; /* O_DIRECT works */
};

struct store_guard {
    char *path;
    struct free_space space, inodes;
};

/* Sizes that follow from the segment size. */
struct store_limits {
    uint64_t segment_size;
    uint32_t entry_max;  /* payload of any entry */
    uint32_t atomic_max; /* body and blobs of a transaction that goes out in one commit */
    uint32_t chunk_size;
    uint32_t commit_cap; /* of an ordinary staging buffer */
    uint32_t reserve_segments;
    uint64_t staging_bytes_max;
    uint32_t backlog_commits_max;
};

struct spool_store {
    struct ring *ring;
    struct spool_params params; /* paths are not valid after open: see data and meta */
    struct store_limits limits;
    struct store_path *data;
    uint32_t data_count;
    struct store_path meta;
    struct store_guard *guards;
    uint32_t guard_count;
    uint32_t boot;
    struct store_log *logs;
    uint32_t log_count;
};

/* The directory of a log, its mark file, and the mark inside. */
void store_mark_path(const char *log_dir, struct buf *out);
NODISCARD int store_mark_write(struct ring *ring, const char *log_dir, uint64_t mark);
