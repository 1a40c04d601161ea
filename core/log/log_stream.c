/* The way of records from memory to stable storage; log_private.h has the picture. */
#include <errno.h>

#include "core/base/mem.h"
#include "core/log/log_private.h"

#define FILL_ROOM (LOG_CHUNK_SIZE + 8192u)

static void pump(struct log_stream *s);
static void op_done(struct ring_op *op, int32_t res, uint32_t flags);
static void flush_due(struct timer *t);
static void rotate_due(struct timer *t);
static void retry_due(struct timer *t);

/* ---- chunks ---- */

static void chunks_push(struct log_chunks *list, struct log_chunk *c)
{
    c->next = NULL;
    if (list->tail != NULL) {
        list->tail->next = c;
    } else {
        list->head = c;
    }
    list->tail = c;
}

static struct log_chunk *chunks_pop(struct log_chunks *list)
{
    struct log_chunk *c = list->head;

    if (c != NULL) {
        list->head = c->next;
        list->tail = list->head != NULL ? list->tail : NULL;
        c->next = NULL;
    }
    return c;
}

/* Puts all of `from` before what `to` holds. */
static void chunks_prepend(struct log_chunks *to, struct log_chunks *from)
{
    if (from->head != NULL) {
        from->tail->next = to->head;
        to->tail = to->tail != NULL ? to->tail : from->tail;
        to->head = from->head;
        *from = (struct log_chunks){0};
    }
}

static struct log_chunk *chunk_new(void)
{
    struct log_chunk *c = MEM_NEW(struct log_chunk);

    c->sequence_min = UINT64_MAX;
    return c;
}

static void chunk_free(struct log_stream *s, struct log_chunk *c)
{
    s->logger->log->counters.held_bytes -= c->raw.len;
    buf_free(&c->raw);
    mem_give(c);
}

static void count_waiting(struct log_stream *s, int64_t by)
{
    s->waiting_count += (uint64_t)by;
    s->logger->waiting_count += (uint64_t)by;
    s->logger->log->counters.waiting_count += (uint64_t)by;
}

/* ---- life ---- */

struct log_stream *log_stream_new(struct log_logger *logger, struct slice dir, struct slice suffix)
{
    struct log_stream *s = MEM_NEW(struct log_stream);

    s->logger = logger;
    s->dir = dir;
    s->suffix = suffix;
    s->fd = -1;
    s->dir_fd = -1;
    s->op.done = op_done;
    s->flush_timer.fn = flush_due;
    s->rotate_timer.fn = rotate_due;
    s->retry_timer.fn = retry_due;
    s->job.z = log_zstd_open(logger->params->compression_level);
    return s;
}

void log_stream_free(struct log_stream **sp)
{
    struct log_stream *s = *sp;

    *sp = NULL;
    MUST(!s->op.in_flight && s->fill == NULL && s->waiting.head == NULL);
    MUST(s->unsynced.head == NULL);
    timer_cancel(&s->logger->log->shard->timers, &s->flush_timer);
    timer_cancel(&s->logger->log->shard->timers, &s->rotate_timer);
    timer_cancel(&s->logger->log->shard->timers, &s->retry_timer);
    log_file_close(s);
    log_zstd_close(&s->job.z);
    buf_free(&s->job.packed);
    buf_free(&s->path);
    mem_give(s);
}

bool log_stream_idle(const struct log_stream *s)
{
    return s->phase == LOG_PHASE_IDLE && s->fill == NULL && s->waiting.head == NULL &&
           s->unsynced.head == NULL && s->fd < 0;
}

/* Chunks are in order, so the first that has a sequence has the lowest. */
uint64_t log_stream_sequence_min(const struct log_stream *s)
{
    const struct log_chunk *const lists[] = {s->unsynced.head, s->waiting.head, s->fill};

    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        for (const struct log_chunk *c = lists[i]; c != NULL; c = c->next) {
            if (c->sequence_min != UINT64_MAX) {
                return c->sequence_min;
            }
        }
    }
    return UINT64_MAX;
}

uint64_t log_stream_number_min(const struct log_stream *s)
{
    const struct log_chunk *c = s->unsynced.head != NULL ? s->unsynced.head : s->waiting.head;

    return c != NULL ? c->number : UINT64_MAX;
}

/* ---- what comes in ---- */

static void arm(struct log_stream *s, struct timer *t, uint64_t delay_ms)
{
    struct shard *shard = s->logger->log->shard;

    timer_arm(&shard->timers, t, shard_now_ms(shard) + delay_ms);
}

static void disarm(struct log_stream *s, struct timer *t)
{
    timer_cancel(&s->logger->log->shard->timers, t);
}

struct log_chunk *log_stream_fill(struct log_stream *s, struct slice segment_header)
{
    uint64_t duration_ms = s->logger->params->max_segment_duration_ms;

    if (!s->in_segment) {
        s->in_segment = true;
        s->segment_bytes = 0;
        s->segment_header = segment_header;
        if (duration_ms != 0) {
            arm(s, &s->rotate_timer, duration_ms);
        }
    }
    if (s->fill == NULL) {
        s->fill = chunk_new();
        s->fill->segment_header = s->segment_header;
        buf_reserve(&s->fill->raw, FILL_ROOM);
    }
    return s->fill;
}

void log_stream_filled(struct log_stream *s, size_t record_bytes, uint64_t sequence)
{
    struct log_counters *counters = &s->logger->log->counters;

    s->fill->record_count++;
    count_waiting(s, 1);
    if (sequence != 0 && sequence < s->fill->sequence_min) {
        s->fill->sequence_min = sequence;
    }
    counters->record_count++;
    counters->raw_bytes += record_bytes;
    counters->held_bytes += record_bytes;
    s->segment_bytes += record_bytes;
    s->unflushed_bytes += record_bytes;
    if (s->segment_bytes >= s->logger->max_file_size) {
        log_stream_seal(s, LOG_ZSTD_END);
        return;
    }
    /* A logger that is full does not wait for the chunk to be so too. */
    if (s->fill->raw.len >= LOG_CHUNK_SIZE ||
        (s->phase == LOG_PHASE_IDLE && s->logger->waiting_count >= s->logger->back_pressure)) {
        log_stream_seal(s, s->unflushed_bytes >= LOG_UNSYNCED_MAX ? LOG_ZSTD_FLUSH
                                                                  : LOG_ZSTD_CONTINUE);
    }
    if (!timer_armed(&s->flush_timer) && (s->fill != NULL || s->needs_flush)) {
        arm(s, &s->flush_timer, s->logger->flush_interval_ms);
    }
}

void log_stream_seal(struct log_stream *s, enum log_zstd_end end)
{
    struct log_chunk *c = s->fill;

    if (c == NULL) {
        if (end == LOG_ZSTD_END ? !s->in_segment : !s->needs_flush) {
            return;
        }
        c = chunk_new();
        c->segment_header = s->segment_header;
    }
    s->fill = NULL;
    c->number = s->logger->log->next_chunk_number++;
    c->end = end;
    s->needs_flush = end == LOG_ZSTD_CONTINUE;
    if (end != LOG_ZSTD_CONTINUE) {
        s->unflushed_bytes = 0;
        disarm(s, &s->flush_timer);
    }
    if (end == LOG_ZSTD_END) {
        s->in_segment = false;
        disarm(s, &s->rotate_timer);
    }
    chunks_push(&s->waiting, c);
    pump(s);
}

static void flush_due(struct timer *t)
{
    log_stream_seal(CONTAINER_OF(t, struct log_stream, flush_timer), LOG_ZSTD_FLUSH);
}

static void rotate_due(struct timer *t)
{
    log_stream_seal(CONTAINER_OF(t, struct log_stream, rotate_timer), LOG_ZSTD_END);
}

/* ---- refusals of the disk ---- */

void log_stream_lose(struct log_stream *s)
{
    uint64_t sequence_min = log_stream_sequence_min(s);
    uint64_t record_count = 0;
    struct log_chunk *c;

    MUST(!s->op.in_flight);
    count_waiting(s, -(int64_t)s->waiting_count);
    chunks_prepend(&s->waiting, &s->unsynced);
    if (s->fill != NULL) {
        chunks_push(&s->waiting, s->fill);
        s->fill = NULL;
    }
    while ((c = chunks_pop(&s->waiting)) != NULL) {
        record_count += c->record_count;
        chunk_free(s, c);
    }
    disarm(s, &s->flush_timer);
    disarm(s, &s->rotate_timer);
    disarm(s, &s->retry_timer);
    if (s->fd >= 0) {
        log_file_finish(s);
        log_file_close(s);
    }
    s->is_packed = false;
    s->in_segment = false;
    s->needs_flush = false;
    s->phase = LOG_PHASE_IDLE;
    if (record_count != 0) {
        log_lose(s->logger->log, record_count, sequence_min);
    }
}

/* The file cannot be trusted any more: what is not durable goes into the next one. Some of it may
 * stand in both. */
static void give_up_file(struct log_stream *s)
{
    diag_error(s->logger->log->options.diag, "log", "%s is given up; its last records go on in "
               "another file", s->path.ptr);
    for (const struct log_chunk *c = s->unsynced.head; c != NULL; c = c->next) {
        count_waiting(s, c->record_count);
    }
    chunks_prepend(&s->waiting, &s->unsynced);
    s->is_packed = false;
    log_file_finish(s);
    log_file_close(s);
}

static bool passes_by_itself(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EAGAIN || error == EINTR;
}

static void refused(struct log_stream *s, const char *doing, int32_t res)
{
    struct log *log = s->logger->log;

    log->counters.error_count++;
    if (!s->refused) {
        diag_error(log->options.diag, "log", "%s a segment in %.*s: %s; records are kept and it "
                   "is tried again", doing, SLICE_ARG(s->dir), strerror(-res));
    }
    s->refused = true;
    if (log->draining && ++log->drain_failures >= LOG_DRAIN_TRIES) {
        log_stream_lose(s);
        log_report(log);
        return;
    }
    if (s->fd >= 0 && s->phase == LOG_PHASE_SYNC) {
        give_up_file(s); /* a later sync may succeed for pages that were dropped */
    } else if (s->fd >= 0 && !passes_by_itself(-res) && ++s->file_failures >= LOG_FILE_TRIES) {
        give_up_file(s);
    }
    s->phase = LOG_PHASE_RETRY;
    arm(s, &s->retry_timer, LOG_RETRY_MS);
}

static void accepted(struct log_stream *s)
{
    if (s->refused) {
        diag_info(s->logger->log->options.diag, "log", "segments in %.*s are written again",
                  SLICE_ARG(s->dir));
    }
    s->refused = false;
    s->file_failures = 0;
}

/* ---- what goes out ---- */

static struct ring *ring_of(struct log_stream *s)
{
    return &s->logger->log->shard->ring;
}

static void compress(struct log_stream *s)
{
    const struct log_chunk *c = s->waiting.head;

    s->job.begin = !s->in_frame;
    s->job.head = s->in_frame ? (struct slice){0} : c->segment_header;
    s->job.raw = buf_slice(&c->raw);
    s->job.end = c->end;
    s->in_frame = true;
    s->phase = LOG_PHASE_COMPRESS;
    ring_work(ring_of(s), &s->op, log_zstd_run, &s->job);
}

static void durable(struct log_stream *s)
{
    bool ends = s->unsynced.tail->end == LOG_ZSTD_END;
    struct log_chunk *c;

    while ((c = chunks_pop(&s->unsynced)) != NULL) {
        chunk_free(s, c);
    }
    if (ends) {
        log_file_finish(s);
        log_file_close(s);
    }
    s->phase = LOG_PHASE_IDLE;
    log_report(s->logger->log);
    pump(s);
}

static void written(struct log_stream *s)
{
    struct log_chunk *c = chunks_pop(&s->waiting);

    s->is_packed = false;
    s->offset += s->job.packed.len;
    s->logger->log->counters.written_bytes += s->job.packed.len;
    count_waiting(s, -(int64_t)c->record_count);
    chunks_push(&s->unsynced, c);
    accepted(s);
    if (c->end == LOG_ZSTD_CONTINUE) {
        s->phase = LOG_PHASE_IDLE;
        pump(s);
        return;
    }
    s->phase = LOG_PHASE_SYNC;
    ring_fsync(ring_of(s), &s->op, s->fd);
}

static void write_rest(struct log_stream *s)
{
    const struct buf *packed = &s->job.packed;

    if (s->packed_done == packed->len) {
        written(s);
        return;
    }
    s->phase = LOG_PHASE_WRITE;
    ring_write(ring_of(s), &s->op, s->fd, packed->ptr + s->packed_done,
               packed->len - s->packed_done, s->offset + s->packed_done, false);
}

/* Starts the next step unless one is under way. */
static void pump(struct log_stream *s)
{
    int res;

    if (s->phase != LOG_PHASE_IDLE) {
        return;
    }
    if (s->is_packed) {
        write_rest(s);
        return;
    }
    while (s->fd < 0 && s->waiting.head != NULL && s->waiting.head->raw.len == 0) {
        chunk_free(s, chunks_pop(&s->waiting)); /* flushes or ends what is no more */
    }
    if (s->waiting.head == NULL) {
        log_report(s->logger->log);
        return;
    }
    if (s->fd < 0 && (res = log_file_open(s)) < 0) {
        refused(s, "opening", res);
        return;
    }
    compress(s);
}

static void retry_due(struct timer *t)
{
    struct log_stream *s = CONTAINER_OF(t, struct log_stream, retry_timer);

    MUST(s->phase == LOG_PHASE_RETRY);
    s->phase = LOG_PHASE_IDLE;
    pump(s);
}

static void compressed(struct log_stream *s, int32_t res)
{
    if (res < 0) {
        give_up_file(s); /* the frame is in no state to go on */
        refused(s, "compressing", res);
        return;
    }
    s->is_packed = true;
    s->packed_done = 0;
    write_rest(s);
}

static void dir_synced(struct log_stream *s, int32_t res)
{
    if (res < 0) { /* some file systems do not know this; the file itself is durable */
        diag_warn(s->logger->log->options.diag, "log", "syncing directory %.*s: %s",
                  SLICE_ARG(s->dir), strerror(-res));
    }
    ring_of(s)->backend->fs_close(ring_of(s), s->dir_fd);
    s->dir_fd = -1;
    durable(s);
}

static void synced(struct log_stream *s, int32_t res)
{
    if (res < 0) {
        refused(s, "syncing", res);
    } else if (s->dir_fd >= 0) {
        s->phase = LOG_PHASE_SYNC_DIR;
        ring_fsync(ring_of(s), &s->op, s->dir_fd);
    } else {
        durable(s);
    }
}

static void op_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct log_stream *s = CONTAINER_OF(op, struct log_stream, op);

    switch (s->phase) {
    case LOG_PHASE_COMPRESS:
        compressed(s, res);
        break;
    case LOG_PHASE_WRITE:
        if (res <= 0) {
            refused(s, "writing", res < 0 ? res : -EIO);
        } else {
            s->packed_done += (size_t)res;
            write_rest(s);
        }
        break;
    case LOG_PHASE_SYNC:
        synced(s, res);
        break;
    case LOG_PHASE_SYNC_DIR:
        dir_synced(s, res);
        break;
    default:
        MUST(!"an operation completed that nobody waits for");
    }
}
