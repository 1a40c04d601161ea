/* Feedback reports: RFC 5965 as spec "Logs and spool", 12.3 writes it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/attr.h"
#include "core/base/json.h"
#include "proto/arf.h"
#include "tests/unit/proto/report_samples.h"

#define DAMAGES 20000u

static void assert_report(const char *name, struct slice message, const char *wanted)
{
    struct buf out = {0};
    bool ok = arf_put_json(message, &out);

    if (ok != (wanted != NULL) || (ok && !slice_eq(buf_slice(&out), slice_str(wanted)))) {
        fail_msg("%s: %.*s", name, (int)out.len, out.ptr != NULL ? out.ptr : "");
    }
    buf_free(&out);
}

static void a_report_is_written_key_by_key(void **state)
{
    (void)state;
    assert_report("the sample", SLICE(ARF_SAMPLE),
                  "{\"feedback_type\":\"abuse\",\"user_agent\":\"SomeGenerator/1.0\","
                  "\"version\":\"0.1\",\"arrival_date\":\"2005-03-08T18:00:00Z\",\"incidents\":3,"
                  "\"original_envelope_id\":null,"
                  "\"original_mail_from\":\"somespammer@example.net\","
                  "\"reporting_mta\":{\"mta_type\":\"dns\",\"name\":\"mail.example.com\"},"
                  "\"source_ip\":\"192.0.2.1\",\"authentication_results\":[],"
                  "\"original_rcpto_to\":[\"user@example.com\"],"
                  "\"reported_domain\":[\"example.net\"],"
                  "\"reported_uri\":[\"http://example.net/a\",\"mailto:user@example.com\"],"
                  "\"extensions\":{\"x-extra\":[\"one\",\"two\"]},"
                  "\"original_message\":\"X-KumoRef: eyJfQF8iOiJcXF8vIiwicmVjaXBpZW50IjoicmVjaXBA"
                  "\\n\\tZXhhbXBsZS5jb20ifQ==\\nSubject: the original\\n\\nbody\","
                  "\"supplemental_trace\":{\"recipient\":\"recip@example.com\"}}");
}

#define REPORT(part)                                                                               \
    SLICE_INIT(REPORT_HEAD("report-type=\"Feedback-Report\"")                                      \
               "--=_b\r\nContent-Type: message/feedback-report\r\n\r\n" part "\r\n--=_b--\r\n")
#define MUST_HAVE "Feedback-Type: abuse\r\nUser-Agent: a\r\nVersion: 1\r\n"

static const struct refused_row {
    const char *name;
    struct slice message;
} refused[] = {
    {"no type", REPORT("User-Agent: a\r\nVersion: 1\r\n")},
    {"no agent", REPORT("Feedback-Type: abuse\r\nVersion: 1\r\n")},
    {"no version", REPORT("Feedback-Type: abuse\r\nUser-Agent: a\r\n")},
    {"version twice", REPORT(MUST_HAVE "Version: 2\r\n")},
    {"incidents that are no number", REPORT(MUST_HAVE "Incidents: many\r\n")},
    {"an empty part", REPORT("")},
    {"a report of another kind", SLICE_INIT(DSN_SAMPLE)},
    {"no part of its kind",
     SLICE_INIT(REPORT_HEAD("report-type=feedback-report") REPORT_ORIGINAL)},
    {"no multipart", SLICE_INIT("Subject: x\r\n\r\n" ARF_PART)},
    {"nothing", SLICE_INIT("")},
};

static void a_malformed_report_is_no_report(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        assert_report(refused[i].name, refused[i].message, NULL);
    }
}

/* What of the report stands between two keys. */
static void assert_part(const char *name, struct slice message, const char *wanted)
{
    struct buf out = {0};

    assert_true(arf_put_json(message, &out));
    buf_char(&out, '\0');
    if (strstr(out.ptr, wanted) == NULL) {
        fail_msg("%s: %s", name, out.ptr);
    }
    buf_free(&out);
}

static void what_cannot_be_read_is_null(void **state)
{
    static const struct slice bad_date = REPORT(MUST_HAVE "Arrival-Date: some day\r\n");
    static const struct slice both = REPORT(MUST_HAVE "Received-Date: 1 Jan 2001 00:00 +0000\r\n"
                                                      "Arrival-Date: 2 Jan 2001 00:00 +0000\r\n");
    static const struct slice bare = REPORT(MUST_HAVE);

    (void)state;
    assert_part("a bad date", bad_date, "\"arrival_date\":null");
    assert_part("both dates", both, "\"arrival_date\":\"2001-01-02T00:00:00Z\"");
    assert_part("no original", bare, "\"original_message\":null,\"supplemental_trace\":null}");
    assert_part("no extensions", bare, "\"extensions\":{}");
}

static void a_trace_that_is_not_ours_is_passed_over(void **state)
{
    static const struct slice message = SLICE_INIT(
        REPORT_HEAD("report-type=feedback-report")
        "--=_b\r\nContent-Type: message/feedback-report\r\n\r\n" MUST_HAVE
        "\r\n--=_b\r\nContent-Type: text/rfc822-headers\r\n\r\n"
        "X-A: not base64!\r\n"
        "X-B: W10=\r\n"                             /* [] */
        "X-C: eyJhIjoxfQ==\r\n"                     /* {"a":1} */
        "X-D: eyJfQF8iOiJvdGhlciJ9\r\n"             /* {"_@_":"other"} */
        "Y-E: eyJfQF8iOiJcXF8vIn0=\r\n"             /* ours, under a wrong name */
        "x-f: eyJfQF8iOiJcXF8vIiwiYSI6WzEsMl19\r\n" /* {"_@_":"\\_/","a":[1,2]} */
        "--=_b--\r\n");

    (void)state;
    assert_part("the last one", message, "\"supplemental_trace\":{\"a\":[1,2]}}");
}

static void too_many_fields_are_no_report(void **state)
{
    struct buf text = {0}, out = {0};

    (void)state;
    BUF_LIT(&text, REPORT_HEAD("report-type=feedback-report")
            "--=_b\r\nContent-Type: message/feedback-report\r\n\r\n" MUST_HAVE);
    for (uint32_t i = 3; i < ARF_FIELDS_MAX; i++) {
        buf_printf(&text, "X-%u: y\r\n", i);
    }
    assert_true(arf_put_json(buf_slice(&text), &out));
    BUF_LIT(&text, "X-More: y\r\n");
    buf_clear(&out);
    assert_false(arf_put_json(buf_slice(&text), &out));
    assert_int_equal(out.len, 0);
    buf_free(&text);
    buf_free(&out);
}

/* Whatever a peer sends: no fault, and what is written is one JSON object. */
static void damaged_reports_do_no_harm(void **state)
{
    struct prng random = prng_from_seed(0x5eed);
    struct buf text = {0}, out = {0}, why = {0};
    uint32_t taken = 0;

    (void)state;
    for (uint32_t n = 0; n < DAMAGES; n++) {
        struct json_doc doc = {0};

        sample_damage(&text, SLICE(ARF_SAMPLE), &random);
        buf_clear(&out);
        if (!arf_put_json(buf_slice(&text), &out)) {
            assert_int_equal(out.len, 0);
            continue;
        }
        taken++;
        if (!json_parse(buf_slice(&out), 0, &doc, &why)) {
            fail_msg("%.*s: %.*s", (int)why.len, why.ptr, (int)out.len, out.ptr);
        }
        assert_int_equal(doc.root->type, JSON_OBJECT);
        assert_int_equal(doc.root->count, 16);
        json_doc_free(&doc);
    }
    assert_in_range(taken, DAMAGES / 50, DAMAGES - DAMAGES / 50);
    buf_free(&text);
    buf_free(&out);
    buf_free(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_is_written_key_by_key),
        cmocka_unit_test(a_malformed_report_is_no_report),
        cmocka_unit_test(what_cannot_be_read_is_null),
        cmocka_unit_test(a_trace_that_is_not_ours_is_passed_over),
        cmocka_unit_test(too_many_fields_are_no_report),
        cmocka_unit_test(damaged_reports_do_no_harm),
    };
    return cmocka_run_group_tests_name("proto/arf", tests, NULL, NULL);
}
