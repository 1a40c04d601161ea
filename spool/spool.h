/*
 * spool - accepted messages on stable storage: logs of segments, group commit, recovery.
 *
 * The spool knows records, not mail. A transaction is one body and the records that refer to it;
 * it is durable as a whole or not at all. A record is named by a spool_ref; only the shard whose
 * log holds it knows where its bytes are, reads them, changes their state and settles them.
 * The byte layout and the reasons for it are in docs/formats/segment.md.
 *
 * Owner     struct spool_store: the main thread, before and after the shards run. struct spool:
 *           one shard; every call on that shard.
 * Memory    a resident record costs its slot (<= 48 bytes); staging is bounded by params.
 * Blocking  spool_store_open() only. Everything else answers through the op it was given.
 * Limits    SPOOL_BODY_MAX bytes a body, SPOOL_RECORD_MAX a record, SPOOL_TXN_RECORDS_MAX records,
 *           SPOOL_OUTCOME_MAX an outcome. With segments below 64 MiB an entry (a record, an
 * outcome) is at most a fifth of a segment. Errors    spool_err.def says what the caller does about
 * each.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/free_space.h"
#include "core/base/slice.h"
#include "spool/spool_err.h"

struct shard;
struct spool;
struct spool_store;

#define SPOOL_BODY_MAX (1024u * 1024u * 1024u)
#define SPOOL_RECORD_MAX (4u * 1024u * 1024u)
#define SPOOL_TXN_RECORDS_MAX 65536u
#define SPOOL_ATOMIC_MAX (256u * 1024u) /* a larger transaction goes out in chunks */
#define SPOOL_OUTCOME_MAX (1024u * 1024u)

/* A plain value, without the padding that would make every waiting message longer. All zero names
 * nothing. */
struct __attribute__((packed, aligned(2))) spool_ref {
    uint32_t slot;
    uint32_t generation; /* never 0 for a live record */
    uint16_t log;
};

enum spool_durability { SPOOL_FSYNC_GROUP = 0, SPOOL_OS_CACHE, SPOOL_MEMORY };

/* Another file system that must have room for new mail to come in. */
struct spool_guard {
    struct slice path; /* copied */
    struct free_space space, inodes;
};

struct spool_params {
    struct slice *data_paths; /* one log directory tree per entry */
    uint32_t data_path_count;
    struct slice meta_path; /* lock, format version, boot count, marks; may equal a data path */
    enum spool_durability durability;
    uint32_t shard_count;
    uint64_t segment_size;      /* 0: 64 MiB */
    uint32_t reserve_segments;  /* 0: default; for settles, state and the cleaner */
    uint64_t staging_bytes_max; /* per shard; 0: default */
    uint32_t backlog_commits_max; /* per log, full of what the disk did not take; 0: default */
    const struct spool_guard *guards;
    uint32_t guard_count;
    uint64_t min_free_bytes; /* of each data path: refuse new mail below; 0: none */
    uint8_t min_free_percent;
    uint64_t min_free_inodes;
    uint8_t min_free_inodes_percent;
};

/* What a segment's index remembers of a record, enough to schedule it without reading it. */
struct spool_meta {
    uint8_t id[16];      /* the message id */
    struct slice queue;  /* scheduled queue name; borrowed */
    uint64_t due_ms;     /* wall clock; 0 = at once */
    uint64_t created_ms; /* wall clock */
    uint32_t size;       /* bytes of the message, for reports */
    uint16_t attempts;
};

/* ---- life ---- */

struct ring;

/* Takes the lock, checks the format version, counts the boot, finds the logs. Blocking, through
 * `ring`. On failure `why` names the path, the error and, for a taken lock, the owner's pid. */
NODISCARD enum spool_err spool_store_open(struct ring *ring, const struct spool_params *params,
                                          struct spool_store **out, struct buf *why);
void spool_store_close(struct spool_store **storep);
uint32_t spool_store_boot_count(const struct spool_store *store);
/* "fsync-group, O_DIRECT, 2 paths" - for the banner. */
void spool_store_describe(const struct spool_store *store, struct buf *out);

struct spool_found {
    struct spool_ref ref;
    struct spool_meta meta;
};
/* A settle that came after the log's durable mark: its log record is to be written again. */
struct spool_unlogged {
    struct spool_ref ref; /* readable until spool_unlogged_done(); generation 0: no longer */
    uint64_t sequence;    /* as spool_settle() answered */
    struct slice outcome; /* as given to spool_settle(); borrowed; empty when it was damaged */
};
struct spool_events {
    void *ctx;
    /* One call per live record found on disk; serving may already have begun. */
    void (*found)(void *ctx, const struct spool_found *found);
    void (*unlogged)(void *ctx, const struct spool_unlogged *unlogged);
    /* Everything on disk has been reported. */
    void (*recovered)(void *ctx, uint64_t record_count);
    /* A damaged record: reported by id (all zero when even that is unreadable) and kept aside. */
    void (*damaged)(void *ctx, const uint8_t id[16], struct slice what);
    /* Accepting stops (why = what the operator should know) or resumes (why.len = 0). */
    void (*health)(void *ctx, struct slice why);
};

/* Starts recovery of the shard's logs in the background; puts are legal at once. */
NODISCARD enum spool_err spool_open(struct spool_store *store, struct shard *shard,
                                    const struct spool_events *events, struct spool **out);
/* Writes what is staged, seals, writes indexes; done() when nothing is in flight any more (or the
 * disk refuses to take more). New puts are refused from now on; settles still go through, and
 * spool_drain() may be called again to wait for them. */
void spool_drain(struct spool *sp, void (*done)(void *ctx), void *ctx);
/* After a drain, with no operation of a caller open. Writes the logged mark down (blocking, a few
 * bytes a log), so that what was logged after the drain is not logged again at the next start. */
void spool_close(struct spool **spp);

/* Whether new mail may come in: SPOOL_OK, SPOOL_E_FULL (disk below its limit) or SPOOL_E_IO. */
PURE enum spool_err spool_accepting(const struct spool *sp);

/* So much waits for the disk that nothing should be begun which ends in a settle or a change: both
 * are taken, but are kept in memory until the disk is well. It is so no more by itself. */
PURE bool spool_behind(const struct spool *sp);

/* ---- put: one transaction ---- */

struct spool_put_record {
    struct spool_meta meta;
    struct slice blob;    /* envelope, metadata, edits; opaque here */
    struct spool_ref ref; /* out */
};

/* Owned by the caller until done() runs; body and blobs too. Answered exactly once, never from
 * inside spool_put(). SPOOL_OK means durable under the store's mode. */
struct spool_put {
    struct slice body;
    uint32_t body_flags; /* kept with the body, given back by reads; the caller's meaning */
    struct spool_put_record *records;
    uint32_t record_count;
    void (*done)(struct spool_put *put, enum spool_err err);
    struct spool_put *next; /* the spool's */
    uint64_t token;         /* the spool's */
    uint32_t phase;         /* the spool's */
};
void spool_put(struct spool *sp, struct spool_put *put);

/* Withdraws every record of a put that completed with SPOOL_OK, durably, before done() runs.
 * On an error the caller must not answer its peer at all. The refs name nothing any more as soon
 * as the call returns. */
struct spool_void {
    const struct spool_ref *refs;
    uint32_t ref_count;
    void (*done)(struct spool_void *v, enum spool_err err);
    struct spool_void *next; /* the spool's */
    uint32_t phase;          /* the spool's */
    uint32_t pending;        /* the spool's */
};
void spool_withdraw(struct spool *sp, struct spool_void *v);

/* ---- changes ---- */

/* A new whole snapshot of a record's state: meta and blob replace the earlier ones. meta and blob
 * are copied; the op stays untouched until done(); the ref stays the same. Nothing waits for a
 * change, so it may take a few tens of milliseconds to share a commit. One without a blob may be
 * answered with SPOOL_E_IO and forgotten when the disk has been away for too long. */
struct spool_change {
    struct spool_ref ref;
    struct spool_meta meta;
    struct slice blob; /* empty: the blob stays what it was */
    void (*done)(struct spool_change *c, enum spool_err err);
    struct spool_change *next; /* the spool's */
    uint32_t phase;            /* the spool's */
};
void spool_change(struct spool *sp, struct spool_change *c);

/* The final state. Takes effect at once for every other call; written with the next commit, and
 * remembered for the log until spool_mark_logged() passes it. `outcome` is copied; it is left out
 * when the disk has been away for too long. Answers the settle's sequence number, 0 when the ref
 * names nothing. */
uint64_t spool_settle(struct spool *sp, struct spool_ref ref, struct slice outcome);
/* Log records of every settle up to `sequence` are on stable storage. Until then the space of
 * those records is not given back. */
void spool_mark_logged(struct spool *sp, uint64_t sequence);
/* The log record of a settle reported through events->unlogged is on stable storage. Exactly
 * once for each; `ref` as it was reported. */
void spool_unlogged_done(struct spool *sp, struct spool_ref ref);

/* ---- reads ---- */

enum spool_read_what { SPOOL_READ_BLOB = 1, SPOOL_READ_BODY = 2, SPOOL_READ_BOTH = 3 };

/* The caller owns the op until done(), and afterwards the buffers it then holds (buf_free). */
struct spool_read {
    struct spool_ref ref;
    enum spool_read_what what;
    const uint8_t *id; /* the message's, to report damage by; copied at once; may be NULL */
    struct buf blob;
    struct buf body;
    uint32_t body_flags;
    void (*done)(struct spool_read *r, enum spool_err err);
    struct spool_read *next; /* the spool's */
    uint32_t phase;          /* the spool's */
};
void spool_read(struct spool *sp, struct spool_read *r);

/* ---- inspection ---- */

struct spool_counters {
    uint64_t put_count, put_record_count, settle_count, change_count, read_count;
    uint64_t commit_count, bytes_accepted, bytes_written;
    uint64_t bytes_filled; /* zeros, once for each new segment; not in bytes_written */
    uint64_t cleaned_segment_count, cleaned_bytes;
    uint64_t live_record_count, segment_count, free_segment_count, damaged_count;
    uint64_t io_error_count;
};
void spool_counters(const struct spool *sp, struct spool_counters *out);
