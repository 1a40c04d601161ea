#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/ip.h"

struct text_case {
    struct slice name;      /* the text read */
    struct slice canonical; /* empty: refused */
};

static const struct text_case ip_cases[] = {
    {SLICE_INIT("10.0.0.1"), SLICE_INIT("10.0.0.1")},
    {SLICE_INIT("255.255.255.255"), SLICE_INIT("255.255.255.255")},
    {SLICE_INIT("::1"), SLICE_INIT("::1")},
    {SLICE_INIT("::"), SLICE_INIT("::")},
    {SLICE_INIT("2001:DB8:0:0:0:0:0:1"), SLICE_INIT("2001:db8::1")},
    {SLICE_INIT("2001:db8:0:1:0:0:0:1"), SLICE_INIT("2001:db8:0:1::1")},
    {SLICE_INIT("2001:0:0:1:0:0:1:1"), SLICE_INIT("2001::1:0:0:1:1")},
    {SLICE_INIT("1:0:2:3:4:5:6:7"), SLICE_INIT("1:0:2:3:4:5:6:7")},
    {SLICE_INIT("fe80::"), SLICE_INIT("fe80::")},
    {SLICE_INIT("::ffff:1.2.3.4"), SLICE_INIT("::ffff:1.2.3.4")},
    {SLICE_INIT("::1.2.3.4"), SLICE_INIT("::102:304")},
    {SLICE_INIT("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"),
     SLICE_INIT("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")},
    {SLICE_INIT(""), SLICE_INIT("")},
    {SLICE_INIT("10.0.0"), SLICE_INIT("")},
    {SLICE_INIT("10.0.0.256"), SLICE_INIT("")},
    {SLICE_INIT("10.0.0.01"), SLICE_INIT("")},
    {SLICE_INIT("10.0.0.1 "), SLICE_INIT("")},
    {SLICE_INIT("10.0.0.1\0"), SLICE_INIT("")},
    {SLICE_INIT("1::2::3"), SLICE_INIT("")},
    {SLICE_INIT("fe80::1%eth0"), SLICE_INIT("")},
    {SLICE_INIT("[::1]"), SLICE_INIT("")},
};

static void addresses_have_one_spelling_and_strict_readers(void **state)
{
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ip_cases); i++) {
        struct ip ip;

        print_message("%.*s\n", SLICE_ARG(ip_cases[i].name));
        buf_clear(&out);
        assert_int_equal(ip_parse(ip_cases[i].name, &ip), ip_cases[i].canonical.len > 0);
        ip_put(&out, &ip);
        assert_true(slice_eq(buf_slice(&out), ip_cases[i].canonical));
    }
    buf_free(&out);
}

static const struct text_case port_cases[] = {
    {SLICE_INIT("10.0.0.1:25"), SLICE_INIT("10.0.0.1:25")},
    {SLICE_INIT("[::1]:65535"), SLICE_INIT("[::1]:65535")},
    {SLICE_INIT("10.0.0.1"), SLICE_INIT("")},
    {SLICE_INIT("10.0.0.1:"), SLICE_INIT("")},
    {SLICE_INIT("10.0.0.1:65536"), SLICE_INIT("")},
    {SLICE_INIT("10.0.0.1:+5"), SLICE_INIT("")},
    {SLICE_INIT("[10.0.0.1]:25"), SLICE_INIT("")},
    {SLICE_INIT("::1:25"), SLICE_INIT("")},
    {SLICE_INIT("[::1]25"), SLICE_INIT("")},
    {SLICE_INIT("[::1"), SLICE_INIT("")},
    {SLICE_INIT("[::1]"), SLICE_INIT("")},
    {SLICE_INIT(":25"), SLICE_INIT("")},
};

static void a_socket_address_needs_its_port(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(port_cases); i++) {
        struct buf out = {0};
        struct ip_port addr;
        bool ok = ip_port_parse(port_cases[i].name, &addr);

        print_message("%.*s\n", SLICE_ARG(port_cases[i].name));
        assert_int_equal(ok, port_cases[i].canonical.len > 0);
        if (ok) {
            ip_port_put(&out, &addr);
            assert_true(slice_eq(buf_slice(&out), port_cases[i].canonical));
        }
        buf_free(&out);
    }
}

static const struct text_case net_cases[] = {
    {SLICE_INIT("10.0.0.0/8"), SLICE_INIT("10.0.0.0/8")},
    {SLICE_INIT("10.0.0.1"), SLICE_INIT("10.0.0.1/32")},
    {SLICE_INIT("::1"), SLICE_INIT("::1/128")},
    {SLICE_INIT("0.0.0.0/0"), SLICE_INIT("0.0.0.0/0")},
    {SLICE_INIT("::/0"), SLICE_INIT("::/0")},
    {SLICE_INIT("10.0.0.0/33"), SLICE_INIT("")},
    {SLICE_INIT("10.0.0.0/"), SLICE_INIT("")},
    {SLICE_INIT("10.0.0.0/-1"), SLICE_INIT("")},
    {SLICE_INIT("any"), SLICE_INIT("")},
};

static void prefixes_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(net_cases); i++) {
        struct buf out = {0}, why = {0};
        struct ip_net net;
        bool ok = ip_net_parse(net_cases[i].name, &net, &why);

        print_message("%.*s\n", SLICE_ARG(net_cases[i].name));
        assert_int_equal(ok, net_cases[i].canonical.len > 0);
        assert_int_equal(why.len == 0, ok);
        if (ok) {
            ip_net_put(&out, &net);
            assert_true(slice_eq(buf_slice(&out), net_cases[i].canonical));
        }
        buf_free(&out);
        buf_free(&why);
    }
}

static void host_bits_are_refused_with_the_prefix_that_was_meant(void **state)
{
    struct buf why = {0};
    struct ip_net net;

    (void)state;
    assert_false(ip_net_parse(SLICE("10.0.0.1/24"), &net, &why));
    assert_true(slice_eq(buf_slice(&why),
                         SLICE("10.0.0.1/24 is not a valid CIDR: host part of address was not "
                               "zero. Did you mean 10.0.0.0/24?")));
    buf_clear(&why);
    assert_false(ip_net_parse(SLICE("2001:db8::8000:0:0:0/64"), &net, &why));
    assert_true(slice_ends(buf_slice(&why), SLICE("Did you mean 2001:db8::/64?")));
    buf_free(&why);
}

struct has_case {
    const char *name;
    struct slice net, ip;
    bool inside;
};

static const struct has_case has_cases[] = {
    {"the first of a /9", SLICE_INIT("10.128.0.0/9"), SLICE_INIT("10.128.0.0"), true},
    {"the last of a /9", SLICE_INIT("10.128.0.0/9"), SLICE_INIT("10.255.255.255"), true},
    {"just below a /9", SLICE_INIT("10.128.0.0/9"), SLICE_INIT("10.127.255.255"), false},
    {"one host", SLICE_INIT("10.0.0.1"), SLICE_INIT("10.0.0.1"), true},
    {"its neighbour", SLICE_INIT("10.0.0.1"), SLICE_INIT("10.0.0.0"), false},
    {"everything of its family", SLICE_INIT("0.0.0.0/0"), SLICE_INIT("203.0.113.9"), true},
    {"nothing of the other family", SLICE_INIT("0.0.0.0/0"), SLICE_INIT("::1"), false},
    {"a mapped address is IPv6", SLICE_INIT("10.0.0.0/8"), SLICE_INIT("::ffff:10.0.0.1"), false},
    {"a v6 prefix", SLICE_INIT("2001:db8::/33"), SLICE_INIT("2001:db8:7fff::1"), true},
    {"outside a v6 prefix", SLICE_INIT("2001:db8::/33"), SLICE_INIT("2001:db8:8000::1"), false},
};

static void a_prefix_holds_its_own_addresses(void **state)
{
    struct buf why = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(has_cases); i++) {
        struct ip_net net;
        struct ip ip;

        print_message("%s\n", has_cases[i].name);
        assert_true(ip_net_parse(has_cases[i].net, &net, &why));
        assert_true(ip_parse(has_cases[i].ip, &ip));
        assert_int_equal(ip_net_has(&net, &ip), has_cases[i].inside);
    }
    buf_free(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_have_one_spelling_and_strict_readers),
        cmocka_unit_test(a_socket_address_needs_its_port),
        cmocka_unit_test(prefixes_are_read),
        cmocka_unit_test(host_bits_are_refused_with_the_prefix_that_was_meant),
        cmocka_unit_test(a_prefix_holds_its_own_addresses),
    };
    return cmocka_run_group_tests_name("core/base/ip", tests, NULL, NULL);
}
