#include "spool/health.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/segment_pool.h"

struct health_path {
    const char *path;
    struct ring_space space;
    int err;
};

/* What a worker fills while the shard goes on; only `op.done` on the shard reads it. */
struct health_check {
    struct ring_op op;
    struct spool *sp;
    struct ring *ring;
    struct buf why; /* of the last look; empty: all is well */
    uint32_t path_count;
    struct health_path paths[];
};

/* On a worker. A path that cannot be asked changes nothing: the writes will tell. */
static int32_t paths_ask(void *arg)
{
    struct health_check *check = arg;

    for (uint32_t i = 0; i < check->path_count; i++) {
        struct health_path *p = &check->paths[i];

        p->err = check->ring->backend->fs_space(check->ring, p->path, &p->space);
    }
    return 0;
}

/* Whole percent of `total` that is free. A file system that counts no inodes has them all. */
static uint64_t percent_free(uint64_t free, uint64_t total)
{
    if (total == 0) {
        return 100;
    }
    return free <= UINT64_MAX / 100 ? free * 100 / total : free / (total / 100);
}

static bool path_low(const struct spool_params *params, const struct health_path *p,
                     struct buf *why)
{
    uint64_t space = percent_free(p->space.free_bytes, p->space.total_bytes);
    uint64_t inodes = percent_free(p->space.free_inodes, p->space.total_inodes);

    if (p->err != 0) {
        return false;
    }
    if (p->space.free_bytes < params->min_free_bytes || space < params->min_free_percent) {
        buf_printf(why, "disk is too full: %s has %llu bytes (%llu%%) free", p->path,
                   (unsigned long long)p->space.free_bytes, (unsigned long long)space);
        return true;
    }
    if (p->space.total_inodes != 0 && (p->space.free_inodes < params->min_free_inodes ||
                                       inodes < params->min_free_inodes_percent)) {
        buf_printf(why, "disk is too full: %s has %llu inodes (%llu%%) free", p->path,
                   (unsigned long long)p->space.free_inodes, (unsigned long long)inodes);
        return true;
    }
    return false;
}

static void space_judge(struct spool *sp)
{
    struct health_check *check = sp->check;
    bool low = false;

    buf_clear(&check->why);
    for (uint32_t i = 0; i < check->path_count && !low; i++) {
        low = path_low(&sp->store->params, &check->paths[i], &check->why);
    }
    sp->space_low = low;
}

static void paths_asked(struct ring_op *op, int32_t res, uint32_t flags)
{
    struct health_check *check = CONTAINER_OF(op, struct health_check, op);

    (void)res;
    (void)flags;
    space_judge(check->sp);
    spool_kick(check->sp);
}

void health_open(struct spool *sp)
{
    const struct spool_store *store = sp->store;
    uint32_t count = store->params.durability == SPOOL_MEMORY ? 0 : store->data_count + 1;
    struct health_check *check = mem_take_zero(sizeof(*check) + count * sizeof(struct health_path));

    check->sp = sp;
    check->ring = &sp->shard->ring;
    check->op.done = paths_asked;
    check->path_count = count;
    for (uint32_t i = 0; i < count; i++) {
        check->paths[i].path = i < store->data_count ? store->data[i].path : store->meta.path;
    }
    sp->check = check;
    (void)paths_ask(check);
    space_judge(sp); /* the first turn reports it: nobody has the spool in hand yet */
}

void health_poll(struct spool *sp)
{
    if (!sp->check->op.in_flight && sp->check->path_count > 0) {
        ring_work(&sp->shard->ring, &sp->check->op, paths_ask, sp->check);
    }
}

bool health_busy(const struct spool *sp)
{
    return sp->check->op.in_flight;
}

void health_close(struct spool *sp)
{
    MUST(!sp->check->op.in_flight);
    buf_free(&sp->check->why);
    MEM_FREE(&sp->check);
}

/* ---- acceptance ---- */

enum spool_err log_takes_puts(const struct spool_log *log)
{
    if (!log->primary || log->stalled) {
        return SPOOL_E_IO;
    }
    return segment_pool_short(log) ? log->starved : SPOOL_OK;
}

/* Space can be waited for; a disk that fails cannot. */
static enum spool_err accepting_now(const struct spool *sp)
{
    enum spool_err why = SPOOL_E_IO;

    if (sp->space_low) {
        return SPOOL_E_FULL;
    }
    for (uint32_t i = 0; i < sp->log_count; i++) {
        enum spool_err err = log_takes_puts(&sp->logs[i]);

        if (err == SPOOL_OK) {
            return SPOOL_OK;
        }
        why = err == SPOOL_E_FULL ? err : why;
    }
    return why;
}

static void health_report(struct spool *sp)
{
    struct slice why = {0};

    if (sp->accepting == SPOOL_E_FULL) {
        why = sp->space_low ? buf_slice(&sp->check->why)
                            : SLICE("disk is too full: no new segment can be allocated");
    } else if (sp->accepting == SPOOL_E_IO) {
        why = SLICE("the spool is not accepting writes: the disk refuses them");
    }
    if (sp->events.health != NULL) {
        sp->events.health(sp->events.ctx, why);
    }
}

void spool_health(struct spool *sp)
{
    enum spool_err now = accepting_now(sp);

    if (now != sp->accepting && !sp->closing) {
        sp->accepting = now;
        health_report(sp);
    }
}

enum spool_err spool_accepting(const struct spool *sp)
{
    return sp->draining ? SPOOL_E_CLOSING : sp->accepting;
}
