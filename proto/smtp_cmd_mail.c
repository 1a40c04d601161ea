/* MAIL FROM:<path> [params] - RFC 5321 4.1.1.2; SIZE= RFC 1870, BODY= RFC 6152, SMTPUTF8 RFC 6531.
 * Other parameters are taken and mean nothing. */
#include "core/base/check.h"
#include "proto/smtp_param.h"
#include "proto/smtp_path.h"
#include "proto/smtp_server_private.h"

struct mail_params {
    uint64_t size;
    uint8_t body_type; /* enum smtp_body_type */
    bool smtputf8;
    bool binary;
};

/* SIZE=; a number that no variable holds is a big one. */
static bool size_parse(struct slice value, uint64_t *out)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') {
            return false;
        }
    }
    if (!slice_to_u64(value, out)) {
        *out = UINT64_MAX;
    }
    return value.len != 0;
}

static bool body_parse(struct slice value, struct mail_params *p)
{
    p->binary = slice_eq_nocase(value, SLICE("BINARYMIME"));
    if (slice_eq_nocase(value, SLICE("7BIT"))) {
        p->body_type = SMTP_BODY_7BIT;
    } else if (slice_eq_nocase(value, SLICE("8BITMIME"))) {
        p->body_type = SMTP_BODY_8BITMIME;
    } else {
        return p->binary;
    }
    return true;
}

static bool params_parse(struct slice rest, struct mail_params *p)
{
    struct smtp_param param;
    enum smtp_param_result result;

    while ((result = smtp_param_next(&rest, &param)) == SMTP_PARAM_OK) {
        bool good = true;

        if (slice_eq_nocase(param.key, SLICE("SIZE"))) {
            good = size_parse(param.value, &p->size);
        } else if (slice_eq_nocase(param.key, SLICE("BODY"))) {
            good = body_parse(param.value, p);
        } else if (slice_eq_nocase(param.key, SLICE("SMTPUTF8"))) {
            good = param.value.ptr == NULL;
            p->smtputf8 = true;
        }
        if (!good) {
            return false;
        }
    }
    return result == SMTP_PARAM_END;
}

/* The path was appended to tx.sender. Answers why the command is refused, if it is. */
static enum smtp_reply_id judge(struct smtp_server *s, struct slice rest, struct mail_params *p)
{
    enum smtp_reply_id out_of_order = smtp_verbs_order(s, SMTP_VERB_MAIL);

    if (!params_parse(rest, p)) {
        return SMTP_REPLY_SYNTAX;
    }
    if (out_of_order != SMTP_REPLY_NONE) {
        return out_of_order;
    }
    if (p->size > s->limits->max_message_size) {
        return SMTP_REPLY_TOO_BIG;
    }
    return p->binary ? SMTP_REPLY_BINARYMIME : SMTP_REPLY_NONE;
}

enum smtp_server_step smtp_cmd_mail(struct smtp_server *s, struct slice args)
{
    static const struct slice from = SLICE_INIT("FROM:");
    struct buf *sender = &s->tx.sender;
    size_t mark = sender->len; /* an open transaction keeps its sender */
    struct mail_params p = {0};
    struct slice rest;
    enum smtp_reply_id refusal;

    if (!slice_starts_nocase(args, from)) {
        return smtp_reply(s, SMTP_REPLY_SYNTAX);
    }
    if (!smtp_path_cut(slice_from(args, from.len), SMTP_PATH_REVERSE, sender, &rest)) {
        return smtp_reply(s, SMTP_REPLY_BAD_SENDER);
    }
    refusal = judge(s, rest, &p);
    if (refusal != SMTP_REPLY_NONE) {
        sender->len = mark;
        return smtp_reply(s, refusal);
    }
    MUST(mark == 0);
    s->tx.declared_size = p.size;
    s->tx.body_type = p.body_type;
    s->tx.smtputf8 = p.smtputf8;
    return smtp_ask(s, SMTP_ASK_MAIL);
}

enum smtp_server_step smtp_cmd_mail_answered(struct smtp_server *s, const struct smtp_answer *a)
{
    if (a->code != 0) {
        smtp_tx_reset(s);
        return smtp_reply_answer(s, a, SMTP_ABOUT_LINE);
    }
    s->tx_open = true;
    smtp_server_enter(s, SMTP_STATE_MAIL);
    return smtp_reply_ok_address(s, buf_slice(&s->tx.sender));
}
