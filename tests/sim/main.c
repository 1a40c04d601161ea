/* ringsim - the daemon through crashes, failing disks and hostile peers, from one seed.
 *
 *     ringsim [--seed S] [--runs N] [--minutes M] [--shards N] [--faults LIST] [--trace AREAS]
 *
 * Each run forks a process for each life of the daemon; the world between them is in memory that
 * all of them share. Exit status 1: a run failed, and a block says how (docs/simulator.md). */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "tests/sim/check/book.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_daemon.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/world/peers.h"

#define ARENA_SIZE ((size_t)64 << 30)

struct sim_options {
    uint64_t seed, runs;
    double minutes;
    uint32_t shards, trace;
    const char *faults;
    bool has_seed;
};

struct sim_totals {
    uint64_t runs, failed, messages, delivered, repeated;
    double virtual_s;
    struct sim_counts counts;
    uint64_t history;
};

/* ---- the policy ---- */

static void word_put(struct buf *text, const char *word, uint64_t value)
{
    char *at;

    while ((at = memmem(text->ptr, text->len, word, strlen(word))) != NULL) {
        struct buf fresh = {0};
        size_t head = (size_t)(at - text->ptr);

        buf_put(&fresh, slice_head(buf_slice(text), head));
        buf_u64(&fresh, value);
        buf_put(&fresh, slice_from(buf_slice(text), head + strlen(word)));
        buf_free(text);
        *text = fresh;
    }
}

static void policy_put(struct sim *s)
{
    FILE *file = fopen(SIM_POLICY, "r");
    struct buf text = {0};

    if (file == NULL) {
        perror(SIM_POLICY);
        exit(2);
    }
    buf_reserve(&text, 65536);
    text.len = fread(text.ptr, 1, 65536, file);
    (void)fclose(file);
    word_put(&text, "@RETRY@", s->plan.retry_s);
    word_put(&text, "@CONNECTIONS@", s->plan.connection_limit);
    word_put(&text, "@READY@", s->plan.max_ready);
    disk_put_file(s, SIM_POLICY_PATH, buf_slice(&text));
    buf_free(&text);
}

/* ---- a run ---- */

static struct sim *world_new(struct sim_arena *arena, const struct sim_plan *plan, uint32_t trace)
{
    struct sim *s = sim_new(arena, plan, trace);

    disk_new(s);
    net_new(s);
    book_new(s);
    policy_put(s);
    disk_put_dirs(s, "/opt/kumomta/etc");
    disk_put_file(s, "/sys/class/net/eth0/address", SLICE("02:00:00:00:00:01\n"));
    disk_put_file(s, "/proc/meminfo", SLICE("MemTotal: 4194304 kB\n"));
    disk_put_file(s, "/proc/self/statm", SLICE("20000 10000 1000 1 0 1 0\n"));
    disk_weather_start(s);
    peers_start(s);
    return s;
}

/* False: the life ended as no life should. */
static bool life_fork(struct sim *s)
{
    char text[80];
    int status;
    pid_t pid;

    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        life_run(s);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror("ringsim");
        exit(2);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return true;
    }
    if (!s->failed) {
        (void)snprintf(text, sizeof(text), "the process of this life ended with %s %d",
                       WIFSIGNALED(status) ? "signal" : "status",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        sim_report(s, "process", 0, text);
    }
    return false;
}

static void plan_make(struct sim_plan *p, uint64_t seed, const struct sim_options *o)
{
    struct buf pinned = {0};

    sim_plan_make(p, seed);
    if (o->shards != 0) {
        p->shards_pinned = true;
        p->shards_now = o->shards;
        buf_printf(&pinned, " --shards %u", o->shards);
    }
    if (o->faults != NULL) {
        if (!sim_plan_faults(p, slice_str(o->faults))) {
            fprintf(stderr, "ringsim: --faults: unknown: %s\n", o->faults);
            exit(2);
        }
        buf_printf(&pinned, " --faults %s", o->faults);
    }
    buf_char(&pinned, '\0');
    (void)snprintf(p->pinned, sizeof(p->pinned), "%s", pinned.ptr);
    buf_free(&pinned);
}

static bool run_one(struct sim_arena *arena, uint64_t seed, const struct sim_options *o,
                    struct sim_totals *t)
{
    struct sim_plan plan;
    struct sim *s;
    bool ok = true;

    plan_make(&plan, seed, o);
    sim_arena_reset(arena);
    s = world_new(arena, &plan, o->trace);
    while (ok && s->phase != PHASE_DONE) {
        ok = life_fork(s);
    }
    t->runs++;
    t->failed += !ok;
    t->messages += book_promised(s);
    t->delivered += book_delivered_count(s);
    t->repeated += book_repeated_count(s);
    t->virtual_s += (double)s->now_ns / 1e9;
    t->counts.turns += s->counts.turns;
    t->counts.crashes += s->counts.crashes;
    t->counts.lives += s->counts.lives;
    t->counts.probes += s->counts.probes;
    t->history = s->history;
    if (ok) {
        printf("ringsim: seed %llu: %llu promised, %llu delivered, %llu again, %llu lives, %llu "
               "crashes, %llu s, history %016llx\n",
               (unsigned long long)seed, (unsigned long long)book_promised(s),
               (unsigned long long)book_delivered_count(s),
               (unsigned long long)book_repeated_count(s), (unsigned long long)s->counts.lives,
               (unsigned long long)s->counts.crashes, (unsigned long long)(s->now_ns / SIM_S),
               (unsigned long long)s->history);
        (void)fflush(stdout);
    }
    return ok;
}

/* ---- options ---- */

static bool trace_parse(const char *text, uint32_t *out)
{
    struct slice rest = slice_str(text);

    while (rest.len > 0) {
        size_t end = slice_find_char(rest, ',');
        enum sim_area area;

        if (!sim_area_named(slice_head(rest, end), &area)) {
            return false;
        }
        *out |= UINT32_C(1) << area;
        rest = slice_from(rest, end + 1);
    }
    return true;
}

static bool options_parse(struct sim_options *o, int argc, char **argv)
{
    static const struct option names[] = {
        {"seed", required_argument, NULL, 's'},   {"runs", required_argument, NULL, 'n'},
        {"minutes", required_argument, NULL, 'm'}, {"shards", required_argument, NULL, 'c'},
        {"faults", required_argument, NULL, 'f'}, {"trace", required_argument, NULL, 't'},
        {0},
    };
    int c;

    *o = (struct sim_options){.runs = 1};
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 's':
            o->seed = strtoull(optarg, NULL, 10);
            o->has_seed = true;
            break;
        case 'n':
            o->runs = strtoull(optarg, NULL, 10);
            break;
        case 'm':
            o->minutes = strtod(optarg, NULL);
            o->runs = UINT64_MAX;
            break;
        case 'c':
            o->shards = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'f':
            o->faults = optarg;
            break;
        case 't':
            if (!trace_parse(optarg, &o->trace)) {
                return false;
            }
            break;
        default:
            return false;
        }
    }
    return optind == argc && o->shards <= 16;
}

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void totals_print(const struct sim_totals *t, double real_s)
{
    double minutes = real_s / 60;

    printf("ringsim: %llu runs, %llu failed, %.1f virtual hours in %.1f s; a real minute: %.0f "
           "messages, %.0f turns, %.0f crashes, %.0f probes\n",
           (unsigned long long)t->runs, (unsigned long long)t->failed, t->virtual_s / 3600, real_s,
           (double)t->messages / minutes, (double)t->counts.turns / minutes,
           (double)t->counts.crashes / minutes, (double)t->counts.probes / minutes);
}

/* The environment and limits of the machine are no part of a run. */
static void machine_forget(void)
{
    struct rlimit files;

    clearenv();
    MUST(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
    MUST(setrlimit(RLIMIT_NOFILE, &files) == 0);
}

int main(int argc, char **argv)
{
    struct sim_options o;
    struct sim_totals t = {0};
    struct sim_arena *arena;
    double began_s = now_s();

    if (!options_parse(&o, argc, argv)) {
        fprintf(stderr, "usage: ringsim [--seed S] [--runs N] [--minutes M] [--shards N] "
                        "[--faults none|all|NAME,...] [--trace AREA,...]\n");
        return 2;
    }
    machine_forget();
    if (!o.has_seed) {
        o.seed = (uint64_t)time(NULL) * 1000;
    }
    arena = sim_arena_open(ARENA_SIZE);
    while (t.runs < o.runs && t.failed == 0 &&
           (o.minutes == 0 || now_s() - began_s < o.minutes * 60)) {
        (void)run_one(arena, o.seed + t.runs, &o, &t);
    }
    totals_print(&t, now_s() - began_s);
    return t.failed != 0;
}
