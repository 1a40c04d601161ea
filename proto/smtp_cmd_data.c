/* DATA - RFC 5321 4.1.1.4. */
#include "proto/smtp_server_private.h"

enum smtp_server_step smtp_cmd_data(struct smtp_server *s, struct slice args)
{
    enum smtp_reply_id out_of_order = smtp_verbs_order(s, SMTP_VERB_DATA);

    if (out_of_order != SMTP_REPLY_NONE) {
        return smtp_reply(s, out_of_order);
    }
    smtp_data_begin(&s->data, s->limits->max_message_size, s->limits->line_length_hard_limit);
    s->tx.by_bdat = false;
    smtp_server_enter(s, SMTP_STATE_DATA);
    return smtp_reply(s, SMTP_REPLY_DATA);
}
