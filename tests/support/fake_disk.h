/*
 * fake_disk - files in memory that can lose what was never promised to them.
 *
 * Every file has two images: what a reader sees, and what would survive a power cut for certain.
 * A write that was durable (O_DSYNC), or followed by a sync, is in both. A crash takes every
 * sector of 512 bytes that differs and keeps the new or the old one by a seeded coin; names in
 * folders that were not synced are treated the same way.
 *
 * Owner     the test; outlives the rings that use it, so that a crash is a new set of rings on
 *           the same disk.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/slice.h"
#include "core/shard/ring.h"

#define FAKE_SECTOR 512u

struct fake_disk;

/* What a fault hook is asked about. */
enum fake_io {
    FAKE_OPEN,
    FAKE_ALLOCATE,
    FAKE_READ,
    FAKE_WRITE,
    FAKE_SYNC,
    FAKE_UNLINK,
    FAKE_RENAME
};

/* 0: let it happen; a negative errno: it fails; for writes and reads a positive number: that many
 * bytes only; for writes FAKE_STORED(-errno): it fails, but the bytes are there. */
#define FAKE_STORED(err) ((err)-1000000)
typedef int64_t fake_fault_fn(void *ctx, enum fake_io io, const char *path, uint64_t offset,
                              uint64_t len);

struct fake_disk *fake_disk_new(void);
void fake_disk_free(struct fake_disk **dp);

void fake_disk_set_fault(struct fake_disk *d, fake_fault_fn *fn, void *ctx);
/* O_DIRECT is refused with EINVAL. */
void fake_disk_refuse_direct(struct fake_disk *d);
/* Bytes that files may take together, 0 for no limit; what fs_space() answers follows from it. */
void fake_disk_set_capacity(struct fake_disk *d, uint64_t bytes);
void fake_disk_set_inodes(struct fake_disk *d, uint64_t total, uint64_t free);

/* The clock that all rings on this disk share. */
uint64_t fake_disk_now_ns(const struct fake_disk *d);
void fake_disk_advance(struct fake_disk *d, uint64_t ns);

/* Loses what was not promised; descriptors and locks are gone. Incomplete writes are the rings'
 * to tear before: see fake_ring_crash(). */
void fake_disk_crash(struct fake_disk *d, uint64_t *seed);

/* ---- looking and damaging ---- */

typedef void fake_file_fn(void *ctx, const char *path, uint64_t size);
void fake_disk_each(const struct fake_disk *d, fake_file_fn *fn, void *ctx);
bool fake_disk_exists(const struct fake_disk *d, const char *path);
/* The bytes a reader sees; writing through it changes both images after fake_disk_touch(). */
char *fake_disk_bytes(struct fake_disk *d, const char *path, uint64_t *size_out);
void fake_disk_touch(struct fake_disk *d, const char *path);
/* Nothing of what a reader sees has reached the disk: a process wrote it and was killed. */
void fake_disk_cached(struct fake_disk *d, const char *path);
void fake_disk_truncate(struct fake_disk *d, const char *path, uint64_t size);

/* ---- for the ring ---- */

int fake_disk_open(struct fake_disk *d, const char *path, int flags);
void fake_disk_close(struct fake_disk *d, int fd);
bool fake_disk_has(const struct fake_disk *d, int fd);
int fake_disk_mkdirs(struct fake_disk *d, const char *path);
int fake_disk_list(struct fake_disk *d, const char *path, ring_dir_fn *fn, void *arg);
int fake_disk_stat(struct fake_disk *d, const char *path, struct ring_file_info *out);
int fake_disk_unlink(struct fake_disk *d, const char *path);
int fake_disk_rename(struct fake_disk *d, const char *from, const char *to);
int fake_disk_chmod(struct fake_disk *d, const char *path, unsigned mode);
int fake_disk_allocate(struct fake_disk *d, int fd, uint64_t size);
int64_t fake_disk_read(struct fake_disk *d, int fd, void *to, uint64_t len, uint64_t offset);
int64_t fake_disk_write(struct fake_disk *d, int fd, const void *from, uint64_t len,
                        uint64_t offset, bool durable);
/* The sectors of a write that never completed: each by a coin. */
void fake_disk_tear(struct fake_disk *d, int fd, const void *from, uint64_t len, uint64_t offset,
                    uint64_t *seed);
int fake_disk_sync(struct fake_disk *d, int fd);
int fake_disk_lock(struct fake_disk *d, int fd);
int fake_disk_space(struct fake_disk *d, struct ring_space *out);

/* A small generator, the same everywhere (SplitMix64). */
static inline uint64_t fake_random(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}
