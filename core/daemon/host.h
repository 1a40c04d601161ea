/*
 * host - what the daemon takes from its machine other than through an open ring: the rings
 * themselves, name servers, the stream for diagnostics, its name.
 *
 * Owner     whoever starts the daemon; it outlives the run. Shards call from their own threads.
 * Blocking  start-up only, save for say().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"
#include "policy/vm/vm.h"

struct dns_backend;
struct dns_cares_params;
struct ring;
struct ring_params;
struct shard;

struct daemon_host {
    void *ctx;
    /* On any thread; `why` says what is wrong when it fails ... */
    int (*ring_open)(void *ctx, struct ring *ring, const struct ring_params *params,
                     struct buf *why);
    /* ... and on the thread that is going to use it. */
    int (*ring_enable)(void *ctx, struct ring *ring);
    bool (*dns_open)(void *ctx, struct shard *shard, const struct dns_cares_params *params,
                     struct dns_backend **out, struct buf *why);
    /* One line of diagnostics, its end included. */
    void (*say)(void *ctx, struct slice line);
    /* Whether the calling thread, on waking up, lets others go on that run on its core. May be
     * NULL: an optimisation only. */
    void (*patience)(void *ctx, bool patient);
    /* Appends the host's name; "localhost" when it has none. */
    void (*name)(void *ctx, struct buf *out);
    struct vm_limits vm_limits;
    uint64_t segment_size; /* of the spool; 0: its own */
};

/* io_uring, c-ares, stderr. */
extern const struct daemon_host daemon_host_machine;
