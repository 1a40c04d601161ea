/* Virtual time and chance. */
#include "tests/sim/sim.h"

#include "core/base/check.h"

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

static void heap_up(struct sim *s, uint32_t at)
{
    struct sim_event moving = s->heap[at];

    while (at > 0 && before(&moving, &s->heap[(at - 1) / 2])) {
        s->heap[at] = s->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    s->heap[at] = moving;
}

static void heap_down(struct sim *s, uint32_t at)
{
    struct sim_event moving = s->heap[at];
    uint32_t child;

    while ((child = at * 2 + 1) < s->heap_count) {
        if (child + 1 < s->heap_count && before(&s->heap[child + 1], &s->heap[child])) {
            child++;
        }
        if (!before(&s->heap[child], &moving)) {
            break;
        }
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = moving;
}

static void event_add(struct sim *s, uint32_t life, uint64_t delay_ns, sim_event_fn *fn, void *ctx,
                      uint64_t arg)
{
    if (s->heap_count == s->heap_cap) {
        uint32_t cap = s->heap_cap != 0 ? s->heap_cap * 2 : 1024;

        s->heap = sim_arena_grow(s->arena, s->heap, s->heap_cap * sizeof(*s->heap),
                             cap * sizeof(*s->heap));
        s->heap_cap = cap;
    }
    s->heap[s->heap_count++] = (struct sim_event){.at_ns = s->now_ns + delay_ns,
                                                  .seq = s->event_seq++,
                                                  .fn = fn,
                                                  .ctx = ctx,
                                                  .arg = arg,
                                                  .life = life};
    heap_up(s, s->heap_count - 1);
}

void sim_after(struct sim *s, uint64_t delay_ns, sim_event_fn *fn, void *ctx, uint64_t arg)
{
    event_add(s, 0, delay_ns, fn, ctx, arg);
}

void sim_after_here(struct sim *s, uint64_t delay_ns, sim_event_fn *fn, void *ctx, uint64_t arg)
{
    MUST(s->alive);
    event_add(s, s->life, delay_ns, fn, ctx, arg);
}

static struct sim_event heap_pop(struct sim *s)
{
    struct sim_event first = s->heap[0];

    s->heap[0] = s->heap[--s->heap_count];
    if (s->heap_count > 0) {
        heap_down(s, 0);
    }
    return first;
}

static bool is_over(const struct sim *s, const struct sim_event *e)
{
    return e->life != 0 && (e->life != s->life || !s->alive);
}

uint64_t sim_next_ns(struct sim *s)
{
    while (s->heap_count > 0 && is_over(s, &s->heap[0])) {
        (void)heap_pop(s);
    }
    return s->heap_count > 0 ? s->heap[0].at_ns : SIM_NEVER;
}

void sim_step(struct sim *s)
{
    struct sim_event e;

    MUST(sim_next_ns(s) != SIM_NEVER);
    e = heap_pop(s);
    if (e.at_ns > s->now_ns) {
        s->now_ns = e.at_ns;
    }
    s->counts.events++;
    e.fn(s, e.ctx, e.arg);
}

/* ---- chance ---- */

uint64_t sim_below(struct sim *s, enum sim_chance_of of, uint64_t bound)
{
    return prng_below(&s->chance[of], bound);
}

bool sim_chance(struct sim *s, enum sim_chance_of of, uint32_t per_million)
{
    return per_million > 0 && prng_below(&s->chance[of], 1000000u) < per_million;
}

uint64_t sim_spread(struct sim *s, enum sim_chance_of of, uint64_t least, uint64_t most)
{
    uint32_t octaves = 0;
    uint64_t v;

    while ((least << octaves) <= most / 2) {
        octaves++;
    }
    v = least << prng_below(&s->chance[of], octaves + 1);
    v += prng_below(&s->chance[of], v + 1);
    return v < most ? v : most;
}

struct sim *sim_new(struct sim_arena *arena, const struct sim_plan *plan, uint32_t trace)
{
    struct sim *s = sim_arena_take(arena, sizeof(*s));
    uint64_t seed = plan->seed;

    s->arena = arena;
    s->plan = *plan;
    s->trace = trace;
    s->shard = SIM_NO_SHARD;
    s->lives_left = plan->lives;
    for (uint32_t i = 0; i < CHANCE_COUNT; i++) {
        s->chance[i] = prng_from_seed(splitmix64(&seed));
    }
    return s;
}
