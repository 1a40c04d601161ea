list(APPEND NET_SOURCES conn.c listener.c)
