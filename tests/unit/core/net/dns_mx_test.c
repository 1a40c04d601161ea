/* Expectations: the chapters on destination resolution and site names, and the required
 * behaviour where the reference took a failed query for "no MX". */
#include "tests/unit/core/net/dns_bench.h"

#include <string.h>

#include "core/net/dns_mx.h"

struct mx_wait {
    struct dns_mx_wait wait;
    struct dns_mx *mx;
    unsigned count;
};

static void mx_told(struct dns_mx_wait *dw, struct dns_mx *mx)
{
    struct mx_wait *w = CONTAINER_OF(dw, struct mx_wait, wait);

    dns_mx_unref(w->mx);
    w->mx = dns_mx_ref(mx);
    w->count++;
}

static void mx_ask(struct dns_bench *b, uint32_t shard, const char *domain, struct mx_wait *w)
{
    const unsigned before = w->count;

    w->wait.fn = mx_told;
    dns_mx_ask(&b->resolvers[shard], 0, slice_str(domain), &w->wait);
    assert_int_equal(w->count, before); /* never inline */
}

static void mx_clear(struct mx_wait *w)
{
    dns_mx_unref(w->mx);
    *w = (struct mx_wait){0};
}

struct record {
    uint16_t pref;
    const char *host;
};

struct mx_case {
    const char *name;
    const char *domain;
    const char *asked; /* NULL: nothing is asked */
    unsigned rcode;
    struct record records[6];
    enum dns_status want;
    const char *want_hosts; /* "5 a. 10 b." */
    const char *want_site;
    const char *want_domain;
    bool want_mx, want_literal, want_null;
};

static const struct mx_case mx_cases[] = {
    {.name = "hosts by preference, names sorted inside one, lower case",
     .domain = "Gmail.com", .asked = "gmail.com.",
     .records = {{20, "alt2.gmail-smtp-in.l.google.com"}, {5, "GMAIL-smtp-in.l.google.com"},
                 {10, "alt1.gmail-smtp-in.l.google.com"}},
     .want_hosts = "5 gmail-smtp-in.l.google.com. 10 alt1.gmail-smtp-in.l.google.com. "
                   "20 alt2.gmail-smtp-in.l.google.com. ",
     .want_site = "(alt1|alt2)?.gmail-smtp-in.l.google.com",
     .want_domain = "gmail.com.", .want_mx = true},
    {.name = "equal preferences are one group in name order",
     .domain = "yahoo.com", .asked = "yahoo.com.",
     .records = {{1, "mta7.am0.yahoodns.net"}, {1, "mta5.am0.yahoodns.net"},
                 {1, "mta6.am0.yahoodns.net"}},
     .want_hosts = "1 mta5.am0.yahoodns.net. 1 mta6.am0.yahoodns.net. 1 mta7.am0.yahoodns.net. ",
     .want_site = "(mta5|mta6|mta7).am0.yahoodns.net", .want_domain = "yahoo.com.",
     .want_mx = true},
    {.name = "a port goes along with every host",
     .domain = "yahoo.com:123", .asked = "yahoo.com.",
     .records = {{1, "mta6.am0.yahoodns.net"}, {1, "mta5.am0.yahoodns.net"}},
     .want_hosts = "1 mta5.am0.yahoodns.net.:123 1 mta6.am0.yahoodns.net.:123 ",
     .want_site = "(mta5|mta6).am0.yahoodns.net:123", .want_domain = "yahoo.com.",
     .want_mx = true},
    {.name = "no MX: the domain itself",
     .domain = "www.example.com", .asked = "www.example.com.",
     .want_hosts = "1 www.example.com. ", .want_site = "www.example.com",
     .want_domain = "www.example.com."},
    {.name = "no MX, with port",
     .domain = "relay.test:2025", .asked = "relay.test.",
     .want_hosts = "1 relay.test.:2025 ", .want_site = "relay.test:2025",
     .want_domain = "relay.test."},
    {.name = "null MX",
     .domain = "example.com", .asked = "example.com.", .records = {{0, "."}},
     .want_hosts = "0 . ", .want_site = "", .want_domain = "example.com.", .want_mx = true,
     .want_null = true},
    {.name = "a dot among others is no null MX",
     .domain = "example.com", .asked = "example.com.",
     .records = {{0, "."}, {10, "mx.example.com"}},
     .want_hosts = "10 mx.example.com. ", .want_site = "mx.example.com",
     .want_domain = "example.com.", .want_mx = true},
    {.name = "the name does not exist",
     .domain = "gone.example", .asked = "gone.example.", .rcode = 3, .want = LOOKUP_NXDOMAIN},
    {.name = "SERVFAIL is no \"no MX\"",
     .domain = "sick.example", .asked = "sick.example.", .rcode = 2, .want = LOOKUP_SERVFAIL},
    {.name = "REFUSED is no \"no MX\"",
     .domain = "shut.example", .asked = "shut.example.", .rcode = 5, .want = LOOKUP_REFUSED},
    {.name = "IPv4 literal", .domain = "[10.0.0.1]", .want_hosts = "1 10.0.0.1 ",
     .want_site = "10.0.0.1", .want_domain = "[10.0.0.1]", .want_literal = true},
    {.name = "IPv4 literal with port", .domain = "[10.0.0.1]:2025",
     .want_hosts = "1 10.0.0.1:2025 ", .want_site = "10.0.0.1:2025",
     .want_domain = "[10.0.0.1]:2025", .want_literal = true},
    {.name = "IPv6 literal", .domain = "[IPv6:::1]", .want_hosts = "1 ::1 ", .want_site = "::1",
     .want_domain = "[IPv6:::1]", .want_literal = true},
    {.name = "an IPv6 literal may have a port", .domain = "[IPv6:::1]:2025",
     .want_hosts = "1 [::1]:2025 ", .want_site = "[::1]:2025",
     .want_domain = "[IPv6:::1]:2025", .want_literal = true},
    {.name = "a literal without end", .domain = "[10.0.0.1", .want = LOOKUP_BAD_NAME},
    {.name = "a literal that is no address", .domain = "[10.0.0.256]", .want = LOOKUP_BAD_NAME},
    {.name = "no name", .domain = "", .want = LOOKUP_BAD_NAME},
};

static bool hosts_match(const struct dns_mx *mx, const char *want)
{
    struct buf got = {0};
    bool ok;

    for (uint32_t i = 0; i < mx->host_count; i++) {
        buf_printf(&got, "%u %.*s ", mx->hosts[i].pref, SLICE_ARG(mx->hosts[i].name));
    }
    ok = slice_eq(buf_slice(&got), slice_str(want));
    if (!ok) {
        print_error("hosts: %.*s\n", SLICE_ARG(buf_slice(&got)));
    }
    buf_free(&got);
    return ok;
}

static bool mx_case_holds(const struct mx_case *c)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct mx_wait w = {0};
    struct buf m = {0};
    bool ok;

    mx_ask(b, 0, c->domain, &w);
    if (c->asked != NULL) {
        wire_begin(&m, c->asked, DNS_MX, c->rcode);
        for (size_t i = 0; i < ARRAY_COUNT(c->records) && c->records[i].host != NULL; i++) {
            wire_mx(&m, c->asked, 300, c->records[i].pref, c->records[i].host);
        }
        bench_answer(b, c->asked, DNS_MX, &m);
    }
    bench_turn(b, 0);
    ok = w.count == 1 && w.mx->status == c->want && bench_asked(b) == (c->asked != NULL) &&
         w.mx->is_mx == c->want_mx && w.mx->is_domain_literal == c->want_literal &&
         w.mx->is_null == c->want_null && !w.mx->is_secure;
    if (ok && c->want == LOOKUP_OK) {
        ok = hosts_match(w.mx, c->want_hosts) &&
             slice_eq(w.mx->site_name, slice_str(c->want_site)) &&
             slice_eq(w.mx->domain_name, slice_str(c->want_domain)) && w.mx->error.len == 0;
    } else if (ok) {
        ok = w.mx->host_count == 0 && w.mx->error.len > 0;
    }
    mx_clear(&w);
    buf_free(&m);
    bench_close(b);
    return ok;
}

static void domains_resolve_as_the_chapter_says(void **state)
{
    unsigned wrong_count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(mx_cases); i++) {
        if (!mx_case_holds(&mx_cases[i])) {
            print_error("%s\n", mx_cases[i].name);
            wrong_count++;
        }
    }
    assert_int_equal(wrong_count, 0);
}

static void a_failure_says_for_whom_after_how_long_and_why(void **state)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct mx_wait w = {0};
    struct buf m = {0};

    (void)state;
    mx_ask(b, 0, "gone.example", &w);
    bench_turn(b, 12);
    wire_begin(&m, "gone.example.", DNS_MX, 3);
    bench_answer(b, "gone.example.", DNS_MX, &m);
    assert_true(
        slice_eq(w.mx->error, SLICE("MX lookup for gone.example failed after 12ms: NXDOMAIN")));
    mx_ask(b, 0, "silent.example", &w);
    bench_turn(b, 5001);
    assert_int_equal(w.count, 2);
    assert_true(slice_eq(
        w.mx->error,
        SLICE("MX lookup for silent.example failed after 5.001s: deadline has elapsed")));
    mx_clear(&w);
    buf_free(&m);
    bench_close(b);
}

static void elapsed_times_print_as_the_reference_prints_them(void **state)
{
    static const struct {
        uint64_t ns;
        const char *want;
    } cases[] = {
        {0, "0ns"},
        {999, "999ns"},
        {1000, "1\xc2\xb5s"},
        {1500, "1.5\xc2\xb5s"},
        {12000345, "12.000345ms"},
        {UINT64_C(1000000000), "1s"},
        {UINT64_C(5001000001), "5.001000001s"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buf out = {0};

        dns_elapsed_put(&out, cases[i].ns);
        buf_char(&out, '\0');
        assert_string_equal(out.ptr, cases[i].want);
        buf_free(&out);
    }
}

static void a_result_is_made_once_and_shared(void **state)
{
    struct dns_bench *b = bench_open(2, NULL);
    struct mx_wait w[3] = {0};
    struct buf name = {0}, m = {0};

    (void)state;
    bench_name_of(b, &name, "d", 1);
    assert_null(dns_mx_peek(&b->resolvers[0], 0, slice_str(name.ptr)));
    for (int i = 0; i < 3; i++) {
        mx_ask(b, i == 2 ? 1 : 0, name.ptr, &w[i]);
    }
    bench_turn(b, 1);
    assert_int_equal(bench_asked(b), 1);
    wire_begin(&m, name.ptr, DNS_MX, 0);
    wire_mx(&m, name.ptr, 300, 10, "mx.example");
    bench_answer(b, name.ptr, DNS_MX, &m);
    bench_turn(b, 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(w[i].count, 1);
        assert_true(slice_eq(w[i].mx->site_name, SLICE("mx.example")));
    }
    assert_ptr_equal(w[0].mx, w[1].mx);
    assert_ptr_equal(w[0].mx, dns_mx_peek(&b->resolvers[0], 0, slice_str(name.ptr)));
    assert_int_equal(b->resolvers[0].counters.mx_in_progress, 0);
    bench_turn(b, 61000);
    assert_null(dns_mx_peek(&b->resolvers[0], 0, slice_str(name.ptr)));    /* a copy */
    assert_non_null(dns_mx_peek(&b->resolvers[1], 0, slice_str(name.ptr))); /* the owner's */
    for (int i = 0; i < 3; i++) {
        mx_clear(&w[i]);
    }
    buf_free(&name);
    buf_free(&m);
    bench_close(b);
}

static void a_failure_is_remembered_for_five_minutes(void **state)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct mx_wait w = {0};

    (void)state;
    mx_ask(b, 0, "sick.example", &w);
    bench_fail(b, "sick.example.", DNS_MX, LOOKUP_SERVFAIL);
    bench_turn(b, 299999);
    mx_ask(b, 0, "sick.example", &w);
    bench_turn(b, 0);
    assert_int_equal(w.count, 2);
    assert_int_equal(w.mx->status, LOOKUP_SERVFAIL);
    assert_int_equal(bench_asked(b), 1);
    bench_turn(b, 1);
    mx_ask(b, 0, "sick.example", &w);
    assert_int_equal(bench_asked(b), 2);
    dns_mx_unask(&w.wait);
    assert_int_equal(b->resolvers[0].counters.mx_in_progress, 0);
    mx_clear(&w);
    bench_close(b);
}

static bool keep_google(void *arg, struct slice name)
{
    (*(unsigned *)arg)++;
    return slice_ends(name, SLICE(".google.example."));
}

static void pruning_hosts_names_the_site_anew(void **state)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct mx_wait w = {0};
    struct buf m = {0};
    struct dns_mx *pruned;
    unsigned seen = 0;

    (void)state;
    mx_ask(b, 0, "d.example:26", &w);
    wire_begin(&m, "d.example.", DNS_MX, 0);
    wire_mx(&m, "d.example.", 300, 10, "a.google.example");
    wire_mx(&m, "d.example.", 300, 20, "mx.evil.example");
    bench_answer(b, "d.example.", DNS_MX, &m);
    pruned = dns_mx_pruned(w.mx, keep_google, &seen, b->now_ns + 5);
    assert_non_null(pruned);
    assert_int_equal(seen, 2);
    assert_int_equal(pruned->host_count, 1);
    assert_true(slice_eq(pruned->site_name, SLICE("a.google.example:26")));
    assert_true(slice_eq(pruned->hosts[0].dns_name, SLICE("a.google.example.")));
    assert_true(slice_eq(pruned->domain_name, SLICE("d.example.")));
    assert_int_equal(pruned->expires_ns, b->now_ns + 5);
    dns_mx_unref(pruned);
    mx_clear(&w);
    buf_free(&m);
    bench_close(b);
}

static void who_stops_waiting_is_not_told(void **state)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct mx_wait w = {0};

    (void)state;
    mx_ask(b, 0, "a.example", &w);
    dns_mx_unask(&w.wait);
    mx_ask(b, 0, "[10.0.0.1]", &w);
    dns_mx_unask(&w.wait);
    dns_mx_unask(&w.wait);
    bench_fail(b, "a.example.", DNS_MX, LOOKUP_TIMEOUT);
    bench_turn(b, 1);
    assert_int_equal(w.count, 0);
    assert_int_equal(b->resolvers[0].counters.mx_in_progress, 0);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domains_resolve_as_the_chapter_says),
        cmocka_unit_test(a_failure_says_for_whom_after_how_long_and_why),
        cmocka_unit_test(elapsed_times_print_as_the_reference_prints_them),
        cmocka_unit_test(a_result_is_made_once_and_shared),
        cmocka_unit_test(a_failure_is_remembered_for_five_minutes),
        cmocka_unit_test(pruning_hosts_names_the_site_anew),
        cmocka_unit_test(who_stops_waiting_is_not_told),
    };
    return cmocka_run_group_tests_name("core/net/dns_mx", tests, NULL, NULL);
}
