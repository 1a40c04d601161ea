# Files are listed, never globbed: a new file is a visible decision.
list(APPEND PROTO_SOURCES
  charset.c
  dns_answer.c
  dot_stuff.c
  header.c
  header_word.c
  route_domain.c
  site_name.c
  smtp_client.c
  smtp_client_outcome.c
  smtp_client_tx.c
  smtp_disposition.c
  smtp_reply.c
  trace.c)
