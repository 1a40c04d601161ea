/*
 * ringsink_seen - which of the messages of a run have arrived, and how often.
 *
 * One byte per (sequence, recipient), grown as numbers arrive.
 *
 * Owner     all threads of the sink; every call takes the lock.
 * Limits    SINK_SEEN_MAX keys; what lies beyond, or belongs to another run, is foreign.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"

#define SINK_SEEN_MAX (UINT64_C(1) << 29)

struct sink_seen {
    pthread_mutex_t lock;
    uint64_t run; /* 0: taken from the first arrival */
    uint64_t first_sequence;
    uint64_t recipients;
    uint8_t *counts;
    uint64_t cap;
    uint64_t end; /* one past the highest key that arrived */
    uint64_t distinct, duplicates;
};

void sink_seen_init(struct sink_seen *s, uint64_t run, uint64_t first_sequence,
                    uint64_t recipients);
void sink_seen_free(struct sink_seen *s);
/* False: foreign. */
NODISCARD bool sink_seen_add(struct sink_seen *s, uint64_t run, uint64_t sequence,
                             uint64_t recipient);
uint64_t sink_seen_distinct(struct sink_seen *s);
/* Keys below `expected_keys` (0: below the highest that arrived) that did not arrive; appends at
 * most `sample_max` of them to `sample` as JSON numbers of sequences. */
uint64_t sink_seen_missing(struct sink_seen *s, uint64_t expected_keys, uint32_t sample_max,
                           struct buf *sample);
