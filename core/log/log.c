#include "core/log/log.h"

#include "core/base/mem.h"
#include "core/log/log_private.h"

static void report_now(struct post *p);

struct log *log_new(struct shard *shard, const struct log_options *options)
{
    struct log *log = MEM_NEW(struct log);

    log->shard = shard;
    log->options = *options;
    if (log->options.held_bytes_max == 0) {
        log->options.held_bytes_max = LOG_HELD_BYTES_DEFAULT;
    }
    log->writer.node_id = options->node_id;
    log->sequence_lost_min = UINT64_MAX;
    log->report_post.fn = report_now;
    dlist_init(&log->sinks);
    dlist_init(&log->syncs);
    return log;
}

static void logger_free(struct log_logger *logger)
{
    struct log_stream *s;

    while ((s = logger->streams) != NULL) {
        logger->streams = s->next;
        log_stream_lose(s);
        log_stream_free(&s);
    }
    mem_give(logger);
}

void log_free(struct log **lp)
{
    struct log *log = *lp;
    struct log_logger *logger;

    *lp = NULL;
    if (log == NULL) {
        return;
    }
    while ((logger = log->loggers) != NULL) {
        log->loggers = logger->next;
        logger_free(logger);
    }
    shard_unpost(log->shard, &log->report_post);
    record_writer_free(&log->writer);
    mem_give(log);
}

/* ---- loggers ---- */

/* The entry for a type; NULL: none, so enabled with defaults. */
static const struct log_per_record *entry_of(const struct log_params *p, enum log_type type)
{
    return p->per_record[type].is_set ? &p->per_record[type] : p->any.is_set ? &p->any : NULL;
}

static bool enabled(const struct log_params *p, enum log_type type)
{
    const struct log_per_record *e = entry_of(p, type);

    /* An OOB record stands for a reception, which gates it as well. */
    return (e == NULL || !e->disabled) && (type != LOG_OOB || enabled(p, LOG_RECEPTION));
}

static struct log_stream *stream_of(struct log_logger *logger, struct slice dir,
                                    struct slice suffix)
{
    struct log_stream *s = logger->streams;

    while (s != NULL && !(slice_eq(s->dir, dir) && slice_eq(s->suffix, suffix))) {
        s = s->next;
    }
    if (s == NULL) {
        s = log_stream_new(logger, dir, suffix);
        s->next = logger->streams;
        logger->streams = s;
    }
    return s;
}

static void route(struct log_logger *logger, enum log_type type)
{
    const struct log_params *p = logger->params;
    const struct log_per_record *e = entry_of(p, type);
    bool own_dir = e != NULL && e->log_dir.len != 0;

    if (enabled(p, type)) {
        logger->routes[type] = (struct log_route){
            .stream = stream_of(logger, own_dir ? e->log_dir : p->log_dir,
                                e != NULL ? e->suffix : (struct slice){0}),
            .entry = e,
        };
    }
}

void log_add_logger(struct log *log, const struct log_params *p)
{
    struct log_logger *logger = MEM_NEW(struct log_logger);
    struct log_logger **end = &log->loggers;
    uint32_t back_pressure = p->back_pressure != 0 ? p->back_pressure : LOG_BACK_PRESSURE_DEFAULT;

    logger->log = log;
    logger->params = p;
    logger->max_file_size = p->max_file_size != 0 ? p->max_file_size : LOG_MAX_FILE_SIZE_DEFAULT;
    logger->flush_interval_ms =
        p->flush_interval_ms != 0 ? p->flush_interval_ms : LOG_FLUSH_INTERVAL_MS_DEFAULT;
    logger->back_pressure = back_pressure / log->shard->group->count;
    logger->back_pressure += logger->back_pressure == 0;
    for (unsigned i = 0; i < LOG_TYPE_COUNT; i++) {
        route(logger, (enum log_type)i);
    }
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = logger;
}

void log_add_sink(struct log *log, struct log_sink *sink)
{
    MUST(sink->write != NULL && !dlist_linked(&sink->link));
    dlist_push(&log->sinks, &sink->link);
}

void log_remove_sink(struct log *log, struct log_sink *sink)
{
    if (dlist_linked(&sink->link)) {
        dlist_remove(&sink->link);
    }
}

/* ---- use ---- */

void log_lose(struct log *log, uint64_t record_count, uint64_t sequence_min)
{
    if (log->counters.lost_count == 0) {
        diag_error(log->options.diag, "log", "log records are lost: too many wait for the disk, "
                   "or it was given up");
    }
    log->counters.lost_count += record_count;
    if (sequence_min < log->sequence_lost_min) {
        log->sequence_lost_min = sequence_min;
    }
}

/* Whether the record now waits in a stream. */
static bool submit_to(struct log_logger *logger, const struct log_record *r)
{
    struct log *log = logger->log;
    const struct log_route *to = &logger->routes[r->type];
    struct log_chunk *chunk;
    size_t before;

    if (to->stream == NULL) {
        return false;
    }
    if (logger->waiting_count >= logger->back_pressure) {
        logger->full_count++;
        log->counters.full_count++;
    }
    if (log->draining || log->counters.held_bytes >= log->options.held_bytes_max) {
        log_lose(log, 1, r->settle_sequence != 0 ? r->settle_sequence : UINT64_MAX);
        return false;
    }
    chunk = log_stream_fill(to->stream,
                            to->entry != NULL ? to->entry->segment_header : (struct slice){0});
    before = chunk->raw.len;
    record_write_json(&log->writer, r, &logger->params->capture, &chunk->raw);
    log_stream_filled(to->stream, chunk->raw.len - before, r->settle_sequence);
    return true;
}

void log_submit(struct log *log, const struct log_record *r)
{
    bool waits = false;

    if (r->settle_sequence > log->sequence_max) {
        log->sequence_max = r->settle_sequence;
    }
    for (struct log_logger *l = log->loggers; l != NULL; l = l->next) {
        waits |= submit_to(l, r);
    }
    for (struct dlist *n = log->sinks.next, *next; n != &log->sinks; n = next) {
        struct log_sink *sink = CONTAINER_OF(n, struct log_sink, link);

        next = n->next;
        sink->write(sink, r);
    }
    if (r->settle_sequence != 0 && !waits) {
        log_report(log);
    }
}

bool log_wants_headers(const struct log *log)
{
    for (const struct log_logger *l = log->loggers; l != NULL; l = l->next) {
        if (l->params->capture.header_count != 0) {
            return true;
        }
    }
    for (const struct dlist *n = log->sinks.next; n != &log->sinks; n = n->next) {
        if (CONTAINER_OF(n, const struct log_sink, link)->wants_headers) {
            return true;
        }
    }
    return false;
}

bool log_wants_pause(const struct log *log)
{
    for (const struct log_logger *l = log->loggers; l != NULL; l = l->next) {
        if (l->waiting_count >= l->back_pressure) {
            return true;
        }
    }
    return false;
}

static void seal_all(struct log *log, enum log_zstd_end end)
{
    for (struct log_logger *l = log->loggers; l != NULL; l = l->next) {
        for (struct log_stream *s = l->streams; s != NULL; s = s->next) {
            log_stream_seal(s, end);
        }
    }
}

void log_sync(struct log *log, struct log_sync *sync)
{
    MUST(sync->done != NULL);
    seal_all(log, LOG_ZSTD_FLUSH);
    sync->after = log->next_chunk_number;
    dlist_push(&log->syncs, &sync->link);
    log_report(log);
}

void log_rotate(struct log *log)
{
    seal_all(log, LOG_ZSTD_END);
}

void log_drain(struct log *log, void (*done)(void *ctx), void *ctx)
{
    MUST(!log->draining);
    log->draining = true;
    log->drained = done;
    log->drained_ctx = ctx;
    seal_all(log, LOG_ZSTD_END);
    log_report(log);
}

/* ---- reports ---- */

/* What all streams together have not on disk yet. */
struct undone {
    uint64_t sequence_min, number_min; /* UINT64_MAX: nothing */
    bool idle;
};

static struct undone look(const struct log *log)
{
    struct undone u = {
        .sequence_min = log->sequence_lost_min, .number_min = UINT64_MAX, .idle = true};

    for (const struct log_logger *l = log->loggers; l != NULL; l = l->next) {
        for (const struct log_stream *s = l->streams; s != NULL; s = s->next) {
            uint64_t sequence = log_stream_sequence_min(s);
            uint64_t number = log_stream_number_min(s);

            u.sequence_min = sequence < u.sequence_min ? sequence : u.sequence_min;
            u.number_min = number < u.number_min ? number : u.number_min;
            u.idle &= log_stream_idle(s);
        }
    }
    return u;
}

void log_report(struct log *log)
{
    shard_post(log->shard, &log->report_post);
}

static void report_syncs(struct log *log, uint64_t number_min)
{
    struct dlist ready;
    struct dlist *node;

    dlist_init(&ready);
    for (struct dlist *n = log->syncs.next, *next; n != &log->syncs; n = next) {
        next = n->next;
        if (CONTAINER_OF(n, struct log_sync, link)->after <= number_min) {
            dlist_remove(n);
            dlist_push(&ready, n);
        }
    }
    while ((node = dlist_pop(&ready)) != NULL) {
        struct log_sync *sync = CONTAINER_OF(node, struct log_sync, link);

        sync->done(sync);
    }
}

/* Callbacks last: what they call may change everything, and the last one may close the log. */
static void report_now(struct post *p)
{
    struct log *log = CONTAINER_OF(p, struct log, report_post);
    struct undone u = look(log);
    uint64_t sequence = u.sequence_min == UINT64_MAX ? log->sequence_max : u.sequence_min - 1;
    void (*drained)(void *ctx) = NULL;

    if (sequence > log->sequence_durable) {
        log->sequence_durable = sequence;
        if (log->options.durable != NULL) {
            log->options.durable(log->options.ctx, sequence);
        }
    }
    report_syncs(log, u.number_min);
    if (log->draining && u.idle) {
        drained = log->drained;
        log->drained = NULL;
    }
    if (drained != NULL) {
        drained(log->drained_ctx);
    }
}

/* ---- inspection ---- */

void log_counters(const struct log *log, struct log_counters *out)
{
    *out = log->counters;
}

bool log_logger_at(const struct log *log, uint32_t index, struct slice *log_dir,
                   uint64_t *full_count)
{
    const struct log_logger *l = log->loggers;

    while (l != NULL && index-- > 0) {
        l = l->next;
    }
    if (l == NULL) {
        return false;
    }
    *log_dir = l->params->log_dir;
    *full_count = l->full_count;
    return true;
}

/* ---- configuration ---- */

static bool entry_check(const struct log_per_record *e, const char *type, struct buf *why)
{
    if (e->is_set && e->template.len != 0) {
        buf_printf(why, "per_record.%s.template is not supported yet", type);
        return false;
    }
    if (e->is_set && slice_find_char(e->suffix, '/') != e->suffix.len) {
        buf_printf(why, "per_record.%s.suffix '%.*s' must not contain a slash", type,
                   SLICE_ARG(e->suffix));
        return false;
    }
    return true;
}

bool log_params_check(const struct log_params *p, struct buf *why)
{
    if (p->log_dir.len == 0) {
        BUF_LIT(why, "log_dir must not be empty");
        return false;
    }
    if (p->compression_level < 0 || p->compression_level > LOG_ZSTD_LEVEL_MAX) {
        buf_printf(why, "compression_level %d is not between 0 and %d", p->compression_level,
                   LOG_ZSTD_LEVEL_MAX);
        return false;
    }
    if (p->filter_event.len != 0) {
        BUF_LIT(why, "filter_event is not supported yet");
        return false;
    }
    for (unsigned i = 0; i < LOG_TYPE_COUNT; i++) {
        if (!entry_check(&p->per_record[i], log_type_info((enum log_type)i)->text.ptr, why)) {
            return false;
        }
    }
    return entry_check(&p->any, "Any", why);
}
