/*
 * smtp_server - the server half of one SMTP conversation, without any I/O.
 *
 * Bytes go in; replies, message bytes and questions come out. The session never reads a clock,
 * touches a socket, opens a file or calls Lua. The driver (core/ingress) does that:
 *
 *     step = smtp_server_start(s, &out);
 *     for (;;) {
 *         switch (step) {
 *         case SMTP_SERVER_FEED:     bring input (or more);    step = smtp_server_feed(...)
 *         case SMTP_SERVER_ASK:      smtp_server_question(s);  step = smtp_server_answer(...)
 *         case SMTP_SERVER_REWRITE:  smtp_server_reply(s);     step = smtp_server_rewritten(...)
 *         case SMTP_SERVER_REFUSED:  log smtp_server_reply(s); step = smtp_server_feed(...)
 *         case SMTP_SERVER_CLOSE:    send what `out` holds, close
 *         }
 *     }
 *
 * Replies are appended to the `out` given with each call, complete lines only; the driver sends
 * them when it likes, at the latest when it waits for input or for the outside world.
 *
 * Owner     the connection's driver; one session, one shard, no locking.
 * Memory    struct smtp_server, at most 384 bytes, and, while a transaction is open, its addresses
 *           and body. Small buffers are kept between transactions; nothing grows with the number of
 *           messages. A body is bounded by max_message_size, a line by line_length_hard_limit,
 *           recipients by the driver's answers.
 * Input     borrowed for the call; what must outlive it is copied. Nothing is consumed while a
 *           question or a rewrite is open.
 * Errors    none: whatever the peer sends has a reply, whatever policy answers is sendable (texts
 *           are cut at "\n" into lines, other control bytes become spaces, codes outside
 *           200..599 become 451).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/slice.h"
#include "proto/address.h"

struct smtp_server; /* opaque; fields live in smtp_server_private.h */

/* ---- what many sessions share ---- */

/* What becomes of a CR or LF that stands alone in a message. */
enum smtp_line_endings {
    SMTP_ENDINGS_DENY = 0, /* 552 5.6.0 */
    SMTP_ENDINGS_ALLOW,    /* stored untouched */
    SMTP_ENDINGS_FIX,      /* each becomes CRLF */
};

/* Borrowed by the session for its whole life; smtp_server_set_limits() exchanges it. */
struct smtp_server_limits {
    struct slice hostname;
    struct slice banner;
    uint64_t max_message_size;        /* bytes, un-stuffed */
    uint32_t line_length_hard_limit;  /* bytes without CRLF, for commands and message lines */
    uint8_t invalid_line_endings;     /* enum smtp_line_endings */
    bool rewrite_replies;             /* stop with SMTP_SERVER_REWRITE before each reply */
    bool report_refusals;             /* stop with SMTP_SERVER_REFUSED after each 4xx and 5xx */
};

/* ---- steps ---- */

/* What the driver must do next. */
enum smtp_server_step {
    SMTP_SERVER_FEED = 0, /* feed the rest of the input; when all is used, bring more */
    SMTP_SERVER_ASK,      /* a question is open: answer it, now or later */
    SMTP_SERVER_REWRITE,  /* a reply waits to be rewritten: smtp_server_rewritten(), now or later */
    SMTP_SERVER_REFUSED,  /* a 4xx or 5xx was written: look at smtp_server_reply(), then feed */
    SMTP_SERVER_CLOSE,    /* send the replies, then close; the session stays so for ever */
};

/* The states of smtp_server_states.def, for timers, traces and tests. */
enum smtp_server_state {
#define SMTP_STATE(name, waits_for) SMTP_STATE_##name,
#include "proto/smtp_server_states.def"
#undef SMTP_STATE
    SMTP_STATE_COUNT
};

/* ---- questions ---- */

/* One at a time. The comment says what acceptance (answer.code 0) does. */
enum smtp_ask {
    SMTP_ASK_NONE = 0,
    SMTP_ASK_CONNECT, /* 220 and the banner; any other answer closes after its reply */
    SMTP_ASK_HELO,    /* question.domain: 250 Hello */
    SMTP_ASK_EHLO,    /* question.domain: 250 and the extension list, or answer.extensions */
    SMTP_ASK_MAIL,    /* question.address: 250 OK <address>, the transaction opens */
    SMTP_ASK_RCPT,    /* question.address: 250 OK <address>, the recipient is added */
    SMTP_ASK_MESSAGE, /* smtp_server_message(): complete. The answer is the final reply, whatever
                         its code; the transaction is over either way. Code 0 says 250 OK */
};

/* The slices live until the answer. */
struct smtp_question {
    enum smtp_ask kind;
    struct slice domain;    /* HELO, EHLO: normalised, or an address literal with its brackets */
    struct address address; /* MAIL, RCPT */
};

/* What follows the reply. A final code of 421 closes in every mode. */
enum smtp_after {
    SMTP_AFTER_STAY = 0,
    SMTP_AFTER_CLOSE,
    SMTP_AFTER_CLOSE_421, /* "421 {hostname} disconnecting due to previous error", then close */
};

/* Code 0 accepts. Any other code, a 2xx too, is sent as given and undoes the command. */
struct smtp_answer {
    uint16_t code;
    uint8_t after;           /* enum smtp_after */
    struct slice text;       /* without the code; "\n" begins another line of the same reply */
    struct slice extensions; /* EHLO accepted: "\n"-separated list instead of the built-in one;
                                ptr NULL keeps that one, an empty list has a ptr and length 0 */
};

/* ---- the open transaction ---- */

/* Found while the message came in. */
#define SMTP_BODY_DOT_LINE (1u << 0)      /* some line begins with a dot, un-stuffed */
#define SMTP_BODY_8BIT (1u << 1)          /* some byte is >= 0x80 */
#define SMTP_BODY_BARE (1u << 2)          /* some CR or LF stands alone; only with ALLOW */
#define SMTP_BODY_NO_FINAL_CRLF (1u << 3) /* does not end in CRLF (not empty); only by BDAT */
#define SMTP_BODY_NUL (1u << 4)           /* some byte is 0 */
#define SMTP_BODY_FIXED (1u << 5)         /* FIX had something to do */

enum smtp_body_type { SMTP_BODY_UNDECLARED = 0, SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };

/* recipients has the layout of struct message_content: (u16 length in host order, bytes)*.
 * While SMTP_ASK_MESSAGE is open the driver may move sender, recipients and body out, leaving
 * {0}; what it leaves is freed or reused. */
struct smtp_tx {
    struct buf sender;         /* "local@domain"; empty for the null sender */
    struct buf recipients;     /* accepted ones, in order */
    uint32_t recipient_count;
    uint32_t body_flags;       /* SMTP_BODY_* */
    struct buf body;           /* un-stuffed, with its final CRLF */
    uint64_t declared_size;    /* SIZE=, 0 when absent */
    uint8_t body_type;         /* enum smtp_body_type */
    bool smtputf8;             /* SMTPUTF8 was given */
    bool by_bdat;              /* came in chunks */
};

/* ---- replies ---- */

/* The slices live until the next call on the session. */
struct smtp_server_reply {
    uint16_t code;
    struct slice text;    /* as given, before it is cut into lines */
    struct slice command; /* the offending line without CRLF; "DATA" for what answers a message;
                             ptr NULL (nil) for other successes and where no command is answered.
                             Holds no credentials, and is UTF-8 */
};

/* ---- life ---- */

struct smtp_server *smtp_server_new(const struct smtp_server_limits *limits);
void smtp_server_free(struct smtp_server **sp); /* NULL is accepted; clears */
/* From the next command on. Between calls, with no question about EHLO open. */
void smtp_server_set_limits(struct smtp_server *s, const struct smtp_server_limits *limits);

/* Opens SMTP_ASK_CONNECT. Once, first. */
NODISCARD enum smtp_server_step smtp_server_start(struct smtp_server *s, struct buf *out);

/* Takes input. *used_out bytes of it are done with; the step after SMTP_SERVER_FEED has used all.
 * Also continues after SMTP_SERVER_REFUSED, with or without input. While a question or a rewrite
 * is open it uses nothing and repeats the step. */
NODISCARD enum smtp_server_step smtp_server_feed(struct smtp_server *s, struct slice in,
                                                 size_t *used_out, struct buf *out);

/* Answers the open question. The answer's slices are copied. */
NODISCARD enum smtp_server_step smtp_server_answer(struct smtp_server *s,
                                                   const struct smtp_answer *answer,
                                                   struct buf *out);

/* Sends the waiting reply as `code` and `text`; code 0 keeps the code, text.ptr NULL the text.
 * Changes the wire, the report and the closing by 421, never the transaction. */
NODISCARD enum smtp_server_step smtp_server_rewritten(struct smtp_server *s, uint16_t code,
                                                      struct slice text, struct buf *out);

/* Endings by the driver, at any time before SMTP_SERVER_CLOSE: an open question or unwritten reply
 * is dropped, one last 421 is staged, then SMTP_SERVER_CLOSE follows (perhaps after REWRITE and
 * REFUSED). After CLOSE they change nothing. */
NODISCARD enum smtp_server_step smtp_server_idle(struct smtp_server *s, struct buf *out);
NODISCARD enum smtp_server_step smtp_server_shutdown(struct smtp_server *s, struct buf *out);
/* `detail` is for the record only: command "Error in SmtpServerSession: <detail>". */
NODISCARD enum smtp_server_step smtp_server_fail(struct smtp_server *s, struct slice detail,
                                                 struct buf *out);
/* Any other last words, such as "4.3.2 mx the spool is not accepting writes. Try later". */
NODISCARD enum smtp_server_step smtp_server_end(struct smtp_server *s, uint16_t code,
                                                struct slice text, struct buf *out);

/* ---- inspection ---- */

struct smtp_question smtp_server_question(const struct smtp_server *s);
struct smtp_server_reply smtp_server_reply(const struct smtp_server *s); /* REWRITE, REFUSED */
enum smtp_server_state smtp_server_state(const struct smtp_server *s);
const char *smtp_server_state_name(enum smtp_server_state state);

/* The built-in extension list for this session, "\n" between entries; appended. */
void smtp_server_extensions_put(const struct smtp_server *s, struct buf *out);
/* The accepted greeting; empty before it. */
struct slice smtp_server_helo(const struct smtp_server *s);

PURE bool smtp_server_in_transaction(const struct smtp_server *s);
/* Sender of the open transaction and the last accepted recipient, for records; else empty. A
 * transaction is over as soon as its message has been judged, also for SMTP_SERVER_REFUSED. */
struct slice smtp_server_sender(const struct smtp_server *s);
struct slice smtp_server_last_recipient(const struct smtp_server *s);
PURE uint32_t smtp_server_recipient_count(const struct smtp_server *s);
/* The whole message; only while SMTP_ASK_MESSAGE is open. */
struct smtp_tx *smtp_server_message(struct smtp_server *s);
/* Messages read to their end so far, those refused for their line endings included. */
PURE uint64_t smtp_server_messages_read(const struct smtp_server *s);
/* Bytes held in memory for the message coming in, for the shard's staging budget. */
PURE size_t smtp_server_body_size(const struct smtp_server *s);
