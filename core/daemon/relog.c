#include "core/daemon/relog.h"

#include "core/base/mem.h"
#include "core/log/outcome.h"
#include "core/queue/load.h"
#include "core/queue/records.h"

struct relogging {
    struct relogging *next;
    struct relogger *relogger;
    struct message_load load;
    struct message *m;
    struct buf outcome;
};

static void relog_sync(struct relogger *rl);

static void relogging_free(struct relogging *r)
{
    message_free(&r->m);
    buf_free(&r->outcome);
    mem_give(r);
}

static uint64_t lost_count(const struct relogger *rl)
{
    struct log_counters counters;

    log_counters(rl->log, &counters);
    return counters.lost_count;
}

static void relog_durable(struct log_sync *sync)
{
    struct relogger *rl = CONTAINER_OF(sync, struct relogger, sync);
    bool all_taken = lost_count(rl) == rl->lost_before;
    struct relogging *r;

    while ((r = rl->syncing) != NULL) {
        rl->syncing = r->next;
        if (all_taken) {
            spool_unlogged_done(rl->spool, r->m->ref);
        }
        relogging_free(r);
    }
    relog_sync(rl);
}

static void relog_sync(struct relogger *rl)
{
    if (rl->syncing != NULL || rl->written == NULL) {
        return;
    }
    rl->syncing = rl->written;
    rl->written = NULL;
    rl->sync.done = relog_durable;
    log_sync(rl->log, &rl->sync);
}

/* Several may stand one after the other, each with its length in front: one for each group of
 * recipients. */
static void outcomes_submit(struct relogging *r)
{
    struct slice rest = buf_slice(&r->outcome);
    struct outcome o;
    uint32_t len;

    while (rest.len >= sizeof(len)) {
        memcpy(&len, rest.ptr, sizeof(len));
        rest = slice_from(rest, sizeof(len));
        if (outcome_load(slice_head(rest, len), &o)) {
            o.record.message = r->m;
            log_submit(r->relogger->log, &o.record);
        }
        outcome_free(&o);
        rest = slice_from(rest, len < rest.len ? len : rest.len);
    }
}

static void relog_write(struct relogging *r)
{
    struct relogger *rl = r->relogger;

    if (rl->stopped) {
        relogging_free(r);
        return;
    }
    if (rl->written == NULL && rl->syncing == NULL) {
        rl->lost_before = lost_count(rl);
    }
    outcomes_submit(r);
    r->next = rl->written;
    rl->written = r;
    relog_sync(rl);
}

static void relog_loaded(struct message_load *load, enum spool_err err)
{
    struct relogging *r = CONTAINER_OF(load, struct relogging, load);

    if (err != SPOOL_OK) {
        char id[MESSAGE_ID_TEXT];

        message_id_text(r->m->id, id);
        diag_error(r->relogger->diag, "log", "message %.*s is settled and cannot be read: its log "
                   "record lacks the envelope: %s", (int)sizeof(id), id, spool_err_text(err));
        r->m->content = message_content_new();
    }
    relog_write(r);
}

static void outcome_keep(struct relogging *r, struct slice outcome)
{
    struct settled_message settled;

    if (outcome.len <= sizeof(settled)) {
        return;
    }
    memcpy(&settled, outcome.ptr, sizeof(settled));
    memcpy(r->m->id, settled.id, sizeof(settled.id));
    r->m->size = settled.size;
    buf_put(&r->outcome, slice_from(outcome, sizeof(settled)));
}

void relog(struct relogger *rl, const struct spool_unlogged *unlogged)
{
    struct relogging *r = MEM_NEW(struct relogging);

    r->relogger = rl;
    r->m = message_new();
    r->m->ref = unlogged->ref;
    r->m->flags = MESSAGE_SPOOLED;
    outcome_keep(r, unlogged->outcome);
    if (r->outcome.len == 0) { /* none was to be logged */
        r->m->content = message_content_new();
        relog_write(r);
    } else if (unlogged->ref.generation == 0) {
        relog_loaded(&r->load, SPOOL_E_GONE);
    } else {
        message_load(rl->spool, &r->load, r->m, relog_loaded);
    }
}

void relogger_stop(struct relogger *rl)
{
    rl->stopped = true;
}

static void list_free(struct relogging **list)
{
    struct relogging *r;

    while ((r = *list) != NULL) {
        *list = r->next;
        relogging_free(r);
    }
}

void relogger_free(struct relogger *rl)
{
    rl->stopped = true;
    list_free(&rl->written);
    list_free(&rl->syncing);
}
