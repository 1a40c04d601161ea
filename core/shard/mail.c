/* One single-producer single-consumer ring per ordered pair of shards, and its overflow list. */
#include "core/shard/mail.h"

#include "core/base/mem.h"
#include "core/shard/shard.h"

void mail_init(struct shard *sh)
{
    struct mailboxes *mb = &sh->mail;

    mb->inbox = mem_take_zero(sh->group->count * sizeof(struct mail_ring *));
    mb->outbox = mem_take_zero(sh->group->count * sizeof(struct slist_queue));
    for (uint32_t from = 0; from < sh->group->count; from++) {
        if (from != sh->index) {
            mb->inbox[from] = mem_take_aligned(64, sizeof(struct mail_ring));
        }
    }
}

void mail_free(struct shard *sh)
{
    for (uint32_t from = 0; from < sh->group->count; from++) {
        mem_give(sh->mail.inbox[from]);
    }
    MEM_FREE(&sh->mail.inbox);
    MEM_FREE(&sh->mail.outbox);
}

void mail_on(struct shard *sh, enum mail_kind kind, mail_fn *fn, void *ctx)
{
    MUST(kind < MAIL_KIND_COUNT);
    MUST(sh->mail.handlers[kind].fn == NULL);
    sh->mail.handlers[kind] = (struct mail_handler){fn, ctx};
}

static bool ring_push(struct mail_ring *r, struct mail_item *item)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);

    if (tail - head == MAIL_RING_ENTRIES) {
        return false;
    }
    r->items[tail % MAIL_RING_ENTRIES] = item;
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
    return true;
}

static struct mail_item *ring_pop(struct mail_ring *r)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    struct mail_item *item;

    if (head == atomic_load_explicit(&r->tail, memory_order_acquire)) {
        return NULL;
    }
    item = r->items[head % MAIL_RING_ENTRIES];
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return item;
}

/* ThreadSanitizer does not reason about fences and gcc says so; it need not here, because what
 * the fence orders are atomics alone. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif
static void fence_full(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

/* ORDER: publish, full fence, then look whether the receiver sleeps; the receiver says "asleep",
 * full fence, then looks for mail. So one of the two sees the other. */
static void wake_if_asleep(struct shard *from, struct shard *to)
{
    fence_full();
    if (atomic_load_explicit(&to->mail.asleep, memory_order_relaxed) &&
        atomic_exchange_explicit(&to->mail.asleep, false, memory_order_relaxed)) {
        from->ring.backend->wake(&from->ring, &to->ring);
    }
}

void mail_send(struct shard *from, uint32_t to, enum mail_kind kind, struct mail_item *item)
{
    MUST(to < from->group->count);
    MUST(kind < MAIL_KIND_COUNT);
    item->kind = (uint16_t)kind;
    item->from = (uint16_t)from->index;
    from->mail.sent_count++;
    if (to == from->index) {
        slist_push(&from->mail.self, &item->link);
        return;
    }

    struct shard *receiver = from->group->shards[to];
    struct slist_queue *outbox = &from->mail.outbox[to];

    if (outbox->head != NULL || !ring_push(receiver->mail.inbox[from->index], item)) {
        slist_push(outbox, &item->link); /* behind the others, to keep the order */
        from->mail.outbox_count++;
        return;
    }
    wake_if_asleep(from, receiver);
}

bool mail_congested(const struct shard *from, uint32_t to)
{
    return to != from->index && from->mail.outbox[to].head != NULL;
}

bool mail_flush(struct shard *sh)
{
    struct mailboxes *mb = &sh->mail;

    for (uint32_t to = 0; mb->outbox_count > 0 && to < sh->group->count; to++) {
        struct slist_queue *outbox = &mb->outbox[to];
        struct shard *receiver = sh->group->shards[to];
        bool moved = false;

        while (outbox->head != NULL) {
            struct slist *next = outbox->head->next;
            struct mail_item *item = CONTAINER_OF(outbox->head, struct mail_item, link);

            /* Once pushed the item belongs to the receiver, so the list moves on first. */
            if (!ring_push(receiver->mail.inbox[sh->index], item)) {
                break;
            }
            outbox->head = next;
            if (next == NULL) {
                outbox->tail = NULL;
            }
            mb->outbox_count--;
            moved = true;
        }
        if (moved) {
            wake_if_asleep(sh, receiver);
        }
    }
    return mb->outbox_count > 0;
}

static void mail_handle(struct shard *sh, struct mail_item *item)
{
    const struct mail_handler *h = &sh->mail.handlers[item->kind];

    MUST(item->kind < MAIL_KIND_COUNT && h->fn != NULL);
    sh->mail.received_count++;
    h->fn(h->ctx, item);
}

/* What the handlers send to their own shard waits for the next turn, behind everybody else's. */
static bool mail_drain_self(struct shard *sh, uint32_t budget)
{
    const struct slist *last = sh->mail.self.tail;
    struct slist *node = NULL;

    while (budget-- > 0 && node != last) {
        node = slist_pop(&sh->mail.self);
        mail_handle(sh, CONTAINER_OF(node, struct mail_item, link));
    }
    return sh->mail.self.head != NULL;
}

bool mail_drain(struct shard *sh, uint32_t budget)
{
    bool left = mail_drain_self(sh, budget);

    for (uint32_t i = 1; i < sh->group->count; i++) {
        struct mail_ring *inbox = sh->mail.inbox[(sh->index + i) % sh->group->count];
        uint32_t room = budget;
        struct mail_item *item;

        while (room > 0 && (item = ring_pop(inbox)) != NULL) {
            mail_handle(sh, item);
            room--;
        }
        left = left || room == 0;
    }
    return left;
}

static bool inbox_empty(const struct shard *sh)
{
    for (uint32_t from = 0; from < sh->group->count; from++) {
        const struct mail_ring *r = sh->mail.inbox[from];

        if (r != NULL && atomic_load_explicit(&r->head, memory_order_relaxed) !=
                             atomic_load_explicit(&r->tail, memory_order_acquire)) {
            return false;
        }
    }
    return sh->mail.self.head == NULL;
}

bool mail_sleep_begin(struct shard *sh)
{
    atomic_store_explicit(&sh->mail.asleep, true, memory_order_relaxed);
    fence_full();
    if (!inbox_empty(sh)) {
        mail_sleep_end(sh);
        return false;
    }
    return true;
}

void mail_sleep_end(struct shard *sh)
{
    atomic_store_explicit(&sh->mail.asleep, false, memory_order_relaxed);
}
