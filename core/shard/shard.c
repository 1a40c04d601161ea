#include "core/shard/shard.h"

#include "core/base/check.h"
#include "core/base/hash.h"

#define MAIL_BUDGET 256u
#define EVENT_BUDGET RING_EVENTS_MAX
#define TIMER_BUDGET 1024u
#define POST_BUDGET 1024u
#define OUTBOX_RETRY_NS 200000u /* a full mailbox is looked at again after this */

void shard_init(struct shard *sh, struct shard_group *group, uint32_t index)
{
    MUST(index < group->count && group->count <= SHARD_COUNT_MAX);
    sh->index = index;
    sh->group = group;
    group->shards[index] = sh;
    dlist_init(&sh->posted);
    ring_clock_read(&sh->ring);
    timers_init(&sh->timers, ring_now_ms(&sh->ring));
    mail_init(sh);
}

void shard_post(struct shard *sh, struct post *p)
{
    MUST(p->fn != NULL);
    if (!dlist_linked(&p->link)) {
        dlist_push(&sh->posted, &p->link);
    }
}

void shard_unpost(struct shard *sh, struct post *p)
{
    if (dlist_linked(&p->link)) {
        dlist_remove(&p->link);
    }
}

/* Runs what was posted before this call; what those calls post waits for the next turn. */
static bool posts_run(struct shard *sh, uint32_t budget)
{
    struct dlist batch;
    struct dlist *node;

    dlist_init(&batch);
    dlist_splice(&batch, &sh->posted);
    while (budget-- > 0 && (node = dlist_pop(&batch)) != NULL) {
        struct post *p = CONTAINER_OF(node, struct post, link);

        p->fn(p);
    }
    dlist_splice(&batch, &sh->posted);
    dlist_splice(&sh->posted, &batch);
    return !dlist_empty(&sh->posted);
}

static uint64_t sleep_limit_ns(const struct shard *sh, uint64_t sleep_ns)
{
    uint64_t next_ms = timers_next_ms(&sh->timers);
    uint64_t until_ns;

    if (sh->mail.outbox_count > 0 && sleep_ns > OUTBOX_RETRY_NS) {
        sleep_ns = OUTBOX_RETRY_NS;
    }
    if (next_ms == UINT64_MAX) {
        return sleep_ns;
    }
    until_ns = next_ms * 1000000u > sh->ring.now_ns ? next_ms * 1000000u - sh->ring.now_ns : 0;
    return until_ns < sleep_ns ? until_ns : sleep_ns;
}

/* One turn of the loop. Every line is bounded, so a turn is bounded. */
void shard_turn(struct shard *sh, uint64_t sleep_ns)
{
    ring_clock_read(&sh->ring); /* what the whole turn goes by */

    const uint64_t began_ns = sh->ring.now_ns;
    bool more = mail_drain(sh, MAIL_BUDGET);

    if (sh->ring.event_next == 0) {
        sh->event_count += sh->ring.event_count;
    }
    more |= ring_dispatch(&sh->ring, EVENT_BUDGET);
    more |= timers_run(&sh->timers, ring_now_ms(&sh->ring), TIMER_BUDGET);
    more |= posts_run(sh, POST_BUDGET);
    (void)mail_flush(sh);
    sh->turn_count++;
    if (sh->ring.event_next < sh->ring.event_count) {
        return;
    }
    ring_clock_read(&sh->ring); /* a second time: how long it took, and how long to sleep */
    if (sh->ring.now_ns - began_ns > SHARD_SLOW_TURN_NS) {
        sh->slow_turn_count++;
    }
    if (more || sh->stopping) {
        sleep_ns = 0;
    }
    if (sleep_ns > 0 && mail_sleep_begin(sh)) {
        ring_wait(&sh->ring, sleep_limit_ns(sh, sleep_ns));
        mail_sleep_end(sh);
    } else {
        ring_wait(&sh->ring, 0);
    }
}

void shard_run(struct shard *sh)
{
    while (!sh->stopping) {
        shard_turn(sh, UINT64_MAX);
    }
}

void shard_stop(struct shard *sh)
{
    sh->stopping = true;
}

uint32_t shard_of_name(const struct shard_group *group, struct slice name)
{
    return group->count == 1 ? 0 : (uint32_t)(hash64_slice(name, 0) % group->count);
}
