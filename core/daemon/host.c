/* The machine that the process runs on. */
#include "core/daemon/host.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "core/net/dns_cares.h"
#include "core/shard/ring.h"

static int machine_ring_open(void *ctx, struct ring *ring, const struct ring_params *params,
                             struct buf *why)
{
    return ring_uring_open(ring, params, why);
}

static int machine_ring_enable(void *ctx, struct ring *ring)
{
    return ring_uring_enable(ring);
}

static bool machine_dns_open(void *ctx, struct shard *shard, const struct dns_cares_params *params,
                             struct dns_backend **out, struct buf *why)
{
    return dns_cares_open(shard, params, out, why);
}

static void machine_say(void *ctx, struct slice line)
{
    /* stderr is unbuffered: one line is one write, so lines of several shards never mix. */
    (void)!fwrite(line.ptr, 1, line.len, stderr);
}

static void machine_name(void *ctx, struct buf *out)
{
    char name[256];

    if (gethostname(name, sizeof(name)) != 0) {
        name[0] = '\0';
    }
    name[sizeof(name) - 1] = '\0';
    buf_put(out, name[0] != '\0' ? slice_str(name) : SLICE("localhost"));
}

static void machine_patience(void *ctx, bool patient)
{
    const struct sched_param none = {0};

    (void)pthread_setschedparam(pthread_self(), patient ? SCHED_BATCH : SCHED_OTHER, &none);
}

const struct daemon_host daemon_host_machine = {
    .ring_open = machine_ring_open,
    .ring_enable = machine_ring_enable,
    .dns_open = machine_dns_open,
    .say = machine_say,
    .patience = machine_patience,
    .name = machine_name,
};
