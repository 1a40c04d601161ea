/* EHLO and HELO - RFC 5321 4.1.1.1. An open transaction stays open, as with the reference. */
#include "proto/domain.h"
#include "proto/smtp_server_private.h"

static enum smtp_server_step greet(struct smtp_server *s, struct slice args, enum smtp_ask ask)
{
    buf_clear(&s->helo_asked);
    if (!domain_put(args, &s->helo_asked)) {
        return smtp_reply(s, SMTP_REPLY_SYNTAX);
    }
    return smtp_ask(s, ask);
}

enum smtp_server_step smtp_cmd_ehlo(struct smtp_server *s, struct slice args)
{
    return greet(s, args, SMTP_ASK_EHLO);
}

enum smtp_server_step smtp_cmd_helo(struct smtp_server *s, struct slice args)
{
    return greet(s, args, SMTP_ASK_HELO);
}

static void greeting_accepted(struct smtp_server *s)
{
    buf_free(&s->helo);
    s->helo = s->helo_asked;
    s->helo_asked = (struct buf){0};
}

/* One line of the reply for each entry; an empty entry is none. */
static void extensions_lines_put(struct slice list, struct buf *text)
{
    while (list.len != 0) {
        size_t len = slice_find_char(list, '\n');

        if (len != 0) {
            buf_char(text, '\n');
            buf_put(text, slice_head(list, len));
        }
        list = slice_from(list, len + 1);
    }
}

enum smtp_server_step smtp_cmd_ehlo_answered(struct smtp_server *s, const struct smtp_answer *a)
{
    struct buf *text;

    if (a->code != 0) {
        buf_free(&s->helo_asked);
        return smtp_reply_answer(s, a, SMTP_ABOUT_LINE);
    }
    greeting_accepted(s);
    text = smtp_reply_text(s);
    buf_put(text, s->limits->hostname);
    BUF_LIT(text, " Aloha ");
    buf_put(text, buf_slice(&s->helo));
    if (a->extensions.ptr != NULL) {
        extensions_lines_put(a->extensions, text);
    } else {
        buf_char(text, '\n');
        smtp_server_extensions_put(s, text);
    }
    return smtp_reply_send(s, 250, SMTP_ABOUT_NOTHING, SMTP_AFTER_STAY);
}

enum smtp_server_step smtp_cmd_helo_answered(struct smtp_server *s, const struct smtp_answer *a)
{
    struct buf *text;

    if (a->code != 0) {
        buf_free(&s->helo_asked);
        return smtp_reply_answer(s, a, SMTP_ABOUT_LINE);
    }
    greeting_accepted(s);
    text = smtp_reply_text(s);
    BUF_LIT(text, "Hello ");
    buf_put(text, buf_slice(&s->helo));
    BUF_LIT(text, "!");
    return smtp_reply_send(s, 250, SMTP_ABOUT_NOTHING, SMTP_AFTER_STAY);
}

void smtp_server_extensions_put(const struct smtp_server *s, struct buf *out)
{
    BUF_LIT(out, "PIPELINING\nENHANCEDSTATUSCODES\n8BITMIME\nSMTPUTF8\nCHUNKING\nSIZE ");
    buf_u64(out, s->limits->max_message_size);
}
