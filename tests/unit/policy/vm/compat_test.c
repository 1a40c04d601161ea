/* What policies written for Lua 5.4 may rely on: each row is an expression and what it prints. */
#include "tests/unit/policy/vm/vm_bench.h"

struct row {
    const char *name, *source, *want;
};

static const char evaluator[] =
    "local kumo = require 'kumo'\n"
    "kumo.on('eval', function(source)\n"
    "  local chunk, why = load(source, '=row')\n"
    "  if not chunk then return 'load: ' .. why end\n"
    "  local out = table.pack(pcall(chunk))\n"
    "  for i = 1, out.n do out[i] = tostring(out[i]) end\n"
    "  return table.concat(out, ' ', out[1] == 'true' and 2 or 1, out.n)\n"
    "end)\n";

/* Expectations are those of Lua 5.4, save where the spec lists a deviation. */
static const struct row rows[] = {
    {"floor division of integers", "return 7 // 2, -7 // 2, 7 // -2", "3 -4 -4"},
    {"floor division of floats", "return 7.5 // 2", "3"},
    {"bitwise and, or, xor, not", "return 6 & 3, 6 | 3, 6 ~ 3, ~0", "2 7 5 -1"},
    {"shifts", "return 1 << 4, 256 >> 4, 1 << 64, -1 >> 60", "16 16 0 15"},
    {"shift by a negative count goes the other way", "return 16 << -2, 16 >> -2", "4 64"},
    {"bits beyond 32", "return 0xff00000000 & 0xf000000000", "1030792151040"},
    {"bits beyond 53", "return 1 << 62", "4611686018427387904"},
    {"the sign bit", "return 1 << 63", "-9223372036854775808"},
    {"precedence: shift binds tighter than and", "return 1 | 2 & 3 << 1", "3"},
    {"precedence: comparison below bits", "return 1 | 2 == 3", "true"},
    {"precedence: concat binds tighter than shift", "return 2 .. 1 << 1", "42"},
    {"precedence: unary before //", "return -7 // 2, ~5 // 2", "-4 -3"},
    {"precedence: power before unary", "return -2 ^ 2 // 1", "-4"},
    {"operators nest", "return (1 + 2) // (4 // 2) | 8", "9"},
    {"operators in arguments and tables", "return ({5 // 2, [1 << 2] = 7})[4]", "7"},
    {"strings hold operators untouched", "return '7 // 2 & 1', \"a ~ b\"", "7 // 2 & 1 a ~ b"},
    {"long strings and comments too", "return [[1 // 2]] --[[ & ]], #[==[ // ]==] // 2 -- & |",
     "1 // 2 2"},
    {"a fraction has no bits", "return 1.5 & 1",
     "false row:1: number has no integer representation"},
    {"a string is a number to bits", "return '6' & 3", "2"},
    {"nil has none", "return nil & 1",
     "false row:1: attempt to perform bitwise operation on a nil value"},
    {"operators find metamethods",
     "local t = setmetatable({}, {__idiv = function(a, b) return 'i' .. tostring(b) end, "
     "__band = function() return 'b' end}) return t // 4, t & 1",
     "i4 b"},
    {"const is a plain local", "local n <const> = 7 // 2 | 8 return n", "11"},
    {"assignment to a const is an error at load", "local n <const> = 1 n = 2",
     "load: row:1: attempt to assign to const variable 'n' near '='"},
    {"a const may be shadowed", "local n <const> = 1 do local n = 2 n = 3 end return n", "1"},
    {"lines stay where they were", "local a = 1 // 1\n\nerror('here')", "false row:3: here"},

    {"pairs asks __pairs",
     "local s = '' for k, v in pairs(setmetatable({}, {__pairs = function() "
     "return next, {a = 1} end})) do s = s .. k .. v end return s",
     "a1"},
    {"a long table is walked to its end",
     "local t, s = {}, 0 for i = 1, 1000 do t['k' .. i] = i end "
     "for _, v in pairs(t) do s = s + v end return s",
     "500500"},
    {"a short one is, a thousand times",
     "local t, s = {a = 1, b = 2, c = 3}, 0 "
     "for _ = 1, 1000 do for _, v in pairs(t) do s = s + v end end return s",
     "6000"},
    {"a tree is",
     "local n, t = 0, {} for i = 1, 99 do t['k' .. i] = i % 9 == 0 and {a = i, b = {i}} or i end "
     "local function walk(t) for _, v in pairs(t) do n = n + 1 "
     "if type(v) == 'table' then walk(v) end end end walk(t) return n",
     "132"},
    {"ipairs asks __index",
     "local s = '' for i, v in ipairs(setmetatable({}, {__index = function(_, i) "
     "if i < 4 then return i * i end end})) do s = s .. v end return s",
     "149"},
    {"length asks __len", "return #setmetatable({}, {__len = function() return 7 end})", "7"},
    {"table.unpack", "return table.unpack({1, 2, 3}, 2)", "2 3"},
    {"table.unpack of an object",
     "return table.unpack(setmetatable({}, {__index = function(_, i) return i end, "
     "__len = function() return 2 end}))",
     "1 2"},
    {"table.pack", "return table.pack(1, nil, 3).n", "3"},
    {"table.move", "return table.concat(table.move({1, 2, 3}, 2, 3, 1), ',')", "2,3,3"},
    {"table.insert asks metamethods",
     "local log = {} local t = setmetatable({}, {__newindex = function(_, k, v) "
     "log[#log + 1] = k .. '=' .. v end, __len = function() return 4 end}) "
     "table.insert(t, 'x') return log[1]",
     "5=x"},
    {"table.concat asks __index",
     "return table.concat(setmetatable({}, {__index = function(_, i) return i end, "
     "__len = function() return 3 end}), '-')",
     "1-2-3"},
    {"table.remove at n + 1", "local t = {1, 2} return table.remove(t, 3), #t", "nil 2"},

    {"math.type", "return math.type(3), math.type(3.0), math.type(3.5), math.type('3')",
     "integer integer float nil"},
    {"math.tointeger", "return math.tointeger(3.0), math.tointeger(3.5), math.tointeger('8')",
     "3 nil 8"},
    {"math.ult", "return math.ult(1, -1), math.ult(-1, 1)", "true false"},
    {"math.maxinteger prints exactly", "return math.maxinteger, math.mininteger",
     "9223372036854775807 -9223372036854775808"},
    {"integers wrap", "return math.maxinteger + 1 == math.mininteger", "true"},
    {"big integers keep their digits", "return 'id=' .. 1700000000000000, 2^53",
     "id=1700000000000000 9007199254740992"},
    {"%q reads back", "return string.format('%q %q %q', 1, true, 'a\"b')", "1 true \"a\\\"b\""},
    {"%d takes integral floats", "return string.format('%d', 3.0)", "3"},
    {"%d refuses a fraction", "return (pcall(string.format, '%d', 3.5))", "false"},
    {"%5.1s pads", "return string.format('[%5.1s]', 'abc')", "[    a]"},

    {"utf8.len", "return utf8.len('h\u00e9llo'), utf8.len('\\xff')", "5 nil 1"},
    {"utf8.char", "return utf8.char(72, 228, 8364, 128512)", "H\u00e4\u20ac\U0001f600"},
    {"utf8.codepoint", "return utf8.codepoint('\u20acx', 1, -1)", "8364 120"},
    {"utf8.codes",
     "local s = '' for p, c in utf8.codes('a\u00e9b') do s = s .. p .. ':' .. c .. ' ' end return "
     "s",
     "1:97 2:233 4:98 "},
    {"utf8.codes refuses surrogates", "for _ in utf8.codes('\\xed\\xa0\\x80') do end",
     "false invalid UTF-8 code"},
    {"utf8.offset", "return utf8.offset('a\u00e9b', 3), utf8.offset('a\u00e9b', -1)", "4 4"},
    {"utf8.charpattern",
     "local n = 0 for _ in ('\u00e9a\u20ac'):gmatch(utf8.charpattern) do "
     "n = n + 1 end return n",
     "3"},

    {"string.pack little and big",
     "return (string.pack('>I2', 258) .. string.pack('<I2', 258)):byte(1, 4)", "1 2 2 1"},
    {"string.pack and unpack round trip",
     "return string.unpack('<i4 z s1 d', string.pack('<i4 z s1 d', -5, 'zed', 'len', 1.5))",
     "-5 zed len 1.5 21"},
    {"string.pack aligns", "return string.packsize('!8 b Xi8 i8')", "16"},
    {"string.pack checks the range", "return (pcall(string.pack, 'i1', 128))", "false"},
    {"string.unpack checks the end", "return (pcall(string.unpack, 'i4', 'abc'))", "false"},

    {"debug is gone", "return debug, package.loaded.debug", "nil nil"},
    {"ffi and jit are gone", "return jit, (pcall(require, 'ffi')), (pcall(require, 'jit'))",
     "nil false false"},
    {"C libraries are not loaded", "return package.loadlib, #package.loaders, package.cpath",
     "nil 2 "},
    {"bytecode is not loaded", "return load(string.dump(function() end))",
     "nil attempt to load chunk with wrong mode"},
    {"newproxy is gone", "return newproxy", "nil"},
    {"collectgarbage takes 5.4 modes", "return collectgarbage('generational')", "incremental"},
    {"load takes an environment", "return load('return x', 'n', 't', {x = 5})()", "5"},
    {"load takes a function",
     "local n = 0 return load(function() n = n + 1 "
     "return ({'return ', '7 // 2'})[n] end)()",
     "3"},
    {"xpcall passes arguments", "return xpcall(function(a) return a end, print, 4)", "true 4"},
    {"coroutine.isyieldable",
     "return coroutine.wrap(function() return coroutine.isyieldable() end)()", "true"},
    {"goto continue",
     "local s = '' for i = 1, 3 do if i == 2 then goto continue end s = s .. i // 1 "
     "::continue:: end return s",
     "13"},
};

static void rows_print_what_lua_5_4_prints(void **state)
{
    unsigned wrong_count = 0;
    struct vm_bench b;

    vm_bench_init(&b);
    vm_bench_load(&b, evaluator);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct vm_call *c = vm_bench_named(&b, "eval");

        vm_push_string(c, slice_str(rows[i].source));
        const char *got = vm_bench_finish(&b, c);
        struct slice text = slice_str(got);

        /* Native errors go on with a traceback. */
        if (slice_starts(text, SLICE("false"))) {
            text = slice_head(text, slice_find_char(text, '\n'));
        }
        if (!slice_eq(text, slice_str(rows[i].want))) {
            print_error("%s: got '%.*s', want '%s'\n", rows[i].name, SLICE_ARG(text), rows[i].want);
            wrong_count++;
        }
    }
    vm_bench_close(&b);
    assert_int_equal(wrong_count, 0);
}

/* Each returns what happened, in order, as one string. `log` collects, `closer(n)` makes a value
 * whose __close notes n and the error. */
static const struct row close_rows[] = {
    {"falls out of the block", "do local a <close> = closer 'a' log 'body' end log 'after'",
     "body,a:nil,after"},
    {"reverse order", "do local a <close> = closer 'a' local b <close> = closer 'b' log 'body' end",
     "body,b:nil,a:nil"},
    {"return passes its values",
     "local function f() local a <close> = closer 'a' return 1, nil, 3 end log(select('#', f()))",
     "a:nil,3"},
    {"return from a nested scope",
     "local function f() local a <close> = closer 'a' do local b <close> = closer 'b' "
     "return 'v' end end log(f())",
     "b:nil,a:nil,v"},
    {"return inside a loop",
     "local function f() for i = 1, 3 do local a <close> = closer(i) if i == 2 then return i end "
     "end end "
     "log(f())",
     "1:nil,2:nil,2"},
    {"break", "for i = 1, 3 do local a <close> = closer(i) if i == 2 then break end end log 'out'",
     "1:nil,2:nil,out"},
    {"break of an inner loop stays inside",
     "do local a <close> = closer 'a' for i = 1, 3 do if i == 2 then break end log(i) end log 'on' "
     "end",
     "1,on,a:nil"},
    {"break through two scopes",
     "while true do local a <close> = closer 'a' do local b <close> = closer 'b' break end end log "
     "'out'",
     "b:nil,a:nil,out"},
    {"an error closes and goes on",
     "log(pcall(function() local a <close> = closer 'a' error('bad', 0) end))", "a:bad,false,bad"},
    {"varargs are still there",
     "local function f(...) local a <close> = closer 'a' return select('#', ...), ... end log(f(7, "
     "8))",
     "a:nil,2,7,8"},
    {"nil and false are fine", "do local a <close> = nil local b <close> = false log 'ok' end",
     "ok"},
    {"anything else is not", "log((pcall(function() local a <close> = 42 end)))", "false"},
    {"locals before and inside are seen",
     "local x = 1 do local a <close> = closer 'a' x = x + 1 local y = x log(y) end log(x)",
     "2,a:nil,2"},
    {"a label inside is reached",
     "for i = 1, 2 do local a <close> = closer(i) if i == 1 then goto skip end log 'body' ::skip:: "
     "end",
     "1:nil,body,2:nil"},
};

static void close_runs_on_every_way_out(void **state)
{
    static const char prelude[] =
        "local out = {} local function log(...) for i = 1, select('#', ...) do "
        "out[#out + 1] = tostring((select(i, ...))) end end "
        "local function closer(n) return setmetatable({}, {__close = function(_, e) "
        "log(n .. ':' .. tostring(e)) end}) end ";
    unsigned wrong_count = 0;
    struct vm_bench b;
    struct buf source = {0};

    vm_bench_init(&b);
    vm_bench_load(&b, evaluator);
    for (size_t i = 0; i < ARRAY_COUNT(close_rows); i++) {
        struct vm_call *c = vm_bench_named(&b, "eval");

        buf_clear(&source);
        buf_put(&source, slice_str(prelude));
        buf_put(&source, slice_str(close_rows[i].source));
        BUF_LIT(&source, " return table.concat(out, ',')");
        vm_push_string(c, buf_slice(&source));
        const char *got = vm_bench_finish(&b, c);

        if (strcmp(got, close_rows[i].want) != 0) {
            print_error("%s: got '%s', want '%s'\n", close_rows[i].name, got, close_rows[i].want);
            wrong_count++;
        }
    }
    buf_free(&source);
    vm_bench_close(&b);
    assert_int_equal(wrong_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_print_what_lua_5_4_prints),
        cmocka_unit_test(close_runs_on_every_way_out),
    };

    return cmocka_run_group_tests_name("policy/vm/compat", tests, NULL, NULL);
}
