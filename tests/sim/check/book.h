/*
 * book - what every message of a run was promised, and what became of it.
 *
 * A message's content follows from the seed and its number, so that nobody has to keep it. The
 * book hears of each step from the peers and the disk, and fails the run at the first that breaks
 * a promise:
 *
 *     a 250 before the message would survive a power cut
 *     a delivery of what was refused, of what was not complete, of other bytes, or to others
 *     a second delivery whose first one was not in doubt
 *     at the end: one that was promised and has neither arrived nor been refused by its peer
 *
 * Owner     the run; in its arena.
 */
#pragma once

#include "core/base/buf.h"
#include "tests/sim/sim.h"

struct net_conn;

#define BOOK_RECIPIENTS_MAX 3u
#define BOOK_TOKEN "SIMTOKEN-"

struct book *book_new(struct sim *s);

/* ---- a message ---- */

/* The next one to offer; 0: there is none. Numbers begin at 1. */
uint32_t book_next(struct sim *s);
bool book_all_offered(const struct sim *s);
uint32_t book_recipients(const struct sim *s, uint32_t message);
void book_sender_put(const struct sim *s, uint32_t message, struct buf *out);
void book_recipient_put(const struct sim *s, uint32_t message, uint32_t index, struct buf *out);
/* Header and body, with CR LF, not dot-stuffed. */
void book_content_put(const struct sim *s, uint32_t message, struct buf *out);

/* ---- bringing it ---- */

void book_recipient_taken(struct sim *s, uint32_t message, uint32_t index);
/* Its last byte has left for the daemon. */
void book_complete(struct sim *s, uint32_t message);
/* The daemon hands its final reply to its kernel ... */
void book_said(struct sim *s, uint32_t message, uint32_t code);
/* ... and the peer gets it. */
void book_heard(struct sim *s, uint32_t message, uint32_t code);
/* Bytes that have become durable. */
void book_durable(struct sim *s, struct slice bytes);

/* ---- its end ---- */

/* "m12r0@d3.sim": false, when it is nobody of this run's. */
bool book_address_read(const struct sim *s, struct slice address, uint32_t *message,
                       uint32_t *index);
/* A peer takes it, and says so up to that byte of the connection. */
void book_delivered(struct sim *s, uint32_t message, uint32_t index, struct slice content,
                    const struct net_conn *c, uint64_t said_at);
/* A peer refuses it for ever. */
void book_refused(struct sim *s, uint32_t message, uint32_t index);

/* ---- lives, and the end ---- */

void book_life_ended(struct sim *s, bool crashed);
uint32_t book_offered(const struct sim *s);
uint64_t book_promised(const struct sim *s);
uint64_t book_delivered_count(const struct sim *s);
uint64_t book_repeated_count(const struct sim *s);
uint32_t book_first_open(const struct sim *s); /* 0: all have their end */
void book_check_end(struct sim *s);
