/*
 * shard - one pinned thread with its ring, timers and mailboxes.
 *
 * Everything in the engine belongs to exactly one shard and is touched by its thread alone;
 * what has to go elsewhere is sent (mail_send) and then belongs to the receiver.
 *
 * Owner     the thread that runs shard_run(); set-up and tear-down happen on the main thread
 *           while it does not run.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"
#include "core/shard/mail.h"
#include "core/shard/ring.h"
#include "core/shard/timer.h"

struct shard_group;

struct shard {
    uint32_t index; /* 0 .. group->count - 1 */
    struct shard_group *group;
    struct ring ring;
    struct timers timers;
    struct mailboxes mail;
    struct dlist posted; /* struct post: runs next turn, on this shard */
    bool stopping;
    pthread_t thread;
    uint64_t turn_count;
    uint64_t event_count; /* completions in all turns */
    uint64_t slow_turn_count; /* turns longer than SHARD_SLOW_TURN_NS */
    void *owner;              /* the daemon's per-shard composition */
};

#define SHARD_SLOW_TURN_NS 5000000u
#define SHARD_COUNT_MAX 256u

struct shard_group {
    uint32_t count;
    struct shard **shards;
};

/* A call made from the loop instead of inline, so that nothing re-enters. A field of its owner;
 * posting it twice before it ran is one call. */
struct post {
    struct dlist link;
    void (*fn)(struct post *p);
};

void shard_post(struct shard *sh, struct post *p);
void shard_unpost(struct shard *sh, struct post *p); /* does nothing when not posted */

void shard_init(struct shard *sh, struct shard_group *group, uint32_t index);
/* Turns until shard_stop() was called. */
void shard_run(struct shard *sh);
void shard_stop(struct shard *sh); /* from a handler on this shard */
/* One turn, for tests and the simulator: sleeps at most sleep_ns. */
void shard_turn(struct shard *sh, uint64_t sleep_ns);

static inline uint64_t shard_now_ms(const struct shard *sh)
{
    return ring_now_ms(&sh->ring);
}

/* The shard that a name belongs to: the same on every shard, and after a restart with the same
 * number of shards. */
PURE uint32_t shard_of_name(const struct shard_group *group, struct slice name);
