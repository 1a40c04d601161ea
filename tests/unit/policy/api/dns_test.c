/* kumo.dns.lookup_*: handlers suspend until the answer is there. The name server is a table. */
#include "core/net/dns_resolver.h"
#include "policy/api/api.h"
#include "tests/unit/policy/vm/vm_bench.h"

/* A backend that answers when the test says so. */
struct held_dns {
    struct dns_backend backend;
    struct dns_query *queries[8];
    uint32_t count;
};

static void held_query(struct dns_backend *b, struct slice name, uint16_t type, struct dns_query *q)
{
    struct held_dns *h = CONTAINER_OF(b, struct held_dns, backend);

    assert_true(h->count < ARRAY_COUNT(h->queries));
    q->pending = h;
    h->queries[h->count++] = q;
}

static void held_cancel(struct dns_backend *b, struct dns_query *q)
{
    struct held_dns *h = CONTAINER_OF(b, struct held_dns, backend);

    for (uint32_t i = 0; i < h->count; i++) {
        if (h->queries[i] == q) {
            h->queries[i] = h->queries[--h->count];
        }
    }
    q->pending = NULL;
}

static void held_close(struct dns_backend *b)
{
}

/* Answers the oldest query with an error; `message` may be a whole answer. */
static void held_answer(struct held_dns *h, enum dns_status status, struct slice message)
{
    assert_true(h->count > 0);
    struct dns_query *q = h->queries[0];

    h->queries[0] = h->queries[--h->count];
    q->pending = NULL;
    q->done(q, status, message);
}

struct dns_bench {
    struct vm_bench b;
    struct held_dns dns;
    struct resolver resolver;
    struct api_services services;
};

static void dns_bench_open(struct dns_bench *d, const char *source)
{
    struct dns_params params = DNS_PARAMS_DEFAULT;

    memset(d, 0, sizeof(*d));
    vm_bench_init(&d->b);
    d->b.library = api_library();
    vm_bench_load(&d->b, source);
    d->dns.backend = (struct dns_backend){
        .name = "held", .query = held_query, .cancel = held_cancel, .close = held_close};
    resolver_init(&d->resolver, &d->b.shard, &params);
    assert_int_equal(resolver_view_add(&d->resolver, SLICE(""), &d->dns.backend, false), 0);
    d->services.resolver = &d->resolver;
    vm_set_services(d->b.vm, &d->services);
}

static void dns_bench_close(struct dns_bench *d)
{
    vm_close(&d->b.vm);
    resolver_free(&d->resolver);
    vm_bench_close(&d->b);
}

static struct vm_call *ask(struct dns_bench *d, const char *event)
{
    struct vm_call *c = vm_bench_named(&d->b, event);

    if (vm_call_run(c, vm_bench_done, &d->b) != NULL) {
        fail_msg("the handler did not suspend");
    }
    vm_bench_advance(&d->b, 1);
    return c;
}

/* "t.test" TXT "hello" "world", one record of two strings. */
static const char txt_answer[] =
    "\x00\x00\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"
    "\x01t\x04test\x00\x00\x10\x00\x01"
    "\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x0c\x05hello\x05world";
/* "t.test" MX 10 m.t.test */
static const char mx_answer[] =
    "\x00\x00\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"
    "\x01t\x04test\x00\x00\x0f\x00\x01"
    "\xc0\x0c\x00\x0f\x00\x01\x00\x00\x00\x3c\x00\x06\x00\x0a\x01m\xc0\x0c";

static void txt_records_come_back_as_strings(void **state)
{
    struct dns_bench d;

    dns_bench_open(&d, "local kumo = require 'kumo' kumo.on('e', function() "
                       "return table.concat(kumo.dns.lookup_txt('t.test'), ',') end)");
    struct vm_call *c = ask(&d, "e");

    held_answer(&d.dns, LOOKUP_OK, slice_of(txt_answer, sizeof(txt_answer) - 1));
    vm_bench_advance(&d.b, 1);
    assert_int_equal(d.b.done_count, 1);
    assert_string_equal(d.b.why.ptr, "helloworld");
    vm_call_end(&c);
    dns_bench_close(&d);
}

static void mx_hosts_come_back_by_preference(void **state)
{
    struct dns_bench d;

    dns_bench_open(&d, "local kumo = require 'kumo' kumo.on('e', function() "
                       "local r = kumo.dns.lookup_mx('t.test') return r.domain_name .. r.hosts[1] "
                       ".. r.by_pref[10][1] .. "
                       "tostring(r.is_mx) .. tostring(r.is_domain_literal) end)");
    struct vm_call *c = ask(&d, "e");

    held_answer(&d.dns, LOOKUP_OK, slice_of(mx_answer, sizeof(mx_answer) - 1));
    vm_bench_advance(&d.b, 1);
    assert_string_equal(d.b.why.ptr, "t.test.m.t.test.m.t.test.truefalse");
    vm_call_end(&c);
    dns_bench_close(&d);
}

static void a_failed_lookup_raises(void **state)
{
    struct dns_bench d;

    dns_bench_open(&d, "local kumo = require 'kumo' kumo.on('e', function() return "
                       "kumo.dns.lookup_txt('t.test') end)\n"
                       "kumo.on('mx', function() local ok, e = pcall(kumo.dns.lookup_mx, 't.test') "
                       "return tostring(e) end)");
    struct vm_call *c = ask(&d, "e");

    held_answer(&d.dns, LOOKUP_SERVFAIL, (struct slice){0});
    vm_bench_advance(&d.b, 1);
    assert_non_null(strstr(d.b.why.ptr, "error TXT lookup for t.test failed: SERVFAIL"));
    vm_call_end(&c);
    c = ask(&d, "mx");
    held_answer(&d.dns, LOOKUP_SERVFAIL, (struct slice){0});
    vm_bench_advance(&d.b, 1);
    assert_int_equal(d.b.done_status, VM_RETURNED);
    assert_non_null(strstr(d.b.why.ptr, "MX lookup for t.test failed"));
    vm_call_end(&c);
    dns_bench_close(&d);
}

static void an_abandoned_lookup_leaves_nothing_behind(void **state)
{
    static const char *const events[] = {"txt", "mx", "addr", "ptr"};
    struct dns_bench d;

    dns_bench_open(&d, "local kumo = require 'kumo' local d = kumo.dns\n"
                       "kumo.on('txt', function() d.lookup_txt('t.test') end)\n"
                       "kumo.on('mx', function() d.lookup_mx('t.test') end)\n"
                       "kumo.on('addr', function() d.lookup_addr('t.test') end)\n"
                       "kumo.on('ptr', function() d.lookup_ptr('10.0.0.1') end)\n");
    for (size_t i = 0; i < ARRAY_COUNT(events); i++) {
        struct vm_call *c = ask(&d, events[i]);

        vm_call_end(&c);
    }
    while (d.dns.count > 0) {
        held_answer(&d.dns, LOOKUP_SERVFAIL, (struct slice){0});
        vm_bench_advance(&d.b, 1);
    }
    assert_int_equal(d.b.done_count, 0);
    dns_bench_close(&d);
}

static void bad_arguments_raise_before_anything_is_asked(void **state)
{
    struct dns_bench d;

    dns_bench_open(&d, "local kumo = require 'kumo' local d = kumo.dns\n"
                       "kumo.on('a', function() d.lookup_mx('t.test', 'nope') end)\n"
                       "kumo.on('b', function() d.lookup_addr('t.test', nil, 'Ipv5') end)\n"
                       "kumo.on('c', function() d.lookup_ptr('not an ip') end)\n");
    assert_non_null(strstr(vm_bench_say(&d.b, "a"), "resolver nope is not defined"));
    assert_non_null(strstr(vm_bench_say(&d.b, "b"), "invalid IP lookup strategy 'Ipv5'"));
    assert_non_null(strstr(vm_bench_say(&d.b, "c"), "'not an ip' is not an IP address"));
    assert_int_equal(d.dns.count, 0);
    dns_bench_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(txt_records_come_back_as_strings),
        cmocka_unit_test(mx_hosts_come_back_by_preference),
        cmocka_unit_test(a_failed_lookup_raises),
        cmocka_unit_test(an_abandoned_lookup_leaves_nothing_behind),
        cmocka_unit_test(bad_arguments_raise_before_anything_is_asked),
    };

    return cmocka_run_group_tests_name("policy/api/dns", tests, NULL, NULL);
}
