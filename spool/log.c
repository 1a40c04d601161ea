#include "spool/log.h"

#include <fcntl.h>

#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/cleaner.h"
#include "spool/commit.h"
#include "spool/recover.h"
#include "spool/segment_pool.h"

/* ---- one log ---- */

void log_adopt_segment(struct spool_log *log, struct segment *seg)
{
    uint32_t index = 0;

    while (index < log->segment_cap && log->segments[index] != NULL) {
        index++;
    }
    if (index == log->segment_cap) {
        uint32_t cap = log->segment_cap != 0 ? log->segment_cap * 2 : 16;

        MUST(cap <= LOC_SEGMENT_MAX * 2);
        log->segments = mem_grow(log->segments, cap * sizeof(*log->segments));
        memset(log->segments + log->segment_cap, 0,
               (cap - log->segment_cap) * sizeof(*log->segments));
        log->segment_cap = cap;
    }
    MUST(index < LOC_SEGMENT_MAX);
    seg->index = index;
    log->segments[index] = seg;
    log->segments_in_use++;
}

/* A segment that was there at start. One that cannot be opened is left alone: recovery says so. */
static void segment_found(struct spool_log *log, uint32_t id)
{
    struct ring *ring = &log->sp->shard->ring;
    struct segment *seg = segment_new(log, id);
    struct buf path = {0};

    segment_path(log, id, &path);
    buf_char(&path, '\0');
    segment_enter(seg, SEGMENT_RECOVERING);
    seg->fd = ring->backend->fs_open(
        ring, path.ptr,
        O_RDWR | O_CLOEXEC | (log->sp->store->data[log->path].direct ? O_DIRECT : 0), 0);
    buf_free(&path);
    if (id >= log->next_id) {
        log->next_id = id + 1;
    }
}

void log_open(struct spool *sp, struct spool_log *log, const struct store_log *from)
{
    *log = (struct spool_log){
        .sp = sp,
        .number = from->number,
        .dir = from->dir,
        .path = from->path,
        .primary = from->primary,
        .mark = from->mark,
        .next_id = 1,
        .next_ordinal = 1,
        .last_seq = sp->seq,
        .durable_seq = sp->seq,
    };
    table_init(&log->slots, sizeof(struct slot));
    table_init(&log->bodies, sizeof(struct shared_body));
    dlist_init(&log->ready_list);
    dlist_init(&log->alive);
    for (uint32_t i = 0; i < from->segment_count; i++) {
        segment_found(log, from->segment_ids[i]);
    }
}

static void bodies_free(struct spool_log *log)
{
    for (uint32_t i = 0; i < log->bodies.used; i++) {
        struct shared_body *shared = table_at(&log->bodies, i);

        if (shared->id != 0) {
            mem_give(shared->chunks);
        }
    }
    table_free(&log->bodies);
}

void log_close(struct spool_log *log)
{
    recover_close(log);
    cleaner_close(log);
    commit_free_all(log);
    for (uint32_t i = 0; i < log->segment_cap; i++) {
        if (log->segments[i] != NULL) {
            segment_free(&log->segments[i]);
        }
    }
    bodies_free(log);
    table_free(&log->slots);
    MEM_FREE(&log->segments);
    MEM_FREE(&log->commits);
    MEM_FREE(&log->unlogged);
    MEM_FREE(&log->owed);
}

/* ---- names ---- */

uint64_t spool_stamp(struct spool *sp)
{
    sp->stamp++;
    if ((uint32_t)sp->stamp == 0) {
        sp->stamp++;
    }
    return sp->stamp;
}

struct spool_ref log_ref(const struct spool_log *log, uint32_t slot_index)
{
    const struct slot *slot = table_at(&log->slots, slot_index);

    return (struct spool_ref){
        .slot = slot_index, .generation = (uint32_t)slot->id, .log = (uint16_t)log->number};
}

struct slot *spool_slot(const struct spool *sp, struct spool_ref ref, struct spool_log **log_out,
                        uint32_t *index_out)
{
    struct spool_log *log;
    struct slot *slot;

    if (ref.generation == 0 || ref.log >= sp->log_number_end || sp->log_by_number[ref.log] == 0) {
        return NULL;
    }
    log = &sp->logs[sp->log_by_number[ref.log] - 1];
    if (ref.slot >= log->slots.used) {
        return NULL;
    }
    slot = table_at(&log->slots, ref.slot);
    if ((uint32_t)slot->id != ref.generation) {
        return NULL;
    }
    *log_out = log;
    if (index_out != NULL) {
        *index_out = ref.slot;
    }
    return slot;
}

void spool_damaged(struct spool *sp, const uint8_t id[16], struct segment *seg, const char *what)
{
    static const uint8_t unknown[16] = {0};
    struct buf text = {0};

    sp->counters.damaged_count++;
    if (seg != NULL) {
        seg->pinned = true;
        segment_path(seg->log, seg->ident.id, &text);
        BUF_LIT(&text, ": ");
    }
    buf_put(&text, slice_str(what));
    if (sp->events.damaged != NULL) {
        sp->events.damaged(sp->events.ctx, id != NULL ? id : unknown, buf_slice(&text));
    }
    buf_free(&text);
}
