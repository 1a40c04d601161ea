/*
 * log - the inside of the spool: one log of segments, and what the logs of a shard share.
 *
 * Private to this folder. The public face is spool.h; this header only says what the parts see of
 * each other:
 *
 *   put, change, settle --> commit (staging, writing) --> segment_pool (the next segment)
 *   read                --> slots (where things are)  <-- commit, cleaner, recover
 */
#pragma once

#include "core/base/list.h"
#include "core/shard/shard.h"
#include "spool/format.h"
#include "spool/loc.h"
#include "spool/segment.h"
#include "spool/spool.h"
#include "spool/store.h"
#include "spool/table.h"

/* At once in flight per log. Deeper gains little on NVMe (measured: 4 commits of 64 KiB reach
 * three quarters of depth 8) and makes commits smaller. */
#define LOG_DEPTH 4u
/* While a commit is in flight the next one waits until it is this long: the room that a block's
 * last bytes waste stays below 1/32, and a commit holds a dozen messages. */
#define LOG_JOIN_BYTES (64u * 1024u)
#define LOG_LAZY_MS 20u /* settles and changes wait this long for company */
#define LOG_POLL_MS 5000u
#define LOG_RETRY_MS 1000u

/* ---- records in memory ---- */

enum slot_status {
    SLOT_LIVE = 0,
    SLOT_PENDING = 1,  /* its put has not been answered */
    SLOT_SETTLED = 2,  /* its log record is not known to be durable */
    SLOT_UNLOGGED = 3, /* the same, found at start: may be read */
};

/* A live record. The table's key is its id; ref.generation is the id's low half. */
struct slot {
    uint64_t id;
    uint64_t state; /* place of the newest snapshot; flags: enum slot_status */
    uint64_t blob;  /* place of the newest snapshot that carries a blob */
    uint64_t body;  /* place of the body, or SLOT_SHARED and an index into log->bodies */
};
_Static_assert(sizeof(struct slot) == 32, "with its share of the table's index: 40 bytes a record");
#define SLOT_SHARED 1u /* loc flag of slot.body */

/* A body with several records, or in chunks, or that outlived the record it is named after. */
struct shared_body {
    uint64_t id;
    uint64_t loc;     /* of the body or its manifest */
    uint64_t *chunks; /* places */
    uint32_t chunk_count;
    uint32_t refs;
};

struct unlogged {
    uint64_t sequence;
    uint32_t slot;
    uint32_t zero;
};

/* A settle for which no commit had room while the disk was away. */
struct owed_settle {
    uint64_t sequence;
    uint64_t id;
};

struct commit;
struct recovery;
struct cleaner;
struct drain;

/* ---- one log ---- */

struct spool_log {
    struct spool *sp;
    uint32_t number;
    const char *dir; /* the store's */
    uint32_t path;   /* index of its data path */
    bool primary;    /* takes new mail; the others are drained */

    struct table slots;
    struct table bodies;

    struct segment **segments; /* by index; NULL where free */
    uint32_t segment_cap, segments_in_use;
    uint32_t next_id;
    uint32_t state_counts[SEGMENT_STATE_COUNT];
    struct segment *open;
    struct segment *ready;
    bool make_blocked;      /* no new file until the retry timer */
    enum spool_err starved; /* why no file could be made, since one was made last */

    struct commit *stage;    /* being filled */
    struct dlist ready_list; /* closed, waiting to be written */
    struct dlist alive;      /* every commit, by ordinal */
    struct commit **commits; /* by index */
    uint32_t commit_cap, alive_count;
    uint32_t in_flight;
    bool flush_due; /* the lazy timer fired */
    bool stalled;   /* a commit failed twice: nothing is written until the retry timer ... */
    bool probe;     /* ... has fired: then one commit */
    uint64_t next_ordinal;
    uint64_t last_seq;
    uint64_t durable_seq;

    uint64_t mark;             /* logged mark to be written with the next commit */
    struct unlogged *unlogged; /* ring of settles whose log record is not durable, by sequence */
    uint32_t unlogged_cap, unlogged_first, unlogged_count;
    uint64_t unlogged_found; /* reported by recovery, not yet done */

    struct owed_settle *owed; /* by sequence; those before owed_first are staged */
    uint32_t owed_cap, owed_first, owed_count;

    struct recovery *recovery; /* NULL when over */
    struct cleaner *cleaner;   /* NULL when idle */
    uint64_t live_bytes;       /* of all segments */
    uint64_t clean_not_before_ms;
    uint64_t dead_checked_ms;
    uint32_t dead_waiting; /* segments that wait for commits to complete, at the last look */
    bool unstable;         /* a segment of an earlier life could not be synced: keep them all */
    bool dead_hint;        /* some segment may have become free of live records */
    bool clean_hint;       /* something was released since the cleaner last found nothing to do */
};

struct put_queue {
    struct spool_put *head, *tail;
};

/* Answers that must not be given inside the call that caused them. */
struct answers {
    struct put_queue puts;
    struct spool_void *voids;
    struct spool_change *changes;
    struct spool_read *reads;
};

struct memory_op {
    struct ring_op *op;
    int32_t res;
};

/* ---- the logs of a shard ---- */

struct spool {
    struct shard *shard;
    struct spool_store *store;
    struct spool_events events;
    struct spool_log *logs;
    uint32_t log_count;
    uint16_t *log_by_number; /* index + 1 */
    uint32_t log_number_end;

    uint64_t stamp;       /* last given out: ids, versions, settle sequences */
    uint64_t first_stamp; /* above those of all earlier lives, not given out */
    uint64_t seq;         /* last commit sequence given out */
    uint64_t mark;        /* spool_mark_logged() */

    struct post pump;
    struct timer lazy, poll, retry;
    struct answers answers;
    struct put_queue waiting; /* for staging room */
    uint64_t staging_bytes;
    char *spare[2 * LOG_DEPTH]; /* staging buffers of limits.commit_cap */
    uint32_t spare_count;
    struct dlist reads;         /* struct read_job, in flight */
    struct dlist reads_waiting; /* for a share of READ_BYTES_MAX */
    uint64_t read_bytes;
    char *zeros; /* what FILLING writes */

    struct memory_op *memory_ops;
    uint32_t memory_cap, memory_count;

    bool behind;    /* spool_behind() */
    bool space_low; /* a path is below its limit */
    enum spool_err accepting;
    struct health_check *check; /* health.c */

    bool draining;
    bool closing;
    void (*drained)(void *ctx);
    void *drained_ctx;

    uint32_t larges_open; /* long puts under way */

    uint32_t recovering_count;
    uint64_t recovered_count;
    struct spool_counters counters;
};

/* ---- log.c ---- */

void log_open(struct spool *sp, struct spool_log *log, const struct store_log *from);
void log_close(struct spool_log *log);
void log_adopt_segment(struct spool_log *log, struct segment *seg); /* gives it an index */
/* Runs pumps soon. */
void spool_kick(struct spool *sp);
/* A new id, version or sequence; its low half is never 0. */
uint64_t spool_stamp(struct spool *sp);
/* NULL when the ref names nothing live. */
struct slot *spool_slot(const struct spool *sp, struct spool_ref ref, struct spool_log **log_out,
                        uint32_t *index_out);
struct spool_ref log_ref(const struct spool_log *log, uint32_t slot_index);
/* The settles up to the mark give their records back. */
void log_mark(struct spool_log *log);
void spool_damaged(struct spool *sp, const uint8_t id[16], struct segment *seg, const char *what);
/* Settles that were owed are staged as far as there is room. */
void log_stage_owed(struct spool_log *log);
/* SPOOL_OK, or why this log takes no new mail now. */
PURE enum spool_err log_takes_puts(const struct spool_log *log);
/* Acceptance is judged anew; events->health() hears of a change. */
void spool_health(struct spool *sp);
/* What failed is tried again in a while. */
void spool_retry_later(struct spool *sp);
/* The pump runs again in LOG_LAZY_MS at the latest. */
void spool_wake_later(struct spool *sp);
/* What was staged may wait for company, but not for long. */
void spool_lazy(struct spool *sp);
/* Completes `op` from the next turn, for durability = memory. */
void spool_memory_op(struct spool *sp, struct ring_op *op, int32_t res);

/* ---- slots.c: where the pieces of records are ---- */

static inline enum slot_status slot_status(const struct slot *slot)
{
    return (enum slot_status)loc_flags(slot->state);
}
void slot_set_status(struct slot *slot, enum slot_status status);
void slot_set_state(struct spool_log *log, struct slot *slot, uint64_t loc);
void slot_set_blob(struct spool_log *log, struct slot *slot, uint64_t loc);
/* One holder less of what slot.body names. */
void body_release(struct spool_log *log, uint64_t body);
/* Gives the pieces back and forgets the record. */
void slot_free(struct spool_log *log, uint32_t index);
PURE uint64_t slot_body_id(const struct spool_log *log, const struct slot *slot);
/* Where the place of a body (or manifest) is kept; NULL when nothing needs the body. */
uint64_t *body_place(struct spool_log *log, uint64_t body_id);
uint64_t *chunk_place(struct spool_log *log, uint64_t body_id, uint32_t chunk);
/* A place began or ceased to be needed; commits' provisional places do not count. */
void place_hold(struct spool_log *log, uint64_t loc);
void place_release(struct spool_log *log, uint64_t loc);
