/* The options of kumo.dns.configure_resolver. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/json.h"
#include "core/net/dns_config.h"

static bool read_config(const char *text, struct dns_config *out, struct buf *why)
{
    struct json_doc doc = {0};
    bool ok;

    assert_true(json_parse(slice_str(text), 0, &doc, why));
    ok = dns_config_read(doc.root, out, why);
    json_doc_free(&doc);
    return ok;
}

static void options_become_plain_values(void **state)
{
    struct dns_config c;
    struct dns_cares_params params;
    struct buf why = {0};

    (void)state;
    assert_true(read_config(
        "{\"name_servers\": [\"10.0.0.1\", \"10.0.0.2:5353\", \"::1\","
        "                    {\"socket_addr\": \"[::2]:54\", \"protocol\": \"udp\"}],"
        " \"domain\": \"example.com\", \"search\": [\"a\"],"
        " \"options\": {\"timeout\": \"1.5s\", \"attempts\": 3, \"edns0\": false, \"ndots\": 4,"
        "               \"validate\": true, \"use_hosts_file\": false, \"rotate\": true,"
        "               \"positive_min_ttl\": 30, \"negative_max_ttl\": \"1m\"}}",
        &c, &why));
    params = dns_config_cares(&c);
    assert_true(slice_eq(params.servers, SLICE("10.0.0.1:53,10.0.0.2:5353,[::1]:53,[::2]:54")));
    assert_int_equal(params.timeout_ms, 1500);
    assert_int_equal(params.attempts, 3);
    assert_true(params.edns_off);
    assert_true(params.rotate);
    assert_true(params.ask_validated);
    assert_false(params.tcp_only);
    assert_false(c.use_hosts_file);
    assert_int_equal(c.ttl.positive_min_s, 30);
    assert_int_equal(c.ttl.positive_max_s, 86400);
    assert_int_equal(c.ttl.negative_max_s, 60);
    dns_config_free(&c);
}

static void nothing_configured_is_the_host_s_own(void **state)
{
    struct dns_config c;
    struct buf why = {0};

    (void)state;
    assert_true(read_config("{\"options\": []}", &c, &why));
    assert_int_equal(dns_config_cares(&c).servers.len, 0);
    assert_true(c.use_hosts_file);
    assert_false(c.validate);
    dns_config_free(&c);
}

static void what_cannot_be_meant_is_refused_by_name(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"[1]", "a resolver is configured by a table"},
        {"{\"nameservers\": []}", "resolver option `nameservers`: unknown"},
        {"{\"name_servers\": \"10.0.0.1\"}", "resolver option `name_servers`: not a list"},
        {"{\"name_servers\": [\"ns.example\"]}", "name server `ns.example` is not an address"},
        {"{\"name_servers\": [{}]}",
         "resolver option `name_servers`: each is an address or has a socket_addr"},
        {"{\"options\": {\"timeuot\": 1}}", "resolver option `timeuot`: unknown"},
        {"{\"options\": {\"attempts\": 0}}",
         "resolver option `attempts`: not a count from 1 to 1000"},
        {"{\"options\": {\"timeout\": 0}}", "resolver option `timeout`: out of range"},
        {"{\"options\": {\"edns0\": 1}}", "resolver option `edns0`: not a boolean"},
        {"{\"options\": {\"positive_min_ttl\": \"2days\"}}",
         "resolver options: a least TTL is above the greatest"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct dns_config c;
        struct buf why = {0};

        assert_false(read_config(cases[i].text, &c, &why));
        buf_char(&why, '\0');
        assert_string_equal(why.ptr, cases[i].want);
        buf_free(&why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_become_plain_values),
        cmocka_unit_test(nothing_configured_is_the_host_s_own),
        cmocka_unit_test(what_cannot_be_meant_is_refused_by_name),
    };
    return cmocka_run_group_tests_name("core/net/dns_config", tests, NULL, NULL);
}
