/*
 * ledger - limits that hold exactly over all shards, without a lock.
 *
 * Each limit has one owner, the shard that its name hashes to, and only the owner counts. The
 * others lease places from it, a few at a time, and use them without asking again; what one
 * shard leaves unused is recalled when another is short. Messages never travel for a limit's
 * sake: limits come to them.
 *
 * Owner     one struct ledger per shard; a struct lease belongs to its holder on that shard.
 * Memory    a counter per limit in use on its owner, one small mail per request between shards.
 * Blocking  never. A take answers at once when it can, otherwise through the waiter, from the loop.
 * Promise   the places in use over all shards never exceed the limit last told to the owner.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/hmap.h"
#include "core/base/list.h"
#include "core/limit/throttle.h"
#include "core/shard/shard.h"

struct lease;
struct lease_waiter;

struct ledger {
    struct shard *shard;
    struct hmap leases;   /* struct lease, by name: how mail finds them */
    struct hmap counters; /* struct ledger_counter, owned by this shard */
    struct throttles throttles;
    bool ended;
};

void ledger_init(struct ledger *l, struct shard *shard);
/* No shard runs any more: places given back from now on concern nobody. */
void ledger_end(struct ledger *l);
void ledger_free(struct ledger *l);

/* ---- places: connections, slots of a ready queue ---- */

enum lease_answer { LEASE_TAKEN = 0, LEASE_FULL, LEASE_PENDING };

/* granted=false: every place is in use (only for leases that do not wait). The call may come from
 * inside a lease_give(). It may take, give and unwait; with granted=true it must not close. */
typedef void lease_waiter_fn(struct lease_waiter *w, bool granted);

struct lease_waiter {
    struct dlist link; /* linked while waiting */
    lease_waiter_fn *fn;
};

struct lease {
    struct hmap_node node;
    struct ledger *ledger;
    char *name;
    uint32_t name_len;
    uint32_t owner;     /* shard index */
    uint32_t limit;
    uint32_t held;      /* granted to this shard */
    uint32_t used;      /* in [0, held] */
    uint32_t batch;     /* places asked for in one go */
    bool waits;         /* a full limit is waited for; otherwise it answers LEASE_FULL */
    bool asking;        /* a request is on its way */
    bool recalled;      /* the owner wants unused places back, now and as they become free */
    bool handing;       /* waiters are being called */
    struct dlist waiters;
    /* Another shard is short and nothing here is unused: end some use soon. May be NULL. It may
     * give, but neither take nor close. */
    void (*recall_fn)(struct lease *ls);
};

/* `name` is copied and is unique on this shard. */
void lease_open(struct lease *ls, struct ledger *l, struct slice name, uint32_t limit, bool waits);
/* No place may be in use and nobody waiting. Gives back what is held. */
void lease_close(struct lease *ls);
/* The limit changed; takes effect with the next request. */
void lease_set_limit(struct lease *ls, uint32_t limit);
NODISCARD enum lease_answer lease_take(struct lease *ls, struct lease_waiter *w);
void lease_unwait(struct lease *ls, struct lease_waiter *w); /* does nothing when not waiting */
void lease_give(struct lease *ls);

/* ---- rates ---- */

struct token_ask;
typedef void token_fn(struct token_ask *ask, uint64_t wait_ns); /* 0: the token was taken */

/* A field of whoever asks; its memory stays while in_flight (a trip to another shard at most). */
struct token_ask {
    token_fn *fn;
    bool in_flight;
};

/* Takes one token of the named bucket, which belongs to the shard its name hashes to. True: the
 * answer is in *wait_ns. False: it comes through ask->fn, from the loop. */
NODISCARD bool token_take(struct ledger *l, struct slice name, const struct gcra_rate *rate,
                          struct token_ask *ask, uint64_t *wait_ns);
/* Whether token_take() has its answer at once. */
PURE bool token_at_hand(const struct ledger *l, struct slice name);
