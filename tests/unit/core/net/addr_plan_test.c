/* Expectations: address plan, port precedence and whole-queue outcomes of the delivery chapter. */
#include "tests/unit/core/net/dns_bench.h"

#include <stdio.h>
#include <string.h>

#include "core/net/addr_plan.h"
#include "core/net/dns_mx.h"
#include "core/net/mx_list.h"

struct planned {
    struct addr_planner planner;
    struct addr_plan plan;
    unsigned count;
};

static void planned_fn(struct addr_planner *p, struct addr_plan *plan)
{
    struct planned *pl = CONTAINER_OF(p, struct planned, planner);

    pl->plan = *plan;
    pl->count++;
}

static struct dns_mx *mx_of(const char *domain, const char *const *hosts, const uint16_t *prefs,
                            size_t count)
{
    struct dns_set_builder builder = {0};
    struct dns_set *set;
    struct dns_mx *mx;

    for (size_t i = 0; i < count; i++) {
        assert_true(dns_set_add(&builder, prefs[i], slice_str(hosts[i])));
    }
    set = dns_set_build(&builder, DNS_MX);
    set->expires_ns = UINT64_MAX;
    mx = dns_mx_build(slice_str(domain), set);
    dns_set_unref(set);
    return mx;
}

static void plan_mx(struct dns_bench *b, struct planned *pl, const struct dns_mx *mx,
                    enum ip_strategy strategy)
{
    pl->planner.fn = planned_fn;
    addr_planner_mx(&pl->planner, &b->resolvers[0], 0, mx, strategy);
    assert_int_equal(pl->count, 0); /* never inline */
}

static void answer_ips(struct dns_bench *b, const char *name, uint16_t type, const char *ip1,
                       const char *ip2)
{
    struct buf m = {0};

    wire_begin(&m, name, type, 0);
    if (ip1 != NULL) {
        wire_a(&m, name, 300, ip1);
    }
    if (ip2 != NULL) {
        wire_a(&m, name, 300, ip2);
    }
    bench_answer(b, name, type, &m);
    buf_free(&m);
}

/* "name/ip " of each address in plan order. */
static void plan_text(const struct addr_plan *plan, struct buf *out)
{
    buf_clear(out);
    for (uint32_t i = 0; i < plan->count; i++) {
        addr_target_put(out, plan, &plan->targets[i]);
        buf_char(out, ' ');
    }
    buf_char(out, '\0');
    out->len--;
}

static void assert_plan(const struct addr_plan *plan, const char *want)
{
    struct buf got = {0};

    plan_text(plan, &got);
    assert_string_equal(got.ptr, want);
    buf_free(&got);
}

static void preferences_ascend_and_a_preference_is_shuffled(void **state)
{
    static const char *const hosts[] = {"mx1.example.", "mx2.example.", "backup.example."};
    static const uint16_t prefs[] = {10, 10, 20};
    struct dns_bench *b = bench_open(1, NULL);
    struct dns_mx *mx = mx_of("d.example", hosts, prefs, 3);
    unsigned first_is_mx1 = 0, orders = 0;
    uint8_t last_first = 0;
    const unsigned rounds = 200;

    (void)state;
    for (unsigned i = 0; i < rounds; i++) {
        struct planned pl = {0};

        plan_mx(b, &pl, mx, IP_STRATEGY_Ipv4Only);
        if (i == 0) {
            /* whatever order the answers come in */
            answer_ips(b, "backup.example.", DNS_A, "192.0.2.30", NULL);
            answer_ips(b, "mx2.example.", DNS_A, "192.0.2.20", "192.0.2.21");
            answer_ips(b, "mx1.example.", DNS_A, "192.0.2.10", "192.0.2.11");
        }
        bench_turn(b, 0);
        assert_int_equal(pl.count, 1);
        assert_int_equal(pl.plan.count, 5);
        assert_int_equal(pl.plan.targets[4].ip.bytes[3], 30);
        for (uint32_t k = 0; k < 4; k++) {
            assert_true(pl.plan.targets[k].ip.bytes[3] < 30);
        }
        first_is_mx1 += pl.plan.targets[0].ip.bytes[3] < 20;
        orders += pl.plan.targets[0].ip.bytes[3] != last_first;
        last_first = pl.plan.targets[0].ip.bytes[3];
        addr_plan_free(&pl.plan);
    }
    assert_in_range(first_is_mx1, rounds / 4, rounds * 3 / 4);
    assert_true(orders > rounds / 4);
    dns_mx_unref(mx);
    bench_close(b);
}

static void hosts_that_fail_are_skipped_and_named(void **state)
{
    static const char *const hosts[] = {"bad.example.", "good.example."};
    static const uint16_t prefs[] = {10, 20};
    struct dns_bench *b = bench_open(1, NULL);
    struct dns_mx *mx = mx_of("d.example", hosts, prefs, 2);
    struct planned pl = {0};

    (void)state;
    plan_mx(b, &pl, mx, IP_STRATEGY_Ipv4AndIpv6);
    bench_fail(b, "bad.example.", DNS_A, LOOKUP_SERVFAIL);
    bench_fail(b, "bad.example.", DNS_AAAA, LOOKUP_TIMEOUT);
    answer_ips(b, "good.example.", DNS_AAAA, "2001:db8::1", NULL);
    assert_int_equal(pl.count, 0);
    bench_fail(b, "good.example.", DNS_A, LOOKUP_SERVFAIL); /* one family is enough */
    assert_int_equal(pl.count, 1);
    assert_plan(&pl.plan, "good.example./2001:db8::1 ");
    assert_true(slice_eq(buf_slice(&pl.plan.skipped), SLICE("bad.example.: SERVFAIL")));
    addr_plan_free(&pl.plan);
    dns_mx_unref(mx);
    bench_close(b);
}

static void duplicates_are_kept(void **state)
{
    static const char *const hosts[] = {"mx1.example.", "mx1.example."};
    static const uint16_t prefs[] = {10, 10};
    struct dns_bench *b = bench_open(1, NULL);
    struct dns_mx *mx = mx_of("d.example", hosts, prefs, 2);
    struct planned pl = {0};

    (void)state;
    plan_mx(b, &pl, mx, IP_STRATEGY_Ipv4Only);
    answer_ips(b, "mx1.example.", DNS_A, "192.0.2.1", NULL);
    assert_plan(&pl.plan, "mx1.example./192.0.2.1 mx1.example./192.0.2.1 ");
    addr_plan_free(&pl.plan);
    dns_mx_unref(mx);
    bench_close(b);
}

struct strategy_case {
    const char *strategy;
    bool has_v4, has_v6;
    const char *want_asked; /* types in order */
    const char *want;
};

static const struct strategy_case strategy_cases[] = {
    {"Ipv4AndIpv6", true, true, "A AAAA ", "h.example/192.0.2.1 h.example/2001:db8::1 "},
    {"Ipv4Only", true, true, "A ", "h.example/192.0.2.1 "},
    {"Ipv6Only", true, true, "AAAA ", "h.example/2001:db8::1 "},
    {"Ipv4ThenIpv6", true, true, "A ", "h.example/192.0.2.1 "},
    {"Ipv4ThenIpv6", false, true, "A AAAA ", "h.example/2001:db8::1 "},
    {"Ipv6ThenIpv4", true, true, "AAAA ", "h.example/2001:db8::1 "},
    {"Ipv6ThenIpv4", true, false, "AAAA A ", "h.example/192.0.2.1 "},
    {"Ipv6Only", true, false, "AAAA ", ""},
};

static void asked_answer(struct dns_bench *b, const struct strategy_case *c, struct buf *asked)
{
    struct bench_server *s = &b->servers[0];

    /* In the order asked; AAAA is answered first where both are open, and A still leads. */
    for (struct dlist *n = s->open.next; n != &s->open; n = n->next) {
        BUF_LIT(asked, "A");
        if (CONTAINER_OF(n, struct bench_query, link)->type == DNS_AAAA) {
            BUF_LIT(asked, "AAA");
        }
        BUF_LIT(asked, " ");
    }
    while (!dlist_empty(&s->open)) {
        const uint16_t type = CONTAINER_OF(s->open.prev, struct bench_query, link)->type;

        if (type == DNS_A) {
            answer_ips(b, "h.example.", DNS_A, c->has_v4 ? "192.0.2.1" : NULL, NULL);
        } else {
            answer_ips(b, "h.example.", DNS_AAAA, c->has_v6 ? "2001:db8::1" : NULL, NULL);
        }
        if (!dlist_empty(&s->open) &&
            CONTAINER_OF(s->open.prev, struct bench_query, link)->type != type &&
            c->strategy[4] != 'A') {
            asked_answer(b, c, asked);
        }
    }
}

static void each_strategy_asks_for_its_families(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(strategy_cases); i++) {
        const struct strategy_case *c = &strategy_cases[i];
        struct dns_bench *b = bench_open(1, NULL);
        struct mx_list list = {0};
        struct planned pl = {.planner.fn = planned_fn};
        struct buf asked = {0}, why = {0};
        enum ip_strategy strategy;

        assert_true(ip_strategy_parse(slice_str(c->strategy), &strategy));
        assert_true(mx_list_add(&list, SLICE("h.example"), &why));
        addr_planner_list(&pl.planner, &b->resolvers[0], 0, &list, strategy);
        asked_answer(b, c, &asked);
        bench_turn(b, 0);
        assert_int_equal(pl.count, 1);
        buf_char(&asked, '\0');
        if (strcmp(asked.ptr, c->want_asked) != 0) {
            fail_msg("row %zu (%s): asked %s", i, c->strategy, asked.ptr);
        }
        assert_plan(&pl.plan, c->want);
        addr_plan_free(&pl.plan);
        mx_list_free(&list);
        buf_free(&asked);
        bench_close(b);
    }
}

struct entry_case {
    const char *text;
    const char *want; /* name|ip|port, or NULL when refused */
};

static const struct entry_case entry_cases[] = {
    {"smart.host.local", "smart.host.local||-"},
    {"smart.host.local:2025", "smart.host.local||2025"},
    {"10.0.0.1", "10.0.0.1|10.0.0.1|-"},
    {"10.0.0.1:25", "10.0.0.1:25|10.0.0.1|25"},
    {"2001:db8::1", "2001:db8::1|2001:db8::1|-"},
    {"[10.0.0.1]", "[10.0.0.1]|10.0.0.1|-"},
    {"[10.0.0.1]:2025", "[10.0.0.1]:2025|10.0.0.1|2025"},
    {"[IPv6:::1]", "[IPv6:::1]|::1|-"},
    {"[ipv6:::1]:26", "[ipv6:::1]:26|::1|26"},
    {"[::1]", "[::1]|::1|-"},
    {"[::1]:26", "[::1]:26|::1|26"},
    {"/run/lmtp.sock", NULL},
    {"", NULL},
    {"[", NULL},
    {"[nonsense]", NULL},
    {"a b", NULL},
    {"a..b", NULL},
};

static void list_entries_read_as_the_grammar_says(void **state)
{
    unsigned wrong_count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(entry_cases); i++) {
        const struct entry_case *c = &entry_cases[i];
        struct mx_list list = {0};
        struct buf why = {0}, got = {0};
        const bool ok = mx_list_add(&list, slice_str(c->text), &why);

        if (ok) {
            buf_put(&got, mx_list_name(&list, 0));
            buf_char(&got, '|');
            if (list.entries[0].ip.family != IP_NONE) {
                ip_put(&got, &list.entries[0].ip);
            }
            buf_printf(&got, list.entries[0].has_port ? "|%u" : "|-", list.entries[0].port);
        }
        if (ok != (c->want != NULL) || ok == (why.len > 0) ||
            (ok && !slice_eq(buf_slice(&got), slice_str(c->want)))) {
            print_error("`%s`: %.*s %.*s\n", c->text, SLICE_ARG(buf_slice(&got)),
                        SLICE_ARG(buf_slice(&why)));
            wrong_count++;
        }
        mx_list_free(&list);
        buf_free(&why);
        buf_free(&got);
    }
    assert_int_equal(wrong_count, 0);
}

static void a_list_keeps_its_order_and_names_its_site(void **state)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct mx_list list = {0};
    struct planned pl = {.planner.fn = planned_fn};
    struct buf why = {0}, site = {0};

    (void)state;
    assert_true(mx_list_add(&list, SLICE("smart.host.local:2025"), &why));
    assert_true(mx_list_add_table(&list, SLICE("mx"), SLICE("10.0.0.1"), true, &why));
    assert_true(mx_list_add_table(&list, SLICE("mx"), SLICE("[::1]:26"), false, &why));
    assert_false(mx_list_add_table(&list, SLICE("mx"), SLICE("/run/s"), false, &why));
    mx_list_site_put(&site, &list);
    assert_true(slice_eq(buf_slice(&site),
                         SLICE("mx_list:smart.host.local:2025,10.0.0.1,[::1]:26")));
    addr_planner_list(&pl.planner, &b->resolvers[0], 0, &list, IP_STRATEGY_Ipv4Only);
    mx_list_free(&list); /* nothing passed in is referred to */
    answer_ips(b, "smart.host.local.", DNS_A, "192.0.2.1", "192.0.2.2");
    assert_plan(&pl.plan, "smart.host.local/192.0.2.1 smart.host.local/192.0.2.2 mx/10.0.0.1 "
                          "mx/::1 ");
    assert_int_equal(addr_target_port(&pl.plan.targets[0], false, 0, 25), 2025);
    assert_int_equal(addr_target_port(&pl.plan.targets[0], true, 587, 25), 587);
    assert_int_equal(addr_target_port(&pl.plan.targets[2], false, 0, 25), 25);
    assert_int_equal(addr_target_port(&pl.plan.targets[3], false, 0, 25), 26);
    assert_true(pl.plan.targets[2].secure);
    assert_false(pl.plan.targets[3].secure);
    for (uint32_t i = 0; i < 4; i++) {
        assert_ptr_equal(addr_plan_take(&pl.plan), &pl.plan.targets[i]);
    }
    assert_null(addr_plan_take(&pl.plan));
    addr_plan_free(&pl.plan);
    buf_free(&why);
    buf_free(&site);
    bench_close(b);
}

static void cancelling_a_plan_tells_nobody(void **state)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct mx_list list = {0};
    struct planned pl = {.planner.fn = planned_fn};
    struct buf why = {0};

    (void)state;
    for (unsigned i = 0; i < 20; i++) { /* more than are looked up at once */
        char name[32];

        snprintf(name, sizeof(name), "h%u.example", i);
        assert_true(mx_list_add(&list, slice_str(name), &why));
    }
    addr_planner_list(&pl.planner, &b->resolvers[0], 0, &list, IP_STRATEGY_Ipv4AndIpv6);
    assert_int_equal(bench_asked(b), 2 * ADDR_PLAN_LOOKUPS);
    answer_ips(b, "h0.example.", DNS_A, "192.0.2.1", NULL);
    addr_planner_cancel(&pl.planner);
    addr_planner_cancel(&pl.planner);
    bench_turn(b, 30000);
    assert_int_equal(pl.count, 0);
    mx_list_free(&list);
    bench_close(b);
}

/* Judging. */

static struct ip_net net_of(const char *text)
{
    struct ip_net net;
    struct buf why = {0};

    assert_true(ip_net_parse(slice_str(text), &net, &why));
    buf_free(&why);
    return net;
}

struct judge_case {
    const char *name;
    const char *domain;
    const char *host;
    const char *ips[2];
    const char *prohibited, *skip;
    enum addr_verdict want;
    unsigned want_code;
    const char *want_text;
    uint32_t want_left;
};

static const struct judge_case judge_cases[] = {
    {"nothing against it", "d.example", "mx.example.", {"192.0.2.1", "192.0.2.2"}, NULL, NULL,
     ADDR_GO, 0, "", 2},
    {"null MX", "d.example", ".", {NULL}, NULL, NULL, ADDR_NULL_MX, 556,
     "Recipient address has a null MX", 0},
    {"no addresses", "d.example", "mx.example.", {NULL}, NULL, NULL, ADDR_NO_ADDRESS, 451,
     "MX didn't resolve to any hosts", 0},
    {"any prohibited address is enough", "d.example", "mx.example.", {"192.0.2.1", "127.0.0.1"},
     "127.0.0.0/8", NULL, ADDR_PROHIBITED, 550,
     "mx.example./127.0.0.1 is on the list of prohibited_hosts {\"127.0.0.0/8\"}", 2},
    {"prohibited comes before skipped", "d.example", "mx.example.", {"127.0.0.1", NULL},
     "127.0.0.1", "127.0.0.1", ADDR_PROHIBITED, 550,
     "mx.example./127.0.0.1 is on the list of prohibited_hosts {\"127.0.0.1\"}", 1},
    {"skipped addresses are taken out", "d.example", "mx.example.", {"192.0.2.1", "192.0.2.2"},
     NULL, "192.0.2.1", ADDR_GO, 0, "", 1},
    {"all skipped", "d.example", "mx.example.", {"192.0.2.1", NULL}, NULL, "192.0.2.0/24",
     ADDR_SKIPPED, 451,
     "KumoMTA internal: MX consisted solely of hosts on the skip_hosts list", 0},
    {"literals are judged too", "[127.0.0.1]", NULL, {NULL}, "127.0.0.0/8", NULL, ADDR_PROHIBITED,
     550, "127.0.0.1/127.0.0.1 is on the list of prohibited_hosts {\"127.0.0.0/8\"}", 1},
};

static bool judge_case_holds(const struct judge_case *c)
{
    struct dns_bench *b = bench_open(1, NULL);
    const uint16_t pref = 10;
    struct dns_mx *mx = mx_of(c->domain, &c->host, &pref, c->host != NULL);
    struct planned pl = {0};
    struct buf text = {0};
    struct ip_net prohibited = c->prohibited != NULL ? net_of(c->prohibited) : (struct ip_net){0};
    struct ip_net skip = c->skip != NULL ? net_of(c->skip) : (struct ip_net){0};
    struct addr_judgement j;
    bool ok;

    plan_mx(b, &pl, mx, IP_STRATEGY_Ipv4Only);
    if (c->host != NULL && strcmp(c->host, ".") != 0) {
        answer_ips(b, c->host, DNS_A, c->ips[0], c->ips[1]);
    }
    bench_turn(b, 0);
    assert_int_equal(pl.count, 1);
    j = addr_plan_judge(&pl.plan, (struct ip_net_list){&prohibited, c->prohibited != NULL},
                        (struct ip_net_list){&skip, c->skip != NULL}, &text);
    ok = j.verdict == c->want && j.code == c->want_code &&
         slice_eq(buf_slice(&text), slice_str(c->want_text)) &&
         addr_plan_left(&pl.plan) == c->want_left && j.bounce == (c->want_code >= 500);
    if (!ok) {
        print_error("%s: %u %.*s\n", c->name, j.code, SLICE_ARG(buf_slice(&text)));
    }
    buf_free(&text);
    addr_plan_free(&pl.plan);
    dns_mx_unref(mx);
    bench_close(b);
    return ok;
}

static void plans_are_judged_in_the_chapter_s_order(void **state)
{
    unsigned wrong_count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(judge_cases); i++) {
        wrong_count += !judge_case_holds(&judge_cases[i]);
    }
    assert_int_equal(wrong_count, 0);
}

static void a_configured_name_that_fails_says_why(void **state)
{
    struct dns_bench *b = bench_open(1, NULL);
    struct mx_list list = {0};
    struct planned pl = {.planner.fn = planned_fn};
    struct buf why = {0}, text = {0};
    struct addr_judgement j;

    (void)state;
    assert_true(mx_list_add(&list, SLICE("smart.host:2025"), &why));
    addr_planner_list(&pl.planner, &b->resolvers[0], 0, &list, IP_STRATEGY_Ipv4Only);
    bench_fail(b, "smart.host.", DNS_A, LOOKUP_SERVFAIL);
    j = addr_plan_judge(&pl.plan, (struct ip_net_list){0}, (struct ip_net_list){0}, &text);
    assert_int_equal(j.code, 451);
    assert_false(j.bounce);
    assert_true(
        slice_eq(buf_slice(&text), SLICE("failed to resolve mx_list entry smart.host: SERVFAIL")));
    addr_plan_free(&pl.plan);
    mx_list_free(&list);
    buf_free(&text);
    bench_close(b);
}

static void a_list_of_networks_prints_in_order_without_what_is_covered(void **state)
{
    const struct ip_net nets[] = {net_of("::1"), net_of("192.168.1.24"), net_of("127.0.0.0/8"),
                                  net_of("192.168.1.0/24"), net_of("0.0.0.0"), net_of("::")};
    struct buf out = {0};

    (void)state;
    ip_net_list_put(&out, (struct ip_net_list){nets, ARRAY_COUNT(nets)});
    buf_char(&out, '\0');
    assert_string_equal(
        out.ptr, "{\"0.0.0.0\", \"127.0.0.0/8\", \"192.168.1.0/24\", \"::\", \"::1\"}");
    buf_clear(&out);
    ip_net_list_put(&out, (struct ip_net_list){0});
    assert_true(slice_eq(buf_slice(&out), SLICE("{}")));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preferences_ascend_and_a_preference_is_shuffled),
        cmocka_unit_test(hosts_that_fail_are_skipped_and_named),
        cmocka_unit_test(duplicates_are_kept),
        cmocka_unit_test(each_strategy_asks_for_its_families),
        cmocka_unit_test(list_entries_read_as_the_grammar_says),
        cmocka_unit_test(a_list_keeps_its_order_and_names_its_site),
        cmocka_unit_test(cancelling_a_plan_tells_nobody),
        cmocka_unit_test(plans_are_judged_in_the_chapter_s_order),
        cmocka_unit_test(a_configured_name_that_fails_says_why),
        cmocka_unit_test(a_list_of_networks_prints_in_order_without_what_is_covered),
    };
    return cmocka_run_group_tests_name("core/net/addr_plan", tests, NULL, NULL);
}
