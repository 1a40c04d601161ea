/* Leases in slots that never move, so that each carries its own timer. */
#include "core/limit/conn_limit.h"

#include "core/base/check.h"
#include "core/base/mem.h"

#define CHUNK_SLOTS 64u

struct conn_limit {
    struct hmap_node node;
    struct dlist waiters; /* struct conn_waiter */
    uint64_t in_use;
    uint64_t waiting;
    bool mixed; /* waiters came with different numbers */
    uint32_t name_len;
    char name[];
};

struct conn_lease_slot {
    struct timer timer;
    struct conn_limits *owner;
    struct conn_limit *limit; /* NULL while free */
    uint32_t index;
    uint32_t generation;
    uint32_t next_free; /* index + 1 */
};

static struct slice limit_key(const struct hmap_node *node)
{
    const struct conn_limit *l = CONTAINER_OF(node, const struct conn_limit, node);

    return slice_of(l->name, l->name_len);
}

static struct conn_limit *limit_find(const struct conn_limits *cl, struct slice name)
{
    struct hmap_node *node = hmap_find(&cl->limits, name);

    return node != NULL ? CONTAINER_OF(node, struct conn_limit, node) : NULL;
}

static struct conn_limit *limit_get(struct conn_limits *cl, struct slice name)
{
    struct conn_limit *l = limit_find(cl, name);

    if (l != NULL) {
        return l;
    }
    MUST(name.len < UINT32_MAX);
    l = mem_take_zero(sizeof(*l) + name.len);
    l->name_len = (uint32_t)name.len;
    if (name.len != 0) {
        memcpy(l->name, name.ptr, name.len);
    }
    dlist_init(&l->waiters);
    hmap_insert(&cl->limits, &l->node);
    return l;
}

static void limit_drop_if_idle(struct conn_limits *cl, struct conn_limit *l)
{
    if (l->in_use == 0 && l->waiting == 0) {
        hmap_remove(&cl->limits, &l->node);
        mem_give(l);
    }
}

static struct conn_lease_slot *slot_at(const struct conn_limits *cl, uint32_t index)
{
    return &cl->chunks[index / CHUNK_SLOTS][index % CHUNK_SLOTS];
}

/* NULL when the lease ran out or was given back. */
static struct conn_lease_slot *slot_of(const struct conn_limits *cl, struct conn_lease lease)
{
    if (lease.slot == 0 || lease.slot > cl->chunk_count * CHUNK_SLOTS) {
        return NULL;
    }

    struct conn_lease_slot *slot = slot_at(cl, lease.slot - 1);

    return slot->limit != NULL && slot->generation == lease.generation ? slot : NULL;
}

static void lease_end(struct conn_lease_slot *slot);

static void lease_expired(struct timer *t)
{
    lease_end(CONTAINER_OF(t, struct conn_lease_slot, timer));
}

static void chunk_add(struct conn_limits *cl)
{
    struct conn_lease_slot *chunk = mem_take_zero(CHUNK_SLOTS * sizeof(*chunk));

    MUST(cl->chunk_count < UINT32_MAX / CHUNK_SLOTS - 1);
    cl->chunks = mem_grow(cl->chunks, (cl->chunk_count + 1) * sizeof(*cl->chunks));
    cl->chunks[cl->chunk_count] = chunk;
    for (uint32_t i = CHUNK_SLOTS; i-- > 0;) {
        chunk[i].owner = cl;
        chunk[i].index = cl->chunk_count * CHUNK_SLOTS + i;
        chunk[i].timer.fn = lease_expired;
        chunk[i].next_free = cl->slot_free;
        cl->slot_free = chunk[i].index + 1;
    }
    cl->chunk_count++;
}

static void lease_arm(struct conn_lease_slot *slot, uint64_t lease_ms)
{
    struct shard *sh = slot->owner->shard;
    const uint64_t now_ms = shard_now_ms(sh);

    timer_arm(&sh->timers, &slot->timer,
              lease_ms < UINT64_MAX / 2 - now_ms ? now_ms + lease_ms : UINT64_MAX / 2);
}

static struct conn_lease lease_begin(struct conn_limits *cl, struct conn_limit *l,
                                     uint64_t lease_ms)
{
    if (cl->slot_free == 0) {
        chunk_add(cl);
    }

    struct conn_lease_slot *slot = slot_at(cl, cl->slot_free - 1);

    cl->slot_free = slot->next_free;
    slot->limit = l;
    slot->generation++;
    l->in_use++;
    cl->lease_count++;
    lease_arm(slot, lease_ms);
    return (struct conn_lease){slot->index + 1, slot->generation};
}

static struct conn_waiter *waiter_with_room(const struct conn_limit *l)
{
    for (struct dlist *n = l->waiters.next; n != &l->waiters; n = n->next) {
        struct conn_waiter *w = CONTAINER_OF(n, struct conn_waiter, link);

        if (l->in_use < w->count_max) {
            return w;
        }
        if (!l->mixed) {
            break; /* all asked for the same number */
        }
    }
    return NULL;
}

static void waiters_grant(struct conn_limits *cl, struct conn_limit *l)
{
    struct conn_waiter *w;

    while ((w = waiter_with_room(l)) != NULL) {
        dlist_remove(&w->link);
        l->waiting--;
        w->lease = lease_begin(cl, l, w->lease_ms);
        dlist_push(&cl->granted, &w->link);
        shard_post(cl->shard, &cl->post);
    }
    if (l->waiting == 0) {
        l->mixed = false;
    }
}

static void lease_end(struct conn_lease_slot *slot)
{
    struct conn_limits *cl = slot->owner;
    struct conn_limit *l = slot->limit;

    timer_cancel(&cl->shard->timers, &slot->timer);
    slot->limit = NULL;
    slot->next_free = cl->slot_free;
    cl->slot_free = slot->index + 1;
    cl->lease_count--;
    MUST(l->in_use > 0);
    l->in_use--;
    waiters_grant(cl, l);
    limit_drop_if_idle(cl, l);
}

static void granted_tell(struct post *p)
{
    struct conn_limits *cl = CONTAINER_OF(p, struct conn_limits, post);
    struct dlist batch;
    struct dlist *node;

    /* Only those granted before now: a callback that gives its place back at once must not keep
     * this turn going for ever. */
    dlist_init(&batch);
    dlist_splice(&batch, &cl->granted);
    while ((node = dlist_pop(&batch)) != NULL) {
        struct conn_waiter *w = CONTAINER_OF(node, struct conn_waiter, link);
        const struct conn_lease lease = w->lease;

        w->lease = (struct conn_lease){0};
        w->limit = NULL;
        w->fn(w, lease);
    }
}

void conn_limits_init(struct conn_limits *cl, struct shard *shard, uint64_t seed)
{
    *cl = (struct conn_limits){.shard = shard, .post.fn = granted_tell};
    hmap_init(&cl->limits, limit_key, seed);
    dlist_init(&cl->granted);
}

static void waiters_forget(struct dlist *waiters)
{
    struct dlist *node;

    while ((node = dlist_pop(waiters)) != NULL) {
        struct conn_waiter *w = CONTAINER_OF(node, struct conn_waiter, link);

        w->limit = NULL;
        w->lease = (struct conn_lease){0};
    }
}

void conn_limits_free(struct conn_limits *cl)
{
    struct hmap_node *next;

    waiters_forget(&cl->granted);
    shard_unpost(cl->shard, &cl->post);
    for (uint32_t i = 0; i < cl->chunk_count * CHUNK_SLOTS; i++) {
        timer_cancel(&cl->shard->timers, &slot_at(cl, i)->timer);
    }
    for (struct hmap_node *n = hmap_first(&cl->limits); n != NULL; n = next) {
        struct conn_limit *l = CONTAINER_OF(n, struct conn_limit, node);

        next = hmap_next(&cl->limits, n);
        waiters_forget(&l->waiters);
        hmap_remove(&cl->limits, n);
        mem_give(l);
    }
    for (uint32_t i = 0; i < cl->chunk_count; i++) {
        mem_give(cl->chunks[i]);
    }
    mem_give(cl->chunks);
    hmap_free(&cl->limits);
}

bool conn_limit_take(struct conn_limits *cl, const struct conn_limit_ask *ask,
                     struct conn_lease *out)
{
    struct conn_limit *l = limit_get(cl, ask->name);

    MUST(ask->count_max > 0);
    if (l->in_use >= ask->count_max || l->waiting > 0) {
        *out = (struct conn_lease){0};
        return false;
    }
    *out = lease_begin(cl, l, ask->lease_ms);
    return true;
}

void conn_limit_wait(struct conn_limits *cl, const struct conn_limit_ask *ask,
                     struct conn_waiter *w)
{
    struct conn_limit *l = limit_get(cl, ask->name);

    MUST(ask->count_max > 0 && w->fn != NULL);
    w->limit = l;
    w->count_max = ask->count_max;
    w->lease_ms = ask->lease_ms;
    w->lease = (struct conn_lease){0};
    if (l->waiting > 0) {
        const struct conn_waiter *last = CONTAINER_OF(l->waiters.prev, struct conn_waiter, link);

        l->mixed = l->mixed || last->count_max != w->count_max;
    }
    dlist_push(&l->waiters, &w->link);
    l->waiting++;
    waiters_grant(cl, l);
}

void conn_limit_unwait(struct conn_limits *cl, struct conn_waiter *w)
{
    struct conn_limit *l = w->limit;

    if (!dlist_linked(&w->link)) {
        return;
    }
    dlist_remove(&w->link);
    w->limit = NULL;
    if (conn_lease_is_some(w->lease)) {
        conn_lease_give(cl, &w->lease);
        return;
    }
    l->waiting--;
    if (l->waiting == 0) {
        l->mixed = false;
    }
    limit_drop_if_idle(cl, l);
}

bool conn_lease_extend(struct conn_limits *cl, struct conn_lease lease, uint64_t lease_ms)
{
    struct conn_lease_slot *slot = slot_of(cl, lease);

    if (slot == NULL) {
        return false;
    }
    lease_arm(slot, lease_ms);
    return true;
}

void conn_lease_give(struct conn_limits *cl, struct conn_lease *lease)
{
    struct conn_lease_slot *slot = slot_of(cl, *lease);

    *lease = (struct conn_lease){0};
    if (slot != NULL) {
        lease_end(slot);
    }
}

struct conn_limit_state conn_limit_state(const struct conn_limits *cl, struct slice name)
{
    const struct conn_limit *l = limit_find(cl, name);

    return l != NULL ? (struct conn_limit_state){l->in_use, l->waiting}
                     : (struct conn_limit_state){0, 0};
}
