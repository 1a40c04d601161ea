/*
 * ringspool_read - segments of a spool that nobody serves, entry by entry.
 *
 * The bytes are judged by the spool's own reader (spool/scan.h), so what this tool shows is what
 * recovery would find. Nothing is written, and no lock is taken: on a spool in use the picture is
 * of some moment, half-written commits included.
 */
#pragma once

#include "core/base/buf.h"
#include "spool/scan.h"

/* One segment, read as a whole. */
struct segment_file {
    const char *path;
    struct segment_head head;
    bool head_sound;
    struct segment_foot foot;
    bool foot_sound;
    bool index_sound;
    char *bytes;
    uint64_t len;
    struct scan scan; /* its counts, after segment_file_scan() */
};

/* Calls fn for every segment below `path`: a segment file, a log, a data path. False when
 * something could not be read; `why` then has a line for each. */
typedef void segment_file_fn(void *ctx, struct segment_file *file);
NODISCARD bool segment_files_each(const char *path, segment_file_fn *fn, void *ctx,
                                  struct buf *why);

/* Whether it may hold something; and whose it is, as far as can be told. */
PURE bool segment_file_in_use(const struct segment_file *file);
PURE uint32_t segment_file_log(const struct segment_file *file);

/* Feeds the whole segment; on_commit may be NULL. False when header and footer are gone: then
 * nothing can be judged. */
NODISCARD bool segment_file_scan(struct segment_file *file, void *ctx,
                                 void (*on_commit)(void *ctx, const struct commit_head *head,
                                                   uint64_t offset),
                                 void (*on_entry)(void *ctx, const struct scan_entry *entry));
