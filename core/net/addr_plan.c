/* A finished plan: taking from it, and judging it. */
#include "core/net/addr_plan.h"

#include <stdlib.h>

#include "core/base/check.h"
#include "core/base/mem.h"

static const struct {
    struct addr_judgement judgement;
    struct slice text;
} verdict_info[ADDR_VERDICT_COUNT] = {
#define ADDR_VERDICT(name, num, s1, s2, s3, words, is_bounce, why)                                \
    [ADDR_##name] = {.judgement = {.verdict = ADDR_##name,                                        \
                                   .code = num,                                                   \
                                   .enhanced = {s1, s2, s3},                                      \
                                   .bounce = is_bounce,                                           \
                                   .reason = why},                                                \
                     .text = SLICE_INIT(words)},
#include "core/net/addr_verdicts.def"
#undef ADDR_VERDICT
};

void addr_plan_free(struct addr_plan *plan)
{
    mem_give(plan->targets);
    buf_free(&plan->names);
    buf_free(&plan->skipped);
    buf_free(&plan->error);
    *plan = (struct addr_plan){0};
}

struct slice addr_plan_name(const struct addr_plan *plan, const struct addr_target *target)
{
    return slice_of(plan->names.ptr + target->name_at, target->name_len);
}

const struct addr_target *addr_plan_take(struct addr_plan *plan)
{
    return plan->next < plan->count ? &plan->targets[plan->next++] : NULL;
}

void addr_target_put(struct buf *out, const struct addr_plan *plan,
                     const struct addr_target *target)
{
    buf_put(out, addr_plan_name(plan, target));
    buf_char(out, '/');
    ip_put(out, &target->ip);
}

bool ip_net_list_has(struct ip_net_list list, const struct ip *ip)
{
    for (size_t i = 0; i < list.count; i++) {
        if (ip_net_has(&list.nets[i], ip)) {
            return true;
        }
    }
    return false;
}

static int net_cmp(const void *a, const void *b)
{
    const struct ip_net *x = a, *y = b;
    const int by_bytes = memcmp(x->ip.bytes, y->ip.bytes, sizeof(x->ip.bytes));

    if (x->ip.family != y->ip.family) {
        return x->ip.family < y->ip.family ? -1 : 1;
    }
    return by_bytes != 0 ? by_bytes : (int)x->prefix_len - (int)y->prefix_len;
}

static void net_put(struct buf *out, const struct ip_net *net)
{
    buf_char(out, '"');
    ip_put(out, &net->ip);
    if (net->prefix_len != (net->ip.family == IP_V4 ? 32 : 128)) {
        buf_printf(out, "/%u", net->prefix_len);
    }
    buf_char(out, '"');
}

void ip_net_list_put(struct buf *out, struct ip_net_list list)
{
    struct ip_net *sorted = mem_take_zero((list.count + 1) * sizeof(*sorted));
    const struct ip_net *wider = NULL;

    if (list.count > 0) {
        memcpy(sorted, list.nets, list.count * sizeof(*sorted));
        qsort(sorted, list.count, sizeof(*sorted), net_cmp);
    }
    buf_char(out, '{');
    for (size_t i = 0; i < list.count; i++) {
        if (wider != NULL && ip_net_has(wider, &sorted[i].ip)) {
            continue;
        }
        if (wider != NULL) {
            BUF_LIT(out, ", ");
        }
        net_put(out, &sorted[i]);
        wider = &sorted[i];
    }
    buf_char(out, '}');
    mem_give(sorted);
}

static void skipped_remove(struct addr_plan *plan, struct ip_net_list skip)
{
    uint32_t kept = plan->next;

    for (uint32_t i = plan->next; i < plan->count; i++) {
        if (!ip_net_list_has(skip, &plan->targets[i].ip)) {
            plan->targets[kept++] = plan->targets[i];
        }
    }
    plan->count = kept;
}

static struct addr_judgement judged(enum addr_verdict verdict, struct buf *text)
{
    buf_put(text, verdict_info[verdict].text);
    return verdict_info[verdict].judgement;
}

static struct addr_judgement no_address(const struct addr_plan *plan, struct buf *text)
{
    if (plan->error.len > 0) {
        buf_put(text, buf_slice(&plan->error));
        return verdict_info[ADDR_NO_ADDRESS].judgement;
    }
    return judged(ADDR_NO_ADDRESS, text);
}

struct addr_judgement addr_plan_judge(struct addr_plan *plan, struct ip_net_list prohibited,
                                      struct ip_net_list skip, struct buf *text)
{
    struct addr_judgement judgement;

    if (plan->is_null_mx) {
        return judged(ADDR_NULL_MX, text);
    }
    if (plan->count == 0) {
        return no_address(plan, text);
    }
    for (uint32_t i = 0; i < plan->count; i++) {
        if (ip_net_list_has(prohibited, &plan->targets[i].ip)) {
            addr_target_put(text, plan, &plan->targets[i]);
            buf_char(text, ' ');
            judgement = judged(ADDR_PROHIBITED, text);
            buf_char(text, ' ');
            ip_net_list_put(text, prohibited);
            return judgement;
        }
    }
    skipped_remove(plan, skip);
    return judged(plan->count == 0 ? ADDR_SKIPPED : ADDR_GO, text);
}
