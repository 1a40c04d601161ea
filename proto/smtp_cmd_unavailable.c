/* STARTTLS, AUTH, XCLIENT and LHLO: known by name, served by nobody on this listener. */
#include "proto/smtp_server_private.h"

enum smtp_server_step smtp_cmd_unavailable(struct smtp_server *s, struct slice args)
{
    return smtp_reply(s, SMTP_REPLY_UNIMPLEMENTED);
}
