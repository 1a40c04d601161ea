/* RSET - RFC 5321 4.1.1.5. Drops the transaction and nothing else. */
#include "proto/smtp_server_private.h"

enum smtp_server_step smtp_cmd_rset(struct smtp_server *s, struct slice args)
{
    smtp_tx_reset(s);
    if (s->state != SMTP_STATE_READY) {
        smtp_server_enter(s, SMTP_STATE_READY);
    }
    return smtp_reply(s, SMTP_REPLY_RSET);
}
