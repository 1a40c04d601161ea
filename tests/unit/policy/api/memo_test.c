/* kumo.memoize and kumo.domain_map. */
#include "policy/api/api.h"
#include "tests/unit/policy/vm/vm_bench.h"

#define HEAD                                                                                       \
    "local kumo = require 'kumo'\ncalls = 0\n"                                                     \
    "local function memo(fn, p) p = p or {} p.name, p.ttl, p.capacity = p.name or 't', p.ttl or "  \
    "'1m', "                                                                                       \
    "p.capacity or 4 return kumo.memoize(function(...) calls = calls + 1 return fn(...) end, p) "  \
    "end\n"                                                                                        \
    "local squares = memo(function(n) local t = {} for i = 1, n do t[i] = i * i end return t "     \
    "end, "                                                                                        \
    "{name = 'squares'})\n"

static const struct {
    const char *name, *body, *want;
} rows[] = {
    {"a table comes back as userdata",
     "local r = squares(5) return type(r) .. #r .. r[3] .. tostring(r[nil]) .. tostring(r[{}])",
     "userdata59nilnil"},
    {"ipairs walks it",
     "local s = '' for _, v in ipairs(squares(5)) do s = s .. v .. ' ' end return s",
     "1 4 9 16 25 "},
    {"pairs too", "local s = 0 for k, v in pairs(squares(3)) do s = s + k * v end return s", "36"},
    {"table.concat and unpack",
     "return table.concat(squares(3), ',') .. select('#', table.unpack(squares(3)))", "1,4,93"},
    {"the second call is a hit", "squares(2) squares(2) return calls", "1"},
    {"writes stay private", "local t = squares(5) t[1] = 'x' return t[1] .. squares(5)[1] .. #t",
     "x15"},
    {"assigning nil deletes", "local t = squares(3) t[3] = nil return #t .. #squares(3)", "23"},
    {"nested tables are shown alike",
     "local f = memo(function() return {a = {b = {1, 2}}} end) return type(f().a) .. f().a.b[2]",
     "userdata2"},
    {"a nested write is private too",
     "local f = memo(function() return {a = {b = 1}} end) local x = f().a x.b = 2 return f().a.b",
     "1"},
    {"several values are an array",
     "local f = memo(function() return 1, 'b' end) local x, y = f() return x[1] .. x[2] .. "
     "tostring(y)",
     "1bnil"},
    {"no value is nil",
     "local f = memo(function() end) return tostring(f()) .. tostring(f()) .. calls", "nilnil1"},
    {"false is kept",
     "local f = memo(function() return false end) f() return tostring(f()) .. calls", "false1"},
    {"argument lists do not collide",
     "local f = memo(function(...) return select('#', ...) end) return f({1, 2}) .. f(1, 2)", "12"},
    {"nor do strings and numbers",
     "local f = memo(function(x) return type(x) end) return f('1') .. f(1)", "stringnumber"},
    {"errors are kept and raised again",
     "local f = memo(function() error('bad', 0) end) local _, a = pcall(f) local _, b = pcall(f) "
     "return a .. b .. calls",
     "badbad1"},
    {"rejects stay rejects",
     "local f = memo(function() kumo.reject(450, 'later') end) pcall(f) f()", "reject 450 later"},
    {"what fits stays",
     "for i = 1, 100 do squares(i) end local n = calls for i = 97, 100 do squares(i) end return "
     "calls - n",
     "0"},
    {"capacity is a bound",
     "for i = 1, 100 do squares(i) end local n = calls for i = 1, 92 do squares(i) end return "
     "calls - n",
     "92"},
    {"JSON sees through",
     "return kumo.json_encode(squares(3)) .. kumo.json_encode(memo(function() return {a = {}} "
     "end)())",
     "[1,4,9]{\"a\":{}}"},
    {"configs take memoized tables",
     "local f = memo(function() return {name = 'p', entries = {{name = 's', weight = 2}}} end) "
     "return kumo.make_egress_pool(f()).entries[1].weight",
     "2"},
    {"the same parameters share the cache",
     "local f = memo(function() return 1 end, {name = 'x'}) f() memo(function() return 2 end, "
     "{name = 'x'})() return calls",
     "1"},
    {"other parameters replace it",
     "local f = memo(function() return 1 end, {name = 'x'}) f() "
     "return memo(function() return 2 end, {name = 'x', capacity = 5})()",
     "2"},
    {"with the epoch it is new after a bump",
     "local f = memo(function() return calls end, {invalidate_with_epoch = true}) local a = f() "
     "kumo.bump_config_epoch() return a .. f()",
     "12"},
    {"a taken name", "kumo.memoize(print, {name = 'dkim_key_cache', ttl = '1m', capacity = 1})",
     "error cannot use name `dkim_key_cache` for a memoize cache, as it collides with a built-in "
     "cache."},
    {"an unknown key", "kumo.memoize(print, {name = 'a', ttl = 1, capacity = 1, tll = 2})",
     "error deserialize error: unknown field `tll`, expected one of"},
    {"a missing key", "kumo.memoize(print, {name = 'a', ttl = 1})",
     "error deserialize error: missing field `capacity`"},
    {"a function cannot be kept", "memo(function() return {print} end)()",
     "error a function cannot be memoized"},
    {"nor a boolean key", "memo(function() return {[true] = 1} end)()",
     "error a boolean cannot be used as a key in a memoizable table"},
    {"nor a cycle", "memo(function() local t = {} t[1] = t return t end)()",
     "error table is nested too deeply"},
    {"a result may need a suspension",
     "local f = memo(function() kumo.sleep(1) return 'slept' end) f() return f() .. calls",
     "slept1"},

    {"domain map",
     "local d = kumo.domain_map.new{['*.a.test'] = 1, ['b.a.test'] = 2, ['x.b.a.test'] = 3} "
     "return tostring(d['q.a.test']) .. d['b.a.test'] .. tostring(d['y.b.a.test']) .. "
     "tostring(d['a.test']) .. d['p.q.a.test']",
     "12nilnil1"},
    {"catch-all",
     "local d = kumo.domain_map.new{['*'] = 'any'} d['a.test'] = {x = 1} "
     "return d['z'] .. tostring(d['q.test']) .. d['a.test'].x",
     "anynil1"},
    {"memoized domain map",
     "local f = memo(function() return {m = kumo.domain_map.new{['a.b'] = {r = true}}} end) "
     "f() local x = f().m['a.b'] x.r = nil return tostring(x.r) .. tostring(f().m['a.b'].r)",
     "niltrue"},
};

static void memoized_values_behave_as_policies_expect(void **state)
{
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct vm_bench b;
        struct buf source = {0};

        buf_printf(&source, HEAD "kumo.on('e', function() %s end)", rows[i].body);
        buf_char(&source, '\0');
        vm_bench_init(&b);
        b.library = api_library();
        vm_bench_load(&b, source.ptr);
        struct vm_call *c = vm_bench_named(&b, "e");
        const struct vm_result *r = vm_call_run(c, vm_bench_done, &b);

        if (r != NULL) {
            vm_bench_done(&b, r);
        } else {
            vm_bench_advance(&b, 1001);
        }
        size_t len = strlen(rows[i].want);

        if (b.done_count != 1 || strncmp(b.why.ptr, rows[i].want, len) != 0 ||
            (b.done_status == VM_RETURNED && b.why.ptr[len] != '\0')) {
            print_error("%s: got '%s', want '%s'\n", rows[i].name,
                        b.done_count > 0 ? b.why.ptr : "", rows[i].want);
            wrong_count++;
        }
        vm_call_end(&c);
        vm_bench_close(&b);
        buf_free(&source);
    }
    assert_int_equal(wrong_count, 0);
}

static void a_memoized_value_expires(void **state)
{
    struct vm_bench b;

    vm_bench_init(&b);
    b.library = api_library();
    vm_bench_load(
        &b,
        HEAD "local f = memo(function() return calls end, {ttl = '10s'})\n"
             "local g = memo(function() error(tostring(calls), 0) end, {name = 'g', ttl = '10m'})\n"
             "kumo.on('f', function() return f() end)\n"
             "kumo.on('g', function() local _, e = pcall(g) return e end)\n");
    assert_string_equal(vm_bench_say(&b, "f"), "1");
    vm_bench_advance(&b, 9000);
    assert_string_equal(vm_bench_say(&b, "f"), "1");
    vm_bench_advance(&b, 2000);
    assert_string_equal(vm_bench_say(&b, "f"), "2");
    assert_string_equal(vm_bench_say(&b, "g"), "3");
    vm_bench_advance(&b, 59000);
    assert_string_equal(vm_bench_say(&b, "g"), "3");
    vm_bench_advance(&b, 2000);
    assert_string_equal(vm_bench_say(&b, "g"),
                        "4"); /* failures are kept a minute, whatever the ttl */
    vm_bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memoized_values_behave_as_policies_expect),
        cmocka_unit_test(a_memoized_value_expires),
    };

    return cmocka_run_group_tests_name("policy/api/memo", tests, NULL, NULL);
}
