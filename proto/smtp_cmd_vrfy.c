/* VRFY, EXPN and HELP with no argument or one word - RFC 5321 4.1.1.6 to 4.1.1.8. We tell no
 * stranger which addresses exist. */
#include "proto/smtp_chars.h"
#include "proto/smtp_server_private.h"

enum smtp_server_step smtp_cmd_vrfy(struct smtp_server *s, struct slice args)
{
    bool word = chars_word(args, false) == args.len;

    return smtp_reply(s, word ? SMTP_REPLY_UNIMPLEMENTED : SMTP_REPLY_SYNTAX);
}
