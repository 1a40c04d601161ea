/* A message has come in whole: what the protocol can judge alone, then the driver's verdict. */
#include "core/base/check.h"
#include "proto/smtp_server_private.h"

_Static_assert(SMTP_BODY_DOT_LINE == SMTP_DATA_DOT_LINE && SMTP_BODY_8BIT == SMTP_DATA_8BIT &&
                   SMTP_BODY_BARE == SMTP_DATA_BARE &&
                   SMTP_BODY_NO_FINAL_CRLF == SMTP_DATA_NO_FINAL_CRLF &&
                   SMTP_BODY_NUL == SMTP_DATA_NUL && SMTP_BODY_FIXED == SMTP_DATA_FIXED,
               "the decoder's findings are handed out as they are");
#define BODY_FLAGS                                                                                 \
    (SMTP_BODY_DOT_LINE | SMTP_BODY_8BIT | SMTP_BODY_BARE | SMTP_BODY_NO_FINAL_CRLF |              \
     SMTP_BODY_NUL | SMTP_BODY_FIXED)

/* The message is lost but its envelope stands. After chunks RFC 3030 wants a RSET first, since
 * more of them may be on their way. */
static enum smtp_server_step refuse_body(struct smtp_server *s, enum smtp_reply_id why)
{
    smtp_data_free(&s->data);
    smtp_server_enter(s, s->state == SMTP_STATE_CHUNK ? SMTP_STATE_SPOILT : SMTP_STATE_RCPT);
    return smtp_reply_about(s, why, SMTP_ABOUT_DATA, SMTP_AFTER_STAY);
}

enum smtp_server_step smtp_message_complete(struct smtp_server *s)
{
    MUST(s->tx_open && s->tx.recipient_count != 0);
    smtp_data_finish(&s->data);
    if (s->data.flags & SMTP_DATA_TOO_BIG) {
        return refuse_body(s, SMTP_REPLY_TOO_BIG);
    }
    if (s->data.flags & SMTP_DATA_LONG_LINE) {
        return refuse_body(s, SMTP_REPLY_LINE_TOO_LONG);
    }

    /* From here the transaction is used up, whatever becomes of the message. */
    s->messages_read++;
    s->tx_open = false;
    if (s->data.flags & SMTP_DATA_BARE) {
        if (s->limits->invalid_line_endings == SMTP_ENDINGS_DENY) {
            smtp_tx_reset(s);
            smtp_server_enter(s, SMTP_STATE_READY);
            return smtp_reply_about(s, SMTP_REPLY_LINE_ENDINGS, SMTP_ABOUT_DATA, SMTP_AFTER_STAY);
        }
        if (s->limits->invalid_line_endings == SMTP_ENDINGS_FIX) {
            smtp_data_fix(&s->data);
        }
    }
    s->tx.body = s->data.body;
    s->tx.body_flags = s->data.flags & BODY_FLAGS;
    s->data = (struct smtp_data){0};
    smtp_server_enter(s, SMTP_STATE_JUDGE);
    return smtp_ask(s, SMTP_ASK_MESSAGE);
}

enum smtp_server_step smtp_message_answered(struct smtp_server *s, const struct smtp_answer *a)
{
    smtp_tx_reset(s);
    smtp_server_enter(s, SMTP_STATE_READY);
    if (a->code == 0) {
        return smtp_reply_about(s, SMTP_REPLY_MESSAGE, SMTP_ABOUT_DATA, SMTP_AFTER_STAY);
    }
    return smtp_reply_answer(s, a, SMTP_ABOUT_DATA);
}

struct smtp_tx *smtp_server_message(struct smtp_server *s)
{
    MUST(s->ask == SMTP_ASK_MESSAGE);
    return &s->tx;
}
