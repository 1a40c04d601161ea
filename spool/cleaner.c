#include "spool/cleaner.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/commit.h"
#include "spool/put.h"
#include "spool/row.h"
#include "spool/scan.h"
#include "spool/segment_pool.h"

#define WINDOW (1024u * 1024u)
#define KEPT_IDS_MAX 1024u
#define USED_MIN 4u /* below, copying gains nothing worth the reading */
#define DEAD_CHECK_MS 10u
#define AHEAD_COMMITS 2u /* copies that wait to be written, before reading on */
#define PAUSE_MS 60000u  /* after a segment that was hardly worth it */

struct cleaner {
    struct spool_log *log;
    struct segment *victim;
    struct scan scan;
    struct ring_op op;
    char *buffer;
    uint64_t cap, from, len;
    bool scanned;
    bool spoiled; /* it holds something that cannot be read: keep it */
    uint64_t copied_bytes;
    uint64_t ids[KEPT_IDS_MAX]; /* settled, and still to be known as such */
    uint32_t id_count;
};

/* ---- which settles must outlive a segment ---- */

/* A settle is needed as long as a snapshot of its record may be read anywhere else: recovery
 * would take that for a live message. What lies in the victim itself goes with it. */
static bool settle_needed(const struct spool_log *log, const struct segment *victim, uint64_t id)
{
    for (uint32_t i = 0; i < log->segment_cap; i++) {
        const struct segment *seg = log->segments[i];

        if (seg != NULL && seg != victim && segment_has_content(seg) && segment_may_hold(seg, id)) {
            return true;
        }
    }
    return false;
}

/* The same for all settles of a segment at once, without reading it; true may be too careful. */
static bool settles_needed(const struct spool_log *log, const struct segment *victim)
{
    if (victim->settled_last == 0) {
        return false;
    }
    if (victim->settle_seq_last > log->mark) {
        return true;
    }
    for (uint32_t i = 0; i < log->segment_cap; i++) {
        const struct segment *seg = log->segments[i];

        if (seg == NULL || seg == victim || !segment_has_content(seg)) {
            continue;
        }
        if (seg->moved != NULL ||
            (seg->first_id <= victim->settled_last && seg->last_id >= victim->settled_first)) {
            return true;
        }
    }
    return false;
}

/* ---- copying ---- */

static void ids_flush(struct cleaner *cl)
{
    uint32_t size = cl->id_count * (uint32_t)sizeof(*cl->ids);
    struct commit *c;
    uint64_t loc;

    if (cl->id_count == 0) {
        return;
    }
    c = commit_room(cl->log, entry_size(size), row_size(size));
    memcpy(commit_entry(
               c,
               &(struct entry_head){.kind = ENTRY_SETTLED_SET, .len = size, .count = cl->id_count},
               &loc),
           cl->ids, size);
    c->row_bytes += row_size(size);
    cl->copied_bytes += entry_size(size);
    cl->id_count = 0;
}

static void id_keep(struct cleaner *cl, uint64_t id)
{
    if (!settle_needed(cl->log, cl->victim, id)) {
        return;
    }
    if (cl->id_count == KEPT_IDS_MAX) {
        ids_flush(cl);
    }
    cl->ids[cl->id_count++] = id;
}

/* The entry as it is, but on its own: no longer one of a transaction. */
static uint64_t entry_copy(struct cleaner *cl, const struct scan_entry *e)
{
    struct entry_head head = e->head;
    uint64_t rows = row_size(e->head.kind == ENTRY_RECORD ? e->head.len : 0);
    struct commit *c = commit_room(cl->log, entry_size(head.len), rows);
    uint64_t loc;
    char *to;

    head.flags &= ENTRY_BLOB;
    head.count = head.kind == ENTRY_BODY ? 0 : head.count;
    to = commit_entry(c, &head, &loc);
    if (head.len != 0) {
        memcpy(to, e->payload.ptr, head.len);
    }
    c->row_bytes += rows;
    cl->copied_bytes += entry_size(head.len);
    cl->log->sp->counters.cleaned_bytes += entry_size(head.len);
    return loc;
}

static void record_clean(struct cleaner *cl, const struct scan_entry *e, uint64_t place)
{
    struct spool_log *log = cl->log;
    uint32_t index = table_find(&log->slots, e->head.stamp);
    struct slot *slot;
    bool state, blob;
    uint64_t loc;

    if (index == TABLE_NONE) {
        return;
    }
    slot = table_at(&log->slots, index);
    state = loc_place(slot->state) == place;
    blob = loc_place(slot->blob) == place;
    if (!state && !blob) {
        return;
    }
    if (!e->sound) {
        cl->spoiled = true;
        return;
    }
    loc = entry_copy(cl, e);
    if (state) {
        slot_set_state(log, slot, loc);
    }
    if (blob) {
        slot_set_blob(log, slot, loc);
    }
}

static void piece_clean(struct cleaner *cl, const struct scan_entry *e, uint64_t place)
{
    uint64_t *at = e->head.kind == ENTRY_CHUNK ? chunk_place(cl->log, e->head.stamp, e->head.count)
                                               : body_place(cl->log, e->head.stamp);
    uint64_t old;

    if (at == NULL || loc_place(*at) != place) {
        return;
    }
    if (!e->sound) {
        cl->spoiled = true;
        return;
    }
    old = *at;
    *at = loc_with_flags(entry_copy(cl, e), loc_flags(old));
    place_release(cl->log, old);
}

static void settle_clean(struct cleaner *cl, const struct scan_entry *e)
{
    const struct spool_log *log = cl->log;
    uint32_t index = table_find(&log->slots, e->head.stamp);

    if (e->sound && (e->head.flags & ENTRY_VOID) == 0 && e->head.version > log->mark) {
        (void)entry_copy(cl, e); /* with its outcome, for it may have to be logged yet */
    } else if (e->sound || index == TABLE_NONE ||
               slot_status(table_at(&log->slots, index)) == SLOT_UNLOGGED) {
        id_keep(cl, e->head.stamp);
    }
    /* Else a crash tore it: the record lived on, and what settles it is written elsewhere. */
}

static void settled_set_clean(struct cleaner *cl, const struct scan_entry *e)
{
    for (size_t at = 0; e->sound && at + sizeof(uint64_t) <= e->payload.len;
         at += sizeof(uint64_t)) {
        uint64_t id;

        memcpy(&id, e->payload.ptr + at, sizeof(id));
        id_keep(cl, id);
    }
    cl->spoiled |= !e->sound && !cl->victim->torn && cl->victim->state != SEGMENT_FAILED;
}

static void on_entry(void *ctx, const struct scan_entry *e)
{
    struct cleaner *cl = ctx;
    uint64_t place = loc_place(loc_make(cl->victim->index, (uint32_t)(e->offset / FORMAT_UNIT), 0));

    switch (e->head.kind) {
    case ENTRY_RECORD:
        record_clean(cl, e, place);
        break;
    case ENTRY_BODY:
    case ENTRY_MANIFEST:
    case ENTRY_CHUNK:
        piece_clean(cl, e, place);
        break;
    case ENTRY_SETTLE:
        settle_clean(cl, e);
        break;
    case ENTRY_SETTLED_SET:
        settled_set_clean(cl, e);
        break;
    default:
        break;
    }
}

static void on_commit(void *ctx, const struct commit_head *head, uint64_t offset)
{
    (void)ctx;
    (void)head;
    (void)offset;
}

/* ---- one victim ---- */

static bool disk_full(const struct spool_log *log)
{
    return log->starved == SPOOL_E_FULL || log->sp->space_low;
}

static void cleaner_end(struct cleaner *cl)
{
    cl->log->cleaner = NULL;
    mem_give(cl->buffer);
    mem_give(cl);
}

static void cleaner_spoil(struct cleaner *cl, const char *why)
{
    spool_damaged(cl->log->sp, NULL, cl->victim, why);
    cleaner_end(cl);
}

static void window_done(struct ring_op *op, int32_t res, uint32_t flags);

static bool cleaner_must_wait(const struct cleaner *cl)
{
    const struct dlist *head = &cl->log->ready_list;
    uint32_t waiting = 0;

    for (const struct dlist *n = head->next; n != head && waiting < AHEAD_COMMITS; n = n->next) {
        waiting++;
    }
    return waiting >= AHEAD_COMMITS;
}

static void window_read(struct cleaner *cl)
{
    uint64_t to = cl->scan.at + WINDOW;

    to = format_up(cl->scan.need > to ? cl->scan.need : to, FORMAT_BLOCK);
    to = to < cl->victim->ident.size ? to : cl->victim->ident.size;
    cl->from = cl->scan.at;
    cl->len = to - cl->from;
    if (cl->cap < cl->len) {
        mem_give(cl->buffer);
        cl->cap = cl->len;
        cl->buffer = mem_take_aligned(FORMAT_BLOCK, cl->cap);
    }
    cl->op.done = window_done;
    segment_read(cl->victim, &cl->op, cl->buffer, cl->len, cl->from);
}

static void scan_over(struct cleaner *cl)
{
    struct spool_log *log = cl->log;

    if (cl->spoiled || cl->victim->live_count > 0) {
        cleaner_spoil(cl, "a segment holds messages that cannot be read");
        return;
    }
    ids_flush(cl);
    cl->scanned = true;
    cl->victim->barrier = log->next_ordinal - 1;
    if (cl->copied_bytes > cl->victim->ident.size / 2) {
        log->clean_not_before_ms =
            shard_now_ms(log->sp->shard) + (disk_full(log) ? LOG_RETRY_MS : PAUSE_MS);
    }
    if (log->stage != NULL) {
        log->flush_due = true;
    }
    spool_kick(log->sp);
}

static void window_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct cleaner *cl = CONTAINER_OF(op, struct cleaner, op);

    (void)flags;
    if (res < 0) {
        cl->log->sp->counters.io_error_count++;
        cleaner_spoil(cl, "a segment cannot be read");
        return;
    }
    if ((uint64_t)res < cl->len) {
        cl->len = (uint64_t)res;
        if (cl->from + cl->len < cl->scan.need) { /* not even what was asked for: the file ends */
            cl->scan.end = cl->from + cl->len;
        }
    }
    if (cl->scan.end <= cl->scan.at || scan_window(&cl->scan, cl->buffer, cl->from, cl->len)) {
        scan_over(cl);
    } else {
        spool_kick(cl->log->sp); /* the next window, when the copies leave room */
    }
}

static void cleaner_start(struct spool_log *log, struct segment *victim)
{
    struct cleaner *cl = MEM_NEW(struct cleaner);

    log->cleaner = cl;
    cl->log = log;
    cl->victim = victim;
    scan_begin(&cl->scan, &victim->ident);
    cl->scan.ctx = cl;
    cl->scan.on_commit = on_commit;
    cl->scan.on_entry = on_entry;
    window_read(cl);
}

/* ---- choosing ---- */

/* Nothing that could still change what it holds is under way. */
static bool may_go(const struct spool_log *log, const struct segment *seg)
{
    return (seg->state == SEGMENT_SEALED || seg->state == SEGMENT_FAILED) && !seg->pinned &&
           seg->readers == 0 && seg->writes == 0 && !seg->op.in_flight &&
           seg->barrier <= commit_completed(log);
}

static void dead_recycle(struct spool_log *log)
{
    uint32_t waiting = 0;

    for (uint32_t i = 0; i < log->segment_cap; i++) {
        struct segment *seg = log->segments[i];

        if (seg == NULL || seg->live_count > 0 || seg->pinned ||
            (seg->state != SEGMENT_SEALED && seg->state != SEGMENT_FAILED)) {
            continue;
        }
        if (!may_go(log, seg)) {
            waiting++;
        } else if (!settles_needed(log, seg)) {
            segment_pool_recycle(seg);
        }
    }
    log->dead_waiting = waiting;
    log->dead_hint = waiting > 0;
}

/* Looking at all segments costs; under load one of them waits for a barrier at any time. */
static bool dead_check_due(struct spool_log *log)
{
    uint64_t now_ms = shard_now_ms(log->sp->shard);

    if (now_ms < log->dead_checked_ms + DEAD_CHECK_MS && !disk_full(log)) {
        return false;
    }
    log->dead_checked_ms = now_ms;
    return true;
}

static bool space_asks(const struct spool_log *log)
{
    uint64_t used = log->state_counts[SEGMENT_SEALED] + log->state_counts[SEGMENT_FAILED];

    /* Those come back by themselves. */
    used -= log->dead_waiting < used ? log->dead_waiting : used;

    if (shard_now_ms(log->sp->shard) < log->clean_not_before_ms) {
        return false;
    }
    return (used >= USED_MIN && log->live_bytes < used * log->sp->store->limits.segment_size / 2) ||
           (used > 0 && disk_full(log));
}

/* Copying must gain: half a segment at most, and no settles whose outcome has to go along, for
 * those will be nothing as soon as their log records are durable. A full disk is less choosy. */
static bool worth_copying(const struct spool_log *log, const struct segment *seg)
{
    if (!seg->garbage && seg->live_count > 0) {
        return false; /* full of copies: copying them again would go on for ever */
    }
    if (disk_full(log)) {
        return seg->live_bytes <= seg->ident.size / 4 * 3;
    }
    return seg->live_bytes <= seg->ident.size / 2 && seg->settle_seq_last <= log->mark;
}

static struct segment *victim_pick(const struct spool_log *log)
{
    struct segment *pick = NULL;

    for (uint32_t i = 0; i < log->segment_cap; i++) {
        struct segment *seg = log->segments[i];

        if (seg == NULL || !may_go(log, seg) || !worth_copying(log, seg)) {
            continue;
        }
        if (pick == NULL || seg->live_bytes < pick->live_bytes ||
            (seg->live_bytes == pick->live_bytes && seg->ident.id < pick->ident.id)) {
            pick = seg;
        }
    }
    return pick;
}

static void cleaner_go_on(struct cleaner *cl)
{
    struct spool_log *log = cl->log;

    if (cl->op.in_flight) {
        return;
    }
    if (log->sp->draining ||
        cl->victim->pinned) { /* copies are copies: stopping half-way loses nothing */
        cleaner_end(cl);
    } else if (cl->scanned) {
        if (log->stage != NULL) {
            log->flush_due = true;
        }
        if (may_go(log, cl->victim)) {
            struct segment *victim = cl->victim;

            cleaner_end(cl);
            segment_pool_recycle(victim);
            spool_kick(log->sp);
        }
    } else if (!cleaner_must_wait(cl)) {
        window_read(cl);
    }
}

void cleaner_tick(struct spool_log *log)
{
    struct segment *victim;

    if (log->recovery != NULL || log->unstable) {
        return;
    }
    if (log->cleaner != NULL) {
        cleaner_go_on(log->cleaner);
        return;
    }
    if (log->sp->draining) {
        return;
    }
    if (log->dead_hint) {
        if (!dead_check_due(log)) {
            spool_wake_later(log->sp);
            return; /* what comes back by itself is not copied */
        }
        dead_recycle(log);
    }
    if (!log->clean_hint || !space_asks(log)) {
        return;
    }
    victim = victim_pick(log);
    if (victim != NULL) {
        cleaner_start(log, victim);
    } else {
        log->clean_hint = false; /* until something is released again */
    }
}

bool cleaner_busy(const struct spool_log *log)
{
    return log->cleaner != NULL;
}

void cleaner_close(struct spool_log *log)
{
    if (log->cleaner != NULL) {
        MUST(!log->cleaner->op.in_flight);
        cleaner_end(log->cleaner);
    }
}
