#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/base/base64.h"
#include "proto/trace.h"

static const struct trace_received plain = {
    .ehlo = SLICE_INIT("client.example"),
    .peer_ip = SLICE_INIT("127.0.0.1"),
    .hostname = SLICE_INIT("mx.test"),
    .local_ip = SLICE_INIT("127.0.0.2"),
    .id = SLICE_INIT("3b1c9e0a71f211f0a2c4525400ab12cd"),
    .recipient = SLICE_INIT("rcpt@example.com"),
    .date = SLICE_INIT("Mon, 2 Feb 2026 02:40:03 +0000"),
};

static void expect_received(const struct trace_received *t, const char *want)
{
    struct buf out = {0};

    trace_received_put(&out, t);
    buf_char(&out, 0);
    assert_string_equal(out.ptr, want);
    buf_free(&out);
}

static void received_has_these_bytes(void **state)
{
    struct trace_received t = plain;

    expect_received(&t, "Received: from client.example (127.0.0.1)\r\n"
                        "  by mx.test (KumoMTA 127.0.0.2) \r\n"
                        "  with ESMTP id 3b1c9e0a71f211f0a2c4525400ab12cd for "
                        "<rcpt@example.com>;\r\n"
                        "  Mon, 2 Feb 2026 02:40:03 +0000\r\n");
    t.is_authenticated = true; /* without TLS it does not show */
    t.ehlo = SLICE("");
    expect_received(&t, "Received: from unspecified (127.0.0.1)\r\n"
                        "  by mx.test (KumoMTA 127.0.0.2) \r\n"
                        "  with ESMTP id 3b1c9e0a71f211f0a2c4525400ab12cd for "
                        "<rcpt@example.com>;\r\n"
                        "  Mon, 2 Feb 2026 02:40:03 +0000\r\n");
}

static void received_tells_tls(void **state)
{
    struct trace_received t = plain;

    t.tls_version = SLICE("TLSv1_3");
    t.tls_cipher = SLICE("TLS13_AES_256_GCM_SHA384");
    expect_received(&t, "Received: from client.example (127.0.0.1)\r\n"
                        "  by mx.test (KumoMTA 127.0.0.2) \r\n"
                        "  with ESMTPS (TLSv1_3:TLS13_AES_256_GCM_SHA384)  id "
                        "3b1c9e0a71f211f0a2c4525400ab12cd for <rcpt@example.com>;\r\n"
                        "  Mon, 2 Feb 2026 02:40:03 +0000\r\n");
    t.is_authenticated = true;
    expect_received(&t, "Received: from client.example (127.0.0.1)\r\n"
                        "  by mx.test (KumoMTA 127.0.0.2) \r\n"
                        "  with ESMTPSA (TLSv1_3:TLS13_AES_256_GCM_SHA384)  id "
                        "3b1c9e0a71f211f0a2c4525400ab12cd for <rcpt@example.com>;\r\n"
                        "  Mon, 2 Feb 2026 02:40:03 +0000\r\n");
}

static void the_supplemental_header_is_the_documented_one(void **state)
{
    const struct slice recipient = SLICE("recip@example.com");
    struct trace_supplemental t = {.header_name = SLICE("X-KumoRef"), .recipients = &recipient,
                                   .recipient_count = 1};
    struct buf out = {0}, scratch = {0};

    trace_supplemental_put(&out, &t, &scratch);
    assert_true(slice_eq(
        buf_slice(&out),
        SLICE("X-KumoRef: eyJfQF8iOiJcXF8vIiwicmVjaXBpZW50IjoicmVjaXBAZXhhbXBsZS5jb20ifQ==\r\n")));
    buf_free(&out);
    buf_free(&scratch);
}

static void keys_stand_in_byte_order(void **state)
{
    static const struct trace_meta metas[] = {
        {SLICE_INIT("Zone"), SLICE_INIT("null")},       {SLICE_INIT("_@_"), SLICE_INIT("1")},
        {SLICE_INIT("campaign"), SLICE_INIT("\"c\\\"1\"")},
        {SLICE_INIT("recipient"), SLICE_INIT("2")},
        {SLICE_INIT("tenant"), SLICE_INIT("[1,2]")},
    };
    const struct slice recipients[] = {SLICE("a@x"), SLICE("\"q q\"@x")};
    struct trace_supplemental t = {.header_name = SLICE("X"), .recipients = recipients,
                                   .recipient_count = 2, .metas = metas, .meta_count = 5};
    struct buf out = {0}, scratch = {0};

    trace_supplemental_put(&out, &t, &scratch);
    buf_char(&scratch, 0);
    assert_string_equal(scratch.ptr,
                        "{\"Zone\":null,\"_@_\":\"\\\\_/\",\"campaign\":\"c\\\"1\","
                        "\"recipient\":[\"a@x\",\"\\\"q q\\\"@x\"],\"tenant\":[1,2]}");
    buf_free(&out);
    buf_free(&scratch);
}

/* Lines of at most 75, never an empty one, and together the base64 of the JSON. */
static void long_values_are_cut_every_75_characters(void **state)
{
    char address[400];

    memset(address, 'a', sizeof(address));
    for (size_t len = 1; len < sizeof(address); len++) {
        const struct slice recipient = slice_of(address, len);
        struct trace_supplemental t = {.header_name = SLICE("X"), .recipients = &recipient,
                                       .recipient_count = 1};
        struct buf out = {0}, scratch = {0}, joined = {0}, decoded = {0};
        struct slice value;

        trace_supplemental_put(&out, &t, &scratch);
        assert_true(slice_starts(buf_slice(&out), SLICE("X: ")));
        assert_true(slice_ends(buf_slice(&out), SLICE("\r\n")));
        value = slice_of(out.ptr + 3, out.len - 5);
        for (;;) {
            size_t cr = slice_find_char(value, '\r');

            assert_in_range(cr, 1, 75);
            buf_put(&joined, slice_head(value, cr));
            if (cr == value.len) {
                break;
            }
            assert_int_equal(cr, 75);
            value = slice_from(value, cr);
            assert_true(slice_starts(value, SLICE("\r\n\t")));
            value = slice_from(value, 3);
        }
        assert_true(base64_decode_as(&decoded, buf_slice(&joined), 0));
        assert_true(slice_eq(buf_slice(&decoded), buf_slice(&scratch)));
        buf_free(&out);
        buf_free(&scratch);
        buf_free(&joined);
        buf_free(&decoded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(received_has_these_bytes),
        cmocka_unit_test(received_tells_tls),
        cmocka_unit_test(the_supplemental_header_is_the_documented_one),
        cmocka_unit_test(keys_stand_in_byte_order),
        cmocka_unit_test(long_values_are_cut_every_75_characters),
    };
    return cmocka_run_group_tests_name("proto/trace", tests, NULL, NULL);
}
