/*
 * outcome - a log record in few bytes, to be kept in the spool beside the settle it explains.
 *
 * After a crash the record is built again from it and the message it was about: id, envelope,
 * metadata and headers come from there. What is unknown or default takes no room; a delivery
 * usually fits 160 bytes.
 *
 * Memory    a loaded record borrows from the bytes it was loaded from and from its struct outcome.
 */
#pragma once

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"
#include "core/log/record.h"

/* Appends. Recipients that are given are kept, so give none when all of the message's are meant;
 * likewise the queue, when it is what the message says. feedback_report, size and
 * settle_sequence are left out. */
void outcome_put(struct buf *out, const struct log_record *r);

struct outcome {
    struct log_record record; /* message is the caller's to set */
    struct buf recipients;    /* what record.recipients points to */
    uint8_t session_id[16];
    struct buf site, peer_addr, source_address; /* texts that were stored shorter */
};
/* False when the bytes are no outcome; outcome_free() in any case. */
NODISCARD bool outcome_load(struct slice from, struct outcome *out);
void outcome_free(struct outcome *o);
