/*
 * insert_context - why a message came to wait: an ordered list of reasons inside the message.
 *
 * Five bits a reason in message.context, zero behind the last; the same reason twice in a row is
 * one. Eleven fit; after that the newest takes the place of the last one, except that
 * LOGGED_TRANSIENT_FAILURE stays known, because it decides whether a delay is logged.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"

struct message;

enum insert_reason {
#define INSERT_REASON(name, text) INSERT_##name,
#include "core/message/insert_context.def"
#undef INSERT_REASON
    INSERT_REASON_COUNT
};

#define INSERT_CONTEXT_MAX 11u

/* Every insertion begins anew, then adds its reasons. */
void insert_context_clear(struct message *m);
void insert_context_add(struct message *m, enum insert_reason reason);
PURE bool insert_context_has(const struct message *m, enum insert_reason reason);
/* Exactly this reason and no other. */
PURE bool insert_context_is(const struct message *m, enum insert_reason reason);
/* Whether a delay goes unlogged: the context is [Enumerated], or a TransientFailure record has
 * already told the story. */
PURE bool insert_context_quiet(const struct message *m);

const char *insert_reason_text(enum insert_reason reason);
/* The texts, in order; answers how many. */
uint32_t insert_context_list(const struct message *m, struct slice out[INSERT_CONTEXT_MAX]);
/* "Received, ScheduledForLater", appended. */
void insert_context_put(const struct message *m, struct buf *out);
