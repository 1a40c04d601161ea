/* Expectations: the option tables of the queue, listener, log and spool chapters. */
#include "tests/unit/core/config/config_bench.h"

#include "core/config/egress_path_config.h"
#include "core/config/egress_pool_config.h"
#include "core/config/egress_source_config.h"
#include "core/config/listener_config.h"
#include "core/config/listener_domain_config.h"
#include "core/config/local_logs_config.h"
#include "core/config/queue_config.h"
#include "core/config/spool_config.h"

#define assert_says(b, text) assert_string_is((b), (text), __LINE__)

static void assert_string_is(const struct buf *b, const char *want, int line)
{
    if (!slice_eq(buf_slice(b), slice_str(want))) {
        print_message("line %d\n  want %s\n  got  %.*s\n", line, want, SLICE_ARG(buf_slice(b)));
        fail();
    }
}

static void a_queue_has_the_documented_defaults(void **state)
{
    struct queue_config c;
    struct buf out = {0};

    (void)state;
    bench_take(&queue_config_options, "{}", &c);
    bench_put(&queue_config_options, &c, &out);
    assert_says(&out, "{\"retry_interval\":\"20m\",\"max_age\":\"7days\",\"protocol\":{\"smtp\":"
                      "{\"mx_list\":[],\"treat_mx_list_as_secure\":false},\"custom_lua\":null,"
                      "\"xfer\":null,\"maildir_path\":null,\"dir_mode\":null,\"file_mode\":null},"
                      "\"reap_interval\":\"10m\",\"refresh_interval\":\"1m\",\"refresh_strategy\":"
                      "\"Ttl\",\"strategy\":\"SingletonTimerWheel\",\"shrink_policy\":[]}");
    assert_int_equal(c.protocol.kind, QUEUE_PROTOCOL_SMTP);
    assert_null(c.egress_pool);
    assert_false(c.has_max_retry_interval);
    assert_int_equal(c.max_retry_interval, 0);
    queue_config_free(&c);
    queue_config_free(&c);
    buf_free(&out);
}

static void a_path_has_the_defaults_of_the_source_not_of_its_manual(void **state)
{
    struct egress_path_config c;
    struct buf out = {0};

    (void)state;
    bench_take(&egress_path_config_options, "{}", &c);
    bench_put(&egress_path_config_options, &c, &out);
    assert_says(
        &out,
        "{\"connection_limit\":{\"limit\":32,\"force_local\":false},"
        "\"additional_connection_limits\":{},\"additional_message_rate_throttles\":{},"
        "\"additional_source_selection_rates\":{},\"max_deliveries_per_connection\":1024,"
        "\"max_recipients_per_batch\":100,\"max_ready\":1024,"
        "\"consecutive_connection_failures_before_delay\":100,\"connect_timeout\":\"1m\","
        "\"banner_timeout\":\"1m\",\"ehlo_timeout\":\"5m\",\"starttls_timeout\":\"5s\","
        "\"auth_timeout\":\"1m\",\"mail_from_timeout\":\"5m\",\"rcpt_to_timeout\":\"5m\","
        "\"data_timeout\":\"5m\",\"data_dot_timeout\":\"5m\",\"rset_timeout\":\"5s\","
        "\"idle_timeout\":\"5s\",\"enable_tls\":\"Opportunistic\",\"enable_mta_sts\":true,"
        "\"enable_dane\":false,\"tls_prefer_openssl\":false,\"rustls_cipher_suites\":[],"
        "\"opportunistic_tls_reconnect_on_failed_handshake\":false,\"smtp_port\":25,"
        "\"allow_smtp_auth_plain_without_tls\":false,"
        "\"allow_smtp_auth_plain_without_valid_certificate\":false,\"enable_pipelining\":true,"
        "\"enable_rset\":true,\"ignore_8bit_checks\":false,\"use_lmtp\":false,"
        "\"reconnect_strategy\":\"ConnectNextHost\",\"try_next_host_on_transport_error\":false,"
        "\"prohibited_hosts\":[\"127.0.0.0/8\",\"::1/128\",\"0.0.0.0/32\",\"::/128\"],"
        "\"skip_hosts\":[],\"ip_lookup_strategy\":\"Ipv4AndIpv6\",\"refresh_interval\":\"1m\","
        "\"refresh_strategy\":\"Ttl\",\"aggressive_connection_opening\":false,"
        "\"dispatcher_wakeup_strategy\":\"Aggressive\","
        "\"maintainer_wakeup_strategy\":\"Aggressive\","
        "\"low_memory_reduction_policy\":\"ShrinkDataAndMeta\","
        "\"no_memory_reduction_policy\":\"ShrinkDataAndMeta\"}");
    assert_int_equal(egress_path_shutdown_timeout(&c), 20 * DURATION_MIN);
    assert_int_equal(egress_path_watchdog_timeout(&c), 10 * DURATION_MIN);
    egress_path_config_free(&c);
    buf_free(&out);
}

static void pools_and_sources_need_a_name_and_little_else(void **state)
{
    struct egress_pool_config pool;
    struct egress_source_config source;
    struct buf out = {0};

    (void)state;
    bench_take(&egress_pool_config_options, "{\"name\":\"p\",\"entries\":[{\"name\":\"a\"}]}",
               &pool);
    bench_put(&egress_pool_config_options, &pool, &out);
    assert_says(&out, "{\"name\":\"p\",\"entries\":[{\"name\":\"a\",\"weight\":1}],"
                      "\"ttl\":\"1m\"}");
    assert_int_equal(pool.entry_count, 1);
    egress_pool_config_free(&pool);

    bench_take(&egress_pool_config_options, "{\"name\":\"p\",\"entries\":{}}", &pool);
    assert_int_equal(pool.entry_count, 0);
    egress_pool_config_free(&pool);

    bench_take(&egress_source_config_options, "{\"name\":\"s\"}", &source);
    bench_put(&egress_source_config_options, &source, &out);
    assert_says(&out, "{\"name\":\"s\",\"ttl\":\"1m\"}");
    assert_int_equal(source.source_address.family, IP_NONE);
    egress_source_config_free(&source);
    buf_free(&out);
}

static void a_listener_has_the_documented_defaults(void **state)
{
    struct listener_config c;
    struct listener_domain_config domain;
    struct buf out = {0};

    (void)state;
    bench_take(&listener_config_options, "{}", &c);
    bench_put(&listener_config_options, &c, &out);
    assert_says(
        &out,
        "{\"listen\":\"127.0.0.1:2025\",\"max_connections\":32768,\"banner\":\"KumoMTA\","
        "\"relay_hosts\":[\"127.0.0.1/32\",\"::1/128\"],\"client_timeout\":\"1m\","
        "\"data_processing_timeout\":\"5m\",\"data_buffer_size\":131072,"
        "\"max_message_size\":20971520,\"max_recipients_per_message\":1024,"
        "\"max_messages_per_connection\":10000,\"line_length_hard_limit\":998,"
        "\"invalid_line_endings\":\"Deny\",\"deferred_spool\":false,\"deferred_queue\":false,"
        "\"batch_handling\":\"BifurcateAlways\",\"trace_headers\":{\"received_header\":true,"
        "\"supplemental_header\":true,\"header_name\":\"X-KumoRef\",\"include_meta_names\":[]},"
        "\"allow_xclient\":false,\"require_proxy_protocol\":false,\"peer\":{},\"via\":{}}");
    listener_config_free(&c);

    bench_take(&listener_domain_config_options, "[]", &domain);
    bench_put(&listener_domain_config_options, &domain, &out);
    assert_says(&out, "{\"relay_to\":false,\"relay_from\":[],\"log_oob\":\"Ignore\","
                      "\"log_arf\":\"Ignore\",\"ttl\":\"1m\"}");
    listener_domain_config_free(&domain);
    buf_free(&out);
}

static void logs_and_spools_have_the_documented_defaults(void **state)
{
    struct local_logs_config logs;
    struct spool_config spool;
    struct buf out = {0};

    (void)state;
    bench_take(&local_logs_config_options, "{\"log_dir\":\"/l\"}", &logs);
    bench_put(&local_logs_config_options, &logs, &out);
    assert_says(&out, "{\"log_dir\":\"/l\",\"max_file_size\":1000000000,\"compression_level\":0,"
                      "\"back_pressure\":128000,\"meta\":[],\"headers\":[],\"per_record\":{},"
                      "\"min_free_space\":\"10%\",\"min_free_inodes\":\"10%\"}");
    assert_null(per_record_find(&logs.per_record, SLICE("Delivery")));
    local_logs_config_free(&logs);

    bench_take(&spool_config_options, "{\"name\":\"data\",\"path\":\"/s\"}", &spool);
    bench_put(&spool_config_options, &spool, &out);
    assert_says(&out, "{\"name\":\"data\",\"path\":\"/s\",\"kind\":\"LocalDisk\",\"flush\":false,"
                      "\"min_free_space\":\"10%\",\"min_free_inodes\":\"10%\","
                      "\"durability\":\"fsync-group\"}");
    spool_config_free(&spool);
    buf_free(&out);
}

static void null_and_absent_are_the_same(void **state)
{
    struct queue_config c;

    (void)state;
    bench_take(&queue_config_options,
               "{\"max_age\":null,\"egress_pool\":null,\"protocol\":null,\"strategy\":null}", &c);
    assert_true(c.max_age == 7 * DURATION_DAY);
    assert_true(c.protocol.has_smtp);
    queue_config_free(&c);
}

static void initialised_without_a_table_means_the_defaults(void **state)
{
    struct egress_path_config path;
    struct queue_config queue;

    (void)state;
    egress_path_config_init(&path);
    assert_true(path.idle_timeout == 5 * DURATION_S);
    assert_int_equal(path.prohibited_hosts.count, 4);
    egress_path_config_free(&path);
    queue_config_init(&queue);
    assert_true(queue.protocol.has_smtp);
    queue_config_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_has_the_documented_defaults),
        cmocka_unit_test(a_path_has_the_defaults_of_the_source_not_of_its_manual),
        cmocka_unit_test(pools_and_sources_need_a_name_and_little_else),
        cmocka_unit_test(a_listener_has_the_documented_defaults),
        cmocka_unit_test(logs_and_spools_have_the_documented_defaults),
        cmocka_unit_test(null_and_absent_are_the_same),
        cmocka_unit_test(initialised_without_a_table_means_the_defaults),
    };
    return cmocka_run_group_tests_name("core/config/config_defaults", tests, NULL, NULL);
}
