/* Zone texts: RFC 1035 5, read back through the parser of answers. */
#include "tests/unit/core/net/dns_bench.h"

#include <string.h>

#include "core/base/json.h"
#include "core/net/dns_zone.h"
#include "proto/dns_answer.h"

static const char zone_text[] =
    "$ORIGIN example.com.\n"
    "$TTL 300 ; seconds\n"
    "@  IN SOA ns.example.com. admin.example.com. (\n"
    "      1 ; serial\n"
    "      7200 3600 1209600 120 )\n"
    "   30 IN MX 10 mx1\n"
    "   MX 20 MX2.Example.Com.\n"
    "mx1 A 192.0.2.1\n"
    "    60 A 192.0.2.2\n"
    "    AAAA 2001:db8::1\n"
    "www 5 CNAME mx1\n"
    "loop CNAME loop\n"
    "null MX 0 .\n"
    "txt TXT \"v=spf1 \\\"x\\\" ; no comment\" second\n"
    "_25._tcp.mx1 TLSA 3 1 1 00ff10\n"
    "$ORIGIN 2.0.192.in-addr.arpa.\n"
    "1 PTR mx1.example.com.\n";

struct zone_case {
    const char *name;
    uint16_t type;
    unsigned want_rcode;
    const char *want; /* each record followed by a space */
    uint32_t want_ttl_s;
};

static const struct zone_case zone_cases[] = {
    {"example.com", DNS_MX, 0, "10 mx1.example.com. 20 mx2.example.com. ", 30},
    {"MX1.example.com.", DNS_A, 0, "192.0.2.1 192.0.2.2 ", 60},
    {"mx1.example.com", DNS_AAAA, 0, "2001:db8::1 ", 300},
    {"mx1.example.com", DNS_MX, 0, "", 0},
    {"www.example.com", DNS_A, 0, "192.0.2.1 192.0.2.2 ", 5},
    {"loop.example.com", DNS_A, 0, "", 300},
    {"null.example.com", DNS_MX, 0, "0 . ", 300},
    {"txt.example.com", DNS_TXT, 0, "v=spf1 \"x\" ; no commentsecond ", 300},
    {"1.2.0.192.in-addr.arpa", DNS_PTR, 0, "mx1.example.com. ", 300},
    {"missing.example.com", DNS_A, DNS_NXDOMAIN, "", 0},
    {"elsewhere.example", DNS_A, DNS_NXDOMAIN, "", 0},
    {"sick.example.com", DNS_A, DNS_SERVFAIL, "", 0},
};

static void records_put(const struct dns_answer *a, struct buf *out)
{
    for (size_t i = 0; i < dns_answer_count(a); i++) {
        const struct dns_record *r = dns_answer_record(a, i);

        if (a->type == DNS_MX) {
            buf_printf(out, "%u ", r->preference);
        }
        if (r->ip.family != IP_NONE) {
            ip_put(out, &r->ip);
        } else {
            buf_put(out, dns_answer_text(a, r));
        }
        buf_char(out, ' ');
    }
}

static void a_zone_answers_as_a_name_server_would(void **state)
{
    struct dns_zone *z = dns_zone_new();
    struct dns_answer a = {0};
    struct buf why = {0};
    unsigned wrong_count = 0;

    (void)state;
    if (!dns_zone_parse(z, slice_str(zone_text), &why)) {
        fail_msg("%.*s", SLICE_ARG(buf_slice(&why)));
    }
    assert_true(zone_fail_add(z, SLICE("Sick.example.com")));
    for (size_t i = 0; i < ARRAY_COUNT(zone_cases); i++) {
        const struct zone_case *c = &zone_cases[i];
        struct buf message = {0}, got = {0};
        enum dns_answer_err err;

        zone_answer_put(z, slice_str(c->name), c->type, &message);
        err = dns_answer_parse(buf_slice(&message), &a);
        if (strcmp(c->name, "loop.example.com") == 0) {
            /* as many aliases as a server would send before it gives up */
            assert_true(err == DNS_ANSWER_OK || err == DNS_ANSWER_E_CHAIN);
        } else {
            assert_int_equal(err, DNS_ANSWER_OK);
            records_put(&a, &got);
            if (a.rcode != c->want_rcode || !slice_eq(buf_slice(&got), slice_str(c->want)) ||
                (got.len > 0 && a.ttl_s != c->want_ttl_s)) {
                print_error("%s: %u %.*s %u\n", c->name, a.rcode, SLICE_ARG(buf_slice(&got)),
                            a.ttl_s);
                wrong_count++;
            }
        }
        buf_free(&message);
        buf_free(&got);
    }
    assert_int_equal(wrong_count, 0);
    dns_answer_free(&a);
    dns_zone_free(&z);
}

static void a_bad_zone_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"a.example. A 192.0.2.1\nb.example. A 192.0.2.256\n",
         "zone line 2: an address is missing or malformed"},
        {"a.example. MX ten mx\n", "zone line 1: a number is missing or out of range"},
        {"a.example. MX 70000 mx\n", "zone line 1: a number is missing or out of range"},
        {"\n\n  A 192.0.2.1\n", "zone line 3: the record has no owner"},
        {"a.example. WKS 192.0.2.1\n", "zone line 1: the record has no known type"},
        {"$INCLUDE /etc/passwd\n", "zone line 1: only $ORIGIN and $TTL are known"},
        {"a.example. A 192.0.2.1 192.0.2.2\n", "zone line 1: text after the record"},
        {"a..example. A 192.0.2.1\n", "zone line 1: the owner is no name"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct dns_zone *z = dns_zone_new();
        struct buf why = {0};

        assert_false(dns_zone_parse(z, slice_str(cases[i].text), &why));
        buf_char(&why, '\0');
        assert_string_equal(why.ptr, cases[i].want);
        buf_free(&why);
        dns_zone_free(&z);
    }
}

static void a_resolver_over_a_zone_resolves(void **state)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct dns_backend *backend;
    struct json_doc doc = {0};
    struct bench_wait w = {0}, cancelled = {0};
    struct buf why = {0};
    uint8_t view;

    (void)state;
    assert_true(json_parse(SLICE("{\"zones\": [\"a.example. 60 IN A 192.0.2.1\\n\"],"
                                 " \"servfail\": [\"sick.example\"]}"),
                           0, &doc, &why));
    assert_true(dns_zone_open(&b->shards[0], doc.root, &backend, &why));
    json_doc_free(&doc);
    view = resolver_view_add(&b->resolvers[0], SLICE("test"), backend, false);
    bench_ask(b, 0, "elsewhere.example", DNS_A, &cancelled); /* sets the function */
    resolver_unask(&b->resolvers[0], &cancelled.wait);
    w.wait.fn = cancelled.wait.fn;
    resolver_ask(&b->resolvers[0], &(struct dns_question){SLICE("a.example"), DNS_A, view},
                 &w.wait);
    assert_int_equal(w.count, 0);
    bench_turn(b, 0);
    assert_int_equal(w.count, 1);
    assert_int_equal(dns_rr_ip(w.set, 0).bytes[3], 1);
    resolver_ask(&b->resolvers[0], &(struct dns_question){SLICE("sick.example"), DNS_A, view},
                 &w.wait);
    bench_turn(b, 0);
    assert_int_equal(w.set->status, LOOKUP_SERVFAIL);
    resolver_ask(&b->resolvers[0], &(struct dns_question){SLICE("b.example"), DNS_A, view},
                 &cancelled.wait);
    resolver_unask(&b->resolvers[0], &cancelled.wait); /* still asked when the bench closes */
    bench_wait_clear(&w);
    bench_close(b);
}

static void a_spec_that_is_none_is_refused(void **state)
{
    static const char *const specs[] = {"{}", "{\"zones\": 1}", "{\"zones\": [1]}",
                                        "{\"zones\": [\"x\"]}",
                                        "{\"zones\": [], \"servfail\": \"a\"}", "\"zones\""};
    struct dns_bench *b = bench_open(1, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(specs); i++) {
        struct json_doc doc = {0};
        struct buf why = {0};
        struct dns_backend *backend;

        assert_true(json_parse(slice_str(specs[i]), 0, &doc, &why));
        assert_false(dns_zone_open(&b->shards[0], doc.root, &backend, &why));
        assert_true(why.len > 0);
        json_doc_free(&doc);
        buf_free(&why);
    }
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zone_answers_as_a_name_server_would),
        cmocka_unit_test(a_bad_zone_is_refused_with_its_line),
        cmocka_unit_test(a_resolver_over_a_zone_resolves),
        cmocka_unit_test(a_spec_that_is_none_is_refused),
    };
    return cmocka_run_group_tests_name("core/net/dns_zone", tests, NULL, NULL);
}
