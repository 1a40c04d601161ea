#include "core/daemon/relog.h"

#include "core/base/mem.h"
#include "core/daemon/engine.h"
#include "core/log/outcome.h"
#include "core/queue/load.h"

struct relogging {
    struct message_load load;
    struct log_sync sync;
    struct engine *engine;
    struct message *m;
    struct buf outcome;
};

static void relog_durable(struct log_sync *sync)
{
    struct relogging *r = CONTAINER_OF(sync, struct relogging, sync);

    spool_unlogged_done(r->engine->spool, r->m->ref);
    message_free(&r->m);
    buf_free(&r->outcome);
    mem_give(r);
}

/* Several records may stand one after the other: one for each group of recipients. */
static void relog_write(struct relogging *r)
{
    struct outcome o;

    if (r->outcome.len > 0 && outcome_load(buf_slice(&r->outcome), &o)) {
        o.record.message = r->m;
        log_submit(r->engine->log, &o.record);
        outcome_free(&o);
    }
    r->sync.done = relog_durable;
    log_sync(r->engine->log, &r->sync);
}

static void relog_loaded(struct message_load *load, enum spool_err err)
{
    struct relogging *r = CONTAINER_OF(load, struct relogging, load);

    if (err != SPOOL_OK) {
        diag_error(&r->engine->diag, "log", "the record of a settled message cannot be written "
                                            "again: %s", spool_err_text(err));
        r->m->content = message_content_new();
    }
    relog_write(r);
}

void relog(struct engine *e, const struct spool_unlogged *unlogged)
{
    struct relogging *r = MEM_NEW(struct relogging);

    r->engine = e;
    r->m = message_new();
    r->m->ref = unlogged->ref;
    r->m->flags = MESSAGE_SPOOLED;
    buf_put(&r->outcome, unlogged->outcome);
    if (unlogged->outcome.len == 0 || unlogged->ref.generation == 0) {
        r->m->content = message_content_new();
        buf_clear(&r->outcome);
        relog_write(r);
        return;
    }
    message_load(e->spool, &r->load, r->m, relog_loaded);
}
