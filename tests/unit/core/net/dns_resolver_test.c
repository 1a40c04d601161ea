/* One answer and one query per question, whoever asks on whichever shard. */
#include "tests/unit/core/net/dns_bench.h"

#include <stdio.h>

static void bench_a(struct dns_bench *b, const char *name, uint32_t ttl_s, const char *ip)
{
    struct buf m = {0};

    wire_begin(&m, name, DNS_A, 0);
    wire_a(&m, name, ttl_s, ip);
    bench_answer(b, name, DNS_A, &m);
    buf_free(&m);
}

static void those_who_ask_the_same_share_one_query(void **state)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct bench_wait w[3] = {0};

    (void)state;
    bench_ask(b, 0, "mx.example.com", DNS_A, &w[0]);
    bench_ask(b, 0, "MX.Example.COM.", DNS_A, &w[1]);
    bench_ask(b, 0, "mx.example.com", DNS_AAAA, &w[2]);
    assert_int_equal(bench_asked(b), 2); /* A once, AAAA once */
    bench_a(b, "mx.example.com.", 60, "192.0.2.1");
    assert_int_equal(w[0].count, 1);
    assert_int_equal(w[1].count, 1);
    assert_int_equal(w[2].count, 0);
    assert_int_equal(w[1].set->status, LOOKUP_OK);
    assert_int_equal(dns_rr_ip(w[1].set, 0).bytes[3], 1);
    resolver_unask(&b->resolvers[0], &w[2].wait);
    for (int i = 0; i < 3; i++) {
        bench_wait_clear(&w[i]);
    }
    bench_close(b);
}

static void a_name_is_asked_for_by_its_owner_only(void **state)
{
    struct dns_bench *b = bench_open(3, NULL);
    struct bench_wait w[3] = {0};
    struct buf name = {0};

    (void)state;
    bench_name_of(b, &name, "host", 1);
    for (uint32_t i = 0; i < 3; i++) {
        bench_ask(b, i, name.ptr, DNS_A, &w[i]);
    }
    bench_turn(b, 1);
    assert_int_equal(bench_asked(b), 1);
    assert_int_equal(b->servers[1].asked_count, 1);
    bench_a(b, name.ptr, 60, "192.0.2.7");
    bench_turn(b, 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(w[i].count, 1);
        assert_int_equal(dns_rr_ip(w[i].set, 0).bytes[3], 7);
        bench_wait_clear(&w[i]);
    }
    /* and from now on from the copies */
    bench_ask(b, 2, name.ptr, DNS_A, &w[2]);
    bench_turn(b, 1);
    assert_int_equal(w[2].count, 1);
    assert_int_equal(b->resolvers[1].counters.answered_by_mail, 2);
    bench_wait_clear(&w[2]);
    buf_free(&name);
    bench_close(b);
}

static void a_copy_is_trusted_for_a_short_time_only(void **state)
{
    struct dns_bench *b = bench_open(2, NULL);
    struct bench_wait w = {0};
    struct buf name = {0};

    (void)state;
    bench_name_of(b, &name, "host", 1);
    bench_ask(b, 0, name.ptr, DNS_A, &w);
    bench_turn(b, 1);
    bench_a(b, name.ptr, 3600, "192.0.2.7");
    bench_turn(b, 1);
    bench_turn(b, 60001);
    bench_ask(b, 0, name.ptr, DNS_A, &w);
    bench_turn(b, 1);
    assert_int_equal(w.count, 2);
    assert_int_equal(b->resolvers[1].counters.answered_by_mail, 2); /* asked the owner again */
    assert_int_equal(bench_asked(b), 1);                            /* who still knows */
    bench_wait_clear(&w);
    buf_free(&name);
    bench_close(b);
}

struct ttl_case {
    const char *name;
    uint16_t type;
    unsigned rcode;
    uint32_t ttl_s;
    bool with_record;
    enum dns_status fail; /* LOOKUP_OK: a message */
    enum dns_status want;
    uint64_t want_kept_ms;
};

static const struct ttl_case ttl_cases[] = {
    {"records live as long as they say", DNS_A, 0, 30, true, LOOKUP_OK, LOOKUP_OK, 30000},
    {"a TTL of zero lives for a second", DNS_A, 0, 0, true, LOOKUP_OK, LOOKUP_OK, 1000},
    {"a TTL of a year is cut to a day", DNS_A, 0, 31536000, true, LOOKUP_OK, LOOKUP_OK, 86400000},
    {"no data without SOA is kept a minute", DNS_A, 0, 0, false, LOOKUP_OK, LOOKUP_NODATA, 60000},
    {"an unknown name is kept a minute", DNS_A, 3, 0, false, LOOKUP_OK, LOOKUP_NXDOMAIN, 60000},
    {"SERVFAIL is soon asked again", DNS_A, 2, 0, false, LOOKUP_OK, LOOKUP_SERVFAIL, 5000},
    {"REFUSED is soon asked again", DNS_A, 5, 0, false, LOOKUP_OK, LOOKUP_REFUSED, 5000},
    {"an odd code is a failure", DNS_A, 9, 0, false, LOOKUP_OK, LOOKUP_RCODE, 5000},
    {"silence is soon asked again", DNS_A, 0, 0, false, LOOKUP_TIMEOUT, LOOKUP_TIMEOUT, 5000},
    {"MX: unknown name is kept five minutes", DNS_MX, 3, 0, false, LOOKUP_OK, LOOKUP_NXDOMAIN,
     300000},
    {"MX: SERVFAIL is kept five minutes", DNS_MX, 2, 0, false, LOOKUP_OK, LOOKUP_SERVFAIL, 300000},
    {"MX: silence is kept five minutes", DNS_MX, 0, 0, false, LOOKUP_TIMEOUT, LOOKUP_TIMEOUT,
     300000},
    {"MX: no data is kept a minute", DNS_MX, 0, 0, false, LOOKUP_OK, LOOKUP_NODATA, 60000},
};

static bool ttl_case_holds(const struct ttl_case *c)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct bench_wait w = {0};
    struct buf m = {0};
    bool ok;

    wire_begin(&m, "a.example.", c->type, c->rcode);
    if (c->with_record) {
        wire_a(&m, "a.example.", c->ttl_s, "192.0.2.1");
    }
    bench_ask(b, 0, "a.example", c->type, &w);
    if (c->fail != LOOKUP_OK) {
        bench_fail(b, "a.example.", c->type, c->fail);
    } else {
        bench_answer(b, "a.example.", c->type, &m);
    }
    ok = w.count == 1 && w.set->status == c->want;
    bench_turn(b, c->want_kept_ms - 1);
    bench_ask(b, 0, "a.example", c->type, &w);
    bench_turn(b, 0);
    ok = ok && w.count == 2 && bench_asked(b) == 1;
    bench_turn(b, 1);
    bench_ask(b, 0, "a.example", c->type, &w);
    ok = ok && bench_asked(b) == 2;
    resolver_unask(&b->resolvers[0], &w.wait);
    bench_wait_clear(&w);
    buf_free(&m);
    bench_close(b);
    return ok;
}

static void answers_are_kept_exactly_as_long_as_they_are_good(void **state)
{
    unsigned wrong_count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ttl_cases); i++) {
        if (!ttl_case_holds(&ttl_cases[i])) {
            print_error("%s\n", ttl_cases[i].name);
            wrong_count++;
        }
    }
    assert_int_equal(wrong_count, 0);
}

static void nonsense_is_a_failure_and_not_an_empty_answer(void **state)
{
    static const char *const messages[] = {"", "x", "0123456789ab",
                                           "\x12\x34\x81\x80\0\1\0\1\0\0\0"};
    struct dns_bench *b = bench_open(1, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(messages); i++) {
        struct bench_wait w = {0};
        struct buf m = {0};
        char name[32];

        snprintf(name, sizeof(name), "n%zu.example.", i);
        buf_append(&m, messages[i], i == 3 ? 12 : strlen(messages[i]));
        bench_ask(b, 0, name, DNS_MX, &w);
        bench_answer(b, name, DNS_MX, &m);
        assert_int_equal(w.count, 1);
        assert_int_equal(w.set->status, LOOKUP_MALFORMED);
        bench_wait_clear(&w);
        buf_free(&m);
    }
    bench_close(b);
}

static void an_answer_to_another_type_is_a_failure(void **state)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct bench_wait w = {0};
    struct buf m = {0};

    (void)state;
    wire_begin(&m, "a.example.", DNS_A, 0);
    wire_a(&m, "a.example.", 60, "192.0.2.1");
    bench_ask(b, 0, "a.example", DNS_AAAA, &w);
    bench_answer(b, "a.example.", DNS_AAAA, &m);
    assert_int_equal(w.set->status, LOOKUP_MALFORMED);
    bench_wait_clear(&w);
    buf_free(&m);
    bench_close(b);
}

static void what_is_no_name_is_refused_without_asking(void **state)
{
    static const char long_label[] = "0123456789012345678901234567890123456789"
                                     "012345678901234567890123.example";
    static const char *const names[] = {"",       ".",           "..",      "a..b", "a b",
                                        "a\\046b", "\x01.example", long_label};
    struct dns_bench *b = bench_open(1, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct bench_wait w = {0};

        bench_ask(b, 0, names[i], DNS_A, &w);
        bench_turn(b, 0);
        assert_int_equal(w.count, 1);
        assert_int_equal(w.set->status, LOOKUP_BAD_NAME);
        bench_wait_clear(&w);
    }
    assert_int_equal(bench_asked(b), 0);
    bench_close(b);
}

static void mx_questions_take_turns(void **state)
{
    struct dns_params params = DNS_PARAMS_DEFAULT;
    struct dns_bench *b;
    struct bench_wait w[3] = {0};

    (void)state;
    params.mx_concurrency = 2;
    b = bench_open(1, &params);
    bench_ask(b, 0, "a.example", DNS_MX, &w[0]);
    bench_ask(b, 0, "b.example", DNS_MX, &w[1]);
    bench_ask(b, 0, "c.example", DNS_MX, &w[2]);
    assert_int_equal(bench_asked(b), 2);
    bench_fail(b, "a.example.", DNS_MX, LOOKUP_SERVFAIL);
    assert_int_equal(bench_asked(b), 3);
    bench_fail(b, "c.example.", DNS_MX, LOOKUP_SERVFAIL);
    bench_fail(b, "b.example.", DNS_MX, LOOKUP_SERVFAIL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(w[i].count, 1);
        bench_wait_clear(&w[i]);
    }
    bench_close(b);
}

/* The one that was never asked says nothing about its name, so it is not remembered as failed. */
static void at_the_deadline_the_asked_time_out_and_the_unasked_may_try_again(void **state)
{
    struct dns_params params = DNS_PARAMS_DEFAULT;
    struct dns_bench *b;
    struct bench_wait asked = {0}, unasked = {0};

    (void)state;
    params.mx_concurrency = 1;
    b = bench_open(1, &params);
    bench_ask(b, 0, "a.example", DNS_MX, &asked);
    bench_ask(b, 0, "b.example", DNS_MX, &unasked);
    bench_turn(b, 4999);
    assert_int_equal(asked.count, 0);
    bench_turn(b, 2);
    assert_int_equal(asked.count, 1);
    assert_int_equal(asked.set->status, LOOKUP_TIMEOUT);
    assert_int_equal(unasked.count, 1);
    /* the first deadline makes room, so the second may have had its turn at the last moment */
    if (unasked.set->status == LOOKUP_BUSY) {
        bench_turn(b, 1000);
        bench_ask(b, 0, "b.example", DNS_MX, &unasked);
        assert_int_equal(b->servers[0].asked_count, 2);
    } else {
        assert_int_equal(unasked.set->status, LOOKUP_TIMEOUT);
    }
    assert_true(b->servers[0].cancelled_count >= 1);
    resolver_unask(&b->resolvers[0], &unasked.wait);
    bench_wait_clear(&asked);
    bench_wait_clear(&unasked);
    bench_close(b);
}

static void too_many_questions_are_refused_and_not_queued(void **state)
{
    struct dns_params params = DNS_PARAMS_DEFAULT;
    struct dns_bench *b;
    struct bench_wait w[3] = {0};

    (void)state;
    params.flight_count_max = 2;
    b = bench_open(1, &params);
    bench_ask(b, 0, "a.example", DNS_A, &w[0]);
    bench_ask(b, 0, "b.example", DNS_A, &w[1]);
    bench_ask(b, 0, "c.example", DNS_A, &w[2]);
    bench_turn(b, 0);
    assert_int_equal(w[2].count, 1);
    assert_int_equal(w[2].set->status, LOOKUP_BUSY);
    bench_a(b, "a.example.", 60, "192.0.2.1");
    bench_ask(b, 0, "c.example", DNS_A, &w[2]);
    assert_int_equal(bench_asked(b), 3);
    bench_turn(b, 30000);
    for (int i = 0; i < 3; i++) {
        bench_wait_clear(&w[i]);
    }
    bench_close(b);
}

static void the_cache_is_bounded_and_forgets_the_least_recently_used(void **state)
{
    struct dns_params params = DNS_PARAMS_DEFAULT;
    struct dns_bench *b;
    struct bench_wait w = {0};
    char name[32];

    (void)state;
    params.cache_count_max = 10;
    b = bench_open(1, &params);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "n%u.example.", i);
        bench_ask(b, 0, name, DNS_A, &w);
        bench_a(b, name, 3600, "192.0.2.1");
        bench_ask(b, 0, "n0.example.", DNS_A, &w); /* stays in use */
        bench_turn(b, 0);
    }
    assert_int_equal(bench_asked(b), 100);
    assert_int_equal(b->resolvers[0].cache.entries.count, 10);
    bench_ask(b, 0, "n1.example.", DNS_A, &w);
    assert_int_equal(bench_asked(b), 101);
    resolver_unask(&b->resolvers[0], &w.wait);
    bench_wait_clear(&w);
    bench_close(b);
}

static void who_stops_waiting_is_not_told_and_the_answer_is_kept(void **state)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct bench_wait w = {0};

    (void)state;
    bench_ask(b, 0, "a.example", DNS_A, &w);
    resolver_unask(&b->resolvers[0], &w.wait);
    bench_a(b, "a.example.", 60, "192.0.2.1");
    bench_ask(b, 0, "a.example", DNS_A, &w); /* from the cache, on its way */
    resolver_unask(&b->resolvers[0], &w.wait);
    bench_turn(b, 1);
    assert_int_equal(w.count, 0);
    assert_int_equal(bench_asked(b), 1);
    bench_close(b);
}

static void the_hosts_file_comes_before_dns(void **state)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct bench_wait w = {0};

    (void)state;
    dns_hosts_parse(&b->resolvers[0].hosts,
                    SLICE("# comment\n"
                          "192.0.2.9 relay.internal Relay # ours\r\n"
                          "192.0.2.10\trelay.internal\n"
                          "not-an-address x.example\n"
                          "2001:db8::9 relay6"));
    bench_ask(b, 0, "RELAY.internal", DNS_A, &w);
    bench_turn(b, 0);
    assert_int_equal(w.set->rr_count, 2);
    assert_int_equal(dns_rr_ip(w.set, 0).bytes[3], 9);
    bench_ask(b, 0, "relay", DNS_AAAA, &w); /* known, but has none */
    bench_turn(b, 0);
    assert_int_equal(w.set->status, LOOKUP_NODATA);
    bench_ask(b, 0, "relay6", DNS_AAAA, &w);
    bench_turn(b, 0);
    assert_int_equal(w.set->rr_count, 1);
    bench_ask(b, 0, "localhost", DNS_A, &w);
    bench_turn(b, 0);
    assert_int_equal(dns_rr_ip(w.set, 0).bytes[0], 127);
    assert_int_equal(bench_asked(b), 0);
    bench_ask(b, 0, "x.example", DNS_A, &w);
    assert_int_equal(bench_asked(b), 1);
    resolver_unask(&b->resolvers[0], &w.wait);
    bench_wait_clear(&w);
    bench_close(b);
}

static void views_do_not_share_answers(void **state)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct resolver *r = &b->resolvers[0];
    struct bench_wait w = {0};
    struct buf m = {0};
    uint8_t view = resolver_view_add(r, SLICE("special"), &b->other.backend, true);

    (void)state;
    assert_int_equal(resolver_view_find(r, SLICE("special")), view);
    assert_int_equal(resolver_view_find(r, SLICE("missing")), DNS_VIEW_NONE);
    wire_begin(&m, "a.example.", DNS_A, WIRE_AD);
    wire_a(&m, "a.example.", 60, "192.0.2.1");
    bench_ask(b, 0, "a.example", DNS_A, &w);
    bench_answer(b, "a.example.", DNS_A, &m);
    assert_false(w.set->secure); /* this server's word is not trusted */
    resolver_ask(r, &(struct dns_question){SLICE("a.example"), DNS_A, view}, &w.wait);
    assert_int_equal(b->other.asked_count, 1);
    bench_server_answer(&b->other, "a.example.", DNS_A, LOOKUP_OK, &m);
    assert_int_equal(w.count, 2);
    assert_true(w.set->secure);
    bench_wait_clear(&w);
    buf_free(&m);
    bench_close(b);
}

static void an_alias_is_followed(void **state)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct bench_wait w = {0};
    struct buf m = {0};

    (void)state;
    wire_begin(&m, "alias.example.", DNS_TXT, 0);
    wire_name(&m, DNS_CNAME, "alias.example.", 5, "real.example.");
    wire_text(&m, "real.example.", 600, "hello");
    bench_ask(b, 0, "alias.example", DNS_TXT, &w);
    bench_answer(b, "alias.example.", DNS_TXT, &m);
    assert_int_equal(w.set->rr_count, 1);
    assert_true(slice_eq(dns_rr_bytes(w.set, 0), SLICE("hello")));
    assert_int_equal(w.set->expires_ns, b->now_ns + 5 * UINT64_C(1000000000));
    bench_wait_clear(&w);
    buf_free(&m);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_who_ask_the_same_share_one_query),
        cmocka_unit_test(a_name_is_asked_for_by_its_owner_only),
        cmocka_unit_test(a_copy_is_trusted_for_a_short_time_only),
        cmocka_unit_test(answers_are_kept_exactly_as_long_as_they_are_good),
        cmocka_unit_test(nonsense_is_a_failure_and_not_an_empty_answer),
        cmocka_unit_test(an_answer_to_another_type_is_a_failure),
        cmocka_unit_test(what_is_no_name_is_refused_without_asking),
        cmocka_unit_test(mx_questions_take_turns),
        cmocka_unit_test(at_the_deadline_the_asked_time_out_and_the_unasked_may_try_again),
        cmocka_unit_test(too_many_questions_are_refused_and_not_queued),
        cmocka_unit_test(the_cache_is_bounded_and_forgets_the_least_recently_used),
        cmocka_unit_test(who_stops_waiting_is_not_told_and_the_answer_is_kept),
        cmocka_unit_test(the_hosts_file_comes_before_dns),
        cmocka_unit_test(views_do_not_share_answers),
        cmocka_unit_test(an_alias_is_followed),
    };
    return cmocka_run_group_tests_name("core/net/dns_resolver", tests, NULL, NULL);
}
