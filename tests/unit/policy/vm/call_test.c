/* Calls: arguments and results, suspension, waiting for a state, leaks. */
#include <stdlib.h>

#include "tests/unit/policy/vm/vm_bench.h"

#define HEAD "local kumo = require 'kumo'\n"

static void arguments_arrive_in_order_with_their_types(void **state)
{
    static const struct slice list[] = {SLICE_INIT("x"), SLICE_INIT("y")};
    struct json_doc doc = {0};
    struct vm_bench b;

    vm_bench_init(&b);
    vm_bench_load(&b,
                  HEAD "kumo.on('a', function(s, none, i, t, n, list, big, tree)\n"
                       "  return table.concat({s, tostring(none), i, tostring(t), tostring(n),\n"
                       "    list[1] .. list[2] .. #list, tostring(big), tree.k}, ' ') end)");
    struct vm_call *c = vm_bench_named(&b, "a");

    vm_push_string(c, SLICE("text"));
    vm_push_optional(c, SLICE("never"), false);
    vm_push_int(c, -7);
    vm_push_bool(c, true);
    vm_push_nil(c);
    vm_push_strings(c, list, 2);
    vm_push_int(c, INT64_MAX);
    assert_true(json_parse(SLICE("{\"k\":5}"), 0, &doc, &b.why));
    vm_push_json(c, doc.root);
    assert_string_equal(vm_bench_finish(&b, c), "text nil -7 true nil xy2 9223372036854775807 5");
    json_doc_free(&doc);
    vm_bench_close(&b);
}

static const struct {
    const char *name, *body, *want;
} results[] = {
    {"nothing", "return", "none"},
    {"nil", "return nil", "nil"},
    {"a boolean", "return false", "false"},
    {"an integer", "return 10 / 2", "5"},
    {"a large integer", "return 1700000000000000", "1700000000000000"},
    {"a fraction", "return 1.5", "1.5"},
    {"a string with any bytes", "return 'a\\0b'", "a"},
    {"an array", "return {1, 2, x = 3}", "[1,2]"},
    {"an empty table is an object", "return {}", "{}"},
    {"an empty array stays one", "return kumo.json_parse '[]'", "[]"},
    {"nested", "return {a = {1, {b = true}}}", "{\"a\":[1,{\"b\":true}]}"},
    {"a boxed integer", "return {math.maxinteger}", "[9223372036854775807]"},
    {"a config object", "return kumo.make_egress_path{connection_limit = 5}",
     "{\"connection_limit\":5}"},
    {"number keys of an object", "return {[0] = 'x'}", "{\"0\":\"x\"}"},
};

static void results_come_as_json_trees(void **state)
{
    unsigned wrong_count = 0;
    struct vm_bench b;
    struct buf source = {0};

    vm_bench_init(&b);
    buf_put(&source, SLICE(HEAD));
    for (size_t i = 0; i < ARRAY_COUNT(results); i++) {
        buf_printf(&source, "kumo.on('e%zu', function() %s end) ", i, results[i].body);
    }
    buf_char(&source, '\0');
    vm_bench_load(&b, source.ptr);
    for (size_t i = 0; i < ARRAY_COUNT(results); i++) {
        char event[16];

        (void)snprintf(event, sizeof(event), "e%zu", i);
        if (strcmp(vm_bench_say(&b, event), results[i].want) != 0) {
            print_error("%s: got %s\n", results[i].name, b.why.ptr);
            wrong_count++;
        }
    }
    buf_free(&source);
    vm_bench_close(&b);
    assert_int_equal(wrong_count, 0);
}

static void two_values_and_the_constructor_are_told(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    vm_bench_load(&b, HEAD
                  "kumo.on('two', function() return 250, 'ok', 'third' end)\n"
                  "kumo.on('cfg', function() return kumo.make_queue_config{max_age = '1h'} end)\n");
    struct vm_call *c = vm_bench_named(&b, "two");
    const struct vm_result *r = vm_call_run(c, vm_bench_done, &b);

    assert_int_equal(r->value_count, 2);
    assert_int_equal(r->values[0]->integer, 250);
    assert_true(slice_eq(r->values[1]->string, SLICE("ok")));
    assert_int_equal(r->made_by.len, 0);
    vm_call_end(&c);

    c = vm_bench_named(&b, "cfg");
    r = vm_call_run(c, vm_bench_done, &b);
    assert_true(slice_eq(r->made_by, SLICE("make_queue_config")));
    assert_true(slice_eq(json_get(r->values[0], SLICE("max_age"))->string, SLICE("1h")));
    vm_call_end(&c);
    vm_bench_close(&b);
}

static void config_objects_can_be_read(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    vm_bench_load(
        &b, HEAD
        "kumo.on('a', function() local c = kumo.make_egress_path{connection_limit = 5}\n"
        "  local keys = '' for k, v in pairs(c) do keys = keys .. k .. '=' .. v end\n"
        "  return type(c) .. ' ' .. c.connection_limit .. ' ' .. tostring(c.nothing) .. ' ' ..\n"
        "    tostring(c[1]) .. ' ' .. #c .. ' ' .. keys .. ' ' .. tostring(getmetatable(c)) end)\n"
        "kumo.on('b', function() kumo.make_egress_source(nil) end)\n"
        "kumo.on('c', function() kumo.make_queue_config{1, 2} end)\n");
    assert_string_equal(vm_bench_say(&b, "a"), "userdata 5 nil nil 1 connection_limit=5 false");
    assert_non_null(strstr(vm_bench_say(&b, "b"), "error deserialize error: invalid type: "));
    assert_non_null(strstr(vm_bench_say(&b, "c"), ", while processing JSON"));
    vm_bench_close(&b);
}

/* ---- suspension ---- */

static void a_sleeping_handler_resumes_when_its_time_has_come(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    vm_bench_load(&b, HEAD "kumo.on('s', function(a) kumo.sleep(1.5) return a .. ' woke' end)");
    struct vm_call *c = vm_bench_named(&b, "s");

    vm_push_string(c, SLICE("it"));
    assert_null(vm_call_run(c, vm_bench_done, &b));
    vm_bench_advance(&b, 1000);
    assert_int_equal(b.done_count, 0);
    vm_bench_advance(&b, 600);
    assert_int_equal(b.done_count, 1);
    assert_string_equal(b.why.ptr, "it woke");
    vm_call_end(&c);
    vm_bench_close(&b);
}

static void two_suspended_handlers_do_not_share_globals(void **state)
{
    struct vm_bench b;
    struct vm_call *one, *two;

    vm_bench_init(&b);
    vm_bench_load(&b, HEAD "kumo.on('s', function(name, secs) who = name kumo.sleep(secs) "
                           "return who .. _KUMO_CURRENT_EVENT end)\n"
                           "kumo.on('w', function() return tostring(who) end)");
    one = vm_bench_named(&b, "s");
    vm_push_string(one, SLICE("one"));
    vm_push_int(one, 2);
    two = vm_bench_named(&b, "s");
    vm_push_string(two, SLICE("two"));
    vm_push_int(two, 1);
    assert_null(vm_call_run(one, vm_bench_done, &b));
    assert_null(vm_call_run(two, vm_bench_done, &b));
    assert_string_equal(vm_bench_say(&b, "w"), "nil");
    vm_bench_advance(&b, 1100);
    assert_string_equal(b.why.ptr, "twos");
    vm_bench_advance(&b, 1100);
    assert_string_equal(b.why.ptr, "ones");
    vm_call_end(&one);
    vm_call_end(&two);
    vm_bench_close(&b);
}

static const struct {
    const char *name, *body, *want;
} passages[] = {
    {"through pcall", "return select(2, pcall(function() kumo.sleep(1) return 'p' end))", "p"},
    {"through a coroutine",
     "local co = coroutine.create(function(a) kumo.sleep(1) local b = coroutine.yield(a + 1) "
     "kumo.sleep(1) return b * 2 end) local _, x = coroutine.resume(co, 1) "
     "local _, y = coroutine.resume(co, 5) return x .. ' ' .. y",
     "2 10"},
    {"through wrap in wrap",
     "return coroutine.wrap(function() return coroutine.wrap(function() kumo.sleep(1) return "
     "'deep' end)() "
     "end)()",
     "deep"},
    {"through a metamethod",
     "return setmetatable({}, {__index = function() kumo.sleep(1) return 'm' end}).x", "m"},
    {"through an iterator",
     "local s = '' for v in function(_, l) kumo.sleep(1) if (l or 0) < 2 then return (l or 0) + 1 "
     "end end do "
     "s = s .. v end return s",
     "12"},
    {"an error afterwards", "kumo.sleep(1) error('late', 0)", "error late"},
    {"a reject afterwards", "kumo.sleep(1) kumo.reject(451, 'late')", "reject 451 late"},
    {"not through sort", "table.sort({2, 1}, function(a, b) kumo.sleep(1) return a < b end)",
     "error attempt to yield across C-call boundary"},
    {"with a bad argument", "kumo.sleep(-1)",
     "error kumo.sleep: -1 is not a valid number of seconds"},
};

static void suspension_passes_through_what_lua_puts_between(void **state)
{
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(passages); i++) {
        struct vm_bench b;
        struct buf source = {0};

        vm_bench_init(&b);
        buf_printf(&source, HEAD "kumo.on('e', function() %s end)", passages[i].body);
        buf_char(&source, '\0');
        vm_bench_load(&b, source.ptr);
        struct vm_call *c = vm_bench_named(&b, "e");
        const struct vm_result *r = vm_call_run(c, vm_bench_done, &b);

        for (int turn = 0; r == NULL && b.done_count == 0 && turn < 10; turn++) {
            vm_bench_advance(&b, 1001);
        }
        if (r != NULL) {
            vm_bench_done(&b, r);
        }
        if (b.done_count != 1 ||
            strncmp(b.why.ptr, passages[i].want, strlen(passages[i].want)) != 0) {
            print_error("%s: got %s\n", passages[i].name, b.done_count > 0 ? b.why.ptr : "nothing");
            wrong_count++;
        }
        vm_call_end(&c);
        vm_bench_close(&b);
        buf_free(&source);
    }
    assert_int_equal(wrong_count, 0);
}

static void nothing_suspends_while_the_policy_loads(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    assert_false(vm_bench_try(&b, "require('kumo').sleep(1)"));
    assert_non_null(memmem(b.why.ptr, b.why.len, "kumo.sleep cannot be called while", 33));
    vm_bench_close(&b);
}

static void a_suspended_call_may_be_abandoned(void **state)
{
    struct vm_bench b;
    struct vm_counters n;

    vm_bench_init(&b);
    vm_bench_load(&b, HEAD "kumo.on('s', function() kumo.sleep(1) end)");
    struct vm_call *c = vm_bench_named(&b, "s");

    assert_null(vm_call_run(c, vm_bench_done, &b));
    vm_call_end(&c);
    vm_bench_advance(&b, 2000);
    assert_int_equal(b.done_count, 0);
    vm_counters(b.vm, &n);
    assert_int_equal(n.state_count, 0);
    assert_int_equal(b.shard.timers.armed_count, 0);
    vm_bench_close(&b);
}

static void calls_beyond_the_states_wait_their_turn(void **state)
{
    struct vm_bench b;
    struct vm_call *calls[5];
    struct vm_counters n;

    vm_bench_init(&b);
    b.limits.states_max = 2;
    vm_bench_load(&b, HEAD "kumo.on('s', function(v) kumo.sleep(1) return v end)\n"
                           "kumo.on('n', function(v) return v end)\n");
    for (int i = 0; i < 5; i++) {
        calls[i] = vm_bench_named(&b, i < 4 ? "s" : "n");
        vm_push_int(calls[i], i);
        assert_null(vm_call_run(calls[i], vm_bench_done, &b));
    }
    vm_counters(b.vm, &n);
    assert_int_equal(n.state_count, 2);
    vm_bench_advance(&b, 1100);
    assert_int_equal(b.done_count, 2);
    vm_call_end(&calls[0]); /* one state is free: the third begins */
    vm_call_end(&calls[2 - 1]);
    vm_bench_advance(&b, 1);
    vm_bench_advance(&b, 1100);
    assert_int_equal(b.done_count, 4);
    vm_call_end(&calls[2]);
    vm_bench_advance(&b, 1);
    assert_int_equal(b.done_count, 5);
    assert_string_equal(b.why.ptr, "4");
    vm_call_end(&calls[3]);
    vm_call_end(&calls[4]);
    vm_bench_close(&b);
}

static void a_waiting_call_may_be_given_up(void **state)
{
    struct vm_bench b;
    struct vm_call *one, *two;

    vm_bench_init(&b);
    b.limits.states_max = 1;
    vm_bench_load(&b, HEAD "kumo.on('s', function() kumo.sleep(1) end)");
    one = vm_bench_named(&b, "s");
    two = vm_bench_named(&b, "s");
    assert_null(vm_call_run(one, vm_bench_done, &b));
    assert_null(vm_call_run(two, vm_bench_done, &b));
    vm_call_end(&two);
    vm_bench_advance(&b, 1100);
    vm_call_end(&one);
    vm_bench_advance(&b, 1100);
    assert_int_equal(b.done_count, 1);
    vm_bench_close(&b);
}

static size_t state_bytes(struct vm_bench *b)
{
    (void)vm_bench_say(b, "gc");
    return (size_t)strtoul(b->why.ptr, NULL, 10);
}

static void many_calls_leave_nothing_behind(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    vm_bench_load(&b, HEAD "kumo.on('a', function(s) local ok = pcall(kumo.reject, 450, s) "
                           "local t = kumo.json_parse('[1,2,{\"a\":\"b\"}]') return {t, s} end)\n"
                           "kumo.on('r', function(s) kumo.reject(450, s) end)\n"
                           "kumo.on('gc', function() collectgarbage() collectgarbage() "
                           "return math.floor(collectgarbage('count')) end)\n");
    size_t before = 0;

    for (int i = 0; i < 20000; i++) {
        struct vm_call *c = vm_bench_named(&b, i % 10 == 0 ? "r" : "a");

        vm_push_string(c, SLICE("some text"));
        (void)vm_bench_finish(&b, c);
        if (i == 2000) {
            before = state_bytes(&b);
        }
    }
    assert_in_range(state_bytes(&b), 0, before + before / 5);
    vm_bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_arrive_in_order_with_their_types),
        cmocka_unit_test(results_come_as_json_trees),
        cmocka_unit_test(two_values_and_the_constructor_are_told),
        cmocka_unit_test(config_objects_can_be_read),
        cmocka_unit_test(a_sleeping_handler_resumes_when_its_time_has_come),
        cmocka_unit_test(two_suspended_handlers_do_not_share_globals),
        cmocka_unit_test(suspension_passes_through_what_lua_puts_between),
        cmocka_unit_test(nothing_suspends_while_the_policy_loads),
        cmocka_unit_test(a_suspended_call_may_be_abandoned),
        cmocka_unit_test(calls_beyond_the_states_wait_their_turn),
        cmocka_unit_test(a_waiting_call_may_be_given_up),
        cmocka_unit_test(many_calls_leave_nothing_behind),
    };

    return cmocka_run_group_tests_name("policy/vm/call", tests, NULL, NULL);
}
