/*
 * daemon - the process: options, policy, shards, signals, stopping.
 *
 *     start    probe host -> load policy -> pre_init, init -> spool, logs -> shards -> listening
 *     stop     accept, sessions, egress, logs, spool, in this order, each on all shards
 *
 * Owner     the main thread, which is shard 0.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/slice.h"

struct daemon_host;
struct ring;

struct daemon_options {
    struct slice policy_path;
    struct slice policy_text;  /* instead of a file, when ptr is set */
    uint32_t shards;           /* 0: one per core */
    uint64_t drain_timeout_ms;
    bool validate;
    const char *user;          /* NULL: stay */
    const char *version;
    /* NULL, or called for each shard's ring when it was opened: may put a backend of its own in
     * front of the ring's. */
    void (*ring_wrap)(void *ctx, struct ring *ring);
    void *ring_wrap_ctx;
    const struct daemon_host *host; /* NULL: daemon_host_machine */
};

#define DAEMON_DRAIN_TIMEOUT_MS 300000u

/* Runs until a signal ends it; answers the exit status. */
int daemon_run(const struct daemon_options *options);
