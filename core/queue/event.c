#include "core/queue/event.h"

#include "core/base/diag.h"
#include "core/base/mem.h"
#include "core/queue/event_private.h"

#define NEXT_BUDGET 64u       /* begun in one turn */
#define FOUND_AGAIN_MS 600000u /* until a message whose handler failed is asked about again */

static const enum vm_hook hooks[] = {
    [EVENT_FOUND] = VM_HOOK_spool_message_enumerated,
    [EVENT_PROMOTE] = VM_HOOK_throttle_insert_ready_queue,
    [EVENT_REQUEUE] = VM_HOOK_requeue_message,
};

bool queue_event_heard(const struct queue_mgr *mgr, enum vm_hook hook)
{
    return mgr->vm != NULL && !mgr->events.cut && vm_has(mgr->vm, hook);
}

void event_complain(struct queue_mgr *mgr, const struct message *m, enum event_kind kind,
                    struct slice text)
{
    char id[MESSAGE_ID_TEXT];

    message_id_text(m->id, id);
    diag_error(mgr->diag, "queue", "message %.*s: %s: %.*s", (int)sizeof(id), id,
               vm_hook_name(hooks[kind]), SLICE_ARG(text));
}

/* ---- the text: a handler may put headers around it, but not replace it ---- */

static void text_keep(struct queue_event *e)
{
    const struct message_content *c = e->m->content;

    if ((e->m->flags & MESSAGE_SPOOLED) == 0) {
        return;
    }
    e->text = (struct event_text){
        .body = c->body != NULL ? body_get(c->body) : NULL,
        .body_from = c->body_from,
        .size = e->m->size,
        .kept = true,
        .dirty = c->data_dirty,
    };
    buf_put(&e->text.head, buf_slice(&c->head));
}

/* What is written to the spool is the header and where in the body that is there it ends. */
static void text_settle(struct queue_event *e)
{
    struct message_content *c = e->m->content;
    struct event_text *t = &e->text;

    if (!t->kept) {
        return;
    }
    if (c->body != t->body) {
        struct buf head = c->head;

        event_complain(e->mgr, e->m, (enum event_kind)e->kind,
                 SLICE("the text of a message cannot be replaced here; it stays what it was"));
        body_put(&c->body);
        c->body = t->body != NULL ? body_get(t->body) : NULL;
        c->body_from = t->body_from;
        c->head = t->head;
        t->head = head;
        e->m->size = t->size;
        c->data_dirty = t->dirty;
    } else if (c->data_dirty && !t->dirty) {
        c->data_dirty = false;
        c->envelope_dirty = true;
    }
}

static void text_forget(struct event_text *t)
{
    body_put(&t->body);
    buf_free(&t->head);
}

/* ---- life ---- */

static struct queue_event *event_new(struct queue_mgr *mgr, struct message *m,
                                     enum event_kind kind)
{
    struct queue_event *e = MEM_NEW(struct queue_event);

    e->mgr = mgr;
    e->m = m;
    e->kind = (uint8_t)kind;
    queue_work_begin(mgr);
    return e;
}

static void event_free(struct queue_event *e)
{
    text_forget(&e->text);
    buf_free(&e->name);
    buf_free(&e->response);
    mem_give(e);
}

static void event_end(struct queue_event *e, const struct event_verdict *v)
{
    static void (*const end[])(struct queue_event *e, const struct event_verdict *v) = {
        [EVENT_FOUND] = event_found_end,
        [EVENT_PROMOTE] = event_promote_end,
        [EVENT_REQUEUE] = event_requeue_end,
    };
    struct queue_mgr *mgr = e->mgr;

    text_settle(e);
    dlist_remove(&e->link);
    mgr->events.running_count--;
    end[e->kind](e, v);
    event_free(e);
    shard_post(mgr->shard, &mgr->events.next);
    queue_work_end(mgr);
}

static void event_answered(void *ctx, const struct vm_result *result)
{
    struct queue_event *e = ctx;
    struct event_verdict v = {.status = result->status, .code = result->code};
    struct buf text = {0};

    buf_put(&text, result->text);
    v.text = buf_slice(&text);
    vm_call_end(&e->call);
    event_end(e, &v);
    buf_free(&text);
}

static void push_requeue(struct queue_event *e)
{
    const struct queue_requeue *how = &e->how;
    struct slice reasons[INSERT_CONTEXT_MAX];
    uint32_t count = insert_context_list(e->m, reasons);

    vm_push_string(e->call, buf_slice(&e->response));
    vm_push_strings(e->call, reasons, count);
    vm_push_bool(e->call, how->attempted);
    if (how->has_delay) {
        vm_push_time_delta(e->call, (int64_t)(how->delay_ms * 1000000u));
    } else {
        vm_push_nil(e->call);
    }
}

/* Nobody to ask, or nothing to ask about: as if a handler had nothing to say. */
static void event_skip(struct queue_event *e)
{
    event_end(e, &(struct event_verdict){.status = VM_NONE});
}

static void event_run(struct queue_event *e)
{
    const struct vm_result *result;
    struct message *m = e->m;
    struct buf why = {0};

    if (m->content == NULL || !queue_event_heard(e->mgr, hooks[e->kind])) {
        event_skip(e);
        return;
    }
    text_keep(e);
    e->due_ms = m->due_ms;
    (void)!message_queue_name(m, &e->name, &why);
    buf_free(&why);
    e->call = vm_call_begin(e->mgr->vm, hooks[e->kind]);
    vm_push_message(e->call, m);
    if (e->kind == EVENT_REQUEUE) {
        push_requeue(e);
    }
    result = vm_call_run(e->call, event_answered, e);
    if (result != NULL) {
        event_answered(e, result);
    }
}

static void event_loaded(struct message_load *load, enum spool_err err)
{
    /* What cannot be read is not asked about: whoever needs it next tells that story. */
    (void)err;
    event_run(CONTAINER_OF(load, struct queue_event, load));
}

static void event_begin(struct queue_event *e)
{
    dlist_push(&e->mgr->events.running, &e->link);
    e->mgr->events.running_count++;
    if (e->m->content == NULL && (e->m->flags & MESSAGE_SPOOLED) != 0) {
        message_load(e->mgr->spool, &e->load, e->m, event_loaded);
    } else {
        event_run(e);
    }
}

/* ---- taking turns ---- */

static void content_drop(struct message *m)
{
    if ((m->flags & MESSAGE_SPOOLED) != 0 && m->content != NULL && !m->content->envelope_dirty &&
        !m->content->data_dirty) {
        message_content_free(&m->content);
    }
}

/* Whether another one may begin; otherwise it waits behind those in `line`. */
static bool may_begin(const struct queue_mgr *mgr, const struct dlist *line)
{
    return mgr->events.running_count < QUEUE_EVENTS_MAX && dlist_empty(line);
}

static void message_ask(struct queue_mgr *mgr, struct message *m, enum event_kind kind,
                        struct dlist *line)
{
    if (may_begin(mgr, line)) {
        event_begin(event_new(mgr, m, kind));
    } else {
        content_drop(m);
        dlist_push(line, &m->timer.link);
    }
}

static struct message *message_pop(struct dlist *line)
{
    struct dlist *node = dlist_pop(line);

    return node != NULL ? CONTAINER_OF(node, struct message, timer.link) : NULL;
}

/* The next one whose turn it is; those that come back go first, for they hold the most. */
static bool begin_next(struct queue_mgr *mgr)
{
    struct queue_events *ev = &mgr->events;
    struct dlist *node;
    struct message *m;

    if (ev->running_count >= QUEUE_EVENTS_MAX) {
        return false;
    }
    if ((node = dlist_pop(&ev->requeued)) != NULL) {
        event_begin(CONTAINER_OF(node, struct queue_event, link));
    } else if ((m = message_pop(&ev->promoted)) != NULL) {
        event_begin(event_new(mgr, m, EVENT_PROMOTE));
    } else if ((m = message_pop(&ev->found)) != NULL) {
        event_begin(event_new(mgr, m, EVENT_FOUND));
    } else {
        return false;
    }
    return true;
}

/* Posted: from the loop, so that a handler that moves messages to and fro nests nowhere. */
static void events_next(struct post *p)
{
    struct queue_mgr *mgr = CONTAINER_OF(p, struct queue_mgr, events.next);
    uint32_t budget = NEXT_BUDGET;
    struct message *m;

    while (budget > 0 && (m = message_pop(&mgr->events.moved)) != NULL) {
        budget--;
        queue_place(mgr, m);
        queue_work_end(mgr);
    }
    while (budget > 0 && begin_next(mgr)) {
        budget--;
    }
    if (budget == 0) {
        shard_post(mgr->shard, p);
    }
}

/* ---- the ways in ---- */

static void found_again(struct timer *t)
{
    struct message *m = CONTAINER_OF(t, struct message, timer);
    struct queue_mgr *mgr = ((struct schedq *)m->owner)->mgr;

    mgr->waiting_count--;
    queue_event_found(mgr, m);
}

void event_found_hold(struct queue_mgr *mgr, struct message *m)
{
    content_drop(m);
    mgr->waiting_count++;
    m->timer.fn = found_again;
    timer_arm(&mgr->shard->timers, &m->timer, shard_now_ms(mgr->shard) + FOUND_AGAIN_MS);
}

void queue_event_found(struct queue_mgr *mgr, struct message *m)
{
    message_ask(mgr, m, EVENT_FOUND, &mgr->events.found);
}

void queue_event_promote(struct queue_mgr *mgr, struct message *m)
{
    message_ask(mgr, m, EVENT_PROMOTE, &mgr->events.promoted);
}

void queue_event_requeue(struct queue_mgr *mgr, struct message *m, const struct queue_requeue *how)
{
    struct queue_event *e = event_new(mgr, m, EVENT_REQUEUE);

    e->how = *how;
    buf_put(&e->response, how->response);
    e->how.response = buf_slice(&e->response);
    if (may_begin(mgr, &mgr->events.requeued)) {
        event_begin(e);
    } else {
        content_drop(m);
        dlist_push(&mgr->events.requeued, &e->link);
    }
}

/* ---- beginning and end ---- */

void queue_events_init(struct queue_mgr *mgr)
{
    struct queue_events *ev = &mgr->events;

    dlist_init(&ev->running);
    dlist_init(&ev->requeued);
    dlist_init(&ev->promoted);
    dlist_init(&ev->found);
    dlist_init(&ev->moved);
    ev->next.fn = events_next;
}

void queue_events_drain(struct queue_mgr *mgr)
{
    struct message *m;

    while ((m = message_pop(&mgr->events.promoted)) != NULL ||
           (m = message_pop(&mgr->events.found)) != NULL) {
        queue_promote(mgr, m); /* lets it rest in the spool */
    }
}

void queue_events_cut(struct queue_mgr *mgr)
{
    struct dlist waiting, *node;

    mgr->events.cut = true;
    dlist_init(&waiting);
    dlist_splice(&waiting, &mgr->events.running);
    while ((node = dlist_pop(&waiting)) != NULL) {
        struct queue_event *e = CONTAINER_OF(node, struct queue_event, link);

        dlist_push(&mgr->events.running, &e->link);
        if (e->call != NULL) {
            vm_call_end(&e->call);
            event_skip(e);
        }
    }
}

static void event_drop(struct queue_event *e)
{
    vm_call_end(&e->call);
    schedq_leave(e->m);
    message_free(&e->m);
    event_free(e);
}

void queue_events_free(struct queue_mgr *mgr)
{
    struct queue_events *ev = &mgr->events;
    struct message *m;
    struct timer *t;
    struct dlist *node;

    shard_unpost(mgr->shard, &ev->next);
    while ((t = timers_take(&mgr->shard->timers, found_again)) != NULL) {
        dlist_push(&ev->found, &CONTAINER_OF(t, struct message, timer)->timer.link);
        mgr->waiting_count--;
    }
    while ((m = message_pop(&ev->promoted)) != NULL || (m = message_pop(&ev->found)) != NULL ||
           (m = message_pop(&ev->moved)) != NULL) {
        schedq_leave(m);
        message_free(&m);
    }
    while ((node = dlist_pop(&ev->running)) != NULL ||
           (node = dlist_pop(&ev->requeued)) != NULL) {
        event_drop(CONTAINER_OF(node, struct queue_event, link));
    }
}
