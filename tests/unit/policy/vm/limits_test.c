/* Handlers that do not end, or take all the memory, are stopped; the vm goes on. */
#include <stdlib.h>
#include <time.h>

#include "tests/unit/policy/vm/vm_bench.h"

struct row {
    const char *name, *body;
};

static const struct row endless[] = {
    {"a loop", "while true do end"},
    {"a loop that was compiled", "local n = 0 while true do n = n + 1 end"},
    {"a loop that calls", "local f = function(x) return x end while true do f(1) end"},
    {"a loop that walks a table",
     "local t = {} for i = 1, 99 do t['k' .. i] = i end "
     "while true do for k in pairs(t) do end end"},
    {"a loop that catches", "while true do pcall(function() while true do end end) end"},
    {"a loop that catches and catches",
     "local function f() pcall(f) while true do end end while true do pcall(f) end"},
    {"a loop inside a coroutine", "coroutine.wrap(function() while true do end end)()"},
    {"a loop in a sort comparator",
     "local t = {} for i = 1, 10 do t[i] = i end table.sort(t, function() while true do end end)"},
    {"a loop in a gsub callback", "('a'):gsub('a', function() while true do end end)"},
    {"a metamethod", "return setmetatable({}, {__index = function(t, k) return t[k + 1] end})[1]"},
};

static void check_endless(const struct vm_limits *limits, const char *want)
{
    unsigned wrong_count = 0;
    struct vm_bench b;
    struct buf source = {0};

    vm_bench_init(&b);
    b.limits = *limits;
    BUF_LIT(&source, "local kumo = require 'kumo' kumo.on('ok', function() return 'ok' end) ");
    for (size_t i = 0; i < ARRAY_COUNT(endless); i++) {
        buf_printf(&source, "kumo.on('e%zu', function() %s end) ", i, endless[i].body);
    }
    buf_char(&source, '\0');
    vm_bench_load(&b, source.ptr);
    for (size_t i = 0; i < ARRAY_COUNT(endless); i++) {
        char event[16];

        (void)snprintf(event, sizeof(event), "e%zu", i);
        const char *got = vm_bench_say(&b, event);

        /* The last one may run out of stack before it runs out of budget. */
        if (strstr(got, want) == NULL && strstr(got, "stack overflow") == NULL) {
            print_error("%s: got '%s'\n", endless[i].name, got);
            wrong_count++;
        }
        if (strcmp(vm_bench_say(&b, "ok"), "ok") != 0) {
            print_error("%s: the next call failed: %s\n", endless[i].name, b.why.ptr);
            wrong_count++;
        }
    }
    buf_free(&source);
    vm_bench_close(&b);
    assert_int_equal(wrong_count, 0);
}

static void endless_handlers_end_when_their_cpu_time_is_used(void **state)
{
    check_endless(&(struct vm_limits){.handler_budget_ms = 20}, "budget of CPU time");
}

static void endless_handlers_end_when_their_instructions_are_used(void **state)
{
    check_endless(&(struct vm_limits){.handler_budget_instructions = 1000000},
                  "budget of instructions");
}

/* The policy loads once before there is a vm, and again in each state of the vm. */
static void a_main_chunk_that_does_not_end_is_an_error_with_its_line(void **state)
{
    static const char *const loops[] = {
        "while true do end", "while true do pcall(function() while true do end end) end"};

    for (size_t i = 0; i < ARRAY_COUNT(loops); i++) {
        struct vm_bench b;
        struct buf source = {0};

        vm_bench_init(&b);
        b.limits.load_budget_ms = 20;
        buf_printf(&source, "local kumo = require 'kumo'\nif os.getenv('RINGPOST_TEST_LOOP') then\n"
                            "%s\nend", loops[i]);
        buf_char(&source, '\0');
        vm_bench_load(&b, source.ptr);
        vm_close(&b.vm);
        buf_clear(&b.why);
        assert_int_equal(setenv("RINGPOST_TEST_LOOP", "1", 1), 0);
        assert_false(vm_open(&b.shard, b.policy, &b.limits, &b.vm, &b.why));
        assert_int_equal(unsetenv("RINGPOST_TEST_LOOP"), 0);
        buf_char(&b.why, '\0');
        assert_non_null(strstr(b.why.ptr, ":3: the policy used more than its budget of CPU time"));
        assert_true(vm_open(&b.shard, b.policy, &b.limits, &b.vm, &b.why));
        vm_bench_close(&b);
        buf_free(&source);
    }
}

static void the_budget_is_for_one_call_not_for_all(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    b.limits.handler_budget_ms = 50;
    /* Twenty calls of about 10 ms each: the timer elapses between them, and kills nobody. */
    vm_bench_load(&b, "local kumo = require 'kumo' kumo.on('some', function() local t = os.clock() "
                      "while os.clock() - t < 0.01 do end return 'ok' end)");
    for (int i = 0; i < 20; i++) {
        assert_string_equal(vm_bench_say(&b, "some"), "ok");
    }
    vm_bench_close(&b);
}

static uint64_t thread_cpu_ms(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The timer runs already, for an earlier call, when the endless one begins. */
static void an_endless_handler_takes_little_more_than_its_budget(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    b.limits.handler_budget_ms = 400;
    vm_bench_load(&b, "local kumo = require 'kumo' kumo.on('ok', function() return 'ok' end) "
                      "kumo.on('endless', function() while true do end end)");
    assert_string_equal(vm_bench_say(&b, "ok"), "ok");
    uint64_t begin_ms = thread_cpu_ms();

    assert_non_null(strstr(vm_bench_say(&b, "endless"), "budget of CPU time"));
    uint64_t used_ms = thread_cpu_ms() - begin_ms;

    /* A quarter more, and what the kernel's clock ticks add to each of five. */
    assert_in_range(used_ms, 399, 400 + 100 + 100);
    vm_bench_close(&b);
}

/* A signal may come while LuaJIT changes its dispatch; whatever it does then, the loop ends. */
static void loops_that_are_being_compiled_end_too(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    b.limits.handler_budget_ms = 1;
    vm_bench_load(&b, "local kumo = require 'kumo' kumo.on('endless', function() while true do "
                      "local f = (load or loadstring)('local n = 0 for i = 1, 100 do "
                      "n = n + i end return n') f() end end)");
    for (int i = 0; i < 100; i++) {
        assert_non_null(strstr(vm_bench_say(&b, "endless"), "budget of CPU time"));
    }
    vm_bench_close(&b);
}

static const struct row greedy[] = {
    {"a table that grows", "local t = {} for i = 1, 1e9 do t[i] = {i} end"},
    {"a string that doubles", "local s = 'x' while true do s = s .. s end"},
    {"string.rep", "return #string.rep('x', 1e9)"},
    {"a table that grows and catches",
     "local t = {} while true do pcall(function() for i = 1, 1e9 do t[#t + 1] = {i} end end) end"},
    {"recursion without end", "local function f(n) return 1 + f(n + 1) end return f(1)"},
    {"coroutines without end",
     "local t = {} while true do t[#t + 1] = coroutine.create(print) end"},
    {"closures over tables", "local t while true do local o = t t = function() return o end end"},
};

static void greedy_handlers_end_when_their_memory_is_used(void **state)
{
    unsigned wrong_count = 0;
    struct vm_bench b;
    struct buf source = {0};

    vm_bench_init(&b);
    b.limits.state_bytes_max = 16u << 20;
    b.limits.handler_budget_ms = 3000;
    BUF_LIT(&source, "local kumo = require 'kumo' kumo.on('ok', function() return 'ok' end) ");
    for (size_t i = 0; i < ARRAY_COUNT(greedy); i++) {
        buf_printf(&source, "kumo.on('e%zu', function() %s end) ", i, greedy[i].body);
    }
    buf_char(&source, '\0');
    vm_bench_load(&b, source.ptr);
    for (size_t i = 0; i < ARRAY_COUNT(greedy); i++) {
        char event[16];

        (void)snprintf(event, sizeof(event), "e%zu", i);
        const char *got = vm_bench_say(&b, event);

        if (strncmp(got, "error ", 6) != 0) {
            print_error("%s: got '%s'\n", greedy[i].name, got);
            wrong_count++;
        }
        if (strcmp(vm_bench_say(&b, "ok"), "ok") != 0) {
            print_error("%s: the next call failed: %s\n", greedy[i].name, b.why.ptr);
            wrong_count++;
        }
    }
    buf_free(&source);
    vm_bench_close(&b);
    assert_int_equal(wrong_count, 0);
}

static void a_pattern_that_backtracks_without_end_is_refused(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    vm_bench_load(&b, "local kumo = require 'kumo' kumo.on('p', function() "
                      "return ('a'):rep(100000):find('.-.-.-.-b') end)");
    assert_non_null(strstr(vm_bench_say(&b, "p"), "pattern too complex"));
    vm_bench_close(&b);
}

static void a_simulated_run_takes_time_and_chance_from_the_ring(void **state)
{
    struct vm_bench b;
    char first[64];

    vm_bench_init(&b);
    b.limits.handler_budget_instructions = 1000000;
    vm_bench_load(&b,
                  "local kumo = require 'kumo' kumo.on('t', function() return os.time() .. ' ' .. "
                  "os.date('!%Y') .. ' ' .. os.clock() .. ' ' .. math.random() end)");
    (void)snprintf(first, sizeof(first), "%s", vm_bench_say(&b, "t"));
    assert_memory_equal(first, "1700000000 2023 1 ", 18);
    vm_bench_close(&b);

    vm_bench_init(&b);
    b.limits.handler_budget_instructions = 1000000;
    vm_bench_load(&b,
                  "local kumo = require 'kumo' kumo.on('t', function() return os.time() .. ' ' .. "
                  "os.date('!%Y') .. ' ' .. os.clock() .. ' ' .. math.random() end)");
    assert_string_equal(vm_bench_say(&b, "t"), first);
    vm_bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endless_handlers_end_when_their_cpu_time_is_used),
        cmocka_unit_test(endless_handlers_end_when_their_instructions_are_used),
        cmocka_unit_test(a_main_chunk_that_does_not_end_is_an_error_with_its_line),
        cmocka_unit_test(the_budget_is_for_one_call_not_for_all),
        cmocka_unit_test(an_endless_handler_takes_little_more_than_its_budget),
        cmocka_unit_test(loops_that_are_being_compiled_end_too),
        cmocka_unit_test(greedy_handlers_end_when_their_memory_is_used),
        cmocka_unit_test(a_pattern_that_backtracks_without_end_is_refused),
        cmocka_unit_test(a_simulated_run_takes_time_and_chance_from_the_ring),
    };

    return cmocka_run_group_tests_name("policy/vm/limits", tests, NULL, NULL);
}
