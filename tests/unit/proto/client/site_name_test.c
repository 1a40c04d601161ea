#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "proto/site_name.h"

#define HOSTS_MAX 8

static const struct {
    const char *name;
    const char *hosts[HOSTS_MAX];
    const char *site;
} rows[] = {
    {"several preferences, one without the outer label",
     {"gmail-smtp-in.l.google.com.", "alt1.gmail-smtp-in.l.google.com.",
      "alt2.gmail-smtp-in.l.google.com.", "alt3.gmail-smtp-in.l.google.com.",
      "alt4.gmail-smtp-in.l.google.com."},
     "(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com"},
    {"same preference",
     {"mta5.am0.yahoodns.net.", "mta6.am0.yahoodns.net.", "mta7.am0.yahoodns.net."},
     "(mta5|mta6|mta7).am0.yahoodns.net"},
    {"by one port",
     {"mta5.am0.yahoodns.net.:123", "mta6.am0.yahoodns.net.:123", "mta7.am0.yahoodns.net.:123"},
     "(mta5|mta6|mta7).am0.yahoodns.net:123"},
    {"by several ports",
     {"mta5.am0.yahoodns.net.:123", "mta6.am0.yahoodns.net.:456", "mta7.am0.yahoodns.net.:123"},
     "(mta5|mta6|mta7).am0.yahoodns.(net:123|net:456)"},
    {"two providers",
     {"example-com.mail.protection.outlook.com.", "mx-biz.mail.am0.yahoodns.net."},
     "(example-com|mx-biz).mail.(protection|am0).(outlook|yahoodns).(com|net)"},
    {"the other way round",
     {"mx-biz.mail.am0.yahoodns.net.", "example-com.mail.protection.outlook.com."},
     "(mx-biz|example-com).mail.(am0|protection).(yahoodns|outlook).(net|com)"},
    {"one host", {"mx.example.org."}, "mx.example.org"},
    {"null mx", {"."}, ""},
    {"no mx", {"www.example.com"}, "www.example.com"},
    {"no host at all", {NULL}, ""},
    {"case does not matter", {"MX.Example.Org", "mx.example.ORG."}, "mx.example.org"},
    {"one label optional", {"a.example", "example"}, "a?.example"},
    {"two outer labels", {"b.a.example", "a.example", "example"}, "b?.a?.example"},
};

static void hosts_make_one_name(void **state)
{
    struct buf out = {0};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice hosts[HOSTS_MAX];
        size_t count = 0;

        for (; count < HOSTS_MAX && rows[i].hosts[count] != NULL; count++) {
            hosts[count] = slice_str(rows[i].hosts[count]);
        }
        buf_clear(&out);
        site_name_put(&out, hosts, count);
        if (!slice_eq(buf_slice(&out), slice_str(rows[i].site))) {
            fail_msg("%s: %.*s", rows[i].name, (int)out.len, out.ptr);
        }
    }
    buf_free(&out);
}

static void a_configured_list_is_taken_as_written(void **state)
{
    const struct slice entries[] = {SLICE("smart.host.local:2025"), SLICE("10.0.0.1")};
    struct buf out = {0};

    site_name_mx_list_put(&out, entries, 2);
    assert_true(slice_eq(buf_slice(&out), SLICE("mx_list:smart.host.local:2025,10.0.0.1")));
    buf_free(&out);
}

/* A peer may publish thousands of MX hosts; the name is long then, the time is not. */
static void thousands_of_hosts_are_no_trouble(void **state)
{
    enum { COUNT = 4000 };
    struct slice *hosts = mem_take(COUNT * sizeof(*hosts));
    struct buf names = {0};
    struct buf out = {0};

    buf_reserve(&names, COUNT * 20);
    for (size_t i = 0; i < COUNT; i++) {
        size_t at = names.len;

        buf_printf(&names, "h%zu.x.example.", i);
        hosts[i] = slice_of(names.ptr + at, names.len - at);
    }
    site_name_put(&out, hosts, COUNT);
    assert_true(slice_starts(buf_slice(&out), SLICE("(h0|h1|h2|")));
    assert_true(slice_ends(buf_slice(&out), SLICE("|h3999).x.example")));
    buf_free(&out);
    buf_free(&names);
    mem_give(hosts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_make_one_name),
        cmocka_unit_test(a_configured_list_is_taken_as_written),
        cmocka_unit_test(thousands_of_hosts_are_no_trouble),
    };
    return cmocka_run_group_tests_name("proto/site_name", tests, NULL, NULL);
}
