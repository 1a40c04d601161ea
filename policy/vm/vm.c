/* The states of one shard: who may run now, who waits. */
#include "policy/vm/vm.h"

#include "core/base/mem.h"
#include "policy/vm/vm_private.h"

static struct vm_limits limits_filled(const struct vm_limits *given)
{
    struct vm_limits l = *given;

    l.states_max = l.states_max != 0 ? l.states_max : VM_STATES_DEFAULT;
    l.state_bytes_max = l.state_bytes_max != 0 ? l.state_bytes_max : VM_STATE_BYTES_DEFAULT;
    l.handler_budget_ms = l.handler_budget_ms != 0 ? l.handler_budget_ms : VM_BUDGET_DEFAULT_MS;
    return l;
}

bool vm_open(struct shard *shard, struct policy *policy, const struct vm_limits *limits,
             struct vm **out, struct buf *why)
{
    struct vm *vm = MEM_NEW(struct vm);
    struct vm_state *st;

    vm->shard = shard;
    vm->policy = policy_get(policy);
    vm->limits = limits_filled(limits);
    vm->budget.budget_ns = vm->limits.handler_budget_ms * 1000000u;
    vm->next.fn = calls_wake;
    dlist_init(&vm->idle);
    dlist_init(&vm->waiting);
    dlist_init(&vm->spare);
    st = state_new(vm, policy, &vm->limits, why);
    if (st == NULL) {
        vm_close(&vm);
        return false;
    }
    vm->state_count = 1;
    dlist_push(&vm->idle, &st->link);
    *out = vm;
    return true;
}

static void idle_free(struct vm *vm)
{
    struct dlist *node;

    while ((node = dlist_pop(&vm->idle)) != NULL) {
        struct vm_state *st = CONTAINER_OF(node, struct vm_state, link);

        vm->state_count--;
        state_free(&st);
    }
}

static void call_free(struct vm_call *c)
{
    buf_free(&c->name);
    buf_free(&c->bytes);
    buf_free(&c->text);
    json_doc_free(&c->doc);
    mem_give(c);
}

void vm_close(struct vm **vmp)
{
    struct vm *vm = *vmp;
    struct dlist *node;

    *vmp = NULL;
    if (vm == NULL) {
        return;
    }
    MUST(vm->state_busy_count == 0 && dlist_empty(&vm->waiting)); /* calls end before their vm */
    shard_unpost(vm->shard, &vm->next);
    idle_free(vm);
    while ((node = dlist_pop(&vm->spare)) != NULL) {
        call_free(CONTAINER_OF(node, struct vm_call, link));
    }
    budget_close(&vm->budget);
    policy_free(&vm->policy);
    mem_give(vm);
}

void vm_set_services(struct vm *vm, void *services)
{
    vm->services = services;
}

void *vm_services(const struct vm *vm)
{
    return vm->services;
}

struct shard *vm_shard(const struct vm *vm)
{
    return vm->shard;
}

bool vm_set_policy(struct vm *vm, struct policy *policy, struct buf *why)
{
    struct vm_state *st = state_new(vm, policy, &vm->limits, why);

    if (st == NULL) {
        return false;
    }
    idle_free(vm);
    policy_free(&vm->policy);
    vm->policy = policy_get(policy);
    vm->state_count++;
    dlist_push(&vm->idle, &st->link);
    return true;
}

bool vm_has(const struct vm *vm, enum vm_hook hook)
{
    return vm->policy->has[hook];
}

void vm_counters(const struct vm *vm, struct vm_counters *out)
{
    *out = vm->counters;
    out->state_count = vm->state_count;
    out->state_busy_count = vm->state_busy_count;
}

/* A call made from inside a handler may exceed the limit: the handler cannot go on without it. */
struct vm_state *vm_state_take(struct vm *vm, struct buf *why, bool *must_wait)
{
    struct dlist *node = dlist_pop(&vm->idle);
    struct vm_state *st;

    *must_wait = false;
    if (node != NULL) {
        vm->state_busy_count++;
        return CONTAINER_OF(node, struct vm_state, link);
    }
    if (vm->state_count >= vm->limits.states_max && vm->depth == 0) {
        *must_wait = true;
        return NULL;
    }
    st = state_new(vm, vm->policy, &vm->limits, why);
    if (st != NULL) {
        vm->state_count++;
        vm->state_busy_count++;
    }
    return st;
}

/* The state used last is used next, so what does not suspend always finds the same, warm one. */
void vm_state_give(struct vm *vm, struct vm_state *st)
{
    vm->state_busy_count--;
    if (st->doomed || st->policy != vm->policy || vm->state_count > vm->limits.states_max) {
        vm->state_count--;
        state_free(&st);
    } else {
        state_thread_renew(st);
        st->current = NULL;
        dlist_push_front(&vm->idle, &st->link);
    }
    if (!dlist_empty(&vm->waiting)) {
        shard_post(vm->shard, &vm->next);
    }
}
