#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/civil.h"
#include "core/base/hex.h"
#include "core/log/record.h"

#define NODE "6f1f0f5e-7a64-4c0f-9a5b-0f6f0a9e1b22"

static const struct log_capture no_capture;

static uint64_t wall(const char *text)
{
    struct civil_moment m;

    assert_true(civil_parse(slice_str(text), &m));
    return (uint64_t)m.s * 1000000000u + m.ns;
}

static void expect_line(const struct log_record *r, const struct log_capture *c, const char *want)
{
    struct record_writer w = {.node_id = SLICE(NODE)};
    struct buf out = {0};

    for (unsigned i = 0; i < 2; i++) { /* the second time from the caches */
        buf_clear(&out);
        record_write_json(&w, r, c, &out);
        buf_char(&out, '\0');
        assert_string_equal(out.ptr, want);
    }
    buf_free(&out);
    record_writer_free(&w);
}

/* The value of one key, up to the next key named. */
static void expect_part(const struct log_record *r, const struct log_capture *c, const char *want)
{
    struct record_writer w = {.node_id = SLICE(NODE)};
    struct buf out = {0};

    record_write_json(&w, r, c, &out);
    buf_char(&out, '\0');
    if (strstr(out.ptr, want) == NULL) {
        fail_msg("%s is not in %s", want, out.ptr);
    }
    buf_free(&out);
    record_writer_free(&w);
}

static struct message *message_of(const char *text)
{
    struct message *m = message_new();
    struct message_ids ids;
    const uint8_t node[6] = {0x52, 0x54, 0, 0xab, 0x12, 0xcd};
    struct buf bytes = {0};

    message_ids_init(&ids, 0, 0, node);
    message_id_next(&ids, wall("2026-02-02T02:40:01.8842134Z"), m->id);
    m->content = message_content_new();
    message_set_sender(m, SLICE("news@brand.test"));
    message_add_recipient(m, SLICE("ann@inbox.test"));
    buf_put(&bytes, slice_str(text));
    message_set_data(m, &bytes);
    return m;
}

static void a_delivery_has_every_key_in_its_place(void **state)
{
    struct message *m = message_of("Subject: Hi\r\n\r\nbody\r\n");
    const struct slice meta[] = {SLICE("tenant")}, headers[] = {SLICE("Subject")};
    const struct log_capture capture = {meta, 1, headers, 1};
    struct buf session = {0};

    assert_true(hex_decode(&session, SLICE("0d8b1f7e40d44c3f8f0b7b0b6d3e2a10")));
    meta_set_string(&m->content->meta, SLICE("tenant"), SLICE("acme"));
    meta_set_string(&m->content->meta, SLICE("reception_protocol"), SLICE("ESMTP"));
    const struct log_record r = {
        .type = LOG_DELIVERY,
        .event_ns = wall("2026-02-02T02:40:03.120458711Z"),
        .message = m,
        .size = 2214,
        .queue = SLICE("spring:acme@inbox.test"),
        .site = SLICE("ip-7->(mx1|mx2).inbox.test@smtp_client"),
        .code = 250,
        .enhanced = {2, 0, 0},
        .content = SLICE("queued as 77AB"),
        .command = SLICE(".\r\n"),
        .peer_name = SLICE("mx1.inbox.test."),
        .peer_addr = SLICE("198.51.100.25"),
        .egress_pool = SLICE("pool-a"),
        .egress_source = SLICE("ip-7"),
        .source_address = SLICE("203.0.113.7:40122"),
        .delivery_protocol = SLICE("ESMTP"),
        .tls_cipher = SLICE("TLS_AES_256_GCM_SHA384"),
        .tls_protocol_version = SLICE("TLSv1.3"),
        .tls_peer_subject_name = SLICE("[\"CN=mx1.inbox.test\"]"),
        .session_id = (const uint8_t *)session.ptr,
    };
    char id[MESSAGE_ID_TEXT + 1] = {0};
    struct buf want = {0};

    message_id_text(m->id, id);
    buf_printf(
        &want,
        "{\"type\":\"Delivery\",\"id\":\"%s\",\"sender\":\"news@brand.test\",\"recipient\":"
        "\"ann@inbox.test\",\"queue\":\"spring:acme@inbox.test\",\"site\":\"ip-7->(mx1|mx2)."
        "inbox.test@smtp_client\",\"size\":2214,\"response\":{\"code\":250,\"enhanced_code\":{"
        "\"class\":2,\"subject\":0,\"detail\":0},\"content\":\"queued as 77AB\",\"command\":\"."
        "\\r\\n\"},\"peer_address\":{\"name\":\"mx1.inbox.test.\",\"addr\":\"198.51.100.25\"},"
        "\"timestamp\":1770000003,\"event_time\":\"2026-02-02T02:40:03.120458711Z\",\"created\":"
        "1770000001,\"created_time\":\"2026-02-02T02:40:01.884213400Z\",\"num_attempts\":0,"
        "\"bounce_classification\":\"Uncategorized\",\"egress_pool\":\"pool-a\",\"egress_source\":"
        "\"ip-7\",\"source_address\":{\"address\":\"203.0.113.7:40122\"},\"feedback_report\":null,"
        "\"meta\":{\"tenant\":\"acme\"},\"headers\":{\"Subject\":\"Hi\"},\"delivery_protocol\":"
        "\"ESMTP\",\"reception_protocol\":\"ESMTP\",\"nodeid\":\"" NODE "\",\"tls_cipher\":"
        "\"TLS_AES_256_GCM_SHA384\",\"tls_protocol_version\":\"TLSv1.3\",\"tls_peer_subject_name\":"
        "[\"CN=mx1.inbox.test\"],\"session_id\":\"0d8b1f7e-40d4-4c3f-8f0b-7b0b6d3e2a10\"}\n",
        id);
    buf_char(&want, '\0');
    expect_line(&r, &capture, want.ptr);
    buf_free(&want);
    buf_free(&session);
    message_free(&m);
}

static void a_rejection_has_no_message_behind_it(void **state)
{
    struct meta conn = {0};
    const struct slice recipient = SLICE("");

    meta_set_string(&conn, SLICE("reception_protocol"), SLICE("ESMTP"));
    const struct log_record r = {
        .type = LOG_REJECTION,
        .event_ns = wall("2026-02-02T02:41:40.000201Z"),
        .sender = SLICE("x@brand.test"),
        .recipients = &recipient,
        .recipient_count = 1,
        .code = 550,
        .enhanced = {5, 7, 1},
        .content = SLICE("relaying not permitted for 192.0.2.9:41022"),
        .command = SLICE("RCPT TO:<y@else.test>"),
        .peer_name = SLICE("probe"),
        .peer_addr = SLICE("192.0.2.9"),
        .meta = &conn,
    };

    expect_line(
        &r, &no_capture,
        "{\"type\":\"Rejection\",\"id\":\"\",\"sender\":\"x@brand.test\",\"recipient\":\"\","
        "\"queue\":\"\",\"site\":\"\",\"size\":0,\"response\":{\"code\":550,\"enhanced_code\":{"
        "\"class\":5,\"subject\":7,\"detail\":1},\"content\":\"relaying not permitted for 192.0.2."
        "9:41022\",\"command\":\"RCPT TO:<y@else.test>\"},\"peer_address\":{\"name\":\"probe\","
        "\"addr\":\"192.0.2.9\"},\"timestamp\":1770000100,\"event_time\":\"2026-02-02T02:41:40."
        "000201Z\",\"created\":1770000100,\"created_time\":\"2026-02-02T02:41:40.000201Z\","
        "\"num_attempts\":0,\"bounce_classification\":\"Uncategorized\",\"egress_pool\":null,"
        "\"egress_source\":null,\"source_address\":null,\"feedback_report\":null,\"meta\":{},"
        "\"headers\":{},\"delivery_protocol\":null,\"reception_protocol\":null,\"nodeid\":\"" NODE
        "\"}\n");
    meta_free(&conn);
}

static void recipients_are_a_string_or_a_list(void **state)
{
    const struct slice two[] = {SLICE("a@x.test"), SLICE("b@x.test")};
    struct log_record r = {.recipients = two, .recipient_count = 2};

    expect_part(&r, &no_capture, ",\"recipient\":[\"a@x.test\",\"b@x.test\"],\"queue\"");
    r.recipient_count = 1;
    expect_part(&r, &no_capture, ",\"recipient\":\"a@x.test\",\"queue\"");
    r.recipients = NULL;
    expect_part(&r, &no_capture, ",\"recipient\":[],\"queue\"");
}

static void line_breaks_in_content_become_spaces(void **state)
{
    static const struct {
        const char *content, *want;
    } cases[] = {
        {"a\r\nb", "\"content\":\"a b\","},
        {"a\nb\rc", "\"content\":\"a b c\","},
        {"a\r\r\nb\n", "\"content\":\"a  b \","},
        {"q\"\\", "\"content\":\"q\\\"\\\\\","},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        expect_part(&(struct log_record){.content = slice_str(cases[i].content)}, &no_capture,
                    cases[i].want);
    }
    expect_part(&(struct log_record){.command = SLICE("a\r\nb")}, &no_capture,
                "\"command\":\"a\\r\\nb\"}");
}

static void optional_parts_appear_when_known(void **state)
{
    expect_part(&(struct log_record){.peer_addr = SLICE("1.2.3.4"), .peer_is_secure = true},
                &no_capture,
                "\"peer_address\":{\"name\":\"\",\"addr\":\"1.2.3.4\",\"is_secure\":true},");
    expect_part(&(struct log_record){0}, &no_capture, "\"peer_address\":null,");
    expect_part(&(struct log_record){.source_address = SLICE("1.2.3.4:0"),
                                     .source_server = SLICE("10.0.0.1:5000"),
                                     .source_protocol = SLICE("haproxy")},
                &no_capture,
                "{\"address\":\"1.2.3.4:0\",\"server\":\"10.0.0.1:5000\","
                "\"protocol\":\"haproxy\"}");
    expect_part(&(struct log_record){.provider_name = SLICE("big")}, &no_capture,
                "\"nodeid\":\"" NODE "\",\"provider_name\":\"big\"}\n");
    expect_part(&(struct log_record){.feedback_report = SLICE("{\"version\":\"1\"}")}, &no_capture,
                "\"feedback_report\":{\"version\":\"1\"},\"meta\":{}");
    expect_part(&(struct log_record){.event_ns = 1770000000000000000}, &no_capture,
                "\"event_time\":\"2026-02-02T02:40:00Z\"");
}

static void metadata_is_captured_by_name_or_prefix(void **state)
{
    struct meta meta = {0};
    const struct slice patterns[] = {SLICE("exact"), SLICE("gone"), SLICE("t*")};
    const struct log_capture capture = {.meta = patterns, .meta_count = 3};
    const struct log_record r = {.meta = &meta};

    meta_set(&meta, SLICE("exact"), SLICE("[1]"));
    meta_set(&meta, SLICE("Exact"), SLICE("1"));
    meta_set(&meta, SLICE("gone"), SLICE("null"));
    meta_set(&meta, SLICE("tone"), SLICE("null"));
    meta_set(&meta, SLICE("t"), SLICE("true"));
    meta_set(&meta, SLICE("other"), SLICE("1"));
    expect_part(&r, &capture, "\"meta\":{\"exact\":[1],\"tone\":null,\"t\":true},");
    meta_free(&meta);
}

static void headers_are_captured_decoded_and_joined_by_name(void **state)
{
    struct message *m =
        message_of("X-A: 1\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\nx-a: 2\r\nTo: a@b\r\n"
                   "x-Folded: a\r\n b\r\nX-Bad: \xff\r\n\r\nX-No: 1\r\n");
    const struct slice patterns[] = {SLICE("subject"), SLICE("X-*"), SLICE("x-a")};
    const struct log_capture capture = {.headers = patterns, .header_count = 3};
    const struct log_record r = {.message = m};

    expect_part(&r, &capture,
                "\"headers\":{\"X-A\":[\"1\",\"2\"],\"Subject\":\"caf\xc3\xa9\","
                "\"x-Folded\":\"a b\",\"X-Bad\":\"\xef\xbf\xbd\"},\"delivery");
    message_prepend_header(m, SLICE("X-KumoRef"), SLICE("ref"));
    expect_part(&r, &capture, "\"headers\":{\"X-KumoRef\":\"ref\",\"X-A\":");
    message_free(&m);
}

/* A message may consist of headers alone: its cost stays in proportion to its size. */
static void a_hundred_thousand_headers_are_captured(void **state)
{
    struct buf text = {0};

    for (unsigned i = 0; i < 100000; i++) {
        buf_printf(&text, "H%u: x\r\n", i % 50000);
    }
    BUF_LIT(&text, "\r\n\0");
    struct message *m = message_of(text.ptr);
    const struct slice all = SLICE("*");
    const struct log_capture capture = {.headers = &all, .header_count = 1};

    expect_part(&(struct log_record){.message = m}, &capture, "\"H49999\":[\"x\",\"x\"]},");
    message_free(&m);
    buf_free(&text);
}

static void types_have_their_names(void **state)
{
    enum log_type type;

    assert_true(log_type_parse(SLICE("DeferredInjectionRebind"), &type));
    assert_int_equal(type, LOG_DEFERRED_INJECTION_REBIND);
    assert_true(log_type_parse(SLICE("OOB"), &type));
    assert_false(log_type_parse(SLICE("Any"), &type));
    assert_false(log_type_parse(SLICE("delivery"), &type));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delivery_has_every_key_in_its_place),
        cmocka_unit_test(a_rejection_has_no_message_behind_it),
        cmocka_unit_test(recipients_are_a_string_or_a_list),
        cmocka_unit_test(line_breaks_in_content_become_spaces),
        cmocka_unit_test(optional_parts_appear_when_known),
        cmocka_unit_test(metadata_is_captured_by_name_or_prefix),
        cmocka_unit_test(headers_are_captured_decoded_and_joined_by_name),
        cmocka_unit_test(a_hundred_thousand_headers_are_captured),
        cmocka_unit_test(types_have_their_names),
    };
    return cmocka_run_group_tests_name("core/log/record", tests, NULL, NULL);
}
