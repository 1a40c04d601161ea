/* What is written is read, kept, and written again. */
#include "tests/unit/core/config/config_bench.h"

#include "core/config/egress_path_config.h"
#include "core/config/egress_pool_config.h"
#include "core/config/egress_source_config.h"
#include "core/config/listener_config.h"
#include "core/config/listener_domain_config.h"
#include "core/config/local_logs_config.h"
#include "core/config/queue_config.h"
#include "core/config/spool_config.h"

struct round_trip {
    const char *name; /* the table; read, written and read again */
    const struct option_table *table;
    size_t size;
};

#define PATH &egress_path_config_options, sizeof(struct egress_path_config)
#define QUEUE &queue_config_options, sizeof(struct queue_config)
#define SOURCE &egress_source_config_options, sizeof(struct egress_source_config)
#define LISTENER &listener_config_options, sizeof(struct listener_config)
#define LOGS &local_logs_config_options, sizeof(struct local_logs_config)
#define SPOOL &spool_config_options, sizeof(struct spool_config)

static const struct round_trip round_trips[] = {
    {"{\"connection_limit\":\"local:1,000\",\"additional_connection_limits\":{\"a\":5,\"b\":"
     "{\"limit\":7,\"force_local\":true}},\"max_connection_rate\":\"20/30min,max_burst=3\","
     "\"additional_message_rate_throttles\":{\"t\":\"local:5/s\"},\"system_shutdown_timeout\":0,"
     "\"remember_broken_tls\":\"15m\",\"openssl_options\":\"NO_SSLV3 | NO_TLSV1\","
     "\"rustls_cipher_suites\":[\"tls13_aes_128_gcm_sha256\"],\"prohibited_hosts\":[\"any\"],"
     "\"skip_hosts\":[\"10.0.0.0/8\"],\"tls_certificate\":{\"key_data\":\"PEM\"},"
     "\"smtp_auth_plain_password\":{\"vault_mount\":\"m\",\"vault_path\":\"p\",\"vault_key\":"
     "null}}",
     PATH},
    {"{\"egress_pool\":\"p\",\"retry_interval\":90,\"max_retry_interval\":\"1h\",\"max_age\":1.5,"
     "\"max_message_rate\":\"10/s\",\"protocol\":{\"smtp\":{\"mx_list\":[\"mx.example:2025\","
     "\"[10.0.0.1]:26\",\"[IPv6:::1]\",{\"name\":\"x\",\"addr\":\"10.0.0.1:25\"},\"/run/lmtp\"],"
     "\"future\":1}},\"shrink_policy\":[{\"interval\":\"1h\",\"policy\":\"NoShrink\"}],"
     "\"strategy\":\"SkipList\",\"refresh_strategy\":\"Epoch\",\"timerwheel_tick_interval\":3}",
     QUEUE},
    {"{\"protocol\":{\"custom_lua\":{\"constructor\":\"make.hook\",\"batch_size\":10,"
     "\"max_batch_latency\":\"1s\"}}}",
     QUEUE},
    {"{\"protocol\":{\"maildir_path\":\"/m/{{ domain }}\",\"dir_mode\":493,\"file_mode\":420}}",
     QUEUE},
    {"{\"protocol\":{\"xfer\":{\"target\":\"http://10.0.0.2:8000/\"}}}", QUEUE},
    {"{\"name\":\"s\",\"source_address\":\"2001:db8::1\",\"remote_port\":0,\"ehlo_domain\":\"e\","
     "\"socks5_proxy_server\":\"[::1]:1080\",\"socks5_proxy_password\":{\"event_name\":\"e\","
     "\"event_args\":[1,{}]},\"suspend_when_unplumbed\":{\"duration\":\"5m\"},"
     "\"suspend_when_proxy_unhealthy\":{\"duration\":1,\"trigger\":{\"Threshold\":\"5/min\"}}}",
     SOURCE},
    {"{\"listen\":\"0:25\",\"hostname\":\"mx\",\"meta\":{\"a\":{\"b\":[1,null]}},\"peer\":{"
     "\"10.0.0.0/8\":{\"relay_hosts\":{},\"via\":{\"::1\":{\"banner\":\"x\"}}}},"
     "\"trace_headers\":{\"include_meta_names\":[\"m\"]},\"tls_private_key\":\"/k\"}",
     LISTENER},
    {"{\"log_dir\":\"/l\",\"max_segment_duration\":\"1m\",\"meta\":[\"a*\"],\"headers\":[\"*\"],"
     "\"per_record\":{\"Any\":{\"enable\":false},\"Delivery\":{\"suffix\":\"_d\",\"template\":"
     "\"{{ id }}\",\"segment_header\":\"id\\n\"}},\"min_free_space\":1024,\"filter_event\":\"f\"}",
     LOGS},
    {"{\"name\":\"data\",\"path\":[\"/a\",\"/b\"],\"kind\":\"RocksDB\",\"durability\":\"memory\","
     "\"rocks_params\":{\"anything\":{\"goes\":true}},\"min_free_inodes\":\"0%\"}",
     SPOOL},
};

static void what_is_written_reads_back_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(round_trips); i++) {
        const struct round_trip *r = &round_trips[i];
        void *first = mem_take(r->size), *second = mem_take(r->size);
        struct buf once = {0}, twice = {0};

        print_message("%s\n", r->name);
        bench_take(r->table, r->name, first);
        bench_put(r->table, first, &once);
        buf_char(&once, '\0');
        bench_take(r->table, once.ptr, second);
        bench_put(r->table, second, &twice);
        buf_char(&twice, '\0');
        assert_true(slice_eq(buf_slice(&once), buf_slice(&twice)));
        option_free(r->table, first);
        option_free(r->table, second);
        mem_give(first);
        mem_give(second);
        buf_free(&once);
        buf_free(&twice);
    }
}

static void values_arrive_in_their_fields(void **state)
{
    struct egress_path_config path;
    struct queue_config queue;
    struct egress_source_config source;

    (void)state;
    bench_take(round_trips[0].table, round_trips[0].name, &path);
    assert_true(path.connection_limit.limit == 1000 && path.connection_limit.force_local);
    assert_int_equal(path.additional_connection_limits.count, 2);
    assert_string_equal(path.additional_connection_limits.items[1].name, "b");
    assert_true(path.additional_connection_limits.items[1].spec.force_local);
    assert_true(path.has_max_connection_rate && path.max_connection_rate.max_burst == 3);
    assert_false(path.has_max_message_rate);
    assert_true(path.has_system_shutdown_timeout && egress_path_shutdown_timeout(&path) == 0);
    assert_int_equal(path.prohibited_hosts.count, 2);
    assert_int_equal(path.tls_certificate.kind, KEY_SOURCE_DATA);
    assert_string_equal(path.tls_certificate.text, "PEM");
    assert_int_equal(path.smtp_auth_plain_password.kind, KEY_SOURCE_VAULT);
    egress_path_config_free(&path);

    bench_take(round_trips[1].table, round_trips[1].name, &queue);
    assert_true(queue.retry_interval == 90 * DURATION_S);
    assert_true(queue.max_age == 1500 * DURATION_MS);
    assert_int_equal(queue.shrink_step_count, 1);
    assert_int_equal(queue.shrink_policy[0].policy, SHRINK_NOTHING);
    queue_config_free(&queue);

    bench_take(round_trips[5].table, round_trips[5].name, &source);
    assert_true(source.has_remote_port && source.remote_port == 0);
    assert_int_equal(source.source_address.family, IP_V6);
    assert_int_equal(source.suspend_when_unplumbed.trigger.limit, 0);
    assert_int_equal(source.suspend_when_proxy_unhealthy.trigger.limit, 5);
    egress_source_config_free(&source);
}

struct host_case {
    const char *name; /* the entry, as JSON */
    enum mx_host_kind kind;
    uint16_t port;
    const char *host; /* name, path, or address */
};

static const struct host_case host_cases[] = {
    {"\"mx.example\"", MX_HOST_NAME, 0, "mx.example"},
    {"\"mx.example:2025\"", MX_HOST_NAME, 2025, "mx.example"},
    {"\"10.0.0.1\"", MX_HOST_IP, 0, "10.0.0.1"},
    {"\"10.0.0.1:26\"", MX_HOST_IP, 26, "10.0.0.1"},
    {"\"[10.0.0.1]\"", MX_HOST_IP, 0, "10.0.0.1"},
    {"\"[10.0.0.1]:26\"", MX_HOST_IP, 26, "10.0.0.1"},
    {"\"::1\"", MX_HOST_IP, 0, "::1"},
    {"\"[IPv6:::1]\"", MX_HOST_IP, 0, "::1"},
    {"\"[::1]:26\"", MX_HOST_IP, 26, "::1"},
    {"\"/run/lmtp.sock\"", MX_HOST_UNIX, 0, "/run/lmtp.sock"},
    {"{\"name\":\"a\",\"addr\":\"10.0.0.1\"}", MX_HOST_IP, 0, "10.0.0.1"},
    {"{\"name\":\"a\",\"addr\":\"[::1]:26\"}", MX_HOST_IP, 26, "::1"},
    {"{\"name\":\"a\",\"addr\":\"/run/x\"}", MX_HOST_UNIX, 0, "/run/x"},
};

static const char *const bad_hosts[] = {
    "\"\"",
    "\"a:\"",
    "\"a:0\"",
    "\"a:65536\"",
    "\":25\"",
    "\"[10.0.0.1\"",
    "\"[name]\"",
    "\"[::1]25\"",
    "5",
    "{\"name\":\"a\"}",
    "{\"name\":\"a\",\"addr\":\"name.example\"}",
    "{\"name\":\"a\",\"addr\":\"::1\",\"x\":1}",
};

static void named_hosts_come_in_many_spellings(void **state)
{
    struct queue_config c;
    struct buf table = {0}, addr = {0}, why = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(host_cases); i++) {
        const struct mx_host *h;

        print_message("%s\n", host_cases[i].name);
        buf_clear(&table);
        buf_clear(&addr);
        buf_printf(&table, "{\"protocol\":{\"smtp\":{\"mx_list\":[%s]}}}%c", host_cases[i].name, 0);
        bench_take(&queue_config_options, table.ptr, &c);
        h = &c.protocol.smtp.mx_list.items[0];
        assert_int_equal(h->kind, host_cases[i].kind);
        assert_int_equal(h->port, host_cases[i].port);
        ip_put(&addr, &h->ip);
        assert_true(slice_eq(h->kind == MX_HOST_IP ? buf_slice(&addr) : slice_str(h->host),
                             slice_str(host_cases[i].host)));
        queue_config_free(&c);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad_hosts); i++) {
        print_message("%s\n", bad_hosts[i]);
        buf_clear(&table);
        buf_printf(&table, "{\"protocol\":{\"smtp\":{\"mx_list\":[%s]}}}%c", bad_hosts[i], 0);
        assert_false(bench_read(&queue_config_options, table.ptr, &c, &why));
    }
    buf_free(&table);
    buf_free(&addr);
    buf_free(&why);
}

static void a_record_type_without_an_entry_uses_that_of_any(void **state)
{
    struct local_logs_config c;

    (void)state;
    bench_take(&local_logs_config_options,
               "{\"log_dir\":\"/l\",\"per_record\":{\"Any\":{\"enable\":false},"
               "\"Delivery\":{\"suffix\":\"_d\"}}}",
               &c);
    assert_true(per_record_find(&c.per_record, SLICE("Delivery"))->enable);
    assert_false(per_record_find(&c.per_record, SLICE("Bounce"))->enable);
    local_logs_config_free(&c);
}

static void a_key_given_twice_counts_the_second_time(void **state)
{
    struct queue_config c;

    (void)state;
    bench_take(&queue_config_options, "{\"egress_pool\":\"a\",\"egress_pool\":\"b\"}", &c);
    assert_string_equal(c.egress_pool, "b");
    queue_config_free(&c);
}

static void booleans_stand_for_report_dispositions(void **state)
{
    struct listener_domain_config c;

    (void)state;
    bench_take(&listener_domain_config_options, "{\"log_oob\":true,\"log_arf\":\"LogThenDrop\"}",
               &c);
    assert_int_equal(c.log_oob, LOG_THEN_RELAY);
    assert_int_equal(c.log_arf, LOG_THEN_DROP);
    listener_domain_config_free(&c);
}

struct unsupported_case {
    const char *name; /* the table */
    const char *text; /* NULL: supported */
};

static const struct unsupported_case path_cases[] = {
    {"{}", NULL},
    {"{\"enable_tls\":\"OpportunisticInsecure\"}", NULL},
    {"{\"enable_tls\":\"Disabled\"}", NULL},
    {"{\"enable_tls\":\"Required\"}", "enable_tls = 'Required' is not supported"},
    {"{\"enable_tls\":\"RequiredInsecure\"}", "enable_tls = 'RequiredInsecure' is not supported"},
    {"{\"enable_dane\":true}", "enable_dane is not supported"},
    {"{\"smtp_auth_plain_username\":\"u\"}", "smtp_auth_plain_username is not supported"},
};

static const struct unsupported_case source_cases[] = {
    {"{\"name\":\"s\",\"source_address\":\"10.0.0.1\"}", NULL},
    {"{\"name\":\"s\",\"ha_proxy_server\":\"p:1\"}", NULL},
    {"{\"name\":\"s\",\"ha_proxy_server\":\"p:1\",\"ha_proxy_source_address\":\"10.0.0.1\"}",
     "egress source s: ha_proxy_server is not supported"},
    {"{\"name\":\"s\",\"socks5_proxy_server\":\"p:1\",\"socks5_proxy_source_address\":\"::1\"}",
     "egress source s: socks5_proxy_server is not supported"},
};

static void a_protection_that_is_missing_is_said_so(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(path_cases); i++) {
        struct egress_path_config c;
        struct buf text = {0};

        print_message("%s\n", path_cases[i].name);
        bench_take(&egress_path_config_options, path_cases[i].name, &c);
        assert_int_equal(egress_path_unsupported(&c, &text), path_cases[i].text != NULL);
        assert_true(slice_eq(buf_slice(&text), slice_str(path_cases[i].text)));
        egress_path_config_free(&c);
        buf_free(&text);
    }
    for (size_t i = 0; i < ARRAY_COUNT(source_cases); i++) {
        struct egress_source_config c;
        struct buf text = {0};

        print_message("%s\n", source_cases[i].name);
        bench_take(&egress_source_config_options, source_cases[i].name, &c);
        assert_int_equal(egress_source_unsupported(&c, &text), source_cases[i].text != NULL);
        assert_true(slice_eq(buf_slice(&text), slice_str(source_cases[i].text)));
        egress_source_config_free(&c);
        buf_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back_the_same),
        cmocka_unit_test(values_arrive_in_their_fields),
        cmocka_unit_test(named_hosts_come_in_many_spellings),
        cmocka_unit_test(a_record_type_without_an_entry_uses_that_of_any),
        cmocka_unit_test(a_key_given_twice_counts_the_second_time),
        cmocka_unit_test(booleans_stand_for_report_dispositions),
        cmocka_unit_test(a_protection_that_is_missing_is_said_so),
    };
    return cmocka_run_group_tests_name("core/config/config_values", tests, NULL, NULL);
}
