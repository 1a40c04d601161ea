/*
 * mail - typed messages from shard to shard.
 *
 * A lock-free ring for each ordered pair of shards. A send never blocks and never drops: what
 * does not fit waits in a list threaded through the item itself, in order. A struct mail_item
 * is a field of the payload; sending it hands the payload over.
 *
 * Owner     before mail_send() the sender; from then on the receiver.
 * Order     items of one pair arrive in the order sent.
 * Wake-up   a sleeping receiver is woken through its ring, and only then.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"

struct shard;

enum mail_kind {
#define MAIL_KIND(name, payload, freed_by) MAIL_##name,
#include "core/shard/mail_kinds.def"
#undef MAIL_KIND
    MAIL_KIND_COUNT
};

struct mail_item {
    struct slist link;
    uint16_t kind; /* enum mail_kind */
    uint16_t from; /* shard index; set by mail_send() */
};

/* Runs on the receiver. */
typedef void mail_fn(void *ctx, struct mail_item *item);

#define MAIL_RING_ENTRIES 1024u

struct mail_ring {
    _Alignas(64) _Atomic uint32_t head; /* next to take; written by the receiver */
    _Alignas(64) _Atomic uint32_t tail; /* next to fill; written by the sender */
    _Alignas(64) struct mail_item *items[MAIL_RING_ENTRIES];
};

struct mail_handler {
    mail_fn *fn;
    void *ctx;
};

struct mailboxes {
    struct mail_ring **inbox;     /* by sender; NULL for oneself */
    struct slist_queue *outbox;   /* by receiver: what did not fit */
    struct slist_queue self;      /* to oneself: runs next turn */
    uint32_t outbox_count;        /* items waiting in all outboxes */
    uint64_t sent_count, received_count;
    _Atomic bool asleep;
    struct mail_handler handlers[MAIL_KIND_COUNT];
};

/* Who handles a kind on this shard; set once, before the shard runs. */
void mail_on(struct shard *sh, enum mail_kind kind, mail_fn *fn, void *ctx);
void mail_send(struct shard *from, uint32_t to, enum mail_kind kind, struct mail_item *item);
/* Items that wait for room towards `to`; producers of new work slow down by it, returns and
 * settles never do. */
PURE bool mail_congested(const struct shard *from, uint32_t to);

/* For the loop. */
void mail_init(struct shard *sh);
void mail_free(struct shard *sh);
bool mail_drain(struct shard *sh, uint32_t budget); /* true when something is left */
bool mail_flush(struct shard *sh);                  /* outboxes; true when something is left */
bool mail_sleep_begin(struct shard *sh);            /* false: mail came, do not sleep */
void mail_sleep_end(struct shard *sh);
