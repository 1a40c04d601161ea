#include "proto/smtp_server.h"

#include "core/base/check.h"
#include "core/base/mem.h"
#include "proto/smtp_server_private.h"

_Static_assert(sizeof(struct smtp_server) <= 384, "an idle session must cost little");

/* Room for a transaction's addresses that is kept for the next one. */
#define TX_KEEP_CAP 512u

/* ---- life ---- */

struct smtp_server *smtp_server_new(const struct smtp_server_limits *limits)
{
    struct smtp_server *s = MEM_NEW(struct smtp_server);

    MUST(limits != NULL);
    s->limits = limits;
    s->state = SMTP_STATE_CONNECT;
    return s;
}

void smtp_server_free(struct smtp_server **sp)
{
    struct smtp_server *s = *sp;

    if (s == NULL) {
        return;
    }
    smtp_line_free(&s->line);
    smtp_data_free(&s->data);
    buf_free(&s->text);
    buf_free(&s->helo);
    buf_free(&s->helo_asked);
    buf_free(&s->tx.sender);
    buf_free(&s->tx.recipients);
    buf_free(&s->tx.body);
    MEM_FREE(sp);
}

void smtp_server_set_limits(struct smtp_server *s, const struct smtp_server_limits *limits)
{
    MUST(limits != NULL);
    s->limits = limits;
}

/* Empties, but for a little room. */
static void buf_tidy(struct buf *b)
{
    buf_clear(b);
    if (b->cap > TX_KEEP_CAP) {
        buf_free(b);
    }
}

void smtp_tx_reset(struct smtp_server *s)
{
    struct smtp_tx *tx = &s->tx;

    smtp_data_free(&s->data);
    buf_free(&tx->body);
    buf_tidy(&tx->sender);
    buf_tidy(&tx->recipients);
    *tx = (struct smtp_tx){.sender = tx->sender, .recipients = tx->recipients};
    s->tx_open = false;
}

/* ---- questions ---- */

enum smtp_server_step smtp_ask(struct smtp_server *s, enum smtp_ask ask)
{
    MUST(s->hold == SMTP_HOLD_NONE && s->ask == SMTP_ASK_NONE);
    s->hold = SMTP_HOLD_ASK;
    s->ask = (uint8_t)ask;
    if (ask != SMTP_ASK_CONNECT && ask != SMTP_ASK_MESSAGE) {
        smtp_line_keep(&s->line, &s->command);
    }
    return SMTP_SERVER_ASK;
}

/* The recipient that stands at `at` in the list. */
static struct slice recipient_at(const struct smtp_server *s, size_t at)
{
    const char *entry = s->tx.recipients.ptr + at;
    uint16_t len;

    memcpy(&len, entry, sizeof(len));
    return slice_of(entry + sizeof(len), len);
}

struct smtp_question smtp_server_question(const struct smtp_server *s)
{
    struct smtp_question q = {.kind = s->ask};

    switch (q.kind) {
    case SMTP_ASK_HELO:
    case SMTP_ASK_EHLO:
        q.domain = buf_slice(&s->helo_asked);
        break;
    case SMTP_ASK_MAIL:
        q.address = address_split(buf_slice(&s->tx.sender));
        break;
    case SMTP_ASK_RCPT:
        q.address = address_split(recipient_at(s, s->rcpt_at));
        break;
    case SMTP_ASK_NONE:
    case SMTP_ASK_CONNECT:
    case SMTP_ASK_MESSAGE:
        break;
    }
    return q;
}

static enum smtp_server_step connect_answered(struct smtp_server *s, const struct smtp_answer *a)
{
    struct smtp_answer last = *a;
    struct buf *text;

    if (a->code != 0) {
        last.after = a->after == SMTP_AFTER_STAY ? SMTP_AFTER_CLOSE : a->after;
        return smtp_reply_answer(s, &last, SMTP_ABOUT_NOTHING);
    }
    smtp_server_enter(s, SMTP_STATE_READY);
    text = smtp_reply_text(s);
    buf_put(text, s->limits->hostname);
    BUF_LIT(text, " ");
    buf_put(text, s->limits->banner);
    return smtp_reply_send(s, 220, SMTP_ABOUT_NOTHING, SMTP_AFTER_STAY);
}

enum smtp_server_step smtp_server_answer(struct smtp_server *s, const struct smtp_answer *answer,
                                         struct buf *out)
{
    enum smtp_ask ask = s->ask;

    MUST(s->hold == SMTP_HOLD_ASK);
    s->hold = SMTP_HOLD_NONE;
    s->ask = SMTP_ASK_NONE;
    s->out = out;
    switch (ask) {
    case SMTP_ASK_CONNECT:
        return connect_answered(s, answer);
    case SMTP_ASK_HELO:
        return smtp_cmd_helo_answered(s, answer);
    case SMTP_ASK_EHLO:
        return smtp_cmd_ehlo_answered(s, answer);
    case SMTP_ASK_MAIL:
        return smtp_cmd_mail_answered(s, answer);
    case SMTP_ASK_RCPT:
        return smtp_cmd_rcpt_answered(s, answer);
    case SMTP_ASK_MESSAGE:
        return smtp_message_answered(s, answer);
    case SMTP_ASK_NONE:
        break;
    }
    MUST(ask != SMTP_ASK_NONE);
    return SMTP_SERVER_CLOSE;
}

/* ---- input ---- */

enum smtp_server_step smtp_server_start(struct smtp_server *s, struct buf *out)
{
    MUST(s->state == SMTP_STATE_CONNECT);
    s->out = out;
    return smtp_ask(s, SMTP_ASK_CONNECT);
}

static enum smtp_server_step line_take(struct smtp_server *s, struct slice in, size_t *used_out)
{
    struct slice line = {0};

    switch (smtp_line_cut(&s->line, in, s->limits->line_length_hard_limit, &line, used_out)) {
    case SMTP_LINE_MORE:
        return SMTP_SERVER_FEED;
    case SMTP_LINE_OK:
        return smtp_verbs_serve(s, line);
    case SMTP_LINE_TOO_LONG:
        break;
    }
    return smtp_reply_about(s, SMTP_REPLY_LINE_TOO_LONG, SMTP_ABOUT_NOTHING, SMTP_AFTER_STAY);
}

/* One line, the rest of a message, or what there is of it. */
static enum smtp_server_step take(struct smtp_server *s, struct slice in, size_t *used_out)
{
    switch ((enum smtp_server_state)s->state) {
    case SMTP_STATE_DATA:
        return smtp_data_take(&s->data, in, used_out) ? smtp_message_complete(s) : SMTP_SERVER_FEED;
    case SMTP_STATE_CHUNK:
        return smtp_bdat_take(s, in, used_out);
    case SMTP_STATE_CLOSING:
        *used_out = in.len;
        return SMTP_SERVER_CLOSE;
    default:
        MUST(s->state != SMTP_STATE_CONNECT && s->state != SMTP_STATE_JUDGE);
        return line_take(s, in, used_out);
    }
}

enum smtp_server_step smtp_server_feed(struct smtp_server *s, struct slice in, size_t *used_out,
                                       struct buf *out)
{
    size_t used = 0;
    enum smtp_server_step step;

    *used_out = 0;
    if (s->hold == SMTP_HOLD_ASK) {
        return SMTP_SERVER_ASK;
    }
    if (s->hold == SMTP_HOLD_REWRITE) {
        return SMTP_SERVER_REWRITE;
    }
    s->hold = SMTP_HOLD_NONE;
    s->out = out;
    step = s->state == SMTP_STATE_CLOSING ? SMTP_SERVER_CLOSE : SMTP_SERVER_FEED;
    while (step == SMTP_SERVER_FEED && *used_out < in.len) {
        step = take(s, slice_from(in, *used_out), &used);
        *used_out += used;
    }
    if (step == SMTP_SERVER_CLOSE) {
        *used_out = in.len;
    }
    return step;
}

/* ---- endings by the driver ---- */

/* Makes way for the last reply. False: the session is over already. */
static bool end_begins(struct smtp_server *s, struct buf *out)
{
    s->out = out;
    s->hold = SMTP_HOLD_NONE;
    s->ask = SMTP_ASK_NONE;
    return s->state != SMTP_STATE_CLOSING;
}

static enum smtp_server_step end_with(struct smtp_server *s, enum smtp_reply_id id, struct buf *out)
{
    if (!end_begins(s, out)) {
        return SMTP_SERVER_CLOSE;
    }
    return smtp_reply_about(s, id, SMTP_ABOUT_NOTHING, SMTP_AFTER_CLOSE);
}

enum smtp_server_step smtp_server_idle(struct smtp_server *s, struct buf *out)
{
    return end_with(s, SMTP_REPLY_IDLE, out);
}

enum smtp_server_step smtp_server_shutdown(struct smtp_server *s, struct buf *out)
{
    return end_with(s, SMTP_REPLY_SHUTDOWN, out);
}

enum smtp_server_step smtp_server_fail(struct smtp_server *s, struct slice detail, struct buf *out)
{
    struct buf command = {0};

    if (!end_begins(s, out)) {
        return SMTP_SERVER_CLOSE;
    }
    BUF_LIT(&command, "Error in SmtpServerSession: ");
    buf_put(&command, detail);
    s->command = buf_slice(&command);
    smtp_line_free(&s->line);
    smtp_line_keep(&s->line, &s->command);
    buf_free(&command);
    return smtp_reply_about(s, SMTP_REPLY_FAIL, SMTP_ABOUT_LINE, SMTP_AFTER_CLOSE);
}

enum smtp_server_step smtp_server_end(struct smtp_server *s, uint16_t code, struct slice text,
                                      struct buf *out)
{
    struct smtp_answer last = {.code = code, .text = text, .after = SMTP_AFTER_CLOSE};

    if (!end_begins(s, out)) {
        return SMTP_SERVER_CLOSE;
    }
    return smtp_reply_answer(s, &last, SMTP_ABOUT_NOTHING);
}

/* ---- inspection ---- */

enum smtp_server_state smtp_server_state(const struct smtp_server *s)
{
    return s->state;
}

struct slice smtp_server_helo(const struct smtp_server *s)
{
    return buf_slice(&s->helo);
}

bool smtp_server_in_transaction(const struct smtp_server *s)
{
    return s->tx_open;
}

struct slice smtp_server_sender(const struct smtp_server *s)
{
    return s->tx_open ? buf_slice(&s->tx.sender) : (struct slice){0};
}

struct slice smtp_server_last_recipient(const struct smtp_server *s)
{
    bool any = s->tx_open && s->tx.recipient_count != 0;

    return any ? recipient_at(s, s->rcpt_last_at) : (struct slice){0};
}

uint32_t smtp_server_recipient_count(const struct smtp_server *s)
{
    return s->tx_open ? s->tx.recipient_count : 0;
}

uint64_t smtp_server_messages_read(const struct smtp_server *s)
{
    return s->messages_read;
}

size_t smtp_server_body_size(const struct smtp_server *s)
{
    return s->data.body.cap + s->tx.body.cap;
}
