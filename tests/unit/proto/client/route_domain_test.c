#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/dns_answer.h"
#include "proto/route_domain.h"

static const struct {
    const char *text;
    bool ok;
    const char *name; /* of a DNS name; NULL: literal */
    const char *site; /* of a literal */
    int port;         /* -1: none */
} rows[] = {
    {"example.com", true, "example.com", NULL, -1},
    {"example.com:2525", true, "example.com", NULL, 2525},
    {"example.com:0", true, "example.com", NULL, 0},
    {"example.com:65535", true, "example.com", NULL, 65535},
    {"example.com:65536", true, "example.com:65536", NULL, -1},
    {"example.com:", true, "example.com:", NULL, -1},
    {"example.com:smtp", true, "example.com:smtp", NULL, -1},
    {"a:1:2", true, "a:1:2", NULL, -1},
    {"[10.0.0.1]", true, NULL, "10.0.0.1", -1},
    {"[10.0.0.1]:2525", true, NULL, "10.0.0.1:2525", 2525},
    {"[10.0.0.1:2525]", true, NULL, "10.0.0.1:2525", 2525},
    {"[IPv6:2001:db8::1]", true, NULL, "2001:db8::1", -1},
    {"[ipV6:2001:db8::1]", true, NULL, "2001:db8::1", -1},
    {"[2001:db8::1]", true, NULL, "2001:db8::1", -1},
    {"[IPv6:2001:db8::1]:25", true, NULL, "[2001:db8::1]:25", 25},
    {"[2001:db8::1]:25", true, NULL, "[2001:db8::1]:25", 25},
    {"[10.0.0.1:25]:26", false, NULL, NULL, -1},
    {"[10.0.0.1", false, NULL, NULL, -1},
    {"[10.0.0.1]x", false, NULL, NULL, -1},
    {"[10.0.0.1]:", false, NULL, NULL, -1},
    {"[10.0.0.1]:99999", false, NULL, NULL, -1},
    {"[10.0.0.999]", false, NULL, NULL, -1},
    {"[IPv6:10.0.0.1]", false, NULL, NULL, -1},
    {"[]", false, NULL, NULL, -1},
    {"[example.com]", false, NULL, NULL, -1},
    {"", false, NULL, NULL, -1},
};

static void domains_are_classified(void **state)
{
    struct buf site = {0};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct route_domain d;
        const char *why = NULL;
        bool ok = route_domain_parse(slice_str(rows[i].text), &d, &why);

        if (ok != rows[i].ok || ok != (why == NULL)) {
            fail_msg("%s: %s", rows[i].text, ok ? "accepted" : "refused");
        }
        if (!ok) {
            continue;
        }
        assert_int_equal(d.has_port ? d.port : -1, rows[i].port);
        assert_int_equal(d.is_literal, rows[i].name == NULL);
        if (d.is_literal) {
            buf_clear(&site);
            route_domain_site_put(&site, &d);
            assert_true(slice_eq(buf_slice(&site), slice_str(rows[i].site)));
        } else {
            assert_true(slice_eq(d.name, slice_str(rows[i].name)));
        }
    }
    buf_free(&site);
}

static void addresses_have_names_to_ask_for(void **state)
{
    struct buf out = {0};
    struct ip ip;

    assert_true(ip_parse(SLICE("192.0.2.17"), &ip));
    dns_reverse_put(&out, &ip);
    assert_true(slice_eq(buf_slice(&out), SLICE("17.2.0.192.in-addr.arpa.")));
    buf_clear(&out);
    assert_true(ip_parse(SLICE("2001:db8::567:89ab"), &ip));
    dns_reverse_put(&out, &ip);
    assert_true(slice_eq(buf_slice(&out),
                         SLICE("b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2."
                               "ip6.arpa.")));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domains_are_classified),
        cmocka_unit_test(addresses_have_names_to_ask_for),
    };
    return cmocka_run_group_tests_name("proto/route_domain", tests, NULL, NULL);
}
