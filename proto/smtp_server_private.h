/*
 * smtp_server_private - what the files of the server session share.
 *
 * A public call sets `out`, runs, and answers one step. Inside, a function that answers a step has
 * staged a reply, opened a question, or done neither (SMTP_SERVER_FEED).
 */
#pragma once

#include "proto/smtp_data.h"
#include "proto/smtp_line.h"
#include "proto/smtp_server.h"

enum smtp_reply_id {
#define SMTP_REPLY(name, code, text) SMTP_REPLY_##name,
#include "proto/smtp_server_replies.def"
#undef SMTP_REPLY
    SMTP_REPLY_COUNT
};

enum smtp_verb_id {
#define SMTP_VERB(name, handler, flags) SMTP_VERB_##name,
#include "proto/smtp_server_verbs.def"
#undef SMTP_VERB
    SMTP_VERB_COUNT
};

/* Why no input is taken. */
enum smtp_hold {
    SMTP_HOLD_NONE = 0,
    SMTP_HOLD_ASK,     /* a question is open */
    SMTP_HOLD_REWRITE, /* a reply waits to be rewritten */
    SMTP_HOLD_REPORT,  /* the driver looks at a refusal; the next feed goes on */
};

/* Which command a reply is about. */
enum smtp_reply_about {
    SMTP_ABOUT_NOTHING = 0,
    SMTP_ABOUT_LINE, /* s->command */
    SMTP_ABOUT_DATA, /* the message as a whole */
};

/* The BDAT whose octets are coming in. */
struct smtp_chunk {
    uint64_t size;
    uint64_t left;
    uint8_t refusal; /* enum smtp_reply_id: the octets are dropped, then this is the reply */
    uint8_t back;    /* enum smtp_server_state after that */
    bool last;
};

struct smtp_server {
    const struct smtp_server_limits *limits;
    struct buf *out; /* of the running call */
    uint8_t state;   /* enum smtp_server_state; written by smtp_server_enter() alone */
    uint8_t hold;    /* enum smtp_hold */
    uint8_t ask;     /* enum smtp_ask */
    uint8_t reply_about;
    uint8_t reply_after;
    uint16_t reply_code;
    bool tx_open;
    struct smtp_line line;
    struct slice command; /* the line being served; in `line` once it has to last */
    struct buf text;      /* of the last reply */
    struct buf helo;
    struct buf helo_asked; /* while SMTP_ASK_HELO or EHLO is open */
    struct smtp_tx tx;
    size_t rcpt_at;      /* in tx.recipients: the one asked about */
    size_t rcpt_last_at; /* the last accepted one; meaningful when there is one */
    struct smtp_data data;
    struct smtp_chunk chunk;
    uint64_t messages_read;
};

/* ---- smtp_server_state.c ---- */

void smtp_server_enter(struct smtp_server *s, enum smtp_server_state next);

/* ---- smtp_server_reply.c: every reply passes here ---- */

/* An empty buffer for the text of the next reply. */
struct buf *smtp_reply_text(struct smtp_server *s);
/* Sends what smtp_reply_text() was filled with. */
enum smtp_server_step smtp_reply_send(struct smtp_server *s, uint16_t code,
                                      enum smtp_reply_about about, enum smtp_after after);
/* A reply of the table; a refusal is about the line being served. */
enum smtp_server_step smtp_reply(struct smtp_server *s, enum smtp_reply_id id);
enum smtp_server_step smtp_reply_about(struct smtp_server *s, enum smtp_reply_id id,
                                       enum smtp_reply_about about, enum smtp_after after);
/* The driver's words. */
enum smtp_server_step smtp_reply_answer(struct smtp_server *s, const struct smtp_answer *answer,
                                        enum smtp_reply_about about);
/* "OK <address>" */
enum smtp_server_step smtp_reply_ok_address(struct smtp_server *s, struct slice address);

/* ---- smtp_server.c ---- */

enum smtp_server_step smtp_ask(struct smtp_server *s, enum smtp_ask ask);
/* Drops the transaction; the state is the caller's. */
void smtp_tx_reset(struct smtp_server *s);

/* ---- smtp_server_message.c ---- */

/* All bytes of a message are in s->data. */
enum smtp_server_step smtp_message_complete(struct smtp_server *s);
enum smtp_server_step smtp_message_answered(struct smtp_server *s, const struct smtp_answer *a);

/* ---- smtp_verbs.c ---- */

/* Serves one command line. */
enum smtp_server_step smtp_verbs_serve(struct smtp_server *s, struct slice line);
/* SMTP_REPLY_NONE: in order. */
enum smtp_reply_id smtp_verbs_order(const struct smtp_server *s, enum smtp_verb_id verb);

/* ---- smtp_cmd_*.c, smtp_bdat.c ---- */

/* `args` is what follows the blanks after the verb. */
typedef enum smtp_server_step smtp_cmd_fn(struct smtp_server *s, struct slice args);
smtp_cmd_fn smtp_cmd_mail;
smtp_cmd_fn smtp_cmd_rcpt;
smtp_cmd_fn smtp_cmd_data;
smtp_cmd_fn smtp_cmd_bdat;
smtp_cmd_fn smtp_cmd_rset;
smtp_cmd_fn smtp_cmd_quit;
smtp_cmd_fn smtp_cmd_ehlo;
smtp_cmd_fn smtp_cmd_helo;
smtp_cmd_fn smtp_cmd_noop;
smtp_cmd_fn smtp_cmd_vrfy;
smtp_cmd_fn smtp_cmd_unavailable;

/* Second halves: the driver is back with a verdict. */
typedef enum smtp_server_step smtp_answered_fn(struct smtp_server *s, const struct smtp_answer *a);
smtp_answered_fn smtp_cmd_mail_answered;
smtp_answered_fn smtp_cmd_rcpt_answered;
smtp_answered_fn smtp_cmd_ehlo_answered;
smtp_answered_fn smtp_cmd_helo_answered;

/* Takes octets of the open chunk, then of its end. */
enum smtp_server_step smtp_bdat_take(struct smtp_server *s, struct slice in, size_t *used_out);
