/*
 * smtp_client - the client half of one SMTP or LMTP connection, without any I/O.
 *
 * Replies go in; commands, and what the driver has to do next, come out. The driver's loop:
 *
 *     step = smtp_client_feed(c, in, &used);        bytes arrived
 *     step = smtp_client_sent(c);                   what SEND or SEND_BODY asked for is written
 *     then, until WAIT or an end: act on the step, and feed the rest of the input (or nothing)
 *
 *   WAIT         every byte is used; read more, under smtp_client_timeout()
 *   SEND         write smtp_client_out(), then smtp_client_sent()
 *   READY        connection is set up, or TLS or AUTH done: see smtp_client_capabilities(); feed
 *                the rest first, then smtp_client_begin(), _starttls(), _auth_plain() or _quit()
 *   SEND_BODY    354 was heard: write the message (dot-stuffed, canonical line endings) and
 *                ".\r\n" after it, then smtp_client_sent(). Before that the driver may add the next
 *                message's envelope with smtp_client_follow() and write smtp_client_out() behind
 *                the dot, in the same write
 *   DONE         smtp_client_outcome() of each recipient; the connection is idle again, as READY,
 *                or smtp_client_go_on() turns to the message that followed
 *   TLS          drop unread input, run the handshake, then smtp_client_ehlo()
 *   UNSOLICITED  the peer spoke while nothing was asked of it (smtp_client_error() has the text);
 *                close. No message is harmed
 *   REJECTED     banner, EHLO, STARTTLS or AUTH refused: close, try the next address
 *   FAILED       transport-level failure, smtp_client_error(): close. If a message was under way,
 *                every recipient has its outcome
 *   CLOSED       the peer answered 421, or hung up while idle (then there is no message): close.
 *                If a message was under way, every recipient has its outcome
 *   BYE          QUIT was answered, or the peer hung up after it: close
 *
 * A reply can never get ahead of what was asked: while a write is in flight, input that would
 * make the client stage more is kept, and looked at when smtp_client_sent() is called.
 *
 * There is a transaction under way, and there may be a next one, of which the peer has the
 * envelope, DATA included (RFC 2920, 3.1: content may be the first thing in a group). Until
 * smtp_client_go_on() the next one has not begun: what happens to the connection is no outcome of
 * it, and the replies to it are kept unheard.
 *
 * Owner     the connection's driver; one shard, no locking.
 * Memory    one command buffer and one reply-text buffer, reused from message to message and given
 *           back when a large transaction has swelled them. smtp_client_free() gives back all.
 * Input     borrowed for the duration of the call. Parameters are borrowed for the client's life,
 *           a transaction's addresses until it ended and its outcomes have been read.
 * Clock     none: smtp_client_timeout() names the pending class, the driver arms the timer and
 *           comes back with smtp_client_timed_out().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"
#include "proto/smtp_reply.h"

enum smtp_client_cmd {
#define SMTP_CLIENT_CMD(name, text, timeout) SMTP_CLIENT_CMD_##name,
#include "proto/smtp_client_cmd.def"
#undef SMTP_CLIENT_CMD
    SMTP_CLIENT_CMD_COUNT
};

enum smtp_client_state {
#define SMTP_CLIENT_STATE(name, waits) SMTP_CLIENT_STATE_##name,
#include "proto/smtp_client_states.def"
#undef SMTP_CLIENT_STATE
    SMTP_CLIENT_STATE_COUNT
};

enum smtp_client_step {
    SMTP_CLIENT_WAIT = 0,
    SMTP_CLIENT_SEND,
    SMTP_CLIENT_READY,
    SMTP_CLIENT_SEND_BODY,
    SMTP_CLIENT_DONE,
    SMTP_CLIENT_TLS,
    /* from here on the connection is to be closed */
    SMTP_CLIENT_UNSOLICITED,
    SMTP_CLIENT_REJECTED,
    SMTP_CLIENT_FAILED,
    SMTP_CLIENT_CLOSED,
    SMTP_CLIENT_BYE,
};

enum smtp_timeout {
    SMTP_TIMEOUT_IDLE = 0, /* between messages, and QUIT */
    SMTP_TIMEOUT_BANNER,
    SMTP_TIMEOUT_EHLO,
    SMTP_TIMEOUT_STARTTLS,
    SMTP_TIMEOUT_AUTH,
    SMTP_TIMEOUT_RSET,
    SMTP_TIMEOUT_MAIL,
    SMTP_TIMEOUT_RCPT,
    SMTP_TIMEOUT_DATA,
    SMTP_TIMEOUT_DOT,
    SMTP_TIMEOUT_COUNT
};

/* Reply texts of one transaction are kept in full up to this many bytes; from there on each is cut
 * to SMTP_CLIENT_TEXT_CUT, so that a talkative peer cannot make us hold megabytes. */
#define SMTP_CLIENT_TEXTS_MAX (128u * 1024u)
#define SMTP_CLIENT_TEXT_CUT 512u

#define SMTP_CAN_PIPELINING (1u << 0)
#define SMTP_CAN_8BITMIME (1u << 1)
#define SMTP_CAN_SMTPUTF8 (1u << 2)
#define SMTP_CAN_STARTTLS (1u << 3)

struct smtp_client_params {
    struct slice ehlo_name;
    bool lmtp;               /* LHLO, and one final reply for each accepted recipient */
    bool enable_pipelining;  /* use it where it is advertised */
    bool enable_rset;        /* RSET before the second and later messages */
    bool ignore_8bit_checks; /* send 8-bit content or addresses to peers that do not offer it */
};

struct smtp_transaction {
    struct slice sender;            /* empty for the null sender */
    const struct slice *recipients; /* at least one */
    uint32_t recipient_count;
    bool has_8bit;                  /* head or body have a byte >= 0x80 */
};

/* One end of the pipeline: a command, and which recipient when it is RCPT (or, for LMTP, DOT). */
struct smtp_cursor {
    uint8_t cmd; /* enum smtp_client_cmd */
    uint32_t rcpt_index;
};

/* Public so that it can be a field of its connection; touch it through the functions. */
struct smtp_client {
    const struct smtp_client_params *params;
    struct smtp_transaction tx;
    struct smtp_transaction next; /* while has_next: its envelope is behind tx's dot */
    struct smtp_cursor sent;     /* next to be written */
    struct smtp_cursor heard;    /* next to be answered; never passes `sent` */
    struct smtp_reply_scan scan; /* of what `kept` begins with */
    uint32_t reply_count;        /* heard on this connection */
    struct buf out;              /* commands staged for the write under way */
    struct buf kept;             /* reply bytes that cannot be used yet */
    struct buf texts;            /* contents of the replies that are outcomes */
    struct buf replies;          /* struct smtp_kept_reply[] */
    struct buf fates;            /* uint32_t for each recipient: SMTP_FATE_* or a reply's index */
    struct buf error;
    uint32_t accepted_count;     /* recipients answered 2xx and not yet settled */
    uint32_t delivered_count;    /* recipients settled by a 2xx to the dot */
    uint8_t state;               /* enum smtp_client_state; written by one function */
    uint8_t capabilities;        /* SMTP_CAN_* */
    bool writing;                /* SEND or SEND_BODY handed out, smtp_client_sent() not called */
    bool pipelined;              /* this transaction */
    bool lone_dot;               /* 354 although nobody was accepted */
    bool envelope_8bit;          /* some address of it is not ASCII */
    bool next_8bit;              /* the same of next */
    bool has_next;
    bool has_unsendable;         /* some recipient has a control character and is left out */
    bool used;                   /* a transaction went out on this connection */
    bool rset_needed;            /* the last one did not end in success for everybody */
};

/* `params` is borrowed. The first thing to wait for is the banner. */
void smtp_client_init(struct smtp_client *c, const struct smtp_client_params *params);
void smtp_client_free(struct smtp_client *c);

/* Bytes from the peer; *used_out of them are done with (all of them when the step is WAIT). */
NODISCARD enum smtp_client_step smtp_client_feed(struct smtp_client *c, struct slice in,
                                                 size_t *used_out);
/* The last SEND or SEND_BODY is written in full. */
NODISCARD enum smtp_client_step smtp_client_sent(struct smtp_client *c);
/* The commands to write. Valid and unchanged until smtp_client_sent(). Not to be logged while
 * smtp_client_pending() is AUTH: they hold the credentials then. */
struct slice smtp_client_out(const struct smtp_client *c);

/* ---- what the driver may ask for when the connection is idle, all input fed ---- */

/* SEND; or DONE at once, with outcomes, when the peer cannot take the message (8-bit checks) or
 * no address can be written on a command line; or UNSOLICITED when the peer has begun to say
 * something unasked: then the message is untouched. */
NODISCARD enum smtp_client_step smtp_client_begin(struct smtp_client *c,
                                                  const struct smtp_transaction *tx);
NODISCARD enum smtp_client_step smtp_client_quit(struct smtp_client *c);
NODISCARD enum smtp_client_step smtp_client_starttls(struct smtp_client *c);
/* After the handshake of step TLS, whether it succeeded or is to be forgiven. */
NODISCARD enum smtp_client_step smtp_client_ehlo(struct smtp_client *c);
NODISCARD enum smtp_client_step smtp_client_auth_plain(struct smtp_client *c, struct slice user,
                                                       struct slice password);

/* ---- one transaction after the other in one write ---- */

/* Between SEND_BODY and smtp_client_sent(): whether another envelope may follow the dot. Not where
 * what has to come before it hangs on a reply that is still to be heard: the peer does not do
 * PIPELINING, enable_rset is off, not every recipient was accepted, or LMTP, where one reply too
 * few would be made up from those to the next message. */
PURE bool smtp_client_may_follow(const struct smtp_client *c);
/* Stages RSET, MAIL, RCPT and DATA of the next message, to be written right behind the dot. False,
 * and nothing is staged, when some of it would be refused without asking the peer; the message is
 * for smtp_client_begin() then, which says why. `tx` is borrowed from now on. */
NODISCARD bool smtp_client_follow(struct smtp_client *c, const struct smtp_transaction *tx);
/* After DONE, outcomes read: that message's transaction is under way, as if smtp_client_begin() had
 * been written. Legal exactly when smtp_client_follow() said true and the step was DONE. */
NODISCARD enum smtp_client_step smtp_client_go_on(struct smtp_client *c);

/* ---- what may happen at any time ---- */

/* The socket closed or broke; `why` is for the log, "Not connected" when empty. FAILED; CLOSED
 * when idle or before smtp_client_go_on(); BYE after QUIT. */
NODISCARD enum smtp_client_step smtp_client_lost(struct smtp_client *c, struct slice why);
/* The timer of smtp_client_timeout() went off. `where` is "<ready queue> <peer>" and `duration`
 * e.g. "60s", as they are to appear in the text. FAILED; BYE after QUIT. */
NODISCARD enum smtp_client_step smtp_client_timed_out(struct smtp_client *c, struct slice where,
                                                      struct slice duration);

/* ---- looking at it ---- */

/* The command whose reply (or write) is pending; NONE when idle. */
PURE enum smtp_client_cmd smtp_client_pending(const struct smtp_client *c);
PURE enum smtp_timeout smtp_client_timeout(const struct smtp_client *c);
/* How long the pending write or reply may take from its beginning: a write gets its command's time
 * but at most a minute, a pipelined group the sum of those. A large payload is many writes, each
 * with a beginning of its own. */
PURE uint64_t smtp_client_total_ms(const struct smtp_client *c,
                                   const uint64_t class_ms[SMTP_TIMEOUT_COUNT]);
/* The same for the pending line: a reply whose first line has been heard gets at most a minute
 * for each further one. */
PURE uint64_t smtp_client_timeout_ms(const struct smtp_client *c,
                                     const uint64_t class_ms[SMTP_TIMEOUT_COUNT]);
/* Appends the pending command without its CRLF: "RCPT TO:<a@b>", "initial banner". */
void smtp_client_pending_put(const struct smtp_client *c, struct buf *out);
static inline bool smtp_client_idle(const struct smtp_client *c)
{
    return c->state == SMTP_CLIENT_STATE_IDLE;
}
static inline uint32_t smtp_client_capabilities(const struct smtp_client *c)
{
    return c->capabilities;
}
/* Why the connection is to be closed, on one line; empty before that. */
struct slice smtp_client_error(const struct smtp_client *c);
PURE const char *smtp_client_state_name(const struct smtp_client *c);

/* ---- outcomes: after DONE, FAILED and CLOSED, until the next begin, go_on or free ---- */

struct smtp_outcome {
    uint16_t code;
    uint8_t command;      /* enum smtp_client_cmd it answers; NONE when we made it up */
    struct smtp_enhanced enhanced;
    uint32_t command_recipient; /* whose RCPT it answers, when it answers one */
    uint32_t reply_index; /* recipients with the same one share one reply: one log record */
    struct slice content; /* lines joined with '\n', enhanced code cut off */
};

/* False when no transaction was begun or the recipient has none yet. */
NODISCARD bool smtp_client_outcome(const struct smtp_client *c, uint32_t recipient,
                                   struct smtp_outcome *out);
/* Appends the full command the outcome answers, CRLF included ("RCPT TO:<a@b>\r\n", ".\r\n");
 * nothing when it was made up by us. */
void smtp_client_command_put(const struct smtp_client *c, const struct smtp_outcome *outcome,
                             struct buf *out);
