#include "core/base/check.h"
#include "proto/smtp_reply_out.h"
#include "proto/smtp_server_private.h"

static const struct {
    uint16_t code;
    struct slice text;
} replies[SMTP_REPLY_COUNT] = {
#define SMTP_REPLY(name, code, text) [SMTP_REPLY_##name] = {code, SLICE_INIT(text)},
#include "proto/smtp_server_replies.def"
#undef SMTP_REPLY
};

/* Room for the text of a reply that is kept between commands. */
#define TEXT_KEEP_CAP 512u

struct buf *smtp_reply_text(struct smtp_server *s)
{
    buf_clear(&s->text);
    if (s->text.cap > TEXT_KEEP_CAP) {
        buf_free(&s->text);
    }
    return &s->text;
}

/* Appends a text of the table with the hostname in its place. */
static void text_put(const struct smtp_server *s, struct slice text, struct buf *out)
{
    size_t mark = slice_find_char(text, '$');

    buf_put(out, slice_head(text, mark));
    if (mark != text.len) {
        buf_put(out, s->limits->hostname);
        buf_put(out, slice_from(text, mark + 1));
    }
}

/* The input may be gone when the driver looks at the reply. */
static void command_keep(struct smtp_server *s)
{
    if (s->reply_about == SMTP_ABOUT_LINE) {
        smtp_line_keep(&s->line, &s->command);
    }
}

/* The reply as it finally is goes out; what it entails follows. */
static enum smtp_server_step reply_write(struct smtp_server *s)
{
    bool refusal = s->reply_code >= 400;
    bool closing = s->reply_after != SMTP_AFTER_STAY || s->reply_code == 421;

    smtp_reply_put(s->out, s->reply_code, buf_slice(&s->text));
    if (s->reply_after == SMTP_AFTER_CLOSE_421 && s->reply_code != 421) {
        struct buf follow = {0};

        text_put(s, replies[SMTP_REPLY_FOLLOW].text, &follow);
        smtp_reply_put(s->out, replies[SMTP_REPLY_FOLLOW].code, buf_slice(&follow));
        buf_free(&follow);
    }
    if (closing) {
        smtp_server_enter(s, SMTP_STATE_CLOSING);
    }
    if (refusal && s->limits->report_refusals) {
        s->hold = SMTP_HOLD_REPORT;
        command_keep(s);
        return SMTP_SERVER_REFUSED;
    }
    return closing ? SMTP_SERVER_CLOSE : SMTP_SERVER_FEED;
}

enum smtp_server_step smtp_reply_send(struct smtp_server *s, uint16_t code,
                                      enum smtp_reply_about about, enum smtp_after after)
{
    MUST(s->hold == SMTP_HOLD_NONE);
    s->reply_code = smtp_reply_code(code);
    s->reply_about = (uint8_t)about;
    s->reply_after = (uint8_t)after;
    if (s->limits->rewrite_replies) {
        s->hold = SMTP_HOLD_REWRITE;
        command_keep(s);
        return SMTP_SERVER_REWRITE;
    }
    return reply_write(s);
}

enum smtp_server_step smtp_reply_about(struct smtp_server *s, enum smtp_reply_id id,
                                       enum smtp_reply_about about, enum smtp_after after)
{
    MUST(id != SMTP_REPLY_NONE && id < SMTP_REPLY_COUNT);
    text_put(s, replies[id].text, smtp_reply_text(s));
    return smtp_reply_send(s, replies[id].code, about, after);
}

enum smtp_server_step smtp_reply(struct smtp_server *s, enum smtp_reply_id id)
{
    return smtp_reply_about(s, id, replies[id].code >= 400 ? SMTP_ABOUT_LINE : SMTP_ABOUT_NOTHING,
                            SMTP_AFTER_STAY);
}

enum smtp_server_step smtp_reply_answer(struct smtp_server *s, const struct smtp_answer *answer,
                                        enum smtp_reply_about about)
{
    buf_put(smtp_reply_text(s), answer->text);
    return smtp_reply_send(s, answer->code, about, answer->after);
}

enum smtp_server_step smtp_reply_ok_address(struct smtp_server *s, struct slice address)
{
    struct buf *text = smtp_reply_text(s);

    BUF_LIT(text, "OK <");
    buf_put(text, address);
    BUF_LIT(text, ">");
    return smtp_reply_send(s, 250, SMTP_ABOUT_NOTHING, SMTP_AFTER_STAY);
}

enum smtp_server_step smtp_server_rewritten(struct smtp_server *s, uint16_t code, struct slice text,
                                            struct buf *out)
{
    MUST(s->hold == SMTP_HOLD_REWRITE);
    s->hold = SMTP_HOLD_NONE;
    s->out = out;
    if (code != 0) {
        s->reply_code = smtp_reply_code(code);
    }
    if (text.ptr != NULL) {
        /* The new text may have been made from the old one in place. */
        struct buf rewritten = {0};

        buf_put(&rewritten, text);
        buf_free(&s->text);
        s->text = rewritten;
    }
    return reply_write(s);
}

struct smtp_server_reply smtp_server_reply(const struct smtp_server *s)
{
    struct smtp_server_reply reply = {.code = s->reply_code, .text = buf_slice(&s->text)};

    if (s->reply_about == SMTP_ABOUT_LINE) {
        reply.command = s->command;
    } else if (s->reply_about == SMTP_ABOUT_DATA) {
        reply.command = SLICE("DATA");
    }
    return reply;
}
