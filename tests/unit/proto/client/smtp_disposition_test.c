#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/smtp_disposition.h"

#define CMD(name) SMTP_CLIENT_CMD_##name

static const struct {
    const char *name;
    struct smtp_judged judged;
    enum smtp_disposition want;
} rows[] = {
    {"final 250", {250, {0}, CMD(DOT), false, true}, SMTP_DELIVERED},
    {"final 299", {299, {0}, CMD(DOT), false, false}, SMTP_DELIVERED},
    {"250 to RCPT is no delivery", {250, {0}, CMD(RCPT), false, false}, SMTP_TRANSIENT},
    {"250 to DATA is no delivery", {250, {0}, CMD(DATA), false, true}, SMTP_TRANSIENT},
    {"policy says 250", {250, {0}, CMD(RCPT), true, true}, SMTP_DELIVERED},
    {"policy says 550", {550, {0}, CMD(DOT), true, true}, SMTP_BOUNCE},
    {"policy says 452 to RCPT", {452, {0}, CMD(RCPT), true, false}, SMTP_MAYBE_TOO_MANY},
    {"354", {354, {0}, CMD(DOT), false, true}, SMTP_TRANSIENT},
    {"400 of ours", {400, {0}, CMD(NONE), false, true}, SMTP_TRANSIENT},
    {"499", {499, {0}, CMD(MAIL), false, true}, SMTP_TRANSIENT},
    {"500", {500, {0}, CMD(MAIL), false, true}, SMTP_BOUNCE},
    {"503", {503, {5, 5, 1}, CMD(MAIL), false, true}, SMTP_TRANSIENT},
    {"550", {550, {5, 1, 1}, CMD(RCPT), false, false}, SMTP_BOUNCE},
    {"554 of ours", {554, {5, 6, 3}, CMD(NONE), false, true}, SMTP_BOUNCE},
    {"RSET 550", {550, {0}, CMD(RSET), false, true}, SMTP_TRANSIENT},
    {"RSET 450", {450, {0}, CMD(RSET), false, true}, SMTP_TRANSIENT},
    {"RCPT 452 bare, later one", {452, {0}, CMD(RCPT), false, false}, SMTP_MAYBE_TOO_MANY},
    {"RCPT 552 bare, later one", {552, {0}, CMD(RCPT), false, false}, SMTP_MAYBE_TOO_MANY},
    {"RCPT 452 bare, first", {452, {0}, CMD(RCPT), false, true}, SMTP_TRANSIENT},
    {"RCPT 552 bare, first", {552, {0}, CMD(RCPT), false, true}, SMTP_TRANSIENT},
    {"RCPT 452 4.5.3", {452, {4, 5, 3}, CMD(RCPT), false, false}, SMTP_TOO_MANY},
    {"RCPT 550 4.5.3", {550, {4, 5, 3}, CMD(RCPT), false, false}, SMTP_TOO_MANY},
    {"RCPT 550 4.5.3, first", {550, {4, 5, 3}, CMD(RCPT), false, true}, SMTP_TRANSIENT},
    {"RCPT 452 4.2.2", {452, {4, 2, 2}, CMD(RCPT), false, false}, SMTP_TRANSIENT},
    {"RCPT 552 5.2.2", {552, {5, 2, 2}, CMD(RCPT), false, false}, SMTP_BOUNCE},
    {"RCPT 550 5.5.3", {550, {5, 5, 3}, CMD(RCPT), false, false}, SMTP_BOUNCE},
    {"DOT 452 bare", {452, {0}, CMD(DOT), false, false}, SMTP_TRANSIENT},
    {"DOT 552 bare", {552, {0}, CMD(DOT), false, false}, SMTP_BOUNCE},
    {"MAIL 452 4.5.3", {452, {4, 5, 3}, CMD(MAIL), false, false}, SMTP_TRANSIENT},
    {"a code beyond SMTP", {999, {0}, CMD(DOT), true, true}, SMTP_BOUNCE},
};

static void replies_mean_what_the_table_says(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum smtp_disposition got = smtp_disposition(&rows[i].judged);

        if (got != rows[i].want) {
            fail_msg("%s: %d, not %d", rows[i].name, (int)got, (int)rows[i].want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_mean_what_the_table_says),
    };
    return cmocka_run_group_tests_name("proto/smtp_disposition", tests, NULL, NULL);
}
