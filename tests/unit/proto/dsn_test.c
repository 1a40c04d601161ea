/* Delivery status reports: RFC 3464 as spec "Logs and spool", 12.2 reads it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/attr.h"
#include "core/base/base64.h"
#include "proto/dsn.h"
#include "tests/unit/proto/report_samples.h"

#define DAMAGES 20000u

static void a_report_names_its_recipients(void **state)
{
    const struct dsn_recipient *joe, *ann;
    struct slice content;
    struct dsn d;

    (void)state;
    assert_true(dsn_parse(SLICE(DSN_SAMPLE), &d));
    assert_true(slice_eq(d.fields[DSN_REPORTING_MTA].type, SLICE("dns")));
    assert_true(slice_eq(d.fields[DSN_REPORTING_MTA].text, SLICE("mx.remote.test")));
    assert_int_equal(d.recipient_count, 2);
    joe = &d.recipients[0];
    ann = &d.recipients[1];
    assert_true(joe->failed);
    assert_true(slice_eq(dsn_recipient_address(joe), SLICE("joe.user@alias.test")));
    assert_true(slice_eq(joe->fields[DSN_FINAL_RECIPIENT].text, SLICE("joe@remote.test")));
    assert_int_equal(joe->class, 5);
    assert_int_equal(joe->subject, 1);
    assert_int_equal(joe->detail, 1);
    assert_true(joe->has_attempt && joe->attempt_ns == UINT64_C(880127706000000000));
    assert_int_equal(dsn_response(joe, &content), 550);
    assert_true(slice_eq(content, SLICE("5.1.1 no such user")));
    assert_false(ann->failed || ann->has_attempt);
    assert_true(slice_eq(dsn_recipient_address(ann), SLICE("ann@remote.test")));
    assert_int_equal(dsn_response(ann, &content), 550);
    assert_int_equal(content.len, 0);
    dsn_free(&d);
}

static const struct said_row {
    const char *name, *said, *content;
    uint16_t code;
} said[] = {
    {"a code", "smtp; 421 come back", "come back", 421},
    {"a code alone", "smtp; 552", "", 552},
    {"in capitals", "SMTP; 551 x", "x", 551},
    {"no code", "smtp; user unknown", "user unknown", 550},
    {"another protocol", "x-unix; 42 broken pipe", "42 broken pipe", 550},
    {"no protocol", "554 no", "554 no", 550},
    {"too large a code", "smtp; 99999 x", "99999 x", 550},
};

static void the_response_is_what_the_remote_said(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(said); i++) {
        struct buf text = {0};
        struct slice content;
        struct dsn d;
        uint16_t code;

        buf_printf(&text,
                   REPORT_HEAD("report-type=delivery-status")
                   "--=_b\r\nContent-Type: message/delivery-status\r\n\r\n"
                   "Reporting-MTA: dns; a\r\n\r\nFinal-Recipient: x; y\r\nAction: failed\r\n"
                   "Status: 5.0.0\r\nDiagnostic-Code: %s\r\n--=_b--\r\n",
                   said[i].said);
        assert_true(dsn_parse(buf_slice(&text), &d));
        code = dsn_response(&d.recipients[0], &content);
        if (code != said[i].code || !slice_eq(content, slice_str(said[i].content))) {
            fail_msg("%s: %u \"%.*s\"", said[i].name, code, (int)content.len, content.ptr);
        }
        dsn_free(&d);
        buf_free(&text);
    }
}

#define MTA "Reporting-MTA: dns; a\r\n"
#define WHO "Final-Recipient: rfc822; a@b.test\r\n"
#define WHAT "Action: failed\r\nStatus: 5.0.0\r\n"

static const struct part_row {
    const char *name, *part;
    bool ok;
} parts[] = {
    {"all there", MTA "\r\n" WHO WHAT, true},
    {"LF line ends", "Reporting-MTA: dns; a\n\n\nFinal-Recipient: x; a\nAction: failed\n"
                     "Status: 5.0.0\n", true},
    {"names in any case", "reporting-mta: dns; a\r\n\r\nFINAL-RECIPIENT: rfc822; a@b.test\r\n"
                          "action: failed\r\nstatus: 5.0.0\r\n", true},
    {"nobody", MTA, true},
    {"other kinds of recipients", MTA "\r\nFinal-Recipient: x400; /G=J/S=Doe\r\n" WHAT, true},
    {"unknown fields twice", MTA "X-A: 1\r\nX-A: 2\r\n\r\n" WHO WHAT "X-B: 1\r\nX-B: 1\r\n", true},
    {"nothing", "", false},
    {"no reporting MTA", "Arrival-Date: Fri, 21 Nov 1997 09:00:00 -0600\r\n\r\n" WHO WHAT, false},
    {"no recipient", MTA "\r\n" WHAT, false},
    {"no action", MTA "\r\n" WHO "Status: 5.0.0\r\n", false},
    {"no status", MTA "\r\n" WHO "Action: failed\r\n", false},
    {"the reporting MTA twice", MTA MTA "\r\n" WHO WHAT, false},
    {"the recipient twice", MTA "\r\n" WHO WHO WHAT, false},
    {"an action in capitals", MTA "\r\n" WHO "Action: Failed\r\nStatus: 5.0.0\r\n", false},
    {"an unknown action", MTA "\r\n" WHO "Action: exploded\r\nStatus: 5.0.0\r\n", false},
    {"no address", MTA "\r\nFinal-Recipient: rfc822; nobody\r\n" WHAT, false},
    {"a status of two numbers", MTA "\r\n" WHO "Action: failed\r\nStatus: 5.0\r\n", false},
    {"a status of letters", MTA "\r\n" WHO "Action: failed\r\nStatus: 5.x.0\r\n", false},
    {"a huge status", MTA "\r\n" WHO "Action: failed\r\nStatus: 5.0.99999999999\r\n", false},
    {"a date that is none", MTA "\r\n" WHO WHAT "Last-Attempt-Date: yesterday\r\n", false},
};

static void a_malformed_report_is_no_report(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        struct buf text = {0};
        struct dsn d;
        bool ok;

        buf_printf(&text,
                   REPORT_HEAD("report-type=delivery-status")
                   "--=_b\r\nContent-Type: message/delivery-status\r\n\r\n%s\r\n--=_b--\r\n",
                   parts[i].part);
        ok = dsn_parse(buf_slice(&text), &d);
        if (ok != parts[i].ok) {
            fail_msg("%s: %s", parts[i].name, ok ? "taken" : "refused");
        }
        if (ok) {
            dsn_free(&d);
        }
        buf_free(&text);
    }
}

static void a_report_in_base64_is_one(void **state)
{
    struct buf text = {0};
    struct dsn d;

    (void)state;
    BUF_LIT(&text, REPORT_HEAD("x=y") "--=_b\r\nContent-Transfer-Encoding: base64\r\n"
                                      "Content-Type: message/global-delivery-status\r\n\r\n");
    base64_encode_as(&text, SLICE(DSN_PART), 0);
    BUF_LIT(&text, "\r\n--=_b--\r\n");
    assert_true(dsn_parse(buf_slice(&text), &d));
    assert_int_equal(d.recipient_count, 2);
    dsn_free(&d);
    buf_free(&text);
}

static void what_is_no_multipart_report_is_none(void **state)
{
    struct dsn d;

    (void)state;
    assert_false(dsn_parse(SLICE("Subject: x\r\n\r\n" DSN_PART), &d));
    assert_false(dsn_parse(SLICE("Content-Type: message/delivery-status\r\n\r\n" DSN_PART), &d));
    assert_false(dsn_parse(SLICE(REPORT_HEAD("report-type=delivery-status") REPORT_ORIGINAL), &d));
    assert_false(dsn_parse(SLICE(""), &d));
}

static void too_many_recipients_are_no_report(void **state)
{
    (void)state;
    for (uint32_t count = DSN_RECIPIENTS_MAX; count <= DSN_RECIPIENTS_MAX + 1; count++) {
        struct buf text = {0};
        struct dsn d;
        bool ok;

        BUF_LIT(&text, REPORT_HEAD("x=y")
                "--=_b\r\nContent-Type: message/delivery-status\r\n\r\n" MTA);
        for (uint32_t i = 0; i < count; i++) {
            BUF_LIT(&text, "\r\n" WHO WHAT);
        }
        BUF_LIT(&text, "--=_b--\r\n");
        ok = dsn_parse(buf_slice(&text), &d);
        assert_int_equal(ok, count == DSN_RECIPIENTS_MAX);
        if (ok) {
            dsn_free(&d);
        }
        buf_free(&text);
    }
}

static bool is_inside(struct slice s, const struct buf *whole)
{
    return s.ptr == NULL || s.len == 0 ||
           (s.ptr >= whole->ptr && s.ptr + s.len <= whole->ptr + whole->len);
}

/* Whatever a peer sends: no fault, and what is taken keeps the promises of the header. */
static void damaged_reports_do_no_harm(void **state)
{
    struct prng random = prng_from_seed(0x5eed);
    struct buf text = {0};
    uint32_t taken = 0;

    (void)state;
    for (uint32_t n = 0; n < DAMAGES; n++) {
        struct dsn d;

        sample_damage(&text, SLICE(DSN_SAMPLE), &random);
        if (!dsn_parse(buf_slice(&text), &d)) {
            continue;
        }
        taken++;
        assert_non_null(d.fields[DSN_REPORTING_MTA].text.ptr);
        for (uint32_t i = 0; i < d.recipient_count; i++) {
            struct slice content;

            assert_true(is_inside(dsn_recipient_address(&d.recipients[i]), &d.text.unfolded));
            (void)dsn_response(&d.recipients[i], &content);
            assert_true(is_inside(content, &d.text.unfolded));
        }
        dsn_free(&d);
    }
    assert_in_range(taken, DAMAGES / 50, DAMAGES - DAMAGES / 50); /* both ways were gone */
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_names_its_recipients),
        cmocka_unit_test(the_response_is_what_the_remote_said),
        cmocka_unit_test(a_malformed_report_is_no_report),
        cmocka_unit_test(a_report_in_base64_is_one),
        cmocka_unit_test(what_is_no_multipart_report_is_none),
        cmocka_unit_test(too_many_recipients_are_no_report),
        cmocka_unit_test(damaged_reports_do_no_harm),
    };
    return cmocka_run_group_tests_name("proto/dsn", tests, NULL, NULL);
}
