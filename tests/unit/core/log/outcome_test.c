#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/log/outcome.h"

static const uint8_t session[16] = {0x0d, 0x8b, 0x1f, 0x7e, 0x40, 0xd4, 0x4c, 0x3f};

static struct log_record typical(void)
{
    return (struct log_record){
        .type = LOG_DELIVERY,
        .event_ns = UINT64_C(1770000003120458711),
        .site = SLICE("ip-7->(mx1|mx2).inbox.test@smtp_client"),
        .code = 250,
        .enhanced = {2, 0, 0},
        .content = SLICE("OK queued as 77AB90C3D2"),
        .command = SLICE(".\r\n"),
        .peer_name = SLICE("mx1.inbox.test."),
        .peer_addr = SLICE("198.51.100.25"),
        .egress_pool = SLICE("pool-a"),
        .egress_source = SLICE("ip-7"),
        .source_address = SLICE("203.0.113.7:40122"),
        .delivery_protocol = SLICE("ESMTP"),
        .tls_cipher = SLICE("TLS_AES_256_GCM_SHA384"),
        .tls_protocol_version = SLICE("TLSv1.3"),
        .tls_peer_subject_name = SLICE("[]"),
        .session_id = session,
    };
}

static void expect_same_line(const struct log_record *r)
{
    static const struct log_capture none;
    struct record_writer w = {.node_id = SLICE("n")};
    struct buf blob = {0}, want = {0}, got = {0};
    struct outcome o;

    outcome_put(&blob, r);
    assert_true(outcome_load(buf_slice(&blob), &o));
    record_write_json(&w, r, &none, &want);
    record_write_json(&w, &o.record, &none, &got);
    buf_char(&want, '\0');
    buf_char(&got, '\0');
    assert_string_equal(got.ptr, want.ptr);
    outcome_free(&o);
    buf_free(&blob);
    buf_free(&want);
    buf_free(&got);
    record_writer_free(&w);
}

static void a_record_reads_back_as_it_was(void **state)
{
    const struct slice recipients[] = {SLICE("a@x.test"), SLICE(""), SLICE("c@x.test")};
    struct log_record r = typical();

    expect_same_line(&r);
    r.recipients = recipients;
    r.recipient_count = 3;
    r.num_attempts = 65535;
    r.peer_is_secure = true;
    r.bounce_classification = SLICE("QuotaIssues");
    r.provider_name = SLICE("big");
    r.queue = SLICE("q");
    r.reception_protocol = SLICE("HTTP");
    r.type = LOG_BOUNCE;
    expect_same_line(&r);
    r = (struct log_record){.type = LOG_EXPIRATION, .event_ns = 1};
    expect_same_line(&r);
}

static void addresses_come_back_letter_for_letter(void **state)
{
    static const char *const addrs[] = {
        "198.51.100.25", "2001:db8::1", "[2001:db8::1]:25", "10.0.0.1:0", "2001:DB8::1",
        "2001:db8:0::1", "/run/lmtp.sock", "host.example:25", "", "0.0.0.0", "1.2.3.4:025",
        "::ffff:1.2.3.4",
    };

    for (size_t i = 0; i < ARRAY_COUNT(addrs); i++) {
        struct log_record r = {.peer_addr = slice_str(addrs[i]),
                               .source_address = slice_str(addrs[i])};

        expect_same_line(&r);
    }
}

static void a_typical_delivery_is_small(void **state)
{
    struct log_record r = typical();
    struct buf blob = {0};

    outcome_put(&blob, &r);
    assert_in_range(blob.len, 1, 160);
    buf_free(&blob);
}

static void bytes_that_are_no_outcome_are_refused(void **state)
{
    const struct slice recipients[] = {SLICE("a@x.test")};
    struct log_record r = typical();
    struct buf blob = {0};
    struct outcome o;

    r.recipients = recipients;
    r.recipient_count = 1;
    outcome_put(&blob, &r);
    for (size_t len = 0; len < blob.len; len++) {
        assert_false(outcome_load(slice_of(blob.ptr, len), &o));
        outcome_free(&o);
    }
    buf_char(&blob, 'x');
    assert_false(outcome_load(buf_slice(&blob), &o));
    outcome_free(&o);
    blob.len--;
    for (size_t i = 0; i < blob.len; i++) { /* whatever is read stays inside the bytes */
        for (unsigned flip = 1; flip < 256; flip += 3) {
            blob.ptr[i] = (char)(blob.ptr[i] ^ (char)flip);
            if (outcome_load(buf_slice(&blob), &o)) {
                static const struct log_capture none;
                struct record_writer w = {.node_id = SLICE("n")};
                struct buf line = {0};

                record_write_json(&w, &o.record, &none, &line);
                assert_true(line.len != 0);
                buf_free(&line);
                record_writer_free(&w);
            }
            outcome_free(&o);
            blob.ptr[i] = (char)(blob.ptr[i] ^ (char)flip);
        }
    }
    buf_free(&blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_reads_back_as_it_was),
        cmocka_unit_test(addresses_come_back_letter_for_letter),
        cmocka_unit_test(a_typical_delivery_is_small),
        cmocka_unit_test(bytes_that_are_no_outcome_are_refused),
    };
    return cmocka_run_group_tests_name("core/log/outcome", tests, NULL, NULL);
}
