#include "spool/health.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "spool/segment_pool.h"

struct health_path {
    const char *path;
    struct free_space min_space[2], min_inodes[2]; /* a number, and a part of all */
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

/* Whole percent of `total` that is free. */
static unsigned percent_free(uint64_t free, uint64_t total)
{
    return total != 0 ? (unsigned)((unsigned __int128)free * 100 / total) : 100;
}

static bool path_low(const struct health_path *p, struct buf *why)
{
    const struct ring_space *s = &p->space;

    if (p->err != 0) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (free_space_short(&p->min_space[i], s->free_bytes, s->total_bytes)) {
            buf_printf(why, "disk is too full: %s has %llu bytes (%u%%) free", p->path,
                       (unsigned long long)s->free_bytes,
                       percent_free(s->free_bytes, s->total_bytes));
            return true;
        }
        /* A file system that counts no inodes has them all. */
        if (s->total_inodes != 0 &&
            free_space_short(&p->min_inodes[i], s->free_inodes, s->total_inodes)) {
            buf_printf(why, "disk is too full: %s has %llu inodes (%u%%) free", p->path,
                       (unsigned long long)s->free_inodes,
                       percent_free(s->free_inodes, s->total_inodes));
            return true;
        }
    }
    return false;
}

static void space_judge(struct spool *sp)
{
    struct health_check *check = sp->check;
    bool low = false;

    buf_clear(&check->why);
    for (uint32_t i = 0; i < check->path_count && !low; i++) {
        low = path_low(&check->paths[i], &check->why);
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

static struct health_path data_path(const struct spool_store *store, uint32_t index)
{
    const struct spool_params *p = &store->params;

    return (struct health_path){
        .path = store->data[index].path,
        .min_space = {{.amount = p->min_free_bytes},
                      {.amount = p->min_free_percent, .percent = true}},
        .min_inodes = {{.amount = p->min_free_inodes},
                       {.amount = p->min_free_inodes_percent, .percent = true}},
    };
}

static struct health_path guard_path(const struct store_guard *g)
{
    return (struct health_path){
        .path = g->path, .min_space = {g->space}, .min_inodes = {g->inodes}};
}

void health_open(struct spool *sp)
{
    const struct spool_store *store = sp->store;
    uint32_t count = store->data_count + store->guard_count;
    struct health_check *check = mem_take_zero(sizeof(*check) + count * sizeof(struct health_path));

    check->sp = sp;
    check->ring = &sp->shard->ring;
    check->op.done = paths_asked;
    check->path_count = count;
    for (uint32_t i = 0; i < count; i++) {
        check->paths[i] = i < store->data_count
                              ? data_path(store, i)
                              : guard_path(&store->guards[i - store->data_count]);
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

/* Puts alone never get that far: they wait at staging_bytes_max. */
static bool behind_now(const struct spool *sp)
{
    const uint64_t max = sp->store->limits.staging_bytes_max;

    for (uint32_t i = 0; i < sp->log_count; i++) {
        if (sp->logs[i].owed_count > 0) {
            return true;
        }
    }
    return sp->staging_bytes >= (sp->behind ? max : 2 * max);
}

bool spool_behind(const struct spool *sp)
{
    return sp->behind;
}

void spool_health(struct spool *sp)
{
    enum spool_err now = accepting_now(sp);

    sp->behind = behind_now(sp);

    if (now != sp->accepting && !sp->closing) {
        sp->accepting = now;
        health_report(sp);
    }
}

enum spool_err spool_accepting(const struct spool *sp)
{
    return sp->draining ? SPOOL_E_CLOSING : sp->accepting;
}
