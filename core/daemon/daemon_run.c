/* The process around the daemon: a thread for each shard, signals, the exit status. */
#include <sched.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "core/daemon/daemon_private.h"
#include "core/shard/ring.h"

static void pin(uint32_t index)
{
    cpu_set_t all, one;
    uint32_t nth = 0;

    if (sched_getaffinity(0, sizeof(all), &all) != 0) {
        return;
    }
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all) && nth++ == index % (uint32_t)CPU_COUNT(&all)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            (void)sched_setaffinity(0, sizeof(one), &one); /* an optimisation only */
            return;
        }
    }
}

static void *shard_main(void *arg)
{
    struct engine *e = arg;
    const struct daemon_host *host = e->daemon->host;

    pin(e->shard.index);
    if (host->ring_enable(host->ctx, &e->shard.ring) < 0 || !daemon_start_shard(e)) {
        e->daemon->failed = true;
    }
    pthread_barrier_wait(&e->daemon->built);
    if (!e->daemon->failed) {
        shard_run(&e->shard);
    }
    pthread_barrier_wait(&e->daemon->built); /* nobody frees what another may still look at */
    return NULL;
}

static int run_shards(struct daemon *d)
{
    struct engine *first = d->engines[0];

    MUST(pthread_barrier_init(&d->built, NULL, d->shard_count) == 0);
    for (uint32_t i = 1; i < d->shard_count; i++) {
        MUST(pthread_create(&d->engines[i]->shard.thread, NULL, shard_main, d->engines[i]) == 0);
    }
    if (d->shard_count > 1) {
        pin(0);
    }
    if (!daemon_start_shard(first)) {
        d->failed = true;
    }
    pthread_barrier_wait(&d->built);
    if (!d->failed) {
        daemon_signals_start(d);
        daemon_started(d);
        shard_run(&first->shard);
        diag_info(&first->diag, "kumod", "shutdown complete");
    }
    pthread_barrier_wait(&d->built);
    for (uint32_t i = 1; i < d->shard_count; i++) {
        pthread_join(d->engines[i]->shard.thread, NULL);
    }
    pthread_barrier_destroy(&d->built);
    return d->failed ? 1 : 0;
}

static int fail(const struct buf *why)
{
    fprintf(stderr, "Error: %.*s\n", (int)why->len, why->ptr);
    return 1;
}

static int daemon_go(struct daemon *d, const struct daemon_options *options, struct buf *why)
{
    if (!daemon_open(d, options, why)) {
        return fail(why);
    }
    if (options->validate) {
        if (policy_validation_failed(d->policy)) {
            fprintf(stderr, "Error: Validation failed\n");
            return 1;
        }
        return 0;
    }
    if (!daemon_signals_open(d, why) || !daemon_build(d, why)) {
        return fail(why);
    }
    return run_shards(d);
}

int daemon_run(const struct daemon_options *options)
{
    struct daemon *d = MEM_NEW(struct daemon);
    struct buf why = {0};
    int status;

    if (ring_uring_probe(&why) < 0) {
        status = fail(&why);
    } else {
        status = daemon_go(d, options, &why);
        daemon_close(d);
    }
    buf_free(&why);
    mem_give(d);
    return status;
}
