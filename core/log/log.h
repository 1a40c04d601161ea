/*
 * log - where log records go: compressed segment files, and sinks that register.
 *
 * Each shard has one struct log. Any number of loggers (configure_local_logs) write every record
 * that they want into segments of their own; a segment is one zstd frame in one file that no
 * other shard or logger writes. Records are gathered in memory, compressed off the loop, written
 * in order, and made durable every flush interval, so that a crash loses a bounded time of
 * records; what was settled in the spool is then written again, since the log says durable() only
 * for what is on stable storage. A finished segment has no write permission: that is how readers
 * know that it is complete.
 *
 * Owner     one shard; every call on it, but for log_params_check() and log_prepare(), which the
 *           main thread makes before the shards run. Parameters are borrowed and outlive the log.
 * Memory    per stream one compressor (about a megabyte) and what is not durable yet, bounded by
 *           held_bytes_max: beyond it records are lost, loudly, and those with a settle sequence
 *           are written again at the next start.
 * Blocking  opening and finishing a segment make a few immediate file calls; nothing else.
 * Errors    a disk that refuses is retried every second, a file that fails is given up and its
 *           records go into the next one. Diagnostics have the area "log".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/diag.h"
#include "core/base/list.h"
#include "core/base/slice.h"
#include "core/log/record.h"

struct log;
struct ring;
struct shard;

#define LOG_MAX_FILE_SIZE_DEFAULT UINT64_C(1000000000)
#define LOG_BACK_PRESSURE_DEFAULT 128000u
#define LOG_FLUSH_INTERVAL_MS_DEFAULT 1000u

/* One entry of per_record. */
struct log_per_record {
    bool is_set;
    bool disabled;               /* enable = false */
    struct slice suffix;         /* of the file name */
    struct slice log_dir;        /* empty: the logger's */
    struct slice segment_header; /* raw text at the start of a segment that such a record opens */
    struct slice template;       /* not supported yet; log_params_check() says so */
};

struct log_params {
    struct slice log_dir;
    uint64_t max_file_size;           /* uncompressed; 0: default */
    uint64_t max_segment_duration_ms; /* 0: none */
    int compression_level;            /* 0: what suits log records */
    uint32_t back_pressure;           /* records that may wait, all shards together; 0: default */
    uint32_t flush_interval_ms;       /* 0: default */
    struct log_capture capture;
    struct slice filter_event;        /* not supported yet; log_params_check() says so */
    struct log_per_record per_record[LOG_TYPE_COUNT];
    struct log_per_record any;        /* for types without an entry */
};

/* Whether this configuration can be carried out; `why` gets the reason when not. */
NODISCARD bool log_params_check(const struct log_params *p, struct buf *why);
/* Makes the directory and takes the write permission of files that an earlier life left there,
 * in all directories the parameters name. */
NODISCARD bool log_prepare(struct ring *ring, const struct log_params *p, struct buf *why);

struct log_options {
    struct diag *diag;        /* may be NULL */
    struct slice node_id;     /* dashed, lower case; borrowed */
    uint64_t held_bytes_max;  /* of this shard; 0: 256 MiB */
    void *ctx;
    /* Every settle with a sequence number up to this one has its records on stable storage, as
     * far as they were submitted. Called from the loop. May be NULL. */
    void (*durable)(void *ctx, uint64_t sequence);
};

struct log *log_new(struct shard *shard, const struct log_options *options);
/* Finished by log_drain() before, or what it holds is lost, loudly. Clears *lp. */
void log_free(struct log **lp);
/* Adds a logger. The parameters have passed log_params_check(). */
void log_add_logger(struct log *log, const struct log_params *p);

/* ---- sinks: others that want records ---- */

struct log_sink {
    struct dlist link;
    bool wants_headers;
    /* Runs inside log_submit(): copies what it needs, and posts what is more than that. */
    void (*write)(struct log_sink *sink, const struct log_record *r);
};
void log_add_sink(struct log *log, struct log_sink *sink);
void log_remove_sink(struct log *log, struct log_sink *sink); /* does nothing when not added */

/* ---- use ---- */

/* Hands a record to every logger and sink. Sequences are submitted in the order spool_settle()
 * gave them out, in the turn they were given out; a settle that is not to be logged needs none. */
void log_submit(struct log *log, const struct log_record *r);
/* Some logger or sink captures headers: load the body before a record about it is submitted. */
PURE bool log_wants_headers(const struct log *log);
/* More records wait for the disk than a logger's back_pressure allows: take in less. */
PURE bool log_wants_pause(const struct log *log);

/* Whoever wants to know when all that was submitted before is durable; a field of its owner. */
struct log_sync {
    struct dlist link;
    uint64_t after; /* the log's */
    void (*done)(struct log_sync *sync);
};
/* done() runs from the loop, also when there was nothing to do. */
void log_sync(struct log *log, struct log_sync *sync);

/* Ends every open segment; the next record begins a new one. */
void log_rotate(struct log *log);
/* Finishes everything, then calls done() from the loop. Records submitted after this are lost.
 * A disk that refuses is tried LOG_DRAIN_TRIES times, a second apart, before its records are
 * given up. */
#define LOG_DRAIN_TRIES 5u
void log_drain(struct log *log, void (*done)(void *ctx), void *ctx);

/* ---- inspection ---- */

struct log_counters {
    uint64_t record_count;  /* written to memory, once for each logger that wants it */
    uint64_t full_count;    /* submitted while a logger was full: log_submit_full */
    uint64_t lost_count;
    uint64_t error_count;   /* refusals of the disk */
    uint64_t segment_count; /* files opened */
    uint64_t raw_bytes, written_bytes;
    uint64_t held_bytes;    /* not durable yet */
    uint64_t waiting_count; /* records not written yet */
};
void log_counters(const struct log *log, struct log_counters *out);
/* "dir-{log_dir}" and its full_count, for metrics; false when there is no such logger. */
NODISCARD bool log_logger_at(const struct log *log, uint32_t index, struct slice *log_dir,
                             uint64_t *full_count);
