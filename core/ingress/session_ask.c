/* The protocol's questions: what the policy and the state of the daemon say to them. */
#include "core/base/diag.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/ingress/session.h"
#include "core/limit/memory.h"

/* ---- hooks ---- */

static void phase_result(struct session *s, enum session_phase phase,
                         const struct vm_result *result);

static void hook_done(void *ctx, const struct vm_result *result)
{
    struct session *s = ctx;
    struct vm_call *call = s->call;

    s->call = NULL;
    phase_result(s, (enum session_phase)s->phase, result);
    vm_call_end(&call);
}

static void hook_run(struct session *s, enum session_phase phase, struct vm_call *call)
{
    const struct vm_result *result;

    s->phase = (uint8_t)phase;
    s->call = call;
    result = vm_call_run(call, hook_done, s);
    if (result != NULL) {
        hook_done(s, result);
    }
}

static void accept_question(struct session *s)
{
    const struct smtp_answer yes = {0};

    session_answer(s, &yes);
}

/* ---- EHLO ---- */

static void push_extensions(struct session *s, struct vm_call *call)
{
    struct buf text = {0};
    struct slice items[32];
    uint32_t count = 0;

    smtp_server_extensions_put(s->smtp, &text);
    for (struct slice rest = buf_slice(&text); rest.len > 0 && count < ARRAY_COUNT(items);) {
        size_t end = slice_find_char(rest, '\n');

        items[count++] = slice_head(rest, end);
        rest = slice_from(rest, end + 1);
    }
    vm_push_strings(call, items, count);
    buf_free(&text);
}

static void ask_ehlo(struct session *s, const struct smtp_question *q)
{
    struct vm *vm = s->ingress->vm;
    struct vm_call *call;

    if (!vm_has(vm, VM_HOOK_smtp_server_ehlo)) {
        s->phase = PHASE_EHLO;
        phase_result(s, PHASE_EHLO, &(struct vm_result){.status = VM_NONE});
        return;
    }
    call = vm_call_begin(vm, VM_HOOK_smtp_server_ehlo);
    vm_push_string(call, q->domain);
    vm_push_conn_meta(call, &s->meta);
    if (q->kind == SMTP_ASK_EHLO) {
        push_extensions(s, call);
    }
    hook_run(s, PHASE_EHLO, call);
}

static void take_ehlo(struct session *s, const struct vm_result *result)
{
    struct smtp_question q = smtp_server_question(s->smtp);
    const struct json *list = result->value_count > 0 ? result->values[0] : NULL;
    struct smtp_answer answer = {0};
    struct buf text = {0};

    meta_set_string(&s->meta, SLICE("ehlo_domain"), q.domain);
    if (q.kind == SMTP_ASK_EHLO && list != NULL &&
        (list->type == JSON_ARRAY || list->type == JSON_OBJECT)) {
        BUF_LIT(&text, "");
        buf_reserve(&text, 1);
        for (const struct json *item = list->first; item != NULL; item = item->next) {
            if (item->type == JSON_STRING) {
                if (text.len > 0) {
                    buf_char(&text, '\n');
                }
                buf_put(&text, item->string);
            }
        }
        answer.extensions = buf_slice(&text);
    }
    session_answer(s, &answer);
    buf_free(&text);
}

/* ---- CONNECT ---- */

static void ask_accepted(struct session *s)
{
    struct vm *vm = s->ingress->vm;
    struct vm_call *call;

    if (!vm_has(vm, VM_HOOK_smtp_server_connection_accepted)) {
        accept_question(s);
        return;
    }
    call = vm_call_begin(vm, VM_HOOK_smtp_server_connection_accepted);
    vm_push_conn_meta(call, &s->meta);
    hook_run(s, PHASE_ACCEPTED, call);
}

static void take_dynamic(struct session *s, const struct vm_result *result)
{
    const struct json *table = result->value_count > 0 ? result->values[0] : NULL;
    struct buf why = {0};

    if (result->status == VM_RETURNED) {
        if (table == NULL || table->type == JSON_NULL) {
            session_fail(s, SLICE("smtp_server_get_dynamic_parameters returned nil"));
            return;
        }
        if (!session_overlay(s, table, &why)) {
            session_fail(s, buf_slice(&why));
            buf_free(&why);
            return;
        }
    }
    buf_free(&why);
    ask_accepted(s);
}

static void ask_dynamic(struct session *s)
{
    struct vm *vm = s->ingress->vm;
    struct vm_call *call;
    struct buf local = {0};

    if (!vm_has(vm, VM_HOOK_smtp_server_get_dynamic_parameters)) {
        ask_accepted(s);
        return;
    }
    ip_port_put(&local, &s->local);
    call = vm_call_begin(vm, VM_HOOK_smtp_server_get_dynamic_parameters);
    vm_push_string(call, buf_slice(&local));
    vm_push_conn_meta(call, &s->meta);
    buf_free(&local);
    hook_run(s, PHASE_DYNAMIC, call);
}

static const char load_shedding[] = "load shedding. Try later";

/* Counted and told to come later. */
static void refuse_for_now(struct session *s, const char *why)
{
    s->ingress->counters.denied_count++;
    session_replyf(s, 421, "4.3.2 %.*s %s", SLICE_ARG(session_hostname(s)), why);
}

/* The process has no descriptors left for sessions; said once while that lasts. */
static bool room_is_full(struct ingress *in)
{
    struct ingress_room *room = in->room;

    if (room->session_max == 0 ||
        atomic_load_explicit(&room->session_count, memory_order_relaxed) <= room->session_max) {
        return false;
    }
    if (!atomic_exchange_explicit(&room->told, true, memory_order_relaxed)) {
        diag_warn(in->diag, "smtp_server",
                  "%u sessions: others are refused, to leave descriptors for logs, spool and "
                  "deliveries; raise RLIMIT_NOFILE for more", room->session_max);
    }
    return true;
}

/* The gates before the banner, in the order of the specification. */
static void ask_connect(struct session *s)
{
    struct ingress *in = s->ingress;
    struct ingress_endpoint *e = s->listener->endpoint;
    const char *refusal = NULL;

    if (atomic_load_explicit(&e->session_count, memory_order_relaxed) >
            e->config.max_connections ||
        room_is_full(in)) {
        refusal = "too many concurrent sessions. Try later";
    } else if (in->draining) {
        session_replyf(s, 421, "4.3.2 %.*s shutting down", SLICE_ARG(session_hostname(s)));
        return;
    } else if (memory_gate_state(in->memory) == MEMORY_NONE) {
        refusal = load_shedding;
    } else if (spool_accepting(in->spool) == SPOOL_E_FULL) {
        refusal = "disk is too full. Try later";
    } else if (spool_accepting(in->spool) != SPOOL_OK) {
        refusal = "the spool is not accepting writes. Try later";
    }
    if (refusal != NULL) {
        refuse_for_now(s, refusal);
        return;
    }
    ask_dynamic(s);
}

/* ---- MAIL, RCPT ---- */

static void ask_address(struct session *s, enum vm_hook hook, enum session_phase phase,
                        const struct smtp_question *q)
{
    struct vm_call *call;

    if (!vm_has(s->ingress->vm, hook)) {
        if (phase == PHASE_RCPT) {
            s->rcpt_count++;
        }
        accept_question(s);
        return;
    }
    if (phase == PHASE_RCPT) { /* counted whatever the handler says */
        s->rcpt_count++;
    }
    call = vm_call_begin(s->ingress->vm, hook);
    vm_push_address(call, q->address.text);
    vm_push_conn_meta(call, &s->meta);
    hook_run(s, phase, call);
}

void session_ask_rcpt_hook(struct session *s, const struct smtp_question *q)
{
    ask_address(s, VM_HOOK_smtp_server_rcpt_to, PHASE_RCPT, q);
}

/* ---- listener domains ---- */

struct vm_call *session_domain_call(struct session *s, struct slice domain)
{
    struct vm_call *call = vm_call_begin(s->ingress->vm, VM_HOOK_get_listener_domain);
    struct buf local = {0};

    ip_port_put(&local, &s->local);
    vm_push_string(call, domain);
    vm_push_string(call, buf_slice(&local));
    vm_push_conn_meta(call, &s->meta);
    buf_free(&local);
    return call;
}

void session_ask_domain(struct session *s, enum session_phase phase, struct slice domain)
{
    hook_run(s, phase, session_domain_call(s, domain));
}

/* ---- the dispatcher ---- */

static void phase_result(struct session *s, enum session_phase phase,
                         const struct vm_result *result)
{
    if (phase == PHASE_SENDER_DOMAIN || phase == PHASE_RECIPIENT_DOMAIN) {
        relay_take_domain(s, phase, result);
        return;
    }
    if (phase != PHASE_REWRITE && session_take_failure(s, result)) {
        return;
    }
    switch (phase) {
    case PHASE_DYNAMIC:
        take_dynamic(s, result);
        break;
    case PHASE_EHLO:
        take_ehlo(s, result);
        break;
    case PHASE_REWRITE:
        session_take_rewrite(s, result);
        break;
    default:
        accept_question(s);
        break;
    }
}

void session_ask(struct session *s)
{
    struct smtp_question q = smtp_server_question(s->smtp);

    switch (q.kind) {
    case SMTP_ASK_CONNECT:
        ask_connect(s);
        break;
    case SMTP_ASK_HELO:
    case SMTP_ASK_EHLO:
        ask_ehlo(s, &q);
        break;
    case SMTP_ASK_MAIL:
        if (memory_gate_state(s->ingress->memory) == MEMORY_NONE) {
            refuse_for_now(s, load_shedding);
            return;
        }
        ask_address(s, VM_HOOK_smtp_server_mail_from, PHASE_MAIL, &q);
        break;
    case SMTP_ASK_RCPT:
        relay_ask_rcpt(s, &q);
        break;
    case SMTP_ASK_MESSAGE:
        intake_begin(s);
        break;
    case SMTP_ASK_NONE:
        MUST(!"no question is open");
    }
}

/* ---- rewriting replies ---- */

void session_take_rewrite(struct session *s, const struct vm_result *result)
{
    uint16_t code = 0;
    struct slice text = {0};

    if (result->status == VM_RETURNED) {
        const struct json *status = result->values[0];
        const struct json *words = result->value_count > 1 ? result->values[1] : NULL;

        if (status != NULL && status->type == JSON_INT && status->integer >= 200 &&
            status->integer <= 599) {
            code = (uint16_t)status->integer;
        }
        if (words != NULL && words->type == JSON_STRING) {
            text = words->string;
        }
    }
    if (result->status == VM_ERROR || result->status == VM_REJECTED) {
        session_complain(s, "smtp_server_rewrite_response", result->text);
    }
    s->phase = PHASE_NONE;
    session_run(s, smtp_server_rewritten(s->smtp, code, text, conn_out(&s->conn)));
}

void session_ask_rewrite(struct session *s)
{
    struct smtp_server_reply reply = smtp_server_reply(s->smtp);
    struct vm_call *call =
        vm_call_begin(s->ingress->vm, VM_HOOK_smtp_server_rewrite_response);

    vm_push_int(call, reply.code);
    vm_push_string(call, reply.text);
    vm_push_optional(call, reply.command, reply.command.ptr != NULL);
    vm_push_conn_meta(call, &s->meta);
    hook_run(s, PHASE_REWRITE, call);
}
