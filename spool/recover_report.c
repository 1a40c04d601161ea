#include "core/base/check.h"
#include "spool/recover_private.h"

bool report_needs_scan(const struct recovery *rec, const struct segment *seg)
{
    return seg->settle_seq_last > rec->mark;
}

static void report_found(struct recovery *rec, uint32_t index, const struct record_view *view)
{
    struct spool *sp = rec->log->sp;
    struct spool_found found = {.ref = log_ref(rec->log, index)};

    record_meta(view, &found.meta);
    rec->found_count++;
    sp->recovered_count++;
    if (sp->events.found != NULL) {
        sp->events.found(sp->events.ctx, &found);
    }
}

static void report_record(struct recovery *rec, const struct row *row, uint64_t place)
{
    struct spool_log *log = rec->log;
    uint32_t index = table_find(&log->slots, row->head.stamp);
    struct record_view view;

    if (!record_parse(row->extra, false, &view)) {
        return;
    }
    if (index != TABLE_NONE) {
        const struct slot *slot = table_at(&log->slots, index);

        if (slot_status(slot) == SLOT_LIVE && loc_place(slot->state) == place) {
            report_found(rec, index, &view);
        }
        return;
    }
    index = table_find(&rec->records, row->head.stamp);
    if (index != TABLE_NONE) {
        const struct gathered *g = table_at(&rec->records, index);

        if ((loc_flags(g->state) & GATHERED_DAMAGED) != 0 && loc_place(g->state) == place) {
            spool_damaged(log->sp, view.head.id, log->segments[loc_segment(place)],
                          "a part of a stored message is lost");
        }
    }
}

static void report_unlogged(struct recovery *rec, struct gathered_settle *s, struct slice outcome)
{
    struct spool_log *log = rec->log;
    struct spool *sp = log->sp;
    uint32_t index = table_find(&log->slots, s->id);
    struct spool_unlogged u = {
        .ref = {.log = (uint16_t)log->number}, .sequence = s->sequence, .outcome = outcome};

    if (index != TABLE_NONE) {
        u.ref = log_ref(log, index);
    }
    s->sequence = 0;
    log->unlogged_found++;
    if (sp->events.unlogged != NULL) {
        sp->events.unlogged(sp->events.ctx, &u);
    } else {
        spool_unlogged_done(sp, u.ref);
    }
}

static void report_settle(struct recovery *rec, const struct row *row)
{
    uint32_t index = table_find(&rec->settles, row->head.stamp);
    struct gathered_settle *s;

    /* An unsound one may be a torn copy: the sound original is somewhere else. */
    if (index == TABLE_NONE || row->payload.ptr == NULL) {
        return;
    }
    s = table_at(&rec->settles, index);
    if (s->sequence == row->head.version && s->sequence > rec->mark) {
        report_unlogged(rec, s, row->payload);
    }
}

void report_lost_outcomes(struct recovery *rec)
{
    for (uint32_t i = 0; i < rec->settles.used; i++) {
        struct gathered_settle *s = table_at(&rec->settles, i);

        if (s->id != 0 && s->sequence > rec->mark) {
            report_unlogged(rec, s, slice_of(NULL, 0));
        }
    }
}

void report_row(struct recovery *rec, struct segment *seg, const struct row *row)
{
    uint64_t place = loc_place(loc_make(seg->index, row->head.unit, 0));

    if (row->head.kind == ENTRY_RECORD) {
        report_record(rec, row, place);
    } else if (row->head.kind == ENTRY_SETTLE && (row->head.flags & ENTRY_VOID) == 0) {
        report_settle(rec, row);
    }
}
