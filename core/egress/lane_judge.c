/* smtp_client_rewrite_delivery_status: the policy has the last word on what a reply means. */
#include "core/base/diag.h"
#include "core/egress/lane.h"
#include "policy/vm/vm.h"

struct lane_verdict {
    uint32_t reply_index;
    uint16_t code;
};

static const struct slice unheard_text = SLICE_INIT("KumoMTA internal: failed to send message");

uint16_t lane_verdict_code(const struct lane *l, const struct smtp_outcome *o)
{
    const struct lane_verdict *all = (const struct lane_verdict *)(const void *)l->verdicts.ptr;

    for (size_t i = 0; i < l->verdicts.len / sizeof(*all); i++) {
        if (all[i].reply_index == o->reply_index) {
            return all[i].code;
        }
    }
    return o->code;
}

/* Whether the policy is asked about this recipient's reply: once for each, refusals only, and not
 * for what nobody said. */
static bool is_asked(const struct lane *l, uint32_t nth, struct smtp_outcome *o)
{
    const struct lane_verdict *all = (const struct lane_verdict *)(const void *)l->verdicts.ptr;

    if (!smtp_client_outcome(&l->client, nth, o) || o->code == 250 ||
        (l->broken && slice_eq(slice_head(o->content, unheard_text.len), unheard_text))) {
        return false;
    }
    for (size_t i = 0; i < l->verdicts.len / sizeof(*all); i++) {
        if (all[i].reply_index == o->reply_index) {
            return false;
        }
    }
    return true;
}

static void reply_put(struct buf *out, const struct smtp_outcome *o)
{
    buf_printf(out, "%u ", o->code);
    if (o->enhanced.class != 0) {
        buf_printf(out, "%u.%u.%u ", o->enhanced.class, o->enhanced.subject, o->enhanced.detail);
    }
    for (size_t i = 0; i < o->content.len; i++) {
        buf_char(out, o->content.ptr[i] == '\n' ? ' ' : o->content.ptr[i]);
    }
}

static void verdict_complain(struct lane *l, struct slice text)
{
    char id[MESSAGE_ID_TEXT];

    message_id_text(l->now.m->id, id);
    diag_error(l->rq->eg->queue->diag, "egress",
               "message %.*s: smtp_client_rewrite_delivery_status: %.*s", (int)sizeof(id), id,
               SLICE_ARG(text));
}

static void verdict_take(struct lane *l, const struct smtp_outcome *o,
                         const struct vm_result *result)
{
    const struct json *v = result->status == VM_RETURNED && result->value_count > 0
                               ? result->values[0]
                               : NULL;
    struct lane_verdict verdict = {.reply_index = o->reply_index, .code = o->code};

    if (v != NULL && v->type == JSON_INT && v->integer >= 0 && v->integer <= UINT16_MAX) {
        verdict.code = (uint16_t)v->integer;
    } else if (v != NULL && v->type == JSON_DOUBLE && v->number >= 0 && v->number <= UINT16_MAX) {
        verdict.code = (uint16_t)v->number;
    }
    if (result->status == VM_ERROR || result->status == VM_REJECTED) {
        verdict_complain(l, result->text);
    }
    buf_append(&l->verdicts, &verdict, sizeof(verdict));
}

static void judge_on(struct lane *l);

static void judge_answered(void *ctx, const struct vm_result *result)
{
    struct lane *l = ctx;
    struct smtp_outcome o;

    if (is_asked(l, l->verdict_next, &o)) {
        verdict_take(l, &o, result);
    }
    vm_call_end(&l->verdict);
    l->verdict_next++;
    judge_on(l);
}

static const struct vm_result *verdict_ask(struct lane *l, const struct smtp_outcome *o)
{
    const struct queue_name *parts = schedq_parts(message_queue(l->now.m));

    buf_clear(&l->texts);
    reply_put(&l->texts, o);
    l->verdict = vm_call_begin(l->rq->eg->queue->vm, VM_HOOK_smtp_client_rewrite_delivery_status);
    vm_push_string(l->verdict, buf_slice(&l->texts));
    vm_push_string(l->verdict, parts->domain);
    vm_push_optional(l->verdict, parts->tenant, parts->has_tenant);
    vm_push_optional(l->verdict, parts->campaign, parts->has_campaign);
    vm_push_string(l->verdict, queue_name_routing(parts));
    return vm_call_run(l->verdict, judge_answered, l);
}

static void judge_on(struct lane *l)
{
    for (; l->verdict_next < l->now.batch_count; l->verdict_next++) {
        const struct vm_result *result;
        struct smtp_outcome o;

        if (!is_asked(l, l->verdict_next, &o)) {
            continue;
        }
        if ((result = verdict_ask(l, &o)) == NULL) {
            return; /* judge_answered() goes on */
        }
        verdict_take(l, &o, result);
        vm_call_end(&l->verdict);
    }
    lane_judged(l);
}

void lane_judge(struct lane *l)
{
    struct vm *vm = l->rq->eg->queue->vm;

    buf_clear(&l->verdicts);
    l->verdict_next = 0;
    if (vm == NULL || !vm_has(vm, VM_HOOK_smtp_client_rewrite_delivery_status)) {
        lane_judged(l);
        return;
    }
    lane_enter(l, LANE_JUDGING);
    judge_on(l);
}

void lane_judge_cut(struct lane *l)
{
    vm_call_end(&l->verdict);
    lane_judged(l);
}
