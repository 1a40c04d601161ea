/* RCPT TO:<path> [params] - RFC 5321 4.1.1.3. Parameters are taken and mean nothing. Limits and
 * relaying are the driver's to judge. */
#include "core/base/check.h"
#include "proto/smtp_param.h"
#include "proto/smtp_path.h"
#include "proto/smtp_server_private.h"

static bool params_good(struct slice rest)
{
    struct smtp_param param;
    enum smtp_param_result result;

    do {
        result = smtp_param_next(&rest, &param);
    } while (result == SMTP_PARAM_OK);
    return result == SMTP_PARAM_END;
}

/* The recipient is written where it will stay if it is accepted. */
enum smtp_server_step smtp_cmd_rcpt(struct smtp_server *s, struct slice args)
{
    static const struct slice to = SLICE_INIT("TO:");
    struct buf *list = &s->tx.recipients;
    size_t mark = list->len;
    uint16_t len = 0;
    struct slice rest;
    enum smtp_reply_id refusal = SMTP_REPLY_NONE;

    if (!slice_starts_nocase(args, to)) {
        return smtp_reply(s, SMTP_REPLY_SYNTAX);
    }
    buf_append(list, &len, sizeof(len));
    if (!smtp_path_cut(slice_from(args, to.len), SMTP_PATH_FORWARD, list, &rest)) {
        refusal = SMTP_REPLY_BAD_RECIPIENT;
    } else if (!params_good(rest)) {
        refusal = SMTP_REPLY_SYNTAX;
    } else {
        refusal = smtp_verbs_order(s, SMTP_VERB_RCPT);
    }
    if (refusal != SMTP_REPLY_NONE) {
        list->len = mark;
        return smtp_reply(s, refusal);
    }
    MUST(list->len - mark - sizeof(len) <= ADDRESS_SIZE_MAX);
    len = (uint16_t)(list->len - mark - sizeof(len));
    memcpy(list->ptr + mark, &len, sizeof(len));
    s->rcpt_at = mark;
    return smtp_ask(s, SMTP_ASK_RCPT);
}

enum smtp_server_step smtp_cmd_rcpt_answered(struct smtp_server *s, const struct smtp_answer *a)
{
    struct buf *list = &s->tx.recipients;

    if (a->code != 0) {
        list->len = s->rcpt_at;
        return smtp_reply_answer(s, a, SMTP_ABOUT_LINE);
    }
    s->rcpt_last_at = s->rcpt_at;
    s->tx.recipient_count++;
    if (s->state == SMTP_STATE_MAIL) {
        smtp_server_enter(s, SMTP_STATE_RCPT);
    }
    return smtp_reply_ok_address(s, smtp_server_last_recipient(s));
}
