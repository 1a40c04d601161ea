/* Messages and conn_meta as handlers see them, and when their edits count. */
#include <stdlib.h>

#include "core/message/schedule.h"
#include "policy/api/api.h"
#include "tests/unit/policy/vm/vm_bench.h"

#define HEAD "local kumo = require 'kumo'\n"

static const char text[] = "Received: from a by b\r\n"
                           "From: <news@acme.example>\r\n"
                           "X-Campaign: spring\r\n"
                           "X-My-Id: 7\r\n"
                           "Subject: =?UTF-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
                           "A-One: 1\r\n"
                           "A-Two: 2\r\n"
                           "X-Campaign: summer\r\n"
                           "\r\n"
                           "body\r\n";

static struct message *make_message(void)
{
    struct message *m = message_new();
    struct buf bytes = {0};

    m->content = message_content_new();
    m->id[0] = 0xab;
    message_set_sender(m, SLICE("a@x.test"));
    message_add_recipient(m, SLICE("\"b c\"@Y.test"));
    buf_append(&bytes, text, sizeof(text) - 1);
    message_set_data(m, &bytes);
    m->content->envelope_dirty = false;
    m->content->data_dirty = false;
    return m;
}

static void message_bench_load(struct vm_bench *b, const char *source)
{
    vm_bench_init(b);
    b->library = api_library();
    vm_bench_load(b, source);
}

/* Runs event e with the message; answers as vm_bench_say(). */
static const char *say(struct vm_bench *b, const char *event, struct message *m)
{
    struct vm_call *c = vm_bench_named(b, event);

    vm_push_message(c, m);
    return vm_bench_finish(b, c);
}

static const struct {
    const char *name, *body, *want;
} rows[] = {
    {"id", "return m:id()", "ab000000000000000000000000000000"},
    {"sender",
     "local s = m:sender() return s.user .. ' ' .. s.domain .. ' ' .. s.email .. ' ' .. "
     "tostring(s)",
     "a x.test a@x.test a@x.test"},
    {"a quoted local part",
     "local r = m:recipient() return r.user .. '|' .. r.domain .. '|' .. r.email",
     "b c|Y.test|\"b c\"@Y.test"},
    {"null sender",
     "m:set_sender('<>') local s = m:sender() return '[' .. s.user .. s.domain .. s.email .. "
     "tostring(s) .. ']'",
     "[]"},
    {"set_sender takes an address", "m:set_sender(m:recipient()) return m:sender().email",
     "\"b c\"@Y.test"},
    {"a bad sender raises", "m:set_sender('no one')", "error no one is not a valid email address"},
    {"set_recipient of one", "m:set_recipient('<z@z.test>') return m:recipient().email",
     "z@z.test"},
    {"set_recipient of many",
     "m:set_recipient{'p@p.test', m:sender()} return #m:recipient_list() .. m:recipient()[2].email",
     "2a@x.test"},
    {"set_recipient of none",
     "m:set_recipient{} return tostring(m:recipient()) .. #m:recipient_list()", "nil0"},
    {"postmaster",
     "m:set_recipient('postMASTER') local r = m:recipient() return r.user .. '|' .. r.domain .. "
     "'|' .. tostring(r)",
     "postmaster||Postmaster"},
    {"a bad recipient leaves the others",
     "local ok = pcall(m.set_recipient, m, {'p@p.test', 'bad bad'}) return tostring(ok) .. "
     "m:recipient().email",
     "false\"b c\"@Y.test"},
    {"queue name", "return m:queue_name()", "y.test"},
    {"queue name with all parts",
     "m:set_meta('tenant', 'T') m:set_meta('campaign', 'C') m:set_meta('routing_domain', 'r.test') "
     "return m:queue_name()",
     "C:T@y.test!r.test"},
    {"queue name needs strings", "m:set_meta('tenant', 5) return m:queue_name()",
     "error expected 'tenant' to be a string value"},
    {"queue verbatim", "m:set_meta('queue', 'X') return m:queue_name()", "X"},
    {"attempts", "m:increment_num_attempts() return m:num_attempts()", "1"},

    {"meta is unset at first", "return tostring(m:get_meta('none'))", "nil"},
    {"meta of every type",
     "for _, v in ipairs{1, 1.5, true, 'x\"y', math.maxinteger} do m:set_meta('k', v) "
     "assert(m:get_meta 'k' == v, tostring(v)) end return 'ok'",
     "ok"},
    {"meta tables are copied",
     "local t = {a = {1}} m:set_meta('k', t) t.a[1] = 2 local u = m:get_meta 'k' u.a[1] = 3 "
     "return m:get_meta('k').a[1]",
     "1"},
    {"nil stores null", "m:set_meta('k', 1) m:set_meta('k', nil) return tostring(m:get_meta 'k')",
     "nil"},
    {"functions are no metadata", "m:set_meta('k', print)",
     "error serialize error: invalid type: function"},
    {"an unencodable value leaves the old one",
     "m:set_meta('k', 1) pcall(m.set_meta, m, 'k', print) return m:get_meta 'k'", "1"},

    {"the first header of a name", "return m:get_first_named_header_value('x-campaign')", "spring"},
    {"no header of that name", "return tostring(m:get_first_named_header_value('x-none'))", "nil"},
    {"encoded words are decoded", "return m:get_first_named_header_value('subject')",
     "Gr\u00fc\u00dfe"},
    {"all of a name", "return table.concat(m:get_all_named_header_values('X-CAMPAIGN'), ',')",
     "spring,summer"},
    {"none of a name", "return kumo.json_encode(m:get_all_named_header_values('none'))", "[]"},
    {"all headers", "local h = m:get_all_headers() return #h .. h[2][1] .. h[2][2]",
     "8From<news@acme.example>"},
    {"prepend", "m:prepend_header('X-Top', 'v') return m:get_data():sub(1, 10)", "X-Top: v\r\n"},
    {"prepend encoded",
     "m:prepend_header('Subject', 'Gr\u00fc\u00dfe', true) "
     "return m:get_data():match('^[^\\r]*') .. ' ' .. m:get_first_named_header_value 'subject'",
     "Subject: =?UTF-8?q?Gr=C3=BC=C3=9Fe?= Gr\u00fc\u00dfe"},
    {"append",
     "m:append_header('X-End', 'v') return (m:get_data():match('X%-End: "
     "v\\r\\n\\r\\nbody\\r\\n$'))",
     "X-End: v\r\n\r\nbody\r\n"},
    {"append without a header block", "m:set_data('no block') m:append_header('A', 'b')",
     "error append_header could not find the end of the header block"},
    {"remove",
     "m:remove_all_named_headers('x-CAMPAIGN') return tostring(m:get_data():find('Campaign'))",
     "nil"},
    {"remove all X headers", "m:remove_x_headers() return tostring(m:get_data():find('X%-'))",
     "nil"},
    {"remove some X headers",
     "m:remove_x_headers{'x-my-id', 'From'} local d = m:get_data() "
     "return tostring(d:find('My%-Id')) .. tostring(d:find('From:')) .. "
     "#m:get_all_named_header_values('X-Campaign')",
     "nilnil2"},
    {"import X headers",
     "m:import_x_headers() return m:get_meta('x_my_id') .. "
     "m:get_first_named_header_value('x-my-id')",
     "77"},
    {"import some X headers",
     "m:import_x_headers{'X-MY-ID'} return m:get_meta('x_my_id') .. "
     "tostring(m:get_meta('x_campaign'))",
     "7nil"},
    {"import by pattern, in camel case, and remove",
     "m:import_headers{{name = 'A-*', transform = 'camel_case', remove = true}} "
     "return m:get_meta('aOne') .. m:get_meta('aTwo') .. tostring(m:get_data():find('A%-One'))",
     "12nil"},
    {"import the first, the last, all",
     "m:import_headers{{name = 'X-Campaign', match = 'first', target = 'f'}} "
     "m:import_headers{{name = 'x-campaign', target = 'l'}} "
     "m:import_headers{{name = 'x-campaign', match = 'all', transform = 'pascal_case'}} "
     "return m:get_meta('f') .. m:get_meta('l') .. table.concat(m:get_meta('XCampaign'), '+')",
     "springsummerspring+summer"},
    {"import everything is refused", "m:import_headers{{name = '*'}}",
     "error header name pattern '*'"},
    {"import into a target needs one name", "m:import_headers{{name = 'A-*', target = 't'}}",
     "error target cannot"},
    {"import with an unknown key", "m:import_headers{{name = 'A', nam = 't'}}",
     "error deserialize error: unknown field `nam`, expected one of"},

    {"data replaced", "m:set_data('A: b\\r\\n\\r\\nc') return m:get_data() .. #m:get_all_headers()",
     "A: b\r\n\r\nc1"},
    {"empty data is refused", "m:set_data('')", "error message data must not be empty"},
    {"scheduling is spelled out again",
     "local s = m:set_scheduling{first_attempt = '2030-01-02T03:04:05Z'} return s.first_attempt .. "
     "m:get_data():sub(1, 0)",
     "2030-01-02T03:04:05Z"},
    {"scheduling with an unknown key", "m:set_scheduling{nope = 1}",
     "error invalid field name nope"},
    {"scheduling from a header",
     "m:prepend_header('X-Schedule', '{\"first_attempt\":\"2030-01-02T03:04:05Z\"}') "
     "local s = m:import_scheduling_header('X-Schedule', true) "
     "return s.first_attempt .. tostring(m:get_first_named_header_value 'x-schedule')",
     "2030-01-02T03:04:05Znil"},
    {"no scheduling header", "return tostring(m:import_scheduling_header('X-Schedule', true))",
     "nil"},
    {"a bad scheduling header",
     "m:prepend_header('X-Schedule', 'nonsense') m:import_scheduling_header('X-Schedule', true)",
     "error nonsense is not a valid Scheduling header"},
    {"due later", "return m:set_due('2030-01-02T03:04:05Z')", "2030-01-02T03:04:05Z"},
    {"due now", "return tostring(m:set_due(nil))", "nil"},
    {"due at a bad time", "m:set_due('tomorrow')", "error 'tomorrow' is not a valid RFC 3339"},

    {"a message of one's own",
     "local o = kumo.make_message('a@x.test', {'b@y.test', 'c@z.test'}, 'S: hi\\r\\n\\r\\nb') "
     "o:set_meta('k', 'v') o:prepend_header('H', '1') return #o:recipient_list() .. o:get_meta 'k' "
     ".. o:get_data():sub(1, 1)",
     "2vH"},
    {"injection needs the daemon",
     "kumo.inject_message(kumo.make_message('a@x.test', 'b@y.test', 'x'))",
     "error kumo.inject_message cannot be called while"},
    {"a method of something else", "m.id(5)",
     "error bad argument #1 to 'id' (Message expected, got number)"},
    {"a conn_meta is no message", "m.id(kumo)",
     "error bad argument #1 to 'id' (Message expected, got table)"},
};

static void methods_do_what_the_spec_says(void **state)
{
    unsigned wrong_count = 0;
    struct vm_bench b;
    struct buf source = {0};

    buf_put(&source, SLICE(HEAD));
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        buf_printf(&source, "kumo.on('e%zu', function(m) %s end) ", i, rows[i].body);
    }
    buf_char(&source, '\0');
    message_bench_load(&b, source.ptr);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct message *m = make_message();
        char event[16];

        (void)snprintf(event, sizeof(event), "e%zu", i);
        const char *got = say(&b, event, m);
        size_t len = strlen(rows[i].want);

        if (strncmp(got, "error ", 6) == 0 ? strncmp(got, rows[i].want, len) != 0
                                           : strcmp(got, rows[i].want) != 0) {
            print_error("%s: got '%s', want '%s'\n", rows[i].name, got, rows[i].want);
            wrong_count++;
        }
        message_free(&m);
    }
    buf_free(&source);
    vm_bench_close(&b);
    assert_int_equal(wrong_count, 0);
}

/* ---- edits ---- */

#define EDIT                                                                                       \
    "m:set_meta('k', 'v') m:set_sender('new@x.test') m:set_recipient('n@n.test') "                 \
    "m:prepend_header('X-New', '1') m:increment_num_attempts() c:set_meta('seen', 1) "             \
    "m:set_scheduling{first_attempt='2030-01-02T03:04:05Z'} "

static const struct {
    const char *name, *ending;
    bool applied;
} endings[] = {
    {"returns nothing", "", true},
    {"returns a value", "return 5", true},
    {"returns after sleeping", "kumo.sleep(1)", true},
    {"raises", "error('x')", false},
    {"rejects", "kumo.reject(550, 'x')", false},
    {"raises after sleeping", "kumo.sleep(1) error('x')", false},
    {"never ends", "while true do end", false},
    {"returns what is no JSON", "return print", false},
};

static void check_edited(const char *name, const struct message *m, const struct meta *conn,
                         bool applied)
{
    struct buf data = {0};
    bool has_header, has_all, has_none;

    message_data_put(m, &data);
    has_header = slice_starts(buf_slice(&data), SLICE("X-New: 1\r\n"));
    has_all = slice_eq(meta_get(&m->content->meta, SLICE("k")), SLICE("\"v\"")) &&
              slice_eq(message_sender(m), SLICE("new@x.test")) && has_header && m->attempts == 1 &&
              m->content->envelope_dirty && m->content->data_dirty && m->size == data.len &&
              m->content->schedule != NULL && m->content->recipients.len == 2 + 8 &&
              slice_eq(meta_get(conn, SLICE("seen")), SLICE("1"));
    has_none = meta_get(&m->content->meta, SLICE("k")).len == 0 &&
               slice_eq(message_sender(m), SLICE("a@x.test")) && !has_header && m->attempts == 0 &&
               !m->content->envelope_dirty && !m->content->data_dirty &&
               m->content->schedule == NULL && meta_get(conn, SLICE("seen")).len == 0;
    if (applied ? !has_all : !has_none) {
        fail_msg("%s: the message is not as it should be", name);
    }
    buf_free(&data);
}

static void edits_apply_when_the_handler_returns_all_or_none(void **state)
{
    for (size_t i = 0; i < ARRAY_COUNT(endings); i++) {
        struct message *m = make_message();
        struct meta conn = {0};
        struct vm_bench b;
        struct buf source = {0};

        buf_printf(&source, HEAD "kumo.on('e', function(m, c) " EDIT " %s end)", endings[i].ending);
        buf_char(&source, '\0');
        vm_bench_init(&b);
        b.limits.handler_budget_ms = 20;
        b.library = api_library();
        vm_bench_load(&b, source.ptr);
        struct vm_call *c = vm_bench_named(&b, "e");

        vm_push_message(c, m);
        vm_push_conn_meta(c, &conn);
        if (vm_call_run(c, vm_bench_done, &b) == NULL) {
            check_edited("suspended", m, &conn, false);
            vm_bench_advance(&b, 1001);
            assert_int_equal(b.done_count, 1);
        }
        check_edited(endings[i].name, m, &conn, endings[i].applied);
        vm_call_end(&c);
        vm_bench_close(&b);
        buf_free(&source);
        message_free(&m);
        meta_free(&conn);
    }
}

static void edits_of_an_abandoned_handler_vanish(void **state)
{
    struct message *m = make_message();
    struct meta conn = {0};
    struct vm_bench b;

    message_bench_load(&b, HEAD "kumo.on('e', function(m, c) " EDIT " kumo.sleep(9) end)");
    struct vm_call *c = vm_bench_named(&b, "e");

    vm_push_message(c, m);
    vm_push_conn_meta(c, &conn);
    assert_null(vm_call_run(c, vm_bench_done, &b));
    vm_call_end(&c);
    check_edited("abandoned", m, &conn, false);
    vm_bench_close(&b);
    message_free(&m);
    meta_free(&conn);
}

static void edits_of_a_chain_are_seen_by_the_next_handler(void **state)
{
    struct message *m = make_message();
    struct vm_bench b;

    message_bench_load(&b,
                       HEAD "kumo.on('requeue_message', function(m) m:set_meta('k', 'v') end)\n"
                            "kumo.on('requeue_message', function(m) return m:get_meta('k') end)\n");
    struct vm_call *c = vm_call_begin(b.vm, VM_HOOK_requeue_message);

    vm_push_message(c, m);
    assert_string_equal(vm_bench_finish(&b, c), "v");
    assert_true(slice_eq(meta_get(&m->content->meta, SLICE("k")), SLICE("\"v\"")));
    vm_bench_close(&b);
    message_free(&m);
}

static void a_handle_kept_past_its_call_is_an_error_not_a_crash(void **state)
{
    struct message *m = make_message(), *other = make_message();
    struct meta conn = {0};
    struct vm_bench b;

    message_bench_load(&b, HEAD "kumo.on('keep', function(m, c) kept, kept_c = m, c end)\n"
                                "kumo.on('use', function(m) return kept:id() end)\n"
                                "kumo.on('use_c', function(m) return kept_c:get_meta('k') end)\n");
    struct vm_call *c = vm_bench_named(&b, "keep");

    vm_push_message(c, m);
    vm_push_conn_meta(c, &conn);
    assert_string_equal(vm_bench_finish(&b, c), "none");
    message_free(&m);
    assert_non_null(strstr(say(&b, "use", other), "message used after its event handler returned"));
    c = vm_bench_named(&b, "keep");
    vm_push_message(c, other);
    vm_push_conn_meta(c, &conn);
    (void)vm_bench_finish(&b, c);
    assert_non_null(
        strstr(say(&b, "use_c", other), "conn_meta used after its event handler returned"));
    vm_bench_close(&b);
    message_free(&other);
    meta_free(&conn);
}

static void a_message_whose_content_is_away_raises(void **state)
{
    struct message *m = message_new();
    struct vm_bench b;

    message_bench_load(&b, HEAD "kumo.on('e', function(m) return m:get_meta('k') end)");
    assert_non_null(strstr(say(&b, "e", m), "message content is not loaded"));
    vm_bench_close(&b);
    message_free(&m);
}

static void messages_made_without_end_are_collected_or_refused(void **state)
{
    struct message *m = make_message();
    struct vm_bench b;

    vm_bench_init(&b);
    b.limits.state_bytes_max = 8u << 20;
    b.library = api_library();
    vm_bench_load(
        &b,
        HEAD "local text = ('x'):rep(100000)\n"
             "local function make() return kumo.make_message('a@x.test', 'b@y.test', text) end\n"
             "kumo.on('drop', function() for i = 1, 300 do make() end return 'ok' end)\n"
             "kumo.on('keep', function() local t = {} for i = 1, 300 do t[i] = make() end end)\n");
    assert_string_equal(say(&b, "drop", m), "ok");
    assert_non_null(strstr(say(&b, "keep", m), "not enough memory"));
    assert_string_equal(say(&b, "drop", m), "ok");
    vm_bench_close(&b);
    message_free(&m);
}

static void a_hundred_thousand_calls_leave_nothing_behind(void **state)
{
    struct message *m = make_message();
    struct meta conn = {0};
    struct vm_bench b;
    uint64_t before = 0, after = 0;

    message_bench_load(&b, HEAD "kumo.on('e', function(m, c) m:set_meta('campaign', "
                                "m:get_first_named_header_value('X-Campaign'))\n"
                                "  m:set_meta('tenant', 'acme') c:set_meta('n', 1) end)\n"
                                "kumo.on('gc', function() collectgarbage() collectgarbage()\n"
                                "  return math.floor(collectgarbage('count')) end)\n");
    for (int i = 0; i < 100000; i++) {
        struct vm_call *c = vm_bench_named(&b, "e");

        vm_push_message(c, m);
        vm_push_conn_meta(c, &conn);
        (void)vm_call_run(c, vm_bench_done, &b);
        vm_call_end(&c);
        if (i == 10000) {
            before = strtoull(say(&b, "gc", m), NULL, 10);
        }
    }
    after = strtoull(say(&b, "gc", m), NULL, 10);
    assert_in_range(after, 1, before + before / 10);
    vm_bench_close(&b);
    message_free(&m);
    meta_free(&conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_do_what_the_spec_says),
        cmocka_unit_test(edits_apply_when_the_handler_returns_all_or_none),
        cmocka_unit_test(edits_of_an_abandoned_handler_vanish),
        cmocka_unit_test(edits_of_a_chain_are_seen_by_the_next_handler),
        cmocka_unit_test(a_handle_kept_past_its_call_is_an_error_not_a_crash),
        cmocka_unit_test(a_message_whose_content_is_away_raises),
        cmocka_unit_test(messages_made_without_end_are_collected_or_refused),
        cmocka_unit_test(a_hundred_thousand_calls_leave_nothing_behind),
    };

    return cmocka_run_group_tests_name("policy/api/message", tests, NULL, NULL);
}
