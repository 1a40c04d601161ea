/* What became of each recipient, what is pending, and the words for both. */
#include <string.h>

#include "proto/smtp_client_private.h"

#define WRITE_MS_MAX (60u * 1000u)
#define NEXT_LINE_MS_MAX (60u * 1000u)

static struct smtp_kept_reply *kept_replies(const struct smtp_client *c)
{
    return (struct smtp_kept_reply *)(void *)c->replies.ptr;
}

static uint32_t kept_count(const struct smtp_client *c)
{
    return (uint32_t)(c->replies.len / sizeof(struct smtp_kept_reply));
}

/* ---- keeping ---- */

/* The head of s, cut before a UTF-8 sequence rather than inside it. */
static struct slice utf8_head(struct slice s, size_t max)
{
    size_t len = max;

    if (s.len <= max) {
        return s;
    }
    while (len != 0 && ((uint8_t)s.ptr[len] & 0xc0) == 0x80) {
        len--;
    }
    return slice_head(s, len);
}

/* Ends the text that begins at text_at, cut where a transaction has heard too much already. */
static uint32_t close_text(struct smtp_client *c, size_t text_at)
{
    struct slice text = slice_from(buf_slice(&c->texts), text_at);

    if (c->texts.len > SMTP_CLIENT_TEXTS_MAX) {
        text = utf8_head(text, SMTP_CLIENT_TEXT_CUT);
        c->texts.len = text_at + text.len;
    }
    return (uint32_t)text.len;
}

static bool same_words(const struct smtp_client *c, const struct smtp_kept_reply *a,
                       const struct smtp_kept_reply *b)
{
    return a->code == b->code && a->command == b->command &&
           a->enhanced.class == b->enhanced.class && a->enhanced.subject == b->enhanced.subject &&
           a->enhanced.detail == b->enhanced.detail &&
           slice_eq(slice_of(c->texts.ptr + a->text_at, a->text_len),
                    slice_of(c->texts.ptr + b->text_at, b->text_len));
}

static uint32_t keep(struct smtp_client *c, struct smtp_kept_reply *kept)
{
    uint32_t count = kept_count(c);

    kept->text_len = close_text(c, kept->text_at);
    /* LMTP answers the same dot several times, mostly with the same words. */
    if (kept->command == SMTP_CLIENT_CMD_DOT && count != 0 &&
        same_words(c, &kept_replies(c)[count - 1], kept)) {
        c->texts.len = kept->text_at;
        return count - 1;
    }
    buf_append(&c->replies, kept, sizeof(*kept));
    return count;
}

uint32_t smtp_outcome_keep(struct smtp_client *c, const struct smtp_reply *reply,
                           struct smtp_cursor command)
{
    struct smtp_kept_reply kept = {.code = reply->code,
                                   .enhanced = smtp_reply_enhanced(reply),
                                   .command = command.cmd,
                                   .command_recipient = command.rcpt_index,
                                   .text_at = (uint32_t)c->texts.len};

    smtp_reply_content_put(&c->texts, reply);
    return keep(c, &kept);
}

uint32_t smtp_outcome_make(struct smtp_client *c, const struct smtp_made_up *made_up,
                           struct smtp_cursor command)
{
    struct smtp_kept_reply kept = {.code = made_up->code,
                                   .enhanced = made_up->enhanced,
                                   .command = command.cmd,
                                   .command_recipient = command.rcpt_index,
                                   .text_at = (uint32_t)c->texts.len};

    buf_put(&c->texts, made_up->text);
    buf_put(&c->texts, made_up->detail);
    return keep(c, &kept);
}

void smtp_outcome_settle(struct smtp_client *c, uint32_t recipient, uint32_t reply_index)
{
    uint32_t *fate = &smtp_client_fates(c)[recipient];
    const struct smtp_kept_reply *reply = &kept_replies(c)[reply_index];

    MUST(recipient < c->tx.recipient_count && reply_index < kept_count(c));
    if (*fate >= SMTP_FATE_REPLY) {
        return;
    }
    if (reply->code < 300) {
        /* The one way to success: the message was written, and then this was said. */
        MUST(reply->command == SMTP_CLIENT_CMD_DOT && *fate == SMTP_FATE_ACCEPTED);
        c->delivered_count++;
    }
    if (*fate == SMTP_FATE_ACCEPTED) {
        c->accepted_count--;
    }
    *fate = SMTP_FATE_REPLY + reply_index;
}

void smtp_outcome_settle_rest(struct smtp_client *c, uint32_t reply_index)
{
    for (uint32_t i = 0; i < c->tx.recipient_count; i++) {
        smtp_outcome_settle(c, i, reply_index);
    }
}

/* ---- reading ---- */

bool smtp_client_outcome(const struct smtp_client *c, uint32_t recipient, struct smtp_outcome *out)
{
    const struct smtp_kept_reply *kept;
    uint32_t fate;

    if (recipient >= c->fates.len / sizeof(uint32_t)) {
        return false;
    }
    fate = smtp_client_fates(c)[recipient];
    if (fate < SMTP_FATE_REPLY) {
        return false;
    }
    kept = &kept_replies(c)[fate - SMTP_FATE_REPLY];
    *out = (struct smtp_outcome){.code = kept->code,
                                 .command = kept->command,
                                 .enhanced = kept->enhanced,
                                 .command_recipient = kept->command_recipient,
                                 .reply_index = fate - SMTP_FATE_REPLY,
                                 .content = slice_of(c->texts.ptr + kept->text_at,
                                                     kept->text_len)};
    return true;
}

static void command_put(const struct smtp_client *c, struct smtp_cursor at, struct buf *out)
{
    static const struct slice words[SMTP_CLIENT_CMD_COUNT] = {
#define SMTP_CLIENT_CMD(name, text, timeout) [SMTP_CLIENT_CMD_##name] = SLICE_INIT(text),
#include "proto/smtp_client_cmd.def"
#undef SMTP_CLIENT_CMD
    };

    if (at.cmd == SMTP_CLIENT_CMD_EHLO) {
        buf_put(out, c->params->lmtp ? SLICE("LHLO ") : SLICE("EHLO "));
        buf_put(out, c->params->ehlo_name);
        return;
    }
    buf_put(out, words[at.cmd]);
    if (at.cmd == SMTP_CLIENT_CMD_MAIL || at.cmd == SMTP_CLIENT_CMD_RCPT) {
        BUF_LIT(out, ":<");
        buf_put(out, at.cmd == SMTP_CLIENT_CMD_MAIL ? c->tx.sender
                                                    : c->tx.recipients[at.rcpt_index]);
        BUF_LIT(out, ">");
    }
    if (at.cmd == SMTP_CLIENT_CMD_MAIL) {
        smtp_client_mail_params_put(c, c->tx.has_8bit, c->envelope_8bit, out);
    }
}

void smtp_client_command_put(const struct smtp_client *c, const struct smtp_outcome *outcome,
                             struct buf *out)
{
    if (outcome->command != SMTP_CLIENT_CMD_NONE) {
        command_put(c, (struct smtp_cursor){outcome->command, outcome->command_recipient}, out);
        BUF_LIT(out, "\r\n");
    }
}

/* ---- pending ---- */

enum smtp_client_cmd smtp_client_pending(const struct smtp_client *c)
{
    if (c->state == SMTP_CLIENT_STATE_FINAL) {
        return SMTP_CLIENT_CMD_DOT;
    }
    return smtp_cursor_before(c->heard, c->sent) ? (enum smtp_client_cmd)c->heard.cmd
                                                 : SMTP_CLIENT_CMD_NONE;
}

static enum smtp_timeout timeout_of(uint8_t cmd)
{
    static const uint8_t classes[SMTP_CLIENT_CMD_COUNT] = {
#define SMTP_CLIENT_CMD(name, text, timeout) [SMTP_CLIENT_CMD_##name] = SMTP_TIMEOUT_##timeout,
#include "proto/smtp_client_cmd.def"
#undef SMTP_CLIENT_CMD
    };
    return (enum smtp_timeout)classes[cmd];
}

enum smtp_timeout smtp_client_timeout(const struct smtp_client *c)
{
    if (c->writing && c->state == SMTP_CLIENT_STATE_FINAL) {
        return SMTP_TIMEOUT_DATA; /* the payload is DATA's, its reply the dot's */
    }
    return timeout_of(smtp_client_pending(c));
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t group_write_ms(const struct smtp_client *c, const uint64_t *class_ms)
{
    uint64_t rcpt_ms = least(class_ms[SMTP_TIMEOUT_RCPT], WRITE_MS_MAX);

    return least(class_ms[SMTP_TIMEOUT_RSET], WRITE_MS_MAX) +
           least(class_ms[SMTP_TIMEOUT_MAIL], WRITE_MS_MAX) + rcpt_ms * c->tx.recipient_count +
           least(class_ms[SMTP_TIMEOUT_DATA], WRITE_MS_MAX);
}

uint64_t smtp_client_total_ms(const struct smtp_client *c,
                              const uint64_t class_ms[SMTP_TIMEOUT_COUNT])
{
    uint64_t ms = class_ms[smtp_client_timeout(c)];

    if (c->writing) {
        return c->state == SMTP_CLIENT_STATE_ENVELOPE && c->pipelined ? group_write_ms(c, class_ms)
                                                                      : least(ms, WRITE_MS_MAX);
    }
    return ms;
}

uint64_t smtp_client_timeout_ms(const struct smtp_client *c,
                                const uint64_t class_ms[SMTP_TIMEOUT_COUNT])
{
    uint64_t ms = smtp_client_total_ms(c, class_ms);

    return !c->writing && c->scan.code != 0 ? least(ms, NEXT_LINE_MS_MAX) : ms;
}

void smtp_client_pending_put(const struct smtp_client *c, struct buf *out)
{
    struct smtp_cursor at = c->heard;

    at.cmd = (uint8_t)smtp_client_pending(c);
    command_put(c, at, out);
}

/* The commands of the write under way: "MAIL FROM:<a@b>, RCPT TO:<c@d>, DATA". */
static void written_put(const struct smtp_client *c, struct buf *out)
{
    struct slice left = buf_slice(&c->out);

    if (c->state == SMTP_CLIENT_STATE_AUTH) {
        smtp_client_pending_put(c, out);
        return;
    }
    while (left.len != 0) {
        size_t end = slice_find_char(left, '\r');

        buf_put(out, slice_head(left, end));
        left = slice_from(left, end + 2);
        if (left.len != 0) {
            BUF_LIT(out, ", ");
        }
    }
}

/* ---- too late ---- */

static void timeout_text_put(const struct smtp_client *c, struct slice duration, struct buf *out)
{
    BUF_LIT(out, "Timed Out waiting ");
    buf_put(out, duration);
    if (c->writing) {
        BUF_LIT(out, " to write ");
        written_put(c, out);
    } else {
        BUF_LIT(out, " for response to ");
        smtp_client_pending_put(c, out);
    }
}

enum smtp_client_step smtp_client_timed_out(struct smtp_client *c, struct slice where,
                                            struct slice duration)
{
    struct buf text = {0};
    struct buf content = {0};
    enum smtp_client_step step;

    if (c->state == SMTP_CLIENT_STATE_QUIT || c->state == SMTP_CLIENT_STATE_OVER) {
        return smtp_client_lost(c, SLICE(""));
    }
    if (c->writing && c->state == SMTP_CLIENT_STATE_FINAL) {
        return smtp_client_fail(c, SLICE("Timed Out sending message payload data"), SLICE(""));
    }
    timeout_text_put(c, duration, &text);
    if (smtp_client_in_transaction(c)) {
        struct smtp_made_up late = {.code = 421,
                                    .enhanced = {4, 4, 2},
                                    .text = SLICE("KumoMTA internal: failed to send message to ")};

        buf_put(&content, where);
        BUF_LIT(&content, ": ");
        buf_put(&content, buf_slice(&text));
        late.detail = buf_slice(&content);
        smtp_outcome_settle_rest(c, smtp_outcome_make(c, &late, c->heard));
    }
    step = smtp_client_fail(c, buf_slice(&text), SLICE(""));
    buf_free(&text);
    buf_free(&content);
    return step;
}
