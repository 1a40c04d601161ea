/* How long the disk takes, and the times in which it is full, slow or dead. */
#include "tests/sim/sim_disk_private.h"

uint64_t disk_delay_ns(struct sim *s, uint64_t len)
{
    uint64_t delay_ns = sim_spread(s, CHANCE_DISK, 20 * SIM_US, 200 * SIM_US) + len / 2;

    if (sim_below(s, CHANCE_DISK, 200) == 0) {
        delay_ns += sim_spread(s, CHANCE_DISK, SIM_MS, 30 * SIM_MS);
    }
    if (s->disk->slow && !s->faults_off) {
        delay_ns += sim_spread(s, CHANCE_DISK, 10 * SIM_MS, 20 * SIM_S);
        disk_trouble(s->disk, s->now_ns + delay_ns);
    }
    return delay_ns;
}

static bool turns(struct sim *s, enum sim_fault fault)
{
    return !s->faults_off && sim_chance(s, CHANCE_DISK, s->plan.faults[fault]);
}

static void weather(struct sim *s, void *ctx, uint64_t arg)
{
    struct sim_disk *d = s->disk;
    struct ring_space space;

    d->dead = turns(s, FAULT_DISK_DEAD);
    d->slow = turns(s, FAULT_DISK_SLOW);
    d->filled = 0;
    disk_space(s, &space);
    if (turns(s, FAULT_DISK_FULL)) {
        d->filled = space.free_bytes - sim_below(s, CHANCE_DISK, 2) * (space.free_bytes / 200);
    }
    if (d->dead || d->slow || d->filled != 0) {
        sim_note(s, SIM_DISK, "weather: dead %llu, slow %llu, filled by %llu", d->dead, d->slow,
                 d->filled);
    }
    sim_after(s, DISK_WEATHER_NS / 2 + sim_below(s, CHANCE_DISK, DISK_WEATHER_NS), weather, NULL,
              0);
}

void disk_weather_start(struct sim *s)
{
    sim_after(s, DISK_WEATHER_NS, weather, NULL, 0);
}

void disk_trouble(struct sim_disk *d, uint64_t until_ns)
{
    d->trouble_ns = until_ns > d->trouble_ns ? until_ns : d->trouble_ns;
}

bool disk_troubled_since(const struct sim_disk *d, uint64_t since_ns)
{
    return d->trouble_ns > 0 && d->trouble_ns >= since_ns;
}
