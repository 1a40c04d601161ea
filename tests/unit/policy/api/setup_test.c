/* Config objects with their checks, init-time calls, settings without effect. */
#include "policy/api/api.h"
#include "tests/unit/policy/vm/vm_bench.h"

#define HEAD "local kumo = require 'kumo'\n"

struct setup_bench {
    struct vm_bench b;
    struct api_services services;
    struct buf said; /* calls that came through */
};

static bool note_spool(void *ctx, const struct json *params, struct buf *why)
{
    struct setup_bench *sb = ctx;

    BUF_LIT(&sb->said, "spool ");
    json_write(&sb->said, params);
    return true;
}

static bool refuse_listener(void *ctx, const struct json *params, struct buf *why)
{
    BUF_LIT(why, "deserialize error: missing field `listen`, while processing JSON");
    return false;
}

static void note_notice(void *ctx, struct slice name, struct slice reason)
{
    struct setup_bench *sb = ctx;

    buf_printf(&sb->said, "%.*s: %.*s", SLICE_ARG(name), SLICE_ARG(reason));
}

static void setup_bench_open(struct setup_bench *sb, const char *source)
{
    *sb = (struct setup_bench){
        .services = {.define_spool = note_spool,
                     .start_esmtp_listener = refuse_listener,
                     .notice = note_notice},
    };
    sb->services.ctx = sb;
    vm_bench_init(&sb->b);
    sb->b.library = api_library();
    vm_bench_load(&sb->b, source);
    vm_set_services(sb->b.vm, &sb->services);
}

static void setup_bench_close(struct setup_bench *sb)
{
    vm_bench_close(&sb->b);
    buf_free(&sb->said);
}

static const char *say_init(struct setup_bench *sb)
{
    return vm_bench_finish(&sb->b, vm_call_begin(sb->b.vm, VM_HOOK_init));
}

static void init_reaches_the_daemon(void **state)
{
    struct setup_bench sb;

    setup_bench_open(
        &sb, HEAD "kumo.on('init', function() kumo.define_spool{name = 'data', path = '/x'} end)");
    assert_string_equal(say_init(&sb), "none");
    assert_true(slice_starts(buf_slice(&sb.said), SLICE("spool {")));
    setup_bench_close(&sb);
}

static const struct {
    const char *name, *body, *want;
} rows[] = {
    {"what the daemon refuses is the error", "kumo.start_esmtp_listener{}",
     "error deserialize error: missing field `listen`, while processing JSON\nstack traceback:"},
    {"what the daemon has not", "kumo.start_http_listener{}",
     "error kumo.start_http_listener is not available"},
    {"pcall sees the text",
     "local _, e = pcall(kumo.start_esmtp_listener, {}) return tostring(e):match('deserialize "
     "error: (.*), while processing')",
     "missing field `listen`"},
    {"an unknown option of a queue",
     "return tostring(select(2, pcall(kumo.make_queue_config, {bogus = 1}))):match('^[^\\n]*')",
     "deserialize error: unknown field `bogus`"},
    {"a wrong type",
     "return tostring(select(2, pcall(kumo.make_queue_config, {max_age = {}}))):match('invalid "
     "type')",
     "invalid type"},
    {"a good queue", "return kumo.make_queue_config{max_age = '1h'}.max_age", "1h"},
    {"an egress path", "return kumo.make_egress_path{connection_limit = 5}.connection_limit", "5"},
    {"what was not given is its default",
     "local p = kumo.make_egress_path{} return p.max_ready .. ' ' .. tostring(p.bogus)",
     "1024 nil"},
    {"the others are as given",
     "local p = kumo.make_egress_path{max_ready = 7} return p.max_ready .. ' ' .. "
     "p.ehlo_timeout .. ' ' .. #p",
     "7 5m 1"},
    {"a default that is a word", "return kumo.make_egress_path{}.enable_tls", "Opportunistic"},
    {"an option without a default",
     "return tostring(kumo.make_egress_path{}.max_message_rate)", "nil"},
    {"beside a required one", "return kumo.make_egress_source{name = 's'}.name", "s"},
    {"a source needs a name", "kumo.make_egress_source{}",
     "error deserialize error: missing field `name`"},
    {"a pool", "return kumo.make_egress_pool{name = 'p', entries = {{name = 's'}}}.entries[1].name",
     "s"},
    {"a listener domain", "return tostring(kumo.make_listener_domain{relay_to = true}.relay_to)",
     "true"},
    {"addresses of DNS names",
     "return kumo.dns.ptr_host('10.1.2.3') .. ' ' .. kumo.dns.reverse_ip('10.1.2.3')",
     "3.2.1.10.in-addr.arpa 3.2.1.10"},
    {"an IPv6 name", "return (kumo.dns.ptr_host('2001:db8::1'):sub(1, 8))", "1.0.0.0."},
    {"a lookup without a resolver", "kumo.dns.lookup_mx('x.test')",
     "error kumo.dns cannot look anything up"},
};

static void constructors_and_services_raise_their_own_texts(void **state)
{
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct setup_bench sb;
        struct buf source = {0};

        buf_printf(&source, HEAD "kumo.on('init', function() %s end)", rows[i].body);
        buf_char(&source, '\0');
        setup_bench_open(&sb, source.ptr);
        const char *got = say_init(&sb);

        if (strncmp(got, rows[i].want, strlen(rows[i].want)) != 0) {
            print_error("%s: got '%s'\n", rows[i].name, got);
            wrong_count++;
        }
        setup_bench_close(&sb);
        buf_free(&source);
    }
    assert_int_equal(wrong_count, 0);
}

static void init_time_calls_are_refused_elsewhere(void **state)
{
    struct setup_bench sb;

    setup_bench_open(
        &sb, HEAD "kumo.on('later', function() kumo.define_spool{name = 'data', path = '/x'} end)");
    assert_non_null(strstr(vm_bench_say(&sb.b, "later"),
                           "define_spool can only be called from within the init event"));
    assert_int_equal(sb.said.len, 0);
    setup_bench_close(&sb);
}

static void settings_without_effect_are_accepted_and_said(void **state)
{
    struct setup_bench sb;

    setup_bench_open(&sb, HEAD "kumo.on('init', function() kumo.set_readyq_threads(4) end)");
    assert_string_equal(say_init(&sb), "none");
    assert_true(slice_starts(buf_slice(&sb.said), SLICE("set_readyq_threads: ")));
    setup_bench_close(&sb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_reaches_the_daemon),
        cmocka_unit_test(constructors_and_services_raise_their_own_texts),
        cmocka_unit_test(init_time_calls_are_refused_elsewhere),
        cmocka_unit_test(settings_without_effect_are_accepted_and_said),
    };

    return cmocka_run_group_tests_name("policy/api/setup", tests, NULL, NULL);
}
