/* Where the pieces of records are, and which segments are needed because of it. */
#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/log.h"

static struct segment *place_segment(const struct spool_log *log, uint64_t loc)
{
    struct segment *seg = log->segments[loc_segment(loc)];

    MUST(seg != NULL);
    return seg;
}

void place_hold(struct spool_log *log, uint64_t loc)
{
    struct segment *seg = place_segment(log, loc);

    seg->live_bytes += loc_size(loc);
    seg->live_count++;
    log->live_bytes += loc_size(loc);
}

void place_release(struct spool_log *log, uint64_t loc)
{
    if (loc_place(loc) == 0 || loc_in_commit(loc)) {
        return;
    }

    struct segment *seg = place_segment(log, loc);

    MUST(seg->live_count > 0 && seg->live_bytes >= loc_size(loc));
    seg->live_bytes -= loc_size(loc);
    seg->live_count--;
    seg->garbage = true;
    log->live_bytes -= loc_size(loc);
    log->clean_hint = true;
    log->dead_hint |= seg->live_count == 0;
    /* What made it unneeded was staged before: it is in the newest commit or an earlier one. */
    seg->barrier = log->next_ordinal - 1;
}

void slot_set_status(struct slot *slot, enum slot_status status)
{
    slot->state = loc_with_flags(slot->state, status);
}

void slot_set_state(struct spool_log *log, struct slot *slot, uint64_t loc)
{
    uint64_t old = slot->state;

    slot->state = loc_with_flags(loc, loc_flags(old));
    if (loc_place(old) != loc_place(slot->blob) && loc_place(old) != loc_place(loc)) {
        place_release(log, old);
    }
}

void slot_set_blob(struct spool_log *log, struct slot *slot, uint64_t loc)
{
    uint64_t old = slot->blob;

    slot->blob = loc;
    if (loc_place(old) != loc_place(slot->state) && loc_place(old) != loc_place(loc)) {
        place_release(log, old);
    }
}

void body_release(struct spool_log *log, uint64_t body)
{
    if (loc_flags(body) != SLOT_SHARED) {
        place_release(log, body);
        return;
    }

    uint32_t index = (uint32_t)loc_place(body);
    struct shared_body *shared = table_at(&log->bodies, index);

    MUST(shared->refs > 0);
    if (--shared->refs > 0) {
        return;
    }
    place_release(log, shared->loc);
    for (uint32_t i = 0; i < shared->chunk_count; i++) {
        place_release(log, shared->chunks[i]);
    }
    MEM_FREE(&shared->chunks);
    table_give(&log->bodies, index);
}

void slot_free(struct spool_log *log, uint32_t index)
{
    struct slot *slot = table_at(&log->slots, index);

    if (loc_place(slot->blob) != loc_place(slot->state)) {
        place_release(log, slot->blob);
    }
    place_release(log, slot->state);
    body_release(log, slot->body);
    table_give(&log->slots, index);
}

uint64_t slot_body_id(const struct spool_log *log, const struct slot *slot)
{
    const struct shared_body *shared;

    if (loc_flags(slot->body) != SLOT_SHARED) {
        return slot->id;
    }
    shared = table_at(&log->bodies, (uint32_t)loc_place(slot->body));
    return shared->id;
}

static struct shared_body *shared_find(struct spool_log *log, uint64_t body_id)
{
    uint32_t index = table_find(&log->bodies, body_id);

    return index != TABLE_NONE ? table_at(&log->bodies, index) : NULL;
}

uint64_t *body_place(struct spool_log *log, uint64_t body_id)
{
    struct shared_body *shared = shared_find(log, body_id);
    uint32_t index;

    if (shared != NULL) {
        return &shared->loc;
    }
    index = table_find(&log->slots, body_id);
    if (index == TABLE_NONE) {
        return NULL;
    }

    struct slot *slot = table_at(&log->slots, index);

    return loc_flags(slot->body) != SLOT_SHARED ? &slot->body : NULL;
}

uint64_t *chunk_place(struct spool_log *log, uint64_t body_id, uint32_t chunk)
{
    struct shared_body *shared = shared_find(log, body_id);

    return shared != NULL && chunk < shared->chunk_count ? &shared->chunks[chunk] : NULL;
}
