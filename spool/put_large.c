/* Long transactions: chunks and records go out in commits of their own, and mean nothing until
 * the manifest behind them is durable. Two pieces are on the way at a time, so that one long
 * message does not hold up the short ones. */
#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/put.h"
#include "spool/row.h"

#define LARGE_OUTSTANDING 2u

struct large_put {
    struct spool_log *log;
    struct spool_put *put;
    uint64_t body_id;
    uint32_t shared; /* index of the shared body; the job holds one reference */
    uint64_t body_at;
    uint32_t chunk;
    uint32_t record; /* records staged; they have slots */
    uint32_t outstanding;
    bool manifest_staged;
    enum spool_err err;
};

struct large_wait {
    struct commit_wait wait;
    struct large_put *large;
};

static void large_step(struct large_put *l);

static void large_over(struct large_put *l, enum spool_err err)
{
    struct spool_log *log = l->log;
    struct spool_put *put = l->put;
    struct spool_counters *counters = &log->sp->counters;

    for (uint32_t i = 0; i < l->record; i++) {
        struct spool_put_record *r = &put->records[i];

        if (err == SPOOL_OK) {
            slot_set_status(table_at(&log->slots, r->ref.slot), SLOT_LIVE);
        } else {
            slot_free(log, r->ref.slot);
            r->ref = (struct spool_ref){0};
        }
    }
    body_release(log, loc_with_flags(l->shared, SLOT_SHARED));
    mem_give(l);
    log->sp->larges_open--;
    if (err == SPOOL_OK) {
        counters->put_count++;
        counters->put_record_count += put->record_count;
        counters->bytes_accepted += put->body.len;
    }
    put_answer_later(log->sp, put, err);
}

/* The manifest may be on disk: take its records back, as soon as anything can be written. */
static void large_void(struct large_put *l)
{
    for (uint32_t i = 0; i < l->record; i++) {
        struct slot *slot = table_at(&l->log->slots, l->put->records[i].ref.slot);
        struct commit *c = commit_room(l->log, entry_size(0), row_size(0));
        uint64_t loc;

        (void)commit_entry(
            c, &(struct entry_head){.kind = ENTRY_SETTLE, .flags = ENTRY_VOID, .stamp = slot->id},
            &loc);
        c->row_bytes += row_size(0);
    }
}

static void large_piece_done(struct commit_wait *wait, enum spool_err err)
{
    struct large_wait *w = CONTAINER_OF(wait, struct large_wait, wait);
    struct large_put *l = w->large;

    mem_give(w);
    l->outstanding--;
    if (err != SPOOL_OK && l->err == SPOOL_OK) {
        l->err = err;
    }
    if (l->err == SPOOL_OK) {
        large_step(l);
    } else if (l->outstanding == 0) {
        /* Without its manifest nothing of it counts, so that failure is a plain one. */
        if (l->manifest_staged && l->err == SPOOL_E_UNSURE && !l->log->sp->closing) {
            large_void(l);
        } else if (l->err == SPOOL_E_UNSURE) {
            l->err = SPOOL_E_IO;
        }
        large_over(l, l->err);
    }
}

static void large_wait_for(struct large_put *l, struct commit *c)
{
    struct large_wait *w = MEM_NEW(struct large_wait);

    w->large = l;
    w->wait.for_put = true;
    w->wait.done = large_piece_done;
    commit_wait_add(c, &w->wait);
    c->urgent = true;
    l->outstanding++;
}

static void chunk_stage(struct large_put *l)
{
    struct slice rest = slice_from(l->put->body, l->body_at);
    struct slice piece = slice_head(rest, l->log->sp->store->limits.chunk_size);
    struct commit *c = commit_room(l->log, entry_size(piece.len), row_size(0));
    struct shared_body *shared = table_at(&l->log->bodies, l->shared);
    char *to = commit_entry(c,
                            &(struct entry_head){.kind = ENTRY_CHUNK,
                                                 .flags = ENTRY_PENDING,
                                                 .len = (uint32_t)piece.len,
                                                 .count = l->chunk,
                                                 .stamp = l->body_id},
                            &shared->chunks[l->chunk]);

    memcpy(to, piece.ptr, piece.len);
    c->row_bytes += row_size(0);
    l->body_at += piece.len;
    l->chunk++;
    large_wait_for(l, c);
}

static void record_stage_pending(struct large_put *l, struct commit *c)
{
    struct spool_put_record *r = &l->put->records[l->record];
    uint64_t id = spool_stamp(l->log->sp);
    uint32_t index = table_take(&l->log->slots, id);
    struct slot *slot = table_at(&l->log->slots, index);
    struct shared_body *shared = table_at(&l->log->bodies, l->shared);
    uint64_t loc = record_stage(c, &(struct record_entry){.id = id,
                                                          .version = id,
                                                          .body_id = l->body_id,
                                                          .meta = &r->meta,
                                                          .blob = r->blob,
                                                          .flags = ENTRY_PENDING | ENTRY_BLOB});

    slot->state = loc_with_flags(loc, SLOT_PENDING);
    slot->blob = loc;
    slot->body = loc_with_flags(l->shared, SLOT_SHARED);
    shared->refs++;
    r->ref = log_ref(l->log, index);
    l->record++;
}

/* As many records as one commit takes. */
static void records_stage(struct large_put *l)
{
    const struct spool_put_record *r = &l->put->records[l->record];
    struct commit *c =
        commit_room(l->log, record_entry_size(&r->meta, r->blob), record_row_size(&r->meta));
    struct commit *room = c;

    while (room == c) {
        record_stage_pending(l, c);
        if (l->record == l->put->record_count) {
            break;
        }
        r = &l->put->records[l->record];
        if (c->len + record_entry_size(&r->meta, r->blob) > c->cap) {
            break;
        }
        room = commit_room(l->log, record_entry_size(&r->meta, r->blob), record_row_size(&r->meta));
    }
    large_wait_for(l, c);
}

static void manifest_stage(struct large_put *l)
{
    struct commit *c = commit_room(l->log, entry_size(sizeof(struct manifest_body)), row_size(0));
    struct shared_body *shared = table_at(&l->log->bodies, l->shared);
    struct manifest_body body = {.body_len = l->put->body.len,
                                 .record_count = l->put->record_count};
    char *to = commit_entry(c,
                            &(struct entry_head){.kind = ENTRY_MANIFEST,
                                                 .flags = ENTRY_PENDING,
                                                 .len = sizeof(body),
                                                 .count = l->chunk,
                                                 .stamp = l->body_id,
                                                 .version = l->put->body_flags},
                            &shared->loc);

    memcpy(to, &body, sizeof(body));
    c->row_bytes += row_size(0);
    l->manifest_staged = true;
    large_wait_for(l, c);
}

static void large_step(struct large_put *l)
{
    while (l->outstanding < LARGE_OUTSTANDING) {
        if (l->body_at < l->put->body.len) {
            chunk_stage(l);
        } else if (l->record < l->put->record_count) {
            records_stage(l);
        } else if (l->outstanding > 0) {
            break; /* the manifest must not become durable before what it makes real */
        } else if (!l->manifest_staged) {
            manifest_stage(l);
        } else {
            large_over(l, SPOOL_OK);
            return;
        }
    }
    spool_kick(l->log->sp);
}

void large_begin(struct spool_log *log, struct spool_put *put)
{
    struct large_put *l = MEM_NEW(struct large_put);
    uint64_t chunk_size = log->sp->store->limits.chunk_size;
    struct shared_body *shared;

    log->sp->larges_open++;
    l->log = log;
    l->put = put;
    l->body_id = spool_stamp(log->sp);
    l->shared = table_take(&log->bodies, l->body_id);
    shared = table_at(&log->bodies, l->shared);
    shared->refs = 1;
    shared->chunk_count = (uint32_t)((put->body.len + chunk_size - 1) / chunk_size);
    shared->chunks = mem_take_zero(shared->chunk_count * sizeof(*shared->chunks));
    put->token = l->body_id;
    large_step(l);
}
