/* NOOP [word] - RFC 5321 4.1.1.9. */
#include "proto/smtp_chars.h"
#include "proto/smtp_server_private.h"

enum smtp_server_step smtp_cmd_noop(struct smtp_server *s, struct slice args)
{
    return smtp_reply(s, chars_word(args, false) == args.len ? SMTP_REPLY_NOOP : SMTP_REPLY_SYNTAX);
}
