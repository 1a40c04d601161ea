/*
 * log_private - what log.c, log_stream.c and log_file.c share.
 *
 * A stream is one (directory, suffix) of one logger. Its records go through chunks:
 *
 *     fill --> waiting --> compressed, written --> unsynced --> durable, freed
 *
 * one chunk at a time, so order needs no care. A chunk keeps its records until they are durable:
 * when a file fails, they go into the next file.
 */
#pragma once

#include "core/base/hmap.h"
#include "core/log/log.h"
#include "core/log/log_zstd.h"
#include "core/shard/ring.h"
#include "core/shard/shard.h"
#include "core/shard/timer.h"

#define LOG_CHUNK_SIZE 65536u
#define LOG_UNSYNCED_MAX (4u << 20) /* bytes; a flush comes early when there are more */
#define LOG_RETRY_MS 1000u
#define LOG_FILE_TRIES 3u /* failures of one file before it is given up */
#define LOG_HELD_BYTES_DEFAULT (UINT64_C(256) << 20)

struct log_chunk {
    struct log_chunk *next;
    struct buf raw;
    uint32_t record_count;
    uint64_t number;       /* in the order of sealing, over the whole log */
    uint64_t sequence_min; /* of its records; UINT64_MAX: none has one */
    struct slice segment_header; /* of the segment it belongs to */
    enum log_zstd_end end; /* FLUSH and END also sync */
};

struct log_chunks {
    struct log_chunk *head, *tail;
};

/* What the one operation of a stream is about. */
enum log_phase {
#define LOG_PHASE(name, text) LOG_PHASE_##name,
#include "core/log/log_phases.def"
#undef LOG_PHASE
    LOG_PHASE_COUNT
};

struct log_stream {
    struct log_stream *next; /* of the logger */
    struct log_logger *logger;
    struct slice dir, suffix; /* the parameters' */

    /* what comes in */
    struct log_chunk *fill; /* NULL: nothing */
    bool in_segment;        /* a segment was begun and not ended */
    bool needs_flush;       /* chunks were sealed since the last flush */
    uint64_t segment_bytes, unflushed_bytes;
    struct slice segment_header;
    struct timer flush_timer, rotate_timer;

    /* what goes out */
    struct log_chunks waiting, unsynced;
    uint64_t waiting_count; /* records in fill and waiting */
    enum log_phase phase;
    struct ring_op op;
    struct log_zstd_job job;
    bool is_packed;         /* the first waiting chunk is in job.packed ... */
    size_t packed_done;     /* ... of which so much is written */
    int fd, dir_fd;         /* -1: none */
    bool in_frame;          /* the open file's frame was begun */
    uint64_t offset;        /* of the open file, up to the chunks that are written */
    struct buf path;        /* with a NUL */
    unsigned file_failures; /* in a row */
    bool refused;           /* the last try failed; said once */
    struct timer retry_timer;
};

struct log_route {
    struct log_stream *stream; /* NULL: not wanted */
    const struct log_per_record *entry;
};

struct log_logger {
    struct log_logger *next;
    struct log *log;
    const struct log_params *params;
    uint64_t max_file_size;
    uint32_t flush_interval_ms;
    uint32_t back_pressure; /* of this shard */
    uint64_t waiting_count;
    uint64_t full_count;
    struct log_stream *streams;
    struct log_route routes[LOG_TYPE_COUNT];
};

struct log {
    struct shard *shard;
    struct log_options options;
    struct record_writer writer;
    struct log_logger *loggers;
    struct dlist sinks;
    struct dlist syncs;
    struct log_counters counters;
    uint64_t next_chunk_number;
    uint64_t sequence_max;      /* the highest submitted */
    uint64_t sequence_lost_min; /* UINT64_MAX: none lost */
    uint64_t sequence_durable;  /* the last reported */
    struct post report_post;
    bool draining;
    unsigned drain_failures;
    void (*drained)(void *ctx);
    void *drained_ctx;
};

/* ---- log.c ---- */

/* Something became durable, or the log idle: tells whoever waits for that, from the loop. */
void log_report(struct log *log);
/* Records that reach no disk in this life; sequence_min UINT64_MAX: none of them has one. */
void log_lose(struct log *log, uint64_t record_count, uint64_t sequence_min);

/* ---- log_stream.c ---- */

struct log_stream *log_stream_new(struct log_logger *logger, struct slice dir, struct slice suffix);
void log_stream_free(struct log_stream **sp);
/* The chunk to write one record into; ended by log_stream_filled(). */
struct log_chunk *log_stream_fill(struct log_stream *s, struct slice segment_header);
void log_stream_filled(struct log_stream *s, size_t record_bytes, uint64_t sequence);
/* Closes the chunk that is being filled. */
void log_stream_seal(struct log_stream *s, enum log_zstd_end end);
/* Gives up what is not durable yet. No operation is in flight. */
void log_stream_lose(struct log_stream *s);
/* Nothing waits, nothing is under way, no file is open. */
bool log_stream_idle(const struct log_stream *s);
/* The lowest sequence and chunk number that is not durable yet; UINT64_MAX: none. */
uint64_t log_stream_sequence_min(const struct log_stream *s);
uint64_t log_stream_number_min(const struct log_stream *s);

/* ---- log_file.c ---- */

/* Opens the stream's next file; a negative errno when that fails. */
int log_file_open(struct log_stream *s);
/* Declares the open file complete: no write permission. */
void log_file_finish(struct log_stream *s);
/* The directory's descriptor too; neither needs to be open. */
void log_file_close(struct log_stream *s);
