#include "core/daemon/services.h"

#include "core/base/mem.h"
#include "core/daemon/daemon_private.h"
#include "core/queue/records.h"
#include "policy/api/services.h"

/* ---- kumo.bump_config_epoch ---- */

static void epoch_changed(struct shard *sh, struct shard_call *call)
{
    struct engine *e = sh->owner;

    mem_give(call);
    queue_mgr_epoch(&e->queue);
    egress_epoch(&e->egress);
}

static void bump_epoch(void *ctx)
{
    struct engine *e = ctx;

    if (!e->started || e->queue.draining) {
        return;
    }
    for (uint32_t i = 0; i < e->daemon->shard_count; i++) {
        struct shard_call *call = MEM_NEW(struct shard_call);

        call->fn = epoch_changed;
        shard_call(&e->shard, i, call);
    }
}

/* ---- kumo.inject_message ---- */

/* One message on its way into the spool and its queue. */
struct injection {
    struct spool_put put;
    struct spool_put_record record;
    struct queue_insert insert;
    struct engine *engine;
    struct message *m;
    struct api_inject *op;
    struct buf blob, queue_name;
};

static void injection_end(struct injection *in, bool ok, struct slice why)
{
    struct queue_mgr *queue = &in->engine->queue;
    struct api_inject *op = in->op;

    op->ok = ok;
    buf_put(&op->why, why);
    message_free(&in->m);
    buf_free(&in->blob);
    buf_free(&in->queue_name);
    mem_give(in);
    op->done(op);
    queue_work_end(queue);
}

static void injection_inserted(struct injection *in, bool ok, struct slice why)
{
    struct message *m = in->m;

    in->m = NULL;
    if (!ok) { /* whoever made it is told: it was never accepted */
        queue_discard(&in->engine->queue, m);
    }
    injection_end(in, ok, why);
}

static void injection_inserted_later(struct queue_insert *ins, bool ok, struct slice why)
{
    injection_inserted(CONTAINER_OF(ins, struct injection, insert), ok, why);
}

static void injection_stored(struct spool_put *put, enum spool_err err)
{
    struct injection *in = CONTAINER_OF(put, struct injection, put);
    struct message *m = in->m;
    struct slice why = {0};

    if (err != SPOOL_OK) {
        injection_end(in, false, slice_str(spool_err_text(err)));
        return;
    }
    m->ref = in->record.ref;
    m->flags |= MESSAGE_SPOOLED;
    m->content->envelope_dirty = m->content->data_dirty = false;
    in->insert.done = injection_inserted_later;
    switch (queue_insert(&in->engine->queue, m, buf_slice(&in->queue_name), &in->insert, &why)) {
    case QUEUE_TAKEN:
        injection_inserted(in, true, why);
        break;
    case QUEUE_REFUSED:
        injection_inserted(in, false, why);
        break;
    case QUEUE_LATER:
        break;
    }
}

static void injection_store(struct injection *in)
{
    struct message *m = in->m;
    const struct body *body = m->content->body;

    insert_context_clear(m);
    insert_context_add(m, INSERT_RECEIVED);
    m->size = (uint32_t)message_data_size(m);
    message_blob_put(m, &in->blob);
    in->record.meta = (struct spool_meta){
        .queue = buf_slice(&in->queue_name),
        .due_ms = m->due_ms,
        .created_ms = message_id_wall_ns(m->id) / 1000000u,
        .size = m->size,
        .attempts = m->attempts,
    };
    memcpy(in->record.meta.id, m->id, sizeof(m->id));
    in->record.blob = buf_slice(&in->blob);
    in->put = (struct spool_put){
        .body = buf_slice(&body->bytes),
        .body_flags = body->flags,
        .records = &in->record,
        .record_count = 1,
        .done = injection_stored,
    };
    spool_put(in->engine->spool, &in->put);
}

/* What is wrong with the message or with the moment; empty: nothing. */
static struct slice injection_refusal(struct injection *in, struct buf *why)
{
    struct engine *e = in->engine;
    enum spool_err err;

    if (!e->started || e->queue.draining) {
        return SLICE("shutting down");
    }
    if (message_data_size(in->m) == 0) {
        return SLICE("message data must not be empty");
    }
    if (in->m->content->recipient_count == 0) {
        return SLICE("the message has no recipient");
    }
    if (!message_queue_name(in->m, &in->queue_name, why)) {
        return buf_slice(why);
    }
    err = spool_accepting(e->spool);
    return err == SPOOL_OK ? (struct slice){0} : slice_str(spool_err_text(err));
}

/* Durable in any case: deferred_spool asks for less, and nobody is worse off. */
static void inject(void *ctx, struct message *m, bool deferred_spool, struct api_inject *op)
{
    struct injection *in = MEM_NEW(struct injection);
    struct buf why = {0};
    struct slice refusal;

    in->engine = ctx;
    in->m = m;
    in->op = op;
    queue_work_begin(&in->engine->queue); /* stopping waits for it */
    refusal = injection_refusal(in, &why);
    if (refusal.len > 0) {
        injection_end(in, false, refusal);
    } else if (slice_eq(buf_slice(&in->queue_name), SLICE("null"))) {
        injection_end(in, true, refusal);
    } else {
        injection_store(in);
    }
    buf_free(&why);
}

void services_fill(struct engine *e, struct api_services *out)
{
    out->bump_epoch = bump_epoch;
    out->inject = inject;
    out->resolver = &e->resolver;
    out->ids = &e->ingress.ids;
    out->zones = &e->zones.finder;
}
