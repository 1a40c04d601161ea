#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/recover_private.h"

#define JUDGE_BUDGET 4096u
#define CHUNKS_MAX (SPOOL_BODY_MAX / 4096u)
#define BOOT_OF(seq) ((seq) >> STORE_BOOT_SHIFT)

void gather_open(struct recovery *rec)
{
    table_init(&rec->records, sizeof(struct gathered));
    table_init(&rec->bodies, sizeof(struct gathered_body));
    table_init(&rec->settles, sizeof(struct gathered_settle));
}

void gather_close(struct recovery *rec)
{
    for (uint32_t i = 0; i < rec->bodies.used; i++) {
        struct gathered_body *body = table_at(&rec->bodies, i);

        if (body->id != 0) {
            mem_give(body->chunks);
        }
    }
    table_free(&rec->records);
    table_free(&rec->bodies);
    table_free(&rec->settles);
    MEM_FREE(&rec->suspects);
    MEM_FREE(&rec->durable);
}

static uint32_t index_of(struct table *t, uint64_t key)
{
    uint32_t index = table_find(t, key);

    return index != TABLE_NONE ? index : table_take(t, key);
}

static void *find_or_take(struct table *t, uint64_t key)
{
    return table_at(t, index_of(t, key));
}

/* ---- what commits and headers say about each other ---- */

static uint64_t *durable_of(struct recovery *rec, uint64_t boot)
{
    for (uint32_t i = 0; i < rec->durable_count; i++) {
        if (rec->durable[i].boot == boot) {
            return &rec->durable[i].seq;
        }
    }
    rec->durable = mem_grow(rec->durable, (rec->durable_count + 1) * sizeof(*rec->durable));
    rec->durable[rec->durable_count] = (struct boot_durable){.boot = boot};
    return &rec->durable[rec->durable_count++].seq;
}

/* A process knows which of its own commits completed, and nothing of an earlier one's. */
static void durable_note(struct recovery *rec, uint64_t durable_seq)
{
    uint64_t *seq = durable_of(rec, BOOT_OF(durable_seq));

    *seq = durable_seq > *seq ? durable_seq : *seq;
}

void gather_commit(struct recovery *rec, uint64_t seq, uint64_t durable_seq, uint64_t mark)
{
    durable_note(rec, durable_seq);
    rec->mark = mark > rec->mark ? mark : rec->mark;
    if (seq == 0) {
        return;
    }
    for (; rec->suspect_open < rec->suspect_count; rec->suspect_open++) {
        struct suspect *s = &rec->suspects[rec->suspect_open];

        if (s->seq == UINT64_MAX) {
            s->seq = seq - 1;
        }
    }
}

void gather_segment_end(struct recovery *rec)
{
    rec->suspect_open = rec->suspect_count;
}

void gather_suspect(struct recovery *rec, struct segment *seg, const struct row *row,
                    const struct scan_entry *e)
{
    struct suspect *s;

    if (rec->suspect_count == rec->suspect_cap) {
        rec->suspect_cap = rec->suspect_cap != 0 ? rec->suspect_cap * 2 : 64;
        rec->suspects = mem_grow(rec->suspects, rec->suspect_cap * sizeof(*rec->suspects));
    }
    s = &rec->suspects[rec->suspect_count++];
    *s = (struct suspect){.row = row->head,
                          .body_id = row->body_id,
                          .seq = e->seq != 0 ? e->seq : UINT64_MAX,
                          .segment = seg->index,
                          .sound = e->sound};
    if (e->head.kind == ENTRY_RECORD && e->payload.len >= sizeof(struct record_head)) {
        memcpy(s->message_id, e->payload.ptr + offsetof(struct record_head, id),
               sizeof(s->message_id));
    }
}

/* ---- rows ---- */

static void gather_record(struct recovery *rec, const struct row_head *row, uint64_t body_id,
                          uint64_t loc)
{
    struct gathered *g = find_or_take(&rec->records, row->stamp);

    if (row->version > g->state_version) {
        g->state_version = row->version;
        g->body = index_of(&rec->bodies, body_id);
        g->state = loc_with_flags(loc, row->flags & ENTRY_PENDING ? GATHERED_PENDING : 0);
    }
    if ((row->flags & ENTRY_BLOB) != 0 && row->version > g->blob_version) {
        g->blob_version = row->version;
        g->blob = loc;
    }
}

static void gather_chunk(struct recovery *rec, const struct row_head *row, uint64_t loc)
{
    struct gathered_body *body = find_or_take(&rec->bodies, row->stamp);

    if (row->count >= CHUNKS_MAX) {
        return;
    }
    if (row->count >= body->chunk_count) {
        uint32_t count = row->count + 1;

        body->chunks = mem_grow(body->chunks, count * sizeof(*body->chunks));
        memset(body->chunks + body->chunk_count, 0,
               (count - body->chunk_count) * sizeof(*body->chunks));
        body->chunk_count = count;
    }
    body->chunks[row->count] = loc;
}

static void gather_body(struct recovery *rec, const struct row_head *row, uint64_t loc)
{
    struct gathered_body *body = find_or_take(&rec->bodies, row->stamp);

    body->loc = loc;
    body->is_manifest = row->kind == ENTRY_MANIFEST;
    body->chunks_due = body->is_manifest ? row->count : 0;
}

static void gather_settle(struct recovery *rec, uint64_t id, uint64_t sequence)
{
    struct gathered_settle *s = find_or_take(&rec->settles, id);

    s->sequence = sequence > s->sequence ? sequence : s->sequence;
}

static void gather_settled_set(struct recovery *rec, struct segment *seg, struct slice ids)
{
    for (size_t at = 0; at + sizeof(uint64_t) <= ids.len; at += sizeof(uint64_t)) {
        uint64_t id;

        memcpy(&id, ids.ptr + at, sizeof(id));
        if (id != 0) {
            gather_settle(rec, id, 0);
            segment_note_settled(seg, id);
        }
    }
}

static void gather_head(struct recovery *rec, struct segment *seg, const struct row_head *row,
                        uint64_t body_id)
{
    uint64_t loc = loc_make(seg->index, row->unit, entry_size(row->len));

    switch (row->kind) {
    case ENTRY_RECORD:
        gather_record(rec, row, body_id, loc);
        break;
    case ENTRY_BODY:
    case ENTRY_MANIFEST:
        gather_body(rec, row, loc);
        break;
    case ENTRY_CHUNK:
        gather_chunk(rec, row, loc);
        break;
    case ENTRY_SETTLE:
        gather_settle(rec, row->stamp, row->flags & ENTRY_VOID ? 0 : row->version);
        break;
    default:
        break;
    }
}

void gather_row(struct recovery *rec, struct segment *seg, const struct row *row)
{
    struct entry_head head = {.kind = row->head.kind,
                              .flags = row->head.flags,
                              .stamp = row->head.stamp,
                              .version = row->head.version};

    segment_note(seg, &head);
    if (row->head.kind == ENTRY_SETTLED_SET) {
        gather_settled_set(rec, seg, row->extra);
    } else if (row->head.stamp != 0) {
        gather_head(rec, seg, &row->head, row->body_id);
    }
}

/* ---- judgement ---- */

/* A whole commit has it, too: what stands there counts at every start. A commit that is not whole
 * counts only as long as some other tells that it had completed, and that one may be cleaned away;
 * a write that failed and was done again elsewhere even leaves one that never had. */
static bool stands_elsewhere(const struct recovery *rec, const struct row_head *row)
{
    uint32_t index;
    const struct gathered_body *body;

    if (row->kind != ENTRY_BODY && row->kind != ENTRY_MANIFEST && row->kind != ENTRY_CHUNK) {
        return false; /* of records, the version decides */
    }
    index = table_find(&rec->bodies, row->stamp);
    if (index == TABLE_NONE) {
        return false;
    }
    body = table_at(&rec->bodies, index);
    if (row->kind == ENTRY_CHUNK) {
        return row->count < body->chunk_count && body->chunks[row->count] != 0;
    }
    return body->loc != 0;
}

/* The transactions of commits that had completed count as far as they are there; those of a
 * commit that a crash cut short were acknowledged to nobody, and count whole or not at all. */
static void judge_suspect(struct recovery *rec, const struct suspect *s)
{
    struct spool *sp = rec->log->sp;
    bool completed = s->seq != UINT64_MAX && s->seq <= *durable_of(rec, BOOT_OF(s->seq));

    if (!completed || stands_elsewhere(rec, &s->row)) {
        return;
    }
    if (s->sound || s->row.kind == ENTRY_SETTLE) {
        /* Who was settled stands in the head; of an unsound one only what happened is lost. */
        gather_head(rec, rec->log->segments[s->segment], &s->row, s->body_id);
    } else if (s->row.kind == ENTRY_SETTLED_SET) {
        spool_damaged(sp, NULL, rec->log->segments[s->segment],
                      "a list of settled records is lost");
    } else if (s->row.kind == ENTRY_RECORD &&
               table_find(&rec->records, s->row.stamp) == TABLE_NONE &&
               table_find(&rec->settles, s->row.stamp) == TABLE_NONE) {
        spool_damaged(sp, s->message_id, rec->log->segments[s->segment],
                      "a record's checksum is wrong");
    }
}

static bool body_complete(const struct gathered_body *body)
{
    if (body->loc == 0) {
        return false;
    }
    for (uint32_t i = 0; i < body->chunks_due; i++) {
        if (i >= body->chunk_count || body->chunks[i] == 0) {
            return false;
        }
    }
    return true;
}

/* 0: over and logged; 1: over, its log record is not known to be durable; 2: alive. */
static int record_fate(const struct recovery *rec, const struct gathered *g)
{
    uint32_t index = table_find(&rec->settles, g->id);
    const struct gathered_settle *s;

    if (index == TABLE_NONE) {
        return 2;
    }
    s = table_at(&rec->settles, index);
    return s->sequence > rec->mark ? 1 : 0;
}

static void judge_record(struct recovery *rec, struct gathered *g)
{
    struct gathered_body *body = table_at(&rec->bodies, g->body);
    int fate = record_fate(rec, g);
    struct slot *slot;
    uint32_t index;

    if (fate == 0) {
        return;
    }
    if (g->state_version == 0 || g->blob_version == 0 || !body_complete(body)) {
        bool unfinished = (loc_flags(g->state) & GATHERED_PENDING) != 0 && body->loc == 0;

        if (fate == 2 && !unfinished) {
            g->state = loc_with_flags(g->state, GATHERED_DAMAGED);
        }
        return;
    }
    index = table_take(&rec->log->slots, g->id);
    slot = table_at(&rec->log->slots, index);
    g->slot = index + 1;
    slot->state = loc_with_flags(g->state, fate == 1 ? SLOT_UNLOGGED : SLOT_LIVE);
    slot->blob = g->blob;
    body->refs++;
}

static void shared_install(struct spool_log *log, const struct gathered_body *body,
                           struct slot *slot)
{
    uint32_t index = table_find(&log->bodies, body->id);
    struct shared_body *shared;

    if (index == TABLE_NONE) {
        index = table_take(&log->bodies, body->id);
        shared = table_at(&log->bodies, index);
        shared->loc = body->loc;
        shared->chunk_count = body->chunks_due;
        shared->chunks = mem_take_zero(shared->chunk_count * sizeof(*shared->chunks));
        place_hold(log, shared->loc);
        for (uint32_t i = 0; i < shared->chunk_count; i++) {
            shared->chunks[i] = body->chunks[i];
            place_hold(log, shared->chunks[i]);
        }
    }
    shared = table_at(&log->bodies, index);
    shared->refs++;
    slot->body = loc_with_flags(index, SLOT_SHARED);
}

/* Now that every body knows how many records it has: what each record holds. */
static void install_record(struct recovery *rec, const struct gathered *g)
{
    struct spool_log *log = rec->log;
    const struct gathered_body *body = table_at(&rec->bodies, g->body);
    struct slot *slot;

    if (g->slot == 0) {
        return;
    }
    slot = table_at(&log->slots, g->slot - 1);
    place_hold(log, slot->state);
    if (loc_place(slot->blob) != loc_place(slot->state)) {
        place_hold(log, slot->blob);
    }
    if (body->refs == 1 && !body->is_manifest && body->id == g->id) {
        slot->body = body->loc;
        place_hold(log, slot->body);
    } else {
        shared_install(log, body, slot);
    }
}

bool gather_judge(struct recovery *rec)
{
    static const unsigned steps = 3;
    const uint32_t ends[3] = {rec->suspect_count, rec->records.used, rec->records.used};

    for (uint32_t left = JUDGE_BUDGET; left > 0 && rec->judge_step < steps; left--) {
        if (rec->judge_at >= ends[rec->judge_step]) {
            rec->judge_at = 0;
            rec->judge_step++;
            return false; /* the next step's end may have moved */
        }
        if (rec->judge_step == 0) {
            judge_suspect(rec, &rec->suspects[rec->judge_at]);
        } else {
            struct gathered *g = table_at(&rec->records, rec->judge_at);

            if (g->id != 0 && rec->judge_step == 1) {
                judge_record(rec, g);
            } else if (g->id != 0) {
                install_record(rec, g);
            }
        }
        rec->judge_at++;
    }
    return rec->judge_step == steps;
}
