/* The parts of a queue's name: spec "Queues, egress and delivery", 3.1 and 3.2. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/message/message.h"
#include "core/queue/queue_name.h"

struct name_case {
    const char *name; /* the queue's name is the name of the row */
    const char *campaign, *tenant, *domain, *routing_domain; /* NULL: absent */
};

static const struct name_case name_cases[] = {
    {.name = "example.com", .domain = "example.com"},
    {.name = "acme@example.com", .tenant = "acme", .domain = "example.com"},
    {.name = "spring:acme@example.com", .campaign = "spring", .tenant = "acme",
     .domain = "example.com"},
    {.name = "spring:@example.com", .campaign = "spring", .tenant = "", .domain = "example.com"},
    {.name = "example.com!mx.example.net", .domain = "example.com",
     .routing_domain = "mx.example.net"},
    {.name = "spring:acme@example.com!mx.example.net", .campaign = "spring", .tenant = "acme",
     .domain = "example.com", .routing_domain = "mx.example.net"},
    {.name = "example.com:2025", .domain = "example.com:2025"},
    {.name = "example.com!relay:2025", .domain = "example.com", .routing_domain = "relay:2025"},
    {.name = "acme@example.com:2025", .tenant = "acme", .domain = "example.com:2025"},
    {.name = "a:b:c@example.com", .campaign = "a", .tenant = "b:c", .domain = "example.com"},
    {.name = "acme@other@example.com", .tenant = "acme", .domain = "other@example.com"},
    {.name = "example.com!one!two", .domain = "example.com", .routing_domain = "one!two"},
    {.name = "a!b@example.com", .tenant = "a!b", .domain = "example.com"},
    {.name = "@example.com", .tenant = "", .domain = "example.com"},
    {.name = ":@example.com", .campaign = "", .tenant = "", .domain = "example.com"},
    {.name = "example.com!", .domain = "example.com", .routing_domain = ""},
    {.name = "Acme@Example.COM", .tenant = "Acme", .domain = "Example.COM"},
    {.name = "null", .domain = "null"},
    {.name = "[192.0.2.1]", .domain = "[192.0.2.1]"},
    {.name = "http://10.0.0.2:8000/.xfer.kumomta.internal",
     .domain = "http://10.0.0.2:8000/.xfer.kumomta.internal"},
    {.name = "", .domain = ""},
    {.name = "@", .tenant = "", .domain = ""},
};

static bool part_is(const char *want, bool has, struct slice got)
{
    return want == NULL ? !has : has && slice_eq(got, slice_str(want));
}

static void names_are_taken_apart_at_the_first_separators(void **state)
{
    unsigned wrong_count = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(name_cases); i++) {
        const struct name_case *c = &name_cases[i];
        struct queue_name n;
        struct slice routing;

        queue_name_parse(slice_str(c->name), &n);
        routing = slice_str(c->routing_domain != NULL ? c->routing_domain : c->domain);
        if (!part_is(c->campaign, n.has_campaign, n.campaign) ||
            !part_is(c->tenant, n.has_tenant, n.tenant) || !part_is(c->domain, true, n.domain) ||
            !part_is(c->routing_domain, n.has_routing_domain, n.routing_domain) ||
            !slice_eq(queue_name_routing(&n), routing)) {
            print_error("%s\n", c->name);
            wrong_count++;
        }
    }
    assert_int_equal(wrong_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_taken_apart_at_the_first_separators),
    };
    return cmocka_run_group_tests_name("core/queue/queue_name", tests, NULL, NULL);
}
