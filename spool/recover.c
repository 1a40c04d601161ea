#include "spool/recover.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/recover_private.h"
#include "spool/segment_pool.h"

#define WINDOW (1024u * 1024u)
#define ROWS_BUDGET 4096u /* a turn: about a millisecond */

static void segment_next(struct recovery *rec);
static void read_done(struct ring_op *op, int32_t res, uint32_t flags);

static struct segment *current(const struct recovery *rec)
{
    return rec->segments[rec->at];
}

static void recovery_read(struct recovery *rec, int step, uint64_t from, uint64_t len)
{
    if (rec->log->sp->draining) { /* it will be abandoned */
        rec->step = RECOVERY_IDLE;
        spool_kick(rec->log->sp);
        return;
    }
    if (rec->cap < len) {
        mem_give(rec->buffer);
        rec->cap = format_up(len, WINDOW);
        rec->buffer = mem_take_aligned(FORMAT_BLOCK, rec->cap);
    }
    rec->step = step;
    rec->from = from;
    rec->len = len;
    rec->op.done = read_done;
    ring_read(&rec->log->sp->shard->ring, &rec->op, current(rec)->fd, rec->buffer, len, from);
}

/* ---- a segment's rows, by index or by scan ---- */

static void row_use(struct recovery *rec, const struct row *row)
{
    if (rec->pass == RECOVERY_GATHER) {
        gather_row(rec, current(rec), row);
    } else {
        report_row(rec, current(rec), row);
    }
}

static void scan_commit(void *ctx, const struct commit_head *head, uint64_t offset)
{
    struct recovery *rec = ctx;

    (void)offset;
    if (rec->pass == RECOVERY_GATHER) {
        gather_commit(rec, head->seq, head->durable_seq, head->logged_mark);
    }
}

static void scan_entry(void *ctx, const struct scan_entry *e)
{
    struct recovery *rec = ctx;
    struct row row;
    bool usable = row_from_entry(&e->head, e->offset, e->payload, e->sound, &row);

    if (e->head.kind == ENTRY_PAD) {
        return;
    }
    if (rec->pass == RECOVERY_REPORT) {
        if (usable) {
            report_row(rec, current(rec), &row);
        }
    } else if (usable && e->sound && e->whole) {
        gather_row(rec, current(rec), &row);
    } else {
        segment_note(current(rec), &e->head);
        gather_suspect(rec, current(rec), &row, e);
    }
}

static void scan_continue(struct recovery *rec)
{
    uint64_t to = rec->scan.at + WINDOW;

    to = rec->scan.need > to ? rec->scan.need : to;
    to = format_up(to, FORMAT_BLOCK);
    to = to < rec->scan.ident.size ? to : rec->scan.ident.size;
    recovery_read(rec, RECOVERY_READ_WINDOW, rec->scan.at, to - rec->scan.at);
}

static void scan_start(struct recovery *rec)
{
    current(rec)->torn |= rec->foot_sound == false;
    scan_begin(&rec->scan, &current(rec)->ident);
    rec->scan.ctx = rec;
    rec->scan.on_commit = scan_commit;
    rec->scan.on_entry = scan_entry;
    scan_continue(rec);
}

static void segment_over(struct recovery *rec)
{
    gather_segment_end(rec);
    rec->at++;
    segment_next(rec);
}

static void scan_feed(struct recovery *rec)
{
    if (scan_window(&rec->scan, rec->buffer, rec->from, rec->len)) {
        segment_over(rec);
    } else {
        scan_continue(rec);
    }
}

static void window_read(struct recovery *rec, int32_t res)
{
    if (res < 0) {
        rec->log->sp->counters.io_error_count++;
        rec->step = RECOVERY_READ_BLOCKS;
        rec->block_at = 0;
        ring_read(&rec->log->sp->shard->ring, &rec->op, current(rec)->fd, rec->buffer, FORMAT_BLOCK,
                  rec->from);
        return;
    }
    if ((uint64_t)res < rec->len) {
        rec->len = (uint64_t)res;
        if (rec->from + rec->len <
            rec->scan.need) { /* not even what was asked for: the file ends */
            rec->scan.end = rec->from + rec->len;
        }
    }
    if (rec->scan.end <= rec->scan.at) {
        segment_over(rec);
        return;
    }
    scan_feed(rec);
}

/* What the disk does not give is zeros: the entries in it are unsound, the others are not. */
static void block_read(struct recovery *rec, int32_t res)
{
    if (res != (int32_t)FORMAT_BLOCK) {
        memset(rec->buffer + rec->block_at, 0, FORMAT_BLOCK);
        if (rec->pass == RECOVERY_GATHER) {
            spool_damaged(rec->log->sp, NULL, current(rec), "a block of a segment cannot be read");
        }
    }
    rec->block_at += FORMAT_BLOCK;
    if (rec->block_at < rec->len) {
        ring_read(&rec->log->sp->shard->ring, &rec->op, current(rec)->fd,
                  rec->buffer + rec->block_at, FORMAT_BLOCK, rec->from + rec->block_at);
        return;
    }
    scan_feed(rec);
}

static void rows_continue(struct recovery *rec)
{
    struct slice index = slice_of(rec->buffer, rec->foot.index_len);
    struct row row;

    while (rec->budget > 0) {
        rec->budget--;
        if (!row_next(index, &rec->row_at, &row)) {
            segment_over(rec);
            return;
        }
        row_use(rec, &row);
    }
    spool_kick(rec->log->sp);
}

/* ---- header, footer, index ---- */

static bool all_zero(const char *bytes, size_t len)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

static void ident_take(struct segment *seg, const struct segment_head *head)
{
    seg->ident.life = head->life;
    seg->ident.nonce = head->nonce;
    seg->ident.size = head->size;
    seg->filled = head->life > 1;
    /* Of another size than new ones: not worth keeping when it is empty. */
    seg->dropped = head->size != seg->log->sp->store->limits.segment_size;
}

static void head_use(struct recovery *rec)
{
    struct segment *seg = current(rec);

    ident_take(seg, &rec->head);
    gather_commit(rec, 0, rec->head.durable_seq, rec->head.logged_mark);
    if (rec->head.use == SEGMENT_USE_FREE && !seg->dropped) {
        segment_enter(seg, SEGMENT_FREE);
        rec->segments[rec->at] = NULL; /* the pool's from now on */
        segment_over(rec);
        return;
    }
    if (rec->head.use == SEGMENT_USE_FREE) {
        segment_over(rec);
        return;
    }
    recovery_read(rec, RECOVERY_READ_FOOT, seg->ident.size - FORMAT_BLOCK, FORMAT_BLOCK);
}

static void head_read(struct recovery *rec, int32_t res)
{
    struct segment *seg = current(rec);
    enum spool_err err = SPOOL_E_CORRUPT;

    if (res < (int32_t)FORMAT_HEADER_SIZE) {
        if (res > 0) {
            memset(rec->buffer + res, 0, FORMAT_HEADER_SIZE - (uint32_t)res);
        } else if (res == 0) {
            memset(rec->buffer, 0, FORMAT_HEADER_SIZE);
        }
    }
    if (res >= 0) {
        if (all_zero(rec->buffer, FORMAT_HEADER_SIZE)) { /* its making was cut short */
            seg->dropped = true;
            segment_over(rec);
            return;
        }
        err = segment_head_read(rec->buffer, &rec->head);
    }
    rec->head_sound =
        err == SPOOL_OK && rec->head.log == seg->ident.log && rec->head.id == seg->ident.id;
    if (rec->head_sound) {
        head_use(rec);
    } else if (err == SPOOL_E_VERSION && rec->pass == RECOVERY_REPORT) {
        segment_over(rec);
    } else if (err == SPOOL_E_VERSION) {
        spool_damaged(rec->log->sp, NULL, seg, "a segment is of another format");
        segment_over(rec);
    } else {
        recovery_read(rec, RECOVERY_READ_FOOT, seg->ident.size - FORMAT_BLOCK, FORMAT_BLOCK);
    }
}

static bool foot_fits(const struct recovery *rec)
{
    const struct segment_ident *ident = &rec->segments[rec->at]->ident;

    return rec->foot.log == ident->log && rec->foot.id == ident->id &&
           rec->foot.size == ident->size &&
           (!rec->head_sound || (rec->foot.life == ident->life && rec->foot.nonce == ident->nonce));
}

static void foot_notes(struct segment *seg, const struct segment_foot *foot)
{
    seg->first_id = foot->first_id;
    seg->last_id = foot->last_id;
    seg->settled_first = foot->settled_first;
    seg->settled_last = foot->settled_last;
    seg->settle_seq_last = foot->settle_seq_last;
}

static void foot_read(struct recovery *rec, int32_t res)
{
    struct segment *seg = current(rec);
    bool sound = res == (int32_t)FORMAT_BLOCK && segment_foot_read(rec->buffer, &rec->foot) &&
                 foot_fits(rec);

    rec->foot_sound = sound;
    if (res >= 0 && res < (int32_t)FORMAT_BLOCK && rec->head_sound &&
        rec->pass == RECOVERY_GATHER) { /* files have their full size before they are used */
        spool_damaged(rec->log->sp, NULL, seg, "its end is missing: the file was cut short");
    }
    if (!sound && !rec->head_sound) { /* without a nonce nothing in it can be told from anything */
        if (rec->pass == RECOVERY_GATHER) {
            spool_damaged(rec->log->sp, NULL, seg, "a segment's header and footer are damaged");
        }
        segment_over(rec);
        return;
    }
    if (!sound) {
        scan_start(rec);
        return;
    }
    if (!rec->head_sound) {
        if (rec->pass == RECOVERY_GATHER) {
            spool_damaged(rec->log->sp, NULL, seg, "a segment's header is damaged");
        }
        seg->ident.life = rec->foot.life;
        seg->ident.nonce = rec->foot.nonce;
    }
    gather_commit(rec, 0, rec->foot.durable_seq, rec->foot.logged_mark);
    foot_notes(seg, &rec->foot);
    if (rec->foot.index_len == 0) {
        segment_over(rec);
    } else if (rec->pass == RECOVERY_REPORT && report_needs_scan(rec, seg)) {
        scan_start(rec);
    } else {
        recovery_read(rec, RECOVERY_READ_INDEX, rec->foot.index_offset,
                      format_up(rec->foot.index_len, FORMAT_BLOCK));
    }
}

static void index_read(struct recovery *rec, int32_t res)
{
    if (res < 0 || (uint64_t)res < rec->foot.index_len ||
        index_sum(rec->buffer, rec->foot.index_len, current(rec)->ident.nonce) !=
            rec->foot.index_sum) {
        scan_start(rec);
        return;
    }
    rec->row_at = 0;
    rec->step = RECOVERY_ROWS;
    rows_continue(rec);
}

static void read_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct recovery *rec = CONTAINER_OF(op, struct recovery, op);

    (void)flags;
    switch (rec->step) {
    case RECOVERY_READ_HEAD:
        head_read(rec, res);
        break;
    case RECOVERY_READ_FOOT:
        foot_read(rec, res);
        break;
    case RECOVERY_READ_INDEX:
        index_read(rec, res);
        break;
    case RECOVERY_READ_WINDOW:
        window_read(rec, res);
        break;
    case RECOVERY_READ_BLOCKS:
        block_read(rec, res);
        break;
    default:
        MUST(rec->step != rec->step); /* no other step reads */
    }
}

/* ---- what the last life left in caches ---- */

/* Without it something that is older and stable must not go for something found here. */
static void sync_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct recovery *rec = CONTAINER_OF(op, struct recovery, op);
    struct spool_log *log = rec->log;

    (void)flags;
    if (res < 0) {
        log->sp->counters.io_error_count++;
        log->unstable = true;
        spool_damaged(log->sp, NULL, current(rec), "a segment cannot be synced: its log gives "
                                                   "nothing back");
    }
    recovery_read(rec, RECOVERY_READ_HEAD, 0, FORMAT_HEADER_SIZE);
}

/* A process that was killed may have written what can be read and is on no disk yet. Recovery
 * would take it for the newest copy, and the cleaner would give back the one that is. */
static void segment_sync(struct recovery *rec)
{
    struct spool *sp = rec->log->sp;

    if (sp->store->params.durability != SPOOL_FSYNC_GROUP) {
        recovery_read(rec, RECOVERY_READ_HEAD, 0, FORMAT_HEADER_SIZE);
        return;
    }
    rec->step = RECOVERY_SYNC;
    rec->op.done = sync_done;
    ring_fsync(&sp->shard->ring, &rec->op, current(rec)->fd);
}

/* ---- passes ---- */

static void recovery_over(struct recovery *rec)
{
    struct spool_log *log = rec->log;
    struct spool *sp = log->sp;

    for (uint32_t i = 0; i < rec->segment_count; i++) {
        if (rec->segments[i] != NULL) {
            rec->segments[i]->garbage = true; /* or empty room, which is as good */
            segment_enter(rec->segments[i], SEGMENT_SEALED);
        }
    }
    report_lost_outcomes(rec);
    log->dead_hint = true;
    log->clean_hint = true;
    recover_close(log);
    log_mark(log);
    sp->recovering_count--;
    if (sp->recovering_count == 0 && sp->events.recovered != NULL) {
        sp->events.recovered(sp->events.ctx, sp->recovered_count);
    }
    spool_kick(sp);
}

static void pass_over(struct recovery *rec)
{
    rec->step = RECOVERY_IDLE;
    if (rec->pass == RECOVERY_GATHER) {
        rec->pass = RECOVERY_JUDGE;
        rec->log->mark = rec->mark > rec->log->mark ? rec->mark : rec->log->mark;
        rec->mark = rec->log->mark;
        spool_kick(rec->log->sp);
    } else {
        recovery_over(rec);
    }
}

/* In the second pass only what the first one found readable is read again. */
static bool segment_skips(const struct recovery *rec, const struct segment *seg)
{
    if (seg == NULL || seg->fd < 0) {
        return true;
    }
    return rec->pass == RECOVERY_REPORT && (seg->dropped && seg->live_count == 0);
}

static void segment_next(struct recovery *rec)
{
    while (rec->at < rec->segment_count && segment_skips(rec, current(rec))) {
        if (current(rec) != NULL && rec->pass == RECOVERY_GATHER) {
            spool_damaged(rec->log->sp, NULL, current(rec), "a segment cannot be opened");
        }
        rec->at++;
    }
    if (rec->at == rec->segment_count) {
        pass_over(rec);
        return;
    }
    rec->head_sound = false;
    rec->foot_sound = false;
    if (rec->pass == RECOVERY_GATHER) {
        segment_sync(rec);
    } else {
        recovery_read(rec, RECOVERY_READ_HEAD, 0, FORMAT_HEADER_SIZE);
    }
}

void recover_start(struct spool_log *log)
{
    struct recovery *rec = MEM_NEW(struct recovery);

    log->recovery = rec;
    rec->log = log;
    rec->mark = log->mark;
    rec->budget = ROWS_BUDGET;
    rec->segments = mem_take_zero(log->segment_cap * sizeof(*rec->segments));
    for (uint32_t i = 0; i < log->segment_cap; i++) {
        if (log->segments[i] != NULL) {
            rec->segments[rec->segment_count++] = log->segments[i];
        }
    }
    gather_open(rec);
}

void recover_tick(struct spool_log *log)
{
    struct recovery *rec = log->recovery;

    if (rec == NULL) {
        return;
    }
    rec->budget = ROWS_BUDGET;
    if (!rec->started) {
        rec->started = true;
        segment_next(rec);
    } else if (rec->pass == RECOVERY_JUDGE) {
        if (gather_judge(rec)) {
            rec->pass = RECOVERY_REPORT;
            rec->at = 0;
            segment_next(rec);
            return;
        }
        spool_kick(log->sp);
    } else if (rec->step == RECOVERY_ROWS) {
        rows_continue(rec);
    }
}

bool recover_abandon(struct spool_log *log)
{
    if (log->recovery == NULL) {
        return true;
    }
    if (log->recovery->op.in_flight) {
        return false;
    }
    log->unlogged_found++; /* for what was not reported: the mark stays where it is */
    recover_close(log);
    return true;
}

void recover_close(struct spool_log *log)
{
    struct recovery *rec = log->recovery;

    if (rec == NULL) {
        return;
    }
    MUST(!rec->op.in_flight);
    gather_close(rec);
    mem_give(rec->segments);
    mem_give(rec->buffer);
    mem_give(rec);
    log->recovery = NULL;
}
