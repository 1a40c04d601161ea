/*
 * commit - the unit of writing: entries are staged into an aligned buffer, which goes to the open
 * segment as one durable write. Several are in flight; each answers whoever waits for it.
 *
 * Staging copies a body once, into the buffer. Places and checksums are filled in when the commit
 * gets its place in a segment, so a commit whose write failed can be written again elsewhere:
 * the first failure costs a new segment and no answer. The second fails those who wait, turns
 * their transactions into withdrawals, and leaves the rest for when the disk is back.
 *
 * Owner     its log.
 * Memory    one buffer of limits.commit_cap bytes, or longer for one long entry; counted in
 *           spool.staging_bytes.
 */
#pragma once

#include "spool/log.h"

/* Someone who waits for a commit besides puts and changes; allocated by its owner. */
struct commit_wait {
    struct commit_wait *next;
    bool for_put; /* turned away when puts are */
    void (*done)(struct commit_wait *w, enum spool_err err);
};

struct commit {
    struct dlist link;  /* ready_list; unlinked while staged or in flight */
    struct dlist alive; /* log->alive */
    struct spool_log *log;
    uint64_t ordinal;
    uint32_t index; /* names it in places: LOC_COMMIT_BASE + index */
    uint32_t failures;
    char *bytes;
    uint32_t cap, len;
    uint32_t entry_count;
    uint64_t row_bytes; /* that its entries add to the segment's index, at most */
    bool urgent;        /* someone's answer depends on it */
    bool written;       /* a write was submitted at least once */

    struct put_queue puts;
    struct spool_change *changes, **changes_tail;
    struct commit_wait *waits, **waits_tail;

    struct segment *segment;
    uint64_t offset;
    uint64_t seq; /* 0 until first launched */
    uint32_t done_bytes;
    struct ring_op op;
};

/* The commit that has room for `bytes` more of entries (entry_size() each) and their rows. */
struct commit *commit_room(struct spool_log *log, uint64_t bytes, uint64_t row_bytes);
/* What can be put off has to be: the disk is away, and this would begin one commit too many. Puts
 * are bounded by staging_bytes_max and refused while it is away. */
PURE bool commit_backlogged(const struct spool_log *log, uint64_t bytes, uint64_t row_bytes);

/* Appends an entry: kind, flags, len, count, stamp and version of `head` are taken. Answers where
 * its payload goes; *loc_out is its place for now. */
char *commit_entry(struct commit *c, const struct entry_head *head, uint64_t *loc_out);
void commit_wait_add(struct commit *c, struct commit_wait *w);

/* Starts what may start. Cheap when there is nothing to do. */
void commit_pump(struct spool_log *log);
/* There is no segment to be had: puts that were never written are answered with `err`, those whose
 * first write failed with SPOOL_E_UNSURE. */
void commit_refuse_puts(struct spool_log *log, enum spool_err err);
/* Whoever waits for a disk that refuses is told so, as it may take hours: puts are refused; what
 * else is staged stays, and is written when the disk takes it. */
void commit_turn_away(struct spool_log *log, enum spool_err err);
/* It holds puts that can still be turned away. */
PURE bool commit_has_puts(const struct commit *c);
/* Every commit up to this ordinal has completed. */
PURE uint64_t commit_completed(const struct spool_log *log);
/* The bytes of a place that is still in a commit. */
const struct entry_head *commit_at(const struct spool_log *log, uint64_t loc);
/* At close, nothing in flight: whoever still waits hears that it is unsure. */
void commit_close_all(struct spool_log *log);
void commit_free_all(struct spool_log *log);
