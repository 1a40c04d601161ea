#include "spool/read.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/commit.h"

#define READ_BYTES_MAX (64u * 1024u * 1024u)
#define READ_SPAN_MAX (1024u * 1024u) /* blob and body this close are read at once */

struct read_job {
    struct dlist link;
    struct spool *sp;
    struct spool_log *log;
    struct spool_read *r;
    uint64_t id;
    uint32_t index;
    unsigned what;  /* still to be had: enum spool_read_what */
    uint32_t chunk; /* the next one, once the manifest was read */
    uint32_t chunk_count;
    uint64_t body_id;
    uint64_t body_len; /* as the manifest says */
    uint8_t message_id[16];

    struct segment *segment; /* of the buffer; held by its readers count */
    char *buffer;
    uint64_t from, len, cap;
    struct ring_op op;
};

static void job_run(struct read_job *job);

static void job_buffer_give(struct read_job *job)
{
    if (job->segment != NULL) {
        job->segment->readers--;
        job->segment = NULL;
    }
    job->sp->read_bytes -= job->cap;
    job->cap = 0;
    job->len = 0;
    MEM_FREE(&job->buffer);
}

static void job_over(struct read_job *job, enum spool_err err)
{
    struct spool *sp = job->sp;
    struct spool_read *r = job->r;

    if (err == SPOOL_E_CORRUPT) {
        spool_damaged(sp, job->message_id, job->segment, "checksum of a stored message is wrong");
    }
    sp->counters.io_error_count += err == SPOOL_E_IO;
    job_buffer_give(job);
    dlist_remove(&job->link);
    mem_give(job);
    if (err != SPOOL_OK) {
        buf_free(&r->blob);
        buf_free(&r->body);
    }
    spool_kick(sp);
    r->done(r, err);
}

/* The slot, unless the record was settled meanwhile. */
static struct slot *job_slot(const struct read_job *job)
{
    struct slot *slot = table_at(&job->log->slots, job->index);

    return slot->id == job->id ? slot : NULL;
}

/* The place of what comes next; 0 when it is gone. */
static uint64_t job_place(const struct read_job *job, const struct slot *slot)
{
    const uint64_t *place;

    if (job->what & SPOOL_READ_BLOB) {
        return slot->blob;
    }
    place = job->chunk < job->chunk_count ? chunk_place(job->log, job->body_id, job->chunk)
                                          : body_place(job->log, slot_body_id(job->log, slot));
    return place != NULL ? *place : 0;
}

/* ---- taking what an entry holds ---- */

static bool take_blob(struct read_job *job, const struct entry_head *entry)
{
    struct record_view view;

    if (entry->kind != ENTRY_RECORD || entry->stamp != job->id ||
        (entry->flags & ENTRY_BLOB) == 0 ||
        !record_parse(slice_of(entry + 1, entry->len), true, &view)) {
        return false;
    }
    memcpy(job->message_id, view.head.id, sizeof(job->message_id));
    buf_put(&job->r->blob, view.blob);
    job->what &= ~(unsigned)SPOOL_READ_BLOB;
    return true;
}

static bool take_manifest(struct read_job *job, const struct entry_head *entry)
{
    struct manifest_body body;

    memcpy(&body, entry + 1, sizeof(body));
    if (body.body_len > SPOOL_BODY_MAX) {
        return false;
    }
    job->r->body_flags = (uint32_t)entry->version;
    job->body_id = entry->stamp;
    job->body_len = body.body_len;
    job->chunk = 0;
    job->chunk_count = entry->count;
    buf_reserve(&job->r->body, body.body_len);
    if (entry->count == 0) {
        job->what &= ~(unsigned)SPOOL_READ_BODY;
        return body.body_len == 0;
    }
    return true;
}

static bool take_chunk(struct read_job *job, const struct entry_head *entry)
{
    if (entry->kind != ENTRY_CHUNK || entry->stamp != job->body_id || entry->count != job->chunk ||
        job->r->body.len + entry->len > job->body_len) {
        return false;
    }
    buf_append(&job->r->body, entry + 1, entry->len);
    if (++job->chunk < job->chunk_count) {
        return true;
    }
    job->what &= ~(unsigned)SPOOL_READ_BODY;
    return job->r->body.len == job->body_len;
}

static bool take_body(struct read_job *job, const struct entry_head *entry, uint64_t body_id)
{
    if (job->chunk < job->chunk_count) {
        return take_chunk(job, entry);
    }
    if (entry->stamp != body_id) {
        return false;
    }
    if (entry->kind == ENTRY_MANIFEST) {
        return take_manifest(job, entry);
    }
    if (entry->kind != ENTRY_BODY) {
        return false;
    }
    job->r->body_flags = (uint32_t)entry->version;
    buf_append(&job->r->body, entry + 1, entry->len);
    job->what &= ~(unsigned)SPOOL_READ_BODY;
    return true;
}

static bool take_entry(struct read_job *job, const struct slot *slot,
                       const struct entry_head *entry)
{
    return job->what & SPOOL_READ_BLOB ? take_blob(job, entry)
                                       : take_body(job, entry, slot_body_id(job->log, slot));
}

/* From the buffer. The length in a place is rounded up, so the entry itself says how long it is. */
static bool take_buffered(struct read_job *job, const struct slot *slot, uint64_t place)
{
    uint64_t offset = loc_offset(place);
    const struct segment_ident *ident = &job->segment->ident;
    const struct entry_head *entry =
        (const struct entry_head *)(job->buffer + (offset - job->from));
    uint64_t left = job->from + job->len - offset;

    return left >= sizeof(*entry) && entry_head_valid(entry, ident, offset) &&
           entry_size(entry->len) <= left && entry_payload_valid(entry, ident) &&
           take_entry(job, slot, entry);
}

/* ---- reading ---- */

static bool job_buffered(const struct read_job *job, uint64_t place)
{
    return job->segment != NULL && job->len > 0 &&
           job->log->segments[loc_segment(place)] == job->segment &&
           loc_offset(place) >= job->from &&
           loc_offset(place) + loc_size(place) <= job->from + job->cap;
}

static void job_read_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct read_job *job = CONTAINER_OF(op, struct read_job, op);

    (void)flags;
    if (res < 0) {
        job_over(job, SPOOL_E_IO);
        return;
    }
    job->len = (uint64_t)res; /* a short read shows as an entry that is cut off */
    job_run(job);
}

/* Both pieces at once when they lie close to each other, as those of a fresh message do. */
static void span_widen(const struct read_job *job, const struct slot *slot, uint64_t place,
                       uint64_t *from, uint64_t *to)
{
    const uint64_t *body = body_place(job->log, slot_body_id(job->log, slot));

    if (job->what != SPOOL_READ_BOTH || body == NULL || loc_in_commit(*body) ||
        loc_segment(*body) != loc_segment(place)) {
        return;
    }

    uint64_t first = loc_offset(*body) < *from ? loc_offset(*body) : *from;
    uint64_t last = loc_offset(*body) + loc_size(*body);

    last = last > *to ? last : *to;
    if (last - first <= READ_SPAN_MAX) {
        *from = first;
        *to = last;
    }
}

static void job_read(struct read_job *job, const struct slot *slot, uint64_t place)
{
    struct segment *seg = job->log->segments[loc_segment(place)];
    uint64_t from = loc_offset(place);
    uint64_t to = from + loc_size(place);

    MUST(seg != NULL);
    span_widen(job, slot, place, &from, &to);
    job_buffer_give(job);
    job->from = from / FORMAT_BLOCK * FORMAT_BLOCK;
    to = format_up(to, FORMAT_BLOCK);
    job->cap = (to < seg->ident.size ? to : seg->ident.size) - job->from;
    job->buffer = mem_take_aligned(FORMAT_BLOCK, job->cap);
    job->sp->read_bytes += job->cap;
    job->segment = seg;
    seg->readers++;
    job->op.done = job_read_done;
    segment_read(seg, &job->op, job->buffer, job->cap, job->from);
}

static void job_run(struct read_job *job)
{
    while (job->what != 0) {
        struct slot *slot = job_slot(job);
        uint64_t place = slot != NULL ? job_place(job, slot) : 0;

        if (loc_place(place) == 0) {
            job_over(job, SPOOL_E_GONE);
            return;
        }
        if (loc_in_commit(place)) {
            MUST(take_entry(job, slot, commit_at(job->log, place)));
        } else if (!job_buffered(job, place)) {
            job_read(job, slot, place);
            return;
        } else if (!take_buffered(job, slot, place)) {
            job_over(job, SPOOL_E_CORRUPT);
            return;
        }
    }
    job_over(job, SPOOL_OK);
}

/* ---- */

void read_resume(struct spool *sp)
{
    while (!dlist_empty(&sp->reads_waiting) && sp->read_bytes < READ_BYTES_MAX) {
        struct read_job *job = CONTAINER_OF(dlist_pop(&sp->reads_waiting), struct read_job, link);

        dlist_push(&sp->reads, &job->link);
        job_run(job);
    }
}

static void read_answer_later(struct spool *sp, struct spool_read *r, enum spool_err err)
{
    struct spool_read **at = &sp->answers.reads;

    while (*at != NULL) {
        at = &(*at)->next;
    }
    r->phase = err;
    r->next = NULL;
    *at = r;
    spool_kick(sp);
}

void spool_read(struct spool *sp, struct spool_read *r)
{
    struct spool_log *log;
    uint32_t index;
    struct slot *slot = spool_slot(sp, r->ref, &log, &index);
    struct read_job *job;

    MUST(r->done != NULL && r->what != 0);
    r->blob = (struct buf){0};
    r->body = (struct buf){0};
    r->body_flags = 0;
    sp->counters.read_count++;
    if (slot == NULL || (slot_status(slot) != SLOT_LIVE && slot_status(slot) != SLOT_UNLOGGED)) {
        read_answer_later(sp, r, SPOOL_E_GONE);
        return;
    }
    job = MEM_NEW(struct read_job);
    job->sp = sp;
    job->log = log;
    job->r = r;
    job->id = slot->id;
    job->index = index;
    job->what = r->what;
    if (r->id != NULL) {
        memcpy(job->message_id, r->id, sizeof(job->message_id));
    }
    /* Started from the loop: what is still in memory is answered without any wait, and must not
     * be answered inside this call. */
    dlist_push(&sp->reads_waiting, &job->link);
    spool_kick(sp);
}

void read_close(struct spool *sp)
{
    struct dlist *lists[] = {&sp->reads, &sp->reads_waiting};

    for (unsigned i = 0; i < 2; i++) {
        while (!dlist_empty(lists[i])) {
            struct read_job *job = CONTAINER_OF(lists[i]->next, struct read_job, link);

            MUST(!job->op.in_flight);
            job_over(job, SPOOL_E_CLOSING);
        }
    }
}
