/*
 * sim_disk - the files of a run: what the daemon sees, and what a power cut would leave of it.
 *
 * A page has two images: the one reads give, and the one that is promised to stay. A write that
 * was to be durable, and a sync, make the second like the first; a power cut takes sectors of the
 * first or the second as it likes. Names have two states in the same way.
 *
 * Owner     the run; in its arena. A descriptor is an index given out by the life (sim_fds.h).
 * Memory    pages that hold nothing but zeros take none.
 */
#pragma once

#include "core/shard/ring.h"
#include "tests/sim/sim.h"

#define DISK_PAGE 4096u
#define DISK_SECTOR 512u

struct disk_file; /* an open file; of the life */
struct disk_inode;

struct sim_disk_counts {
    uint64_t reads, writes, syncs, bytes_written, errors, full, short_writes, torn;
};

struct sim_disk *disk_new(struct sim *s);
const struct sim_disk_counts *disk_counts(const struct sim_disk *d);
/* What is there from the beginning, durably. */
void disk_put_dirs(struct sim *s, const char *path);
void disk_put_file(struct sim *s, const char *path, struct slice bytes);
/* Gone, durably: an operator who cleans up. */
void disk_drop_below(struct sim *s, const char *dir);

/* ---- what the ring's calls do; negative errno ---- */

int disk_open(struct sim *s, const char *path, int flags, struct disk_file **out);
void disk_close(struct disk_file *f);
int disk_mkdirs(struct sim *s, const char *path);
int disk_list(struct sim *s, const char *path, ring_dir_fn *fn, void *arg);
int disk_stat(struct sim *s, const char *path, struct ring_file_info *out);
int disk_unlink(struct sim *s, const char *path);
int disk_rename(struct sim *s, const char *from, const char *to);
int disk_chmod(struct sim *s, const char *path, unsigned mode);
int disk_allocate(struct sim *s, struct disk_file *f, uint64_t size);
int64_t disk_read(struct sim *s, struct disk_file *f, void *to, uint64_t len, uint64_t offset);
int64_t disk_write(struct sim *s, struct disk_file *f, const void *from, uint64_t len,
                   uint64_t offset, bool durable);
int disk_sync(struct sim *s, struct disk_file *f);
int disk_lock(struct sim *s, struct disk_file *f);
void disk_space(struct sim *s, struct ring_space *out);
/* How long an operation of that many bytes takes now. */
uint64_t disk_delay_ns(struct sim *s, uint64_t len);

/* ---- ends ---- */

/* A write that was under way: any of its sectors. */
void disk_tear(struct sim *s, struct disk_file *f, const char *from, uint64_t len,
               uint64_t offset);
enum disk_keep { DISK_KEEP_PROMISED = 0, DISK_KEEP_ANY };
void disk_power_cut(struct sim *s, enum disk_keep keep);
/* Locks and descriptors of the process that was. */
void disk_process_ended(struct sim *s);

/* ---- weather ---- */

/* Begins the quarters of a minute in which the disk is full, slow or dead. */
void disk_weather_start(struct sim *s);
/* True when a write may have failed since then. */
bool disk_troubled_since(const struct sim_disk *d, uint64_t since_ns);
