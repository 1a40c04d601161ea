/* Errors as values: rejects keep their identity, everything else is an error with a place. */
#include "tests/unit/policy/vm/vm_bench.h"

struct row {
    const char *name, *body, *want;
};

/* What the handler does, and how the answer begins. */
static const struct row rows[] = {
    {"a reject", "kumo.reject(451, '4.7.1 later')", "reject 451 4.7.1 later"},
    {"a reject raised again", "local _, e = pcall(kumo.reject, 451, '4.7.1 later') error(e)",
     "reject 451 4.7.1 later"},
    {"a reject through two pcalls",
     "local _, e = pcall(function() local _, i = pcall(kumo.reject, 550, 'no') error(i) end) "
     "error(e)",
     "reject 550 no"},
    {"a reject through xpcall",
     "local _, e = xpcall(kumo.reject, function(x) return x end, 450, 'z') "
     "error(e)",
     "reject 450 z"},
    {"a reject from a coroutine",
     "local _, e = coroutine.resume(coroutine.create(function() kumo.reject(450, 'co') end)) "
     "error(e)",
     "reject 450 co"},
    {"its text is an ordinary error",
     "local _, e = pcall(kumo.reject, 451, 'later') error(tostring(e))",
     "error [string \"/etc/policy/init.lua\"]:2: 451 later\n"},
    {"a reject is userdata", "local _, e = pcall(kumo.reject, 451, 'x') return type(e)",
     "userdata"},
    {"and prints code, text, traceback",
     "local _, e = pcall(kumo.reject, 451, 'x') return (tostring(e):gsub('\\n.*', ''))", "451 x"},
    {"a disconnect", "kumo.disconnect(421, 'bye')", "reject 421 bye"},
    {"a bad code", "kumo.reject(70000, 'x')", "error 70000 is not a valid reply code"},
    {"no text", "kumo.reject(451)",
     "error bad argument #2 to 'reject' (string expected, got no value)"},
    {"a disconnect of an unknown kind", "kumo.disconnect(421, 'bye', 'Soon')",
     "error expected one of 'If421', 'FollowWith421' or 'ForceDisconnect'"},
    {"a Lua error has its position", "error('oops')",
     "error [string \"/etc/policy/init.lua\"]:2: oops\nstack traceback:"},
    {"an error table speaks for itself",
     "error(setmetatable({}, {__tostring = function() return 'I am a table' end}))",
     "error I am a table"},
    {"an error table that cannot", "error({})", "error (error object is a table value)"},
    {"an error table whose __tostring fails",
     "error(setmetatable({}, {__tostring = function() error('inner', 0) end}))", "error inner"},
    {"an error table whose __tostring never ends",
     "error(setmetatable({}, {__tostring = function() while true do end end}))", "error "},
    {"nil as an error", "error(nil)", "error (error object is a nil value)"},
    {"a native error has a traceback",
     "local _, e = pcall(kumo.json_parse, '{') return type(e) .. (tostring(e):match('\\nstack "
     "traceback:') "
     "or ' none')",
     "userdata\nstack traceback:"},
    {"a native error works with %s",
     "local _, e = pcall(kumo.reject, 1, 'x') return #string.format('%s', e) > 3", "true"},
    {"metatables of objects are hidden",
     "local _, e = pcall(kumo.reject, 1, 'x') return tostring(getmetatable(e)) .. "
     "tostring(getmetatable(kumo.json_parse '[]'))",
     "falsefalse"},
    {"a yield at the top is an error", "coroutine.yield(1)",
     "error attempt to yield from outside a coroutine"},
    {"a value that is no JSON", "return {print}", "error invalid type: function"},
    {"a cycle", "local t = {} t.t = t return t", "error recursive table detected"},
    {"a tree larger than its memory", "local t = {} for i = 1, 60 do t = {t, t} end return t",
     "error value is too large"},
};

static void errors_keep_their_identity_and_their_place(void **state)
{
    unsigned wrong_count = 0;
    struct vm_bench b;
    struct buf source = {0};

    vm_bench_init(&b);
    b.limits.handler_budget_ms = 20;
    buf_put(&source, SLICE("local kumo = require 'kumo'"));
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        /* All on line 2. */
        buf_printf(&source, "%skumo.on('e%zu', function() %s end) ", i == 0 ? "\n" : "", i,
                   rows[i].body);
    }
    buf_char(&source, '\0');
    vm_bench_load(&b, source.ptr);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char event[16];

        (void)snprintf(event, sizeof(event), "e%zu", i);
        const char *got = vm_bench_say(&b, event);

        if (strncmp(got, rows[i].want, strlen(rows[i].want)) != 0) {
            print_error("%s: got '%s', want '%s'\n", rows[i].name, got, rows[i].want);
            wrong_count++;
        }
    }
    buf_free(&source);
    vm_bench_close(&b);
    assert_int_equal(wrong_count, 0);
}

static void disconnects_say_how(void **state)
{
    static const struct {
        const char *event;
        enum vm_disconnect how;
    } ways[] = {
        {"r", VM_IF_421}, {"d", VM_FORCE_DISCONNECT}, {"f", VM_FOLLOW_WITH_421}, {"i", VM_IF_421}};
    struct vm_bench b;

    vm_bench_init(&b);
    vm_bench_load(&b, "local kumo = require 'kumo'\n"
                      "kumo.on('r', function() kumo.reject(550, 'x') end)\n"
                      "kumo.on('d', function() kumo.disconnect(550, 'x') end)\n"
                      "kumo.on('f', function() kumo.disconnect(550, 'x', 'FollowWith421') end)\n"
                      "kumo.on('i', function() kumo.disconnect(550, 'x', 'If421') end)\n");
    for (size_t i = 0; i < ARRAY_COUNT(ways); i++) {
        struct vm_call *c = vm_bench_named(&b, ways[i].event);
        const struct vm_result *r = vm_call_run(c, vm_bench_done, &b);

        assert_int_equal(r->status, VM_REJECTED);
        assert_int_equal(r->code, 550);
        assert_int_equal(r->disconnect, ways[i].how);
        vm_call_end(&c);
    }
    vm_bench_close(&b);
}

/* A state that raised is destroyed: what its handler left in globals goes with it. A reject is a
 * verdict, not a failure: its state stays. */
static void an_error_costs_the_state_and_a_reject_does_not(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    vm_bench_load(&b, "local kumo = require 'kumo'\nn = 0\n"
                      "kumo.on('bad', function() n = n + 1 error('x') end)\n"
                      "kumo.on('reject', function() n = n + 1 kumo.reject(550, 'x') end)\n"
                      "kumo.on('n', function() return n end)\n");
    (void)vm_bench_say(&b, "reject");
    assert_string_equal(vm_bench_say(&b, "n"), "1");
    (void)vm_bench_say(&b, "bad");
    assert_string_equal(vm_bench_say(&b, "n"), "0");
    vm_bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_keep_their_identity_and_their_place),
        cmocka_unit_test(disconnects_say_how),
        cmocka_unit_test(an_error_costs_the_state_and_a_reject_does_not),
    };

    return cmocka_run_group_tests_name("policy/vm/error", tests, NULL, NULL);
}
