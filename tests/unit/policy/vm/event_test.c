/* kumo.on and dispatch: who may register, who answers, and the texts of refusals. */
#include "tests/unit/policy/vm/vm_bench.h"

#define HEAD "local kumo = require 'kumo'\n"

static bool why_has(const struct vm_bench *b, const char *text)
{
    return b->why.len != 0 && memmem(b->why.ptr, b->why.len, text, strlen(text)) != NULL;
}

static void a_second_handler_of_a_single_event_is_an_error(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    assert_false(vm_bench_try(&b, HEAD "kumo.on('get_egress_pool', function() end)\n"
                                       "kumo.on('get_egress_pool', function() end)\n"));
    assert_true(slice_starts(buf_slice(&b.why), SLICE("Error evaluating policy file")));
    assert_true(why_has(&b, "get_egress_pool event already has a handler defined at "
                            "/etc/policy/init.lua:2"));
    vm_bench_close(&b);
}

static void user_events_are_single_too(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    assert_false(vm_bench_try(&b, HEAD "kumo.on('mine', print)\nkumo.on('mine', print)\n"));
    assert_true(why_has(&b, "mine event already has a handler defined at"));
    vm_bench_close(&b);
}

static void registering_inside_a_handler_is_an_error_that_names_both(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    vm_bench_load(&b, HEAD "kumo.on('smtp_server_ehlo', function() kumo.on('init', print) end)");
    struct vm_call *c = vm_call_begin(b.vm, VM_HOOK_smtp_server_ehlo);
    const char *got = vm_bench_finish(&b, c);

    assert_non_null(strstr(got,
                           "Attempting to register an event handler via `kumo.on('init', ...)` "
                           "from within the event handler 'smtp_server_ehlo'"));
    vm_bench_close(&b);
}

static void the_current_event_is_a_global_while_a_handler_runs(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    vm_bench_load(&b, HEAD "assert(_KUMO_CURRENT_EVENT == nil)\n"
                           "kumo.on('a', function() return _KUMO_CURRENT_EVENT end)\n"
                           "kumo.on('b', function() return _KUMO_CURRENT_EVENT end)\n");
    assert_string_equal(vm_bench_say(&b, "a"), "a");
    assert_string_equal(vm_bench_say(&b, "b"), "b");
    assert_string_equal(vm_bench_say(&b, "a"), "a");
    vm_bench_close(&b);
}

static const struct {
    const char *name, *handlers, *want;
} chains[] = {
    {"no values pass to the next", "on(function() return end) on(function() return 'second' end)",
     "second"},
    {"the first that answers ends it", "on(function() return 'first' end) on(error)", "first"},
    {"a nil passes on where nil means that",
     "on(function() return nil end) on(function() return 2 end)", "2"},
    {"nobody answered", "on(function() end) on(function() return nil end)", "none"},
    {"an error ends it", "on(function() error('x', 0) end) on(function() return 1 end)", "error x"},
    {"arguments arrive afresh",
     "on(function(d) d = 'z' end) on(function(d, t) return d .. tostring(t) end)", "a.testnil"},
};

static void multi_handlers_run_in_order_until_one_answers(void **state)
{
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(chains); i++) {
        struct vm_bench b;
        struct buf source = {0};

        vm_bench_init(&b);
        buf_printf(&source, HEAD "local function on(f) kumo.on('get_queue_config', f) end %s",
                   chains[i].handlers);
        buf_char(&source, '\0');
        vm_bench_load(&b, source.ptr);
        struct vm_call *c = vm_call_begin(b.vm, VM_HOOK_get_queue_config);

        vm_push_string(c, SLICE("a.test"));
        vm_push_nil(c);
        const char *got = vm_bench_finish(&b, c);

        if (strncmp(got, chains[i].want, strlen(chains[i].want)) != 0) {
            print_error("%s: got %s\n", chains[i].name, got);
            wrong_count++;
        }
        vm_bench_close(&b);
        buf_free(&source);
    }
    assert_int_equal(wrong_count, 0);
}

static void an_explicit_nil_answers_where_any_return_does(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    vm_bench_load(&b, HEAD "kumo.on('throttle_insert_ready_queue', function() return nil end)\n"
                           "kumo.on('throttle_insert_ready_queue', function() error('never') end)\n"
                           "kumo.on('get_listener_domain', function() return nil end)\n"
                           "kumo.on('smtp_server_data', function() end)\n");
    struct vm_call *c = vm_call_begin(b.vm, VM_HOOK_throttle_insert_ready_queue);

    assert_string_equal(vm_bench_finish(&b, c), "nil");
    c = vm_call_begin(b.vm, VM_HOOK_get_listener_domain);
    assert_string_equal(vm_bench_finish(&b, c), "nil");
    c = vm_call_begin(b.vm, VM_HOOK_smtp_server_data);
    assert_string_equal(vm_bench_finish(&b, c), "none");
    vm_bench_close(&b);
}

static void unknown_events_have_no_call(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    vm_bench_load(&b, HEAD "kumo.on('init', function() end)");
    assert_true(vm_has(b.vm, VM_HOOK_init));
    assert_false(vm_has(b.vm, VM_HOOK_get_queue_config));
    assert_null(vm_call_begin_named(b.vm, SLICE("nothing")));
    vm_bench_close(&b);
}

static void registrars_and_traceback_name_file_and_line(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    vm_bench_load(&b, HEAD "kumo.on('a', function()\n"
                           "  return kumo.get_event_registrars('a')[1][1] end)\n"
                           "kumo.on('t', function() local f = kumo.traceback(1)[1]\n"
                           "  return f.source .. ':' .. f.curr_line .. ' ' .. f.what end)\n");
    assert_string_equal(vm_bench_say(&b, "a"), "/etc/policy/init.lua:2");
    assert_string_equal(vm_bench_say(&b, "t"), "/etc/policy/init.lua:4 Lua");
    vm_bench_close(&b);
}

static void a_policy_that_does_not_load_says_where(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    assert_false(vm_bench_try(&b, "local x =\nreturn 1 1"));
    assert_true(slice_starts(buf_slice(&b.why),
                             SLICE("Error evaluating policy file \"/etc/policy/init.lua\": "
                                   "[string \"/etc/policy/init.lua\"]:2: ")));
    assert_false(vm_bench_try(&b, "local x = nil\nx.y()"));
    assert_true(why_has(&b, "[string \"/etc/policy/init.lua\"]:2: attempt to index"));
    assert_false(vm_bench_try(&b, "local n = 1 // 2\nn = = 3"));
    assert_true(why_has(&b, "[string \"/etc/policy/init.lua\"]:2: unexpected symbol near '='"));
    vm_bench_close(&b);
}

static void a_reload_swaps_whole_or_not_at_all(void **state)
{
    struct vm_bench b;
    struct policy *next;

    vm_bench_init(&b);
    vm_bench_load(&b, HEAD "kumo.on('a', function() return 'old' end)");
    assert_false(policy_load(SLICE("n"), SLICE("error('no')"), false, &next, &b.why));
    assert_string_equal(vm_bench_say(&b, "a"), "old");

    struct slice text = SLICE(HEAD "kumo.on('a', function() return 'new' end)");

    buf_clear(&b.why);
    assert_true(policy_load(SLICE("n"), text, false, &next, &b.why));
    assert_true(vm_set_policy(b.vm, next, &b.why));
    policy_free(&next);
    assert_string_equal(vm_bench_say(&b, "a"), "new");
    vm_bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_handler_of_a_single_event_is_an_error),
        cmocka_unit_test(user_events_are_single_too),
        cmocka_unit_test(registering_inside_a_handler_is_an_error_that_names_both),
        cmocka_unit_test(the_current_event_is_a_global_while_a_handler_runs),
        cmocka_unit_test(multi_handlers_run_in_order_until_one_answers),
        cmocka_unit_test(an_explicit_nil_answers_where_any_return_does),
        cmocka_unit_test(unknown_events_have_no_call),
        cmocka_unit_test(registrars_and_traceback_name_file_and_line),
        cmocka_unit_test(a_policy_that_does_not_load_says_where),
        cmocka_unit_test(a_reload_swaps_whole_or_not_at_all),
    };

    return cmocka_run_group_tests_name("policy/vm/event", tests, NULL, NULL);
}
