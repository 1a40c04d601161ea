#include "tests/sim/sim_plan.h"

#include "core/base/prng.h"
#include "tests/sim/sim.h"

static const struct {
    const char *name;
    uint32_t per_million;
} faults[FAULT_COUNT] = {
#define SIM_FAULT(name, text, per_million, what) [FAULT_##name] = {text, per_million},
#include "tests/sim/sim_faults.def"
#undef SIM_FAULT
};

const char *sim_fault_name(enum sim_fault fault)
{
    return faults[fault].name;
}

static uint64_t pick(struct prng *p, const uint64_t *of, uint64_t count)
{
    return of[prng_below(p, count)];
}

#define PICK(p, ...)                                                                              \
    pick((p), (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / 8)

/* A fault that is on comes between a third and three times as often as its line says. */
static void faults_make(struct sim_plan *p, struct prng *r)
{
    uint64_t on_of_8 = PICK(r, 0, 1, 1, 2, 2, 4);

    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        bool on = prng_below(r, 8) < on_of_8 || (i <= FAULT_KILL_AT_CALL && prng_below(r, 2) == 0);
        uint64_t rate = faults[i].per_million * (1 + prng_below(r, 9)) / 3;

        p->faults[i] = on ? (uint32_t)rate : 0;
    }
}

void sim_plan_make(struct sim_plan *p, uint64_t seed)
{
    struct prng r = prng_from_seed(seed ^ UINT64_C(0x73696d));

    *p = (struct sim_plan){.seed = seed};
    p->shards_most = (uint32_t)PICK(&r, 1, 2, 3, 3);
    p->messages = (uint32_t)PICK(&r, 300, 1000, 2000, 4000);
    p->lives = (uint32_t)PICK(&r, 0, 4, 12, 30);
    p->life_ns = PICK(&r, 200, 2000, 20000, 60000) * SIM_MS;
    p->injectors = (uint32_t)PICK(&r, 1, 3, 10, 40);
    p->domains = (uint32_t)PICK(&r, 1, 3, 10);
    p->recipients_most = (uint32_t)PICK(&r, 1, 1, 3);
    p->body_most = (uint32_t)PICK(&r, 200, 2000, 20000, 300000);
    p->per_session = (uint32_t)PICK(&r, 1, 5, 100);
    p->gap_ns = PICK(&r, 1, 10, 100, 1000) * SIM_MS;
    p->segment_size = PICK(&r, 256, 512, 1024, 2048) * 1024u;
    p->connection_limit = (uint32_t)PICK(&r, 1, 3, 10);
    p->max_ready = (uint32_t)PICK(&r, 4, 64, 1024);
    p->retry_s = (uint32_t)PICK(&r, 5, 30, 120);
    p->net_delay_us = (uint32_t)PICK(&r, 20, 500, 20000);
    p->disk_bytes = UINT64_C(1) << 30;
    if (p->body_most > 20000) {
        p->messages /= 10;
    }
    faults_make(p, &r);
}

bool sim_plan_faults(struct sim_plan *p, struct slice names)
{
    bool all = slice_eq(names, SLICE("all"));

    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        p->faults[i] = all ? faults[i].per_million : 0;
    }
    if (all || slice_eq(names, SLICE("none"))) {
        return true;
    }
    while (names.len > 0) {
        size_t end = slice_find_char(names, ',');
        struct slice name = slice_head(names, end);
        uint32_t i = 0;

        while (i < FAULT_COUNT && !slice_eq(name, slice_str(faults[i].name))) {
            i++;
        }
        if (i == FAULT_COUNT) {
            return false;
        }
        p->faults[i] = faults[i].per_million;
        names = slice_from(names, end + 1);
    }
    return true;
}
