/*
 * recover_private - what the parts of recovery share.
 *
 *   recover.c         reads segments, twice, and feeds rows
 *   recover_gather.c  what the rows say, and the judgement over it
 *   recover_report.c  the survivors, to whoever opened the spool
 */
#pragma once

#include "spool/log.h"
#include "spool/recover.h"
#include "spool/row.h"

enum recovery_pass { RECOVERY_GATHER = 0, RECOVERY_JUDGE, RECOVERY_REPORT };

/* A record as the rows tell of it. */
struct gathered {
    uint64_t id;
    uint64_t state; /* place; flags: GATHERED_* */
    uint64_t blob;
    uint64_t state_version; /* 0: none seen */
    uint64_t blob_version;
    uint32_t body; /* index in recovery.bodies */
    uint32_t slot; /* index + 1 in the log's slots, once it is judged alive */
};
#define GATHERED_PENDING 1u /* flag of state: real only with a manifest */
#define GATHERED_DAMAGED 2u /* flag of state: a piece is missing, to be reported */

struct gathered_body {
    uint64_t id;
    uint64_t loc; /* 0: not seen */
    uint64_t *chunks;
    uint32_t chunk_count; /* seen, at most */
    uint32_t chunks_due;  /* as the manifest says */
    uint32_t refs;
    uint32_t is_manifest;
};

struct gathered_settle {
    uint64_t id;
    uint64_t sequence; /* 0: withdrawn, or known to be logged, or reported */
};

/* A piece of a transaction that is not all there, or that is there but unsound. It depends on
 * whether its commit had completed: then it is damage, else the tear of a crash. */
struct suspect {
    struct row_head row;
    uint64_t body_id;
    uint64_t seq; /* of its commit, at most; UINT64_MAX: unknown */
    uint32_t segment;
    bool sound;
    uint8_t message_id[16]; /* of a record, as it stands there */
};

struct boot_durable {
    uint64_t boot;
    uint64_t seq;
};

struct recovery {
    struct spool_log *log;
    enum recovery_pass pass;

    struct table records; /* struct gathered */
    struct table bodies;  /* struct gathered_body */
    struct table settles; /* struct gathered_settle */
    struct suspect *suspects;
    uint32_t suspect_count, suspect_cap;
    uint32_t suspect_open; /* from here on: in no sound commit, the next one bounds them */
    struct boot_durable *durable;
    uint32_t durable_count;
    uint64_t mark;
    bool started;
    uint32_t judge_at;
    uint32_t judge_step;

    struct segment **segments;
    uint32_t segment_count;
    uint32_t at; /* the segment being read */
    enum {
        RECOVERY_IDLE = 0,
        RECOVERY_SYNC,
        RECOVERY_READ_HEAD,
        RECOVERY_READ_FOOT,
        RECOVERY_READ_INDEX,
        RECOVERY_ROWS,
        RECOVERY_READ_WINDOW,
        RECOVERY_READ_BLOCKS, /* a window with a bad block: one by one */
    } step;
    struct ring_op op;
    char *buffer;
    uint64_t cap, from, len;
    uint64_t block_at;
    struct segment_head head;
    bool head_sound, foot_sound;
    struct segment_foot foot;
    size_t row_at;
    struct scan scan;
    uint32_t budget;
    uint64_t found_count;
};

/* recover_gather.c */
void gather_open(struct recovery *rec);
void gather_row(struct recovery *rec, struct segment *seg, const struct row *row);
void gather_suspect(struct recovery *rec, struct segment *seg, const struct row *row,
                    const struct scan_entry *e);
/* A sound commit head: bounds what was found before it. */
void gather_commit(struct recovery *rec, uint64_t seq, uint64_t durable_seq, uint64_t mark);
void gather_segment_end(struct recovery *rec);
/* A slice of the judgement; true when it is over. */
bool gather_judge(struct recovery *rec);
void gather_close(struct recovery *rec);

/* recover_report.c */
void report_row(struct recovery *rec, struct segment *seg, const struct row *row);
/* At the end: settles of which only the fact is left. */
void report_lost_outcomes(struct recovery *rec);
/* Whether this segment must be scanned to report from it: outcomes are not in its index. */
bool report_needs_scan(const struct recovery *rec, const struct segment *seg);
