/* New snapshots of records, final states, withdrawals. */
#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/put.h"
#include "spool/row.h"

#define VOID_IDS_MAX 1024u /* per entry */

/* ---- changes ---- */

static void change_answer_later(struct spool *sp, struct spool_change *c, enum spool_err err)
{
    struct spool_change **at = &sp->answers.changes;

    while (*at != NULL) {
        at = &(*at)->next;
    }
    c->phase = err;
    c->next = NULL;
    *at = c;
    spool_kick(sp);
}

static void change_stage(struct spool_log *log, struct slot *slot, struct spool_change *change)
{
    bool blob = change->blob.len != 0;
    struct commit *c = commit_room(log, record_entry_size(&change->meta, change->blob),
                                   record_row_size(&change->meta));
    uint64_t loc = record_stage(c, &(struct record_entry){.id = slot->id,
                                                          .version = spool_stamp(log->sp),
                                                          .body_id = slot_body_id(log, slot),
                                                          .meta = &change->meta,
                                                          .blob = change->blob,
                                                          .flags = blob ? ENTRY_BLOB : 0});

    slot_set_state(log, slot, loc);
    if (blob) {
        slot_set_blob(log, slot, loc);
    }
    if (log->stalled) { /* it is written when the disk takes it, and nobody knows when */
        change_answer_later(log->sp, change, SPOOL_E_IO);
    } else {
        change->next = NULL;
        *c->changes_tail = change;
        c->changes_tail = &change->next;
    }
    log->sp->counters.change_count++;
    spool_lazy(log->sp);
}

void spool_change(struct spool *sp, struct spool_change *c)
{
    struct spool_log *log;
    struct slot *slot = spool_slot(sp, c->ref, &log, NULL);

    MUST(c->done != NULL);
    if (slot == NULL || slot_status(slot) != SLOT_LIVE) {
        change_answer_later(sp, c, SPOOL_E_GONE);
    } else if (c->blob.len > SPOOL_RECORD_MAX || c->meta.queue.len > FORMAT_QUEUE_MAX ||
               record_entry_size(&c->meta, c->blob) > sp->store->limits.entry_max) {
        change_answer_later(sp, c, SPOOL_E_TOO_BIG);
    } else if (c->blob.len == 0 &&
               commit_backlogged(log, record_entry_size(&c->meta, c->blob),
                                 record_row_size(&c->meta))) {
        change_answer_later(sp, c, SPOOL_E_IO);
    } else {
        change_stage(log, slot, c);
    }
}

/* ---- settles ---- */

static void unlogged_push(struct spool_log *log, uint64_t sequence, uint32_t slot)
{
    if (log->unlogged_count == log->unlogged_cap) {
        uint32_t cap = log->unlogged_cap != 0 ? log->unlogged_cap * 2 : 256;
        struct unlogged *grown = mem_take(cap * sizeof(*grown));

        for (uint32_t i = 0; i < log->unlogged_count; i++) {
            grown[i] = log->unlogged[(log->unlogged_first + i) % log->unlogged_cap];
        }
        mem_give(log->unlogged);
        log->unlogged = grown;
        log->unlogged_cap = cap;
        log->unlogged_first = 0;
    }
    log->unlogged[(log->unlogged_first + log->unlogged_count++) % log->unlogged_cap] =
        (struct unlogged){.sequence = sequence, .slot = slot};
}

static void settle_stage(struct spool_log *log, uint64_t id, uint64_t sequence,
                         struct slice outcome)
{
    struct commit *c = commit_room(log, entry_size(outcome.len), row_size(0));
    uint64_t loc;
    char *to = commit_entry(c,
                            &(struct entry_head){.kind = ENTRY_SETTLE,
                                                 .len = (uint32_t)outcome.len,
                                                 .stamp = id,
                                                 .version = sequence},
                            &loc);

    if (outcome.len != 0) {
        memcpy(to, outcome.ptr, outcome.len);
    }
    c->row_bytes += row_size(0);
}

/* Sixteen bytes, once for each record at most: the bound is that of the records. */
static void owed_push(struct spool_log *log, uint64_t id, uint64_t sequence)
{
    if (log->owed_count == log->owed_cap) {
        log->owed_cap = log->owed_cap != 0 ? log->owed_cap * 2 : 256;
        log->owed = mem_grow(log->owed, log->owed_cap * sizeof(*log->owed));
    }
    log->owed[log->owed_count++] = (struct owed_settle){.sequence = sequence, .id = id};
}

/* Their outcomes are not known any more: a crash before their log records are durable costs
 * these. */
void log_stage_owed(struct spool_log *log)
{
    if (log->owed_count == 0 || commit_backlogged(log, entry_size(0), row_size(0))) {
        return;
    }
    while (log->owed_first < log->owed_count &&
           !commit_backlogged(log, entry_size(0), row_size(0))) {
        const struct owed_settle *owed = &log->owed[log->owed_first++];

        settle_stage(log, owed->id, owed->sequence, slice_of(NULL, 0));
    }
    if (log->owed_first == log->owed_count) {
        MEM_FREE(&log->owed);
        log->owed_cap = log->owed_first = log->owed_count = 0;
    }
    log_mark(log);
    spool_wake_later(log->sp);
}

uint64_t spool_settle(struct spool *sp, struct spool_ref ref, struct slice outcome)
{
    struct spool_log *log;
    uint32_t index;
    struct slot *slot = spool_slot(sp, ref, &log, &index);
    uint64_t sequence;

    if (slot == NULL || slot_status(slot) != SLOT_LIVE) {
        return 0;
    }
    MUST(outcome.len <= SPOOL_OUTCOME_MAX && outcome.len <= sp->store->limits.entry_max);
    sequence = spool_stamp(sp);
    if (commit_backlogged(log, entry_size(outcome.len), row_size(0))) {
        owed_push(log, slot->id, sequence);
    } else {
        settle_stage(log, slot->id, sequence, outcome);
    }
    slot_set_status(slot, SLOT_SETTLED);
    unlogged_push(log, sequence, index);
    sp->counters.settle_count++;
    spool_lazy(sp);
    return sequence;
}

/* What is released must have been settled by a commit (slots.c, place_release()): the pieces of
 * records whose settles are owed stay until these are staged. */
static uint64_t releasable_mark(const struct spool_log *log)
{
    uint64_t mark = log->sp->mark;

    if (log->owed_count > 0 && log->owed[log->owed_first].sequence <= mark) {
        mark = log->owed[log->owed_first].sequence - 1;
    }
    return mark;
}

void log_mark(struct spool_log *log)
{
    const uint64_t releasable = releasable_mark(log);

    while (log->unlogged_count > 0 &&
           log->unlogged[log->unlogged_first].sequence <= releasable) {
        uint32_t slot = log->unlogged[log->unlogged_first].slot;

        log->unlogged_first = (log->unlogged_first + 1) % log->unlogged_cap;
        log->unlogged_count--;
        slot_free(log, slot);
    }
    /* What recovery reported is older than any settle of this life. Until its log records are
     * written the durable mark must not pass it; from then on it covers all earlier lives. */
    if (log->recovery == NULL && log->unlogged_found == 0) {
        const struct spool *sp = log->sp;
        uint64_t mark = sp->mark > sp->first_stamp ? sp->mark : sp->first_stamp;

        if (mark > log->mark) {
            log->mark = mark;
            log->dead_hint = true;
            log->clean_hint = true;
        }
    }
}

void spool_mark_logged(struct spool *sp, uint64_t sequence)
{
    MUST(sequence <= sp->stamp);
    if (sequence <= sp->mark) {
        return;
    }
    sp->mark = sequence;
    for (uint32_t i = 0; i < sp->log_count; i++) {
        log_mark(&sp->logs[i]);
    }
    spool_kick(sp);
}

void spool_unlogged_done(struct spool *sp, struct spool_ref ref)
{
    struct spool_log *log = NULL;
    uint32_t index;

    if (ref.log < sp->log_number_end && sp->log_by_number[ref.log] != 0) {
        log = &sp->logs[sp->log_by_number[ref.log] - 1];
    }
    MUST(log != NULL && log->unlogged_found > 0);
    log->unlogged_found--;
    if (spool_slot(sp, ref, &log, &index) != NULL) {
        slot_free(log, index);
    }
    log_mark(log);
    spool_kick(sp);
}

/* ---- withdrawals ---- */

struct void_wait {
    struct commit_wait wait;
    struct spool_void *owner;
};

static void void_answer_later(struct spool *sp, struct spool_void *v)
{
    v->next = sp->answers.voids;
    sp->answers.voids = v;
    spool_kick(sp);
}

static void void_done(struct commit_wait *wait, enum spool_err err)
{
    struct void_wait *w = CONTAINER_OF(wait, struct void_wait, wait);
    struct spool_void *v = w->owner;

    mem_give(w);
    if (err != SPOOL_OK) {
        v->phase = SPOOL_E_IO;
    }
    if (--v->pending == 0) {
        v->done(v, (enum spool_err)v->phase);
    }
}

struct void_batch {
    struct spool_log *log;
    uint32_t count;
    uint32_t slots[VOID_IDS_MAX];
    uint64_t ids[VOID_IDS_MAX];
};

/* Takes refs of one log off the front; answers where it stopped. */
static uint32_t void_collect(struct spool *sp, const struct spool_void *v, uint32_t from,
                             struct void_batch *batch)
{
    uint32_t at = from;

    batch->log = NULL;
    batch->count = 0;
    for (; at < v->ref_count && batch->count < VOID_IDS_MAX; at++) {
        struct spool_log *log;
        struct slot *slot = spool_slot(sp, v->refs[at], &log, &batch->slots[batch->count]);

        if (slot == NULL || slot_status(slot) != SLOT_LIVE) {
            continue;
        }
        if (batch->log != NULL && log != batch->log) {
            break;
        }
        batch->log = log;
        batch->ids[batch->count++] = slot->id;
        slot_set_status(slot, SLOT_PENDING); /* named twice, it is taken once */
    }
    return at;
}

static void void_stage(struct spool_void *v, const struct void_batch *batch)
{
    uint32_t size = batch->count * (uint32_t)sizeof(*batch->ids);
    struct commit *c = commit_room(batch->log, entry_size(size), row_size(size));
    uint64_t loc;

    memcpy(commit_entry(c,
                        &(struct entry_head){.kind = ENTRY_SETTLED_SET,
                                             .flags = ENTRY_VOID,
                                             .len = size,
                                             .count = batch->count},
                        &loc),
           batch->ids, size);
    c->row_bytes += row_size(size);
    c->urgent = true;
    if (batch->log->stalled) { /* as with changes */
        v->phase = SPOOL_E_IO;
    } else {
        struct void_wait *w = MEM_NEW(struct void_wait);

        w->wait.done = void_done;
        w->owner = v;
        commit_wait_add(c, &w->wait);
        v->pending++;
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        slot_free(batch->log, batch->slots[i]);
    }
}

void spool_withdraw(struct spool *sp, struct spool_void *v)
{
    struct void_batch batch;

    MUST(v->done != NULL);
    v->pending = 0;
    v->phase = SPOOL_OK;
    for (uint32_t at = 0; at < v->ref_count;) {
        at = void_collect(sp, v, at, &batch);
        if (batch.count > 0) {
            void_stage(v, &batch);
        }
    }
    if (v->pending == 0) {
        void_answer_later(sp, v);
    }
    spool_kick(sp);
}
