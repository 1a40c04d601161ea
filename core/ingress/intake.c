/* The first half of a transaction's intake: the policy's events and the split into messages. */
#include "core/ingress/intake.h"

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/time_text.h"
#include "core/ingress/deferred.h"
#include "proto/trace.h"

#define INTAKE_ROOM 1500u /* enough for nearly every transaction */

static void intake_split(struct intake *it);
static void intake_next_item(struct intake *it);

/* ---- life ---- */

void intake_free(struct intake **ip)
{
    struct intake *it = *ip;
    struct arena arena = it->arena;

    timer_cancel(&it->ingress->shard->timers, &it->patience);
    for (uint32_t i = 0; i < it->item_count; i++) {
        if (it->items[i].m != NULL) {
            message_free(&it->items[i].m);
        }
        intake_report_free(&it->items[i]);
    }
    if (it->base != NULL) {
        message_free(&it->base);
    }
    if (it->call != NULL) {
        vm_call_end(&it->call);
    }
    it->ingress->intake_count--;
    arena_free(&arena);
    *ip = NULL;
}

bool intake_too_late(const struct intake *it)
{
    return ring_now_ns(&it->ingress->shard->ring) > it->deadline_ns;
}

/* The transaction is over for the session; its reply is what is left of it. */
static struct session *intake_detach(struct intake *it)
{
    struct session *s = it->session;

    s->intake = NULL;
    return s;
}

void intake_answer(struct intake *it, const struct smtp_answer *answer)
{
    struct session *s = intake_detach(it);
    struct buf *text = &s->ingress->reply; /* used up before the next transaction begins */
    struct smtp_answer kept = *answer;

    buf_reuse(text);
    buf_put(text, answer->text);
    kept.text = buf_slice(text);
    intake_free(&it);
    session_answer(s, &kept);
}

void intake_refuse(struct intake *it, uint16_t code, struct slice text)
{
    const struct smtp_answer answer = {.code = code, .text = text};

    intake_answer(it, &answer);
}

void intake_fail(struct intake *it, struct slice detail)
{
    struct session *s = intake_detach(it);
    struct buf text = {0};

    buf_put(&text, detail);
    intake_free(&it);
    session_fail(s, buf_slice(&text));
    buf_free(&text);
}

/* ---- hooks ---- */

typedef void intake_fn(struct intake *it, const struct vm_result *result);

static bool intake_take_failure(struct intake *it, const struct vm_result *result)
{
    struct smtp_answer answer = {0};

    if (result->status == VM_ERROR) {
        intake_fail(it, result->text);
        return true;
    }
    if (result->status == VM_REJECTED) {
        answer.code = result->code;
        answer.text = result->text;
        answer.after = result->disconnect == VM_FORCE_DISCONNECT  ? SMTP_AFTER_CLOSE
                       : result->disconnect == VM_FOLLOW_WITH_421 ? SMTP_AFTER_CLOSE_421
                                                                  : SMTP_AFTER_STAY;
        intake_answer(it, &answer);
        return true;
    }
    if (intake_too_late(it)) {
        intake_refuse(it, 451, SLICE("4.4.5 data_processing_timeout exceeded (rx)"));
        return true;
    }
    return false;
}

/* The call ends after its result has been used; the intake may be gone by then. */
static void intake_hook_done(struct intake *it, const struct vm_result *result, intake_fn *then)
{
    struct vm_call *call = it->call;

    it->call = NULL;
    if (!intake_take_failure(it, result)) {
        then(it, result);
    }
    vm_call_end(&call);
}

static void data_done(struct intake *it, const struct vm_result *result)
{
    intake_split(it);
}

static void data_done_later(void *ctx, const struct vm_result *result)
{
    intake_hook_done(ctx, result, data_done);
}

static void split_done(struct intake *it, const struct vm_result *result);

static void split_done_later(void *ctx, const struct vm_result *result)
{
    intake_hook_done(ctx, result, split_done);
}

static void received_done(struct intake *it, const struct vm_result *result)
{
    it->item_next++;
    intake_next_item(it);
}

static void received_done_later(void *ctx, const struct vm_result *result)
{
    intake_hook_done(ctx, result, received_done);
}

static void hook_run(struct intake *it, enum vm_hook hook, struct message *m, intake_fn *then,
                     vm_done_fn *later)
{
    const struct vm_result *result;

    it->call = vm_call_begin(it->ingress->vm, hook);
    vm_push_message(it->call, m);
    vm_push_conn_meta(it->call, &it->session->meta);
    result = vm_call_run(it->call, later, it);
    if (result != NULL) {
        intake_hook_done(it, result, then);
    }
}

/* ---- messages ---- */

static struct body *take_body(struct smtp_tx *tx)
{
    uint32_t flags = 0;

    flags |= tx->body_flags & SMTP_BODY_DOT_LINE ? BODY_NEEDS_STUFFING : 0;
    flags |= tx->body_flags & SMTP_BODY_8BIT ? BODY_HAS_8BIT : 0;
    flags |= tx->body_flags & SMTP_BODY_BARE ? BODY_NOT_CANONICAL : 0;
    flags |= tx->body_flags & SMTP_BODY_NO_FINAL_CRLF ? BODY_NO_FINAL_CRLF : 0;
    return body_new_flags(&tx->body, flags);
}

static void message_identify(struct ingress *in, struct message *m)
{
    message_id_next(&in->ids, ring_wall_ns(&in->shard->ring), m->id);
    m->flags = MESSAGE_NEW;
    insert_context_add(m, INSERT_RECEIVED);
}

/* The transaction as one message with all recipients; envelope and body move into it. */
static struct message *base_message(struct session *s)
{
    struct smtp_tx *tx = smtp_server_message(s->smtp);
    struct message *m = message_new();

    m->content = message_content_new();
    m->content->sender = tx->sender;
    m->content->recipients = tx->recipients;
    m->content->recipient_count = tx->recipient_count;
    tx->sender = (struct buf){0};
    tx->recipients = (struct buf){0};
    m->content->body = take_body(tx);
    meta_copy(&m->content->meta, &s->meta);
    message_identify(s->ingress, m);
    return m;
}

static void received_put(struct intake *it, struct message *m)
{
    struct session *s = it->session;
    char id[MESSAGE_ID_TEXT], peer[IP_TEXT_MAX], local[IP_TEXT_MAX];
    struct buf *text = &it->ingress->scratch;
    struct trace_received t = {0};
    struct slice first = {0};
    size_t at = 0;

    if (!s->config->trace_headers.received_header ||
        !message_next_recipient(m, &at, &first)) {
        return;
    }
    message_id_text(m->id, id);
    t.ehlo = smtp_server_helo(s->smtp);
    t.peer_ip = ip_text(&s->peer.ip, peer);
    t.hostname = session_hostname(s);
    t.local_ip = ip_text(&s->local.ip, local);
    t.id = slice_of(id, sizeof(id));
    t.recipient = first;
    t.date = it->date;
    buf_reuse(text);
    trace_received_put(text, &t);
    buf_insert(&m->content->head, 0, buf_slice(text));
}

/* ---- splitting ---- */

static struct message *batch_message(struct intake *it)
{
    struct message *m = message_new();
    const struct message_content *base = it->base->content;

    m->content = message_content_new();
    buf_put(&m->content->sender, it->sender);
    meta_copy(&m->content->meta, &base->meta);
    m->content->body = body_get(base->body);
    buf_put(&m->content->head, buf_slice(&base->head));
    m->content->body_from = base->body_from;
    message_identify(it->ingress, m);
    return m;
}

static void items_reserve(struct intake *it, uint32_t count)
{
    it->items = arena_take(&it->arena, count * sizeof(*it->items));
    it->item_max = count;
}

static void item_add(struct intake *it, struct message *m)
{
    struct intake_item *item = &it->items[it->item_count++];

    MUST(it->item_count <= it->item_max);
    *item = (struct intake_item){.m = m};
    memcpy(item->id, m->id, sizeof(item->id));
}

static void split_each(struct intake *it)
{
    struct slice addr;

    for (size_t at = 0; message_next_recipient(it->base, &at, &addr);) {
        struct message *m = batch_message(it);

        message_add_recipient(m, addr);
        item_add(it, m);
    }
}

static void split_by_domain(struct intake *it)
{
    struct slice addr;

    for (size_t at = 0; message_next_recipient(it->base, &at, &addr);) {
        struct slice domain = address_split(addr).domain;
        struct message *m = NULL;

        for (uint32_t i = 0; i < it->item_count && m == NULL; i++) {
            struct slice first;
            size_t first_at = 0;

            if (message_next_recipient(it->items[i].m, &first_at, &first) &&
                slice_eq_nocase(address_split(first).domain, domain)) {
                m = it->items[i].m;
            }
        }
        if (m == NULL) {
            m = batch_message(it);
            item_add(it, m);
        }
        message_add_recipient(m, addr);
    }
}

static void split_default(struct intake *it)
{
    items_reserve(it, it->base->content->recipient_count);
    if (it->base->content->recipient_count == 1) {
        /* The usual case: nothing is copied. A sender that smtp_server_data changed stays out. */
        message_set_sender(it->base, it->sender);
        item_add(it, it->base);
        it->base = NULL;
        return;
    }
    if (it->session->config->batch_handling == BATCH_BY_DOMAIN) {
        split_by_domain(it);
    } else {
        split_each(it);
    }
    message_free(&it->base);
}

/* The policy's own batches: arrays (or tables) of addresses. */
static bool split_by_policy(struct intake *it, const struct json *batches)
{
    struct buf addr = {0};
    bool ok = true;

    items_reserve(it, batches->count);
    for (const struct json *b = batches->first; ok && b != NULL; b = b->next) {
        struct message *m = NULL;

        for (const struct json *r = b->type == JSON_ARRAY ? b->first : NULL; ok && r != NULL;
             r = r->next) {
            buf_clear(&addr);
            ok = r->type == JSON_STRING && address_parse(r->string, ADDRESS_POSTMASTER, &addr);
            if (ok && m == NULL) {
                m = batch_message(it);
                item_add(it, m);
            }
            if (ok) {
                message_add_recipient(m, buf_slice(&addr));
            }
        }
    }
    buf_free(&addr);
    return ok;
}

static void split_done(struct intake *it, const struct vm_result *result)
{
    const struct json *batches = result->value_count > 0 ? result->values[0] : NULL;

    if (batches == NULL || (batches->type != JSON_ARRAY && batches->type != JSON_OBJECT)) {
        split_default(it);
    } else if (!split_by_policy(it, batches)) {
        intake_fail(it, SLICE("smtp_server_split_transaction: a recipient is no address"));
        return;
    } else {
        message_free(&it->base);
    }
    intake_next_item(it);
}

static void intake_split(struct intake *it)
{
    if (vm_has(it->ingress->vm, VM_HOOK_smtp_server_split_transaction)) {
        hook_run(it, VM_HOOK_smtp_server_split_transaction, it->base, split_done,
                 split_done_later);
        return;
    }
    split_default(it);
    intake_next_item(it);
}

/* ---- each message ---- */

/* Iterates over the items; a handler that answers at once must not recurse a thousand deep. */
static void intake_next_item(struct intake *it)
{
    const bool deferred = it->session->config->deferred_queue;
    const bool has_hook = !deferred &&
                          vm_has(it->ingress->vm, VM_HOOK_smtp_server_message_received);

    while (it->item_next < it->item_count) {
        uint32_t at = it->item_next;
        const struct vm_result *result;
        struct vm_call *call;

        received_put(it, it->items[at].m);
        if (deferred) {
            deferral_mark(it->items[at].m);
        }
        if (!has_hook) {
            it->item_next++;
            continue;
        }
        it->call = vm_call_begin(it->ingress->vm, VM_HOOK_smtp_server_message_received);
        vm_push_message(it->call, it->items[at].m);
        vm_push_conn_meta(it->call, &it->session->meta);
        result = vm_call_run(it->call, received_done_later, it);
        if (result == NULL) {
            return;
        }
        call = it->call;
        it->call = NULL;
        if (intake_take_failure(it, result)) {
            vm_call_end(&call);
            return;
        }
        vm_call_end(&call);
        it->item_next++;
    }
    it->item_next = 0;
    intake_judge(it);
}

void intake_begin(struct session *s)
{
    struct arena arena = {0};
    struct ingress *in = s->ingress;
    struct intake *it;

    arena_reserve(&arena, INTAKE_ROOM);
    it = ARENA_NEW(&arena, struct intake);
    it->arena = arena;
    it->session = s;
    it->ingress = in;
    it->deadline_ns = ring_now_ns(&in->shard->ring) + s->config->data_processing_timeout;
    in->intake_count++;
    in->counters.transaction_count++;
    s->intake = it;
    s->phase = PHASE_INTAKE;
    buf_reuse(&in->scratch);
    time_put_rfc2822(&in->scratch, ring_wall_ns(&in->shard->ring));
    it->date = arena_copy(&it->arena, buf_slice(&in->scratch));
    it->base = base_message(s);
    it->sender = arena_copy(&it->arena, message_sender(it->base));
    if (vm_has(in->vm, VM_HOOK_smtp_server_data)) {
        hook_run(it, VM_HOOK_smtp_server_data, it->base, data_done, data_done_later);
    } else {
        intake_split(it);
    }
}
