#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/base/prng.h"
#include "proto/dns_answer.h"

/* ---- a packet by hand ---- */

static void put_u16(struct buf *b, unsigned v)
{
    buf_char(b, (char)(v >> 8));
    buf_char(b, (char)v);
}

static void put_u32(struct buf *b, uint32_t v)
{
    put_u16(b, v >> 16);
    put_u16(b, v & 0xffff);
}

/* "a.b" without escapes; "" is the root. "@12" is a pointer, also after labels: "a.@12". */
static void put_name(struct buf *b, const char *text)
{
    struct slice left = slice_str(text);

    while (left.len != 0) {
        size_t n = slice_find_char(left, '.');
        uint64_t target;

        if (left.ptr[0] == '@') {
            assert_true(slice_to_u64(slice_from(left, 1), &target));
            put_u16(b, 0xc000u | (unsigned)target);
            return;
        }
        buf_char(b, (char)n);
        buf_append(b, left.ptr, n);
        left = slice_from(left, n + 1);
    }
    buf_char(b, 0);
}

static void put_head(struct buf *b, unsigned flags, unsigned answers, unsigned authority,
                     const char *name, enum dns_type type)
{
    put_u16(b, 0x1234);
    put_u16(b, flags);
    put_u16(b, 1);
    put_u16(b, answers);
    put_u16(b, authority);
    put_u16(b, 0);
    put_name(b, name);
    put_u16(b, type);
    put_u16(b, 1);
}

static void put_record(struct buf *b, const char *name, enum dns_type type, uint32_t ttl_s,
                       const void *data, size_t len)
{
    put_name(b, name);
    put_u16(b, type);
    put_u16(b, 1);
    put_u32(b, ttl_s);
    put_u16(b, (unsigned)len);
    buf_append(b, data, len);
}

static void put_name_record(struct buf *b, const char *name, enum dns_type type, uint32_t ttl_s,
                            const char *target)
{
    struct buf data = {0};

    put_name(&data, target);
    put_record(b, name, type, ttl_s, data.ptr, data.len);
    buf_free(&data);
}

static void put_mx(struct buf *b, const char *name, uint32_t ttl_s, unsigned preference,
                   const char *host)
{
    struct buf data = {0};

    put_u16(&data, preference);
    put_name(&data, host);
    put_record(b, name, DNS_MX, ttl_s, data.ptr, data.len);
    buf_free(&data);
}

static void put_soa(struct buf *b, const char *name, uint32_t ttl_s, uint32_t minimum)
{
    struct buf data = {0};

    put_name(&data, "ns");
    put_name(&data, "who");
    for (int i = 0; i < 4; i++) {
        put_u32(&data, 7);
    }
    put_u32(&data, minimum);
    put_record(b, name, DNS_SOA, ttl_s, data.ptr, data.len);
    buf_free(&data);
}

#define OK_FLAGS 0x8180u
#define AD_FLAG 0x0020u

struct packet {
    struct buf wire;
    struct dns_answer answer;
};

static int setup(void **state)
{
    static struct packet packet;

    packet = (struct packet){0};
    *state = &packet;
    return 0;
}

static int teardown(void **state)
{
    struct packet *p = *state;

    buf_free(&p->wire);
    dns_answer_free(&p->answer);
    return 0;
}

static void parse(struct packet *p)
{
    enum dns_answer_err err = dns_answer_parse(buf_slice(&p->wire), &p->answer);

    if (err != DNS_ANSWER_OK) {
        fail_msg("%s", dns_answer_err_text(err));
    }
}

static void expect_text(const struct packet *p, size_t i, const char *want)
{
    struct slice text = dns_answer_text(&p->answer, dns_answer_record(&p->answer, i));

    if (!slice_eq(text, slice_str(want))) {
        fail_msg("record %zu is %.*s", i, (int)text.len, text.ptr);
    }
}

/* ---- what is read ---- */

static void mx_records_have_hosts_and_preferences(void **state)
{
    struct packet *p = *state;

    put_head(&p->wire, OK_FLAGS | AD_FLAG, 2, 0, "Example.COM", DNS_MX);
    put_mx(&p->wire, "@12", 300, 20, "MX2.@12");
    put_mx(&p->wire, "@12", 60, 10, "mx1.@12");
    parse(p);
    assert_int_equal(dns_answer_count(&p->answer), 2);
    expect_text(p, 0, "mx2.example.com.");
    expect_text(p, 1, "mx1.example.com.");
    assert_int_equal(dns_answer_record(&p->answer, 0)->preference, 20);
    assert_int_equal(p->answer.ttl_s, 60);
    assert_true(p->answer.is_secure);
    assert_false(p->answer.is_alias);
    assert_true(slice_eq(dns_answer_name(&p->answer), SLICE("example.com.")));
}

static void a_null_mx_is_the_root(void **state)
{
    struct packet *p = *state;

    put_head(&p->wire, OK_FLAGS, 1, 0, "example.com", DNS_MX);
    put_mx(&p->wire, "@12", 300, 0, "");
    parse(p);
    expect_text(p, 0, ".");
    assert_false(p->answer.is_secure);
}

static void addresses_are_read(void **state)
{
    struct packet *p = *state;
    uint8_t v6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 1};
    struct ip want;

    put_head(&p->wire, OK_FLAGS, 1, 0, "a.example", DNS_A);
    put_record(&p->wire, "@12", DNS_A, 5, "\xc0\x00\x02\x01", 4);
    parse(p);
    assert_true(ip_parse(SLICE("192.0.2.1"), &want));
    assert_true(ip_eq(&dns_answer_record(&p->answer, 0)->ip, &want));
    buf_clear(&p->wire);
    put_head(&p->wire, OK_FLAGS, 1, 0, "a.example", DNS_AAAA);
    put_record(&p->wire, "@12", DNS_AAAA, 5, v6, 16);
    parse(p);
    assert_true(ip_parse(SLICE("2001:db8::1"), &want));
    assert_true(ip_eq(&dns_answer_record(&p->answer, 0)->ip, &want));
}

static void strings_of_a_text_are_joined(void **state)
{
    struct packet *p = *state;

    put_head(&p->wire, OK_FLAGS, 2, 0, "a.example", DNS_TXT);
    put_record(&p->wire, "@12", DNS_TXT, 5, "\3v=s\4pf1 ", 9);
    put_record(&p->wire, "@12", DNS_TXT, 5, "\0", 1);
    parse(p);
    expect_text(p, 0, "v=spf1 ");
    expect_text(p, 1, "");
}

static void other_types_keep_their_bytes(void **state)
{
    struct packet *p = *state;

    put_head(&p->wire, OK_FLAGS, 1, 0, "_25._tcp.a", DNS_TLSA);
    put_record(&p->wire, "@12", DNS_TLSA, 5, "\3\1\1hash", 7);
    parse(p);
    expect_text(p, 0, "\3\1\1hash");
}

static void aliases_are_followed_in_any_order_with_the_least_ttl(void **state)
{
    struct packet *p = *state;

    put_head(&p->wire, OK_FLAGS, 4, 0, "a.example", DNS_A);
    put_record(&p->wire, "c.example", DNS_A, 50, "\1\2\3\4", 4);
    put_name_record(&p->wire, "b.example", DNS_CNAME, 40, "C.example");
    put_record(&p->wire, "other.example", DNS_A, 1, "\5\5\5\5", 4); /* nobody asked */
    put_name_record(&p->wire, "a.example", DNS_CNAME, 60, "b.example");
    parse(p);
    assert_int_equal(dns_answer_count(&p->answer), 1);
    assert_int_equal(dns_answer_record(&p->answer, 0)->ip.bytes[0], 1);
    assert_int_equal(p->answer.ttl_s, 40);
    assert_true(p->answer.is_alias);
    assert_true(slice_eq(dns_answer_canonical(&p->answer), SLICE("c.example.")));
    assert_true(slice_eq(dns_answer_name(&p->answer), SLICE("a.example.")));
}

static void asking_for_an_alias_answers_it(void **state)
{
    struct packet *p = *state;

    put_head(&p->wire, OK_FLAGS, 1, 0, "a.example", DNS_CNAME);
    put_name_record(&p->wire, "@12", DNS_CNAME, 60, "b.example");
    parse(p);
    assert_int_equal(dns_answer_count(&p->answer), 1);
    expect_text(p, 0, "b.example.");
}

static void a_negative_answer_lives_as_the_soa_says(void **state)
{
    static const struct {
        uint32_t soa_ttl_s, minimum_s, alias_ttl_s, want_s;
    } rows[] = {{900, 300, 0, 300}, {200, 300, 0, 200}, {900, 300, 100, 100}};
    struct packet *p = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool has_alias = rows[i].alias_ttl_s != 0;

        buf_clear(&p->wire);
        put_head(&p->wire, OK_FLAGS | DNS_NXDOMAIN, has_alias, 2, "a.example", DNS_MX);
        if (has_alias) {
            put_name_record(&p->wire, "@12", DNS_CNAME, rows[i].alias_ttl_s, "b.example");
        }
        put_name_record(&p->wire, "example", DNS_NS, 1, "ns.example");
        put_soa(&p->wire, "example", rows[i].soa_ttl_s, rows[i].minimum_s);
        parse(p);
        assert_int_equal(p->answer.rcode, DNS_NXDOMAIN);
        assert_int_equal(dns_answer_count(&p->answer), 0);
        assert_int_equal(p->answer.ttl_s, rows[i].want_s);
    }
}

static void without_soa_a_negative_answer_is_not_to_be_kept(void **state)
{
    struct packet *p = *state;

    put_head(&p->wire, OK_FLAGS, 0, 0, "a.example", DNS_MX);
    parse(p);
    assert_int_equal(p->answer.rcode, DNS_NOERROR);
    assert_int_equal(p->answer.ttl_s, 0);
}

static void a_refusal_may_come_without_its_question(void **state)
{
    struct packet *p = *state;

    buf_append(&p->wire, "\0\1\x81\x05\0\0\0\0\0\0\0\0", 12);
    parse(p);
    assert_int_equal(p->answer.rcode, DNS_REFUSED);
    assert_string_equal(dns_rcode_text(p->answer.rcode), "REFUSED");
}

static void strange_labels_are_escaped(void **state)
{
    struct packet *p = *state;

    put_head(&p->wire, OK_FLAGS, 0, 0, "a\\b. \x01\xff.X_-", DNS_A);
    parse(p);
    assert_true(slice_eq(dns_answer_name(&p->answer), SLICE("a\\\\b.\\032\\001\\255.x_-.")));
}

static void a_ttl_with_its_top_bit_is_zero(void **state)
{
    struct packet *p = *state;

    put_head(&p->wire, OK_FLAGS, 1, 0, "a", DNS_A);
    put_record(&p->wire, "@12", DNS_A, 0x80000001, "\1\2\3\4", 4);
    parse(p);
    assert_int_equal(p->answer.ttl_s, 0);
}

static void a_second_answer_replaces_the_first(void **state)
{
    struct packet *p = *state;

    mx_records_have_hosts_and_preferences(state);
    buf_clear(&p->wire);
    put_head(&p->wire, OK_FLAGS, 0, 0, "b", DNS_A);
    parse(p);
    assert_int_equal(dns_answer_count(&p->answer), 0);
    assert_true(slice_eq(dns_answer_name(&p->answer), SLICE("b.")));
}

/* ---- what is refused ---- */

static void expect_err(struct packet *p, enum dns_answer_err want)
{
    assert_int_equal(dns_answer_parse(buf_slice(&p->wire), &p->answer), want);
    assert_int_equal(dns_answer_count(&p->answer), 0);
    assert_int_equal(dns_answer_name(&p->answer).len, 0);
    buf_clear(&p->wire);
}

static void names_that_point_at_themselves_or_ahead_are_refused(void **state)
{
    struct packet *p = *state;

    put_head(&p->wire, OK_FLAGS, 0, 0, "@12", DNS_A);
    expect_err(p, DNS_ANSWER_E_NAME);
    put_head(&p->wire, OK_FLAGS, 0, 0, "a.@12", DNS_A);
    expect_err(p, DNS_ANSWER_E_NAME);
    put_head(&p->wire, OK_FLAGS, 0, 0, "@13", DNS_A);
    expect_err(p, DNS_ANSWER_E_NAME);
    put_head(&p->wire, OK_FLAGS, 0, 0, "@400", DNS_A);
    expect_err(p, DNS_ANSWER_E_NAME);
}

static void names_have_at_most_255_bytes(void **state)
{
    struct packet *p = *state;
    struct buf name = {0};

    for (int i = 0; i < 127; i++) {
        BUF_LIT(&name, "a.");
    }
    buf_char(&name, 0);
    put_head(&p->wire, OK_FLAGS, 0, 0, name.ptr, DNS_A);
    parse(p);
    buf_clear(&p->wire);
    put_head(&p->wire, OK_FLAGS, 1, 0, name.ptr, DNS_A);
    put_record(&p->wire, "a.@12", DNS_A, 1, "\1\2\3\4", 4);
    expect_err(p, DNS_ANSWER_E_NAME);
    buf_free(&name);
}

/* Each leads back a little; followed for every record they would cost a packet squared. */
static void endless_chains_of_pointers_are_refused(void **state)
{
    struct packet *p = *state;
    char last[16];

    put_head(&p->wire, OK_FLAGS, 2, 0, "a", DNS_A);
    put_name(&p->wire, "b");
    put_u16(&p->wire, DNS_TXT);
    put_u16(&p->wire, 1);
    put_u32(&p->wire, 1);
    put_u16(&p->wire, 400);
    put_u16(&p->wire, 0xc00c);
    for (int i = 1; i < 200; i++) {
        put_u16(&p->wire, 0xc000u | (unsigned)(p->wire.len - 2));
    }
    (void)snprintf(last, sizeof(last), "@%zu", p->wire.len - 2);
    put_record(&p->wire, last, DNS_A, 1, "\1\2\3\4", 4);
    expect_err(p, DNS_ANSWER_E_NAME);
}

static void malformed_data_is_refused(void **state)
{
    struct packet *p = *state;

    put_head(&p->wire, OK_FLAGS, 1, 0, "a", DNS_A);
    put_record(&p->wire, "@12", DNS_A, 1, "\1\2\3", 3);
    expect_err(p, DNS_ANSWER_E_RDATA);
    put_head(&p->wire, OK_FLAGS, 1, 0, "a", DNS_MX);
    put_record(&p->wire, "@12", DNS_MX, 1, "\0\1", 2);
    expect_err(p, DNS_ANSWER_E_RDATA);
    put_head(&p->wire, OK_FLAGS, 1, 0, "a", DNS_MX);
    put_record(&p->wire, "@12", DNS_MX, 1, "\0\1\1x\0y", 6); /* something behind the name */
    expect_err(p, DNS_ANSWER_E_RDATA);
    put_head(&p->wire, OK_FLAGS, 1, 0, "a", DNS_TXT);
    put_record(&p->wire, "@12", DNS_TXT, 1, "\5abc", 4);
    expect_err(p, DNS_ANSWER_E_RDATA);
    put_head(&p->wire, OK_FLAGS, 0, 1, "a", DNS_A);
    put_record(&p->wire, "@12", DNS_SOA, 1, "\0\0", 2);
    expect_err(p, DNS_ANSWER_E_RDATA);
}

static void aliases_in_a_circle_are_refused(void **state)
{
    struct packet *p = *state;

    put_head(&p->wire, OK_FLAGS, 2, 0, "a", DNS_A);
    put_name_record(&p->wire, "a", DNS_CNAME, 1, "b");
    put_name_record(&p->wire, "b", DNS_CNAME, 1, "a");
    expect_err(p, DNS_ANSWER_E_CHAIN);
}

static void no_question_is_refused(void **state)
{
    struct packet *p = *state;

    buf_append(&p->wire, "\0\1\x81\x80\0\0\0\0\0\0\0\0", 12);
    expect_err(p, DNS_ANSWER_E_QUESTION);
}

static void every_shorter_packet_is_refused(void **state)
{
    struct packet *p = *state;

    put_head(&p->wire, OK_FLAGS, 2, 0, "example.com", DNS_MX);
    put_mx(&p->wire, "@12", 300, 20, "mx2.@12");
    put_mx(&p->wire, "@12", 60, 10, "mx1.@12");
    for (size_t len = 0; len < p->wire.len; len++) {
        /* A buffer of just that size, so that reading past it is seen. */
        struct buf part = {0};

        buf_append(&part, p->wire.ptr, len);
        assert_int_not_equal(dns_answer_parse(buf_slice(&part), &p->answer), DNS_ANSWER_OK);
        buf_free(&part);
    }
}

/* The largest answers a peer can make up cost milliseconds, not seconds. */
static void a_large_answer_of_long_names_is_parsed(void **state)
{
    struct packet *p = *state;
    struct buf name = {0};

    for (int i = 0; i < 60; i++) {
        BUF_LIT(&name, "\xff\xff\xff.");
    }
    buf_char(&name, 0);
    put_head(&p->wire, OK_FLAGS, 3000, 0, name.ptr, DNS_A);
    for (int i = 0; i < 3000; i++) {
        put_name_record(&p->wire, "@12", i == 2999 ? DNS_NS : DNS_PTR, 1, "@16");
    }
    parse(p);
    assert_int_equal(dns_answer_count(&p->answer), 0);
    buf_free(&name);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(mx_records_have_hosts_and_preferences),
        T(a_null_mx_is_the_root),
        T(addresses_are_read),
        T(strings_of_a_text_are_joined),
        T(other_types_keep_their_bytes),
        T(aliases_are_followed_in_any_order_with_the_least_ttl),
        T(asking_for_an_alias_answers_it),
        T(a_negative_answer_lives_as_the_soa_says),
        T(without_soa_a_negative_answer_is_not_to_be_kept),
        T(a_refusal_may_come_without_its_question),
        T(strange_labels_are_escaped),
        T(a_ttl_with_its_top_bit_is_zero),
        T(a_second_answer_replaces_the_first),
        T(names_that_point_at_themselves_or_ahead_are_refused),
        T(names_have_at_most_255_bytes),
        T(endless_chains_of_pointers_are_refused),
        T(malformed_data_is_refused),
        T(aliases_in_a_circle_are_refused),
        T(no_question_is_refused),
        T(every_shorter_packet_is_refused),
        T(a_large_answer_of_long_names_is_parsed),
    };
    return cmocka_run_group_tests_name("proto/dns_answer", tests, NULL, NULL);
}
