/* The index of a full segment: what recovery needs, so that it reads a hundredth of the segment. */
#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/commit.h"
#include "spool/row.h"
#include "spool/segment_pool.h"

#define SEAL_PIECE (1024u * 1024u)

/* Records of a transaction stand behind its body. Whether none of them is needed any more: then
 * they are settled, and their log records are durable. */
static bool txn_over(const struct spool_log *log, struct slice rows, size_t at, uint32_t count)
{
    struct row row;

    for (; count > 0; count--) {
        if (!row_next(rows, &at, &row) || table_find(&log->slots, row.head.stamp) != TABLE_NONE) {
            return false;
        }
    }
    return true;
}

/* Drops the rows of transactions that are over. The index must not say so before the settles that
 * ended them are durable: it is built now and written when the commits of this moment are. Mail
 * that was delivered at once, the common kind, then costs the index its settles only. Copies and
 * changes stay: the filter of what a segment may hold is built from them again. */
static void rows_filter(const struct spool_log *log, struct slice rows, struct buf *out)
{
    struct row row;
    size_t at = 0;

    while (row_next(rows, &at, &row)) {
        if (row.head.kind == ENTRY_BODY && (row.head.flags & ENTRY_TXN) != 0 &&
            txn_over(log, rows, at, row.head.count)) {
            for (uint32_t left = row.head.count; left > 0; left--) {
                MUST(row_next(rows, &at, &row));
            }
            continue;
        }
        row_put(out, &row);
    }
}

static void seal_over(struct segment *seg, bool written)
{
    struct spool *sp = seg->log->sp;

    MEM_FREE(&seg->block);
    buf_free(&seg->rows);
    sp->counters.io_error_count += !written;
    segment_enter(seg, SEGMENT_SEALED);
    seg->log->dead_hint = true;
    seg->log->clean_hint = true;
    spool_kick(sp);
}

static void seal_next(struct segment *seg)
{
    uint64_t left = seg->op_len - seg->op_at;

    segment_write(seg, &seg->op, seg->block + seg->op_at, left < SEAL_PIECE ? left : SEAL_PIECE,
                  seg->op_from + seg->op_at, true);
}

static void seal_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct segment *seg = CONTAINER_OF(op, struct segment, op);

    (void)flags;
    if (res <= 0 || res % FORMAT_BLOCK != 0) {
        seal_over(seg, false); /* without an index it is scanned: slower, not worse */
        return;
    }
    seg->op_at += (uint32_t)res;
    seg->log->sp->counters.bytes_written += (uint32_t)res;
    if (seg->op_at < seg->op_len) {
        seal_next(seg);
    } else {
        seal_over(seg, true);
    }
}

void segment_seal_start(struct segment *seg)
{
    struct spool_log *log = seg->log;
    struct buf rows;
    uint64_t index_room;

    MUST(seg->state == SEGMENT_SEALING && seg->writes == 0);
    if (log->sp->store->params.durability == SPOOL_MEMORY) {
        seal_over(seg, true);
        return;
    }
    seg->block = mem_take_aligned(FORMAT_BLOCK, seg->rows.len + 2 * FORMAT_BLOCK);
    rows = (struct buf){.ptr = seg->block, .cap = seg->rows.len + FORMAT_BLOCK};
    rows_filter(log, buf_slice(&seg->rows), &rows);
    buf_free(&seg->rows);
    MUST(rows.ptr == seg->block); /* it cannot have grown */
    index_room = format_up(rows.len, FORMAT_BLOCK);

    struct segment_foot foot = {.log = seg->ident.log,
                                .id = seg->ident.id,
                                .life = seg->ident.life,
                                .nonce = seg->ident.nonce,
                                .size = seg->ident.size,
                                .index_offset = seg->ident.size - FORMAT_BLOCK - index_room,
                                .index_len = rows.len,
                                .index_sum = index_sum(rows.ptr, rows.len, seg->ident.nonce),
                                .durable_seq = log->durable_seq,
                                .logged_mark = log->mark,
                                .first_id = seg->first_id,
                                .last_id = seg->last_id,
                                .settled_first = seg->settled_first,
                                .settled_last = seg->settled_last,
                                .settle_seq_last = seg->settle_seq_last};

    MUST(foot.index_offset >= seg->cursor);
    seg->op_len = index_room + FORMAT_BLOCK;
    seg->op_at = 0;
    seg->op_from = foot.index_offset;
    segment_foot_write(&foot, seg->block + index_room);
    seg->seal_after = log->next_ordinal - 1;
    segment_seal_tick(log);
}

static bool seal_waits(const struct segment *seg)
{
    return seg->state == SEGMENT_SEALING && seg->block != NULL && !seg->op.in_flight;
}

void segment_seal_tick(struct spool_log *log)
{
    for (uint32_t i = 0; log->state_counts[SEGMENT_SEALING] > 0 && i < log->segment_cap; i++) {
        struct segment *seg = log->segments[i];

        if (seg != NULL && seal_waits(seg) && seg->seal_after <= commit_completed(log)) {
            seg->op.done = seal_done;
            seal_next(seg);
        }
    }
}

void segment_seal_give_up(struct spool_log *log)
{
    for (uint32_t i = 0; i < log->segment_cap; i++) {
        if (log->segments[i] != NULL && seal_waits(log->segments[i])) {
            seal_over(log->segments[i], false);
        }
    }
}
