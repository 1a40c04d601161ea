/* Expectations: the overlay evaluation order of the listener chapter. */
#include "tests/unit/core/config/config_bench.h"

#include "core/config/listener_config.h"

struct view_case {
    const char *name;
    const char *peer, *local;
    const char *banner;
    uint64_t max_message_size;
    const char *meta; /* in the order it was said */
};

static const char listener_table[] =
    "{\"banner\":\"base\",\"max_message_size\":1,\"meta\":{\"a\":1,\"b\":1},"
    "\"peer\":{\"10.0.0.0/8\":{\"banner\":\"ten\",\"meta\":{\"a\":2},"
    "\"via\":{\"192.0.2.1\":{\"max_message_size\":3}}},"
    "\"10.1.0.0/16\":{\"max_message_size\":2}},"
    "\"via\":{\"192.0.2.0/"
    "24\":{\"banner\":\"via\",\"trace_headers\":{\"received_header\":false}}}}";

static const struct view_case view_cases[] = {
    {"nobody special", "203.0.113.1", "198.51.100.1", "base", 1, "a=1 b=1 "},
    {"a peer", "10.2.0.1", "198.51.100.1", "ten", 1, "a=1 b=1 a=2 "},
    {"the longest prefix alone", "10.1.0.1", "198.51.100.1", "base", 2, "a=1 b=1 "},
    {"via wins over peer", "10.2.0.1", "192.0.2.9", "via", 1, "a=1 b=1 a=2 "},
    {"an overlay's own overlays count", "10.2.0.1", "192.0.2.1", "via", 3, "a=1 b=1 a=2 "},
    {"no addresses, no overlays", "", "", "base", 1, "a=1 b=1 "},
};

static void note_meta(void *ctx, struct slice key, const struct json *value)
{
    struct buf *said = ctx;

    buf_put(said, key);
    buf_char(said, '=');
    json_write(said, value);
    buf_char(said, ' ');
}

static void overlays_apply_from_the_general_to_the_special(void **state)
{
    struct listener_config c;

    (void)state;
    bench_take(&listener_config_options, listener_table, &c);
    for (size_t i = 0; i < ARRAY_COUNT(view_cases); i++) {
        const struct view_case *v = &view_cases[i];
        struct buf said = {0};
        struct listener_session session = {.meta = note_meta, .ctx = &said};
        struct listener_params view;

        print_message("%s\n", v->name);
        assert_int_equal(ip_parse(slice_str(v->peer), &session.peer), v->peer[0] != '\0');
        assert_int_equal(ip_parse(slice_str(v->local), &session.local), v->local[0] != '\0');
        listener_view_open(&view, &c.params, &session);
        assert_string_equal(view.banner, v->banner);
        assert_int_equal(view.max_message_size, v->max_message_size);
        assert_true(slice_eq(buf_slice(&said), slice_str(v->meta)));
        buf_free(&said);
    }
    listener_config_free(&c);
}

static void tables_and_lists_are_replaced_not_merged(void **state)
{
    struct listener_config c;
    struct listener_params dynamic, view;
    struct listener_session session = {0};

    (void)state;
    bench_take(&listener_config_options,
               "{\"relay_hosts\":[\"10.0.0.1\"],\"trace_headers\":{\"header_name\":\"X-Ours\","
               "\"received_header\":false}}",
               &c);
    bench_take(&listener_params_options,
               "{\"relay_hosts\":[],\"trace_headers\":{\"supplemental_header\":false}}", &dynamic);
    listener_view_open(&view, &c.params, &session);
    assert_int_equal(view.relay_hosts.count, 1);
    assert_string_equal(view.trace_headers.header_name, "X-Ours");
    listener_view_apply(&view, &dynamic, &session);
    assert_int_equal(view.relay_hosts.count, 0);
    assert_string_equal(view.trace_headers.header_name, "X-KumoRef");
    assert_true(view.trace_headers.received_header);
    assert_false(view.trace_headers.supplemental_header);
    assert_string_equal(view.banner, "KumoMTA");
    listener_params_free(&dynamic);
    listener_config_free(&c);
}

static void any_stands_for_both_families(void **state)
{
    struct listener_config c;
    struct ip v4, v6;

    (void)state;
    assert_true(ip_parse(SLICE("203.0.113.1"), &v4));
    assert_true(ip_parse(SLICE("2001:db8::1"), &v6));
    bench_take(&listener_config_options, "{\"relay_hosts\":[\"any\"]}", &c);
    assert_true(cidr_list_has(&c.params.relay_hosts, &v4));
    assert_true(cidr_list_has(&c.params.relay_hosts, &v6));
    listener_config_free(&c);
    bench_take(&listener_config_options, "{\"relay_hosts\":[\"0.0.0.0/0\"]}", &c);
    assert_true(cidr_list_has(&c.params.relay_hosts, &v4));
    assert_false(cidr_list_has(&c.params.relay_hosts, &v6));
    listener_config_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlays_apply_from_the_general_to_the_special),
        cmocka_unit_test(tables_and_lists_are_replaced_not_merged),
        cmocka_unit_test(any_stands_for_both_families),
    };
    return cmocka_run_group_tests_name("core/config/listener_view", tests, NULL, NULL);
}
