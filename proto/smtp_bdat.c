/* BDAT size [LAST] - RFC 3030 2.
 *
 * The octets come whether we want them or not, since the peer sends them without waiting. So the
 * line is judged first, then the octets are taken or dropped, then comes the reply: octets that
 * were taken for commands would let the author of a message give orders in its sender's name.
 */
#include "core/base/check.h"
#include "proto/smtp_chars.h"
#include "proto/smtp_server_private.h"

static size_t digits_span(struct slice s)
{
    size_t n = 0;

    while (n < s.len && s.ptr[n] >= '0' && s.ptr[n] <= '9') {
        n++;
    }
    return n;
}

/* After the size: nothing, or blanks and LAST. */
static bool last_parse(struct slice rest, bool *last_out)
{
    size_t blanks = chars_span(rest, CHAR_BLANK);
    bool last = blanks != 0 && slice_eq_nocase(slice_from(rest, blanks), SLICE("LAST"));

    *last_out = last;
    return last || rest.len == 0;
}

/* True: a part of a message stands or stood, so that losing a chunk spoils the whole of it. */
static bool in_message(const struct smtp_server *s)
{
    return s->state == SMTP_STATE_RCPT || s->state == SMTP_STATE_CHUNKS ||
           s->state == SMTP_STATE_SPOILT;
}

/* The line does not say how many octets follow. A word in place of the size is most likely a person
 * typing; a size beyond all sizes comes with octets that cannot be told from commands. */
static enum smtp_server_step refuse_unsized(struct smtp_server *s, bool typed)
{
    if (!typed) {
        return smtp_reply_about(s, SMTP_REPLY_TOO_BIG, SMTP_ABOUT_LINE, SMTP_AFTER_CLOSE);
    }
    if (in_message(s) && s->state != SMTP_STATE_SPOILT) {
        smtp_data_free(&s->data);
        smtp_server_enter(s, SMTP_STATE_SPOILT);
    }
    return smtp_reply(s, SMTP_REPLY_SYNTAX);
}

static enum smtp_server_step chunk_end(struct smtp_server *s)
{
    struct buf *text;

    if (s->chunk.refusal != SMTP_REPLY_NONE) {
        smtp_server_enter(s, s->chunk.back);
        return smtp_reply(s, s->chunk.refusal);
    }
    if (s->chunk.last) {
        return smtp_message_complete(s);
    }
    smtp_server_enter(s, SMTP_STATE_CHUNKS);
    text = smtp_reply_text(s);
    BUF_LIT(text, "OK ");
    buf_u64(text, s->chunk.size);
    BUF_LIT(text, " octets received");
    return smtp_reply_send(s, 250, SMTP_ABOUT_NOTHING, SMTP_AFTER_STAY);
}

/* What is wrong with a chunk of known size, if anything is. Begins the message with its first. */
static enum smtp_reply_id chunk_judge(struct smtp_server *s, uint64_t size, bool well_formed)
{
    enum smtp_reply_id out_of_order = smtp_verbs_order(s, SMTP_VERB_BDAT);

    if (!well_formed) {
        return SMTP_REPLY_SYNTAX;
    }
    if (out_of_order != SMTP_REPLY_NONE) {
        return out_of_order;
    }
    if (s->state == SMTP_STATE_RCPT) {
        smtp_data_begin(&s->data, s->limits->max_message_size, s->limits->line_length_hard_limit);
        s->tx.by_bdat = true;
    }
    return size > s->data.size_max - s->data.body.len ? SMTP_REPLY_TOO_BIG : SMTP_REPLY_NONE;
}

enum smtp_server_step smtp_cmd_bdat(struct smtp_server *s, struct slice args)
{
    size_t digits = digits_span(args);
    bool last = false;
    bool well_formed = last_parse(slice_from(args, digits), &last);
    uint64_t size = 0;
    enum smtp_reply_id refusal;

    if (digits == 0 || !slice_to_u64(slice_head(args, digits), &size)) {
        return refuse_unsized(s, digits == 0);
    }
    refusal = chunk_judge(s, size, well_formed);
    s->chunk = (struct smtp_chunk){
        .size = size,
        .left = size,
        .last = last,
        .refusal = (uint8_t)refusal,
        .back = in_message(s) ? SMTP_STATE_SPOILT : s->state,
    };
    if (refusal != SMTP_REPLY_NONE) {
        smtp_data_free(&s->data);
    }
    smtp_line_keep(&s->line, &s->command);
    smtp_server_enter(s, SMTP_STATE_CHUNK);
    return size == 0 ? chunk_end(s) : SMTP_SERVER_FEED;
}

enum smtp_server_step smtp_bdat_take(struct smtp_server *s, struct slice in, size_t *used_out)
{
    struct slice octets = in.len < s->chunk.left ? in : slice_head(in, (size_t)s->chunk.left);

    MUST(s->state == SMTP_STATE_CHUNK && s->chunk.left != 0);
    if (s->chunk.refusal == SMTP_REPLY_NONE) {
        smtp_data_take_raw(&s->data, octets);
    }
    *used_out = octets.len;
    s->chunk.left -= octets.len;
    return s->chunk.left == 0 ? chunk_end(s) : SMTP_SERVER_FEED;
}
