#include "spool/segment.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/log.h"
#include "spool/segment_pool.h"

static const char *const state_names[SEGMENT_STATE_COUNT] = {
#define SEGMENT_STATE(name, text) [SEGMENT_##name] = #name,
#include "spool/segment_states.def"
#undef SEGMENT_STATE
};

static bool edge_exists(enum segment_state from, enum segment_state to)
{
    static const bool edge[SEGMENT_STATE_COUNT][SEGMENT_STATE_COUNT] = {
#define SEGMENT_EDGE(f, t, when) [SEGMENT_##f][SEGMENT_##t] = true,
#include "spool/segment_edges.def"
#undef SEGMENT_EDGE
    };
    return edge[from][to];
}

void segment_enter(struct segment *seg, enum segment_state next)
{
    MUST(next < SEGMENT_STATE_COUNT);
    MUST(edge_exists(seg->state, next));
    seg->log->state_counts[seg->state]--;
    seg->log->state_counts[next]++;
    seg->state = next;
}

const char *segment_state_name(enum segment_state state)
{
    MUST(state < SEGMENT_STATE_COUNT);
    return state_names[state];
}

struct segment *segment_new(struct spool_log *log, uint32_t id)
{
    struct segment *seg = MEM_NEW(struct segment);

    seg->log = log;
    seg->fd = -1;
    seg->ident = (struct segment_ident){
        .log = log->number, .id = id, .size = log->sp->store->limits.segment_size};
    seg->cursor = FORMAT_HEADER_SIZE;
    seg->state = SEGMENT_MAKING;
    log->state_counts[SEGMENT_MAKING]++;
    log_adopt_segment(log, seg);
    return seg;
}

void segment_free(struct segment **segp)
{
    struct segment *seg = *segp;
    struct ring *ring = &seg->log->sp->shard->ring;

    MUST(!seg->op.in_flight);
    segment_pool_forget_work(seg);
    seg->log->state_counts[seg->state]--;
    seg->log->segments[seg->index] = NULL;
    seg->log->segments_in_use--;
    if (seg->fd >= 0) {
        ring->backend->fs_close(ring, seg->fd);
    }
    buf_free(&seg->rows);
    mem_give(seg->moved);
    mem_give(seg->block);
    mem_give(seg->memory);
    mem_give(seg);
    *segp = NULL; /* may be the table's own field */
}

void segment_path(const struct spool_log *log, uint32_t id, struct buf *out)
{
    buf_printf(out, "%s/seg-%08x", log->dir, id);
}

bool segment_has_content(const struct segment *seg)
{
    switch (seg->state) {
    case SEGMENT_MAKING:
    case SEGMENT_FREE:
    case SEGMENT_FILLING:
    case SEGMENT_OPENING:
    case SEGMENT_READY:
        return false;
    default: /* until the header that ends its life is durable, and the file gone from its folder */
        return true;
    }
}

static void range_note(uint64_t *first, uint64_t *last, uint64_t id)
{
    *first = *first == 0 || id < *first ? id : *first;
    *last = id > *last ? id : *last;
}

/* Two bits of the filter for an id. */
static void moved_bits(uint64_t id, uint32_t bits[2])
{
    uint64_t hash = id * 0x9e3779b97f4a7c15ull;

    bits[0] = (uint32_t)(hash >> 48) % SEGMENT_MOVED_BITS;
    bits[1] = (uint32_t)(hash >> 32) % SEGMENT_MOVED_BITS;
}

static void moved_note(struct segment *seg, uint64_t id)
{
    uint32_t bits[2];

    if (seg->moved == NULL) {
        seg->moved = mem_take_zero(SEGMENT_MOVED_BITS / 8);
    }
    moved_bits(id, bits);
    seg->moved[bits[0] / 64] |= 1ull << bits[0] % 64;
    seg->moved[bits[1] / 64] |= 1ull << bits[1] % 64;
}

void segment_note_settled(struct segment *seg, uint64_t record_id)
{
    range_note(&seg->settled_first, &seg->settled_last, record_id);
}

void segment_note(struct segment *seg, const struct entry_head *head)
{
    if (head->kind == ENTRY_RECORD) {
        if (head->flags & (ENTRY_TXN | ENTRY_PENDING)) {
            range_note(&seg->first_id, &seg->last_id, head->stamp);
        } else {
            moved_note(seg, head->stamp);
        }
    } else if (head->kind == ENTRY_SETTLE) {
        segment_note_settled(seg, head->stamp);
        if ((head->flags & ENTRY_VOID) == 0 && head->version > seg->settle_seq_last) {
            seg->settle_seq_last = head->version;
        }
    }
}

bool segment_may_hold(const struct segment *seg, uint64_t record_id)
{
    uint32_t bits[2];

    if (record_id >= seg->first_id && record_id <= seg->last_id) {
        return true;
    }
    if (seg->moved == NULL) {
        return false;
    }
    moved_bits(record_id, bits);
    return (seg->moved[bits[0] / 64] >> bits[0] % 64 & 1) != 0 &&
           (seg->moved[bits[1] / 64] >> bits[1] % 64 & 1) != 0;
}

void segment_forget(struct segment *seg)
{
    MUST(seg->live_count == 0 && seg->writes == 0 && seg->readers == 0);
    seg->live_bytes = 0;
    seg->first_id = seg->last_id = 0;
    seg->settled_first = seg->settled_last = 0;
    seg->settle_seq_last = 0;
    seg->barrier = 0;
    seg->torn = false;
    seg->garbage = false;
    seg->cursor = FORMAT_HEADER_SIZE;
    seg->rows_bound = 0;
    buf_free(&seg->rows);
    MEM_FREE(&seg->moved);
}

void segment_write(struct segment *seg, struct ring_op *op, const void *bytes, size_t len,
                   uint64_t offset, bool durable)
{
    struct spool *sp = seg->log->sp;

    MUST(offset + len <= seg->ident.size);
    if (sp->store->params.durability == SPOOL_MEMORY) {
        if (seg->memory == NULL) {
            seg->memory = mem_take_aligned(FORMAT_BLOCK, seg->ident.size);
        }
        memcpy(seg->memory + offset, bytes, len);
        spool_memory_op(sp, op, (int32_t)len);
        return;
    }
    ring_write(&sp->shard->ring, op, seg->fd, bytes, len, offset,
               durable && sp->store->params.durability == SPOOL_FSYNC_GROUP);
}

void segment_read(struct segment *seg, struct ring_op *op, void *to, size_t len, uint64_t offset)
{
    struct spool *sp = seg->log->sp;

    MUST(offset + len <= seg->ident.size);
    if (sp->store->params.durability == SPOOL_MEMORY) {
        memcpy(to, seg->memory + offset, len);
        spool_memory_op(sp, op, (int32_t)len);
        return;
    }
    ring_read(&sp->shard->ring, op, seg->fd, to, len, offset);
}
