/* Before anything is written: the queues' configs, which the policy may take its time for. */
#include "core/ingress/intake.h"

void intake_wait(struct intake *it, timer_fn *fn)
{
    it->patience.fn = fn;
    timer_arm(&it->ingress->shard->timers, &it->patience, it->deadline_ns / 1000000u + 1);
}

static void queue_known(struct queue_await *w)
{
    struct intake *it = CONTAINER_OF(w, struct intake_item, await)->intake;

    if (--it->waiting == 0) {
        timer_cancel(&it->ingress->shard->timers, &it->patience);
        intake_write(it);
    }
}

static void resolve_late(struct timer *t)
{
    struct intake *it = CONTAINER_OF(t, struct intake, patience);

    for (uint32_t i = 0; i < it->item_count; i++) {
        queue_await_abandon(&it->items[i].await);
    }
    intake_refuse(it, 451, SLICE("4.4.5 data_processing_timeout exceeded (resolve)"));
}

void intake_resolve(struct intake *it)
{
    struct queue_mgr *queue = it->ingress->queue;

    it->waiting = 1; /* this loop */
    for (uint32_t i = 0; i < it->item_count; i++) {
        struct intake_item *item = &it->items[i];

        item->await.known = queue_known;
        if (item->kept && !queue_await(queue, item->queue_name, &item->await)) {
            it->waiting++;
        }
    }
    if (--it->waiting == 0) {
        intake_write(it);
    } else {
        intake_wait(it, resolve_late);
    }
}
