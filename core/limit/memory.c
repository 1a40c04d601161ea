#include "core/limit/memory.h"

#include "core/base/diag.h"
#include "core/base/mem.h"
#include "core/shard/shard.h"

#define MIB (UINT64_C(1) << 20)

/* ---- limits ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void memory_wishes_init(struct memory_wishes *w)
{
    atomic_init(&w->hard, MEMORY_UNLIMITED);
    atomic_init(&w->soft, MEMORY_UNLIMITED);
    atomic_init(&w->low, MEMORY_UNLIMITED);
}

/* What was asked for, else `otherwise`. */
static uint64_t wish(const _Atomic uint64_t *asked, uint64_t otherwise)
{
    uint64_t value = atomic_load_explicit(asked, memory_order_relaxed);

    return value != MEMORY_UNLIMITED ? value : otherwise;
}

/* Dividing first: no limit is too large. */
static uint64_t part_of(uint64_t limit, uint64_t percent)
{
    return limit == MEMORY_UNLIMITED
               ? limit
               : limit / 100 * percent + limit % 100 * percent / 100;
}

struct memory_limits memory_limits_of(const struct memory_host *host,
                                      const struct memory_wishes *wishes)
{
    struct memory_limits l;
    uint64_t given = least(host->rlimit_hard, host->cgroup_max);

    l.hard = wish(&wishes->hard, given != MEMORY_UNLIMITED ? given : host->total);
    given = least(host->rlimit_soft, host->cgroup_high);
    l.soft = wish(&wishes->soft, given != MEMORY_UNLIMITED ? given : part_of(l.hard, 75));
    l.low = wish(&wishes->low, part_of(l.soft, 80));
    return l;
}

enum memory_state memory_judge(const struct memory_limits *limits, uint64_t used)
{
    uint64_t most = least(limits->soft, limits->hard);

    if (most != MEMORY_UNLIMITED && used >= most) {
        return MEMORY_NONE;
    }
    return used > limits->low ? MEMORY_LOW : MEMORY_OK;
}

/* ---- the watch ---- */

static int32_t purge_work(void *arg)
{
    mem_purge();
    return 0;
}

static void purge_done(struct ring_op *op, int32_t res, uint32_t flags)
{
}

static void watch_tell(struct memory_watch *w, enum memory_state before, enum memory_state now,
                       const struct memory_limits *limits, uint64_t used)
{
    unsigned long long used_mib = used / MIB;
    unsigned long long most_mib = least(limits->soft, limits->hard) / MIB;

    if (now == MEMORY_NONE) {
        diag_error(w->diag, "memory", "%llu MiB used of %llu: shedding load", used_mib, most_mib);
    } else if (before == MEMORY_NONE) {
        diag_info(w->diag, "memory", "%llu MiB used of %llu: accepting again", used_mib,
                  most_mib);
    } else if (now == MEMORY_LOW) {
        diag_warn(w->diag, "memory", "%llu MiB used of %llu: messages that wait leave memory",
                  used_mib, most_mib);
    }
}

static void watch_look(struct memory_watch *w)
{
    struct ring *ring = &w->shard->ring;
    struct memory_limits limits = memory_limits_of(w->host, w->wishes);
    enum memory_state before = memory_gate_state(w->gate), now;
    uint64_t used;

    if (!memory_host_used(w->host, ring, &used)) {
        if (!w->blind) {
            diag_warn(w->diag, "memory", "what the process uses cannot be read");
            w->blind = true;
        }
        return;
    }
    now = memory_judge(&limits, used);
    if (now != before) {
        atomic_store_explicit(&w->gate->state, (uint8_t)now, memory_order_relaxed);
        watch_tell(w, before, now, &limits, used);
    }
    if (now == MEMORY_NONE && before != MEMORY_NONE) {
        w->over_count++;
    }
    if ((now == MEMORY_NONE) != (before == MEMORY_NONE) && w->changed != NULL) {
        w->changed(w);
    }
    /* Again and again: what others let go must be seen to be gone. */
    if (now == MEMORY_NONE && !w->purge.in_flight) {
        ring_work(ring, &w->purge, purge_work, NULL);
    }
}

static void watch_sampled(struct timer *t)
{
    struct memory_watch *w = CONTAINER_OF(t, struct memory_watch, sample);

    watch_look(w);
    timer_arm(&w->shard->timers, t, shard_now_ms(w->shard) + MEMORY_SAMPLE_MS);
}

void memory_watch_start(struct memory_watch *w)
{
    w->purge.done = purge_done;
    w->sample.fn = watch_sampled;
    watch_sampled(&w->sample);
}

void memory_watch_stop(struct memory_watch *w)
{
    timer_cancel(&w->shard->timers, &w->sample);
}
