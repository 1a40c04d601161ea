#include "tests/sim/sim_daemon.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/daemon/daemon_private.h"
#include "tests/sim/check/book.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_dns.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_shard.h"
#include "tests/sim/world/peers.h"

#define TICK_NS SIM_S
#define HEAL_MOST_NS (UINT64_C(4) * 3600 * SIM_S)
#define LOAD_MOST_NS (UINT64_C(6) * 3600 * SIM_S)
#define VERIFY_MOST_TICKS 600u
#define PROBE_OF 500u /* one of so many promises */
#define CALLS_TO_KILL 400u
#define VM_INSTRUCTIONS 100000000u

struct sim_life {
    struct sim *s;
    struct daemon *d;
    struct daemon_host host;
    struct daemon_options options;
    struct sim_fds fds;
    struct sim_shard shards[SHARD_COUNT_MAX];
    uint32_t opened_count;
    uint64_t calls_left; /* until it is killed in one; 0: it is not */
    uint32_t recovered_count; /* shards that have found everything */
    bool stopping;
};

/* ---- ends ---- */

static NORETURN void life_over(struct sim *s)
{
    s->alive = false;
    s->here = NULL;
    s->shard = SIM_NO_SHARD;
    disk_process_ended(s);
    (void)fflush(stdout);
    _exit(0);
}

static NORETURN void crash(struct sim *s)
{
    bool cut = sim_chance(s, CHANCE_LIFE, s->plan.faults[FAULT_POWER_CUT]);
    enum disk_keep keep =
        sim_below(s, CHANCE_LIFE, 2) == 0 ? DISK_KEEP_PROMISED : DISK_KEEP_ANY;

    s->counts.crashes++;
    s->counts.kills += !cut;
    s->counts.power_cuts += cut;
    sim_note(s, SIM_LIFE, "life %llu crashes; power cut %llu, keeps %llu", s->life, cut, keep);
    for (uint32_t i = 0; i < s->here->opened_count; i++) {
        shard_tear(&s->here->shards[i]);
    }
    if (cut) {
        disk_power_cut(s, keep);
    }
    book_life_ended(s, true);
    net_process_ended(s, cut);
    life_over(s);
}

static void crash_due(struct sim *s, void *ctx, uint64_t arg)
{
    crash(s);
}

void life_call(struct sim *s)
{
    struct sim_life *l = s->here;

    if (l->calls_left > 0 && --l->calls_left == 0) {
        crash(s);
    }
}

/* ---- probes ---- */

static void heal(struct sim *s)
{
    s->phase = PHASE_HEAL;
    s->faults_off = true;
    s->heal_ns = s->now_ns;
    peers_heal(s);
    sim_note(s, SIM_LIFE, "all is healed; %llu messages promised", book_promised(s), 0, 0);
}

/* A copy of the world in which the power goes at this very moment, nothing unsynced stays, and
 * from then on all is well: what was promised so far has to arrive. It ends with the process. */
static NORETURN void probe_run(struct sim *s)
{
    if (!arena_fork(s->arena)) {
        perror("ringsim: a probe");
        _exit(2);
    }
    sim_note(s, SIM_LIFE, "a probe of life %llu: the power goes", s->life, 0, 0);
    for (uint32_t i = 0; i < s->here->opened_count; i++) {
        shard_tear(&s->here->shards[i]);
    }
    disk_power_cut(s, DISK_KEEP_PROMISED);
    book_life_ended(s, true);
    net_process_ended(s, true);
    s->alive = false;
    s->here = NULL;
    disk_process_ended(s);
    s->plan.messages = book_offered(s);
    s->lives_left = 0;
    heal(s);
    life_run(s);
}

/* Costs no chance of the run's, so that its history does not depend on it. */
void life_probe(struct sim *s, uint32_t message)
{
    int status;
    pid_t pid;

    if (hash64(&message, sizeof(message), s->plan.seed) % PROBE_OF != 0) {
        return;
    }
    s->counts.probes++;
    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        probe_run(s);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
        WEXITSTATUS(status) != 0) {
        sim_fail(s, "probe", message, "with a power cut at this moment it fails as said above");
    }
}

/* ---- the host ---- */

static int life_ring_open(void *ctx, struct ring *ring, const struct ring_params *params,
                          struct buf *why)
{
    struct sim_life *l = ctx;
    struct sim_shard *sh = &l->shards[l->opened_count];

    sh->index = l->opened_count++;
    sh->fds = &l->fds;
    shard_ring_open(sh, l->s, ring, params);
    return 0;
}

static int life_ring_enable(void *ctx, struct ring *ring)
{
    return 0;
}

static bool life_dns_open(void *ctx, struct shard *shard, const struct dns_cares_params *params,
                          struct dns_backend **out, struct buf *why)
{
    *out = sim_dns_open(((struct sim_life *)ctx)->s, shard);
    return true;
}

static void life_say(void *ctx, struct slice line)
{
    struct sim_life *l = ctx;

    l->recovered_count += memmem(line.ptr, line.len, ": spool recovered ", 18) != NULL;
    sim_text(l->s, line);
}

static void life_name(void *ctx, struct buf *out)
{
    BUF_LIT(out, "relay.sim");
}

static struct sim_life *life_new(struct sim *s)
{
    struct sim_life *l = MEM_NEW(struct sim_life);

    l->s = s;
    l->d = MEM_NEW(struct daemon);
    l->host = (struct daemon_host){
        .ctx = l,
        .ring_open = life_ring_open,
        .ring_enable = life_ring_enable,
        .dns_open = life_dns_open,
        .say = life_say,
        .name = life_name,
        .vm_limits.handler_budget_instructions = VM_INSTRUCTIONS,
        .segment_size = s->plan.segment_size,
    };
    l->options = (struct daemon_options){
        .policy_path = SLICE_INIT(SIM_POLICY_PATH),
        .shards = s->plan.shards_now,
        .drain_timeout_ms = 60000,
        .user = geteuid() == 0 ? "root" : NULL,
        .version = "sim",
        .host = &l->host,
    };
    return l;
}

/* ---- how far the run is ---- */

/* At least one while something may still be found. */
static uint64_t live_records(const struct sim_life *l)
{
    uint64_t count = l->recovered_count < l->d->shard_count;

    for (uint32_t i = 0; i < l->d->shard_count; i++) {
        struct spool_counters c;

        spool_counters(l->d->engines[i]->spool, &c);
        count += c.live_record_count;
    }
    return count;
}

static void life_stop(struct sim_life *l)
{
    struct ring *ring = daemon_ring(l->d);

    if (!l->stopping) {
        l->stopping = true;
        sim_note(l->s, SIM_LIFE, "life %llu is told to stop", l->s->life, 0, 0);
        ring_clock_read(ring);
        daemon_stop(l->d, "the run");
        shard_rouse(&l->shards[0], 0);
    }
}

static void stop_due(struct sim *s, void *ctx, uint64_t arg)
{
    life_stop(ctx);
}

/* What is left when everything had its time. */
static void heal_look(struct sim_life *l)
{
    struct sim *s = l->s;
    uint64_t left = live_records(l);

    if (peers_idle(s) && left == 0) {
        book_check_end(s);
        s->phase = PHASE_VERIFY;
        life_stop(l);
    } else if (s->now_ns - s->heal_ns > HEAL_MOST_NS) {
        sim_fail(s, "liveness", book_first_open(s),
                 "%llu records are left %llu s after everything was healed",
                 (unsigned long long)left, (unsigned long long)(HEAL_MOST_NS / SIM_S));
    }
}

static void tick(struct sim *s, void *ctx, uint64_t count)
{
    struct sim_life *l = ctx;

    if (l->stopping) {
        return;
    }
    switch ((enum sim_phase)s->phase) {
    case PHASE_LOAD:
        if ((peers_done(s) && s->lives_left == 0) || s->now_ns > LOAD_MOST_NS) {
            heal(s);
        }
        break;
    case PHASE_HEAL:
        heal_look(l);
        break;
    case PHASE_VERIFY:
        if (count >= 5 && l->recovered_count == l->d->shard_count) {
            if (live_records(l) != 0) {
                sim_fail(s, "empty", 0, "%llu records are back after a stop that left none",
                         (unsigned long long)live_records(l));
            }
            s->phase = PHASE_DONE;
            life_stop(l);
        } else if (count > VERIFY_MOST_TICKS) {
            sim_fail(s, "recovery", 0, "an empty spool is not recovered after %u s",
                     VERIFY_MOST_TICKS);
        }
        break;
    case PHASE_DONE:
        break;
    }
    sim_after_here(s, TICK_NS, tick, l, count + 1);
}

/* ---- running ---- */

static struct sim_shard *shard_next(struct sim_life *l)
{
    struct sim_shard *next = NULL;

    for (uint32_t i = 0; i < l->d->shard_count; i++) {
        struct sim_shard *sh = &l->shards[i];

        if (!l->d->shards[i]->stopping && (next == NULL || sh->run_ns < next->run_ns)) {
            next = sh;
        }
    }
    return next;
}

static bool mail_waits(const struct shard *shard)
{
    for (uint32_t from = 0; from < shard->group->count; from++) {
        const struct mail_ring *r = shard->mail.inbox[from];

        if (r != NULL && atomic_load(&r->head) != atomic_load(&r->tail)) {
            return true;
        }
    }
    return false;
}

/* Who sends mail to a shard that sleeps has to wake it. */
static void mail_check(struct sim_life *l)
{
    for (uint32_t i = 0; i < l->d->shard_count; i++) {
        const struct sim_shard *sh = &l->shards[i];

        if (sh->run_ns > l->s->now_ns + SIM_US && sh->run_ns > sh->busy_ns &&
            !l->d->shards[i]->stopping && mail_waits(l->d->shards[i])) {
            sim_fail(l->s, "mail", 0, "shard %u sleeps with mail in its box", i);
        }
    }
}

static void life_drive(struct sim_life *l)
{
    struct sim *s = l->s;
    struct sim_shard *sh;

    while ((sh = shard_next(l)) != NULL) {
        if (sh->run_ns <= sim_next_ns(s)) {
            s->now_ns = sh->run_ns > s->now_ns ? sh->run_ns : s->now_ns;
            shard_drive(sh, l->d->shards[sh->index]);
            mail_check(l);
        } else {
            sim_step(s);
        }
    }
}

static bool life_begin(struct sim_life *l, struct buf *why)
{
    struct daemon *d = l->d;

    if (!daemon_open(d, &l->options, why) || !daemon_build(d, why)) {
        return false;
    }
    for (uint32_t i = 0; i < d->shard_count; i++) {
        if (!daemon_start_shard(d->engines[i])) {
            BUF_LIT(why, "a shard does not start");
            return false;
        }
    }
    daemon_started(d);
    return true;
}

/* The world goes on without a daemon for a while. */
static void pause_before(struct sim *s)
{
    uint64_t until_ns = s->now_ns + (s->life == 0 ? SIM_MS : sim_spread(s, CHANCE_LIFE, SIM_MS,
                                                                        10 * SIM_S));

    while (sim_next_ns(s) <= until_ns) {
        sim_step(s);
    }
    s->now_ns = until_ns;
}

static void end_plan(struct sim_life *l)
{
    struct sim *s = l->s;
    uint64_t at_ns;

    if (s->phase != PHASE_LOAD || s->lives_left == 0) {
        return;
    }
    s->lives_left--;
    at_ns = sim_spread(s, CHANCE_LIFE, s->plan.life_ns / 20 + 1, s->plan.life_ns * 2);
    if (sim_below(s, CHANCE_LIFE, 5) == 0) {
        s->counts.stops++;
        sim_after_here(s, at_ns, stop_due, l, 0);
        at_ns += sim_spread(s, CHANCE_LIFE, SIM_MS, 200 * SIM_S); /* or not before it is killed */
    }
    sim_after_here(s, at_ns, crash_due, NULL, 0);
    if (sim_chance(s, CHANCE_LIFE, s->plan.faults[FAULT_KILL_AT_CALL])) {
        l->calls_left = 1 + sim_below(s, CHANCE_LIFE, CALLS_TO_KILL);
    }
}

void life_run(struct sim *s)
{
    struct sim_life *l;
    struct buf why = {0};
    uint64_t began_ns;

    pause_before(s);
    if (!s->plan.shards_pinned) {
        s->plan.shards_now = 1 + (uint32_t)sim_below(s, CHANCE_LIFE, s->plan.shards_most);
    }
    s->life++;
    s->counts.lives++;
    s->alive = true;
    began_ns = s->now_ns;
    sim_note(s, SIM_LIFE, "life %llu of %llu shards begins", s->life, s->plan.shards_now, 0);
    disk_drop_below(s, SIM_LOG_DIR);
    s->here = l = life_new(s);
    end_plan(l);
    if (life_begin(l, &why)) {
        sim_after_here(s, TICK_NS, tick, l, 1);
        life_drive(l);
        sim_note(s, SIM_LIFE, "life %llu has stopped", s->life, 0, 0);
    } else if (!disk_troubled_since(s->disk, began_ns)) {
        buf_char(&why, '\0');
        sim_fail(s, "start", 0, "the daemon does not start: %s", why.ptr);
    } else {
        s->counts.boots_refused++;
        sim_note(s, SIM_LIFE, "life %llu does not start", s->life, 0, 0);
    }
    daemon_close(l->d);
    book_life_ended(s, false);
    net_process_ended(s, false);
    life_over(s);
}
