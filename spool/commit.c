#include "spool/commit.h"

#include <errno.h>

#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/put.h"
#include "spool/row.h"
#include "spool/segment_pool.h"

/* ---- staging ---- */

static uint32_t commit_index_take(struct spool_log *log, struct commit *c)
{
    for (uint32_t i = 0; i < log->commit_cap; i++) {
        if (log->commits[i] == NULL) {
            log->commits[i] = c;
            return i;
        }
    }

    uint32_t index = log->commit_cap;
    uint32_t cap = index != 0 ? index * 2 : 16;

    MUST(cap <= LOC_COMMIT_MAX); /* commit_backlogged() keeps far from it */
    log->commits = mem_grow(log->commits, cap * sizeof(*log->commits));
    memset(log->commits + index, 0, (cap - index) * sizeof(*log->commits));
    log->commits[index] = c;
    log->commit_cap = cap;
    return index;
}

/* Staging buffers are reused: zeroing a fresh one would cost as much as filling it. */
static char *buffer_take(struct spool *sp, uint64_t cap)
{
    if (cap == sp->store->limits.commit_cap && sp->spare_count > 0) {
        return sp->spare[--sp->spare_count];
    }
    return mem_take_aligned(FORMAT_BLOCK, cap);
}

static void buffer_give(struct spool *sp, char *bytes, uint64_t cap)
{
    if (cap == sp->store->limits.commit_cap && sp->spare_count < ARRAY_COUNT(sp->spare)) {
        sp->spare[sp->spare_count++] = bytes;
    } else {
        mem_give(bytes);
    }
}

static struct commit *commit_new(struct spool_log *log, uint64_t bytes)
{
    struct commit *c = MEM_NEW(struct commit);
    uint64_t cap = format_up(sizeof(struct commit_head) + bytes, FORMAT_BLOCK);

    if (cap < log->sp->store->limits.commit_cap) {
        cap = log->sp->store->limits.commit_cap;
    }
    c->log = log;
    c->index = commit_index_take(log, c);
    c->ordinal = log->next_ordinal++;
    c->cap = (uint32_t)cap;
    c->bytes = buffer_take(log->sp, cap);
    c->len = sizeof(struct commit_head);
    c->changes_tail = &c->changes;
    c->waits_tail = &c->waits;
    log->sp->staging_bytes += cap;
    log->alive_count++;
    dlist_push(&log->alive, &c->alive);
    return c;
}

static void commit_free(struct commit *c)
{
    struct spool_log *log = c->log;

    MUST(!c->op.in_flight);
    log->commits[c->index] = NULL;
    log->alive_count--;
    log->sp->staging_bytes -= c->cap;
    if (dlist_linked(&c->link)) {
        dlist_remove(&c->link);
    }
    if (log->stage == c) {
        log->stage = NULL;
    }
    if (dlist_linked(&c->alive)) {
        dlist_remove(&c->alive);
    }
    buffer_give(log->sp, c->bytes, c->cap);
    mem_give(c);
}

static void commit_close(struct spool_log *log)
{
    dlist_push(&log->ready_list, &log->stage->link);
    log->stage = NULL;
    log->flush_due = false;
}

/* The index of a segment must have room for every row, so rows count against a commit too. */
static bool commit_has_room(const struct commit *c, uint64_t bytes, uint64_t row_bytes)
{
    return c->len + bytes <= c->cap && c->row_bytes + row_bytes <= c->cap;
}

bool commit_backlogged(const struct spool_log *log, uint64_t bytes, uint64_t row_bytes)
{
    return log->alive_count >= log->sp->store->limits.backlog_commits_max &&
           (log->stage == NULL || !commit_has_room(log->stage, bytes, row_bytes));
}

struct commit *commit_room(struct spool_log *log, uint64_t bytes, uint64_t row_bytes)
{
    if (log->stage != NULL && !commit_has_room(log->stage, bytes, row_bytes)) {
        commit_close(log);
    }
    if (log->stage == NULL) {
        log->stage = commit_new(log, bytes);
    }
    return log->stage;
}

/* ---- */

char *commit_entry(struct commit *c, const struct entry_head *head, uint64_t *loc_out)
{
    struct entry_head *to = (struct entry_head *)(c->bytes + c->len);
    uint64_t size = entry_size(head->len);

    MUST(c->len + size <= c->cap);
    *to = *head;
    memset((char *)to + size - FORMAT_UNIT, 0,
           size > sizeof(*head) ? FORMAT_UNIT : 0); /* the padding; payload goes over it */
    *loc_out = loc_make(LOC_COMMIT_BASE + c->index, c->len / LOC_UNIT, size);
    c->len += (uint32_t)size;
    c->entry_count++;
    return (char *)(to + 1);
}

void commit_wait_add(struct commit *c, struct commit_wait *w)
{
    w->next = NULL;
    *c->waits_tail = w;
    c->waits_tail = &w->next;
}

const struct entry_head *commit_at(const struct spool_log *log, uint64_t loc)
{
    uint32_t index = loc_segment(loc) - LOC_COMMIT_BASE;

    MUST(loc_in_commit(loc) && index < log->commit_cap && log->commits[index] != NULL);
    return (const struct entry_head *)(log->commits[index]->bytes + loc_offset(loc));
}

uint64_t commit_completed(const struct spool_log *log)
{
    return dlist_empty(&log->alive)
               ? log->next_ordinal - 1
               : CONTAINER_OF(log->alive.next, struct commit, alive)->ordinal - 1;
}

/* Every sequence up to the answer belongs to a commit whose content is durable. */
static uint64_t durable_seq(const struct spool_log *log)
{
    uint64_t seq = log->last_seq;

    for (const struct dlist *n = log->alive.next; n != &log->alive; n = n->next) {
        const struct commit *c = CONTAINER_OF(n, struct commit, alive);

        if (c->seq != 0 && c->seq - 1 < seq) {
            seq = c->seq - 1;
        }
    }
    return seq;
}

/* ---- writing ---- */

static void commit_write_done(struct ring_op *op, int32_t res, uint32_t flags);

/* Fills in everything that depends on the place. */
static void commit_seal(struct commit *c)
{
    const struct segment_ident *ident = &c->segment->ident;
    struct commit_head *head = (struct commit_head *)c->bytes;
    uint32_t at = sizeof(*head);

    while (at < c->len) {
        struct entry_head *entry = (struct entry_head *)(c->bytes + at);

        entry_seal(entry, ident, c->offset + at);
        segment_note(c->segment, entry);
        if (entry->kind == ENTRY_SETTLED_SET) {
            const uint64_t *ids = (const uint64_t *)(entry + 1);

            for (uint32_t i = 0; i < entry->count; i++) {
                segment_note_settled(c->segment, ids[i]);
            }
        }
        at += (uint32_t)entry_size(entry->len);
    }
    *head = (struct commit_head){.len = c->len,
                                 .seq = c->seq,
                                 .durable_seq = c->log->durable_seq,
                                 .logged_mark = c->log->mark};
    commit_head_seal(head, ident, c->offset);
    memset(c->bytes + c->len, 0, format_up(c->len, FORMAT_BLOCK) - c->len);
}

static void commit_launch(struct spool_log *log, struct commit *c)
{
    uint32_t size = (uint32_t)format_up(c->len, FORMAT_BLOCK);

    dlist_remove(&c->link);
    log->probe = false;
    log->durable_seq = durable_seq(log);
    c->seq = ++log->sp->seq;
    log->last_seq = c->seq;
    c->done_bytes = 0;
    c->written = true;
    commit_seal(c);
    log->in_flight++;
    c->segment->writes++;
    c->op.done = commit_write_done;
    segment_write(c->segment, &c->op, c->bytes, size, c->offset, true);
    log->sp->counters.commit_count++;
    log->sp->counters.bytes_written += size;
}

/* Finds room in the open segment, or opens the next. False: there is none yet. */
static bool commit_place(struct spool_log *log, struct commit *c)
{
    uint64_t size = format_up(c->len, FORMAT_BLOCK);

    for (;;) {
        struct segment *seg = log->open;

        if (seg == NULL) {
            seg = segment_pool_next(log);
            if (seg == NULL) {
                return false;
            }
        }

        uint64_t index = format_up(seg->rows_bound + c->row_bytes, FORMAT_BLOCK);

        if (seg->cursor + size + index + FORMAT_BLOCK <= seg->ident.size) {
            c->segment = seg;
            c->offset = seg->cursor;
            seg->cursor += size;
            seg->rows_bound += c->row_bytes;
            return true;
        }
        MUST(seg->cursor > FORMAT_HEADER_SIZE); /* limits: a commit fits an empty segment */
        segment_pool_seal(log);
    }
}

static bool stage_is_due(const struct spool_log *log)
{
    const struct commit *c = log->stage;

    if (c == NULL || c->entry_count == 0) {
        return false;
    }
    return c->len >= LOG_JOIN_BYTES || (log->in_flight == 0 && (c->urgent || log->flush_due));
}

void commit_pump(struct spool_log *log)
{
    while ((!log->stalled || log->probe) && log->in_flight < LOG_DEPTH) {
        struct commit *c;

        if (dlist_empty(&log->ready_list)) {
            if (!stage_is_due(log)) {
                break;
            }
            commit_close(log);
        }
        c = CONTAINER_OF(log->ready_list.next, struct commit, link);
        if (!commit_place(log, c)) {
            break;
        }
        commit_launch(log, c);
    }
    segment_seal_tick(log);
    segment_pool_tick(log);
}

/* ---- completion ---- */

static void place_settle_in(struct spool_log *log, uint64_t *place, uint64_t staged, uint64_t loc,
                            bool *held)
{
    if (place == NULL || loc_place(*place) != loc_place(staged)) {
        return; /* superseded meanwhile */
    }
    *place = loc_with_flags(loc, loc_flags(*place));
    if (!*held) {
        place_hold(log, loc);
        *held = true;
    }
}

/* An entry is durable: whoever points at the staged copy points at the disk from now on. */
static void entry_settle_in(struct commit *c, const struct entry_head *entry, uint32_t at)
{
    struct spool_log *log = c->log;
    uint64_t size = entry_size(entry->len);
    uint64_t staged = loc_make(LOC_COMMIT_BASE + c->index, at / LOC_UNIT, size);
    uint64_t loc = loc_make(c->segment->index, (uint32_t)((c->offset + at) / LOC_UNIT), size);
    bool held = false;
    uint32_t index;

    switch (entry->kind) {
    case ENTRY_RECORD:
        index = table_find(&log->slots, entry->stamp);
        if (index != TABLE_NONE) {
            struct slot *slot = table_at(&log->slots, index);

            place_settle_in(log, &slot->state, staged, loc, &held);
            place_settle_in(log, &slot->blob, staged, loc, &held);
        }
        break;
    case ENTRY_BODY:
    case ENTRY_MANIFEST:
        place_settle_in(log, body_place(log, entry->stamp), staged, loc, &held);
        break;
    case ENTRY_CHUNK:
        place_settle_in(log, chunk_place(log, entry->stamp, entry->count), staged, loc, &held);
        break;
    default:
        break;
    }
}

static void commit_settle_in(struct commit *c)
{
    uint32_t at = sizeof(struct commit_head);

    while (at < c->len) {
        const struct entry_head *entry = (const struct entry_head *)(c->bytes + at);
        struct row row;

        entry_settle_in(c, entry, at);
        if (row_from_entry(entry, c->offset + at, slice_of(entry + 1, entry->len), true, &row)) {
            row_put(&c->segment->rows, &row);
        }
        at += (uint32_t)entry_size(entry->len);
    }
}

static void commit_answer(struct commit *c, enum spool_err err)
{
    struct spool_put *puts = c->puts.head;
    struct spool_change *changes = c->changes;
    struct commit_wait *waits = c->waits;

    c->puts = (struct put_queue){0};
    c->changes = NULL;
    c->changes_tail = &c->changes;
    c->waits = NULL;
    c->waits_tail = &c->waits;
    while (puts != NULL) {
        struct spool_put *put = puts;

        puts = put->next;
        put_finish(c->log, put, err);
    }
    while (changes != NULL) {
        struct spool_change *change = changes;

        changes = change->next;
        change->done(change, err);
    }
    while (waits != NULL) {
        struct commit_wait *w = waits;

        waits = w->next;
        w->done(w, err);
    }
}

static void commit_succeed(struct commit *c)
{
    struct spool_log *log = c->log;

    commit_settle_in(c);
    dlist_remove(&c->alive); /* completed: barriers may pass it before its callers hear of it */
    if (log->stalled) {
        log->stalled = false;
        spool_health(log->sp);
    }
    commit_answer(c, SPOOL_OK);
    commit_free(c);
}

/* The transactions of a commit that nobody will acknowledge must not come back: what was a record
 * becomes its withdrawal, what was a body becomes nothing. Sizes stay, so places stay. */
static void commit_void_puts(struct commit *c)
{
    uint32_t at = sizeof(struct commit_head);

    for (uint32_t size; at < c->len; at += size) {
        struct entry_head *entry = (struct entry_head *)(c->bytes + at);

        size = (uint32_t)entry_size(entry->len);
        if ((entry->flags & (ENTRY_TXN | ENTRY_PENDING)) == 0) {
            continue;
        }
        entry->flags = 0;
        entry->version = 0;
        entry->count = 0;
        if (entry->kind == ENTRY_RECORD && c->written) {
            entry->kind = ENTRY_SETTLE;
            entry->flags = ENTRY_VOID;
        } else {
            entry->kind = ENTRY_PAD;
        }
    }
}

void commit_turn_away(struct spool_log *log, enum spool_err err)
{
    commit_refuse_puts(log, err);
    for (struct dlist *n = log->alive.next; n != &log->alive; n = n->next) {
        struct commit *c = CONTAINER_OF(n, struct commit, alive);

        if (!c->op.in_flight) {
            commit_answer(c, c->written ? SPOOL_E_UNSURE : err);
        }
    }
}

static void commit_give_up(struct commit *c)
{
    struct spool_log *log = c->log;

    commit_void_puts(c);
    log->stalled = true;
    spool_retry_later(log->sp);
    spool_health(log->sp);
    commit_answer(c, SPOOL_E_UNSURE);
    commit_turn_away(log, SPOOL_E_IO);
}

static void commit_fail(struct commit *c)
{
    struct spool_log *log = c->log;

    log->sp->counters.io_error_count++;
    segment_pool_failed(c->segment);
    c->segment = NULL;
    c->failures++;
    dlist_push_front(&log->ready_list, &c->link);
    if (c->failures > 1 || log->stalled) {
        commit_give_up(c);
    }
}

static void commit_write_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct commit *c = CONTAINER_OF(op, struct commit, op);
    struct spool_log *log = c->log;
    struct segment *seg = c->segment;
    uint32_t size = (uint32_t)format_up(c->len, FORMAT_BLOCK);

    (void)flags;
    if (res > 0 && res % FORMAT_BLOCK == 0 && c->done_bytes + (uint32_t)res < size) {
        c->done_bytes += (uint32_t)res;
        segment_write(seg, op, c->bytes + c->done_bytes, size - c->done_bytes,
                      c->offset + c->done_bytes, true);
        return;
    }
    log->in_flight--;
    seg->writes--;
    if (res > 0 && c->done_bytes + (uint32_t)res == size) {
        commit_succeed(c);
    } else {
        commit_fail(c);
    }
    segment_pool_written(seg);
    spool_kick(log->sp);
}

/* ---- */

/* Its write failed, and it was not written elsewhere yet. */
static bool commit_waits_again(const struct commit *c)
{
    return c->failures > 0 && dlist_linked(&c->link);
}

bool commit_has_puts(const struct commit *c)
{
    if (c->written && !commit_waits_again(c)) {
        return false;
    }
    for (const struct commit_wait *w = c->waits; w != NULL; w = w->next) {
        if (w->for_put) {
            return true;
        }
    }
    return c->puts.head != NULL;
}

/* Takes the waits of puts out of a commit. */
static struct commit_wait *put_waits_take(struct commit *c)
{
    struct commit_wait *taken = NULL;
    struct commit_wait **at = &c->waits;

    while (*at != NULL) {
        struct commit_wait *w = *at;

        if (w->for_put) {
            *at = w->next;
            w->next = taken;
            taken = w;
        } else {
            at = &w->next;
        }
    }
    c->waits_tail = at;
    return taken;
}

static void commit_refuse(struct commit *c, enum spool_err err)
{
    struct spool_put *put = c->puts.head;
    struct commit_wait *waits = put_waits_take(c);

    commit_void_puts(c);
    c->puts = (struct put_queue){0};
    while (put != NULL) {
        struct spool_put *next = put->next;

        put_refuse(c->log, put, err);
        put = next;
    }
    while (waits != NULL) {
        struct commit_wait *next = waits->next;

        waits->done(waits, err);
        waits = next;
    }
}

/* Nothing in it is worth a place on the disk any more. */
static bool commit_is_void(const struct commit *c)
{
    if (c->written || c->changes != NULL || c->waits != NULL) {
        return false;
    }
    for (uint32_t at = sizeof(struct commit_head); at < c->len;) {
        const struct entry_head *entry = (const struct entry_head *)(c->bytes + at);

        if (entry->kind != ENTRY_PAD) {
            return false;
        }
        at += (uint32_t)entry_size(entry->len);
    }
    return true;
}

void commit_refuse_puts(struct spool_log *log, enum spool_err err)
{
    struct dlist *next;

    for (struct dlist *n = log->alive.next; n != &log->alive; n = next) {
        struct commit *c = CONTAINER_OF(n, struct commit, alive);

        next = n->next;
        if (!c->written) {
            commit_refuse(c, err);
        } else if (commit_waits_again(c)) {
            commit_void_puts(c);
            commit_answer(c, SPOOL_E_UNSURE);
        }
        if (commit_is_void(c)) {
            commit_free(c);
        }
    }
}

void commit_close_all(struct spool_log *log)
{
    for (struct dlist *n = log->alive.next; n != &log->alive; n = n->next) {
        struct commit *c = CONTAINER_OF(n, struct commit, alive);

        commit_answer(c, c->written ? SPOOL_E_UNSURE : SPOOL_E_CLOSING);
    }
}

void commit_free_all(struct spool_log *log)
{
    while (!dlist_empty(&log->alive)) {
        commit_free(CONTAINER_OF(log->alive.next, struct commit, alive));
    }
}
