/* kumo.time: TimeDelta, as handlers get it and as they make it. */
#include "policy/api/api.h"
#include "tests/unit/policy/vm/vm_bench.h"

static const struct {
    const char *name, *body, *want;
} rows[] = {
    {"a text", "return tostring(d'1h5m')", "1h 5m"},
    {"human is what tostring says", "return d'20 minutes'.human", "20m"},
    {"a number is seconds", "return d(2.5).human", "2s 500ms"},
    {"a TimeDelta stays one", "return d(d'5s').human", "5s"},
    {"seconds have a fraction", "return tostring(d'1s 500ms'.seconds)", "1.5"},
    {"milliseconds are all of them", "return d'1m'.milliseconds", "60000"},
    {"microseconds", "return d'2ms'.microseconds", "2000"},
    {"nanoseconds beyond what a double holds", "return tostring(d'365days 1ns'.nanoseconds)",
     "31536000000000001"},
    {"no such field", "return tostring(d'1s'.hours)", "nil"},
    {"equal", "return tostring(d'60s' == d'1m') .. tostring(d'61s' == d'1m')", "truefalse"},
    {"never equal to a number", "return tostring(d'60s' == 60)", "false"},
    {"a sum", "return (d'1h' + d'30m').human", "1h 30m"},
    {"a difference", "return (d'1h' - d'30m').human", "30m"},
    {"a negative difference", "local x = d'30m' - d'1h' return x.human .. ' ' .. x.seconds",
     "-30m -1800"},
    {"a number is no summand", "return d'1h' + 1",
     "error bad argument #2 to '__add' (TimeDelta expected, got number)"},
    {"no unit", "return d'12'", "error time unit needed, for example 5sec or 5ms"},
    {"negative seconds", "return d(-1)", "error -1 is not a valid duration"},
    {"an option takes it", "kumo.make_queue_config{retry_interval=d'5m'} return 'taken'", "taken"},
    {"an option refuses a negative one",
     "return tostring(pcall(kumo.make_queue_config, {retry_interval=d'1s' - d'2s'}))", "false"},
    {"as JSON it is its text", "return kumo.serde.json_encode{d'90s'}", "[\"1m 30s\"]"},
};

static void a_time_delta_behaves_as_documented(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct vm_bench b;
        struct buf source = {0};
        const char *got;

        buf_printf(&source,
                   "local kumo = require 'kumo' local d = kumo.time.parse_duration\n"
                   "kumo.on('e', function() %s end)",
                   rows[i].body);
        buf_char(&source, '\0');
        vm_bench_init(&b);
        b.library = api_library();
        vm_bench_load(&b, source.ptr);
        got = vm_bench_say(&b, "e");
        if (strncmp(got, rows[i].want, strlen(rows[i].want)) != 0 ||
            (got[0] != 'e' && strcmp(got, rows[i].want) != 0)) {
            fail_msg("%s: %s", rows[i].name, got);
        }
        vm_bench_close(&b);
        buf_free(&source);
    }
}

static void the_engine_hands_one_over(void **state)
{
    struct vm_bench b;
    struct vm_call *c;

    (void)state;
    vm_bench_init(&b);
    b.library = api_library();
    vm_bench_load(&b, "local kumo = require 'kumo'\n"
                      "kumo.on('e', function(d) return d.human .. ' ' .. d.seconds end)");
    c = vm_bench_named(&b, "e");
    vm_push_time_delta(c, INT64_C(90500000000));
    assert_string_equal(vm_bench_finish(&b, c), "1m 30s 500ms 90.5");
    vm_bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_delta_behaves_as_documented),
        cmocka_unit_test(the_engine_hands_one_over),
    };
    return cmocka_run_group_tests_name("policy/api/time", tests, NULL, NULL);
}
