/* A policy: the file's text, the modules it required, the events it handles. */
#include "core/base/mem.h"
#include "policy/vm/vm_private.h"

static struct slice file_key(const struct hmap_node *node)
{
    return buf_slice(&CONTAINER_OF(node, struct policy_file, node)->path);
}

static struct slice event_key(const struct hmap_node *node)
{
    return buf_slice(&CONTAINER_OF(node, struct policy_event, node)->name);
}

struct policy *policy_get(struct policy *p)
{
    (void)atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void policy_free(struct policy **pp)
{
    struct policy *p = *pp;
    struct hmap_node *n;

    *pp = NULL;
    if (p == NULL || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    while ((n = hmap_first(&p->files)) != NULL) {
        struct policy_file *f = CONTAINER_OF(n, struct policy_file, node);

        hmap_remove(&p->files, n);
        buf_free(&f->path);
        buf_free(&f->text);
        mem_give(f);
    }
    while ((n = hmap_first(&p->events)) != NULL) {
        struct policy_event *ev = CONTAINER_OF(n, struct policy_event, node);

        hmap_remove(&p->events, n);
        buf_free(&ev->name);
        mem_give(ev);
    }
    hmap_free(&p->files);
    hmap_free(&p->events);
    buf_free(&p->path);
    buf_free(&p->text);
    mem_give(p);
}

bool policy_validation_failed(const struct policy *p)
{
    return atomic_load_explicit(&p->validation_failed, memory_order_relaxed);
}

const struct policy_file *policy_file_find(const struct policy *p, struct slice path)
{
    struct hmap_node *n = hmap_find(&p->files, path);

    return n != NULL ? CONTAINER_OF(n, struct policy_file, node) : NULL;
}

void policy_file_keep(struct policy *p, struct slice path, struct buf *text)
{
    MUST(p->loading);
    struct policy_file *f = MEM_NEW(struct policy_file);

    buf_put(&f->path, path);
    f->text = *text;
    *text = (struct buf){0};
    hmap_insert(&p->files, &f->node);
}

bool policy_event_known(const struct policy *p, struct slice name)
{
    return hmap_find(&p->events, name) != NULL;
}

const char *vm_hook_name(enum vm_hook hook)
{
    static const char *const name[VM_HOOK_COUNT] = {
#define VM_HOOK(hook_name, multi, text) [VM_HOOK_##hook_name] = #hook_name,
#include "policy/vm/hooks.def"
#undef VM_HOOK
    };
    MUST(hook < VM_HOOK_COUNT);
    return name[hook];
}

/* Later states of the same policy may not add: other shards read the table. */
void policy_event_add(struct policy *p, struct slice name)
{
    static const struct slice hook_name[VM_HOOK_COUNT] = {
#define VM_HOOK(name, multi, text) [VM_HOOK_##name] = SLICE_INIT(#name),
#include "policy/vm/hooks.def"
#undef VM_HOOK
    };

    if (!p->loading || policy_event_known(p, name)) {
        return;
    }
    struct policy_event *ev = MEM_NEW(struct policy_event);

    buf_put(&ev->name, name);
    hmap_insert(&p->events, &ev->node);
    for (size_t i = 0; i < VM_HOOK_COUNT; i++) {
        if (slice_eq(hook_name[i], name)) {
            p->has[i] = true;
        }
    }
}

bool policy_load(struct slice path, struct slice text, bool validating, struct policy **out,
                 struct buf *why)
{
    return policy_load_library(NULL, path, text, validating, out, why);
}

bool policy_load_library(const struct vm_library *library, struct slice path, struct slice text,
                         bool validating, struct policy **out, struct buf *why)
{
    struct vm_limits limits = {.state_bytes_max = VM_STATE_BYTES_DEFAULT};
    struct policy *p = MEM_NEW(struct policy);
    size_t start = why->len;
    struct vm_state *st;

    atomic_init(&p->refs, 1);
    p->library = library;
    p->validating = validating;
    hmap_init(&p->files, file_key, 0);
    hmap_init(&p->events, event_key, 0);
    buf_put(&p->path, path);
    buf_put(&p->text, text);
    p->loading = true;
    buf_printf(why, "Error evaluating policy file \"%.*s\": ", SLICE_ARG(path));
    st = state_new(NULL, p, &limits, why);
    p->loading = false;
    if (st == NULL) {
        policy_free(&p);
        return false;
    }
    why->len = start;
    state_free(&st);
    *out = p;
    return true;
}
