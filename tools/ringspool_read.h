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
    /* Also after it. Every commit up to durable_seq had completed when something else here was
     * written, so damage in it is damage and no tear. */
    uint64_t durable_seq;
    uint64_t damaged_seq; /* of the first commit that is not sound; UINT64_MAX: none */
    bool has_orphan;      /* behind the last sound commit */
    bool is_cut;          /* the file is shorter than it was made */
};

/* Calls fn for every segment below `path`: a segment file, a log, a data path. False when
 * something could not be read; `why` then has a line for each. */
typedef void segment_file_fn(void *ctx, struct segment_file *file);
NODISCARD bool segment_files_each(const char *path, segment_file_fn *fn, void *ctx,
                                  struct buf *why);

/* Feeds the whole segment. False when header and footer are gone: then nothing can be judged. */
NODISCARD bool segment_file_scan(struct segment_file *file, void *ctx,
                                 void (*on_entry)(void *ctx, const struct scan_entry *entry));
