/*
 * segment - one file of a log: its life, what of it is still needed, and what it may hold.
 *
 * Owner     its log. The file's descriptor and the buffers of its operations are its own.
 * Blocking  never; each operation reports through the pool (segment_pool.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/shard/ring.h"
#include "spool/format.h"

struct spool_log;

enum segment_state {
#define SEGMENT_STATE(name, text) SEGMENT_##name,
#include "spool/segment_states.def"
#undef SEGMENT_STATE
    SEGMENT_STATE_COUNT
};

/* Record ids that were written here again (changes and the cleaner's copies), as a Bloom filter:
 * it may say yes wrongly, which keeps a settle too long, and never no. */
#define SEGMENT_MOVED_BITS 65536u

struct segment {
    struct spool_log *log;
    struct segment_ident ident;
    uint32_t index; /* in the log's table; names the segment in places */
    enum segment_state state;
    int fd;
    char *memory; /* durability = memory: the bytes themselves */
    bool filled;  /* every block was written at least once */
    bool torn;    /* was never sealed: what is unsound in it may have been acknowledged to nobody */
    bool pinned;  /* holds something damaged: kept for people to look at */
    bool garbage; /* it lost something since it was begun: copying the rest gains room */
    bool dropped; /* recycling this one means unlinking it */

    /* What of it is needed. */
    uint64_t live_bytes;
    uint32_t live_count;
    uint32_t readers;
    uint64_t barrier; /* may go once every commit up to this ordinal has completed */

    /* What it may hold, for the settles that must outlive it. */
    uint64_t first_id, last_id;
    uint64_t settled_first, settled_last;
    uint64_t settle_seq_last;
    uint64_t *moved;

    /* While it takes commits. */
    uint64_t cursor;
    uint64_t rows_bound; /* of all commits placed here */
    uint32_t writes;     /* commits in flight */
    struct buf rows;     /* of the commits that completed */

    /* The one operation besides commits and reads. */
    struct ring_op op;
    char *block;
    uint64_t op_at, op_len, op_from;
    uint64_t seal_after; /* the index is written once commits up to this ordinal have completed */
    struct file_work *work; /* with a worker; the pool's */
};

struct segment *segment_new(struct spool_log *log, uint32_t id);
void segment_free(struct segment **segp); /* closes the file, leaves the log's table */
/* The only writer of seg->state. */
void segment_enter(struct segment *seg, enum segment_state next);
const char *segment_state_name(enum segment_state state);

/* Appends the path of segment `id`. */
void segment_path(const struct spool_log *log, uint32_t id, struct buf *out);

/* Whether its content counts: it is, or may be read as, part of the log. */
PURE bool segment_has_content(const struct segment *seg);
/* Notes that an entry of this kind and record may be found here. */
void segment_note(struct segment *seg, const struct entry_head *head);
void segment_note_settled(struct segment *seg, uint64_t record_id);
/* Whether a snapshot of the record may be found here. */
PURE bool segment_may_hold(const struct segment *seg, uint64_t record_id);
/* Forgets the content: a new life begins. */
void segment_forget(struct segment *seg);

/* One read or write of the segment's bytes; op->done must be set. */
void segment_write(struct segment *seg, struct ring_op *op, const void *bytes, size_t len,
                   uint64_t offset, bool durable);
void segment_read(struct segment *seg, struct ring_op *op, void *to, size_t len, uint64_t offset);
