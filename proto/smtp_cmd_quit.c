/* QUIT - RFC 5321 4.1.1.10. */
#include "proto/smtp_server_private.h"

enum smtp_server_step smtp_cmd_quit(struct smtp_server *s, struct slice args)
{
    return smtp_reply_about(s, SMTP_REPLY_QUIT, SMTP_ABOUT_NOTHING, SMTP_AFTER_CLOSE);
}
