/* Expectations: the wording that policy helpers tell "no such option" from "a bad value" by. */
#include "tests/unit/core/config/config_bench.h"

#include "core/config/egress_path_config.h"
#include "core/config/egress_pool_config.h"
#include "core/config/egress_source_config.h"
#include "core/config/listener_config.h"
#include "core/config/listener_domain_config.h"
#include "core/config/local_logs_config.h"
#include "core/config/queue_config.h"
#include "core/config/spool_config.h"

union any_config {
    struct egress_path_config path;
    struct egress_pool_config pool;
    struct egress_source_config source;
    struct listener_config listener;
    struct listener_domain_config domain;
    struct local_logs_config logs;
    struct queue_config queue;
    struct spool_config spool;
};

struct refusal {
    const char *name; /* the table, as JSON */
    const struct option_table *table;
    const char *why; /* between "deserialize error: " and ", while processing" */
};

#define DURATION_WANTED "a duration: a number of seconds or a string such as '1m 30s'"

static const struct refusal refusals[] = {
    /* bool */
    {"{\"enable_dane\":\"yes\"}", &egress_path_config_options,
     "enable_dane: invalid value: string \"yes\", expected a boolean"},
    {"{\"enable_dane\":1}", &egress_path_config_options,
     "enable_dane: invalid type: integer `1`, expected a boolean"},
    /* integers */
    {"{\"max_ready\":-1}", &egress_path_config_options,
     "max_ready: invalid value: integer `-1`, expected u32"},
    {"{\"max_ready\":1.5}", &egress_path_config_options,
     "max_ready: invalid type: floating point `1.5`, expected u32"},
    {"{\"smtp_port\":65536}", &egress_path_config_options,
     "smtp_port: invalid value: integer `65536`, expected u16"},
    {"{\"smtp_port\":\"25\"}", &egress_path_config_options,
     "smtp_port: invalid type: string \"25\", expected u16"},
    {"{\"max_ready\":18446744073709551615}", &egress_path_config_options,
     "max_ready: invalid value: integer `18446744073709551615`, expected u32"},
    /* durations */
    {"{\"max_age\":{}}", &queue_config_options,
     "max_age: invalid type: map, expected " DURATION_WANTED},
    {"{\"max_age\":-5}", &queue_config_options,
     "max_age: invalid value: integer `-5`, expected " DURATION_WANTED},
    {"{\"max_age\":\"5\"}", &queue_config_options,
     "max_age: invalid value: string \"5\": time unit needed, for example 5sec or 5ms"},
    {"{\"max_age\":1e300}", &queue_config_options,
     "max_age: invalid value: floating point `1e300`, expected " DURATION_WANTED},
    /* throttles and limits */
    {"{\"max_message_rate\":\"10/parsec\"}", &queue_config_options,
     "max_message_rate: invalid value: string \"10/parsec\": unknown period quantity parsec"},
    {"{\"max_message_rate\":10}", &queue_config_options,
     "max_message_rate: invalid type: integer `10`, expected a throttle such as '100/hour'"},
    {"{\"connection_limit\":0}", &egress_path_config_options,
     "connection_limit: invalid value: integer `0`: limit must be 1 or larger"},
    {"{\"connection_limit\":2.5}", &egress_path_config_options,
     "connection_limit: invalid type: floating point `2.5`, expected string or numeric limit spec"},
    {"{\"connection_limit\":{\"limit\":5,\"bogus\":1}}", &egress_path_config_options,
     "connection_limit: unknown field `bogus`, expected `limit` or `force_local`"},
    {"{\"additional_connection_limits\":{\"a\":1,\"b\":0}}", &egress_path_config_options,
     "additional_connection_limits: b: invalid value: integer `0`: limit must be 1 or larger"},
    {"{\"additional_message_rate_throttles\":{\"a\":\"1/h\",\"b\":\"x\"}}",
     &egress_path_config_options,
     "additional_message_rate_throttles: b: invalid value: string \"x\": expected 'limit/period', "
     "got x"},
    /* words */
    {"{\"enable_tls\":\"required\"}", &egress_path_config_options,
     "enable_tls: invalid value: unknown variant `required`, expected one of `Opportunistic`, "
     "`OpportunisticInsecure`, `Required`, `RequiredInsecure`, `Disabled`"},
    {"{\"enable_tls\":true}", &egress_path_config_options,
     "enable_tls: invalid type: boolean `true`, expected string naming a tls mode"},
    {"{\"log_oob\":\"Maybe\"}", &listener_domain_config_options,
     "log_oob: invalid value: string \"Maybe\", expected a boolean value or one of `Ignore`, "
     "`LogThenDrop`, `LogThenRelay`"},
    {"{\"log_arf\":1}", &listener_domain_config_options,
     "log_arf: invalid type: integer `1`, expected a boolean value or one of `Ignore`, "
     "`LogThenDrop`, `LogThenRelay`"},
    {"{\"rustls_cipher_suites\":[\"TLS13_AES_128_GCM_SHA256\",\"ROT13\"]}",
     &egress_path_config_options, NULL},
    {"{\"openssl_options\":\"NO_SSLV3|NO_SSLV9\"}", &egress_path_config_options, NULL},
    /* addresses */
    {"{\"relay_from\":[\"10.0.0.1/24\"]}", &listener_domain_config_options,
     "relay_from: invalid value: string \"10.0.0.1/24\": 10.0.0.1/24 is not a valid CIDR: host "
     "part "
     "of address was not zero. Did you mean 10.0.0.0/24?"},
    {"{\"relay_from\":\"10.0.0.1\"}", &listener_domain_config_options,
     "relay_from: invalid type: string \"10.0.0.1\", expected a list of IP addresses and CIDR "
     "blocks"},
    {"{\"name\":\"s\",\"source_address\":\"here\"}", &egress_source_config_options,
     "source_address: invalid value: string \"here\": invalid IP address syntax"},
    {"{\"name\":\"s\",\"ha_proxy_server\":\"10.0.0.1\"}", &egress_source_config_options,
     "ha_proxy_server: invalid value: string \"10.0.0.1\", expected ip:port, [ipv6]:port or "
     "name:port"},
    /* lists and nested tables */
    {"{\"name\":\"p\",\"entries\":[{\"name\":\"a\"},{\"weight\":1}]}", &egress_pool_config_options,
     "entries: missing field `name`"},
    {"{\"name\":\"p\",\"entries\":[{\"name\":\"a\",\"wait\":1}]}", &egress_pool_config_options,
     "entries: unknown field `wait`, expected `name` or `weight`"},
    {"{\"name\":\"p\",\"entries\":{\"a\":1}}", &egress_pool_config_options,
     "entries: invalid type: map, expected a sequence"},
    {"{\"name\":\"p\",\"entries\":[\"a\"]}", &egress_pool_config_options,
     "entries: invalid type: string \"a\", expected struct EgressPoolEntry"},
    {"{\"entries\":[]}", &egress_pool_config_options, "missing field `name`"},
    {"{\"trace_headers\":{\"bogus\":1}}", &listener_config_options,
     "trace_headers: unknown field `bogus`, expected one of `received_header`, "
     "`supplemental_header`, `header_name`, `include_meta_names`"},
    {"{\"peer\":{\"10.0.0.0/8\":{\"banner\":5}}}", &listener_config_options,
     "peer: 10.0.0.0/8: banner: invalid type: integer `5`, expected a string"},
    {"{\"peer\":{\"10.0.0.1/8\":{}}}", &listener_config_options,
     "peer: invalid value: 10.0.0.1/8 is not a valid CIDR: host part of address was not zero. Did "
     "you mean 10.0.0.0/8?"},
    {"{\"log_dir\":\"/l\",\"per_record\":{\"Recption\":{}}}", &local_logs_config_options, NULL},
    {"{\"log_dir\":\"/l\",\"per_record\":{\"Any\":{\"bogus\":1}}}", &local_logs_config_options,
     "per_record: Any: unknown field `bogus`, expected one of `enable`, `suffix`, `log_dir`, "
     "`template`, `segment_header`"},
    {"{}", &local_logs_config_options, "missing field `log_dir`"},
    {"{\"log_dir\":null}", &local_logs_config_options, "missing field `log_dir`"},
    {"{\"log_dir\":\"/l\",\"meta\":[1]}", &local_logs_config_options,
     "meta: invalid type: integer `1`, expected a string"},
    /* protocols */
    {"{\"protocol\":{}}", &queue_config_options,
     "protocol: invalid value: map, expected exactly one of `smtp`, `custom_lua`, `maildir_path`, "
     "`xfer`"},
    {"{\"protocol\":{\"smtp\":{},\"xfer\":{\"target\":\"http://a/\"}}}", &queue_config_options,
     "protocol: invalid value: map, expected exactly one of `smtp`, `custom_lua`, `maildir_path`, "
     "`xfer`"},
    {"{\"protocol\":{\"custom_lua\":{\"batch_size\":1}}}", &queue_config_options,
     "protocol: custom_lua: missing field `constructor`"},
    {"{\"protocol\":{\"custom_lua\":{\"constructor\":\"c\",\"bogus\":1}}}", &queue_config_options,
     "protocol: custom_lua: unknown field `bogus`, expected one of `constructor`, `batch_size`, "
     "`min_batch_size`, `max_batch_latency`"},
    {"{\"protocol\":{\"smtp\":{\"mx_list\":[\"a:b\"]}}}", &queue_config_options,
     "protocol: smtp: mx_list: invalid value: string \"a:b\", expected a host name, an address, "
     "either with a port, or a socket path"},
    {"{\"protocol\":{\"smtp\":{},\"dir_mode\":448}}", &queue_config_options,
     "protocol: invalid value: dir_mode and file_mode go with maildir_path"},
    {"{\"name\":\"s\",\"suspend_when_unplumbed\":{}}", &egress_source_config_options,
     "suspend_when_unplumbed: missing field `duration`"},
    {"{\"name\":\"s\",\"suspend_when_unplumbed\":{\"duration\":1,\"trigger\":\"Later\"}}",
     &egress_source_config_options,
     "suspend_when_unplumbed: trigger: invalid value: string \"Later\", expected 'Immediate' or "
     "{Threshold='N/period'}"},
    /* spool */
    {"{\"name\":\"data\"}", &spool_config_options, "missing field `path`"},
    {"{\"name\":\"data\",\"path\":[]}", &spool_config_options,
     "path: invalid value: sequence, expected at least one path"},
    {"{\"name\":\"data\",\"path\":\"/a\",\"min_free_space\":\"10GB\"}", &spool_config_options,
     "min_free_space: invalid value: string \"10GB\": expected an integer or a percentage like "
     "'10%', got '10GB'"},
    {"{\"name\":\"data\",\"path\":\"/a\",\"min_free_space\":0.5}", &spool_config_options,
     "min_free_space: invalid type: floating point `0.5`, expected an integer or a percentage such "
     "as '10%'"},
    /* keys */
    {"{\"tls_certificate\":{\"key_data\":\"x\",\"bogus\":1}}", &listener_config_options, NULL},
    {"{\"tls_certificate\":5}", &listener_config_options, NULL},
    /* not even a table */
    {"[1]", &queue_config_options, "invalid type: sequence, expected struct QueueConfig"},
    {"\"x\"", &queue_config_options, "invalid type: string \"x\", expected struct QueueConfig"},
};

static void every_bad_value_is_named_in_the_known_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        const struct refusal *r = &refusals[i];
        union any_config c;
        struct buf why = {0}, want = {0};

        assert_false(bench_read(r->table, r->name, &c, &why));
        print_message("%.*s\n", SLICE_ARG(buf_slice(&why)));
        assert_true(slice_starts(buf_slice(&why), SLICE("deserialize error: ")));
        buf_printf(&want, ", while processing %s", r->name);
        assert_true(slice_ends(buf_slice(&why), buf_slice(&want)));
        if (r->why != NULL) {
            buf_insert(&want, 0, slice_str(r->why));
            buf_insert(&want, 0, SLICE("deserialize error: "));
            assert_true(slice_eq(buf_slice(&why), buf_slice(&want)));
        } else {
            assert_non_null(memmem(why.ptr, why.len, "invalid ", 8));
        }
        option_free(r->table, &c);
        buf_free(&why);
        buf_free(&want);
    }
}

struct unknown_case {
    const char *name;
    const struct option_table *table;
};

static const struct unknown_case unknown_cases[] = {
    {"queue", &queue_config_options},      {"path", &egress_path_config_options},
    {"pool", &egress_pool_config_options}, {"source", &egress_source_config_options},
    {"spool", &spool_config_options},      {"listener domain", &listener_domain_config_options},
    {"logs", &local_logs_config_options},
};

/* Helpers take a complaint with "invalid" for a bad value of a known option. */
static void an_unknown_option_is_not_called_invalid(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(unknown_cases); i++) {
        union any_config c;
        struct buf why = {0};

        print_message("%s\n", unknown_cases[i].name);
        assert_false(bench_read(unknown_cases[i].table, "{\"bogus\":1}", &c, &why));
        assert_true(slice_starts(buf_slice(&why),
                                 SLICE("deserialize error: unknown field `bogus`, expected ")));
        assert_null(memmem(why.ptr, why.len, "invalid", 7));
        assert_true(slice_ends(buf_slice(&why), SLICE(", while processing {\"bogus\":1}")));
        buf_free(&why);
    }
}

static void overlays_do_not_take_what_belongs_to_the_listener(void **state)
{
    struct listener_config c;
    struct buf why = {0};

    (void)state;
    assert_false(
        bench_read(&listener_config_options, "{\"peer\":{\"::1\":{\"listen\":\"x\"}}}", &c, &why));
    assert_true(slice_starts(buf_slice(&why), SLICE("deserialize error: peer: ::1: unknown field "
                                                    "`listen`, expected one of `hostname`")));
    buf_free(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bad_value_is_named_in_the_known_words),
        cmocka_unit_test(an_unknown_option_is_not_called_invalid),
        cmocka_unit_test(overlays_do_not_take_what_belongs_to_the_listener),
    };
    return cmocka_run_group_tests_name("core/config/config_refusal", tests, NULL, NULL);
}
