# Files are listed, never globbed: a new file is a visible decision.
list(APPEND PROTO_SOURCES
  address.c
  domain.c
  domain_idna.c
  smtp_bdat.c
  smtp_chars.c
  smtp_cmd_data.c
  smtp_cmd_ehlo.c
  smtp_cmd_mail.c
  smtp_cmd_noop.c
  smtp_cmd_quit.c
  smtp_cmd_rcpt.c
  smtp_cmd_rset.c
  smtp_cmd_unavailable.c
  smtp_cmd_vrfy.c
  smtp_data.c
  smtp_line.c
  smtp_param.c
  smtp_path.c
  smtp_reply_out.c
  smtp_server.c
  smtp_server_message.c
  smtp_server_reply.c
  smtp_server_state.c
  smtp_verbs.c)
