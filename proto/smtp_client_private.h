/*
 * smtp_client_private - what the files of smtp_client share. Not for anybody else.
 */
#pragma once

#include "proto/smtp_client.h"

/* A reply (or our own words) that is the outcome of one or more recipients. */
struct smtp_kept_reply {
    uint32_t text_at; /* in texts */
    uint32_t text_len;
    uint32_t command_recipient;
    struct smtp_enhanced enhanced;
    uint16_t code;
    uint8_t command;
};

/* What stands in fates[] for a recipient. */
#define SMTP_FATE_OPEN 0u     /* RCPT not answered yet */
#define SMTP_FATE_ACCEPTED 1u /* RCPT answered 2xx, no final reply yet */
#define SMTP_FATE_REPLY 2u    /* this + index into replies[] */

/* The only place that writes c->state. */
void smtp_client_enter(struct smtp_client *c, enum smtp_client_state next);

static inline bool smtp_cursor_before(struct smtp_cursor a, struct smtp_cursor b)
{
    return a.cmd != b.cmd ? a.cmd < b.cmd : a.rcpt_index < b.rcpt_index;
}

static inline void smtp_client_flow_check(const struct smtp_client *c)
{
    MUST(!smtp_cursor_before(c->sent, c->heard));
}

/* Hands what is staged in c->out to the driver. */
NODISCARD enum smtp_client_step smtp_client_send(struct smtp_client *c);
/* A command that stands alone: staged already, next to be answered. */
void smtp_client_solo(struct smtp_client *c, enum smtp_client_cmd cmd);
/* The connection is finished. `step` is what the driver hears. */
NODISCARD enum smtp_client_step smtp_client_end(struct smtp_client *c, enum smtp_client_step step);
static inline bool smtp_client_in_transaction(const struct smtp_client *c)
{
    return c->state == SMTP_CLIENT_STATE_ENVELOPE || c->state == SMTP_CLIENT_STATE_FINAL;
}

/* A reply of the peer inside a transaction. */
NODISCARD enum smtp_client_step smtp_client_tx_reply(struct smtp_client *c,
                                                     const struct smtp_reply *reply);
/* The dot is on its way: every final reply may be heard from now on. */
void smtp_client_tx_body_sent(struct smtp_client *c);
/* The next transaction becomes the one under way; nothing of it has been heard. */
void smtp_client_tx_go_on(struct smtp_client *c);
/* " BODY=8BITMIME SMTPUTF8", as far as the message needs and this peer knows them. */
void smtp_client_mail_params_put(const struct smtp_client *c, bool has_8bit, bool envelope_8bit,
                                 struct buf *out);
/* True for a recipient that no command line can hold. */
PURE bool smtp_client_unsendable(const struct smtp_client *c, uint32_t recipient);

/* Transport-level failure with an explanation: error is set, recipients that have no outcome get
 * 400 with it. */
NODISCARD enum smtp_client_step smtp_client_fail(struct smtp_client *c, struct slice why,
                                                 struct slice detail);

/* Outcomes. Each keeps a reply and answers its index, to be given to recipients. */
uint32_t smtp_outcome_keep(struct smtp_client *c, const struct smtp_reply *reply,
                           struct smtp_cursor command);
struct smtp_made_up {
    uint16_t code;
    struct smtp_enhanced enhanced;
    struct slice text;
    struct slice detail; /* appended to text */
};
uint32_t smtp_outcome_make(struct smtp_client *c, const struct smtp_made_up *made_up,
                           struct smtp_cursor command);
/* One recipient's final word; the first one stands. */
void smtp_outcome_settle(struct smtp_client *c, uint32_t recipient, uint32_t reply_index);
/* Everybody who has none. */
void smtp_outcome_settle_rest(struct smtp_client *c, uint32_t reply_index);

static inline uint32_t *smtp_client_fates(const struct smtp_client *c)
{
    return (uint32_t *)(void *)c->fates.ptr;
}
