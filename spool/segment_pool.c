#include "spool/segment_pool.h"

#include <errno.h>
#include <fcntl.h>

#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/commit.h"

#define FILL_PIECE (1024u * 1024u)
/* Beyond the reserve; with fewer, a load that comes and goes fills files anew each time. */
#define SPARES_KEPT 4u

static uint32_t count_in(const struct spool_log *log, enum segment_state state)
{
    return log->state_counts[state];
}

static uint32_t spare_count(const struct spool_log *log)
{
    return count_in(log, SEGMENT_FREE) + count_in(log, SEGMENT_FILLING);
}

static bool file_backed(const struct spool_log *log)
{
    return log->sp->store->params.durability != SPOOL_MEMORY;
}

/* A log that takes no new mail still has settles to write while records of it live. */
static uint32_t reserve_of(const struct spool_log *log)
{
    if (!file_backed(log) || log->sp->draining) {
        return 0;
    }
    return log->primary ? log->sp->store->limits.reserve_segments : log->slots.count > 0;
}

/* A commit waits for a segment right now. */
static bool pool_urgent(const struct spool_log *log)
{
    return log->open == NULL && !dlist_empty(&log->ready_list);
}

static bool pool_needed(const struct spool_log *log)
{
    return (log->primary && !log->sp->draining) || log->stage != NULL ||
           !dlist_empty(&log->ready_list);
}

static bool puts_wait(const struct spool_log *log)
{
    for (const struct dlist *n = log->alive.next; n != &log->alive; n = n->next) {
        const struct commit *c = CONTAINER_OF(n, struct commit, alive);

        if (commit_has_puts(c)) {
            return true;
        }
    }
    return false;
}

/* ---- dropping ---- */

struct file_work {
    struct ring *ring;
    struct buf path;
    const char *dir;
    uint64_t size;
    int fd;
    bool direct;
};

static void *file_work_new(struct segment *seg)
{
    struct spool_log *log = seg->log;
    struct file_work *w = MEM_NEW(struct file_work);

    w->ring = &log->sp->shard->ring;
    w->dir = log->dir;
    w->size = seg->ident.size;
    w->fd = -1;
    w->direct = log->sp->store->data[log->path].direct;
    segment_path(log, seg->ident.id, &w->path);
    buf_char(&w->path, '\0');
    seg->work = w;
    return w;
}

void segment_pool_forget_work(struct segment *seg)
{
    struct file_work *w = seg->work;

    if (w != NULL) {
        buf_free(&w->path);
        MEM_FREE(&seg->work);
    }
}

static int dir_sync(struct ring *ring, const char *dir)
{
    int fd = ring->backend->fs_open(ring, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    int err;

    if (fd < 0) {
        return fd;
    }
    err = ring->backend->fs_sync(ring, fd);
    ring->backend->fs_close(ring, fd);
    return err;
}

/* On a worker. */
static int32_t file_unlink(void *arg)
{
    struct file_work *w = arg;
    int err = w->ring->backend->fs_unlink(w->ring, w->path.ptr);

    return err != 0 && err != -ENOENT ? err : dir_sync(w->ring, w->dir);
}

static void drop_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct segment *seg = CONTAINER_OF(op, struct segment, op);
    struct spool *sp = seg->log->sp;

    (void)flags;
    segment_pool_forget_work(seg);
    if (res != 0) { /* its content may still be found at the next start: stay and try again */
        sp->counters.io_error_count++;
        seg->dropped = true;
        spool_retry_later(sp);
        return;
    }
    seg->log->dead_hint = true;
    segment_free(&seg);
    spool_kick(sp);
}

static void segment_drop(struct segment *seg)
{
    if (seg->state != SEGMENT_DROPPING) {
        segment_enter(seg, SEGMENT_DROPPING);
    }
    seg->dropped = false;
    if (!file_backed(seg->log)) {
        segment_free(&seg);
        return;
    }
    seg->op.done = drop_done;
    ring_work(&seg->log->sp->shard->ring, &seg->op, file_unlink, file_work_new(seg));
}

/* ---- headers ---- */

/* The retry timer lets it be tried again. Until a file could be made, puts keep off the reserve. */
static void make_failed(struct spool_log *log, int32_t res)
{
    log->make_blocked = true;
    log->starved = res == -ENOSPC || res == -EDQUOT ? SPOOL_E_FULL : SPOOL_E_IO;
    spool_retry_later(log->sp);
    spool_kick(log->sp);
}

bool segment_pool_short(const struct spool_log *log)
{
    uint32_t spare = spare_count(log);

    if (log->starved == SPOOL_OK) {
        return false;
    }
    return spare < reserve_of(log) ||
           (log->open == NULL && log->ready == NULL && spare <= reserve_of(log));
}

static void header_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct segment *seg = CONTAINER_OF(op, struct segment, op);
    struct spool_log *log = seg->log;

    (void)flags;
    MEM_FREE(&seg->block);
    if (res != (int32_t)FORMAT_HEADER_SIZE) {
        log->sp->counters.io_error_count++;
        segment_enter(seg, SEGMENT_FAILED);
        make_failed(log, res);
    } else if (seg->state == SEGMENT_FREEING) {
        segment_forget(seg);
        segment_enter(seg, SEGMENT_FREE);
        log->dead_hint = true; /* settles that had to outlive it need not any more */
    } else {
        segment_enter(seg, SEGMENT_READY);
        log->ready = seg;
    }
    spool_kick(log->sp);
}

static void header_write(struct segment *seg, enum segment_use use)
{
    struct spool_log *log = seg->log;
    struct segment_head head = {.use = use,
                                .log = seg->ident.log,
                                .id = seg->ident.id,
                                .life = seg->ident.life,
                                .boot = log->sp->store->boot,
                                .nonce = seg->ident.nonce,
                                .size = seg->ident.size,
                                .written_ms = ring_wall_ns(&log->sp->shard->ring) / 1000000u,
                                .logged_mark = log->mark,
                                .durable_seq = log->durable_seq};

    seg->block = mem_take_aligned(FORMAT_BLOCK, FORMAT_HEADER_SIZE);
    segment_head_write(&head, seg->block);
    seg->op.done = header_done;
    segment_write(seg, &seg->op, seg->block, FORMAT_HEADER_SIZE, 0, true);
    log->sp->counters.bytes_written += FORMAT_HEADER_SIZE;
}

/* The old content ends the moment this header is durable, and not before. */
static void segment_free_begin(struct segment *seg)
{
    seg->ident.life++;
    seg->ident.nonce = ring_random(&seg->log->sp->shard->ring);
    segment_enter(seg, SEGMENT_FREEING);
    header_write(seg, SEGMENT_USE_FREE);
}

void segment_pool_recycle(struct segment *seg)
{
    MUST(seg->state == SEGMENT_SEALED || seg->state == SEGMENT_FAILED);
    MUST(seg->live_count == 0 && seg->readers == 0 && !seg->op.in_flight);
    seg->log->sp->counters.cleaned_segment_count++;
    if (seg->state == SEGMENT_FAILED || seg->dropped || !file_backed(seg->log)) {
        segment_drop(seg);
    } else {
        segment_free_begin(seg);
    }
}

/* ---- making ---- */

/* Writes its last block. */
static int file_extend(struct file_work *w)
{
    char *block = mem_take_aligned(FORMAT_BLOCK, FORMAT_BLOCK);
    int64_t put = w->ring->backend->fs_pwrite(w->ring, w->fd, block, FORMAT_BLOCK,
                                              w->size - FORMAT_BLOCK);

    mem_give(block);
    return put == FORMAT_BLOCK ? 0 : put < 0 ? (int)put : -EIO;
}

/* On a worker. */
static int32_t file_make(void *arg)
{
    struct file_work *w = arg;
    const struct ring_backend *b = w->ring->backend;
    int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    int err;

    w->fd = b->fs_open(w->ring, w->path.ptr, flags | (w->direct ? O_DIRECT : 0), 0600);
    if (w->fd < 0) {
        return w->fd;
    }
    err = b->fs_allocate(w->ring, w->fd, w->size);
    if (err == -EOPNOTSUPP) { /* then it has its size at least, and room is not promised */
        err = file_extend(w);
    }
    if (err == 0) { /* its size is stable before its header is: a shorter one was cut */
        err = b->fs_sync(w->ring, w->fd);
    }
    return err != 0 ? err : dir_sync(w->ring, w->dir);
}

static void make_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct segment *seg = CONTAINER_OF(op, struct segment, op);
    struct spool_log *log = seg->log;
    const struct file_work *w = seg->work;

    (void)flags;
    seg->fd = w->fd;
    segment_pool_forget_work(seg);
    if (res != 0) {
        log->sp->counters.io_error_count += res != -ENOSPC && res != -EDQUOT;
        make_failed(log, res);
        segment_drop(seg);
        return;
    }
    log->make_blocked = false;
    log->starved = SPOOL_OK;
    segment_free_begin(seg);
}

static void segment_make(struct spool_log *log)
{
    struct segment *seg = segment_new(log, log->next_id++);

    seg->filled = log->sp->store->params.durability != SPOOL_FSYNC_GROUP;
    if (!file_backed(log)) {
        segment_free_begin(seg);
        return;
    }
    seg->op.done = make_done;
    ring_work(&log->sp->shard->ring, &seg->op, file_make, file_work_new(seg));
}

static bool may_make(const struct spool_log *log)
{
    return !log->make_blocked && count_in(log, SEGMENT_MAKING) == 0 &&
           count_in(log, SEGMENT_FREEING) == 0 && log->segments_in_use < LOC_SEGMENT_MAX - 1 &&
           (!log->sp->space_low || spare_count(log) == 0);
}

/* ---- filling ---- */

static void fill_next(struct segment *seg);

static void fill_over(struct segment *seg, bool filled)
{
    seg->filled = filled;
    segment_enter(seg, SEGMENT_FREE);
    spool_kick(seg->log->sp);
}

static void fill_done(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct segment *seg = CONTAINER_OF(op, struct segment, op);

    (void)flags;
    if (op->kind == RING_FSYNC && res == 0) {
        fill_over(seg, true);
    } else if (op->kind == RING_WRITE && res > 0 && res % FORMAT_BLOCK == 0) {
        seg->op_at += (uint32_t)res;
        seg->log->sp->counters.bytes_filled += (uint32_t)res;
        fill_next(seg);
    } else {
        seg->log->sp->counters.io_error_count++;
        segment_enter(seg, SEGMENT_FAILED);
        spool_kick(seg->log->sp);
    }
}

static void fill_next(struct segment *seg)
{
    struct spool *sp = seg->log->sp;
    uint64_t left = seg->ident.size - seg->op_at;

    if (sp->draining || (pool_urgent(seg->log) && seg->log->ready == NULL)) {
        /* A slower first write beats waiting. */
        fill_over(seg, false);
    } else if (left == 0) {
        ring_fsync(&sp->shard->ring, &seg->op, seg->fd);
    } else {
        segment_write(seg, &seg->op, sp->zeros, left < FILL_PIECE ? left : FILL_PIECE, seg->op_at,
                      false);
    }
}

static void segment_fill(struct segment *seg)
{
    struct spool *sp = seg->log->sp;

    if (sp->zeros == NULL) {
        sp->zeros = mem_take_aligned(FORMAT_BLOCK, FILL_PIECE);
    }
    segment_enter(seg, SEGMENT_FILLING);
    seg->op.done = fill_done;
    seg->op_at = FORMAT_HEADER_SIZE;
    fill_next(seg);
}

/* ---- opening ---- */

static struct segment *free_pick(const struct spool_log *log)
{
    struct segment *pick = NULL;

    for (uint32_t i = 0; i < log->segment_cap; i++) {
        struct segment *seg = log->segments[i];

        if (seg != NULL && seg->state == SEGMENT_FREE && (pick == NULL || seg->filled)) {
            pick = seg;
            if (seg->filled) {
                break;
            }
        }
    }
    return pick;
}

static void open_begin(struct spool_log *log)
{
    struct segment *seg = free_pick(log);

    if (seg == NULL) {
        return; /* the one being filled notices the urgency */
    }
    if (!seg->filled && !pool_urgent(log)) {
        if (count_in(log, SEGMENT_FILLING) == 0) {
            segment_fill(seg);
        }
        return;
    }
    segment_enter(seg, SEGMENT_OPENING);
    header_write(seg, SEGMENT_USE_OPEN);
}

/* Nobody can give the waiting commits a segment: their puts are turned away, and what is left of
 * them may use the reserve. */
static void reserve_use(struct spool_log *log)
{
    enum spool_err why = log->starved != SPOOL_OK ? log->starved : SPOOL_E_FULL;

    if (spare_count(log) == 0) {
        commit_turn_away(log, why);
    } else if (puts_wait(log)) {
        commit_refuse_puts(log, why);
    }
    if (pool_urgent(log) && spare_count(log) > 0) {
        open_begin(log);
    }
}

static void next_prepare(struct spool_log *log)
{
    bool urgent = pool_urgent(log);
    bool plenty = log->starved == SPOOL_OK && !log->sp->space_low;

    if (log->ready != NULL || count_in(log, SEGMENT_OPENING) > 0 || !pool_needed(log)) {
        return;
    }
    if (spare_count(log) > reserve_of(log) || (urgent && plenty && spare_count(log) > 0)) {
        open_begin(log);
    } else if (urgent && (log->make_blocked || (log->sp->space_low && spare_count(log) > 0))) {
        reserve_use(log);
    } else if (may_make(log)) {
        segment_make(log);
    }
}

static void spares_trim(struct spool_log *log)
{
    uint32_t used = count_in(log, SEGMENT_SEALED) + count_in(log, SEGMENT_OPEN);
    struct segment *seg;

    if (count_in(log, SEGMENT_FREE) <= reserve_of(log) + SPARES_KEPT + used / 8 ||
        count_in(log, SEGMENT_DROPPING) > 0) {
        return;
    }
    seg = free_pick(log);
    if (seg != NULL) {
        segment_drop(seg);
    }
}

void segment_pool_tick(struct spool_log *log)
{
    next_prepare(log);
    if (pool_needed(log) && spare_count(log) < reserve_of(log) && may_make(log)) {
        segment_make(log);
    }
    spares_trim(log);
}

struct segment *segment_pool_next(struct spool_log *log)
{
    struct segment *seg = log->ready;

    MUST(log->open == NULL);
    if (seg != NULL) {
        segment_enter(seg, SEGMENT_OPEN);
        log->open = seg;
        log->ready = NULL;
    }
    return seg;
}

void segment_pool_seal(struct spool_log *log)
{
    struct segment *seg = log->open;

    MUST(seg != NULL);
    segment_enter(seg, SEGMENT_SEALING);
    seg->barrier = log->next_ordinal - 1;
    log->open = NULL;
    if (seg->writes == 0) {
        segment_seal_start(seg);
    }
}

void segment_pool_failed(struct segment *seg)
{
    struct spool_log *log = seg->log;

    if (seg->state != SEGMENT_FAILED) {
        segment_enter(seg, SEGMENT_FAILED);
        seg->barrier = log->next_ordinal - 1;
    }
    if (log->open == seg) {
        log->open = NULL;
    }
    buf_free(&seg->rows);
}

void segment_pool_written(struct segment *seg)
{
    if (seg->state == SEGMENT_SEALING && seg->writes == 0) {
        segment_seal_start(seg);
    } else if (seg->state == SEGMENT_FAILED) {
        buf_free(&seg->rows);
    }
}

void segment_pool_retry(struct spool_log *log)
{
    log->make_blocked = false;
    log->probe = log->stalled;
    for (uint32_t i = 0; i < log->segment_cap; i++) {
        struct segment *seg = log->segments[i];

        if (seg != NULL && seg->state == SEGMENT_DROPPING && seg->dropped) {
            segment_drop(seg);
        }
    }
}

bool segment_pool_idle(const struct spool_log *log)
{
    for (uint32_t i = 0; i < log->segment_cap; i++) {
        if (log->segments[i] != NULL && log->segments[i]->op.in_flight) {
            return false;
        }
    }
    return true;
}
