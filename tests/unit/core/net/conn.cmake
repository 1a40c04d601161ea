unit_test(conn_send_test.c USES net support)
unit_test(conn_test.c USES net support)
unit_test(listener_test.c USES net support)
