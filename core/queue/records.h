/*
 * records - log records about messages of a queue, and their final settles.
 *
 * One function writes each record, fills in what the message knows and borrows the rest, so that
 * reception, delivery and expiry tell one story. A final record carries the sequence number of
 * its settle: recovery writes it again when the log did not get it to the disk.
 *
 * Owner     the queue's shard. Everything given is borrowed for the call.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/slice.h"
#include "core/log/record.h"

struct message;
struct queue_mgr;
struct queue_requeue;

/* What a delivery session adds; zeroed where it does not apply. */
struct record_session {
    struct slice queue;          /* unknown: the one that holds the message */
    struct slice site;           /* ready-queue name, or what the table of records says */
    struct slice egress_pool, egress_source;
    struct slice source_address; /* "ip:port" */
    struct ip_port source_ip;    /* the same, if known */
    struct slice peer_name, peer_addr;
    struct ip peer_ip;           /* what peer_addr is the text of, if known */
    struct slice delivery_protocol;
    struct slice provider;
    const uint8_t *session_id; /* 16 bytes */
};

/* What happened, to all recipients or to the packed list given. */
struct record_outcome {
    enum log_type type;
    uint16_t code;
    uint8_t enhanced_class;
    uint16_t enhanced_subject, enhanced_detail;
    struct slice content;
    struct slice command;
    struct slice recipients; /* (u16 length, bytes)*; ptr NULL: all of the message's */
    uint32_t recipient_count;
};

/* What a settle carries in the spool, for a crash may keep the log records from the log: this,
 * then each outcome (core/log/outcome.h) with its length in front, four bytes of it. */
struct settled_message {
    uint8_t id[16];
    uint32_t size;
};

/* "451 4.4.1 what was said", appended: the line that requeue_message gets. */
void record_line_put(struct buf *out, const struct record_outcome *outcome);
/* Writes a record that does not end the message, whose content is loaded. */
void queue_record(struct queue_mgr *mgr, const struct message *m,
                  const struct record_outcome *outcome, const struct record_session *session);
/* Writes a record that ends an attempt and puts the message back. Reads its content from the
 * spool first when it is not loaded. */
void queue_fail(struct queue_mgr *mgr, struct message *m, const struct record_outcome *outcome,
                const struct record_session *session, const struct queue_requeue *how);
/* Writes the last records, settles the message in the spool and frees it; reads its content
 * first when it is not loaded (then there is one outcome, for all recipients). */
void queue_finish(struct queue_mgr *mgr, struct message *m, const struct record_outcome *outcomes,
                  uint32_t outcome_count, const struct record_session *session);
/* Settles and frees without a record: the null queue, and what the record types say. */
void queue_discard(struct queue_mgr *mgr, struct message *m);
