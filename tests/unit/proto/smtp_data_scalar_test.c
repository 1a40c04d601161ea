/* The same promises with the plain loop that machines without SSE2 use. Its decoder is compiled in
 * here and takes the place of the library's. */
#define SMTP_SCAN_SCALAR
#include "proto/smtp_data.c"
#include "tests/unit/proto/smtp_data_test.c"
