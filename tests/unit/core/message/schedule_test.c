#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/json.h"
#include "core/base/time_text.h"
#include "core/message/schedule.h"
#include "core/message/zone.h"
#include "tests/unit/core/message/tzif_make.h"

/* Two zones exist: UTC and Europe/Berlin. */
struct bench {
    struct zone *berlin, *utc;
    struct zone_finder finder;
};

static const struct zone *bench_find(void *ctx, struct slice name)
{
    struct bench *b = ctx;

    return slice_eq(name, SLICE("Europe/Berlin")) ? b->berlin
           : slice_eq(name, SLICE("UTC"))         ? b->utc
                                                  : NULL;
}

static struct zone *zone_of_rule(const char *rule)
{
    struct buf bytes = {0};
    struct zone *z = NULL;

    tzif_put(&bytes, &(struct tzif_make){.rule = rule});
    assert_true(zone_parse(buf_slice(&bytes), &z));
    buf_free(&bytes);
    return z;
}

static int bench_setup(void **state)
{
    static struct bench b;

    b.berlin = zone_of_rule("CET-1CEST,M3.5.0,M10.5.0/3");
    b.utc = zone_of_rule("UTC0");
    b.finder = (struct zone_finder){&b, bench_find};
    *state = &b;
    return 0;
}

static int bench_teardown(void **state)
{
    struct bench *b = *state;

    zone_free(&b->berlin);
    zone_free(&b->utc);
    return 0;
}

/* A flat object of strings from "key=value" items; an item without value is a number. */
static bool parse_items(struct bench *b, const char *const items[8], struct schedule **out,
                        struct buf *why)
{
    struct json nodes[8] = {{0}};
    struct json object = {.type = JSON_OBJECT};

    for (size_t i = 0; i < 8 && items[i] != NULL; i++) {
        struct slice item = slice_str(items[i]);
        size_t eq = slice_find_char(item, '=');

        nodes[i].key = slice_head(item, eq);
        nodes[i].type = eq < item.len ? JSON_STRING : JSON_INT;
        if (eq < item.len) {
            nodes[i].string = slice_from(item, eq + 1);
        }
        if (i > 0) {
            nodes[i - 1].next = &nodes[i];
        } else {
            object.first = &nodes[i];
        }
        object.last = &nodes[i];
        object.count++;
    }
    return schedule_parse(&object, &b->finder, out, why);
}

static uint64_t ms(const char *text)
{
    struct civil_moment m;

    assert_true(civil_parse(slice_str(text), &m));
    return (uint64_t)m.s * 1000 + m.ns / 1000000;
}

struct adjust_case {
    const char *name;
    const char *items[8];
    const char *at, *want;
};

#define BERLIN_OFFICE                                                                              \
    "dow=Mon,tuesday,WED,Thu,Fri", "tz=Europe/Berlin", "start=09:00:00", "end=17:00:00"

/* 2026-02-02 is a Monday. */
static const struct adjust_case adjust_cases[] = {
    {"before first_attempt", {"first_attempt=2026-02-03T10:00:00+02:00"},
     "2026-02-02T00:00:00Z", "2026-02-03T08:00:00Z"},
    {"after first_attempt", {"first_attempt=2026-02-01T10:00:00Z"},
     "2026-02-02T00:00:00Z", "2026-02-02T00:00:00Z"},
    {"inside the window", {BERLIN_OFFICE}, "2026-02-02T08:00:00.5Z", "2026-02-02T08:00:00.5Z"},
    {"before the window", {BERLIN_OFFICE}, "2026-02-02T07:59:59Z", "2026-02-02T08:00:00Z"},
    {"the window's end is outside", {BERLIN_OFFICE}, "2026-02-02T16:00:00Z",
     "2026-02-03T08:00:00Z"},
    {"over the weekend", {BERLIN_OFFICE}, "2026-02-06T16:00:00Z", "2026-02-09T08:00:00Z"},
    {"in summer time", {BERLIN_OFFICE}, "2026-07-04T00:00:00Z", "2026-07-06T07:00:00Z"},
    {"the local day counts, not that of UTC",
     {"dow=Tue", "tz=Europe/Berlin", "start=00:10:00", "end=23:00:00"},
     "2026-02-02T23:30:00Z", "2026-02-02T23:30:00Z"},
    {"the same weekday a week on", {"dow=Mon", "tz=UTC", "start=09:00:00", "end=10:00:00"},
     "2026-02-02T10:00:00Z", "2026-02-09T09:00:00Z"},
    {"first_attempt, then the window", {"first_attempt=2026-02-07T00:00:00Z", BERLIN_OFFICE},
     "2026-02-02T09:00:00Z", "2026-02-09T08:00:00Z"},
    {"a day whose start does not exist is passed over",
     {"dow=Sun", "tz=Europe/Berlin", "start=02:30:00", "end=04:00:00"},
     "2026-03-28T12:00:00Z", "2026-04-05T00:30:00Z"},
    {"an empty window is a moment", {"dow=Mon", "tz=UTC", "start=09:00:00", "end=09:00:00"},
     "2026-02-03T00:00:00Z", "2026-02-09T09:00:00Z"},
};

static void due_times_move_into_the_schedule(void **state)
{
    struct bench *b = *state;
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(adjust_cases); i++) {
        const struct adjust_case *c = &adjust_cases[i];
        struct schedule *s = NULL;
        struct buf text = {0};

        assert_true(parse_items(b, c->items, &s, &text));
        uint64_t got = schedule_adjust_ms(s, &b->finder, ms(c->at));

        if (got != ms(c->want)) {
            time_put_rfc3339(&text, got * 1000000);
            print_error("%s: got %.*s\n", c->name, SLICE_ARG(buf_slice(&text)));
            wrong_count++;
        }
        buf_free(&text);
        schedule_free(&s);
    }
    assert_int_equal(wrong_count, 0);
    assert_int_equal(schedule_adjust_ms(NULL, &b->finder, 7), 7);
}

struct bad_case {
    const char *items[8];
    const char *why;
};

#define MISSING "scheduling restrictions requires all restriction fields to be present. "

static const struct bad_case bad_cases[] = {
    {{"tz=UTC", "start=09:00:00"}, MISSING "dow, end are missing"},
    {{"dow=Mon", "tz=UTC", "start=09:00:00"}, MISSING "end is missing"},
    {{"when=now"}, "invalid field name when"},
    {{"dow=Mo", "tz=UTC", "start=09:00:00", "end=10:00:00"}, "dow: 'Mo' is not a day of the week"},
    {{"dow=Mon, Tue", "tz=UTC", "start=09:00:00", "end=10:00:00"},
     "dow: ' Tue' is not a day of the week"},
    {{"dow=Mon", "tz=Mars/Base", "start=09:00:00", "end=10:00:00"},
     "tz: 'Mars/Base' is not a time zone"},
    {{"dow=Mon", "tz=UTC", "start=9:00:00", "end=10:00:00"},
     "start: '9:00:00' is not a time as HH:MM:SS"},
    {{"dow=Mon", "tz=UTC", "start=09:00:00", "end=24:00:00"},
     "end: '24:00:00' is not a time as HH:MM:SS"},
    {{"dow=Mon", "tz=UTC", "start=11:00:00", "end=10:00:00"},
     "start 11:00:00 is later than end 10:00:00"},
    {{"expires=tomorrow"}, "expires: 'tomorrow' is not an RFC 3339 date-time"},
    {{"first_attempt"}, "first_attempt: expected a string"},
};

static void a_schedule_that_is_wrong_says_why(void **state)
{
    for (size_t i = 0; i < ARRAY_COUNT(bad_cases); i++) {
        struct schedule *s = NULL;
        struct buf why = {0};

        assert_false(parse_items(*state, bad_cases[i].items, &s, &why));
        buf_char(&why, '\0');
        assert_string_equal(why.ptr, bad_cases[i].why);
        buf_free(&why);
    }
}

static void a_schedule_expires_at_its_moment(void **state)
{
    struct schedule *s = NULL;
    struct buf why = {0};
    const char *const items[8] = {"expires=2026-02-02T00:00:00Z"};

    assert_true(parse_items(*state, items, &s, &why));
    assert_false(schedule_expired(s, ms("2026-02-01T23:59:59.999Z")));
    assert_true(schedule_expired(s, ms("2026-02-02T00:00:00Z")));
    assert_false(schedule_expired(NULL, UINT64_MAX));
    schedule_free(&s);
}

static void a_schedule_is_spelled_out_and_stored_whole(void **state)
{
    static const char want[] =
        "{\"dow\":\"Mon,Wed\",\"tz\":\"UTC\",\"start\":\"09:05:07\",\"end\":\"10:00:00\","
        "\"first_attempt\":\"2026-02-01T10:00:00.250Z\",\"expires\":\"2026-03-01T10:00:00-01:30\"}";
    const char *const items[8] = {"dow=wednesday,mon", "tz=UTC", "start=09:05:07", "end=10:00:00",
                                  "first_attempt=2026-02-01T10:00:00.25Z",
                                  "expires=2026-03-01T10:00:00-01:30"};
    struct schedule *s = NULL, *back = NULL;
    struct buf text = {0}, blob = {0};

    assert_true(parse_items(*state, items, &s, &text));
    schedule_put(s, &blob);
    assert_true(schedule_load(buf_slice(&blob), &back));
    schedule_write_json(back, &text);
    buf_char(&text, '\0');
    assert_string_equal(text.ptr, want);
    schedule_free(&back);
    for (size_t len = 0; len < blob.len; len++) {
        assert_false(schedule_load(slice_of(blob.ptr, len), &back));
    }
    buf_free(&text);
    buf_free(&blob);
    schedule_free(&s);
}

#define WITH_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BENCH(due_times_move_into_the_schedule),
        WITH_BENCH(a_schedule_that_is_wrong_says_why),
        WITH_BENCH(a_schedule_expires_at_its_moment),
        WITH_BENCH(a_schedule_is_spelled_out_and_stored_whole),
    };
    return cmocka_run_group_tests_name("core/message/schedule", tests, NULL, NULL);
}
