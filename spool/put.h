/*
 * put - new transactions: staged as one atomic group, or, when long, as chunks and a manifest.
 */
#pragma once

#include "spool/commit.h"

/* What a snapshot of a record consists of, besides its blob. */
struct record_entry {
    uint64_t id;
    uint64_t version;
    uint64_t body_id;
    const struct spool_meta *meta;
    struct slice blob;
    uint8_t flags; /* ENTRY_*; the blob is written exactly with ENTRY_BLOB */
};

/* The room it takes in a commit and in the index. */
PURE uint64_t record_entry_size(const struct spool_meta *meta, struct slice blob);
PURE uint64_t record_row_size(const struct spool_meta *meta);
/* Stages it where commit_room() made room; answers its place. */
uint64_t record_stage(struct commit *c, const struct record_entry *r);

/* Puts that waited for staging room. */
void put_resume(struct spool *sp);
/* At close: those that wait are answered with SPOOL_E_CLOSING. */
void put_close(struct spool *sp);
/* The commit of an atomic put is over. */
void put_finish(struct spool_log *log, struct spool_put *put, enum spool_err err);
/* It was never written: forget it, and answer `err` from the next turn. */
void put_refuse(struct spool_log *log, struct spool_put *put, enum spool_err err);
void put_answer_later(struct spool *sp, struct spool_put *put, enum spool_err err);
void put_queue_push(struct put_queue *q, struct spool_put *put);

/* put_large.c */
void large_begin(struct spool_log *log, struct spool_put *put);
