#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/civil.h"
#include "core/message/zone.h"
#include "tests/unit/core/message/tzif_make.h"

static int64_t utc(const char *text)
{
    struct civil_moment m;

    assert_true(civil_parse(slice_str(text), &m));
    return m.s;
}

static struct zone *zone_of(const struct tzif_make *make)
{
    struct buf bytes = {0};
    struct zone *z = NULL;

    tzif_put(&bytes, make);
    assert_true(zone_parse(buf_slice(&bytes), &z));
    buf_free(&bytes);
    return z;
}

struct offset_case {
    const char *rule, *at;
    int32_t want_s;
};

/* Expectations from the published rules of each zone. */
static const struct offset_case offset_cases[] = {
    {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T00:59:59Z", 3600},
    {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T01:00:00Z", 7200},
    {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25T00:59:59Z", 7200},
    {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25T01:00:00Z", 3600},
    {"EST5EDT,M3.2.0,M11.1.0", "2026-03-08T06:59:59Z", -5 * 3600},
    {"EST5EDT,M3.2.0,M11.1.0", "2026-03-08T07:00:00Z", -4 * 3600},
    {"EST5EDT,M3.2.0,M11.1.0", "2026-11-01T06:00:00Z", -5 * 3600},
    {"AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-01-15T00:00:00Z", 11 * 3600},
    {"AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-07-15T00:00:00Z", 10 * 3600},
    {"AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-12-31T23:00:00Z", 11 * 3600},
    {"<+0545>-5:45", "2026-06-01T00:00:00Z", 20700},
    {"<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", "2026-06-01T00:00:00Z", -2 * 3600},
    {"STD0DST,J60/0,J300/0", "2024-02-29T12:00:00Z", 0},
    {"STD0DST,J60/0,J300/0", "2024-03-01T00:00:00Z", 3600},
    {"STD0DST,59/0,299/0", "2024-02-29T00:00:00Z", 3600},
};

static void the_rule_says_what_the_clocks_show(void **state)
{
    for (size_t i = 0; i < ARRAY_COUNT(offset_cases); i++) {
        const struct offset_case *c = &offset_cases[i];
        struct zone *z = zone_of(&(struct tzif_make){.rule = c->rule});

        if (zone_offset_s(z, utc(c->at)) != c->want_s) {
            fail_msg("%s at %s: got %d", c->rule, c->at, zone_offset_s(z, utc(c->at)));
        }
        zone_free(&z);
    }
}

static void transitions_hold_until_the_rule_takes_over(void **state)
{
    struct zone *z = zone_of(&(struct tzif_make){
        .offset_s = {600, 4200},
        .at_s = {1000, 2000, 3000},
        .type = {1, 0, 1},
        .count = 3,
        .rule = "XXX-2YYY,M3.5.0,M10.5.0",
    });

    assert_int_equal(zone_offset_s(z, 999), 600);
    assert_int_equal(zone_offset_s(z, 1000), 4200);
    assert_int_equal(zone_offset_s(z, 2000), 600);
    assert_int_equal(zone_offset_s(z, 2999), 600);
    zone_free(&z);

    z = zone_of(&(struct tzif_make){
        .offset_s = {600, 4200}, .at_s = {1000}, .type = {1}, .count = 1, .rule = ""});
    assert_int_equal(zone_offset_s(z, 1u << 30), 4200); /* no rule: the last one stays */
    zone_free(&z);
    assert_int_equal(zone_offset_s(NULL, 5), 0);
}

static void local_times_are_missing_single_or_double(void **state)
{
    struct zone *z = zone_of(&(struct tzif_make){.rule = "CET-1CEST,M3.5.0,M10.5.0/3"});
    int64_t got;

    assert_int_equal(zone_from_local(z, utc("2026-06-01T12:00:00Z"), &got), 1);
    assert_int_equal(got, utc("2026-06-01T10:00:00Z"));
    assert_int_equal(zone_from_local(z, utc("2026-03-29T02:30:00Z"), &got), 0);
    assert_int_equal(zone_from_local(z, utc("2026-10-25T02:30:00Z"), &got), 2);
    assert_int_equal(got, utc("2026-10-25T00:30:00Z"));
    assert_int_equal(zone_from_local(z, utc("2026-10-25T03:00:00Z"), &got), 1);
    zone_free(&z);
}

static void bytes_that_are_no_zone_are_refused(void **state)
{
    static const char *const bad_rules[] = {
        "CET", "CET-1CEST", "CET-1CEST,M3.5.0", "CET-1CEST,M13.1.0,M1.1.0", "C-1",
        "CET-1CEST,M3.6.0,M10.5.0", "CET-200", "<CET-1", "CET-1CEST,M3.5.0,M10.5.0x",
        "CET-1CEST,J0,J3",
    };
    struct buf bytes = {0};
    struct zone *z;

    for (size_t i = 0; i < ARRAY_COUNT(bad_rules); i++) {
        buf_clear(&bytes);
        tzif_put(&bytes, &(struct tzif_make){.rule = bad_rules[i]});
        if (zone_parse(buf_slice(&bytes), &z)) {
            fail_msg("%s was taken", bad_rules[i]);
        }
    }
    buf_clear(&bytes);
    tzif_put(&bytes, &(struct tzif_make){.at_s = {10, 5}, .count = 2, .rule = "XXX-1"});
    assert_false(zone_parse(buf_slice(&bytes), &z)); /* not in order */
    buf_clear(&bytes);
    tzif_put(&bytes, &(struct tzif_make){.at_s = {10}, .type = {7}, .count = 1, .rule = "XXX-1"});
    assert_false(zone_parse(buf_slice(&bytes), &z)); /* no such type */

    buf_clear(&bytes);
    tzif_put(&bytes, &(struct tzif_make){.at_s = {1, 2}, .count = 2, .rule = "CET-1"});
    for (size_t len = 0; len < bytes.len; len++) {
        assert_false(zone_parse(slice_of(bytes.ptr, len), &z));
    }
    buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rule_says_what_the_clocks_show),
        cmocka_unit_test(transitions_hold_until_the_rule_takes_over),
        cmocka_unit_test(local_times_are_missing_single_or_double),
        cmocka_unit_test(bytes_that_are_no_zone_are_refused),
    };
    return cmocka_run_group_tests_name("core/message/zone", tests, NULL, NULL);
}
