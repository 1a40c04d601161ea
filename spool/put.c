#include "spool/put.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/row.h"

uint64_t record_entry_size(const struct spool_meta *meta, struct slice blob)
{
    return entry_size(sizeof(struct record_head) + meta->queue.len + blob.len);
}

uint64_t record_row_size(const struct spool_meta *meta)
{
    return row_size(sizeof(struct record_head) + meta->queue.len);
}

uint64_t record_stage(struct commit *c, const struct record_entry *r)
{
    const struct spool_meta *meta = r->meta;
    struct slice blob = r->flags & ENTRY_BLOB ? r->blob : slice_of(NULL, 0);
    struct record_head head = {.body_id = r->body_id,
                               .due_ms = meta->due_ms,
                               .created_ms = meta->created_ms,
                               .size = meta->size,
                               .attempts = meta->attempts,
                               .queue_len = (uint16_t)meta->queue.len,
                               .blob_len = (uint32_t)blob.len};
    struct entry_head entry = {
        .kind = ENTRY_RECORD,
        .flags = r->flags,
        .len = (uint32_t)(sizeof(head) + meta->queue.len + blob.len),
        .stamp = r->id,
        .version = r->version,
    };
    uint64_t loc;
    char *to = commit_entry(c, &entry, &loc);

    memcpy(head.id, meta->id, sizeof(head.id));
    memcpy(to, &head, sizeof(head));
    to += sizeof(head);
    if (meta->queue.len != 0) {
        memcpy(to, meta->queue.ptr, meta->queue.len);
        to += meta->queue.len;
    }
    if (blob.len != 0) {
        memcpy(to, blob.ptr, blob.len);
    }
    c->row_bytes += record_row_size(meta);
    return loc;
}

/* ---- answering ---- */

void put_queue_push(struct put_queue *q, struct spool_put *put)
{
    put->next = NULL;
    if (q->tail != NULL) {
        q->tail->next = put;
    } else {
        q->head = put;
    }
    q->tail = put;
}

void put_answer_later(struct spool *sp, struct spool_put *put, enum spool_err err)
{
    put->phase = err;
    put_queue_push(&sp->answers.puts, put);
    spool_kick(sp);
}

static void put_forget(struct spool_log *log, struct spool_put *put)
{
    for (uint32_t i = 0; i < put->record_count; i++) {
        slot_free(log, put->records[i].ref.slot);
        put->records[i].ref = (struct spool_ref){0};
    }
}

void put_refuse(struct spool_log *log, struct spool_put *put, enum spool_err err)
{
    put_forget(log, put);
    put_answer_later(log->sp, put, err);
}

void put_finish(struct spool_log *log, struct spool_put *put, enum spool_err err)
{
    struct spool_counters *counters = &log->sp->counters;

    if (err != SPOOL_OK) {
        put_forget(log, put);
        put->done(put, err);
        return;
    }
    for (uint32_t i = 0; i < put->record_count; i++) {
        slot_set_status(table_at(&log->slots, put->records[i].ref.slot), SLOT_LIVE);
    }
    counters->put_count++;
    counters->put_record_count += put->record_count;
    counters->bytes_accepted += put->body.len;
    put->done(put, SPOOL_OK);
}

/* ---- staging ---- */

struct put_size {
    uint64_t bytes;
    uint64_t row_bytes;
};

static struct put_size put_measure(const struct spool_put *put)
{
    struct put_size size = {.bytes = entry_size(put->body.len), .row_bytes = row_size(0)};

    for (uint32_t i = 0; i < put->record_count; i++) {
        const struct spool_put_record *r = &put->records[i];

        size.bytes += record_entry_size(&r->meta, r->blob);
        size.row_bytes += record_row_size(&r->meta);
    }
    return size;
}

static uint64_t body_stage(struct commit *c, const struct spool_put *put, uint64_t body_id)
{
    struct entry_head entry = {
        .kind = ENTRY_BODY,
        .flags = ENTRY_TXN,
        .len = (uint32_t)put->body.len,
        .count = put->record_count,
        .stamp = body_id,
        .version = put->body_flags,
    };
    uint64_t loc;
    char *to = commit_entry(c, &entry, &loc);

    if (put->body.len != 0) {
        memcpy(to, put->body.ptr, put->body.len);
    }
    c->row_bytes += row_size(0);
    return loc;
}

/* What the slots of this put shall have as their body. */
static uint64_t body_share(struct spool_log *log, const struct spool_put *put, uint64_t body_id,
                           uint64_t loc)
{
    struct shared_body *shared;
    uint32_t index;

    if (put->record_count == 1) {
        return loc;
    }
    index = table_take(&log->bodies, body_id);
    shared = table_at(&log->bodies, index);
    shared->loc = loc;
    shared->refs = put->record_count;
    return loc_with_flags(index, SLOT_SHARED);
}

static void put_stage(struct spool_log *log, struct spool_put *put, struct put_size size)
{
    struct spool *sp = log->sp;
    struct commit *c = commit_room(log, size.bytes, size.row_bytes);
    uint64_t first_id = spool_stamp(sp); /* names the body too */
    uint64_t body = body_share(log, put, first_id, body_stage(c, put, first_id));

    for (uint32_t i = 0; i < put->record_count; i++) {
        struct spool_put_record *r = &put->records[i];
        uint64_t id = i == 0 ? first_id : spool_stamp(sp);
        uint32_t index = table_take(&log->slots, id);
        struct slot *slot = table_at(&log->slots, index);
        uint64_t loc = record_stage(c, &(struct record_entry){.id = id,
                                                              .version = id,
                                                              .body_id = first_id,
                                                              .meta = &r->meta,
                                                              .blob = r->blob,
                                                              .flags = ENTRY_TXN | ENTRY_BLOB});

        slot->state = loc_with_flags(loc, SLOT_PENDING);
        slot->blob = loc;
        slot->body = body;
        r->ref = log_ref(log, index);
    }
    put->token = first_id;
    put_queue_push(&c->puts, put);
    c->urgent = true;
}

/* ---- choosing ---- */

static uint64_t log_load(const struct spool_log *log)
{
    return (log->stage != NULL ? log->stage->len : 0) + (uint64_t)log->in_flight * LOG_JOIN_BYTES;
}

static struct spool_log *put_log(struct spool *sp)
{
    struct spool_log *best = NULL;

    for (uint32_t i = 0; i < sp->log_count; i++) {
        struct spool_log *log = &sp->logs[i];

        if (log_takes_puts(log) == SPOOL_OK && (best == NULL || log_load(log) < log_load(best))) {
            best = log;
        }
    }
    return best;
}

static enum spool_err put_check(const struct spool *sp, const struct spool_put *put)
{
    const struct store_limits *limits = &sp->store->limits;

    if (sp->draining) {
        return SPOOL_E_CLOSING;
    }
    if (put->body.len > SPOOL_BODY_MAX || put->record_count > SPOOL_TXN_RECORDS_MAX) {
        return SPOOL_E_TOO_BIG;
    }
    for (uint32_t i = 0; i < put->record_count; i++) {
        const struct spool_put_record *r = &put->records[i];

        if (r->blob.len > SPOOL_RECORD_MAX || r->meta.queue.len > FORMAT_QUEUE_MAX ||
            record_entry_size(&r->meta, r->blob) > limits->entry_max) {
            return SPOOL_E_TOO_BIG;
        }
    }
    return sp->accepting;
}

static void put_start(struct spool *sp, struct spool_put *put)
{
    struct put_size size = put_measure(put);
    struct spool_log *log = put_log(sp);

    if (log == NULL) {
        spool_health(sp); /* the last segment ran full since it was judged */
        put_answer_later(sp, put, sp->accepting != SPOOL_OK ? sp->accepting : SPOOL_E_IO);
    } else if (size.bytes > sp->store->limits.atomic_max ||
               size.row_bytes > sp->store->limits.atomic_max) {
        large_begin(log, put);
    } else {
        put_stage(log, put, size);
    }
}

static bool staging_full(const struct spool *sp)
{
    return sp->staging_bytes >= sp->store->limits.staging_bytes_max;
}

void put_resume(struct spool *sp)
{
    while (sp->waiting.head != NULL && !staging_full(sp)) {
        struct spool_put *put = sp->waiting.head;
        enum spool_err err = put_check(sp, put);

        sp->waiting.head = put->next;
        if (sp->waiting.head == NULL) {
            sp->waiting.tail = NULL;
        }
        if (err != SPOOL_OK) {
            put_answer_later(sp, put, err);
        } else {
            put_start(sp, put);
        }
    }
}

void put_close(struct spool *sp)
{
    while (sp->waiting.head != NULL) {
        struct spool_put *put = sp->waiting.head;

        sp->waiting.head = put->next;
        put_answer_later(sp, put, SPOOL_E_CLOSING);
    }
    sp->waiting.tail = NULL;
}

void spool_put(struct spool *sp, struct spool_put *put)
{
    enum spool_err err = put_check(sp, put);

    MUST(put->record_count > 0 && put->done != NULL);
    if (err != SPOOL_OK) {
        put_answer_later(sp, put, err);
    } else if (sp->waiting.head != NULL || staging_full(sp)) {
        put_queue_push(&sp->waiting, put);
    } else {
        put_start(sp, put);
    }
    spool_kick(sp);
}
