#include "core/ingress/deferred.h"

#include "core/base/mem.h"
#include "core/queue/load.h"
#include "core/queue/rebind.h"
#include "policy/vm/vm.h"
#include "proto/smtp_reply.h"

#define META_QUEUE SLICE("queue")

struct deferral {
    struct dlist link; /* in deferrals.running */
    struct ingress *in;
    struct message *m;
    struct message_load load;
    struct vm_call *call;
    struct meta conn_meta;
    struct queue_rebind rebind;
    const struct body *body; /* as it was stored */
    uint32_t size;
    bool rebinding;
};

static const struct record_session deferred_session = {
    .site = SLICE_INIT("unspecified->deferred_smtp_inject.kumomta.internal@defersmtpinject"),
    .egress_pool = SLICE_INIT("unspecified"),
    .egress_source = SLICE_INIT("unspecified"),
    .delivery_protocol = SLICE_INIT("DeferredSmtpInjection"),
};

void deferral_mark(struct message *m)
{
    meta_set_string(&m->content->meta, META_QUEUE, QUEUE_DEFERRED_SMTP);
    m->content->envelope_dirty = true;
}

/* ---- the end of one ---- */

static struct message *deferral_end(struct deferral *d)
{
    struct ingress *in = d->in;
    struct message *m = d->m;

    if (d->call != NULL) {
        vm_call_end(&d->call);
    }
    meta_free(&d->conn_meta);
    dlist_remove(&d->link);
    mem_give(d);
    in->deferrals.running_count--;
    shard_post(in->shard, &in->deferrals.work);
    return m;
}

/* Nothing of this try counts: as it is in the spool, or named back where only memory has it. */
static void deferral_undo(struct deferral *d)
{
    struct message *m = d->m;
    struct message_content *c = m->content;

    if (c == NULL) {
        return;
    }
    if ((m->flags & MESSAGE_SPOOLED) != 0 && (c->envelope_dirty || c->data_dirty)) {
        message_content_free(&m->content);
        m->size = d->size;
    } else {
        deferral_mark(m);
    }
}

/* What the records say; `kept` holds the text, which may be the call's. */
static struct record_outcome deferral_outcome(enum log_type type, uint16_t code,
                                              struct slice text, struct buf *kept)
{
    struct smtp_enhanced enhanced = {0};
    struct slice rest = text;

    if (!smtp_enhanced_cut(text, &enhanced, &rest)) {
        rest = text;
    }
    buf_put(kept, rest);
    return (struct record_outcome){
        .type = type,
        .code = code,
        .enhanced_class = enhanced.class,
        .enhanced_subject = enhanced.subject,
        .enhanced_detail = enhanced.detail,
        .content = buf_slice(kept),
    };
}

/* Another try later. */
static void deferral_fail(struct deferral *d, uint16_t code, struct slice text)
{
    struct queue_mgr *queue = d->in->queue;
    struct buf kept = {0};
    const struct record_outcome outcome =
        deferral_outcome(LOG_TRANSIENT_FAILURE, code, text, &kept);
    const struct queue_requeue how = {.reason = INSERT_LOGGED_TRANSIENT_FAILURE,
                                      .attempted = true,
                                      .logged = true};

    deferral_undo(d);
    queue_fail(queue, deferral_end(d), &outcome, &deferred_session, &how);
    buf_free(&kept);
    queue_work_end(queue);
}

static void deferral_bounce(struct deferral *d, uint16_t code, struct slice text)
{
    struct queue_mgr *queue = d->in->queue;
    struct buf kept = {0};
    const struct record_outcome outcome = deferral_outcome(LOG_BOUNCE, code, text, &kept);

    queue_finish(queue, deferral_end(d), &outcome, 1, &deferred_session);
    buf_free(&kept);
    queue_work_end(queue);
}

static void deferrals_hold(struct ingress *in, struct message *m);

/* Nothing is asked any more: the message rests, at the latest when the queues drain. */
static void deferral_give_back(struct deferral *d)
{
    struct ingress *in = d->in;
    struct message *m;

    deferral_undo(d);
    m = deferral_end(d);
    if (in->queue->draining) {
        queue_reinsert(in->queue, m, INSERT_READY_QUEUE_WAS_REAPED);
    } else {
        deferrals_hold(in, m);
    }
    queue_work_end(in->queue);
}

/* ---- the steps of one ---- */

static const struct record_outcome rebound = {
    .type = LOG_DEFERRED_INJECTION_REBIND, .code = 250, .content = SLICE_INIT("ok")};

static void deferral_rebound(struct queue_rebind *r, bool ok, struct slice why)
{
    struct deferral *d = CONTAINER_OF(r, struct deferral, rebind);
    struct queue_mgr *queue = d->in->queue;

    d->rebinding = false;
    if (!ok) {
        deferral_fail(d, 450, why);
        return;
    }
    (void)deferral_end(d); /* the message is its queue's */
    queue_work_end(queue);
}

static void deferral_take(struct deferral *d, const struct vm_result *result)
{
    switch (result->status) {
    case VM_NONE:
    case VM_RETURNED:
        d->rebinding = true;
        d->rebind = (struct queue_rebind){.done = deferral_rebound,
                                          .outcome = &rebound,
                                          .session = &deferred_session,
                                          .body_replaced = d->m->content->body != d->body};
        if (d->call != NULL) {
            vm_call_end(&d->call);
        }
        queue_rebind(d->in->queue, d->m, &d->rebind);
        break;
    case VM_REJECTED:
        if (result->code >= 500) {
            deferral_bounce(d, result->code, result->text);
        } else {
            deferral_fail(d, result->code, result->text);
        }
        break;
    case VM_ERROR:
        deferral_fail(d, 450, result->text);
        break;
    }
}

static void deferral_answered(void *ctx, const struct vm_result *result)
{
    deferral_take(ctx, result);
}

static void deferral_ask(struct deferral *d)
{
    static const struct vm_result nobody = {.status = VM_NONE};
    struct vm *vm = d->in->vm;
    struct message_content *c = d->m->content;
    const struct vm_result *result = &nobody;

    d->body = c->body;
    d->size = d->m->size;
    meta_set(&c->meta, META_QUEUE, SLICE("null"));
    c->envelope_dirty = true;
    meta_copy(&d->conn_meta, &c->meta);
    if (vm_has(vm, VM_HOOK_smtp_server_message_deferred_inject)) {
        d->call = vm_call_begin(vm, VM_HOOK_smtp_server_message_deferred_inject);
        vm_push_message(d->call, d->m);
        vm_push_conn_meta(d->call, &d->conn_meta);
        result = vm_call_run(d->call, deferral_answered, d);
    }
    if (result != NULL) {
        deferral_take(d, result);
    }
}

static void deferral_loaded(struct message_load *load, enum spool_err err)
{
    struct deferral *d = CONTAINER_OF(load, struct deferral, load);

    if (d->in->queue->cut) {
        deferral_give_back(d);
    } else if (err == SPOOL_OK) {
        deferral_ask(d);
    } else {
        struct buf text = {0};

        buf_printf(&text, "KumoMTA internal: error in deliver_message: %s", spool_err_text(err));
        deferral_fail(d, 400, buf_slice(&text));
        buf_free(&text);
    }
}

static void deferral_start(struct ingress *in, struct message *m)
{
    struct deferral *d = MEM_NEW(struct deferral);

    d->in = in;
    d->m = m;
    dlist_push(&in->deferrals.running, &d->link);
    in->deferrals.running_count++;
    queue_work_begin(in->queue);
    if (m->content == NULL) {
        message_load(in->spool, &d->load, m, deferral_loaded);
    } else {
        deferral_ask(d);
    }
}

/* ---- all of them ---- */

static void deferrals_hold(struct ingress *in, struct message *m)
{
    struct deferrals *all = &in->deferrals;
    const struct message_content *c = m->content;

    if (c != NULL && all->held_bytes + m->size > DEFERRED_BYTES_MAX &&
        (m->flags & MESSAGE_SPOOLED) != 0 && !c->envelope_dirty && !c->data_dirty) {
        message_content_free(&m->content);
    }
    if (m->content != NULL) {
        all->held_bytes += m->size;
    }
    dlist_push(&all->waiting, &m->timer.link);
}

static struct message *deferrals_pop(struct ingress *in)
{
    struct dlist *node = dlist_pop(&in->deferrals.waiting);
    struct message *m;

    if (node == NULL) {
        return NULL;
    }
    m = CONTAINER_OF(node, struct message, timer.link);
    if (m->content != NULL) {
        in->deferrals.held_bytes -= m->size;
    }
    return m;
}

/* While sessions end nothing begins: what waits stays in the internal queue. */
static void deferrals_work(struct post *p)
{
    struct ingress *in = CONTAINER_OF(p, struct ingress, deferrals.work);

    while (!in->draining && in->deferrals.running_count < DEFERRED_RUNNING_MAX) {
        struct message *m = deferrals_pop(in);

        if (m == NULL) {
            return;
        }
        deferral_start(in, m);
    }
}

static void injected(void *ctx, struct message *m)
{
    struct ingress *in = ctx;

    insert_context_clear(m);
    deferrals_hold(in, m);
    shard_post(in->shard, &in->deferrals.work);
}

const struct queue_injector ingress_injector = {.inject = injected};

void deferrals_init(struct ingress *in)
{
    dlist_init(&in->deferrals.waiting);
    dlist_init(&in->deferrals.running);
    in->deferrals.work.fn = deferrals_work;
}

void deferrals_drain(struct ingress *in)
{
    struct message *m;

    MUST(in->queue->draining);
    while ((m = deferrals_pop(in)) != NULL) {
        queue_reinsert(in->queue, m, INSERT_READY_QUEUE_WAS_REAPED);
    }
}

void deferrals_cut(struct ingress *in)
{
    struct dlist *next;

    for (struct dlist *n = in->deferrals.running.next; n != &in->deferrals.running; n = next) {
        struct deferral *d = CONTAINER_OF(n, struct deferral, link);

        next = n->next;
        if (d->load.in_flight || (d->rebinding && !queue_rebind_abandon(&d->rebind))) {
            continue; /* the disk answers soon */
        }
        deferral_give_back(d);
    }
}

void deferrals_free(struct ingress *in)
{
    MUST(in->deferrals.running_count == 0 && dlist_empty(&in->deferrals.waiting));
    shard_unpost(in->shard, &in->deferrals.work);
}
