/*
 * scan - finds every sound entry of a segment, whatever happened to the bytes around it.
 *
 * Pure: windows of the segment's bytes go in, entries come out through a callback. Recovery, the
 * cleaner, the offline tool and the fuzzer read segments with this and nothing else.
 *
 * Resynchronising: behind a sound commit comes the next block; where no sound commit begins,
 * every 16 bytes may begin an entry, whose head sum (seeded by nonce and place) decides.
 */
#pragma once

#include "spool/format.h"

struct scan_entry {
    struct entry_head head;
    uint64_t offset;      /* in the segment */
    struct slice payload; /* into the window */
    /* The commit's sequence; 0 when its head is unreadable: then the entry belongs to a commit
     * before the next one that on_commit reports. */
    uint64_t seq;
    bool sound; /* the payload is what was written */
    bool whole; /* every entry of its transaction is there and sound */
};

struct scan {
    struct segment_ident ident;
    void *ctx;
    void (*on_commit)(void *ctx, const struct commit_head *head, uint64_t offset);
    void (*on_entry)(void *ctx, const struct scan_entry *entry);
    uint64_t at;     /* the next window must begin here or earlier, at a block ... */
    uint64_t need;   /* ... and reach this far, or to the end of the segment */
    uint64_t cursor; /* where exactly it goes on, in that block */
    uint64_t end;    /* of what may be read: the segment's size, or less for a cut file */
    uint64_t commit_count, entry_count, unsound_count;
    uint64_t orphan_count; /* entries found outside any sound commit */
    uint64_t gap_count;    /* places in sound commits where an entry's head is unreadable */
};

void scan_begin(struct scan *s, const struct segment_ident *ident);
/* Feeds bytes [offset, offset + len). True when the segment is finished; otherwise s->at and
 * s->need say what to bring next. */
NODISCARD bool scan_window(struct scan *s, const void *bytes, uint64_t offset, uint64_t len);
